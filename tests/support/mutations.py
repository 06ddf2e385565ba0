"""The rules of the stored protocol, each left out of the real code: the simulation has to notice.

A mutation is a few replacements in our sources, made while they are imported by a process of its own. Rules of the scripts are left out of
their twin in memory, which is compared with the scripts elsewhere.

`make teeth` looks for each with new seeds; `python -m support.mutations RULE SEED COUNT` plays COUNT seeds from SEED on without one.
"""

import importlib.util
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

ROOT = Path(__file__).parent.parent.parent

PATIENCE_SECONDS = 30
"""Real time after which a simulation is stopped: without a rule, it may turn in a circle."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A replacement in a source file; its text must stand there exactly once."""

    path: str
    old: str
    new: str

    def applied(self, source: str) -> str:
        """The source with this edit."""
        if source.count(self.old) != 1:
            raise LookupError(
                f"{self.path} has {source.count(self.old)} times the text\n\n{self.old}\n\nwhich a mutation replaces. "
                "The code has changed: find the line that keeps the rule now, and mend the mutation in tests/support/mutations.py."
            )
        return source.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Mutation:
    """How a rule is left out."""

    edits: tuple[Edit, ...]


def _edit(path: str, old: str, new: str) -> Mutation:
    return Mutation((Edit(path, old, new),))


TWIN = "handlers/memory_history.py"
HANDLER = "handlers/handler.py"
INTAKE = "handlers/intake.py"
JOURNAL = "handlers/journal.py"
OUTBOX = "handlers/outbox.py"
WORK = "handlers/work.py"

RECEIPTS = {
    "look_before_posting": _edit(
        OUTBOX, "receipt = await messenger.post(delivery, look=look)", "receipt = await messenger.post(delivery, look=False)"
    ),
    "compared_posts": _edit(OUTBOX, "/{position}.{ordinal}/{crc32(_encode(unsent.output)):08x}", "/{position}.{ordinal}/"),
    "leader_posts": _edit(
        OUTBOX, "            self._task.cancel()\n        self._task, self._posting", "            pass\n        self._task, self._posting"
    ),
    "pends_for_delivery": _edit(WORK, "        if run.turns.outgoing is not None and self.owes_words(run):\n            return True\n", ""),
    "delivered_before_replaced": Mutation(
        (
            Edit(HANDLER, " and not journal.left_alone and not work.owes_words(run):", " and not journal.left_alone:"),
            Edit(INTAKE, "if run is not None and run.unsent:", "if False:"),
        )
    ),
}
"""The rules about what is posted: worlds have to be played in which something is."""

