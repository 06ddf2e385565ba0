"""What many replays came to: how each history fared, and how often the same thing went wrong.

`judge` takes nothing but values and gives a small one, so that histories can be judged anywhere; a `Tally` adds verdicts up.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from switchboard.replay import replay
from workflows.registry import Registry

Outcome = Literal["same", "reworded", "diverged", "failed", "quarantined"]

OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

_PARTICULAR: Final = re.compile(r"(?<=step )[\d.]+|(?<=event )\d+|\b[0-9a-f]{16}\b")
"""What differs between two sessions with the same trouble: step ids, positions and uids."""

_PLACE: Final = re.compile(r'^ *File "(.*)", line (\d+), in (.*)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one history fared. `reworded`: every step as on record, but something else would be said.

    `recorded` and `wanted`: the first differing step, from both sides; of a workflow that fails, its error and where it was raised. `kind`
    is the same for all histories with the same trouble.
    """

    name: str
    workflow: str
    outcome: Outcome
    position: int | None = None
    recorded: str = ""
    wanted: str = ""
    kind: str = ""

    @property
    def differs(self) -> bool:
        """Whether the code does not do what is on record."""
        return self.outcome not in ("same", "reworded")


def judge(name: str, session: str, elements: Iterable[bytes], registry: Registry) -> Verdict:
    """Hold a history against the code in front of us; `name` is what people know it by."""
    seen = replay(session, elements, registry, strict=True)
    workflow = seen.opened.workflow if seen.opened is not None else "?"
    match seen.state:
        case "running" | "ended":
            return Verdict(name, workflow, "reworded" if any(moment.reworded for moment in seen.moments) else "same")
        case "failed":
            assert seen.failure is not None
            file, line, function = (_PLACE.findall(seen.failure.traceback) or [("?", "?", "?")])[-1]
            place = f"{file}:{line} in {function}"
            text = f"{seen.failure.kind}: {seen.failure.text}"
            return Verdict(name, workflow, "failed", seen.failed_at, text, place, f"{seen.failure.kind} {place}")
        case state:
            found = seen.divergence
            position, recorded, wanted = (found.position, found.recorded, found.wanted) if found else (None, seen.problem, "")
            return Verdict(name, workflow, state, position, recorded, wanted, _PARTICULAR.sub("…", f"{recorded} | {wanted}"))


@dataclass(slots=True)
class Trouble:
    """One kind of difference: the first history that had it, and how many did."""

    example: Verdict
    count: int = 0


@dataclass(slots=True)
class Tally:
    """Verdicts, added up: counts of outcomes by workflow, and the kinds of trouble. Its size does not grow with the histories."""

    workflows: dict[str, Counter[Outcome]] = field(default_factory=dict)
    troubles: dict[tuple[str, str, str], Trouble] = field(default_factory=dict)

    def add(self, verdict: Verdict) -> None:
        """Count a verdict."""
        self.workflows.setdefault(verdict.workflow, Counter())[verdict.outcome] += 1
        if verdict.differs:
            self.troubles.setdefault((verdict.workflow, verdict.outcome, verdict.kind), Trouble(verdict)).count += 1

    @property
    def histories(self) -> int:
        """How many were judged."""
        return sum(counts.total() for counts in self.workflows.values())

    @property
    def differing(self) -> int:
        """How many of them the code does not repeat."""
        return sum(trouble.count for trouble in self.troubles.values())

    def sorted_troubles(self) -> list[Trouble]:
        """The kinds of trouble by workflow, the most frequent first."""
        return sorted(self.troubles.values(), key=lambda each: (each.example.workflow, -each.count, each.example.name))

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
        }
