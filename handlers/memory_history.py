"""The histories in memory: the twin of the store, for tests, simulations and rehearsals. It does what the scripts do, to the letter."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from handlers.history import (
    APART_MS,
    LEASE_MS,
    PAGE,
    Alarm,
    Append,
    Indexes,
    Overdue,
    Renewal,
    Reply,
    Restart,
    partition_of,
)
from workflows.events import uid_of

T = TypeVar("T")

GRACE_MS = 1_000.5
"""How long after its time an alarm that was handed out is seen again; see `peek.lua` for the half."""

FAR_MS = 30_000
"""What a claim says of a time further away is as good as nothing; see `peek.lua`."""


@dataclass(slots=True)
class Stored:
    """A list of elements, and until when it is kept, ms."""

    elements: list[bytes]
    until: int | None = None


@dataclass(slots=True)
class Partition:
    """The indexes of one partition: deadlines, (boot, attempts), due times by member, and (boot, until, last turn) of the sweep.

    Half a millisecond in a deadline marks what was handed over; see `shared.lua`.
    """

    pending: dict[str, float] = field(default_factory=dict)
    owner: dict[str, tuple[str, int]] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)
    sweep: tuple[str, int, int] | None = None


@dataclass(slots=True)
class MemoryStore:
    """What several nodes share. A deep copy is a replica, and going back to one is a failover that lost what came since.

    `old` holds the generations put aside, by `<session>/<gen>`.
    """

    histories: dict[str, Stored] = field(default_factory=dict)
    old: dict[str, Stored] = field(default_factory=dict)
    partitions: defaultdict[int, Partition] = field(default_factory=lambda: defaultdict(Partition))


class MemoryHistory:
    """The histories in `store`, as the node `boot` sees them. `now` is the store's clock, ms since the epoch.

    Every call goes through `carry`: a subclass that overrides it can lose, delay or repeat calls and replies.
    """

    def __init__(self, store: MemoryStore, boot: str, now: Callable[[], int]) -> None:
        self.store = store
        self._boot = boot
        self._now = now

    async def carry(self, script: Callable[[], T]) -> T:
        """Bring one atomic script to the store and its reply back. A `StoreError` raised here is a reply that never came."""
        await asyncio.sleep(0)  # as with a real store, others get their turn meanwhile
        return script()

    @property
    def latency(self) -> tuple[int, float]:
        """See `History`: it takes no time."""
        return 0, 0.0

    def now(self) -> int:
        """See `History`."""
        return self._now()

    async def open(self) -> None:
        """See `History`."""

    async def close(self) -> None:
        """See `History`."""

    async def load(self, session: str, start: int = 0) -> tuple[bytes, ...]:
        """See `History`."""
        return await self.carry(lambda: tuple(self._elements(session)[start : start + PAGE]))

    async def append(self, command: Append) -> Reply:
        """See `History`."""
        return await self.carry(lambda: self._write(command))

    async def restart(self, command: Restart) -> Reply:
        """See `History`."""
        return await self.carry(lambda: self._write(command))

    async def renew(self, session: str) -> Renewal:
        """See `History`."""
        return await self.carry(lambda: self._renew(session))

    async def peek(self, partition: int, limit: int, ahead_ms: int, *, count: int = 1, claimed: bool = False) -> Overdue:
        """See `History`."""
        return await self.carry(lambda: self._sweep(range(partition, partition + count), limit, ahead_ms, claimed=claimed))

    async def hand_over(self, sessions: Iterable[str]) -> None:
        """See `History`."""
        await self.carry(lambda: self._hand_over(sessions))

    async def clear_due(self, session: str, gen: int, step: str) -> bool:
        """See `History`."""
        return await self.carry(lambda: self._clear_due(session, gen, step))

    async def forget(self, session: str) -> bool:
        """See `History`."""
        return await self.carry(lambda: self._forget(session))

    async def sessions(self, limit: int) -> tuple[str, ...]:
        """See `History`."""
        return await self.carry(lambda: tuple(session for session in tuple(self.store.histories) if self._elements(session))[:limit])

    async def indexes(self, partition: int) -> Indexes:
        """See `History`."""
        return await self.carry(lambda: self._indexes(self.store.partitions[partition]))

    async def expires_in(self, session: str) -> int | None:
        """See `History`."""
        return await self.carry(lambda: self._expires_in(session))

    def _elements(self, session: str) -> list[bytes]:
        stored = self.store.histories.get(session)
        if stored is None:
            return []
        if stored.until is not None and stored.until < self._now():
            del self.store.histories[session]
            return []
        return stored.elements

    def _tail(self, session: str) -> bytes:
        elements = self._elements(session)
        return uid_of(elements[-1]) if elements else b""

    def _write(self, command: Append | Restart) -> Reply:
        session, events, now = command.session, command.events, self._now()
        elements, tail = self._elements(session), self._tail(session)
        kept = [] if isinstance(command, Restart) else elements
        again = len(kept) if isinstance(command, Restart) else command.length
        if events and len(elements) == again + len(events) and tail == uid_of(events[-1]):
            self._keep_lease(session, now)
            return self._reply("again", session, len(elements))
        if (len(elements), tail) != (command.length, command.tail):
            start = max(command.length - 1, 0)
            self._keep_lease(session, now)
            return self._reply("conflict", session, len(elements), elements[start : start + PAGE + 1])

        if isinstance(command, Restart) and elements and command.keep_old_until is not None:
            _put(self.store.old, f"{session}/{command.old_gen}", Stored(elements, command.keep_old_until), now)
        _put(self.store.histories, session, Stored([*kept, *events], command.keep_until), now)
        indexes = self.store.partitions[partition_of(session)]
        for gen, step in command.alarms_cleared:
            indexes.due.pop(f"{session} {gen}/{step}", None)
        for alarm in command.alarms_set:
            indexes.due[f"{session} {alarm.gen}/{alarm.step}"] = alarm.at
        self._lease(indexes, session, now, release=command.release, progress=command.progress)
        return self._reply("ok", session, len(kept) + len(events))

    def _lease(self, indexes: Partition, session: str, now: int, *, release: bool, progress: bool) -> None:
        holder, attempts = indexes.owner.get(session, (self._boot, 0))
        if progress and attempts:
            attempts = 0
            indexes.owner[session] = (holder, 0)
        if holder != self._boot and indexes.pending.get(session, 0) >= now:
            return
        if release:
            indexes.owner.pop(session, None)
            indexes.pending.pop(session, None)
            return
        if holder != self._boot:
            attempts = _counted(attempts, indexes.pending.get(session, 0))
        indexes.owner[session] = (self._boot, attempts)
        indexes.pending[session] = now + LEASE_MS

    def _keep_lease(self, session: str, now: int) -> None:
        indexes = self.store.partitions[partition_of(session)]
        if session in indexes.owner and indexes.owner[session][0] == self._boot:
            indexes.pending[session] = now + LEASE_MS

    def _reply(self, status: Literal["ok", "again", "conflict"], session: str, length: int, elements: Sequence[bytes] = ()) -> Reply:
        owner, attempts = self.store.partitions[partition_of(session)].owner.get(session, (None, 0))
        return Reply(status, length, owner, owner == self._boot, attempts, tuple(elements))

    def _renew(self, session: str) -> Renewal:
        indexes = self.store.partitions[partition_of(session)]
        mine = session in indexes.owner and indexes.owner[session][0] == self._boot
        if mine:
            indexes.pending[session] = self._now() + LEASE_MS
        return Renewal(mine, len(self._elements(session)), self._tail(session))

    def _hand_over(self, sessions: Iterable[str]) -> None:
        now = self._now()
        for session in sessions:
            indexes = self.store.partitions[partition_of(session)]
            if indexes.owner.get(session, ("", 0))[0] == self._boot:
                indexes.pending[session] = now - 0.5
        first = self.store.partitions[0]
        if first.sweep is not None and first.sweep[0] == self._boot:
            first.sweep = None

    def _sweep(self, partitions: range, limit: int, ahead_ms: int, *, claimed: bool) -> Overdue:
        ask_again = 0 if claimed else self._claim(self.store.partitions[partitions[0]])
        if ask_again:
            return Overdue(ask_again)
        found = [self._peek(self.store.partitions[partition], limit, ahead_ms) for partition in partitions]
        return Overdue(0, tuple(one for each in found for one in each.pending), tuple(one for each in found for one in each.due))

    def _claim(self, indexes: Partition) -> int:
        now = self._now()
        holder, until, turn = indexes.sweep or (self._boot, 0, 0)
        if until < now:
            holder, turn = self._boot, 0
        if turn > now + FAR_MS:
            turn = 0
        if until > now + FAR_MS:
            holder = self._boot
        if holder != self._boot:
            turn = max(turn, now) + APART_MS
            indexes.sweep = (holder, until, turn)
            return max(turn, until + 1) - now
        indexes.sweep = (self._boot, now + LEASE_MS, turn)
        return 0

    def _peek(self, indexes: Partition, limit: int, ahead_ms: int) -> Overdue:
        now = self._now()
        pending = []
        for session, deadline in [(session, deadline) for session, deadline in _by_score(indexes.pending) if deadline < now][:limit]:
            holder, before = indexes.owner.get(session, ("", 0))
            attempts = before if holder == self._boot else _counted(before, deadline)
            indexes.owner[session] = (self._boot, attempts)
            indexes.pending[session] = now + LEASE_MS
            pending.append((session, attempts))
        due = []
        for member, at in [(member, at) for member, at in _by_score(indexes.due) if at <= now + ahead_ms][:limit]:
            due_at = int(at) if at == int(at) else now
            indexes.due[member] = max(due_at, now) + ahead_ms + GRACE_MS
            due.append(_alarm(member, due_at))
        return Overdue(pending=tuple(pending), due=tuple(due))

    def _clear_due(self, session: str, gen: int, step: str) -> bool:
        if self._elements(session):
            return False
        self.store.partitions[partition_of(session)].due.pop(f"{session} {gen}/{step}", None)
        return True

    def _indexes(self, indexes: Partition) -> Indexes:
        due = tuple(_alarm(member, int(at)) for member, at in _by_score(indexes.due))
        return Indexes({session: int(at) for session, at in indexes.pending.items()}, dict(indexes.owner), due)

    def _expires_in(self, session: str) -> int | None:
        until = self.store.histories[session].until if self._elements(session) else None
        return None if until is None else until - self._now()

    def _forget(self, session: str) -> bool:
        existed = bool(self._elements(session))
        self.store.histories.pop(session, None)
        indexes = self.store.partitions[partition_of(session)]
        indexes.owner.pop(session, None)
        indexes.pending.pop(session, None)
        return existed


def _counted(attempts: int, deadline: float) -> int:
    return attempts + 1 if deadline % 1 == 0 else max(attempts, 1)


def _alarm(member: str, at: int) -> tuple[str, Alarm]:
    session, _, name = member.rpartition(" ")
    gen, _, step = name.partition("/")
    return session, Alarm(int(gen), step, at)


def _by_score(index: Mapping[str, float]) -> list[tuple[str, float]]:
    """In the order of a sorted set: by score, then by name."""
    return sorted(index.items(), key=lambda entry: (entry[1], entry[0]))


def _put(lists: dict[str, Stored], name: str, stored: Stored, now: int) -> None:
    """Set a list as the store would: an empty or expired one does not exist."""
    if stored.elements and (stored.until is None or stored.until > now):
        lists[name] = stored
    else:
        lists.pop(name, None)
