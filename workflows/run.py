"""A workflow, carried as far as its history goes: the pure core.

`Run(session, opened, registry)` begins a generation, `feed` takes the next recorded event and tells what became of it. There is no I/O
here, no loop and no clock: time is what the events say. Everything else of Switchboard is a shell around these two calls.

The order in which the pump works is part of the stored format (golden histories guard it): every branch that can go on goes on, in the
order in which it became able to; only when none can, one queued input is handed out, to the oldest listen that takes it.
"""

import traceback
from collections import deque
from collections.abc import Coroutine
from hashlib import blake2b
from typing import Any
from zlib import crc32

import msgspec

from workflows.effects import hash_arguments
from workflows.errors import (
    CallerLeft,
    ForeignAwaitError,
    ListenError,
    NoAnswer,
    NondeterminismError,
    NotUnderstood,
    RunawayError,
    StepFailed,
    WorkflowError,
)
from workflows.events import AnyEvent, CarriedErrand, Fired, Heard, Left, Memo, Opened, Prompt, Sent
from workflows.inputs import CALLER, ErrandDone, Silence, read
from workflows.outputs import Output, Say
from workflows.registry import Registry
from workflows.steps import (
    CallStep,
    CancelStep,
    Errand,
    FirstStep,
    GatherStep,
    ListenStep,
    RestartStep,
    SleepStep,
    StartStep,
    StatusStep,
    Step,
)
from workflows.talk import Talk
from workflows.turns import Turn, Turns

MOST_STEPS = 10_000
"""Steps between two events; a workflow that takes more runs in a circle."""

GOODBYE = Say("Goodbye.")
MISUNDERSTOOD = Say("Sorry, I did not understand. Goodbye.")
UNAVAILABLE = Say("Sorry, that did not work. Please try again later. Goodbye.")
APOLOGY = Say("Sorry, something went wrong on our side. Please try again later.")

_words = msgspec.msgpack.Encoder().encode


class Progress(msgspec.Struct, frozen=True):
    """What an event led to: the outputs said, the alarms now set (step to ms) and those no longer wanted."""

    said: list[tuple[int, int, Output]]
    alarms_set: dict[str, int]
    alarms_cleared: list[str]


class Failure(msgspec.Struct, frozen=True):
    """Why a run cannot go on: the exception's class, its text, and the traceback for the author."""

    kind: str
    text: str
    traceback: str


class Open(msgspec.Struct):
    """An open step: its path-shaped id, its kind and name, and the branch that waits for it."""

    id: str
    kind: str
    name: str
    step: Any
    branch: "_Branch"
    _hash: bytes | None = None

    @property
    def hash(self) -> bytes:
        """Eight bytes over a call's arguments, made when first asked for (a rehydration never asks)."""
        if self._hash is None:
            step = self.step
            match step:
                case CallStep():
                    self._hash = hash_arguments(step.args, step.kwargs)
                case StartStep():
                    self._hash = hash_arguments((step.args,), {"name": step.name})
                case _:
                    self._hash = hash_arguments((step.errand.id,), {})
        return self._hash


class _Branch:
    """A coroutine of the workflow, the prefix of its step ids, and the group that waits for it."""

    __slots__ = ("below", "closed", "coroutine", "count", "group", "index", "open", "prefix")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], prefix: str, group: "_Group | None", index: int) -> None:
        self.coroutine = coroutine
        self.prefix = prefix
        self.group = group
        self.index = index
        self.count = 0
        self.closed = False
        self.open: Open | None = None
        self.below: _Group | None = None


class _Group:
    """The branches of one `first` or `gather`."""

    __slots__ = ("branches", "missing", "owner", "results", "takes_first")

    def __init__(self, owner: _Branch, *, takes_first: bool) -> None:
        self.owner = owner
        self.takes_first = takes_first
        self.branches: list[_Branch] = []
        self.results: list[Any] = []
        self.missing = 0


