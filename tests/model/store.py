"""The store: what it keeps of a session, and its scripts, each atomic."""

from typing import Any, NamedTuple

from model.events import Alarm, Event
from model.rules import Rules


class Boot(NamedTuple):
    """One life of a node's process."""

    node: int
    life: int

    def __str__(self) -> str:
        return f"{'ABC'[self.node]}{self.life or ''}"


class Stored(NamedTuple):
    """One session's history and its entries in the indexes. It is pending while it has an owner."""

    history: tuple[Event, ...] = ()
    owner: Boot | None = None
    overdue: bool = False  # the lease ran out
    attempts: int = 0
    due: frozenset[Alarm] = frozenset()
    expires: bool = False


class Write(NamedTuple):
    """The bytes of one APPEND or, if it replaces, RESTART. Without events: a claim or a release.

    `base` is the history that its sender has replayed: its length and tail travel, the rest is there to show a stale write.
    """

    session: int
    boot: Boot
    base: tuple[Event, ...]
    events: tuple[Event, ...] = ()
    replaces: bool = False
    alarms_set: frozenset[Alarm] = frozenset()
    alarms_cleared: frozenset[Alarm] = frozenset()
    release: bool = False
    progress: bool = False  # something that was owed no longer is
    expires: bool = False
    task: Any = None  # what the sender does this for


class Reply(NamedTuple):
    """What a script answers. `slice`: on a conflict, the history from the sender's last event on."""

    status: str  # ok, again, conflict
    owner: Boot | None
    attempts: int
    slice: tuple[Event, ...] = ()


class Scripts:
    """The operations on one session. `limit`: take-overs without progress; with one more a session is left alone, and nobody counts further."""

    def __init__(self, rules: Rules, limit: int) -> None:
        self.rules = rules
        self.limit = limit

    def write(self, stored: Stored, write: Write) -> tuple[Stored, Reply]:
        """APPEND and RESTART."""
        history, base, events = stored.history, write.base, write.events
        kept = 0 if write.replaces else len(base)
        if events and len(history) == kept + len(events) and history[-1] == events[-1]:
            stored = self._renewed(stored, write.boot)
            return stored, Reply("again", stored.owner, stored.attempts)
        if not self._matches(history, write):
            stored = self._renewed(stored, write.boot)
            return stored, Reply("conflict", stored.owner, stored.attempts, history[max(len(base) - 1, 0) :])
        history = events if write.replaces else history + events
        alarms = (frozenset() if write.replaces else stored.due) - write.alarms_cleared
        if self.rules.indexed_alarms:
            alarms |= write.alarms_set
        stored = self._leased(stored, write)
        stored = stored._replace(history=history, due=alarms, expires=write.expires and bool(history))
        return stored, Reply("ok", stored.owner, stored.attempts)

    def _matches(self, history: tuple[Event, ...], write: Write) -> bool:
        if write.release and not write.events and not self.rules.checked_release:
            return True
        if write.replaces and not self.rules.checked_restart:
            return True
        base = write.base
        return len(history) == len(base) and (not base or not self.rules.tail_check or history[-1] == base[-1])

    def _renewed(self, stored: Stored, boot: Boot) -> Stored:
        return self.renew(stored, boot) if self.rules.renewed_by_reply else stored

    def _leased(self, stored: Stored, write: Write) -> Stored:
        resets = write.progress if self.rules.inputs_are_no_progress else bool(write.events)
        if resets and self.rules.counted_progress:
            stored = stored._replace(attempts=0)
        if stored.owner not in (None, write.boot) and not stored.overdue and self.rules.fenced_lease:
            return stored
        if write.release:
            return stored._replace(owner=None, overdue=False, attempts=0)
        return self._taken(stored, write.boot)

    def _taken(self, stored: Stored, boot: Boot) -> Stored:
        attempts = stored.attempts + (stored.owner not in (None, boot))
        return stored._replace(owner=boot, overdue=False, attempts=min(attempts, self.limit + 1))

    def renew(self, stored: Stored, boot: Boot) -> Stored:
        """RENEW: keeps the lease if it is ours."""
        return stored._replace(overdue=False) if stored.owner == boot else stored

    def peek(self, stored: Stored, boot: Boot) -> Stored:
        """PEEK at an overdue session: it becomes ours."""
        return self._taken(stored, boot)
