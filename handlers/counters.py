"""What a node counts: a small port that everything may count into, and that metrics read."""

from bisect import bisect_left
from collections import Counter
from typing import Any, Final

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Up to how many seconds each bucket of a histogram goes; the last bucket has no bound."""


class Times:
    """How long something took, each time.

    Attributes:
        buckets: how often, up to each of `BOUNDS` and beyond.
        total: seconds.
    """

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def note(self, seconds: float) -> None:
        """It took so long."""
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class Counters(Counter[str]):
    """Plain counts by name.

    Of handlers: `turns`, `duplicates`, `conflicts`, `rehydrations`, `evictions`, `effects`, `dropped` (results that nobody wanted any
    more; `dropped_in` and `dropped_out` are the tokens that they were charged for), `alarms` and their `lateness_ms`, `lease_losses`,
    `left_alone`, `store_errors`; the floors above add theirs.

    Attributes:
        attempts: calls of effects by the effect's name, those that are made again included; `failures`: those that came to no value.
        tokens: what language models have charged, by the kind of tokens.
        rehydration: how long it took to load and replay a history. `lateness`: how much too late an alarm was.
    """

    def __init__(self, *counts: Any) -> None:
        super().__init__(*counts)
        self.attempts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self.rehydration = Times()
        self.lateness = Times()

    def drop(self, usage: dict[str, Any] | None) -> None:
        """Count a result that nobody wants any more: it goes on no record, but it was paid for."""
        self["dropped"] += 1
        for name, tokens in (usage or {}).items():
            self[f"dropped_{name}"] += tokens
