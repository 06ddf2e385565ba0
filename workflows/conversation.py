"""The conversation of a run: what the steps of a workflow mean, and how it may end."""

import traceback
from hashlib import blake2b
from typing import Any

from workflows.branches import Branch, places
from workflows.errors import CallerLeft, ListenError, NoAnswer, NotUnderstood, StepFailed, WorkflowError
from workflows.events import CarriedErrand, Heard, Left, Opened, Prompt
from workflows.inbox import Inbox
from workflows.inputs import CALLER, ErrandDone, read
from workflows.opens import Open, Opens
from workflows.outgoing import PUSHES, Outgoing
from workflows.outputs import Output, Say
from workflows.pump import Failure, Pump
from workflows.registry import AnyWorkflow, Registry
from workflows.steps import (
    CallStep,
    CancelStep,
    FirstStep,
    GatherStep,
    ListenStep,
    RestartStep,
    SleepStep,
    StartStep,
    StatusStep,
    Step,
)
from workflows.turns import Turn, Turns
from workflows.values import to_plain

GOODBYE = Say("Goodbye.")
MISUNDERSTOOD = Say("Sorry, I did not understand. Goodbye.")
UNAVAILABLE = Say("Sorry, that did not work. Please try again later. Goodbye.")
APOLOGY = Say("Sorry, something went wrong on our side. Please try again later.")

NOBODY = "an errand has nobody to talk to. Return what there is to say instead: its parent hears it as ErrandDone."


