"""What one incarnation knows of a session: how long its history is, its tail, and the run that has replayed it."""

import asyncio
from typing import Any, Literal

from handlers.history import PAGE, History
from workflows.errors import NondeterminismError, UndecodableError
from workflows.events import AnyEvent, Heard, Opened, decode, uid_of
from workflows.registry import Registry
from workflows.run import Run

SLICE_SECONDS = 0.002
"""How long a replay may keep the loop before others get their turn."""

STRETCH = 16
"""Events between two looks at the clock."""

NOWHERE = (0, b"")

State = Literal["unknown", "absent", "live", "diverged", "quarantined"]


class Record:
    """A history as far as it is acknowledged, and its run.

    Attributes:
        state: `unknown` (to be loaded), `absent` (there is no history), `live` (there is a run; it may have ended or failed),
            `diverged` (the code does not repeat what is on record) or `quarantined` (an element cannot be read).
        problem: for people, when diverged or quarantined.
        run: the run, when live. `opened`: its opening, also when diverged.
        length, tail: how many events are on record, and the uid of the last one.
        via: the connection by which the caller spoke last, on channels where a session outlives its connections.
        lives: how often what was known proved to belong to another life of the session (failover, forget, restart elsewhere).
    """

    __slots__ = ("_anchor", "_history", "_registry", "length", "lives", "opened", "problem", "run", "session", "state", "tail", "via")

    def __init__(self, session: str, history: History, registry: Registry) -> None:
        self.session = session
        self.state: State = "unknown"
        self.problem = ""
        self.run: Run | None = None
        self.opened: Opened | None = None
        self.length = 0
        self.tail = b""
        self.via: str | None = None
        self.lives = 0
        self._anchor = NOWHERE
        self._history = history
        self._registry = registry

    @property
    def about(self) -> dict[str, Any]:
        """What a line of the log about it says: the session, and the number of the turn that it is at."""
        turn = None if self.run is None else self.run.turns.current
        return {"session": self.session, "turn": None if turn is None else turn.number}

    @property
    def broken(self) -> bool:
        """Whether nobody can go on with it: its code has to be mended first."""
        return self.state in ("diverged", "quarantined")

    def drop(self) -> None:
        """Forget the run; the next look loads it again, and finds out whether that continues what was known."""
        if self.length:
            self._anchor = (self.length, self.tail)
        if self.run is not None:
            self.run.close()
            self.run = None
        self.opened = self.via = None
        self.state, self.problem, self.length, self.tail = "unknown", "", 0, b""

    async def load(self) -> None:
        """Read the whole history and replay it, in slices. Raises `StoreError`."""
        self.drop()
        anchor = self._anchor
        try:
            while not await self._load_pages():
                self.drop()
                self._anchor = anchor
        except BaseException:
            self.drop()
            self._anchor = anchor
            raise
        if self._anchor != NOWHERE:
            self.lives += 1
            self._anchor = NOWHERE

    async def _load_pages(self) -> bool:
        """Read page after page, each from the last element of the page before; False when that is another one by now.

        The next page is on its way while one is replayed.
        """
        page = await self._history.load(self.session)
        new = page
        while len(page) == PAGE:
            ahead = asyncio.create_task(self._history.load(self.session, self.length + len(new) - 1))
            try:
                await self.extend(new)
                last, page = page[-1], await ahead
            finally:
                ahead.cancel()
                ahead.add_done_callback(_look_away)
            if page[:1] != (last,):
                return False
            new = page[1:]
        await self.extend(new)
        if self.state == "unknown":
            self.state = "absent"
        return True

    async def extend(self, elements: tuple[bytes, ...]) -> None:
        """Replay what follows, in slices."""
        time = asyncio.get_running_loop().time
        until = time() + SLICE_SECONDS
        for start in range(0, len(elements), STRETCH):
            self._take(elements[start : start + STRETCH])
            if time() >= until:
                await asyncio.sleep(0)
                until = time() + SLICE_SECONDS

    def _take(self, elements: tuple[bytes, ...]) -> None:
        try:
            run = self.run
            for element in elements:
                if run is not None:
                    event = decode(element)
                    if isinstance(event, Heard) and "via" in event.payload:
                        self.heed(event)
                    run.feed(event)
                elif not self.broken:
                    run = self._begin(decode(element))
        except UndecodableError as error:
            self._give_up("quarantined", error)
        except NondeterminismError as error:
            self._give_up("diverged", error)
        length, uid = self._anchor
        if self.length < length <= self.length + len(elements) and uid_of(elements[length - self.length - 1]) == uid:
            self._anchor = NOWHERE
        self.length += len(elements)
        self.tail = uid_of(elements[-1])

    def _begin(self, event: AnyEvent) -> Run:
        if not isinstance(event, Opened):
            raise UndecodableError("the history does not begin with an opening")
        self.heed(event)
        self.opened = event
        run = self.run = Run(self.session, event, self._registry)
        self.state = "live"
        return run

    def heed(self, event: AnyEvent) -> None:
        """Note the connection by which an opening or an input came."""
        if isinstance(event, Heard):
            if "via" in event.payload:
                self.via = event.payload["via"]
        elif isinstance(event, Opened):
            self.via = event.facts.get("via")

    def _give_up(self, state: State, error: Exception) -> None:
        self.state, self.problem = state, str(error)
        if self.run is not None:
            self.run.close()
            self.run = None


def _look_away(task: asyncio.Task[Any]) -> None:
    """Whoever waited for it has met another end: what it came to is no news."""
    if not task.cancelled():
        task.exception()
