"""The port to the stored histories. `memory_history` is its twin for tests and simulations, `redis_history` the real one.

A history is a list of opaque elements; `workflows.events` knows what is in them. The rules of the five calls are those of
`docs/format.md`; each call is one atomic script in the store and each returns the store's clock.
"""

import zlib
from collections.abc import Awaitable, Iterable
from typing import Literal, Protocol

import msgspec

PARTITIONS = 256
PAGE = 500
"""Elements a call returns at most; a longer history is read in pages, so that no reply stalls the loop."""

LEASE_MS = 5_000
"""How long a node may be silent before another one takes its outstanding turns over: a caller's patience."""

APART_MS = 400
"""Those who are refused the claim to sweep ask again in turn, so far apart: a fleet's asking costs the same however large it is."""


def partition_of(session: str) -> int:
    """The partition that holds all keys of a session: crc32 of its UTF-8 bytes, modulo PARTITIONS."""
    return zlib.crc32(session.encode()) % PARTITIONS


class Alarm(msgspec.Struct, frozen=True, gc=False):
    """An entry of the `due` index: step `step` of generation `gen` wants to be fired at `at`, ms of the store's clock."""

    gen: int
    step: str
    at: int


class Append(msgspec.Struct, frozen=True, gc=False):
    """Events to add behind an exactly known tail, with what they change in the indexes. Without events: a claim or a release.

    `length` and `tail` (the last event's 8-byte uid, empty at length 0) name the history that the caller has replayed. `release`: nothing
    is outstanding after these events, so the session needs no lease. `progress`: something that was owed no longer is, so take-overs are
    counted anew. `keep_until`: when the history may expire, ms; None keeps it. An alarm that is both cleared and set
    stays set.
    """

    session: str
    length: int
    tail: bytes
    events: tuple[bytes, ...] = ()
    release: bool = True
    progress: bool = False
    keep_until: int | None = None
    alarms_set: tuple[Alarm, ...] = ()
    alarms_cleared: tuple[tuple[int, str], ...] = ()


class Restart(msgspec.Struct, frozen=True, gc=False):
    """A new generation in the place of the old one, checked like an `Append`. `alarms_cleared` names all alarms of the old one.

    `keep_old_until`: the old list is kept aside under its `old_gen` until then (a failed generation, for a post-mortem); None drops it.
    """

    session: str
    length: int
    tail: bytes
    events: tuple[bytes, ...]
    old_gen: int
    release: bool = True
    progress: bool = False
    keep_until: int | None = None
    keep_old_until: int | None = None
    alarms_set: tuple[Alarm, ...] = ()
    alarms_cleared: tuple[tuple[int, str], ...] = ()


class Reply(msgspec.Struct, frozen=True, gc=False):
    """What the store says to an append or a restart.

    `status`: `ok`; `again` (these very events are the tail already: the former reply was lost); `conflict` (nothing was written, and
    `elements` is the slice from `max(length - 1, 0)`, at most PAGE + 1 of them). `length` is the history's length now. `owner` is who
    holds the lease after the call (`node.boot`, or None), `mine` whether that is us. `attempts`: how often the lease was taken over
    since it last came with events; an expired lease may still be named after a conflict.
    """

    status: Literal["ok", "again", "conflict"]
    length: int
    owner: str | None
    mine: bool
    attempts: int
    elements: tuple[bytes, ...] = ()


class Renewal(msgspec.Struct, frozen=True, gc=False):
    """Whether the lease is still ours, and the history's length and tail, which show inputs that came in by another replica."""

    mine: bool
    length: int
    tail: bytes


class Overdue(msgspec.Struct, frozen=True, gc=False):
    """What the sweeper found: sessions whose lease ran out (now ours), with their attempts, and alarms.

    Both come in the order of their times, one partition after the other. `Alarm.at` is the due time when an alarm is handed out for the
    first time, and the present when a former sweep handed it out and nobody fired it. `ask_again`: another node sweeps, the rest is empty,
    and in so many ms it is our turn to ask again. `missed`: so many of the partitions could not be looked at, for the store.
    """

    ask_again: int = 0
    pending: tuple[tuple[str, int], ...] = ()
    due: tuple[tuple[str, Alarm], ...] = ()
    missed: int = 0

    @property
    def swept_by_other(self) -> bool:
        """Whether another node sweeps."""
        return self.ask_again > 0


