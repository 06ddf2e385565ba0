"""What a node counts: a small port that everything may count into, and that metrics read."""

from collections import Counter


class Counters(Counter[str]):
    """Plain counts by name.

    Of handlers: `turns`, `duplicates`, `conflicts`, `rehydrations`, `evictions`, `effects`, `dropped` (results that nobody wanted any
    more), `alarms` and their `lateness_ms`, `lease_losses`, `left_alone`, `store_errors`; the floors above add theirs.
    """
