"""A toy of the pure core: what a history means to a toy conversation.

A run is folded from the whole history each time, and equal histories are folded once.
"""

from typing import Any

from model.events import Alarm, Carried, Event, Opening, Want, child_of, kind_of
from model.rules import Rules
from model.run import Run
from model.steps import LEFT, Call, Cancel, Conversation, First, Gather, Leaf, Listen, Restart, Say, Sleep, Start, Step, Talk

TAKES = {"said": ("said", LEFT), "return": ("said",), "errand": ("errand",)}
"""Which kinds of input each kind of listen hears."""


class Core:
    """Folds the histories of one conversation. `pushes`: its outputs are delivered outside of requests."""

    def __init__(self, conversation: Conversation, rules: Rules, *, pushes: bool = False) -> None:
        self.conversation = conversation
        self.rules = rules
        self.pushes = pushes
        self._runs: dict[tuple[Event, ...], Run] = {}

    def fold(self, history: tuple[Event, ...]) -> Run:
        """The run of a history."""
        run = self._runs.get(history)
        if run is None:
            replay = _Replay(self)
            for event in history:
                replay.feed(event)
            run = self._runs[history] = replay.run()
        return run


class _Replay:
    """One replay, in progress."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.problem = ""
        self.position = -1
        self.opening = Opening()
        self.via = ""
        self.ended = self.cancelled = False
        self.left: Event | None = None
        # The conversation and the step that it awaits.
        self.talk: Talk | None = None
        self.step: Step | None = None
        self.number = 0
        self.open: dict[str, Leaf] = {}
        self.results: dict[str, Any] = {}
        self.errands: dict[int, str] = {}
        self.called_off: set[int] = set()
        # Inputs and their turns.
        self.ids: dict[str, None] = {}
        self.arrived: dict[str, None] = {}
        self.queue: list[Event] = []
        self.turn: tuple[str, int] | None = None
        self.answers: dict[str, Any] = {}
        # Outputs.
        self.said: list[object] = []
        self.outputs: dict[str, object] = {}
        self.sent: set[str] = set()

    def feed(self, event: Event) -> None:
        """Take the next event."""
        if self.problem:
            return
        self.position += 1
        if (event.kind == "opened") != (self.position == 0):
            self.problem = "an opening that is not the first event, or a first event that is none"
            return
        match event.kind:
            case "opened":
                self._open(event)
            case "heard" | "left":
                self._hear(event)
            case "memo":
                self._remember(event)
            case "fired" if isinstance(self.open.get(event.name), Sleep):
                self._complete(event.name, "woke")
            case "sent" if event.name in self.outputs and event.name not in self.sent:
                self.sent.add(event.name)
            case _:
                self.problem = f"a {event.kind} that nobody wants: {event.name}"
        self._settle()

    def _open(self, event: Event) -> None:
        self.opening = opening = event.value
        self.via = opening.via
        self.errands = dict(opening.errands)
        self.called_off = {child for child, state in opening.errands if state == "cancelled"}
        if event.name:
            self.ids[event.name] = None
        for id_, state, outputs in opening.carried:
            self.ids[id_] = None
            if state == "open":
                self.said += outputs
                self.arrived[id_] = None
                self.turn = (id_, 0)
            elif outputs is not None:
                self.answers[id_] = outputs
        self.talk = self.core.conversation(opening.gen)
        self._resume(None)

    def _hear(self, event: Event) -> None:
        id_, kind = event.name, kind_of(event)
        requeued = any(carried.id == id_ and carried.state == "queued" for carried in self.opening.carried)
        if id_ in self.ids and not (requeued and id_ not in self.arrived):
            self.problem = f"{id_} was applied twice"
        elif self.ended and not requeued:
            self.problem = f"{id_} was stored behind the end"
        elif kind == LEFT and event.value != self.via:
            self.problem = f"{id_} closes another connection than the caller's"
        self.ids[id_] = self.arrived[id_] = None
        if kind == "cancel":
            self.ended = self.cancelled = True
            self.step, self.open = None, {}
            return
        self.queue.append(event._replace(nonce=0))
        if kind == "said":
            self.via = event.value
        elif kind == "errand":
            self._note_result(event)

    def _note_result(self, notice: Event) -> None:
        child = child_of(notice.value)
        if not notice.value.endswith(f"/{self.opening.gen}") and child not in self.errands:
            self.problem = f"{notice.name} belongs to a former generation"
        if self.errands.get(child) == "running":
            self.errands[child] = "done"

    def _remember(self, memo: Event) -> None:
        leaf = self.open.get(memo.name)
        if not isinstance(leaf, Call | Start | Cancel):
            self.problem = f"a memo that nobody wants: {memo.name}"
            return
        if isinstance(leaf, Call) and not memo.value.endswith(f"@{self.opening.gen}"):
            self.problem = f"a result of another generation was recorded: {memo.value}"
        if isinstance(leaf, Start):
            came = any(kind_of(event) == "errand" and child_of(event.value) == leaf.child for event in self.queue)
            self.errands.setdefault(leaf.child, "done" if came else "running")
        self._complete(memo.name, memo.value)

    # -- the conversation

    def _complete(self, path: str, value: Any) -> None:
        """A leaf has its result; the conversation goes on if that was what it waited for."""
        self.results[path] = value
        assert self.step is not None
        outcome = self._outcome(self.step, str(self.number))
        if outcome:
            self._resume(outcome[0])
        else:
            self.open = dict(self._leaves(self.step, str(self.number)))

    def _outcome(self, step: Step, path: str) -> tuple[()] | tuple[Any]:
        """The result of a step in a tuple, which is empty while there is none."""
        if not isinstance(step, First | Gather):
            return (self.results[path],) if path in self.results else ()
        parts = [self._outcome(branch, f"{path}.{i}") for i, branch in enumerate(step.branches)]
        if isinstance(step, First):
            return next((((i, part[0]),) for i, part in enumerate(parts) if part), ())
        return (tuple(part[0] for part in parts if part),) if all(parts) else ()

    def _leaves(self, step: Step, path: str) -> list[tuple[str, Leaf]]:
        if not isinstance(step, First | Gather):
            return [] if path in self.results else [(path, step)]
        return [leaf for i, branch in enumerate(step.branches) for leaf in self._leaves(branch, f"{path}.{i}")]

    def _resume(self, value: Any) -> None:
        assert self.talk is not None
        try:
            step = self.talk.send(value)
            while isinstance(step, Say):
                self.outputs[f"{self.position}.{len(self.outputs)}"] = step.text
                self.said.append(step.text)
                step = self.talk.send(None)
        except StopIteration:
            self.ended = True
            self.step, self.open = None, {}
            return
        self.step = step
        self.number += 1
        self.open = dict(self._leaves(step, str(self.number)))
        for leaf in self.open.values():
            if isinstance(leaf, Cancel):
                self.called_off.add(leaf.child)
                for child in [leaf.child] if self.core.rules.cancels_one else list(self.errands):
                    self.errands[child] = "cancelled"

    # -- turns

    def _settle(self) -> None:
        """Hand out what can be handed out; at a quiescence every answer is complete."""
        while not self.ended and self._hand_out():
            pass
        if self.ended or not any(isinstance(leaf, Call | Start | Cancel | Restart) for leaf in self.open.values()):
            self._close_turn()
            for id_ in self.arrived:
                self.answers.setdefault(id_, "ended" if self.ended else "kept")

    def _hand_out(self) -> bool:
        """Give the oldest queued input that somebody listens for to the oldest such listen."""
        for path, leaf in self.open.items():
            if not isinstance(leaf, Listen):
                continue
            for i, event in enumerate(self.queue):
                kind = kind_of(event)
                if kind in TAKES[leaf.kind] and not (kind == "errand" and self._withheld(child_of(event.value))):
                    del self.queue[i]
                    self._close_turn()
                    if event.name not in self.answers:
                        self.turn = (event.name, len(self.said))
                    if kind != "errand":
                        self.left = event if kind == LEFT else None
                    self._complete(path, LEFT if kind == LEFT else event.name)
                    return True
            if leaf.kind == "said" and self.left:
                self._complete(path, LEFT)
                return True
        return False

    def _withheld(self, child: int) -> bool:
        """A cancelled errand's result, or a stranger's, is never handed out."""
        state = self.errands.get(child)
        if state == "cancelled":
            if self.core.rules.discarded_results:
                return True
            self.problem = f"the result of the cancelled errand {child} reached the workflow"
        elif state is None:
            if self.core.rules.skipped_strangers:
                return True
            self.problem = f"the result of errand {child}, whose start is not on record, reached the workflow"
        return False

    def _close_turn(self) -> None:
        if self.turn is not None:
            id_, start = self.turn
            self.answers.setdefault(id_, tuple(self.said[start:]))
            self.turn = None

    # -- the result

    def run(self) -> Run:
        """Everything that follows from the history so far."""
        gen = self.opening.gen
        return Run(
            problem=self.problem,
            gen=gen,
            parent_gen=self.opening.parent_gen,
            via=self.via,
            left=self.left,
            ended=self.ended,
            cancelled=self.cancelled,
            ids=frozenset(self.ids),
            answers=self.answers,
            owed=frozenset(self._owed(gen)),
            alarms=frozenset(Alarm(gen, path) for path, leaf in self.open.items() if isinstance(leaf, Sleep)),
            outputs=self.outputs,
            errands=self.errands,
            called_off=frozenset(self.called_off),
            listens=frozenset(leaf.kind for leaf in self.open.values() if isinstance(leaf, Listen)),
            carried=tuple(self._carry(id_) for id_ in self.ids if id_),
            queue=tuple(self.queue),
        )

    def _owed(self, gen: int) -> set[Want]:
        owed = set()
        for path, leaf in self.open.items():
            match leaf:
                case Call(kind):
                    owed.add(Want(gen, path, kind))
                case Start(child):
                    owed.add(Want(gen, path, "start", child))
                case Cancel(child):
                    owed.add(Want(gen, path, "cancel", child))
                case Restart():
                    owed.add(Want(gen, path, "restart"))
        unsent = [output for output in self.outputs if output not in self.sent] if self.core.pushes else []
        if unsent:
            owed.add(Want(gen, unsent[0], "deliver", self.outputs[unsent[0]]))
        return owed

    def _carry(self, id_: str) -> Carried:
        if any(event.name == id_ for event in (self.left, *self.queue) if event):
            return Carried(id_, "queued", self.answers.get(id_))
        if id_ in self.answers:
            return Carried(id_, "done", self.answers[id_])
        start = self.turn[1] if self.turn is not None and self.turn[0] == id_ else len(self.said)
        return Carried(id_, "open", tuple(self.said[start:]))
