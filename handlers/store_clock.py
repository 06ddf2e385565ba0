"""The store's clock as a process knows it: our monotonic clock and an offset."""

import time
from collections.abc import Callable
from math import floor


class StoreClock:
    """The clock of one server of the store, ms.

    A TIME that the store told is a lower bound when it arrives, and an upper bound for the moment of the asking. The offset is the
    greatest lower bound told, so the reply that travelled fastest counts most, the clock never runs ahead of the store's, and it
    never goes back, unless an answer proves that it must (the store's clock was set back, runs slower, or is another server's).
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self.offset = (time.time() - monotonic()) * 1000
        self._told = False

    def tell(self, stored: int, asked: float, heard: float, key: bytes = b"") -> None:  # noqa: ARG002 - one server has all keys
        """Learn that the clock of the server that has `key` showed `stored`, ms, between `asked` and `heard`, seconds of our own."""
        lower = stored - heard * 1000
        upper = stored + 1 - asked * 1000  # a clock that shows a millisecond may be at its end
        if lower > self.offset or self.offset > upper or not self._told:
            self.offset = lower
            self._told = True

    def hear(self, node: str, stored: int, asked: float, heard: float) -> None:  # noqa: ARG002 - there is one
        """Learn the same of a server that is known by its name."""
        self.tell(stored, asked, heard)

    def now(self) -> int:
        """The store's time, ms since the epoch; ours until it told us its own."""
        return floor(self._monotonic() * 1000 + self.offset)


class ClusterClock(StoreClock):
    """The clocks of a cluster's nodes as one, which is the one that is most behind.

    So it is ahead of none of them, and does not jump from one to another with every reply, however far apart they are: what sets alarms
    and what looks whether they are due is the same clock. `node_of` names the node that has a key; only what `nodes` names counts.
    """

    def __init__(self, node_of: Callable[[bytes], str], nodes: Callable[[], set[str]]) -> None:
        super().__init__()
        self._node_of = node_of
        self._nodes = nodes
        self._clocks: dict[str, StoreClock] = {}

    def tell(self, stored: int, asked: float, heard: float, key: bytes = b"") -> None:
        """See `StoreClock`."""
        self.hear(self._node_of(key), stored, asked, heard)

    def hear(self, node: str, stored: int, asked: float, heard: float) -> None:
        """See `StoreClock`."""
        if node not in self._clocks:
            live = self._nodes()
            self._clocks = {name: clock for name, clock in self._clocks.items() if name in live}
        clock = self._clocks.setdefault(node, StoreClock(self._monotonic))
        clock.tell(stored, asked, heard)
        self.offset = min([each.offset for each in self._clocks.values()])
