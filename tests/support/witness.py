"""Who watches the store: each change of it, each answer and each call of an effect is held to the promises of `docs/format.md`.

The witness goes by what the store holds, not by what the nodes believe: it has a run of each stored history, fed as the events come on
record.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from support.faults import Line
from support.house import Town
from support.posts import Posts

from handlers.errands import notice_id
from handlers.history import LEASE_MS, Append, Overdue, Renewal, Reply, Restart, partition_of
from handlers.journal import TAKE_OVERS
from handlers.memory_history import Partition
from workflows.events import Heard, Left, Memo, Opened, Sent, decode, describe, uid_of
from workflows.registry import Registry
from workflows.run import Run
from workflows.turns import CARRIED_IDS, CARRIED_MS, KEPT_TURNS, Answer, Said


class Look(NamedTuple):
    """What the store holds of a session: its length and tail, who leads, and how often it was taken over."""

    length: int
    tail: bytes
    owner: str | None
    attempts: int


@dataclass
class Call:
    """A call of an effect: by which key, from which node, for which event on record, and what had happened to the session by then."""

    key: str
    word: str
    node: Any
    cause: bytes
    upsets: int
    running: bool = True


class Witness:
    """What is on record, and what was broken. `lossy`: the store may lose what was acknowledged, and sessions may be forgotten.

    `upsets` count what lets an effect be called again: take-overs and losses of a session. `lives` count its losses and reopenings.
    """

    def __init__(self, workflows: Sequence[Any], *, lossy: bool) -> None:
        self.broken: list[str] = []
        self.tell: Callable[[str, str], None] = lambda session, what: None
        self.calls: list[Call] = []
        self.runs: dict[str, Run] = {}
        self.upsets: Counter[str] = Counter()
        self.lives: Counter[str] = Counter()
        self.lossy = lossy
        self.town: Town
        self.posts = Posts(self)
        self._registry = Registry(workflows)
        self._causes: dict[str, bytes] = {}
        self._connection: dict[str, str | None] = {}
        self._leads: dict[str, tuple[str, int]] = {}
        self._open: dict[str, dict[str, bytes]] = {}
        self._by_key: dict[str, list[Call]] = {}

    def blame(self, session: str, what: str) -> None:
        """A promise is broken."""
        self.broken.append(f"at {self.town.world.time:.3f} s, {session}: {what}")
        self.tell(session, f"BROKEN: {what}")

    # -- the store -------------------------------------------------------------------------------------------------------------------------

    def look(self, session: str) -> Look:
        """What the store holds of a session now."""
        stored = self.town.store.histories.get(session)
        expired = stored is None or (stored.until is not None and stored.until < self.town.world.now())
        elements = [] if stored is None or expired else stored.elements
        if expired and session in self.runs:
            self.lost(session)  # it has expired, as it was allowed to
        owner, attempts = self.town.store.partitions[partition_of(session)].owner.get(session, (None, 0))
        return Look(len(elements), uid_of(elements[-1]) if elements else b"", owner, attempts)

    def wrote(self, before: Look, command: Append | Restart, reply: Reply, boot: str) -> None:
        """An append, a claim or a restart has reached the store."""
        session = command.session
        self.tell(session, f"{boot} {_in_words(command)}: {reply.status}, {reply.length} events, owner {reply.owner}")
        owed = self._owed(session)
        if reply.status == "ok":
            if (command.length, command.tail) != before[:2]:
                self.blame(session, "a stale view wrote")
            if command.events:
                self._record(session, command)
        after = self.look(session)
        self._leased(session, before, after, boot)
        expected = 0 if isinstance(command, Restart) or owed - self._owed(session) else before.attempts
        if after.owner is None:
            expected = 0
        elif before.owner not in (None, after.owner):
            expected += 1
        if reply.status == "ok" and after.attempts != expected:
            self.blame(session, f"{after.attempts} take-overs are counted, and there were {expected} since the last progress")
        if reply.mine:
            self._leads[session] = (boot, self.town.world.now() + LEASE_MS)
        self.examine(session)

    def renewed(self, session: str, renewal: Renewal, boot: str) -> None:
        """A lease was renewed, or found lost."""
        if renewal.mine:
            self._leads[session] = (boot, self.town.world.now() + LEASE_MS)

    def taken(self, session: str, before: Look, boot: str) -> None:
        """A sweep has found a session overdue."""
        self.tell(session, f"{boot} takes it over")
        after = self.look(session)
        self._leased(session, before, after, boot)
        if after.owner is not None:
            if after.attempts != before.attempts + (before.owner != after.owner):
                self.blame(session, f"{after.attempts} take-overs are counted after {before.attempts} and one more")
            self._leads[session] = (boot, self.town.world.now() + LEASE_MS)
        self.examine(session)

    def _leased(self, session: str, before: Look, after: Look, boot: str) -> None:
        if before.owner is None or before.owner == after.owner:
            return
        leader, until = self._leads.get(session, ("", 0))
        if leader == before.owner != boot and until >= self.town.world.now():
            self.blame(session, f"{boot} took the lease that {leader} had just been told it holds")
        if after.owner is not None:
            self.upsets[session] += 1

    def examine(self, session: str) -> None:
        """The indexes say what the history says, and nothing owed may expire."""
        run, stored = self.runs.get(session), self.town.store.histories.get(session)
        if run is None or stored is None or run.failure is not None:
            return
        indexes = self.town.store.partitions[partition_of(session)]
        gen = run.opened.gen
        for step in run.alarms:
            if f"{session} {gen}/{step}" not in indexes.due:
                self.blame(session, f"the alarm {step} is wanted and not in the due index")
        awaits = (
            [] if run.ended else [each for each in run.errands.values() if each.state == "running" and notice_id(each.key) not in run.turns]
        )
        owes = bool(run.calls) or run.restart is not None or bool(run.unsent)
        if owes and session not in indexes.owner:
            self.blame(session, "something is owed and no index has it")
        if stored.until is not None:
            if owes or run.alarms or awaits or (run.opened.parent is not None and not run.ended):
                self.blame(session, "something is outstanding and the history may expire")
            elif run.opened.parent is not None and not self.lossy:
                self._outlives(session, run)

    def _outlives(self, child: str, run: Run) -> None:
        """An errand's history outlives its parent's memo and notice."""
        assert run.opened.parent is not None
        parent = self.runs.get(run.opened.parent[0])
        if parent is None or parent.ended:
            return
        if any(step.kind == "start" and parent.child_key(step) == child for step in parent.calls.values()):
            self.blame(child, "it may expire, and its parent might start it a second time")
        for errand in parent.errands.values():
            if errand.key == child and errand.state == "running" and not run.cancelled and notice_id(child) not in parent.turns:
                self.blame(child, "it may expire, and its parent has not heard how it ended")

    # -- events ----------------------------------------------------------------------------------------------------------------------------

    def _record(self, session: str, command: Append | Restart) -> None:
        elements = command.events
        run = self.runs.get(session)
        queued: set[str] = set()
        if run is None or isinstance(command, Restart):
            queued = {getattr(decode(element), "id", "") for element in elements[1:]}
            run = self._begin(session, elements[0], queued)
            elements = elements[1:]
        for element in elements:
            event = decode(element)
            if isinstance(event, Heard | Left) and event.id not in queued:
                self._judge_input(session, run, event)
            elif isinstance(event, Memo):
                self._judge_memo(session, run, event)
            elif isinstance(event, Sent):
                self.posts.judge(run, event)
            try:
                run.feed(event)
            except Exception as error:  # noqa: BLE001 - whatever it is: nobody can replay this history
                self.blame(session, f"the history cannot be replayed: {error!r}")
                return
            self.posts.say(run)
            self._note_causes(session, run, uid_of(element))
        if run.failure is not None:
            self.blame(session, f"the workflow failed: {run.failure.text}")

    def _begin(self, session: str, element: bytes, queued: AbstractSet[str] = frozenset()) -> Run:
        opened = decode(element)
        assert isinstance(opened, Opened)
        old = self.runs.get(session)
        known = None if old is None else Knowledge.of(old)
        self.lives[session] += old is not None and old.ended
        run = self.runs[session] = Run(session, opened, self._registry, strict=True)
        self._connection[session] = opened.facts.get("via")
        self._open[session] = {}
        self.posts.say(run)
        self._note_causes(session, run, uid_of(element))
        if old is not None and known is not None:
            if opened.parent is not None:
                self.blame(session, "an errand was started a second time")
            if old.unsent:
                self.blame(session, f"{old.unsent[0].number} was never posted: its generation is gone")
            self._compare(session, known, run, queued)
            old.close()
        return run

    def _compare(self, session: str, known: "Knowledge", new: Run, queued: AbstractSet[str]) -> None:
        """What a new generation keeps of the old one; `queued` are the inputs that come again."""
        recent = {id_ for id_, at in list(known.ids.items())[-CARRIED_IDS:] if at > new.opened.gen - CARRIED_MS}
        if missing := recent - new.turns.ids.keys():
            self.blame(session, f"{min(missing)} was acknowledged and is no longer on record")
        for id_, said in known.answers.items():
            turn = new.turns.last.get(id_)
            if turn is None or new.turns.answer(turn).said != said:
                self.blame(session, f"the answer to {id_} is gone")
        if new.opened.gen <= known.gen:
            self.blame(session, "a generation is not younger than the one before")
        if not known.ended:
            if lost := known.queue - queued:
                self.blame(session, f"a restart lost {min(lost)}, which waits")
            if forgotten := known.errands - {each.id for each in new.opened.errands}:
                self.blame(session, f"a restart forgot the errand {min(forgotten)}")

    def _judge_input(self, session: str, run: Run, event: Heard | Left) -> None:
        """Whether an input may follow."""
        if event.id in run.turns and event.id != run.opened.id:
            self.blame(session, f"{event.id} was applied twice")
        if run.ended:
            self.blame(session, f"{event.id} was stored behind the end")
        if isinstance(event, Left):
            _, _, via = event.id.partition(" ")
            if via and via != str(self._connection[session]):
                self.blame(session, f"{event.id} closes another connection than {self._connection[session]}, the caller's")
        elif event.type == "errand":
            errand = event.payload["errand"]
            if errand not in run.errands and errand.partition("/")[0] != str(run.opened.gen):
                self.blame(session, f"{event.id} belongs to a former generation")
        else:
            self._connection[session] = event.payload.get("via", self._connection[session])

    def _judge_memo(self, session: str, run: Run, memo: Memo) -> None:
        step = run.calls.get(memo.step)
        if step is not None and step.kind == "call" and memo.error is None:
            call = self.calls[msgspec.msgpack.decode(memo.value)]
            if call.key != run.address(memo.step) or call.cause != self._causes.get(call.key):
                self.blame(session, f"what call {call.key} came to in another life was recorded for {run.address(memo.step)}")
        elif step is not None and step.kind == "cancel" and not self.lossy:
            child = self.runs.get(step.step.errand.key)
            if child is not None and not child.ended:
                self.blame(session, f"the cancel of {step.step.errand.id} is on record before the errand has it")

    def _note_causes(self, session: str, run: Run, uid: bytes) -> None:
        """Which event led to what is owed now."""
        before = self._open[session]
        if run.calls or before:
            self._open[session] = {step: before.get(step, uid) for step in run.calls}
            for step, cause in self._open[session].items():
                self._causes[run.address(step)] = cause

    def _owed(self, session: str) -> set[tuple[int, str]]:
        run = self.runs.get(session)
        if run is None or run.failure is not None:
            return set()
        owed = {(run.opened.gen, step) for step in run.calls}
        if run.restart is not None:
            owed.add((run.opened.gen, run.restart.id))
        if run.unsent:
            owed.add((run.opened.gen, f"sent {run.unsent[0].number}"))
        return owed

    # -- losses ----------------------------------------------------------------------------------------------------------------------------

    def lost(self, session: str) -> None:
        """A session was forgotten, has expired, or is what it was: what is stored of it counts from now on."""
        self.tell(session, "is forgotten, or goes back in time")
        self.lives[session] += 1
        self.upsets[session] += 1
        self._leads.pop(session, None)
        self.posts.forget(session)
        run = self.runs.pop(session, None)
        if run is not None:
            run.close()
        stored = self.town.store.histories.get(session)
        if stored is None or (stored.until is not None and stored.until < self.town.world.now()):
            return
        run = self._begin(session, stored.elements[0])
        for element in stored.elements[1:]:
            event = decode(element)
            if isinstance(event, Heard) and event.type != "errand":
                self._connection[session] = event.payload.get("via", self._connection[session])
            run.feed(event)
            self.posts.say(run)
            self._note_causes(session, run, uid_of(element))

    # -- effects and answers ---------------------------------------------------------------------------------------------------------------

    def began(self, key: str, word: str, node: Any) -> int:
        """An effect is called; gives the number of the call."""
        session = key.rsplit("/", 2)[0]
        self.tell(session, f"{node.name} calls {key}")
        cause = self._causes.get(key)
        if cause is None:
            self.blame(session, f"{key} was called before its cause was on record")
        owner, attempts = self.town.store.partitions[partition_of(session)].owner.get(session, ("", 0))
        if attempts > TAKE_OVERS and owner == node.name:
            self.blame(session, f"{key} was called although the session is to be left alone")
        leads = owner == node.name  # else the lease was lost on the way: nobody could tell the node in time
        for call in self._by_key.setdefault(key, []):
            if leads and call.running and not call.node.dead and call.upsets == self.upsets[session]:
                self.blame(session, f"{key} is called on {node.name} while its call on {call.node.name} goes on")
        call = Call(key, word, node, cause or b"", self.upsets[session] if leads else -1)
        self.calls.append(call)
        self._by_key[key].append(call)
        return len(self.calls) - 1

    def answered(self, session: str, id_: str, answer: Answer, lives: int) -> None:
        """An input was answered; `lives` were those of its session when it was asked: what came since may be another life's answer."""
        self.tell(session, f"{id_} is answered {answer.state}: {[said for _, _, said in answer.said]}")
        self.look(session)
        run = self.runs.get(session)
        if run is None or lives != self.lives[session]:
            return
        turn = run.turns.last.get(id_)
        if answer.state == "ended" and id_ not in run.turns:
            if not run.ended:
                self.blame(session, f"{id_} was told that the session has ended, which it has not")
        elif answer.state == "failed":
            if self.look(session).attempts <= TAKE_OVERS:
                self.blame(session, f"{id_} was told that the session has failed, which it has not")
        elif answer.state == "handled":
            if turn is not None and turn.consumed and turn.end is not None:
                self.blame(session, f"{id_} was told that it was handled, and its answer is on record")
        elif turn is None:
            if id_ not in run.turns:
                self.blame(session, f"{id_} was answered and is not on record")
        elif turn.end is None or run.turns.answer(turn).said != answer.said:
            self.blame(session, f"{id_} was answered {answer}, on record is {run.turns.answer(turn)}")