class Run:
    """One generation of a session, alive.

    Attributes:
        opened: its opening. `now`: the greatest recorded time, ms. `length`: events fed, the opening included.
        calls: the open steps that want an effect, by step id. `alarms`: step id to due time, ms.
        turns: which outputs answer which inbound.
        restart: the open restart, if the run has come to one.
        ended, cancelled: it is over; it was called off.
        result, error: what an errand reports to its parent.
        failure: why it cannot go on, if the workflow has a bug.
        note: what the workflow last noted for status and task lists.
        errands: the errands by id; `started` on record, `running`, `cancelled` or `done`.
    """

    __slots__ = (
        "__weakref__", "_alarms_cleared", "_alarms_set", "_closed", "_fresh", "_ordinal", "_queue", "_ready", "_registry", "_root", "_uses",
        "alarms", "calls", "cancelled", "ended", "errands", "error", "failure", "left", "length", "note", "now", "opened", "opens", "restart",
        "result", "session", "strict", "turns",
    )  # fmt: skip

    def __init__(self, session: str, opened: Opened, registry: Registry, *, strict: bool = False) -> None:
        self.session = session
        self.opened = opened
        self.strict = strict
        self.now = opened.at
        self.length = 1
        self.opens: dict[str, Open] = {}
        self.calls: dict[str, Open] = {}
        self.alarms: dict[str, int] = {}
        self.turns = Turns()
        self.restart: Open | None = None
        self.ended = self.cancelled = self.left = False
        self.result: Any = None
        self.error: tuple[str, str] | None = None
        self.failure: Failure | None = None
        self.note: Any = None
        self.errands: dict[str, CarriedErrand] = {errand.id: errand for errand in opened.errands}
        self._registry = registry
        self._queue: list[tuple[Heard | Left, Turn]] = []
        self._ready: deque[tuple[_Branch, Any, BaseException | None]] = deque()
        self._fresh: list[tuple[int, int, Output]] = []
        self._alarms_set: dict[str, int] = {}
        self._alarms_cleared: list[str] = []
        self._uses: dict[tuple[str, str], int] = {}
        self._ordinal = 0
        self._closed = False
        self._root: _Branch | None = None
        for carried in opened.carried:
            self.turns.resume(carried)
        if opened.id:
            self.turns.consume(self.turns.arrive(opened.id, opened.base, opened.at), None)
        try:
            self._root = _Branch(registry.get(opened.workflow).begin(Talk(self), opened.args), "", None, 0)
        except (WorkflowError, Exception) as error:  # noqa: BLE001 - whatever an import of the author's module may raise
            self._fail(error)
        else:
            self._ready.append((self._root, None, None))
            self._pump()
        self._settle()

    # -- what the shell asks -------------------------------------------------------------------------------------------------------------

    @property
    def progress(self) -> Progress:
        """What the last event fed (or the opening) led to."""
        return Progress(self._fresh, self._alarms_set, self._alarms_cleared)

    @property
    def quiescent(self) -> bool:
        """It listens, or has ended, or wants no effect: it waits for the world, not for us."""
        return not self.calls and self.restart is None

    @property
    def prompt(self) -> Prompt | None:
        """What the caller can speak to now."""
        for step in self.opens.values():
            if step.kind == "listen" and not step.step.types.isdisjoint(CALLER):
                return Prompt(step.step.listen, step.step.timeout)
        return None

    @property
    def queued(self) -> list[Heard | Left]:
        """The inputs that nothing has listened for yet, oldest first."""
        return [event for event, _ in self._queue]

    def shape(self) -> int:
        """The checksum over the open steps that the next event carries."""
        opens = self.opens
        if len(opens) == 1:
            for step in opens.values():
                return crc32(f"{step.id} {step.kind} {step.name}".encode())
        return crc32("\n".join(sorted(f"{step.id} {step.kind} {step.name}" for step in opens.values())).encode())

    def words(self) -> int:
        """The checksum over the outputs since the last event, that the next event carries."""
        check = 0
        for _, _, output in self._fresh:
            check = crc32(_words(output), check)
        return check

    def wanted(self) -> str:
        """The open steps, for people."""
        if self.ended:
            return "nothing more (it has ended)"
        return ", ".join(f"{step.kind} {step.name} (step {step.id})".replace("  ", " ") for step in self.opens.values()) or "nothing"

    def child_key(self, errand: str) -> str:
        """The session key of the errand that step `<gen>/<step>` starts: no life of a key meets a former one."""
        digest = blake2b(f"{self.session}/{errand}".encode(), key=self.opened.seed, digest_size=16).hexdigest()
        return f"errand:{digest}"

    def address(self, step: str) -> str:
        """The stable key of an effect for the outside world: `session/gen/step`."""
        return f"{self.session}/{self.opened.gen}/{step}"

    # -- feeding ---------------------------------------------------------------------------------------------------------------------------

    def feed(self, event: AnyEvent) -> Progress:
        """Take the next event. Raises `NondeterminismError` when the code does not repeat what is on record; the run is then of no use."""
        position = self.opened.base + self.length
        if self.failure is None and event.shape != self.shape():
            raise NondeterminismError(position, f"{describe(event)}, recorded when other steps were open", self.wanted())
        self.length += 1
        self._fresh = []
        self._alarms_set = {}
        self._alarms_cleared = []
        self._ordinal = 0
        self.now = max(self.now, event.at)
        if self.failure is not None:
            return self.progress
        match event:
            case Heard():
                turn = self.turns.arrive(event.id, position, event.at)
                if event.type == "cancel":
                    self._cancelled()
                elif not self.ended:
                    self._queue.append((event, turn))
            case Memo():
                self._remember(event, position)
            case Fired():
                self._fire(event, position)
            case Left():
                turn = self.turns.arrive(event.id, position, event.at)
                if not self.ended:
                    self._queue.append((event, turn))
            case Sent():
                return self.progress
            case _:
                raise NondeterminismError(position, describe(event), self.wanted())
        self._pump()
        self._settle()
        return self.progress

    def close(self) -> None:
        """Let go of the conversation without a word: `finally` blocks run, but nothing that they say or start counts."""
        self._closed = True
        if self._root is not None:
            self._close_branch(self._root)
            self._root = None
        self.opens.clear()
        self.calls.clear()
        self._ready.clear()
        self.restart = None

    def say(self, output: Output) -> None:
        """An output of the talk."""
        if self._closed:
            return
        if self.opened.parent is not None:
            raise WorkflowError("an errand has nobody to talk to. Return the text instead: its parent hears it as ErrandDone.")
        self._output(output)

    @property
    def patches(self) -> tuple[str, ...]:
        """The patches that the workflow's code declares now."""
        return self._registry.get(self.opened.workflow).patches

    def use(self, kind: str, name: str) -> str:
        """A seed for a name and how often it was used, so that an added call shifts no other."""
        uses = self._uses.get((kind, name), 0)
        self._uses[kind, name] = uses + 1
        return f"{kind}/{self.session}/{self.opened.gen}/{self.opened.seed.hex()}/{name}/{uses}"

    # -- results ---------------------------------------------------------------------------------------------------------------------------

    def _remember(self, memo: Memo, position: int) -> None:
        step = self.calls.get(memo.step)
        if step is None or step.name != memo.name or (self.strict and step.hash != memo.hash):
            arguments = " with other arguments" if step is not None and step.name == memo.name else ""
            raise NondeterminismError(position, describe(memo) + arguments, self.wanted())
        value: Any = None
        error: BaseException | None = None
        if memo.error is not None:
            error = StepFailed(memo.name, memo.error[0], memo.error[1])
        else:
            try:
                value = self._read_memo(step, memo)
            except msgspec.ValidationError as wrong:
                raise NondeterminismError(position, f"{describe(memo)}, whose value does not fit ({wrong})", self.wanted()) from None
        self._shut(step)
        self._ready.append((step.branch, value, error))

    def _read_memo(self, step: Open, memo: Memo) -> Any:
        match step.step:
            case CallStep(effect=effect):
                return effect.read(memo.value)
            case StartStep(name=name, workflow=workflow):
                id_ = f"{self.opened.gen}/{step.id}"
                errand = CarriedErrand(id_, self.child_key(id_), name, workflow.name)
                self.errands[id_] = errand
                return Errand(id_, errand.key, name, workflow.name)
            case StatusStep():
                return msgspec.msgpack.decode(memo.value)
            case _:
                return None

    def _fire(self, fired: Fired, position: int) -> None:
        step = self.opens.get(fired.step)
        if step is None or fired.step not in self.alarms:
            raise NondeterminismError(position, describe(fired), self.wanted())
        self._shut(step)
        self._ready.append((step.branch, Silence() if step.kind == "listen" else None, None))

    def _cancelled(self) -> None:
        self.cancelled = True
        self._end()

    # -- the pump --------------------------------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        steps = 0
        while not self.ended and self.failure is None and self.restart is None:
            if self._ready:
                branch, value, error = self._ready.popleft()
                if branch.closed:
                    continue
                steps += 1
                if steps > MOST_STEPS:
                    where = _where(branch.coroutine)
                    self._fail(
                        RunawayError(f"{steps:,} steps without waiting for anything, last at {where}. Is a loop missing its way out?")
                    )
                else:
                    self._advance(branch, value, error)
            elif not self._hand_out():
                return

    def _advance(self, branch: _Branch, value: Any, error: BaseException | None) -> None:
        try:
            step = branch.coroutine.throw(error) if error is not None else branch.coroutine.send(value)
        except StopIteration as stop:
            self._finish(branch, stop.value)
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # noqa: BLE001 - whatever the author's code raises is a fact about the conversation
            self._raise(branch, raised)
        else:
            if isinstance(step, Step):
                self._begin(branch, step)
            else:
                self._fail(
                    ForeignAwaitError(
                        f"{_where(branch.coroutine)} awaits something that is no step of its talk. A workflow awaits only talk.… and other "
                        "workflows; put the call into an @effect and await talk.call(…)."
                    )
                )

    def _begin(self, branch: _Branch, step: Step) -> None:
        branch.below = None
        id_ = f"{branch.prefix}{branch.count}"
        branch.count += 1
        match step:
            case ListenStep():
                self._listen(id_, branch, step)
            case CallStep():
                self._want(Open(id_, "call", step.effect.name, step, branch))
            case SleepStep():
                self._wait(Open(id_, "sleep", "", step, branch))
                self._set_alarm(id_, step.until)
            case FirstStep() | GatherStep():
                group = _Group(branch, takes_first=isinstance(step, FirstStep))
                group.missing = len(step.branches)
                group.results = [None] * group.missing
                group.branches = [_Branch(each, f"{id_}.{index}.", group, index) for index, each in enumerate(step.branches)]
                branch.below = group
                self._ready.extend((each, None, None) for each in group.branches)
            case StartStep():
                self._want(Open(id_, "start", step.workflow.name, step, branch))
            case CancelStep():
                self._want(Open(id_, "cancel", step.errand.id, step, branch))
                self._discard(step.errand.id)
            case StatusStep():
                self._want(Open(id_, "status", step.errand.id, step, branch))
            case RestartStep():
                self.restart = Open(id_, "restart", step.workflow.name, step, branch)
                self._wait(self.restart)
            case _:
                self._fail(WorkflowError(f"unknown step {step!r}"))

    def _wait(self, step: Open) -> None:
        self.opens[step.id] = step.branch.open = step

    def _want(self, step: Open) -> None:
        self._wait(step)
        self.calls[step.id] = step

    def _listen(self, id_: str, branch: _Branch, step: ListenStep) -> None:
        for other in self.opens.values():
            if other.kind == "listen" and not other.step.types.isdisjoint(step.types):
                both = ", ".join(sorted(other.step.types & step.types))
                error = ListenError(f"step {other.id} listens for {both} already. One listen at a time can hear the same type of input.")
                self._ready.append((branch, None, error))
                return
        if self.left and not step.types.isdisjoint(CALLER) and "returned" not in step.types:
            self._ready.append((branch, None, CallerLeft("the caller has left")))
            return
        name = step.listen.name if step.listen is not None else ",".join(sorted(step.types))
        self._wait(Open(id_, "listen", name, step, branch))
        if step.timeout is not None and not self.opened.facts.get("owns_timeouts"):
            self._set_alarm(id_, self.now + round(step.timeout * 1000))

    def _hand_out(self) -> bool:
        """Give one queued input to the oldest listen that takes it; False if there is none."""
        queue = self._queue
        if not queue:
            return False
        if any(event.type == "errand" for event, _ in queue if isinstance(event, Heard)):
            self._queue = queue = [item for item in queue if not self._unwanted(item[0])]
        for step in self.opens.values():
            if step.kind == "listen":
                for index, (event, turn) in enumerate(queue):
                    if self._takes(step.step.types, event):
                        del queue[index]
                        self.turns.consume(turn, self.prompt)
                        self._hear(step, event, turn)
                        return True
        return False

    def _takes(self, types: frozenset[str], event: Heard | Left) -> bool:
        if isinstance(event, Left):
            return not types.isdisjoint(CALLER)
        # A notice can come before its start is on record here: it waits for that memo.
        return event.type in types and (event.type != "errand" or event.payload["errand"] in self.errands)

    def _hear(self, step: Open, event: Heard | Left, turn: Turn) -> None:
        self._shut(step)
        value: Any = None
        error: BaseException | None = None
        if isinstance(event, Left):
            self.left = True
            error = CallerLeft(event.reason)
        elif event.type == "errand":
            value = self._read_notice(event)
        else:
            if event.type == "returned":
                self.left = False
            turn.secret = bool(getattr(step.step.listen, "secret", False))
            value = read(event.type, event.payload)
        self._ready.append((step.branch, value, error))

    def _unwanted(self, event: Heard | Left) -> bool:
        """Whether it is the notice of an errand that was called off, or whose start is neither on record nor wanted."""
        if isinstance(event, Left) or event.type != "errand":
            return False
        id_ = event.payload["errand"]
        errand = self.errands.get(id_)
        if errand is not None:
            return errand.state == "cancelled"
        gen, _, step = id_.partition("/")
        return gen != str(self.opened.gen) or step not in self.calls

    def _read_notice(self, event: Heard) -> ErrandDone:
        errand = self.errands.pop(event.payload["errand"])
        value, error = event.payload.get("value"), event.payload.get("error")
        if error is None:
            value = self._registry.get(errand.workflow).read_result(value)
        return ErrandDone(errand.id, errand.name, value, error)

    def _discard(self, errand: str) -> None:
        known = self.errands.get(errand)
        if known is not None:
            self.errands[errand] = msgspec.structs.replace(known, state="cancelled")

    # -- endings ---------------------------------------------------------------------------------------------------------------------------

    def _finish(self, branch: _Branch, value: Any) -> None:
        branch.closed = True
        group = branch.group
        if group is None:
            try:
                self.result = msgspec.to_builtins(value, builtin_types=(bytes,))
            except TypeError as error:
                self._fail(error)
                return
            self._end()
        elif group.takes_first:
            self._close_others(group, branch)
            self._ready.append((group.owner, (branch.index, value), None))
        else:
            group.results[branch.index] = value
            group.missing -= 1
            if group.missing == 0:
                self._ready.append((group.owner, tuple(group.results), None))

    def _raise(self, branch: _Branch, error: BaseException) -> None:
        branch.closed = True
        if branch.group is not None:
            self._close_others(branch.group, branch)
            self._ready.append((branch.group.owner, None, error))
            return
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
            self.say(ending)
        self._end()

    def _close_others(self, group: _Group, winner: _Branch) -> None:
        for each in group.branches:
            if each is not winner and not each.closed:
                self._close_branch(each)

    def _close_branch(self, branch: _Branch) -> None:
        """Close a branch and all that hang from it, the innermost first."""
        tree = [branch]
        for each in tree:
            if each.below is not None:
                tree.extend(each.below.branches)
        for each in reversed(tree):
            if each.open is not None:
                self._shut(each.open)
            if not each.closed:
                self._close_coroutine(each)

    def _close_coroutine(self, branch: _Branch) -> None:
        branch.closed = True
        try:
            branch.coroutine.close()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the author's `finally` is the author's code
            if not self._closed:
                self._fail(error)

    def _shut(self, step: Open) -> None:
        step.branch.open = None
        self.opens.pop(step.id, None)
        self.calls.pop(step.id, None)
        if step.id in self.alarms:
            del self.alarms[step.id]
            if self._alarms_set.pop(step.id, None) is None:
                self._alarms_cleared.append(step.id)

    def _set_alarm(self, id_: str, at: int) -> None:
        self.alarms[id_] = self._alarms_set[id_] = at

    def _end(self) -> None:
        self.ended = True
        self._queue.clear()
        if self._root is not None:
            self._close_branch(self._root)

    def _fail(self, error: BaseException) -> None:
        self.failure = Failure(type(error).__name__, str(error), "".join(traceback.format_exception(error)))
        if self.opened.parent is None and not self._closed:
            self._output(APOLOGY)

    def _output(self, output: Output) -> None:
        said = (self.opened.base + self.length - 1, self._ordinal, output)
        self._ordinal += 1
        self._fresh.append(said)
        self.turns.say(said)

    def _settle(self) -> None:
        if self.failure is not None:
            self.calls.clear()
            self.restart = None
        if self.turns.open and self.quiescent:
            self.turns.settle(self.prompt, ended=self.ended, failed=self.failure is not None)


def describe(event: AnyEvent) -> str:
    """An event in words, for error texts."""
    match event:
        case Opened(workflow=name):
            return f"an opening of {name}"
        case Heard(type=type_):
            return f"an input ({type_})"
        case Memo(step=step, name=name):
            return f"the outcome of {name} (step {step})"
        case Fired(step=step):
            return f"the alarm of step {step}"
        case Left():
            return "the caller leaving"
        case _:
            return "a receipt"


def _where(coroutine: Any) -> str:
    """The line at which a suspended coroutine of the author stands."""
    place = "an unknown line"
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is None:
            break
        place = f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_qualname})"
        coroutine = coroutine.cr_await
    return place
