"""How many effects are called at once, and how soon one after the other: those who wait for an answer come first.

To call a model takes some milliseconds of our own time, many times what a turn takes. A crowd of such calls, all begun at once, would keep
the loop from whoever waits for an answer, or for word that what they sent is on record.
"""

import asyncio
from collections import deque

FREE = 16
"""Calls under way below which none is held back."""

MOST = 256
"""Calls under way at most; the others wait, the oldest first."""

TICK_SECONDS = 0.005
"""How often some of those who wait may begin."""

LATE_SECONDS = 0.005
"""A tick that comes later than this shows that the loop has enough to do."""

LONGEST_SECONDS = 0.1
"""How long a loop that has enough to do holds the next one back."""


class Pace:
    """Entered by every call of an effect, for as long as it takes.

    Each tick lets one more in than the tick before, until one is late: then it is one again.
    """

    __slots__ = ("_admitted_at", "_batch", "_under_way", "_waiting")

    def __init__(self) -> None:
        self._under_way = 0
        self._batch = 1
        self._admitted_at = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self._under_way < FREE and not self._waiting:
            self._under_way += 1
            return
        admission: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self._waiting:
            self._arm()
        self._waiting.append(admission)
        try:
            await admission
        except asyncio.CancelledError:
            if not admission.cancelled():  # it was let in at this very moment
                self._under_way -= 1
            raise

    async def __aexit__(self, *_: object) -> None:
        self._under_way -= 1

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(TICK_SECONDS, self._look, loop.time() + TICK_SECONDS)

    def _look(self, due: float) -> None:
        now = asyncio.get_running_loop().time()
        calm = now - due < LATE_SECONDS
        self._batch = self._batch + 1 if calm else 1
        if calm or now - self._admitted_at >= LONGEST_SECONDS:
            self._admit(now)
        if self._waiting:
            self._arm()

    def _admit(self, now: float) -> None:
        room = min(self._batch, MOST - self._under_way)
        while self._waiting and room > 0:
            admission = self._waiting.popleft()
            if not admission.done():  # else nobody wants it any more
                admission.set_result(None)
                self._under_way += 1
                self._admitted_at = now
                room -= 1