def _in_words(command: Append | Restart) -> str:
    events = ", ".join(f"{describe(event)} {getattr(event, 'payload', '')}" for event in map(decode, command.events))
    what = "replaces" if isinstance(command, Restart) else "appends" if events else "claims"
    return f"{what} at {command.length} {events}"


@dataclass
class Knowledge:
    """What a generation knows that the next one must know."""

    gen: int
    ids: dict[str, int]
    answers: dict[str, tuple[Said, ...]]
    queue: set[str]
    errands: set[str]
    ended: bool

    @classmethod
    def of(cls, run: Run) -> "Knowledge":
        answered = [turn for turn in run.turns.last.values() if turn.consumed and turn.end is not None][-KEPT_TURNS:]
        inbox = run._inbox
        return cls(
            run.opened.gen,
            dict(run.turns.ids),
            {turn.id: run.turns.answer(turn).said for turn in answered},
            {event.id for event in inbox.events} | ({inbox.left.id} if inbox.left is not None else set()),
            {errand.id for errand in run.errands.values() if errand.state != "starting"},
            run.ended,
        )


class WatchedLine(Line):
    """A node's line to a store that is watched."""

    def __init__(self, witness: Witness, boot: str) -> None:
        town = witness.town
        super().__init__(town.store, boot, town.world, town.log)
        self._witness = witness

    def _write(self, command: Append | Restart) -> Reply:
        before = self._witness.look(command.session)
        reply = super()._write(command)
        self._witness.wrote(before, command, reply, self._boot)
        return reply

    def _renew(self, session: str) -> Renewal:
        renewal = super()._renew(session)
        self._witness.renewed(session, renewal, self._boot)
        return renewal

    def _peek(self, indexes: Partition, limit: int, ahead_ms: int) -> Overdue:
        before = {session: self._witness.look(session) for session in indexes.pending}
        due = [member.rpartition(" ")[0] for member in indexes.due]
        found = super()._peek(indexes, limit, ahead_ms)
        for session, _ in found.pending:
            self._witness.taken(session, before[session], self._boot)
        for session in due:
            self._witness.examine(session)
        return found

    def _clear_due(self, session: str, gen: int, step: str) -> bool:
        cleared = super()._clear_due(session, gen, step)
        self._witness.examine(session)
        return cleared

    def _forget(self, session: str) -> bool:
        existed = super()._forget(session)
        self._witness.lost(session)
        return existed
