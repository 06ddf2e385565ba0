"""What can be wrong with the sessions in a store, and what mends it.

Servers write while we look, so a session counts as faulty only if it is so at two looks. It is mended by the calls that servers use
themselves, at the exact tail that was looked at: one that changes meanwhile is left alone. What a session owes is never done here: it
is made pending, and the next server that sweeps goes on with it, by its own code.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from handlers import errands
from handlers.history import PARTITIONS, Alarm, Append, History, Indexes, partition_of
from handlers.journal import TAKE_OVERS, WATCH
from switchboard.histories import load_whole
from workflows.errors import NondeterminismError, UndecodableError
from workflows.events import Opened, decode, uid_of
from workflows.registry import Registry
from workflows.run import Run

LATE_MS: Final = 600_000
"""How much later than wanted an alarm may stand in the index: being handed out, or a failed workflow, puts it off for less."""

OVERDUE_MS: Final = 30_000
"""How long a lease or an alarm may be overdue before no server can be there: one would have seen to it within ten seconds."""

Kind = Literal["stray alarms", "stray leases", "lost work", "lost alarms", "kept for ever"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one session.

    `stray alarms` and `stray leases` are index entries without a history. `lost work`: the session owes something and is in no index.
    `lost alarms`: it wants alarms that the index lacks. `kept for ever`: it owes nothing, and its history has no expiry. `append` mends all
    but the first, for which `alarms` are the entries to drop.
    """

    kind: Kind
    session: str
    alarms: tuple[Alarm, ...] = ()
    append: Append | None = None


@dataclass(slots=True)
class Survey:
    """A look at all sessions in a store.

    `left_alone`: sessions that were taken over too often, which may be what kills servers; they are not replayed. `overdue`: sessions with
    work or an alarm that no server has seen to for long, and `waiting_ms` how long the first has waited. `broken`: sessions with
    something outstanding that the code here cannot carry to the end of their histories; what they want cannot be told.
    """

    left_alone: list[str] = field(default_factory=list)
    overdue: set[str] = field(default_factory=set)
    waiting_ms: int = 0
    broken: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


async def survey(history: History, sessions: Sequence[str], registry: Registry, step: Callable[[], None]) -> Survey:
    """Look at all `sessions` of the store and at its indexes; nothing is touched. `step` is called once a session."""
    found = Survey()
    by_partition: defaultdict[int, set[str]] = defaultdict(set)
    for session in sessions:
        by_partition[partition_of(session)].add(session)
    for partition in range(PARTITIONS):
        stored = by_partition.pop(partition, set())
        indexes = await history.indexes(partition)
        _note_waiting(found, indexes, history.now())
        resting = sorted(stored - indexes.pending.keys())
        expiries = await asyncio.gather(*map(history.expires_in, resting))
        promising = {session for session, expiry in zip(resting, expiries, strict=True) if expiry is None}
        indexed = {session for session, _ in indexes.due} | indexes.pending.keys() | indexes.owner.keys()
        for session in sorted(promising | (indexed - stored)):
            await _look_twice(history, registry, session, indexes, found)
        for _ in stored:
            step()
    return found


async def mend(history: History, fault: Fault) -> bool:
    """Mend what is wrong; False if the session has changed since, or a server holds it now."""
    if fault.append is None:
        return all([await history.clear_due(fault.session, alarm.gen, alarm.step) for alarm in fault.alarms])
    reply = await history.append(fault.append)
    return reply.status != "conflict" and (reply.owner is None or fault.kind != "stray leases")


async def try_again(history: History, session: str) -> bool:
    """Forget the take-overs of a session that is left alone, so that servers go on with it; False if it has changed since."""
    elements = await load_whole(history, session)
    command = Append(session, len(elements), uid_of(elements[-1]), release=False, progress=True)
    return (await history.append(command)).status != "conflict"


def _note_waiting(found: Survey, indexes: Indexes, now: int) -> None:
    alone = {session for session in indexes.pending if indexes.owner.get(session, ("", 0))[1] > TAKE_OVERS}
    found.left_alone += alone
    waiting = [*indexes.pending.items(), *((session, alarm.at) for session, alarm in indexes.due)]
    for session, at in waiting:
        if at < now - OVERDUE_MS and session not in alone:
            found.overdue.add(session)
            found.waiting_ms = max(found.waiting_ms, now - at)


async def _look_twice(history: History, registry: Registry, session: str, indexes: Indexes, found: Survey) -> None:
    first = await _look(history, registry, session, indexes)
    if first is None:
        found.broken.append(session)
    elif first:
        again = await _look(history, registry, session, await history.indexes(partition_of(session)))
        known = {fault.kind for fault in first}
        found.faults += [fault for fault in again or () if fault.kind in known]


async def _look(history: History, registry: Registry, session: str, indexes: Indexes) -> list[Fault] | None:
    """What is wrong with a session now; None if the code here cannot tell."""
    now = history.now()
    elements = await load_whole(history, session)
    due = {(alarm.gen, alarm.step): alarm for name, alarm in indexes.due if name == session}
    if not elements:
        return _strays(session, indexes, due, now)
    if session in indexes.pending or await history.expires_in(session) is not None:
        return []
    run = _carried(session, elements, registry)
    if run is None:
        return None
    try:
        return _owed(run, uid_of(elements[-1]), due, now)
    finally:
        run.close()


def _strays(session: str, indexes: Indexes, due: dict[tuple[int, str], Alarm], now: int) -> list[Fault]:
    faults: list[Fault] = []
    if (session in indexes.pending or session in indexes.owner) and indexes.pending.get(session, 0) < now:
        faults.append(Fault("stray leases", session, append=Append(session, 0, b"")))
    if due:
        faults.append(Fault("stray alarms", session, tuple(due.values())))
    return faults


def _owed(run: Run, tail: bytes, due: dict[tuple[int, str], Alarm], now: int) -> list[Fault]:
    """What is wrong with a session that is at rest and does not expire."""
    gen = run.opened.gen
    watched = (gen, WATCH) in due
    wanted = {(gen, step): Alarm(gen, step, at) for step, at in run.alarms.items()}
    if not run.ended and any(True for _ in errands.awaited(run)):
        wanted[gen, WATCH] = due.get((gen, WATCH), Alarm(gen, WATCH, now))
    lost = tuple(alarm for key, alarm in wanted.items() if key not in due or due[key].at > max(alarm.at, now) + LATE_MS)
    kind: Kind
    if run.calls or run.restart is not None or run.unsent:
        kind = "lost work"
    elif lost:
        kind = "lost alarms"
    elif wanted or watched or (run.opened.parent is not None and not run.ended):
        return []
    else:
        kind = "kept for ever"
    claim = Append(run.session, run.length, tail, release=kind == "lost alarms", alarms_set=lost)
    return [Fault(kind, run.session, lost, claim)]


def _carried(session: str, elements: list[bytes], registry: Registry) -> Run | None:
    """The run at the end of a history; None if it does not come so far."""
    run: Run | None = None
    try:
        opened = decode(elements[0])
        if isinstance(opened, Opened):
            run = Run(session, opened, registry)
            for element in elements[1:]:
                run.feed(decode(element))
    except (UndecodableError, NondeterminismError):
        pass
    else:
        if run is not None and run.failure is None:
            return run
    if run is not None:
        run.close()
    return None
