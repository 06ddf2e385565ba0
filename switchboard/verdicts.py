"""How a history fares with the code in front of us.

`judge` takes nothing but values and gives a small one, so that histories can be judged in any process; a `Tally` adds verdicts up.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

from switchboard import show
from switchboard.history_files import Recorded
from switchboard.replay import Moment, replay
from workflows.events import describe
from workflows.registry import Registry

Outcome = Literal["same", "reworded", "diverged", "failed", "quarantined"]

OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

_PARTICULAR: Final = re.compile(
    r"(?<=step )[\d.]+|(?<=event )\d+|\b[0-9a-f]{16}\b|\b\d{13}/[\d.]+|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+00:00"
)
"""What differs between two sessions with the same trouble: step ids, positions, uids, ids of errands and times."""

_PLACE: Final = re.compile(r'^ *File "(.*)", line (\d+), in (.*)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rewording:
    """Something else would be said upon the event at `position`: now this, `then` that, if it is known.

    `place`: the step that the event came to, and those that are waited for next.
    """

    position: int
    place: str
    now: tuple[str, ...]
    then: tuple[str, ...] | None = None

    @property
    def kind(self) -> str:
        """What is the same wherever the same words have changed at the same step."""
        return f"{self.step} | {self.then} | {self.now}"

    @property
    def step(self) -> str:
        """The place without what is particular to one session."""
        return _PARTICULAR.sub("…", self.place)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one history fared. `reworded`: every step as on record, but something else would be said.

    `recorded` and `wanted`: the first differing step, from both sides; of a workflow that fails, its error and where it was raised. `kind`
    is the same for all histories with the same trouble. `rewordings`: what would be said differently, up to there.
    """

    name: str
    workflow: str
    outcome: Outcome
    position: int | None = None
    recorded: str = ""
    wanted: str = ""
    kind: str = ""
    rewordings: tuple[Rewording, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether the code does not do what is on record."""
        return self.outcome not in ("same", "reworded")


def judge(name: str, recorded: Recorded, registry: Registry) -> Verdict:
    """Hold a history against the code in front of us; `name` is what people know it by."""
    seen = replay(recorded.session, recorded.elements, registry, strict=True, led_to=recorded.led_to)
    workflow = seen.opened.workflow if seen.opened is not None else "?"
    rewordings = tuple(reword(moment) for moment in seen.moments if moment.reworded)
    match seen.state:
        case "running" | "ended":
            return Verdict(name, workflow, "reworded" if rewordings else "same", rewordings=rewordings)
        case "failed":
            assert seen.failure is not None
            file, line, function = (_PLACE.findall(seen.failure.traceback) or [("?", "?", "?")])[-1]
            place = f"{file}:{line} in {function}"
            text = f"{seen.failure.kind}: {seen.failure.text}"
            return Verdict(name, workflow, "failed", seen.failed_at, text, place, f"{seen.failure.kind} {place}", rewordings)
        case state:
            found = seen.divergence
            position, was, wanted = (found.position, found.recorded, found.wanted) if found else (None, seen.problem, "")
            return Verdict(name, workflow, state, position, was, wanted, _PARTICULAR.sub("…", f"{was} | {wanted}"), rewordings)


def reword(moment: Moment) -> Rewording:
    """What would be said differently at a moment, in words; and what people would see, if it is known what they saw."""
    assert moment.event is not None
    place = f"after {moment.taken_by or describe(moment.event)}, before {', '.join(moment.waits) or 'the end'}"
    now, then = tuple(map(show.said_in_words, moment.said)), moment.then
    if then is None:
        return Rewording(moment.position, place, now)
    was = (*map(show.said_in_words, then.said or ()), *map(show.clean, then.shows))
    return Rewording(moment.position, place, (*now, *map(show.clean, moment.shows)), was)
