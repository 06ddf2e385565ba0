"""Following a session: what it says from a place on, as it is said, and the words while they stream.

Whoever follows holds no handler in memory. It is woken when this node appends, and looks from time to time whether another one did, which
is one small read of the store: so ten thousand can wait for nothing.
"""

import asyncio
import math
from types import TracebackType
from typing import Self

import msgspec

from handlers.errors import HandlerError
from handlers.followers import Words
from handlers.house import House
from handlers.messages import News, Read
from handlers.reply import ReplyTo
from workflows.events import uid_of

LOOK_SECONDS = (1.0, 5.0)
"""How often we look whether another node has appended: soon after something happened, and at most."""

TOGETHER_SECONDS = 0.05
"""Looks are taken at multiples of this: what is asked of the store in one tick goes there as one, at a fraction of the price."""

END = 1_000_000
"""An ordinal behind all that can be said upon one event."""


class Piece(msgspec.Struct, frozen=True):
    """Words that have come: of which step, and whether they are the first ones (whatever came of it before is void)."""

    step: str
    first: bool
    text: str


class Following:
    """One reader of one session, as a context: `read` first, then `next` again and again, and `words` in between.

    Attributes:
        after: the last output that was read.
    """

    def __init__(self, house: House, session: str, after: tuple[int, int] | None) -> None:
        self.after = after
        self._house = house
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._seen = (0, b"")
        self._told: tuple[int, bytes] | None = None  # how the history ends, if that is not how we have seen it
        self._elsewhere = False
        self._waiter: asyncio.Future[None] | None = None
        self._pause = LOOK_SECONDS[0]
        self._look_at = 0.0
        self._heard: dict[Words, int] = {}

    def __enter__(self) -> Self:
        self._house.followers.add(self._session, self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._house.followers.remove(self._session, self)

    # -- being told ------------------------------------------------------------------------------------------------------------------------

    def changed(self, length: int, tail: bytes) -> None:
        """See `handlers.followers.Follower`."""
        if (length, tail) != self._seen:
            self._told = (length, tail)
            self.wake()

    def wake(self) -> None:
        """See `handlers.followers.Follower`."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- reading ---------------------------------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether the server stops."""
        return self._house.followers.closed

    async def read(self, *, confirm: bool = True) -> News:
        """What was said and not read yet. Raises `HandlerError`."""
        self._told = None
        reply: ReplyTo[News] = ReplyTo()
        self._house.post.post(Read(self._session, self.after, confirm, reply))
        news = await reply.get()
        self._take(news)
        return news

    async def next(self, until: float) -> News | None:
        """Wait for news, or for words (None), at most until then by the loop's clock. The store's troubles are waited out."""
        if not (self._told or self._unheard or self.closed):
            await self._wait(min(until, self._look_at))
        if self._unheard:
            return None  # words do not wait for the store
        try:
            if self._loop.time() >= self._look_at:
                await self._look()
            if self._told or self._elsewhere:
                return await self.read(confirm=self._elsewhere)
        except HandlerError:
            self._told, self._elsewhere = None, True  # what this node knows may be lost; the store is asked when it is back
            self._look_later()
        return None

    def words(self) -> list[Piece]:
        """The words that have come since the last call."""
        pieces: list[Piece] = []
        heard: dict[Words, int] = {}
        for words in self._house.followers.words(self._session):
            before = self._heard.get(words, 0)
            heard[words] = len(words.pieces)
            if heard[words] > before:
                pieces.append(Piece(words.step, not before, "".join(words.pieces[before:])))
        self._heard = heard
        return pieces

    @property
    def _unheard(self) -> bool:
        return any(len(words.pieces) > self._heard.get(words, 0) for words in self._house.followers.words(self._session))

    def _take(self, news: News) -> None:
        self._seen = (news.length, news.tail)
        if self._told == self._seen:
            self._told = None
        self._elsewhere = False
        if news.spoken:
            self.after = news.spoken[-1].said[:2]
        elif self.after is not None and self.after[0] > news.position:  # a failover has cut the history
            self.after = (news.position, END)
        self._pause = LOOK_SECONDS[0]
        self._look_later()

    async def _look(self) -> None:
        """Look whether the history still ends as we know it."""
        length, tail = self._seen
        if not self._elsewhere:
            last = await self._house.history.load(self._session, max(length - 1, 0))
            self._elsewhere = [uid_of(element) for element in last] != [tail]
            self._pause = min(self._pause * 1.5, LOOK_SECONDS[1])
        self._look_later()

    def _look_later(self) -> None:
        at = self._loop.time() + self._pause * self._house.rng.uniform(0.9, 1.1)
        self._look_at = math.ceil(at / TOGETHER_SECONDS) * TOGETHER_SECONDS

    async def _wait(self, until: float) -> None:
        self._waiter = self._loop.create_future()
        timer = self._loop.call_at(until, self.wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None
