"""How many effects are called at once, and how soon one after the other: those who wait for an answer come first.

To call a model, and to read what it says, takes some milliseconds of our own time, many times what a turn takes. A crowd of such calls, all
begun at once, would keep the loop from whoever waits for an answer, or for word that what they sent is on record; and once more when the
answers come, all at once.
"""

import asyncio
from collections import deque

FREE = 8
"""Calls under way below which none is held back."""

MOST = 256
"""Calls under way at most; the others wait, the oldest first."""

RATE = 20.0
"""How many of those who wait begin in a second, at least, if there is room."""

GROWTH = 0.1
"""How much greater the rate is after each call that has ended: those that take long cost most then, and are not to be too many before."""

LATE_SECONDS = 0.005
"""How late the loop is when it has enough to do; then the rate is the least again."""


class Pace:
    """Entered by every call of an effect, for as long as it takes."""

    __slots__ = ("_rate", "_under_way", "_waiting")

    def __init__(self) -> None:
        self._under_way = 0
        self._rate = RATE
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
        self._rate = self._rate + GROWTH if self._waiting else RATE

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(1 / self._rate, self._let_in, loop.time() + 1 / self._rate)

    def _let_in(self, due: float) -> None:
        late = asyncio.get_running_loop().time() - due
        if late >= LATE_SECONDS:
            self._rate = RATE
        while self._waiting and self._under_way < MOST:
            admission = self._waiting.popleft()
            if not admission.done():  # else nobody wants it any more
                admission.set_result(None)
                self._under_way += 1
                break
        if self._waiting:
            self._arm()
