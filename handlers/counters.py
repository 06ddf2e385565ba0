"""What a node counts: a small port that everything may count into, and that metrics read."""

from collections import Counter
from typing import Any


class Counters(Counter[str]):
    """Plain counts by name.

    Of handlers: `turns`, `duplicates`, `conflicts`, `rehydrations`, `evictions`, `effects`, `dropped` (results that nobody wanted any
    more; `dropped_in` and `dropped_out` are the tokens that they were charged for), `alarms` and their `lateness_ms`, `lease_losses`,
    `left_alone`, `store_errors`; the floors above add theirs.
    """

    def drop(self, usage: dict[str, Any] | None) -> None:
        """Count a result that nobody wants any more: it goes on no record, but it was paid for."""
        self["dropped"] += 1
        for name, tokens in (usage or {}).items():
            self[f"dropped_{name}"] += tokens
