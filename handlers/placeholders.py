"""What may stand in a channel for turns that have said nothing yet: nowhere on record, so this is what one handler knows and suspects."""

from collections.abc import Container
from typing import NamedTuple

from handlers.deliveries import Expected, Place
from workflows.run import Run
from workflows.turns import Turn

MOST_SUSPECTS = 3
"""How many turns are looked through for what a dead node has left: it was at work on the last, or had just done with it."""


class Placeholder(NamedTuple):
    """One that may stand for a turn. `ours`: we have put it there, and have led without a break since."""

    expected: Expected
    ours: bool


class Placeholders:
    """The placeholders of one session; none where nobody is there to put them: `channels` are those that can."""

    __slots__ = ("_channels", "_known")

    def __init__(self, channels: Container[str]) -> None:
        self._channels = channels
        self._known: dict[str, Placeholder] = {}

    def __bool__(self) -> bool:
        """Whether one may stand."""
        return bool(self._known)

    def __contains__(self, expected: Expected) -> bool:
        """Whether this one may stand."""
        return expected.key in self._known

    def put(self, expected: Expected) -> None:
        """We have put it there."""
        self._known[expected.key] = Placeholder(expected, ours=True)

    def suspect(self, expected: Expected) -> Placeholder:
        """It may stand, by us or somebody else."""
        return self._known.setdefault(expected.key, Placeholder(expected, ours=False))

    def remove(self, expected: Expected) -> None:
        """It is gone."""
        self._known.pop(expected.key, None)

    def replace(self, turn: str) -> None:
        """The words of a turn stand where its placeholders stood."""
        if self._known:
            self._known = {key: each for key, each in self._known.items() if each.expected.turn != turn}

    def doubt(self) -> None:
        """Others may have led meanwhile."""
        if self._known:
            self._known = {key: Placeholder(each.expected, ours=False) for key, each in self._known.items()}

    def clear(self) -> None:
        """They are somebody else's business."""
        self._known = {}

    def foresee(self, run: Run) -> None:
        """An event is about to be fed. It may end a turn that is worked on, be it on another node."""
        turn = worked_on(run)
        if turn is not None and run.opened.channel in self._channels:
            self.suspect(expected_for(run, turn))

    def look_back(self, run: Run) -> None:
        """Somebody has led before us: one may stand for any turn of late that has said nothing."""
        if run.opened.channel in self._channels:
            taken_up = [turn for turn in run.turns.last.values() if turn.consumed and turn.state != "kept"]
            for turn in taken_up[-MOST_SUSPECTS:]:
                if turn.start == (run.turns.count if turn.end is None else turn.end):
                    self.suspect(expected_for(run, turn))

    def in_vain(self, run: Run) -> Placeholder | None:
        """One for which no words will come: its turn is over and has none to be posted, or its generation is about to end, or has."""
        for each in self._known.values():
            turn = run.turns.last.get(each.expected.turn)
            if turn is None or each.expected.place.gen != run.opened.gen:
                return each
            over = turn.end is not None or run.restart is not None
            if over and not any(unsent.answers and unsent.turn == turn.id for unsent in run.unsent):
                return each
        return None

    def is_strange(self, turn: str) -> bool:
        """Whether one may stand for a turn that somebody else has put there."""
        return any(each.expected.turn == turn and not each.ours for each in self._known.values())


def place_of(run: Run) -> Place:
    """Where to what is said in a session goes."""
    return Place(run.session, run.opened.gen, run.opened)


def expected_for(run: Run, turn: Turn) -> Expected:
    """What a placeholder for a turn stands for."""
    return Expected(place_of(run), turn.id, f"{run.session}/{run.opened.gen}/{turn.id}/expected")


def worked_on(run: Run) -> Turn | None:
    """The turn for which an effect is called, if it has said nothing yet."""
    turn = run.turns.current
    if turn is None or turn.end is not None or run.turns.count > turn.start:
        return None
    return turn if any(step.kind == "call" for step in run.calls.values()) else None
