"""A run as a replay looks at it: which step took which input, what is waited for, and whether alarms fired when they had to."""

from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import msgspec

from workflows.errors import NondeterminismError
from workflows.events import Fired, Heard, Left, Opened, describe
from workflows.listen import AnyListen
from workflows.opens import Open
from workflows.registry import Registry
from workflows.run import Run
from workflows.turns import Turn

_SLACK_MS: Final = 1_000
"""How much too early an alarm may be on record: the store's clock may have been set back by so much while it was written down."""


class WatchedRun(Run):
    """A run that tells which step took which input."""

    __slots__ = ("takers",)

    def __init__(self, session: str, opened: Opened, registry: Registry, *, strict: bool) -> None:
        self.takers: dict[int, Open] = {}  # by the event's id(): events live as long as their moments
        super().__init__(session, opened, registry, strict=strict)

    @property
    def waits_for(self) -> tuple[str, ...]:
        """The open steps in words; none in a run that is over."""
        return () if self.ended or self.failure is not None else tuple(map(str, self._opens.steps.values()))

    @property
    def waits(self) -> tuple[str, ...]:
        """The same with the times of the alarms."""
        if self.ended or self.failure is not None:
            return ()
        alarms = self.alarms
        return tuple(f"{step} until {_moment(alarms[id_])}" if id_ in alarms else str(step) for id_, step in self._opens.steps.items())

    @property
    def shows(self) -> tuple[str, ...]:
        """What people see of it besides its words: what it listens for, and what it reports as an errand that is done."""
        prompt = self.prompt
        if prompt is not None and prompt.listen is not None:
            limit = f", for {prompt.timeout:g} s" if prompt.timeout is not None else ""
            return (f"listens for {_listen(prompt.listen)}{limit}",)
        if self.ended and self.opened.parent is not None and not self.cancelled:
            report = ": ".join(self.error) if self.error is not None else msgspec.json.encode(self.result, enc_hook=repr).decode()
            return (f"reports {report}",)
        return ()

    def _fire(self, fired: Fired) -> None:
        if self.strict and fired.step in self.alarms:
            due = self.alarms[fired.step]
            if fired.at + _SLACK_MS < due:
                early = f"{describe(fired)}, fired at {_moment(fired.at)}"
                raise NondeterminismError(self._position, early, f"it at {_moment(due)}")
            first = min((at, step) for step, at in self.alarms.items())[1]
            if first != fired.step:
                raise NondeterminismError(self._position, describe(fired), f"that of step {first}, which is due before it")
        super()._fire(fired)

    def _take_up(self, step: Open, event: Heard | Left, turn: Turn) -> None:
        self.takers[id(event)] = step
        super()._take_up(step, event, turn)


@cache
def _defaults(listen: type[AnyListen]) -> tuple[tuple[str, Any], ...]:
    return tuple((field.name, field.default) for field in msgspec.structs.fields(listen))


def _listen(listen: AnyListen) -> str:
    """A listen with what is particular in it: keys and their names, a number that is called."""
    fields = {name: (getattr(listen, name), default) for name, default in _defaults(type(listen))}
    particular = {name: value for name, (value, default) in fields.items() if value != default}
    return type(listen).__name__.lower() + (f" {msgspec.json.encode(particular).decode()}" if particular else "")


def _moment(at: int) -> str:
    """A time on record, ms, in words; a number where no calendar has it."""
    try:
        return datetime.fromtimestamp(at / 1000, UTC).isoformat(" ", "milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{at} ms"
