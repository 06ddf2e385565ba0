"""What a node counts: a small port that everything may count into, and that metrics read."""

from collections import Counter


class Counters(Counter[str]):
    """Plain counts by name: `turns`, `rehydrations`, `evictions`, `conflicts`, `duplicates`, `attempts`, `dropped`, `taken_over`, …."""
