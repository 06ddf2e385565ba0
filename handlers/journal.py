"""A session as one incarnation knows it: how long its history is, its tail, and the run that has replayed it.

The order of things is always: feed on trust, append, and only then show. `append` does the first two; what the run says may leave the
process when it has returned True. A run that was fed on trust and whose append did not succeed is closed and never fed again.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Literal, TypeVar

import msgspec

from handlers.errors import StoreError
from handlers.history import PAGE, Alarm, Append, History, Reply, Restart
from workflows.errors import NondeterminismError, UndecodableError
from workflows.events import UID_BYTES, AnyEvent, Fired, Heard, Left, Memo, Opened, Sent, decode, encode, uid_of
from workflows.registry import Registry
from workflows.run import Run
from workflows.turns import Answer

SLICE_SECONDS = 0.002
"""How long a replay may keep the loop before others get their turn."""

WATCH = "errands"
"""The step name of the slow due entry of a session that waits for errands; it is no step of the run and is never recorded."""

WATCH_MS = 6 * 3_600_000

State = Literal["unknown", "absent", "live", "diverged", "quarantined"]

E = TypeVar("E", Heard, Left, Memo, Fired, Sent)


class Journal:
    """One session's history and run.

    Attributes:
        state: `unknown` (to be loaded), `absent` (there is no history), `live` (there is a run; it may have ended or failed),
            `diverged` (the code does not repeat what is on record) or `quarantined` (an element cannot be read).
        problem: for people, when diverged or quarantined.
        run: the run, when live.
        length, tail: of the history, as far as it is acknowledged.
        mine: whether we hold the lease. `owner`: who does.
    """

    __slots__ = (
        "_history",
        "_registry",
        "_restore",
        "_rng",
        "_ttl",
        "length",
        "mine",
        "owner",
        "problem",
        "run",
        "session",
        "state",
        "tail",
    )

    def __init__(self, session: str, history: History, registry: Registry, rng: Random, ttl_ms: int) -> None:
        self.session = session
        self.state: State = "unknown"
        self.problem = ""
        self.run: Run | None = None
        self.length = 0
        self.tail = b""
        self.mine = False
        self.owner: str | None = None
        self._history = history
        self._registry = registry
        self._rng = rng
        self._ttl = ttl_ms
        self._restore = False

    def assume_absent(self) -> None:
        """The channel knows that this session is new; the append will tell if it is not."""
        self.state, self.length, self.tail = "absent", 0, b""

    def drop(self) -> None:
        """Forget everything; the next look loads it again."""
        if self.run is not None:
            self.run.close()
            self.run = None
        self.state, self.length, self.tail = "unknown", 0, b""
        self.mine, self.owner = False, None

    # -- reading ---------------------------------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read the whole history and replay it, in slices. Raises `StoreError`."""
        self.drop()
        self.state = "absent"
        start = 0
        while True:
            page = await self._history.load(self.session, start)
            await self._replay(page)
            start += len(page)
            if len(page) < PAGE:
                break
        self._restore = True

    async def recall(self, turn: int | str) -> Answer | None:
        """The answer to a turn that the run no longer remembers, by replaying from the start; None if there was no such turn."""
        found: Answer | None = None
        run: Run | None = None
        start = 0
        until = time.monotonic() + SLICE_SECONDS
        while found is None:
            page = await self._history.load(self.session, start)
            start += len(page)
            for element in page:
                event = decode(element)
                if run is None:
                    assert isinstance(event, Opened)
                    run = Run(self.session, event, self._registry)
                else:
                    run.feed(event)
                found = find_answer(run, turn)
                if found is not None and found.state != "running":
                    break
                found = None
                until = await _breathe(until)
            if len(page) < PAGE:
                break
        if run is not None:
            run.close()
        return found

    async def _replay(self, elements: Sequence[bytes]) -> None:
        until = time.monotonic() + SLICE_SECONDS
        for element in elements:
            self._replay_one(element)
            until = await _breathe(until)

    def _replay_one(self, element: bytes) -> None:
        self.length += 1
        self.tail = uid_of(element)
        if self.state in ("diverged", "quarantined"):
            return
        try:
            event = decode(element)
            if self.run is not None:
                self.run.feed(event)
            elif isinstance(event, Opened):
                self.run = Run(self.session, event, self._registry)
                self.state = "live"
            else:
                self._give_up("quarantined", UndecodableError("the history does not begin with an opening"))
        except UndecodableError as error:
            self._give_up("quarantined", error)
        except NondeterminismError as error:
            self._give_up("diverged", error)

    def _give_up(self, state: State, error: Exception) -> None:
        self.state, self.problem = state, str(error)
        if self.run is not None:
            self.run.close()
            self.run = None

    # -- writing ---------------------------------------------------------------------------------------------------------------------------

    def event(self, kind: Callable[..., E], *fields: object) -> E:
        """The next event of the run, stamped with the store's time and the run's checksums."""
        run = self.run
        assert run is not None
        return kind(max(self._history.now(), run.now), run.shape(), run.words(), *fields)

    async def open(self, opened: Opened, words: tuple[str, str, dict[str, object]] | None = None, *, busy: Callable[[Run], bool]) -> bool:
        """Begin the session with an opening and, where the first words come with it, those. False: it is there already (and loaded now)."""
        run = self.run = Run(self.session, opened, self._registry)
        self.state = "live"
        events: list[AnyEvent] = [opened]
        alarms = dict(run.progress.alarms_set)
        if words is not None:
            events.append(self.event(Heard, *words))
            progress = run.feed(events[-1])
            alarms |= progress.alarms_set
        alarms = {step: at for step, at in alarms.items() if step in run.alarms}
        return await self._commit(events, alarms, [], watched=False, busy=busy)

    async def append(self, event: AnyEvent, *, busy: Callable[[Run], bool]) -> bool:
        """Feed an event on trust and append it, with what it changes in the indexes.

        `busy` tells, after the feeding, whether work is outstanding (then the lease is taken or kept). False: somebody else wrote in
        between; the journal is fresh now and the event is not on record. Raises `StoreError`; the journal is unknown then.
        """
        run = self.run
        assert run is not None
        watched = self._watches(run)
        progress = run.feed(event)
        alarms_set, alarms_cleared = progress.alarms_set, progress.alarms_cleared
        if run.failure is not None:  # what a bug left half done is not what the fixed code will want
            alarms_set, alarms_cleared = {}, []
        return await self._commit([event], alarms_set, alarms_cleared, watched=watched, busy=busy)

    async def claim(self, *, busy: Callable[[Run], bool], drop_alarm: tuple[int, str] | None = None) -> bool:
        """Append nothing: confirm the tail, take or give back the lease, put wanted alarms back. False as in `append`."""
        run = self.run
        assert run is not None
        return await self._commit([], {}, [], watched=self._watches(run), busy=busy, drop_alarm=drop_alarm)

    async def restart(self, opened: Opened, queued: Sequence[Heard | Left], *, keep_old: bool, busy: Callable[[Run], bool]) -> bool:
        """Replace the generation by a new one. False as in `append`."""
        old = self.run
        old_gen = old.opened.gen if old is not None else opened.gen - 1
        cleared = [(old.opened.gen, step) for step in old.alarms] if old is not None else []
        if old is not None and self._watches(old):
            cleared.append((old.opened.gen, WATCH))
        run = Run(self.session, opened, self._registry)
        events: list[AnyEvent] = [opened]
        for event in queued:
            at, shape, words = max(opened.at, run.now), run.shape(), run.words()
            events.append(msgspec.structs.replace(event, at=at, shape=shape, words=words))
            run.feed(events[-1])
        self.run = run
        self.state = "live"
        if old is not None:
            old.close()
        elements = self._encode(events)
        release = not busy(run)
        now = self._history.now()
        command = Restart(
            self.session,
            self.length,
            self.tail,
            elements,
            old_gen,
            release,
            self._keep_until(run, release=release),
            now + 7 * 86_400_000 if keep_old else None,
            self._alarms(run, run.alarms, watched=False),
            tuple(cleared),
        )
        return await self._send(command, elements, self._history.restart)

    def _encode(self, events: Sequence[AnyEvent]) -> tuple[bytes, ...]:
        return tuple(encode(event, self._rng.randbytes(UID_BYTES)) for event in events)

    async def _commit(
        self,
        events: Sequence[AnyEvent],
        alarms_set: dict[str, int],
        alarms_cleared: Sequence[str],
        *,
        watched: bool,
        busy: Callable[[Run], bool],
        drop_alarm: tuple[int, str] | None = None,
    ) -> bool:
        run = self.run
        assert run is not None
        release = not busy(run)
        gen = run.opened.gen
        if self._restore:  # the first append after a load puts back what the index may have lost
            alarms_set, watched = run.alarms if run.failure is None else {}, False
        cleared = tuple([(gen, step) for step in alarms_cleared])
        if watched and not self._watches(run):
            cleared += ((gen, WATCH),)
        if drop_alarm is not None:
            cleared += (drop_alarm,)
        elements = self._encode(events)
        command = Append(
            self.session,
            self.length,
            self.tail,
            elements,
            release,
            self._keep_until(run, release=release),
            self._alarms(run, alarms_set, watched=watched),
            cleared,
        )
        return await self._send(command, elements, self._history.append)

    async def _send(self, command: Append | Restart, elements: tuple[bytes, ...], call: Callable[..., object]) -> bool:
        try:
            try:
                reply: Reply = await call(command)  # type: ignore[misc]  # one of the history's own two methods
            except StoreError:
                reply = await call(command)  # type: ignore[misc]  # the very same bytes: if they are there already, the store says so
        except BaseException:
            self.drop()
            raise
        if reply.status == "conflict":
            return await self._settle_conflict(command, elements, reply)
        self.length = len(elements) if isinstance(command, Restart) else self.length + len(elements)
        if elements:
            self.tail = uid_of(elements[-1])
        self._restore = False
        self.mine, self.owner = reply.mine, reply.owner
        return True

    async def _settle_conflict(self, command: Append | Restart, elements: tuple[bytes, ...], reply: Reply) -> bool:
        """Somebody else wrote. Were ours among it (a lost reply), or can the run take the rest, or must everything go?"""
        joined = list(reply.elements)
        if command.length > 0 and joined and uid_of(joined[0]) == command.tail and isinstance(command, Append):
            joined = joined[1:]
        elif command.length > 0 or isinstance(command, Restart):
            await self.load()
            return False
        ours = tuple(joined[: len(elements)]) == elements
        if (elements and not ours) or len(reply.elements) > PAGE or self.run is None:
            await self.load()
            return False
        if elements:
            self.length += len(elements)
            self.tail = uid_of(elements[-1])
        self.mine, self.owner = reply.mine, reply.owner
        await self._replay(joined[len(elements) :])
        self._restore = True
        return bool(elements)

    def _watches(self, run: Run) -> bool:
        return not run.ended and run.failure is None and any(errand.state == "running" for errand in run.errands.values())

    def _alarms(self, run: Run, alarms: dict[str, int], *, watched: bool) -> tuple[Alarm, ...]:
        gen = run.opened.gen
        if not watched and self._watches(run):
            alarms = {**alarms, WATCH: self._history.now() + WATCH_MS}
        return tuple([Alarm(gen, step, at) for step, at in alarms.items()])

    def _keep_until(self, run: Run, *, release: bool) -> int | None:
        """When the history may expire: never while something is outstanding or an errand runs, else a ttl after the last promise."""
        if not release or self._watches(run):
            return None
        return max(self._history.now(), *run.alarms.values(), 0) + self._ttl


def find_answer(run: Run, turn: int | str, offset: int = 0, *, whole: bool = True) -> Answer | None:
    """The answer to a turn, by dedupe id or by number, if the run still remembers it."""
    turns = run.turns
    if isinstance(turn, str):
        found = turns.last.get(turn)
    else:
        found = next((each for each in reversed(turns.last.values()) if each.number == turn), None)
    return None if found is None else turns.answer(found, offset, whole=whole)


async def _breathe(until: float) -> float:
    """Let others have the loop when this slice is used up."""
    if time.monotonic() < until:
        return until
    await asyncio.sleep(0)
    return time.monotonic() + SLICE_SECONDS
