"""The talk: a workflow's only door to the world."""

import uuid
from collections.abc import Coroutine
from datetime import datetime, timedelta
from random import Random
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, Protocol, TypeVar, overload
from zoneinfo import ZoneInfo

import msgspec

from workflows.effects import Effect
from workflows.errors import ArgumentsError, NoAnswer, NotUnderstood
from workflows.events import Prompt
from workflows.inputs import TYPES, Heard, Input, Recording, Silence, Transferred
from workflows.listen import LISTENS, Listen, Message, Transfer
from workflows.outputs import Output, Play, Say, Ssml, whole
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
    trap,
)
from workflows.values import to_plain
from workflows.workflow import Workflow

if TYPE_CHECKING:
    from workflows.conversation import Conversation

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
I = TypeVar("I", bound=Input)  # noqa: E741 - reads well beside J and K
J = TypeVar("J", bound=Input)
K = TypeVar("K", bound=Input)

PHONE_TIMEOUT = 5.0
"""Seconds that a channel which keeps time-outs itself waits for an answer, unless told otherwise (Twilio's own default for Gather)."""

DIGITS = frozenset({"pressed", "said", "intent", "silence"})
RECORDED = frozenset({"recorded", "said", "pressed", "intent", "silence"})
TRANSFERRED = frozenset({"transferred", "silence"})


class Spoken(Protocol):
    """The result of an effect that can be spoken: it has a text."""

    @property
    def text(self) -> str:
        """What is said."""


Speakable = TypeVar("Speakable", bound=Spoken)


class Opening(msgspec.Struct, frozen=True):
    """The recorded facts of the opening. `at` is in the line's time zone; `facts` say what the channel can do."""

    channel: str
    line: str | None
    caller: str | None
    at: datetime
    locale: str
    time_zone: str
    facts: dict[str, Any]


class ErrandStatus(msgspec.Struct, frozen=True):
    """How an errand is doing: `running`, `ended`, `failed` or `unknown`, and what it last noted."""

    state: str
    note: Any = None


