"""The stage of a rehearsal: its sessions, the time that passes there, and what stands for the effects.

It does by hand and at once what the handlers do with a store, a loop and a clock: effects are done as soon as they are wanted, errands run
as sessions of their own, alarms go off when time is let pass.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from workflows.effects import Effect, idempotency_key
from workflows.errors import RehearsalError, TerminalError
from workflows.events import Fired
from workflows.opens import Open
from workflows.registry import Registry
from workflows.scene import Scene
from workflows.steps import CallStep, CancelStep, Errand, StartStep, StatusStep
from workflows.think import charged

MOST_ACTIONS = 10_000
"""What may happen in a rehearsal without time passing; a workflow that calls effects for ever would never let it go on."""

Outcome = tuple[msgspec.Raw, tuple[str, str, bool] | None, dict[str, int] | None]
"""What is recorded of an effect: its value, or class, message and finality of its failure; and what it was charged."""

NOTHING: Outcome = (msgspec.Raw(b"\xc0"), None, None)


class Stage:
    """All sessions of a rehearsal, under one clock.

    Attributes:
        now: ms since the epoch.
        scenes: the sessions by key.
        stand_ins: what stands for an effect, by its name. `outcomes`: what its next calls come to, before that is asked.
        evict: whether every session leaves memory after every event.
    """

    def __init__(self, registry: Registry, now: int, stand_ins: Mapping[Effect[..., Any] | str, Any], *, evict: bool) -> None:
        self.registry = registry
        self.now = now
        self.evict = evict
        self.scenes: dict[str, Scene] = {}
        self.stand_ins = {effect if isinstance(effect, str) else effect.name: stand_in for effect, stand_in in stand_ins.items()}
        self.outcomes: dict[str, list[Any]] = {}

    def settle(self) -> None:
        """Let everything happen that can happen without time passing."""
        for _ in range(MOST_ACTIONS):
            if not any(scene.act() for scene in list(self.scenes.values())) and not self._fire(self.now):
                return
        raise RehearsalError(f"{MOST_ACTIONS:,} effects and alarms without time passing. Is a loop missing its way out?")

    def pass_time(self, ms: int) -> None:
        """Let time pass; alarms go off in due order, each at its time."""
        until = self.now + ms
        while self._fire(until):
            self.settle()
        self.now = max(self.now, until)

    def _fire(self, until: int) -> bool:
        due = [(*alarm, key) for key, scene in self.scenes.items() if (alarm := scene.next_alarm()) is not None and alarm[0] <= until]
        if not due:
            return False
        at, step, key = min(due)
        self.now = max(self.now, at)
        self.scenes[key].feed(Fired(0, 0, 0, step))
        return True

    def perform(self, scene: Scene, step: Open) -> Outcome | None:
        """What a step that wants something comes to; None if that is not to come yet."""
        match step.step:
            case CallStep() as call:
                return self._call(call, scene.address(step))
            case StartStep(name=name):
                key, opened = scene.child(step)
                Scene(self, key, opened, name)
            case CancelStep(errand=errand):
                if not self.scenes[errand.key].ended:
                    self.scenes[errand.key].hear("cancel", id_=f"{errand.key}/cancel")
            case StatusStep(errand=errand):
                return self._status(errand)
        return NOTHING

    def _status(self, errand: Errand) -> Outcome:
        child = self.scenes[errand.key]
        return raw({"state": "ended" if child.ended else "running", "note": child.note}), None, None

    def _call(self, call: CallStep, key: str) -> Outcome | None:
        effect = call.effect
        if self.outcomes.get(effect.name):
            stand_in = self.outcomes[effect.name].pop(0)
        elif effect.name in self.stand_ins:
            stand_in = self.stand_ins[effect.name]
        elif effect.has_body:
            stand_in = effect.body
        else:
            raise RehearsalError(
                f"nothing stands for the effect {effect.name}, which has no body of its own. Give the rehearsal a function, a value or an "
                f"exception: effects={{{effect.name}: …}}."
            )
        if stand_in is ...:
            return None
        token = idempotency_key.set(key)
        try:
            value = play(stand_in, call)
        except (AssertionError, RehearsalError):  # the test's own business
            raise
        except Exception as error:  # noqa: BLE001 - whatever else an effect raises is its recorded failure
            return NOTHING[0], (type(error).__name__, str(error), isinstance(error, TerminalError)), None
        finally:
            idempotency_key.reset(token)
        value, usage = charged(value)
        try:
            effect.read(raw(value))
        except msgspec.ValidationError as error:
            raise RehearsalError(f"what stands for the effect {effect.name} gave {value!r}, which does not fit its type: {error}") from None
        return raw(value), None, usage


def play(stand_in: Any, call: CallStep) -> Any:
    """The value of an effect: what a function (plain or `async`) returns, or the value that was given; an exception is raised."""
    if isinstance(stand_in, BaseException) or (isinstance(stand_in, type) and issubclass(stand_in, BaseException)):
        raise stand_in
    if not callable(stand_in):
        return stand_in
    kwargs = {**call.kwargs, "emit": lambda _: None} if call.stream and takes_emit(stand_in) else call.kwargs
    value = stand_in(*call.args, **kwargs)
    if not inspect.iscoroutine(value):
        return value
    try:
        value.send(None)
    except StopIteration as stop:
        return stop.value
    value.close()
    raise RehearsalError(f"what stands for the effect {call.effect.name} waits for something, and a rehearsal has no event loop.")


def takes_emit(function: Callable[..., Any]) -> bool:
    """Whether a function streams: it has a parameter `emit`."""
    return "emit" in inspect.signature(function).parameters


def raw(value: Any) -> msgspec.Raw:
    """A value as it is recorded."""
    return msgspec.Raw(msgspec.msgpack.encode(value))
