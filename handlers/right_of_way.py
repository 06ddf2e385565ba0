"""The right of way: whoever waits for word that an input is on record goes before the work behind the inputs that are.

Such work (a model's call begun, a message posted) keeps the loop for half a millisecond and more in one go, and an acknowledgement passes
the loop some eight times: each time, all that is ready before it is done first. So whoever is about to begin such a step asks here.
"""

import asyncio
from collections import deque

LONGEST = 0.03
"""Seconds that a step gives way: while the store is slow, there is always somebody on the way."""

PART = 8
"""Of so many who wait, one is let go in a round once they have waited for so long: where rounds are long, one alone would not be enough."""

TICK = 0.001
"""Seconds by which a timer may come early: uvloop's clock counts in these."""


class RightOfWay:
    """Inputs `come` and `go`, each as often as the other; what can wait is begun when the way is `clear`, one step in a round of the loop.

    So an input that comes with the next round waits for one step, and not for a crowd of them.
    """

    __slots__ = ("_coming", "_looks", "_timer", "_waiting")

    def __init__(self) -> None:
        self._coming = 0
        self._looks = False
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()

    def come(self) -> None:
        """An input is on its way."""
        self._coming += 1

    def go(self) -> None:
        """Whoever waits for word of it has that now."""
        self._coming -= 1
        if self._waiting and not self._coming:
            self._look_soon()

    async def clear(self) -> None:
        """Wait until a step may begin: in the order of asking, and not for ever. Where nobody is on the way or waits, that is at once."""
        if not (self._coming or self._looks or self._waiting):
            self._look_soon()  # for the next, the next round is soon enough
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + LONGEST
        queue = self._waiting.append
        while True:
            admission = loop.create_future()
            queue((until, admission))
            self._look_soon()
            await admission
            if not self._coming or self._is_late(until):
                return
            queue = self._waiting.appendleft  # somebody came in the same round

    @staticmethod
    def _is_late(until: float) -> bool:
        return asyncio.get_running_loop().time() + TICK >= until

    def _look_soon(self) -> None:
        if not self._looks:
            self._looks = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        """Let the first who waits begin, if it may, or some of those who have waited for long; and look again in the next round."""
        self._looks = False
        room = max(len(self._waiting) // PART, 1)
        while self._waiting and room:
            until, admission = self._waiting[0]
            if admission.done():  # nobody wants it any more
                self._waiting.popleft()
                continue
            late = self._is_late(until)
            if self._coming and not late:
                if self._timer is None:
                    self._timer = asyncio.get_running_loop().call_at(until, self._ring)
                return
            self._waiting.popleft()
            admission.set_result(None)
            self._look_soon()
            room = room - 1 if late else 0

    def _ring(self) -> None:
        self._timer = None
        self._look_soon()