class Talk:
    """What a workflow can do and know. Everything that waits is awaited; everything else is plain.

    Attributes:
        opened: the recorded facts of the opening.
    """

    __slots__ = ("_opened", "_run", "_timeout")

    def __init__(self, run: "Conversation") -> None:
        self._run = run
        self._timeout = PHONE_TIMEOUT if run.opened.facts.get("owns_timeouts") else None
        self._opened: Opening | None = None

    # -- what is known ---------------------------------------------------------------------------------------------------------------------

    @property
    def opened(self) -> Opening:
        """The recorded facts of the opening."""
        if self._opened is None:
            it = self._run.opened
            at = datetime.fromtimestamp(it.gen / 1000, ZoneInfo(it.time_zone))
            self._opened = Opening(it.channel, it.line, it.caller, at, it.locale, it.time_zone, it.facts)
        return self._opened

    @property
    def now(self) -> datetime:
        """The greatest recorded time so far, in the line's time zone; it never goes back."""
        return datetime.fromtimestamp(self._run.now / 1000, ZoneInfo(self._run.opened.time_zone))

    def random(self, name: str) -> Random:
        """A generator seeded by session, generation, name and how often the name was used: the same on every replay."""
        return Random(self._run.use("random", name))  # noqa: S311 - repeatable on purpose, and no secret

    def uuid(self, name: str) -> uuid.UUID:
        """A UUID that is the same on every replay; see `random`."""
        return uuid.uuid5(uuid.NAMESPACE_URL, self._run.use("uuid", name))

    def patched(self, patch: str) -> bool:
        """Whether this session was opened with that patch. Sessions opened before the patch was declared answer False, for ever."""
        declared = self._run.patches
        if patch not in declared:
            raise ArgumentsError(f"patch {patch!r} is not declared. Write @workflow(patches={[*declared, patch]}).")
        return patch in self._run.opened.patches

    # -- saying ----------------------------------------------------------------------------------------------------------------------------

    def say(self, text: str | Output, *, voice: str | None = None, language: str | None = None) -> None:
        """Say a text, or an `Ssml(…)`. Channels degrade what they cannot show."""
        self._run.say(_output(text, voice, language))

    def play(self, url: str) -> None:
        """Play a recording."""
        self._run.say(whole(Play(url)))

    def note(self, value: Any) -> None:
        """Set what `status` and task lists show of this workflow; any value that msgspec can encode."""
        self._run.note = to_plain(value)

    # -- listening -------------------------------------------------------------------------------------------------------------------------

    async def ask(self, prompt: str | Ssml, listen: Listen[T], *, timeout: float | None = None, tries: int = 3) -> T:
        """Say the prompt, listen, and read the answer; ask again if nothing came or it could not be read.

        `tries` counts the prompts in all. `timeout` is in seconds; by default 5 where the channel keeps time-outs itself (the phone),
        none elsewhere. Raises `NoAnswer` or `NotUnderstood`, by what happened last.
        """
        if tries < 1:
            raise ArgumentsError(f"ask(tries={tries}): it takes at least one try")
        while True:
            self._run.say(_output(prompt))
            try:
                return _understand(listen, await trap(self._listening(listen, timeout)))
            except (NoAnswer, NotUnderstood):
                tries -= 1
                if not tries:
                    raise

    async def listen(self, listen: Listen[T], *, timeout: float | None = None) -> T:
        """Hear one answer. Raises `NoAnswer`, `NotUnderstood` or `CallerLeft`."""
        return _understand(listen, await trap(self._listening(listen, timeout)))

    @overload
    async def next(self, a: type[I], /) -> I: ...
    @overload
    async def next(self, a: type[I], b: type[J], /) -> I | J: ...
    @overload
    async def next(self, a: type[I], b: type[J], c: type[K], /) -> I | J | K: ...
    @overload
    async def next(self, *types: type[Input]) -> Input: ...
    async def next(self, *types: type[Any]) -> Any:
        """The next input of one of these types, to be matched. Raises `NoAnswer` at a silence not asked for."""
        if not types or not all(type_ in TYPES for type_ in types):
            names = ", ".join(type_.__name__ for type_ in TYPES)
            raise ArgumentsError(f"next() takes some of {names}, as exported by `workflows`")
        wanted: frozenset[str] = frozenset().union(*(TYPES[type_] for type_ in types))
        deaf = "silence" not in wanted and "said" in wanted
        heard = await trap(ListenStep(wanted | {"silence"} if deaf else wanted))
        if deaf and isinstance(heard, Silence):
            raise NoAnswer("nobody answered")
        return heard

    async def record(self, prompt: str | Ssml | None = None, *, seconds: int = 120) -> Recording:
        """Take a message of at most `seconds`; on a text channel, the next text. Raises `NoAnswer` when nothing was recorded."""
        if prompt is not None:
            self.say(prompt)
        match await trap(ListenStep(RECORDED, Prompt(Message(seconds), self._timeout))):
            case Recording() as recording:
                return recording
            case Heard(text=text) if text.strip():
                return Recording(text=text)
            case _:
                raise NoAnswer("nothing was recorded")

    async def transfer(self, number: str, *, seconds: int = 30) -> Transferred:
        """Hand the caller over to a person at `number`, ringing for `seconds`; gives how it went, busy and no-answer included."""
        match await trap(ListenStep(TRANSFERRED, Prompt(Transfer(number, seconds)))):
            case Transferred() as transferred:
                return transferred
            case _:
                return Transferred("failed")

    # -- effects, time and branches --------------------------------------------------------------------------------------------------------

    async def call(self, effect: Effect[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The value of an effect: called once, recorded, replayed. Its failure is recorded too and raises `StepFailed`."""
        return await trap(CallStep(_effect(effect), args, kwargs))  # type: ignore[no-any-return]  # read as the effect's return type

    async def speak(self, effect: Effect[P, Speakable], *args: P.args, **kwargs: P.kwargs) -> Speakable:
        """Like `call`, its text streamed to the caller while it comes and said as one output when it is on record."""
        value: Speakable = await trap(CallStep(_effect(effect), args, kwargs, stream=True))
        if value.text:  # a model that only calls tools says nothing
            self.say(value.text)
        return value

    async def sleep(self, until: timedelta | datetime) -> None:
        """Sleep for a time or until a moment, durably and at no cost; a moment that has passed ends at once."""
        if isinstance(until, timedelta):
            moment = self._run.now + round(until.total_seconds() * 1000)
        elif until.tzinfo is None:
            raise ArgumentsError("sleep(datetime) needs a time zone; build the moment from talk.now or give it a tzinfo")
        else:
            moment = round(until.timestamp() * 1000)
        await trap(SleepStep(moment))

    async def first(self, *branches: Coroutine[Any, Any, T]) -> tuple[int, T]:
        """Run branches beside each other; the first to finish gives (its index, its value), the others are closed."""
        if not branches:
            raise ArgumentsError("first() needs at least one branch")
        return await trap(FirstStep(_branches(branches)))  # type: ignore[no-any-return]  # the run gives index and value

    @overload
    async def gather(self, a: Coroutine[Any, Any, A], b: Coroutine[Any, Any, B], /) -> tuple[A, B]: ...
    @overload
    async def gather(self, a: Coroutine[Any, Any, A], b: Coroutine[Any, Any, B], c: Coroutine[Any, Any, C], /) -> tuple[A, B, C]: ...
    @overload
    async def gather(self, *branches: Coroutine[Any, Any, T]) -> tuple[T, ...]: ...
    async def gather(self, *branches: Coroutine[Any, Any, Any]) -> tuple[Any, ...]:
        """Run branches beside each other until all are done; if one raises, the others are closed and it is raised here."""
        return await trap(GatherStep(_branches(branches)))  # type: ignore[no-any-return]  # the run gives all values

    # -- errands and restarts --------------------------------------------------------------------------------------------------------------

    async def start(self, workflow: Workflow[..., Any], *args: Any, name: str = "", **kwargs: Any) -> Errand:
        """Start an errand: a workflow in a session of its own, which reports as `ErrandDone` when it ends."""
        self._run.know(_workflow(workflow))
        return await trap(StartStep(workflow, workflow.bind(args, kwargs), name or workflow.name))  # type: ignore[no-any-return]  # as recorded

    async def cancel(self, errand: Errand) -> None:
        """Call an errand off, at once and silently: from here on nothing of it is heard."""
        await trap(CancelStep(_errand(errand)))

    async def status(self, errand: Errand) -> ErrandStatus:
        """Ask an errand's own session how it is doing."""
        return msgspec.convert(await trap(StatusStep(_errand(errand))), ErrandStatus)

    async def restart(self, workflow: Workflow[P, Any], *args: P.args, **kwargs: P.kwargs) -> NoReturn:
        """Begin a new generation with a short history; queued inputs and the turn that is open go on in it. Never returns."""
        self._run.know(_workflow(workflow))
        await trap(RestartStep(workflow, workflow.bind(args, kwargs)))
        raise AssertionError("a restart is never resumed")

    def _listening(self, listen: Listen[Any], timeout: float | None) -> ListenStep:
        if type(listen) not in LISTENS:
            raise ArgumentsError(f"{listen!r} is no listen; take Words(), Digits(n), Choice({{…}}), YesNo() or Intents({{…}})")
        return ListenStep(DIGITS, Prompt(listen, self._timeout if timeout is None else timeout))  # type: ignore[arg-type]  # it is one


def _output(text: str | Output, voice: str | None = None, language: str | None = None) -> Output:
    if isinstance(text, str):
        said = Say(text, voice, language)
        return said if text.isascii() else whole(said)
    if not isinstance(text, Output):
        raise ArgumentsError(f"say({text!r}): it takes a text or an Ssml(…)")
    return whole(text)


def _understand(listen: Listen[T], heard: Heard | Silence) -> T:
    if not isinstance(heard, Heard):
        raise NoAnswer("nobody answered")
    try:
        return listen.parse(heard)
    except NotUnderstood:
        raise NotUnderstood(f"{heard.text!r} is not what was listened for") from None


def _effect(effect: Any) -> Effect[..., Any]:
    if not isinstance(effect, Effect):
        raise ArgumentsError(f"{getattr(effect, '__name__', effect)!r} is no effect; declare it with @effect")
    return effect


def _branches(branches: tuple[Any, ...]) -> tuple[Coroutine[Any, Any, Any], ...]:
    if all(isinstance(branch, CoroutineType) for branch in branches) and len(set(branches)) == len(branches):
        return branches
    for branch in branches:
        if isinstance(branch, CoroutineType):
            branch.close()
    raise ArgumentsError("first() and gather() take coroutines, each once: talk.ask(…), talk.sleep(…), another_workflow(talk)")


def _workflow(workflow: Any) -> Workflow[..., Any]:
    if not isinstance(workflow, Workflow):
        raise ArgumentsError(f"{getattr(workflow, '__name__', workflow)!r} is no workflow; decorate it with @workflow")
    return workflow


def _errand(errand: Any) -> Errand:
    if not isinstance(errand, Errand):
        raise ArgumentsError(f"{errand!r} is no errand; pass what talk.start gave")
    return errand
