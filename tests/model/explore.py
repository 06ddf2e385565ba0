"""The search: breadth first through every world, with the shortest trace to a broken promise."""

from collections import deque
from dataclasses import dataclass
from itertools import chain
from time import process_time

from model.handler import FRESH, Inbound
from model.nodes import Nodes
from model.promises import Violation
from model.stage import Stage
from model.store import Stored
from model.troubles import Troubles
from model.world import World


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a search found. `violation` is empty if every promise holds in every world."""

    states: int
    rests: int
    seconds: float
    violation: str = ""
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        figures = f"{self.states:,} states, {self.rests:,} at rest, {self.seconds:.1f} s"
        return f"{self.violation} [{figures}]: {'; '.join(self.trace)}" if self.violation else figures


class Search:
    """One exploration: from a store in which nobody has anything in hand, and the inputs that channels will deliver."""

    def __init__(self, stage: Stage, nodes: int, stored: tuple[Stored, ...], inbox: tuple[tuple[int, Inbound], ...]) -> None:
        start = World(
            stored=stored,
            handlers=((FRESH,) * len(stored),) * nodes,
            lives=(0,) * nodes,
            inbox=inbox,
            faults=stage.faults,
            earlier=((),) * len(stored),
        )
        self.stage = stage
        self.movers = (Nodes(stage), Troubles(stage))
        self.numbers: dict[World, int] = {start: 0}
        self.origins: list[tuple[int, str]] = [(-1, "")]
        self.predecessors: list[list[int]] = [[]]  # whence a world is reached without a fault
        self.rests: list[int] = []

    def run(self) -> Verdict:
        """Search it through."""
        started = process_time()
        violation, trace = self._visit_all()
        if not violation:
            violation, trace = self._find_stuck()
        return Verdict(len(self.origins), len(self.rests), process_time() - started, violation, trace)

    def _visit_all(self) -> tuple[str, tuple[str, ...]]:
        """Visit every world, nearest first."""
        queue = deque(self.numbers)
        number = -1
        while queue:
            world = queue.popleft()
            number += 1
            rests = True
            for move in chain.from_iterable(mover.moves(world) for mover in self.movers):
                try:
                    after = move.make()
                except Violation as violation:
                    return str(violation), (*self._trace(number), move.label)
                if after == world:
                    continue
                rests = rests and not move.progress
                known = self.numbers.get(after)
                if known is None:
                    known = self.numbers[after] = len(self.origins)
                    self.origins.append((number, move.label))
                    self.predecessors.append([])
                    queue.append(after)
                if move.progress:
                    self.predecessors[known].append(number)
            if rests:
                self.rests.append(number)
                try:
                    self.stage.promises.rest(world)
                except Violation as violation:
                    return str(violation), self._trace(number)
        return "", ()

    def _find_stuck(self) -> tuple[str, tuple[str, ...]]:
        """Every world must be able to come to rest without another fault."""
        good = bytearray(len(self.origins))
        queue = deque(self.rests)
        for number in self.rests:
            good[number] = 1
        while queue:
            for number in self.predecessors[queue.popleft()]:
                if not good[number]:
                    good[number] = 1
                    queue.append(number)
        stuck = good.find(0)
        return ("", ()) if stuck < 0 else ("it can never come to rest", self._trace(stuck))

    def _trace(self, number: int) -> tuple[str, ...]:
        labels = []
        while number > 0:
            number, label = self.origins[number]
            labels.append(label)
        return tuple(reversed(labels))
