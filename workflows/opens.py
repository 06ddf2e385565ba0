"""The open steps of a run: what it waits for, and what it wants of the world."""

from typing import Any
from zlib import crc32

import msgspec

from workflows.branches import Branch
from workflows.effects import hash_arguments
from workflows.steps import CallStep, StartStep


class Open(msgspec.Struct, eq=False):
    """An open step: its path-shaped id, its kind and name, what it is, and the branch that waits for it.

    `hears_caller`: it is a listen that a caller can speak to.
    """

    id: str
    kind: str
    name: str
    step: Any
    branch: Branch
    hears_caller: bool = False
    _hash: bytes | None = None

    @property
    def hash(self) -> bytes:
        """Eight bytes over a call's arguments, made when first asked for (a rehydration never asks)."""
        if self._hash is None:
            match self.step:
                case CallStep(args=args, kwargs=kwargs):
                    self._hash = hash_arguments(args, kwargs)
                case StartStep(args=args, name=name):
                    self._hash = hash_arguments((args,), {"name": name})
                case other:
                    self._hash = hash_arguments((other.errand.id,), {})
        return self._hash

    def __str__(self) -> str:
        return f"{self.kind} {self.name} (step {self.id})" if self.name else f"{self.kind} (step {self.id})"


class Opens:
    """All open steps of a run, in the order in which they were opened.

    Attributes:
        steps: all of them, by id. `calls`: those that want an effect. `alarms`: due times by step id, ms.
        alarms_set, alarms_cleared: what the last event changed in the alarms. `prompt`: the oldest listen that a caller can speak to.

    Of these None is as good as empty: most runs rest, and empty tables add up.
    """

    __slots__ = ("_shape", "alarms", "alarms_cleared", "alarms_set", "calls", "prompt", "steps")

    def __init__(self) -> None:
        self.steps: dict[str, Open] = {}
        self._shape: int | None = None
        self.calls: dict[str, Open] | None = None
        self.alarms: dict[str, int] | None = None
        self.alarms_set: dict[str, int] | None = None
        self.alarms_cleared: list[str] | None = None
        self.prompt: Open | None = None

    def add(self, step: Open, alarm: int | None = None) -> None:
        """A branch waits at this step, until `alarm` (ms) at most."""
        id_ = step.id
        self.steps[id_] = step.branch.open = step
        self._shape = None
        if step.hears_caller and self.prompt is None:
            self.prompt = step
        if alarm is not None:
            if self.alarms is None:
                self.alarms = {}
            if self.alarms_set is None:
                self.alarms_set = {}
            self.alarms[id_] = self.alarms_set[id_] = alarm

    def want(self, step: Open) -> None:
        """A branch waits at this step until the effect that it wants is on record."""
        self.add(step)
        if self.calls is None:
            self.calls = {}
        self.calls[step.id] = step

    def remove(self, step: Open) -> None:
        """The step is over, or nobody waits for it any more."""
        id_ = step.id
        step.branch.open = self._shape = None
        self.steps.pop(id_, None)
        if step is self.prompt:
            self.prompt = next((each for each in self.steps.values() if each.hears_caller), None) if self.steps else None
        if self.calls is not None:
            self.calls.pop(id_, None)
            self.calls = self.calls or None
        if self.alarms is not None and self.alarms.pop(id_, None) is not None:
            self.alarms = self.alarms or None
            if not self.alarms_set or self.alarms_set.pop(id_, None) is None:
                if self.alarms_cleared is None:
                    self.alarms_cleared = []
                self.alarms_cleared.append(id_)

    def clear(self) -> None:
        """Forget all of them."""
        self.steps.clear()
        self.calls = self.prompt = None

    def rival(self, types: frozenset[str]) -> Open | None:
        """A listen that hears one of `types` already."""
        for step in self.steps.values():
            if step.kind == "listen" and not step.step.types.isdisjoint(types):
                return step
        return None

    def shape(self) -> int:
        """The checksum over the open steps that the next event carries."""
        if self._shape is None:
            steps = self.steps
            if len(steps) == 1:
                (step,) = steps.values()
                self._shape = crc32(f"{step.id} {step.kind} {step.name}".encode())
            else:
                self._shape = crc32("\n".join(sorted([f"{step.id} {step.kind} {step.name}" for step in steps.values()])).encode())
        return self._shape

    def __str__(self) -> str:
        return ", ".join(map(str, self.steps.values())) or "nothing"
