"""The port to the stored histories, beside its in-memory twin.

A history is a list of opaque elements; `workflows.events` knows what is in them. The rules of the five calls are those of
`docs/format.md`; each call is one atomic script in the store and each returns the store's clock.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

PARTITIONS = 256
PAGE = 500
"""Elements a call returns at most; a longer history is read in pages, so that no reply stalls the loop."""

LEASE_MS = 5_000
"""How long a node may be silent before another one takes its outstanding turns over: a caller's patience."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An entry of the `due` index: step `step` of generation `gen` wants to be fired at `at`, ms of the store's clock."""

    gen: int
    step: str
    at: int


@dataclass(frozen=True, slots=True)
class Append:
    """Events to add behind an exactly known tail, with what they change in the indexes. Without events: a claim or a release.

    `length` and `tail` (the last event's 8-byte uid, empty at length 0) name the history that the caller has replayed. `release`: nothing
    is outstanding after these events, so the session needs no lease. `keep_until`: when the history may expire, ms; None keeps it.
    """

    session: str
    length: int
    tail: bytes
    events: tuple[bytes, ...] = ()
    release: bool = True
    keep_until: int | None = None
    alarms_set: tuple[Alarm, ...] = ()
    alarms_cleared: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Restart:
    """A new generation in the place of the old one, checked like an `Append`; the session's alarms are replaced by `alarms_set`.

    `keep_old_until`: the old list is kept aside under its `old_gen` until then (a failed generation, for a post-mortem); None drops it.
    """

    session: str
    length: int
    tail: bytes
    events: tuple[bytes, ...]
    old_gen: int
    release: bool = True
    keep_until: int | None = None
    keep_old_until: int | None = None
    alarms_set: tuple[Alarm, ...] = ()
    alarms_cleared: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """What the store says to an append or a restart.

    `status`: `ok`; `again` (these very events are the tail already: the former reply was lost); `conflict` (nothing was written: `elements` is
    the slice from `max(length - 1, 0)`, at most PAGE + 1 of them). `length` is the history's length now. `owner` is who holds the
    lease after the call (`node.boot`, or None), `mine` whether that is us, `attempts` the take-overs since the last progress.
    """

    status: Literal["ok", "again", "conflict"]
    length: int
    owner: str | None
    mine: bool
    attempts: int
    elements: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Renewal:
    """Whether the lease is still ours, and the history's length and tail, which show inputs that came in by another replica."""

    mine: bool
    length: int
    tail: bytes


@dataclass(frozen=True, slots=True)
class Overdue:
    """What the sweeper found in one partition: sessions whose lease ran out (now ours), with their attempts, and alarms.

    `swept_by_other` is true when another node sweeps the partition at present; the rest is empty then.
    """

    swept_by_other: bool = False
    pending: tuple[tuple[str, int], ...] = ()
    due: tuple[tuple[str, Alarm], ...] = ()


class History(Protocol):
    """The stored histories of all sessions, as one node sees them.

    Every call may raise `StoreError`. When it does, the outcome is unknown: the caller sends the very same value once more, and if that
    fails too it forgets what it knew and loads again.
    """

    def now(self) -> int:
        """The store's clock as this node knows it, ms since the epoch: the last TIME seen plus our monotonic clock."""
        ...

    async def open(self) -> None:
        """Connect, check `sb:meta` (`FormatError` when it names another format or partition count) and learn the store's time."""
        ...

    async def close(self) -> None:
        """Give the connections back. The histories stay."""
        ...

    async def load(self, session: str, start: int = 0) -> tuple[bytes, ...]:
        """Up to PAGE elements from position `start`; fewer than PAGE means that the end was reached."""
        ...

    async def append(self, command: Append) -> Reply:
        """Compare the tail, then append, set the indexes and take or give back the lease, all or nothing."""
        ...

    async def restart(self, command: Restart) -> Reply:
        """Compare the tail, then replace the history by a new generation, all or nothing."""
        ...

    async def renew(self, session: str) -> Renewal:
        """Keep the lease for another LEASE_MS if it is ours."""
        ...

    async def peek(self, partition: int, limit: int, ahead_ms: int) -> Overdue:
        """Take over up to `limit` sessions whose lease ran out and take note of up to `limit` alarms due within `ahead_ms`."""
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