MUTATIONS = RECEIPTS | {
    # The store's scripts.
    "tail_check": _edit(TWIN, "(len(elements), tail) != (command.length, command.tail)", "len(elements) != command.length"),
    "fresh_uids": Mutation(
        (
            Edit(JOURNAL, "encode(event, self._house.rng.randbytes(UID_BYTES))", "encode(event, _uid(event, self._house.rng))"),
            Edit(
                JOURNAL,
                "class Needs(Protocol):",
                "def _uid(event, rng):\n    id_ = getattr(event, 'id', '')\n    return hash_of(id_.encode()).digest()[:8] if id_ else rng.randbytes(8)\n\n\n"
                "from hashlib import sha256 as hash_of\n\n\nclass Needs(Protocol):",
            ),
        )
    ),
    "checked_release": _edit(
        TWIN,
        "if (len(elements), tail) != (command.length, command.tail):",
        "if (len(elements), tail) != (command.length, command.tail) and (events or not command.release):",
    ),
    "checked_restart": _edit(
        TWIN,
        "if (len(elements), tail) != (command.length, command.tail):",
        "if (len(elements), tail) != (command.length, command.tail) and not isinstance(command, Restart):",
    ),
    "fenced_lease": _edit(TWIN, "if holder != self._boot and indexes.pending.get(session, 0) >= now:", "if False:"),
    "renewed_by_reply": _edit(TWIN, "if session in indexes.owner and indexes.owner[session][0] == self._boot:", "if False:"),
    "sweeper": _edit("switchboard/sweeper.py", "self._house.post.post(Resume(session, attempts))", "pass"),
    "visible_alarms": _edit(TWIN, "indexes.due[member] = max(due_at, now) + ahead_ms + GRACE_MS", "del indexes.due[member]"),
    "indexed_alarms": _edit(JOURNAL, "alarms = self._alarms(run, alarms_set, watch=watch)", "pass"),
    # What a handler makes of news.
    "overlap_check": _edit("handlers/record.py", " and uid_of(elements[length - self.length - 1]) == uid:", ":"),
    "closed_on_conflict": _edit(
        JOURNAL,
        "            await self.load()\n            return False\n        self.length += len(events)\n",
        "            if continues and self.run is not None and not isinstance(command, Restart):\n"
        "                await self.extend(joined)\n"
        "                self._note(reply)\n"
        "                return False\n"
        "            await self.load()\n            return False\n        self.length += len(events)\n",
    ),
    "dedupe": _edit(INTAKE, "if run is not None and inbound.id in run.turns:", "if False:"),
    "append_again": _edit(HANDLER, "self.deliver(Again(inbound))", "pass"),
    "still_wanted": _edit(
        HANDLER, "if run is None or step is None or (run.opened.gen, step.id, step.name, step.hash) != want_of(done):", "if run is None:"
    ),
    "append_first": _edit(
        JOURNAL,
        "        run.feed(event)\n        settled = ",
        "        run.feed(event)\n        self._needs.start(run)\n        settled = ",
    ),
    "confirmed_answers": _edit(
        INTAKE,
        'self._counters["duplicates"] += 1\n        if not await self._confirm(inbound):\n            return False\n',
        'self._counters["duplicates"] += 1\n',
    ),
    "exact_stale_alarms": Mutation(
        (
            Edit(
                "handlers/due.py",
                "return cleared or await journal.claim(drop=(due.gen, due.step))",
                "return cleared or await self._house.history.clear_due(journal.session, due.gen, due.step)",
            ),
            Edit(TWIN, "        if self._elements(session):\n            return False\n        self.store", "        self.store"),
        )
    ),
    "pends_for_all": _edit(WORK, "return bool(run.calls) or run.restart", "return len(run.calls) > 1 or run.restart"),
    # New generations, and callers who leave.
    "carried_ids": _edit(HANDLER, "carried=run.turns.carry(now),", "carried=[],"),
    "carried_queue": _edit(
        HANDLER, "self._journal.restart(opened, run.queued, keep_old=False)", "self._journal.restart(opened, [], keep_old=False)"
    ),
    "carried_answers": _edit("workflows/turns.py", "handled = set(answered[:-KEPT_TURNS])", "handled = set(answered)"),
    "carried_errands": _edit(
        HANDLER, 'errands=tuple(errand for errand in run.errands.values() if errand.state in ("running", "cancelled")),', "errands=(),"
    ),
    "carried_left": _edit(
        "workflows/run.py",
        "return self._inbox.events if self._inbox.left is None else [self._inbox.left, *self._inbox.events]",
        "return self._inbox.events",
    ),
    "reopening_carries_ids": _edit(INTAKE, "carried=_carried(run, self._house.history.now()),", "carried=[],"),
    "lives_apart": Mutation(
        (
            Edit(
                HANDLER,
                "step = run.calls.get(done.step) if run is not None and known and lives == journal.lives else None",
                "step = run.calls.get(done.step) if run is not None else None",
            ),
            Edit(
                HANDLER,
                "(run.opened.gen, step.id, step.name, step.hash) != want_of(done)",
                "(step.id, step.name, step.hash) != want_of(done)[1:]",
            ),
            Edit(WORK, "            self.held = tuple([message for message in self.held if not isinstance(message, Done)])\n", ""),
            Edit(WORK, "known = done.life == self._life and ", "known = "),
        )
    ),
    "named_connection": _edit(INTAKE, 'return inbound.payload.get("via") in (None, self._journal.via)', "return True"),
    "told_generation": _edit(INTAKE, "return known is not None and inbound.id", "return known is None or inbound.id"),
    # Errands.
    "told_before_memo": _edit(
        WORK, "await errands.cancel(house.post, house.rng, errand)", "asyncio.ensure_future(errands.cancel(house.post, house.rng, errand))"
    ),
    "discarded_results": _edit("workflows/conversation.py", "self._inbox.discard(errand.id)", "pass"),
    "skipped_strangers": Mutation(  # which are not even stored, as long as the parent knows them for strangers
        (
            Edit(INTAKE, "return known is not None and inbound.id", "return known is None or inbound.id"),
            Edit("workflows/inbox.py", "return errand is None or errand.state", "return errand is not None and errand.state"),
        )
    ),
    "cancels_one": _edit(
        "workflows/conversation.py", "self._inbox.discard(errand.id)", "[self._inbox.discard(each) for each in list(self._inbox.errands)]"
    ),
    "pends_for_notice": _edit(WORK, ' or (run.ended and self.notice == "owed" and self.owes_notice(run))', ""),
    "started_once": Mutation(
        (
            Edit(
                INTAKE,
                "if run is not None and inbound.id in run.turns:",
                "if run is not None and inbound.id in run.turns and not is_start(inbound):",
            ),
            Edit(
                INTAKE, "if opening is not None and inbound.reopens:", "if opening is not None and (inbound.reopens or is_start(inbound)):"
            ),
            Edit(
                INTAKE,
                "        elif is_start(inbound) or not self._takes(run, inbound):\n",
                "        elif is_start(inbound):\n            return await self._reopen(inbound, opening)\n        elif not self._takes(run, inbound):\n",
            ),
        )
    ),
    "start_before_notice": _edit(INTAKE, 'if inbound.type == "errand" and not await self._record_start(inbound):', "if False:"),
    "watched_errands": _edit(
        "handlers/errands.py", "post.post(_opening(run, errand.id, errand.key, errand.workflow, errand.args))", "pass"
    ),
    "absent_is_told": Mutation(
        (
            Edit(
                INTAKE,
                '                _refuse(inbound, "handled", ended=True)\n',
                '                _refuse(inbound, "handled", ended=True) if not inbound.stored_suffices else None\n',
            ),
            Edit(
                INTAKE,
                '            _refuse(inbound, "ended" if run.ended else "handled", ended=run.ended)',
                '            _refuse(inbound, "ended" if run.ended else "handled", ended=run.ended) if not inbound.stored_suffices else None',
            ),
        )
    ),
    "named_notices": _edit("handlers/errands.py", 'return f"errand/{key}/done"', 'return "errand/done"'),
    # Take-over limits.
    "limited_takeovers": Mutation(
        (
            Edit(HANDLER, "if resume.attempts > TAKE_OVERS:", "if False:"),
            Edit(JOURNAL, "return self.mine and self.attempts > TAKE_OVERS", "return False"),
        )
    ),
    "reported_at_limit": _edit(HANDLER, "        if not self._reported:\n", "        if False:\n"),
    "pending_at_limit": _edit(
        TWIN,
        "            pending.append((session, attempts))\n",
        "            pending.append((session, attempts))\n            if attempts > 5:\n                del indexes.owner[session], indexes.pending[session]\n",
    ),
    "counted_progress": _edit(TWIN, "if progress and attempts:", "if False:"),
    "inputs_are_no_progress": _edit(JOURNAL, "progress=settled)", "progress=True)"),
    # Expiry.
    "alarms_keep": _edit(JOURNAL, "if not release or watch or run.alarms or", "if not release or watch or"),
    "errands_keep": _edit(JOURNAL, "or watch or run.alarms or (run.opened.parent is not None and not run.ended)", "or run.alarms"),
    "pending_keeps": _edit(JOURNAL, "if not release or watch or run.alarms or", "if watch or run.alarms or"),
    "ended_lets_go": _edit(
        WORK,
        '            return self.notice == "put off" and self.owes_notice(run)\n',
        '            return bool(run.errands) or (self.notice == "put off" and self.owes_notice(run))\n',
    ),
}
"""A mutation for each rule of the model."""

