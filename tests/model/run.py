"""What follows from a history: what was answered, what a node owes, what the indexes should hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.events import WATCH, Alarm, Carried, Event, Want


@dataclass(frozen=True, slots=True)
class Run:
    """A conversation, carried as far as its history goes."""

    problem: str  # why no such history may exist; empty if it may
    gen: int
    parent_gen: int
    via: str  # the connection by which the caller spoke last
    left: Event | None  # how the caller left, as far as the workflow has heard
    ended: bool
    cancelled: bool
    ids: frozenset[str]
    answers: Mapping[str, Any]
    owed: frozenset[Want]  # what a node must do: effects, a restart, the next delivery
    alarms: frozenset[Alarm]
    outputs: Mapping[str, object]
    errands: Mapping[int, str]  # child -> running, cancelled, done
    called_off: frozenset[int]  # the errands whose cancel it has come to
    listens: frozenset[str]
    carried: tuple[Carried, ...]
    queue: tuple[Event, ...]  # what nothing has listened for yet

    @property
    def awaits(self) -> frozenset[int]:
        """The errands whose results may still come."""
        return frozenset(child for child, state in self.errands.items() if state == "running")

    @property
    def due(self) -> frozenset[Alarm]:
        """What the due index should hold."""
        watch = {Alarm(self.gen, WATCH)} if self.awaits and not self.ended else set()
        return self.alarms | watch

    def owes(self, kind: str) -> Want | None:
        """What is owed of a kind, if anything."""
        return next((want for want in self.owed if want.kind == kind), None)