class Conversation(Pump):
    """What is going on between the two ends of a session: open steps, inputs that wait, what is said, and how it ends.

    Its talk asks it for `now`, `note`, `patches`, `use` and `say`; everything else is the run's, which feeds it.
    """

    __slots__ = (
        "_inbox", "_opens", "_position", "_registry", "_uses", "cancelled", "error", "note", "now", "opened", "result", "session",
        "turns",
    )  # fmt: skip

    def __init__(self, session: str, opened: Opened, registry: Registry) -> None:
        super().__init__()
        self.session = session
        self.opened = opened
        self.now = opened.at
        self.turns = Turns()
        if opened.parent is None and opened.facts.get(PUSHES):  # an errand has its parent's facts, and says nothing
            self.turns.outgoing = Outgoing(opened.base)
        self.cancelled = False
        self.result: Any = None
        self.error: tuple[str, str] | None = None
        self.note: Any = None
        self._registry = registry
        self._inbox = Inbox(self.turns, opened.errands)
        self._opens = Opens()
        self._uses: dict[tuple[str, str], int] | None = None
        self._position = opened.base

    @property
    def prompt(self) -> Prompt | None:
        """What the caller can speak to now."""
        step = self._opens.prompt
        return None if step is None or self.failure is not None else step.step.prompt

    @property
    def left(self) -> bool:
        """Whether the caller has left, as far as the workflow has heard."""
        return self._inbox.left is not None

    def child_key(self, start: Open) -> str:
        """The session key of the errand that a step starts: no life of a key meets a former one.

        What is started is part of it, for a failover may lead to another errand at the same step.
        """
        name = f"{self.session}/{self.opened.gen}/{start.id}/{start.name}/{start.hash.hex()}"
        return f"errand:{blake2b(name.encode(), key=self.opened.seed, digest_size=16).hexdigest()}"

    # -- what the talk asks --------------------------------------------------------------------------------------------------------------

    def say(self, output: Output) -> None:
        """An output of the talk, in text that can be stored."""
        if self._closed:
            return
        if self.opened.parent is not None:
            raise WorkflowError(NOBODY)
        self.turns.say(self._position, output)

    def know(self, workflow: AnyWorkflow) -> None:
        """A workflow that is about to be on record by its name."""
        self._registry.add(workflow)

    @property
    def patches(self) -> tuple[str, ...]:
        """The patches that the workflow's code declares now."""
        return self._registry.get(self.opened.workflow).patches

    def use(self, kind: str, name: str) -> str:
        """A seed for a name and how often it was used, so that an added call shifts no other."""
        if self._uses is None:
            self._uses = {}
        uses = self._uses.get((kind, name), 0)
        self._uses[kind, name] = uses + 1
        return f"{kind}/{self.session}/{self.opened.gen}/{self.opened.seed.hex()}/{name}/{uses}"

    # -- steps ---------------------------------------------------------------------------------------------------------------------------

    def _begin(self, branch: Branch, id_: str, step: Step) -> None:
        match step:
            case ListenStep():
                hears_caller = not step.types.isdisjoint(CALLER)
                if self._opens.steps or self._inbox.left is not None or self.opened.parent is not None:
                    error = self._refuse(branch, step, hears_caller=hears_caller)
                    if error is not None:
                        self._ready.append((branch, None, error))
                        return
                listen, timeout = step.prompt.listen, step.prompt.timeout
                name = listen.name if listen is not None else ",".join(sorted(step.types))
                due = None if timeout is None or self.opened.facts.get("owns_timeouts") else self.now + round(timeout * 1000)
                self._opens.add(Open(id_, "listen", name, step, branch, hears_caller), due)
            case CallStep(effect=effect):
                self._opens.want(Open(id_, "call", effect.name, step, branch))
            case SleepStep(until=until):
                self._opens.add(Open(id_, "sleep", "", step, branch), until)
            case FirstStep() | GatherStep():
                self._fork(branch, id_, step)
            case StartStep(workflow=workflow):
                start = Open(id_, "start", workflow.name, step, branch)
                self._opens.want(start)
                self._inbox.expect(self._errand(start, "starting"))
            case CancelStep(errand=errand):
                self._opens.want(Open(id_, "cancel", errand.id, step, branch))
                self._inbox.discard(errand.id)
            case StatusStep(errand=errand):
                self._opens.want(Open(id_, "status", errand.id, step, branch))
            case RestartStep(workflow=workflow):
                self.restart = Open(id_, "restart", workflow.name, step, branch)
                self._opens.add(self.restart)
            case _:
                self._refuse_foreign(branch)

    def _shut(self, step: Open) -> None:
        self._opens.remove(step)
        if step.kind == "start":
            errand = self._errand(step, "starting")
            if self._inbox.errands.get(errand.id) == errand:
                self._inbox.forget(errand.id)

    def _errand(self, start: Open, state: str) -> CarriedErrand:
        id_ = f"{self.opened.gen}/{start.id}"
        return CarriedErrand(id_, self.child_key(start), start.step.name, start.name, state, start.step.args)

    # -- listening -----------------------------------------------------------------------------------------------------------------------

    def _refuse(self, branch: Branch, step: ListenStep, *, hears_caller: bool) -> Exception | None:
        """Why a listen cannot be opened: another one would hear the same, or nobody is there."""
        rival = self._opens.rival(step.types)
        if rival is not None:
            both = ", ".join(sorted(rival.step.types & step.types))
            return ListenError(
                f"{places(branch.coroutine)[-1]} listens for {both}, and so does {places(rival.branch.coroutine)[-1]} already. "
                "Only one open listen can hear the same type of input."
            )
        if not hears_caller:
            return None
        if self.opened.parent is not None:
            return WorkflowError(NOBODY)
        if self._inbox.left is not None and "returned" not in step.types and not self._inbox.caller_is_back():
            return CallerLeft("the caller has left")
        return None

    def _hand_out(self) -> bool:
        inbox = self._inbox
        if inbox.items is not None:
            for step in self._opens.steps.values():
                if step.kind == "listen" and (item := inbox.take(step.step.types)) is not None:
                    self._take_up(step, *item)
                    return True
        return False

    def _take_up(self, step: Open, event: Heard | Left, turn: Turn) -> None:
        asked = self._opens.prompt
        self.turns.consume(turn, None if asked is None else asked.step.prompt)
        if not isinstance(event, Heard):
            self._inbox.left = event
            for each in [each for each in self._opens.steps.values() if each.hears_caller]:
                self._shut(each)
                self._ready.append((each.branch, None, CallerLeft(event.reason)))
            return
        self._opens.remove(step)
        value: Any = None
        error: Exception | None = None
        if event.type == "errand":
            try:
                value = self._read_notice(event)
            except Exception as wrong:  # noqa: BLE001 - the errand's module may not even be imported; the author sees it at this line
                error = wrong
        else:
            if event.type == "returned":
                self._inbox.left = None
            value = read(event.type, event.payload)
        self._ready.append((step.branch, value, error))

    def _read_notice(self, event: Heard) -> ErrandDone:
        errand = self._inbox.errands[event.payload["errand"]]
        self._inbox.forget(errand.id)
        value, error = event.payload.get("value"), event.payload.get("error")
        if error is None:
            value = self._registry.get(errand.workflow).read_result(value)
        return ErrandDone(errand.id, errand.name, value, error)

    # -- endings -------------------------------------------------------------------------------------------------------------------------

    def _return(self, value: Any) -> None:
        try:
            self.result = to_plain(value)
        except TypeError as error:
            self._fail(error)
        else:
            self._end()

    def _raise(self, error: BaseException) -> None:
        match error:
            case CallerLeft():
                ending = None
            case NoAnswer():
                ending = GOODBYE
            case NotUnderstood():
                ending = MISUNDERSTOOD
            case StepFailed():
                ending = UNAVAILABLE
            case _:
                self._fail(error)
                return
        self.error = (type(error).__name__, str(error))
        if ending is not None and self.opened.parent is None:
            self.turns.say(self._position, ending)
        self._end()

    def _end(self) -> None:
        self.ended = True
        self._inbox.clear()
        assert self._root is not None
        self._close_branch(self._root)

    def _fail(self, error: BaseException) -> None:
        self.failure = Failure(type(error).__name__, str(error), "".join(traceback.format_exception(error)))
        if self.opened.parent is None and not self._closed:
            self.turns.apologise(self._position, APOLOGY)