NOTICED = {
    "look_before_posting": 5,
    "compared_posts": 36,
    "tail_check": 12,
    "fresh_uids": 14,
    "checked_restart": 5,
    "renewed_by_reply": 127,
    "sweeper": 3,
    "overlap_check": 187,
    "append_again": 32,
    "still_wanted": 2,
    "confirmed_answers": 14,
    "exact_stale_alarms": 3,
    "carried_errands": 3,
    "lives_apart": 187,
    "told_generation": 2,
    "discarded_results": 3,
    "skipped_strangers": 4,
    "cancels_one": 7,
    "started_once": 5,
    "start_before_notice": 46,
    "watched_errands": 139,
    "named_notices": 4,
    "limited_takeovers": 15,
    "reported_at_limit": 15,
    "pending_at_limit": 15,
    "counted_progress": 4,
    "inputs_are_no_progress": 59,
}
"""The first seed from 0 on that showed it, where that was not 0 itself: `make test` begins there."""


class _Mutating(MetaPathFinder):
    """Finds the sources that a mutation edits before anybody else does."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._edits = edits

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        file = name.replace(".", "/") + ".py"
        edits = [edit for edit in self._edits if edit.path == file]
        if not edits:
            return None
        return importlib.util.spec_from_file_location(name, ROOT / file, loader=_MutatedSource(name, str(ROOT / file), edits))


class _MutatedSource(SourceFileLoader):
    """Loads a source with edits; never from a cache."""

    def __init__(self, name: str, path: str, edits: Sequence[Edit]) -> None:
        super().__init__(name, path)
        self._edits = edits

    def get_code(self, fullname: str) -> CodeType:
        source = Path(self.path).read_text(encoding="utf-8")
        for edit in self._edits:
            source = edit.applied(source)
        return compile(source, self.path, "exec", dont_inherit=True)


def search(rule: str, first: int, count: int) -> str:
    """Play seeds without a rule until one breaks a promise; gives what was broken, and after how many seeds. To be used in a fresh process."""
    assert "handlers" not in sys.modules, "our sources are imported already"
    sys.meta_path.insert(0, _Mutating(MUTATIONS[rule].edits))
    from support.simulation import BrokenPromise, play

    logging.disable(logging.WARNING)
    logging.lastResort = None
    for number in range(count):
        signal.signal(signal.SIGALRM, partial(_give_up, first + number, number + 1))
        signal.alarm(PATIENCE_SECONDS)
        try:
            play(first + number, pushes=rule in RECEIPTS)
        except BrokenPromise as broken:
            return f"{number + 1} {broken}"
        finally:
            signal.alarm(0)
    return ""


def _give_up(seed: int, count: int, *_: Any) -> None:
    """End the process at once: an exception might be caught by what goes round and round."""
    sys.stdout.write(f"{count} seed {seed}: it never comes to an end\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    found = search(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.write(f"{found}\n")
    sys.exit(0 if found else 1)
