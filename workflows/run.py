"""A workflow, carried as far as its history goes: the pure core.

`Run(session, opened, registry)` begins a generation, `feed` takes the next recorded event and tells what became of it. There is no I/O
here, no loop and no clock: time is what the events say. Everything else of Switchboard is a shell around these two calls.
"""

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import msgspec

from workflows.branches import Branch, let_go, unstarted
from workflows.conversation import Conversation
from workflows.errors import NondeterminismError, StepFailed, UndecodableError, WorkflowError
from workflows.events import AnyEvent, CarriedErrand, Fired, Heard, Left, Memo, Opened, Sent, describe
from workflows.inputs import CALLER, Silence
from workflows.opens import Open
from workflows.outgoing import APOLOGY, Unsent
from workflows.pump import Failure
from workflows.registry import Registry
from workflows.steps import CallStep, CancelStep, Errand, StartStep
from workflows.talk import Talk
from workflows.turns import Said, State

__all__ = ["Failure", "Open", "Run"]

_words = msgspec.msgpack.Encoder().encode


class Run(Conversation):
    """One generation of a session, alive.

    Attributes:
        opened: its opening. `now`: the greatest recorded time, ms. `length`: events fed, the opening included.
        calls: the open steps that want an effect, by step id. `alarms`: step id to due time, ms.
        errands: those that have not reported, by id: `starting` until that is on record, `running`, `cancelled` until that is.
        turns: which outputs answer which inbound.
        restart: the open restart, if the run has come to one.
        ended, cancelled: it is over; it was called off.
        result, error: what an errand reports to its parent.
        failure: why it cannot go on, if the workflow has a bug.
        note: what the workflow last noted for status and task lists.
    """

    __slots__ = ("__weakref__", "strict")

    def __init__(self, session: str, opened: Opened, registry: Registry, *, strict: bool = False) -> None:
        super().__init__(session, opened, registry)
        self.strict = strict
        for carried in opened.carried:
            self.turns.resume(carried)
        if opened.id:
            self.turns.consume(self.turns.arrive(opened.id, opened.base, opened.at))
        try:
            self._root = Branch(registry.get(opened.workflow).begin(Talk(self), opened.args))
        except Exception as error:  # noqa: BLE001 - whatever an import of the author's module may raise
            self._fail(error)
        else:
            self._ready.append((self._root, None, None))
            self._pump()
        self._settle()

    # -- what the shell asks -------------------------------------------------------------------------------------------------------------

    @property
    def calls(self) -> dict[str, Open]:
        """The open steps that want an effect, by step id."""
        return self._opens.calls or {}

    @property
    def alarms(self) -> dict[str, int]:
        """Step id to due time, ms."""
        return self._opens.alarms or {}

    @property
    def said(self) -> list[Said]:
        """What the last event fed (or the opening) made it say."""
        return self.turns.said

    @property
    def alarms_set(self) -> dict[str, int]:
        """The alarms that the last event fed (or the opening) made it want, step id to due time, ms."""
        return self._opens.alarms_set or {}

    @property
    def alarms_cleared(self) -> list[str]:
        """The steps whose alarms are not wanted any more since the last event."""
        return self._opens.alarms_cleared or []

    @property
    def length(self) -> int:
        """How many events were fed, the opening included."""
        return self._position - self.opened.base + 1

    @property
    def quiescent(self) -> bool:
        """It listens to the caller, or has ended, or wants no effect: it waits for the world, not for us."""
        return self.restart is None and (not self.calls or self._opens.prompt is not None)

    @property
    def queued(self) -> list[Heard | Left]:
        """The inputs that nothing has listened for yet, oldest first; before them the leaving of a caller who is gone, for a restart."""
        return self._inbox.events if self._inbox.left is None else [self._inbox.left, *self._inbox.events]

    @property
    def errands(self) -> dict[str, CarriedErrand]:
        """The errands that have not reported, by id."""
        return self._inbox.errands

    @property
    def unsent(self) -> Sequence[Unsent]:
        """What has to be sent, in this order, where the channel pushes."""
        outgoing = self.turns.outgoing
        return () if outgoing is None else outgoing.unsent

    def shape(self) -> int:
        """The checksum over the open steps that the next event carries."""
        return self._opens.shape()

    def words(self) -> int:
        """The checksum over the outputs since the last event, that the next event carries."""
        check = 0
        for _, _, output in self.turns.said:
            check = crc32(_words(output), check)
        return check

    def wanted(self) -> str:
        """The open steps, for people."""
        return "nothing more (it has ended)" if self.ended else str(self._opens)

    def address(self, step: str) -> str:
        """The stable key of an effect for the outside world: `session/gen/step`."""
        return f"{self.session}/{self.opened.gen}/{step}"

    # -- what the shell does -------------------------------------------------------------------------------------------------------------

    def feed(self, event: AnyEvent) -> None:
        """Take the next event; `said`, `alarms_set` and `alarms_cleared` tell what it led to.

        Raises `NondeterminismError` when the code does not repeat what is on record, and `UndecodableError` when an event makes no sense
        (a notice that no errand wrote); the run is then of no use.
        """
        if self.failure is None and event.shape != self._opens.shape() and not isinstance(event, Sent):  # which a failed run may have, too
            raise NondeterminismError(self._position + 1, f"{describe(event)}, recorded when other steps were open", self.wanted())
        self._position += 1
        self._opens.alarms_set = self._opens.alarms_cleared = None
        self.turns.before = self.turns.count
        if event.at > self.now:  # noqa: PLR1730 - max() takes six times as long
            self.now = event.at
        match event:
            case Heard() | Left():
                self._arrive(event)
            case Sent():
                self._receive(event)
                return
            case _ if self.failure is not None:
                return
            case Memo():
                self._remember(event)
            case Fired():
                self._fire(event)
            case Opened():
                raise NondeterminismError(self._position, describe(event), self.wanted())
        self._pump()
        self._settle()

    def close(self) -> None:
        """Let go of the conversation without a word: `finally` blocks run, but nothing that they say or start counts."""
        self._closed = True
        self._opens.alarms_set = self._opens.alarms_cleared = None  # what the last event led to stays as it was
        if self._root is not None:
            never = [each for branch in self._root.tree() if not branch.closed for each in unstarted(branch.coroutine)]
            self._close_branch(self._root)
            self._root = None
            for each in never:
                let_go(each)
        self._opens.clear()
        self._ready.clear()
        self.restart = None

    # -- events --------------------------------------------------------------------------------------------------------------------------

    def _arrive(self, event: Heard | Left) -> None:
        turn = self.turns.arrive(event.id, self._position, event.at)
        if self.failure is not None or self.ended:
            return
        if isinstance(event, Heard):
            if event.type in CALLER:
                listen = self._opens.prompt
                if listen is not None and event.type in listen.step.types and self._inbox.items is None and self.restart is None:
                    self._take_up(listen, event, turn)  # as `_hand_out` would give it
                    return
            elif event.type == "cancel":
                self.cancelled = True
                self._end()
                return
            elif event.type == "errand" and not isinstance(event.payload.get("errand"), str):
                raise UndecodableError(f"event {self._position}, {describe(event)}, makes no sense: it names no errand")
        self._inbox.put(event, turn)

    def _remember(self, memo: Memo) -> None:
        step = self.calls.get(memo.step)
        if step is None or step.name != memo.name or (self.strict and step.hash != memo.hash):
            arguments = " with other arguments" if step is not None and step.name == memo.name else ""
            raise NondeterminismError(self._position, describe(memo) + arguments, self.wanted())
        value: Any = None
        error: BaseException | None = None
        if memo.error is not None:
            error = StepFailed(memo.name, memo.error[0], memo.error[1])
        else:
            try:
                value = self._read_memo(step, memo)
            except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
                raise NondeterminismError(self._position, f"{describe(memo)}, whose value does not fit ({wrong})", self.wanted()) from None
            except WorkflowError as wrong:
                self._fail(wrong)
                return
        self._shut(step)
        self._ready.append((step.branch, value, error))

    def _read_memo(self, step: Open, memo: Memo) -> Any:
        match step.step:
            case CallStep(effect=effect):
                return effect.read(memo.value)
            case StartStep():
                errand = self._errand(step, "running")
                self._inbox.expect(errand)
                return Errand(errand.id, errand.key, errand.name, errand.workflow)
            case CancelStep(errand=errand):
                self._inbox.forget(errand.id)
                return None
            case _:
                return msgspec.msgpack.decode(memo.value)

    def _fire(self, fired: Fired) -> None:
        step = self._opens.steps.get(fired.step)
        if step is None or fired.step not in self.alarms:
            raise NondeterminismError(self._position, describe(fired), self.wanted())
        self._shut(step)
        self._ready.append((step.branch, Silence() if step.kind == "listen" else None, None))

    def _receive(self, sent: Sent) -> None:
        outgoing = self.turns.outgoing
        if outgoing is not None and not (sent.receipt.get(APOLOGY) and self.failure is None):
            problem = outgoing.receive(sent.output, self._position)
            if problem and self.failure is None:
                raise NondeterminismError(self._position, f"{describe(sent)}, {problem}", self.wanted())

    def _settle(self) -> None:
        opens, prompt = self._opens, None
        if self.failure is not None:
            opens.calls = None
            self.restart = None
        elif (listen := opens.prompt) is not None:
            prompt = listen.step.prompt
            if self.turns.outgoing is not None:
                self.turns.outgoing.ask(listen.id, prompt, self._position)
        if self.turns.open and self.restart is None and (prompt is not None or opens.calls is None):
            unheard: State = "failed" if self.failure is not None else "ended" if self.ended else "kept"
            self.turns.settle(prompt, unheard, ended=self.ended)
