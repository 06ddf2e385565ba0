"""A recorded history against the code in front of us, touching nothing.

The states of a session are derived here as a handler derives them: nothing but the history and the code decides.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from workflows.errors import NondeterminismError, UndecodableError
from workflows.events import AnyEvent, CarriedErrand, Heard, Left, Opened, decode
from workflows.listen import AnyListen
from workflows.opens import Open
from workflows.outputs import Output
from workflows.registry import Registry
from workflows.run import Failure, Run

State = Literal["running", "ended", "failed", "diverged", "quarantined"]

_SPOKEN = {"said", "pressed", "intent"}


@dataclass(frozen=True, slots=True)
class Moment:
    """One element of a history, and what the code made of it.

    `event`: None if it cannot be read. `said`: what is said upon it now; `reworded`: on record was something else. `taken_by`: the step
    that took an input, and `listen` what that listened for. `hidden`: what the caller said or pressed is a secret, or may be one, since
    no step is known that took it. `replayed`: False from where the run broke off.
    """

    position: int
    element: bytes
    event: AnyEvent | None
    replayed: bool
    said: tuple[Output, ...] = ()
    reworded: bool = False
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


def replay(session: str, elements: Iterable[bytes], registry: Registry, *, strict: bool = False) -> Replay:
    """Carry a history as far as the code repeats it. `strict`: the arguments of effects have to be those on record, too."""
    watch = _Watch(session, registry, strict=strict)
    for element in elements:
        watch.see(element)
    return watch.close()


class _WatchedRun(Run):
    """A run that tells which step took which input."""

    __slots__ = ("takers",)

    def __init__(self, session: str, opened: Opened, registry: Registry, *, strict: bool) -> None:
        self.takers: dict[int, Open] = {}  # by the event's id(): events live as long as their moments
        super().__init__(session, opened, registry, strict=strict)

    @property
    def waits_for(self) -> tuple[str, ...]:
        """The open steps in words; none in a run that is over."""
        return () if self.ended or self.failure is not None else tuple(map(str, self._opens.steps.values()))

    def _hear(self, step: Open, event: Heard | Left) -> None:
        self.takers[id(event)] = step
        super()._hear(step, event)


class _Watch:
    """A replay on its way."""

    def __init__(self, session: str, registry: Registry, *, strict: bool) -> None:
        self._session = session
        self._registry = registry
        self._strict = strict
        self._run: _WatchedRun | None = None
        self._seen: list[tuple[bytes, AnyEvent | None, tuple[Output, ...] | None]] = []  # no outputs: not replayed
        self._reworded: set[int] = set()
        self._trouble: Exception | None = None
        self._failed_at: int | None = None

    def see(self, element: bytes) -> None:
        """Take the next element."""
        event: AnyEvent | None = None
        said: tuple[Output, ...] | None = None
        try:
            event = decode(element)
            if self._trouble is None:
                said = self._feed(event)
        except (UndecodableError, NondeterminismError) as error:
            self._trouble = self._trouble or error
        self._seen.append((element, event, said))

    def _feed(self, event: AnyEvent) -> tuple[Output, ...]:
        run = self._run
        if run is not None:
            if run.failure is None and run.words() != event.words:
                self._reworded.add(len(self._seen) - 1)
            run.feed(event)
        elif isinstance(event, Opened):
            run = self._run = _WatchedRun(self._session, event, self._registry, strict=self._strict)
        else:
            raise UndecodableError("the history does not begin with an opening")
        if run.failure is not None and self._failed_at is None:
            self._failed_at = run.opened.base + len(self._seen)
        return tuple(output for _, _, output in run.progress.said)

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
        element, event, said = self._seen[index]
        taker = self._run.takers.get(id(event)) if self._run is not None else None
        listen = taker.step.listen if taker is not None else None
        secret = taker is None or bool(getattr(listen, "secret", False))
        return Moment(
            base + index,
            element,
            event,
            said is not None,
            said or (),
            index in self._reworded,
            str(taker or ""),
            listen,
            isinstance(event, Heard) and event.type in _SPOKEN and secret,
        )
