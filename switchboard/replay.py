"""A recorded history against the code in front of us, touching nothing.

The states of a session are derived here as a handler derives them: nothing but the history and the code decides. A strict replay looks at
more than a handler does, and so does one that is given what the history once led to.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from switchboard.watched_run import WatchedRun
from workflows.errors import NondeterminismError, UndecodableError
from workflows.events import AnyEvent, CarriedErrand, Heard, Opened, decode, describe
from workflows.listen import AnyListen
from workflows.outputs import Output
from workflows.registry import Registry
from workflows.run import Failure

State = Literal["running", "ended", "failed", "diverged", "quarantined"]

_SPOKEN = {"said", "pressed", "intent"}


@dataclass(frozen=True, slots=True)
class LedTo:
    """What an event led to with the code of some day: what that waited for then (nothing, if it had ended), and what it said.

    `said`: None where that is not known. `shows`: what else people see of it, see `WatchedRun.shows`.
    """

    waits: tuple[str, ...]
    said: tuple[Output, ...] | None = None
    shows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """One element of a history, and what the code made of it.

    `event`: None if it cannot be read. `said`: what is said upon it now; `reworded`: on record was something else, and `then`, if that is
    known. `waits`: the steps that are open now, with the times of their alarms; `shows`: see `LedTo`. `taken_by`: the step that took an
    input, and `listen` what that listened for. `hidden`: what the caller said or pressed is a secret, or may be one, since no step is known
    that took it. `replayed`: False from where the run broke off.
    """

    position: int
    element: bytes
    event: AnyEvent | None
    replayed: bool
    said: tuple[Output, ...] = ()
    reworded: bool = False
    then: LedTo | None = None
    waits: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    taken_by: str = ""
    listen: AnyListen | None = None
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of a history.

    `problem`: why it is quarantined or has diverged, for people; `divergence` tells the latter in parts. `failure`: the bug of the
    workflow, met at the position `failed_at`. `waits_for`: the open steps in words; `alarms`: their due times by step id, ms.
    `unsent`: how many outputs have to be delivered still, where the channel pushes.
    """

    session: str
    state: State
    moments: tuple[Moment, ...]
    opened: Opened | None = None
    problem: str = ""
    divergence: NondeterminismError | None = None
    failure: Failure | None = None
    failed_at: int | None = None
    waits_for: tuple[str, ...] = ()
    alarms: tuple[tuple[str, int], ...] = ()
    errands: tuple[CarriedErrand, ...] = ()
    unsent: int = 0

    @property
    def led_to(self) -> tuple[LedTo | None, ...]:
        """What each event leads to, for later code to be held against; None from where the code does not repeat what is on record."""
        return tuple(
            LedTo(moment.waits, None if moment.reworded else moment.said, moment.shows)
            if moment.replayed and (self.failed_at is None or moment.position < self.failed_at)
            else None
            for moment in self.moments
        )


def replay(
    session: str, elements: Iterable[bytes], registry: Registry, *, strict: bool = False, led_to: Sequence[LedTo | None] = ()
) -> Replay:
    """Carry a history as far as the code repeats it.

    `strict`: the arguments of effects have to be those on record, too, and alarms have to have fired when they were due. `led_to`: what the
    events have to lead to, the words after the last one included, as far as it is known.
    """
    watch = _Watch(session, registry, led_to, strict=strict)
    for element in elements:
        watch.see(element)
    return watch.close()


class _Watch:
    """A replay on its way."""

    def __init__(self, session: str, registry: Registry, led_to: Sequence[LedTo | None], *, strict: bool) -> None:
        self._session = session
        self._registry = registry
        self._led_to = led_to
        self._strict = strict
        self._run: WatchedRun | None = None
        self._seen: list[tuple[bytes, AnyEvent | None, LedTo | None]] = []  # it led to nothing: not replayed
        self._reworded: dict[int, LedTo | None] = {}
        self._trouble: Exception | None = None
        self._failed_at: int | None = None

    def see(self, element: bytes) -> None:
        """Take the next element."""
        event: AnyEvent | None = None
        led_to: LedTo | None = None
        try:
            event = decode(element)
            if self._trouble is None:
                led_to = self._feed(event)
        except (UndecodableError, NondeterminismError) as error:
            self._trouble = self._trouble or error
        self._seen.append((element, event, led_to))
        if event is not None and led_to is not None:
            self._compare(event, led_to)

    def _feed(self, event: AnyEvent) -> LedTo:
        run = self._run
        if run is not None:
            last = len(self._seen) - 1
            if run.failure is None and run.words() != event.words and ((then := self._then(last)) is None or then.said is None):
                self._reworded[last] = None
            run.feed(event)
        elif isinstance(event, Opened):
            run = self._run = WatchedRun(self._session, event, self._registry, strict=self._strict)
        else:
            raise UndecodableError("the history does not begin with an opening")
        if run.failure is not None and self._failed_at is None:
            self._failed_at = run.opened.base + len(self._seen)
        return LedTo(run.waits, tuple(output for _, _, output in run.said), run.shows)

    def _then(self, index: int) -> LedTo | None:
        """What an event led to once. Where its words are known, their checksum on record tells nothing more."""
        return self._led_to[index] if index < len(self._led_to) else None

    def _compare(self, event: AnyEvent, now: LedTo) -> None:
        """Hold what the last event led to against what it led to once."""
        index, run = len(self._seen) - 1, self._run
        then = self._then(index)
        assert run is not None
        if then is None or run.failure is not None:
            return
        if then.waits != now.waits:
            recorded = f"{describe(event)}, upon which it waited for {_in_words(then.waits)}"
            self._trouble = NondeterminismError(run.opened.base + index, recorded, _in_words(now.waits))
        elif then.said is not None and (then.said, then.shows) != (now.said, now.shows):
            self._reworded[index] = then

    def close(self) -> Replay:
        """Sum up, and let the run go."""
        run, trouble = self._run, self._trouble
        base = run.opened.base if run is not None else 0
        moments = tuple(self._moment(base, index) for index in range(len(self._seen)))
        if run is None:
            return Replay(self._session, "quarantined", moments, problem=str(trouble or "the history is empty"))
        state: State
        if trouble is not None:
            state = "diverged" if isinstance(trouble, NondeterminismError) else "quarantined"
        elif run.failure is not None:
            state = "failed"
        else:
            state = "ended" if run.ended else "running"
        live = state == "running"
        result = Replay(
            self._session,
            state,
            moments,
            run.opened,
            str(trouble or ""),
            trouble if isinstance(trouble, NondeterminismError) else None,
            run.failure,
            self._failed_at,
            run.waits_for if live else (),
            tuple(run.alarms.items()) if live else (),
            tuple(run.errands.values()) if live else (),
            len(run.unsent) if trouble is None else 0,
        )
        run.close()
        return result

    def _moment(self, base: int, index: int) -> Moment:
        element, event, led_to = self._seen[index]
        taker = self._run.takers.get(id(event)) if self._run is not None else None
        listen = taker.step.prompt.listen if taker is not None else None
        secret = taker is None or bool(getattr(listen, "secret", False))
        return Moment(
            base + index,
            element,
            event,
            led_to is not None,
            (led_to.said or ()) if led_to is not None else (),
            index in self._reworded,
            self._reworded.get(index),
            led_to.waits if led_to is not None else (),
            led_to.shows if led_to is not None else (),
            str(taker or ""),
            listen,
            isinstance(event, Heard) and event.type in _SPOKEN and secret,
        )


def _in_words(waits: Sequence[str]) -> str:
    return ", ".join(waits) or "nothing more (it has ended)"
