"""What many replays came to: how the histories fared by workflow, how often the same went wrong, and what would be said differently."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from switchboard.verdicts import OUTCOMES, Outcome, Rewording, Verdict

_MOST_REWORDINGS: Final = 1_000
"""Kinds of other words that are told apart in a tally; of what comes after only the number is kept."""


@dataclass(slots=True)
class Trouble:
    """One kind of difference: the first history that had it, and how many did."""

    example: Verdict
    count: int = 0


@dataclass(slots=True)
class Reworded:
    """One kind of other words: the first history that had them, and where, and how often they come in all."""

    workflow: str
    name: str
    example: Rewording
    count: int = 0


@dataclass(slots=True)
class Tally:
    """Verdicts, added up: counts of outcomes by workflow, the kinds of trouble, and the kinds of other words.

    Its size does not grow with the histories. `more`: how often something else would be said that is not told apart any more.
    """

    workflows: dict[str, Counter[Outcome]] = field(default_factory=dict)
    troubles: dict[tuple[str, str, str], Trouble] = field(default_factory=dict)
    rewordings: dict[tuple[str, str], Reworded] = field(default_factory=dict)
    more: int = 0

    def add(self, verdict: Verdict) -> None:
        """Count a verdict."""
        self.workflows.setdefault(verdict.workflow, Counter())[verdict.outcome] += 1
        if verdict.differs:
            self._add_trouble(Trouble(verdict, 1))
        for each in verdict.rewordings:
            self._add_reworded(Reworded(verdict.workflow, verdict.name, each, 1))

    def merge(self, other: "Tally") -> None:
        """Count all that another tally has counted."""
        for workflow, counts in other.workflows.items():
            self.workflows.setdefault(workflow, Counter()).update(counts)
        for trouble in other.troubles.values():
            self._add_trouble(trouble)
        for reworded in other.rewordings.values():
            self._add_reworded(reworded)
        self.more += other.more

    def _add_trouble(self, trouble: Trouble) -> None:
        example = trouble.example
        known = self.troubles.setdefault((example.workflow, example.outcome, example.kind), Trouble(example))
        known.count += trouble.count
        known.example = min(known.example, example, key=lambda each: each.name)  # the same, whatever comes first

    def _add_reworded(self, reworded: Reworded) -> None:
        key = (reworded.workflow, reworded.example.kind)
        known = self.rewordings.get(key)
        if known is not None:
            known.count += reworded.count
            if reworded.name < known.name:
                known.name, known.example = reworded.name, reworded.example
        elif len(self.rewordings) < _MOST_REWORDINGS:
            self.rewordings[key] = reworded
        else:
            self.more += reworded.count

    @property
    def histories(self) -> int:
        """How many were judged."""
        return sum(counts.total() for counts in self.workflows.values())

    @property
    def differing(self) -> int:
        """How many of them the code does not repeat."""
        return sum(trouble.count for trouble in self.troubles.values())

    @property
    def reworded(self) -> int:
        """How many it repeats, saying something else."""
        return sum(counts["reworded"] for counts in self.workflows.values())

    def sorted_troubles(self) -> list[Trouble]:
        """The kinds of trouble by workflow, the most frequent first."""
        return sorted(self.troubles.values(), key=lambda each: (each.example.workflow, -each.count, each.example.name))

    def sorted_rewordings(self) -> list[Reworded]:
        """The kinds of other words by workflow, the most frequent first."""
        return sorted(self.rewordings.values(), key=lambda each: (each.workflow, -each.count, each.name, each.example.position))

    def as_value(self) -> dict[str, Any]:
        """All of it as a plain value."""
        return {
            "histories": self.histories,
            "differing": self.differing,
            "workflows": {name: {outcome: counts[outcome] for outcome in OUTCOMES} for name, counts in sorted(self.workflows.items())},
            "differences": [
                {
                    "workflow": trouble.example.workflow,
                    "outcome": trouble.example.outcome,
                    "count": trouble.count,
                    "example": trouble.example.name,
                    "position": trouble.example.position,
                    "recorded": trouble.example.recorded,
                    "wanted": trouble.example.wanted,
                }
                for trouble in self.sorted_troubles()
            ],
            "reworded": [
                {
                    "workflow": each.workflow,
                    "count": each.count,
                    "example": each.name,
                    "position": each.example.position,
                    "place": each.example.place,
                    "then": each.example.then,
                    "now": each.example.now,
                }
                for each in self.sorted_rewordings()
            ],
            "reworded_otherwise": self.more,
        }
