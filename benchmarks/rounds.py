"""Rounds: every contender once, then all of them again, the other way round. Noise that comes and goes meets all alike.

Ratios are taken within a round.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

ROUNDS = 5

Figures = dict[str, list[float]]
"""A contender's figures by name, one of each round."""


def interleaved(contenders: Mapping[str, Callable[[], Mapping[str, float]]], rounds: int = ROUNDS) -> dict[str, Figures]:
    """Measure each contender in each round; the figures of all rounds, by contender."""
    measured: dict[str, Figures] = {name: {} for name in contenders}
    for number in range(rounds):
        for name, measure in list(contenders.items())[:: -1 if number % 2 else 1]:
            for figure, value in measure().items():
                measured[name].setdefault(figure, []).append(value)
    return measured


def ratio(ours: Sequence[float], yardstick: Sequence[float]) -> float:
    """The median of the rounds' own ratios."""
    return median([our / their for our, their in zip(ours, yardstick, strict=True)])
