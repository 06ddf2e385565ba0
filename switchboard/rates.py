"""How often one caller may speak: a token bucket for each, as far as the setting `per_caller` under [limits] tells.

An input that was let in is let in again, however often its provider repeats it: it is on record, or on its way there, and a refusal would
keep its answer from the caller. What is refused is nowhere, and whoever refuses it tells the caller to come again.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable

from switchboard.fields import Rate

MOST_CALLERS = 10_000
"""Buckets that are kept, the last used ones: all of them take some 20 MB at most."""

KNOWN = 64
"""Inputs of a caller that are known again."""


class Bucket:
    """What is left for one caller, as of a moment in seconds; `known` are the last inputs that were let in."""

    __slots__ = ("at", "known", "left")

    def __init__(self, left: float, at: float) -> None:
        self.left = left
        self.at = at
        self.known: deque[int] = deque(maxlen=KNOWN)


class Rates:
    """The buckets of all callers of this process. `clock` gives seconds."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(rate.count)
        self._per_second = rate.count / rate.seconds
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        """How many buckets are kept."""
        return len(self._buckets)

    def wait(self, caller: str, input_: Hashable) -> float:
        """Let an input in, and give 0; or give the seconds until there is room for one."""
        now = self._clock()
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._buckets[caller] = Bucket(self._most, now)
            if len(self._buckets) > MOST_CALLERS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(caller)
        known = hash(input_)
        if known in bucket.known:
            return 0.0
        bucket.left = min(self._most, bucket.left + (now - bucket.at) * self._per_second)
        bucket.at = now
        if bucket.left < 1:
            return (1 - bucket.left) / self._per_second
        bucket.left -= 1
        bucket.known.append(known)
        return 0.0
