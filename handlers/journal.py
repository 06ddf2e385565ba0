"""A session's history, as it is written.

The order of things is always: feed on trust, append, and only then show. `append` does the first two; what the run says may leave the
process when it has returned True. A run that was fed on trust and whose append did not succeed is closed and never fed again.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from handlers.errors import StoreError, UnstorableError
from handlers.history import PAGE, Alarm, Append, Reply, Restart
from handlers.house import House
from handlers.recall import recall, recall_since
from handlers.record import Record
from handlers.tracebacks import without_values
from workflows.events import UID_BYTES, AnyEvent, Fired, Heard, Left, Memo, Opened, Sent, describe, encode, uid_of
from workflows.run import Run
from workflows.turns import Answer, Spoken

logger = logging.getLogger(__name__)

WATCH = "errands"
"""The step name of the slow due entry of a session that waits for errands; it is no step of the run and is never recorded."""

WATCH_MS = 6 * 3_600_000

KEPT_MS = 7 * 86_400_000
"""How long a failed generation is kept aside."""

TAKE_OVERS = 5
"""Take-overs without progress after which a session is left alone: it may be what kills the process."""

TRIES = 8
"""How often something is appended anew after others were faster; more than that and whoever wants it has to come again."""

E = TypeVar("E", Heard, Left, Memo, Fired, Sent)
C = TypeVar("C", bound=Append | Restart)


class Needs(Protocol):
    """What a session needs of its node, told by its run."""

    def lease(self, run: Run) -> bool:
        """Whether work is outstanding, so that somebody has to hold the lease."""
        ...

    def watch(self, run: Run) -> bool:
        """Whether somebody has to look after its errands from time to time."""
        ...

    def foresee(self, run: Run) -> None:
        """An event is about to be fed, or another generation to begin."""
        ...

    def lead(self, asked_at: float, since: int, *, sure: bool, taken_over: bool) -> None:
        """The store's reply to what was sent at `asked_at`, in seconds of the loop's clock, names us as the owner.

        If the lease was not ours until now, or that is in doubt, we lead from the event `since` on. `sure`: nobody can have led between
        this command and its reply, which a lost reply leaves open. `taken_over`: what is outstanding may have been another's before.
        """
        ...

    def step_down(self) -> None:
        """The lease is not ours, or nobody knows."""
        ...


class Journal(Record):
    """One session's history and run, for one incarnation.

    Attributes:
        mine: whether we hold the lease. `owner`: who does. `attempts`: take-overs since it was last handed over with progress.
    """

    __slots__ = ("_house", "_needs", "_restore", "_watched", "attempts", "mine", "owner")

    def __init__(self, session: str, house: House, needs: Needs) -> None:
        super().__init__(session, house.history, house.registry)
        self.mine = False
        self.owner: str | None = None
        self.attempts = 0
        self._house = house
        self._needs = needs
        self._restore = False
        self._watched = False

    @property
    def left_alone(self) -> bool:
        """Whether it is ours, but was taken over so often that it may be what kills the process."""
        return self.mine and self.attempts > TAKE_OVERS

    def assume_absent(self) -> None:
        """The channel knows that this session is new; the append will tell if it is not."""
        self.state = "absent"

    def drop(self) -> None:
        """See `Record.drop`."""
        super().drop()
        self.mine, self.owner, self.attempts = False, None, 0
        self._restore = True
        self._needs.step_down()

    async def load(self) -> None:
        """See `Record.load`."""
        self._house.counters["rehydrations"] += 1
        begun = time.perf_counter()
        await super().load()
        self._house.counters.rehydration.note(time.perf_counter() - begun)
        self._watched = self.run is not None and self._needs.watch(self.run)
        if self.broken:
            logger.error("the session is %s: %s", self.state, self.problem, extra=self.about)
        elif self.run is not None and self.run.failure is not None:
            logger.error("the session has failed: %s", without_values(self.run.failure.traceback), extra=self.about)

    async def recall(self, turn: int | str, offset: int = 0) -> Answer | None:
        """The answer to a turn that the run no longer remembers; see `handlers.recall`."""
        return await recall(self.session, self._history, self._registry, turn, offset)

    async def recall_since(self, after: tuple[int, int] | None) -> list[Spoken]:
        """What was said behind an output, if the run no longer remembers; see `handlers.recall`."""
        return await recall_since(self.session, self._history, self._registry, after)

    # -- writing ---------------------------------------------------------------------------------------------------------------------------

    def event(self, kind: Callable[..., E], *fields: object) -> E:
        """The next event of the run, stamped with the store's time and the run's checksums."""
        run = self.run
        assert run is not None
        return kind(max(self._history.now(), run.now), run.shape(), run.words(), *fields)

    async def open(self, opened: Opened, words: tuple[str, str, dict[str, Any]] | None = None) -> bool:
        """Begin the session with an opening and, where the first words come with it, those. False: it is there already (and loaded now)."""
        elements = [self._encode(opened)]
        run = self.run = Run(self.session, opened, self._registry)
        self.opened, self.state = opened, "live"
        if words is not None:
            heard = self.event(Heard, *words)
            try:
                elements.append(self._encode(heard))
            except UnstorableError:
                self.drop()
                raise
            run.feed(heard)
        return await self._append(tuple(elements), run.alarms, ())

    async def append(self, event: AnyEvent) -> bool:
        """Feed an event on trust and append it, with what it changes in the indexes.

        False: somebody else wrote in between; the journal is fresh now and the event is not on record. Raises `StoreError`; the journal is
        unknown then. Raises `UnstorableError`; nothing has happened then.
        """
        run = self.run
        assert run is not None
        element = self._encode(event)
        owed = tuple(run.calls.values())
        self._watched = self._watched or self._needs.watch(run)  # else an entry that another node has set would stay behind
        if run.turns.outgoing is not None:
            self._needs.foresee(run)
        run.feed(event)
        settled = isinstance(event, Sent) or any(run.calls.get(step.id) is not step for step in owed)
        return await self._append((element,), run.alarms_set, run.alarms_cleared, progress=settled)

    async def claim(self, *, drop: tuple[int, str] | None = None, put_off: Alarm | None = None) -> bool:
        """Append nothing: confirm the tail, take or give back the lease, put wanted alarms back. False as in `append`.

        `drop`: an entry of the due index (generation, step) that is not wanted. `put_off`: one that comes at another time.
        """
        return await self._append((), {}, (), drop=drop, put_off=put_off)

    async def release_nothing(self) -> bool:
        """Give back the lease of a session that has no history; False: it has one (loaded now)."""
        return await self._send(Append(self.session, 0, b""), self._history.append, watch=False)

    async def restart(self, opened: Opened, queued: Sequence[Heard | Left], *, keep_old: bool) -> bool:
        """Replace the generation by a new one; the old one is kept aside or dropped. False as in `append`."""
        old, old_opened = self.run, self.opened
        elements = [self._encode(opened)]
        cleared: list[tuple[int, str]] = []
        if old is not None:
            cleared = [(old.opened.gen, step) for step in (*old.alarms, WATCH)]
            if old.turns.outgoing is not None:
                self._needs.foresee(old)
            old.close()
        run = self.run = Run(self.session, opened, self._registry)
        self.opened, self.state = opened, "live"
        for event in queued:
            again = msgspec.structs.replace(event, at=max(opened.at, run.now), shape=run.shape(), words=run.words())
            elements.append(self._encode(again))
            run.feed(again)
        self._watched = False
        release, watch = not self._needs.lease(run), self._needs.watch(run)
        command = Restart(
            self.session,
            self.length,
            self.tail,
            tuple(elements),
            old_opened.gen if old_opened is not None else opened.gen - 1,
            release,
            True,  # what the old generation owed, nobody owes any more
            self._keep_until(run, release=release, watch=watch),
            self._history.now() + KEPT_MS if keep_old else None,
            self._alarms(run, run.alarms, watch=watch),
            tuple(cleared),
        )
        return await self._send(command, self._history.restart, watch=watch)

    def watch_again(self) -> None:
        """The slow due entry has come: the next append sets it anew."""
        self._watched = False

    # -- the commands ----------------------------------------------------------------------------------------------------------------------

    async def _append(
        self,
        elements: tuple[bytes, ...],
        alarms_set: dict[str, int],
        alarms_cleared: Sequence[str],
        *,
        progress: bool = False,
        drop: tuple[int, str] | None = None,
        put_off: Alarm | None = None,
    ) -> bool:
        run = self.run
        assert run is not None
        release, watch = not self._needs.lease(run), self._needs.watch(run)
        alarms: tuple[Alarm, ...] = ()
        cleared: tuple[tuple[int, str], ...] = ()
        if run.failure is None:  # else: what a bug left half done is not what the mended code will want
            if self._restore:  # the first append after a load puts back what the index may have lost
                alarms_set = run.alarms
            if alarms_set or watch:
                alarms = self._alarms(run, alarms_set, watch=watch)
            if alarms_cleared:
                cleared = tuple([(run.opened.gen, step) for step in alarms_cleared])
            if self._watched and not watch:
                cleared += ((run.opened.gen, WATCH),)
        if drop is not None:
            cleared += (drop,)
        if put_off is not None:
            alarms += (put_off,)
        keep_until = self._keep_until(run, release=release, watch=watch)
        command = Append(self.session, self.length, self.tail, elements, release, progress, keep_until, alarms, cleared)
        return await self._send(command, self._history.append, watch=watch)

    def _encode(self, event: AnyEvent) -> bytes:
        """Make an element of an event, before it is fed; its uid is drawn anew for each attempt."""
        try:
            element = encode(event, self._house.rng.randbytes(UID_BYTES))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise UnstorableError(f"{describe(event)} of {self.session} cannot be stored: {error}") from None
        self.heed(event)
        return element

    def _alarms(self, run: Run, alarms: dict[str, int], *, watch: bool) -> tuple[Alarm, ...]:
        gen = run.opened.gen
        if watch and (self._restore or not self._watched):
            # On a grid from the opening on: however often a session is loaded and its alarms put back, its watch does come.
            now = max(self._history.now(), gen)
            alarms = {**alarms, WATCH: now + WATCH_MS - (now - gen) % WATCH_MS}
        return tuple([Alarm(gen, step, at) for step, at in alarms.items()])

    def _keep_until(self, run: Run, *, release: bool, watch: bool) -> int | None:
        """When the history may expire: never while it owes something, wants an alarm or waits for an errand; else a ttl from now.

        An alarm's time plus the ttl would not do: if every node is down until then, the alarm is lost.
        """
        if not release or watch or run.alarms or (run.opened.parent is not None and not run.ended):
            return None
        return self._history.now() + self._house.ttl_ms

    async def _send(self, command: C, call: Callable[[C], Awaitable[Reply]], *, watch: bool) -> bool:
        """`watch`: whether the slow due entry is among what the command sets, or was set before."""
        asked_at = asyncio.get_running_loop().time()
        try:
            try:
                reply = await call(command)
            except StoreError:
                reply = await call(command)  # the very same bytes: if they are there already, the store says so
        except BaseException:
            self.drop()
            raise
        if reply.status == "conflict":
            return await self._settle_conflict(command, reply, asked_at)
        events = command.events
        before = 0 if isinstance(command, Restart) else self.length
        self.length = before + len(events)
        if events:
            self.tail = uid_of(events[-1])
        self._note(reply, asked_at, self.length if reply.status == "again" else before, command)
        self._restore = False
        if self.run is not None and self.run.failure is None:
            self._watched = watch
        return True

    async def _settle_conflict(self, command: Append | Restart, reply: Reply, asked_at: float) -> bool:
        """Somebody else wrote. Were ours among it (a lost reply), or can the run take the rest, or must everything go?"""
        events, elements = command.events, reply.elements
        joined = elements[1:] if command.length else elements
        continues = not command.length or [uid_of(element) for element in elements[:1]] == [command.tail]
        ours = joined[: len(events)] == events
        if isinstance(command, Restart) or self.run is None or not continues or not ours or len(elements) > PAGE:
            await self.load()
            return False
        self.length += len(events)
        if events:
            self.tail = uid_of(events[-1])
        self._note(reply, asked_at, reply.length, command)
        await self.extend(joined[len(events) :])
        self._restore = True
        return bool(events)

    def _note(self, reply: Reply, asked_at: float, since: int, command: Append | Restart) -> None:
        self.mine, self.owner, self.attempts = reply.mine, reply.owner, reply.attempts
        if reply.mine:
            sure = reply.status == "ok" or not command.events
            self._needs.lead(asked_at, since, sure=sure, taken_over=reply.attempts > 0 or not command.events)
        else:
            self._needs.step_down()