class Indexes(msgspec.Struct, frozen=True, gc=False):
    """What the indexes of one partition hold, for those who look after a store: a look, not a snapshot.

    `pending`: lease deadlines by session, ms. `owner`: who holds or held the lease, and the attempts, by session. `due`: sessions with
    their alarms, in the order of their scores, of which `Alarm.at` is the whole part (see `History.peek` for what a score is worth).
    """

    pending: dict[str, int]
    owner: dict[str, tuple[str, int]]
    due: tuple[tuple[str, Alarm], ...]


class History(Protocol):
    """The stored histories of all sessions, as one node sees them.

    Every call may raise `StoreError`. When it does, the outcome is unknown: the caller sends the very same value once more, and if that
    fails too it forgets what it knew and loads again.
    """

    def now(self) -> int:
        """The store's clock as this node knows it, ms since the epoch: a TIME that it told, plus our monotonic clock since.

        Never ahead of the store's, and behind it by no more than the fastest reply took. It goes back only if the store's clock did.
        """
        ...

    @property
    def latency(self) -> tuple[int, float]:
        """How many scripts were called, and the seconds that all of them took."""
        ...

    async def open(self) -> None:
        """Connect, check `sb:meta` (`FormatError` when it names another format or partition count) and learn the store's time."""
        ...

    async def close(self) -> None:
        """Give the connections back, also after a failed `open`. The histories stay; every later call fails."""
        ...

    async def load(self, session: str, start: int = 0) -> tuple[bytes, ...]:
        """Up to PAGE elements from position `start`; fewer than PAGE means that the end was reached."""
        ...

    def append(self, command: Append) -> Awaitable[Reply]:
        """Compare the tail, then append, set the indexes and take or give back the lease, all or nothing."""
        ...

    def restart(self, command: Restart) -> Awaitable[Reply]:
        """Compare the tail, then replace the history by a new generation, all or nothing."""
        ...

    async def renew(self, session: str) -> Renewal:
        """Keep the lease for another LEASE_MS if it is ours."""
        ...

    async def peek(self, partition: int, limit: int, ahead_ms: int, *, count: int = 1, claimed: bool = False) -> Overdue:
        """Take over up to `limit` sessions whose lease ran out, and hand out up to `limit` alarms that are due within `ahead_ms`.

        That is of each of `count` partitions from this one on. The first node to peek holds the claim of this partition until LEASE_MS
        after its last peek; others are told when to ask again, each at another time. `claimed` asks for no claim: whoever sweeps all
        partitions holds that of the first. A claim saves work and protects nothing.

        A take-over counts as an attempt; a lease that we ourselves let run out is only renewed. An alarm that is handed out is hidden
        from every sweep until a second after its time, by its score in the index (`ahead_ms` more than that). So the score is no due
        time any more, and needs not be: the history is the truth. The handler takes the time from its run, fires at once what is overdue
        there and waits for the rest; its append clears the entry. If the node dies first, a later sweep meets the entry, marked as
        handed out before, and it is due at once.
        """
        ...

    async def hand_over(self, sessions: Iterable[str]) -> None:
        """Let our leases on these sessions run out now, and the first partition's claim if we sweep: whoever sweeps next goes on at once.

        Nothing of what they owe may be under way here any more. To the others it is as if time had passed, but that hand-overs, however
        many, count as one attempt at most.
        """
        ...

    async def clear_due(self, session: str, gen: int, step: str) -> bool:
        """Drop a due entry of a session that has no history at all; False (and nothing done) when it has one."""
        ...

    async def forget(self, session: str) -> bool:
        """Drop a session's history and its lease; False when there was none."""
        ...

    async def sessions(self, limit: int) -> tuple[str, ...]:
        """The keys of up to `limit` sessions, for people and for `replay --all`; in no order."""
        ...

    async def indexes(self, partition: int) -> Indexes:
        """All that the indexes of a partition hold; nothing is taken over, handed out or renewed."""
        ...

    async def expires_in(self, session: str) -> int | None:
        """How long a history is kept from now on, ms; None when it does not expire, or when there is none."""
        ...
