"""The sweeper: resumes sessions whose node has died and brings near the alarms of sessions that sleep.

One node sweeps for all: whoever holds the claim of the first partition looks at some partitions after the others, all of them at once when
it begins and then once a period, and nothing else here looks at sessions that are not live. The others ask for the claim in turn. So what
a fleet costs the store while nothing happens does not grow with it.
"""

import asyncio
import logging

from handlers.alarms import AHEAD_MS
from handlers.errors import StoreError
from handlers.handler import House
from handlers.history import PARTITIONS
from handlers.messages import Resume

logger = logging.getLogger(__name__)

PERIOD_SECONDS = 4.0
"""How long one round over all partitions takes: with the lease of 5 s, a dead node's work is resumed within 10 s."""

ROUND = 32
"""Partitions looked at together: one call to the store, or in a cluster one write to each of its nodes."""

LIMIT = 100
"""Sessions and alarms taken from a partition at once; more wait for the next round, or are taken at once when there are more."""


class Sweeper:
    """A task that sweeps for as long as the process lives; a store that is down is tried again in the next round."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to sweep, or to wait for our turn."""
        self._task = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Sweep no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _sweep(self) -> None:
        pause = 0.0  # in the first round: what fell due while nobody was there waits no longer
        while True:
            wait = await self._round(pause)
            pause = 0.0 if wait else PERIOD_SECONDS * ROUND / PARTITIONS
            await asyncio.sleep(wait)

    async def _round(self, pause: float) -> float:
        """Look at all partitions, with a pause behind each part; seconds until our turn to ask again when another node does so."""
        failed = False
        for start in range(0, PARTITIONS, ROUND):
            try:
                wait = await self.look(start, ROUND, claimed=start > 0)
                if wait:
                    return wait
            except StoreError:
                failed = True  # also who cannot ask for the claim sweeps what can be reached
            except Exception:
                logger.exception("the sweeper met an error")
            await asyncio.sleep(pause)
        if failed:
            self._house.counters["sweeps_failed"] += 1
            return PERIOD_SECONDS - PARTITIONS / ROUND * pause
        return 0.0

    async def look(self, partition: int, count: int = 1, *, claimed: bool = False) -> float:
        """Look at so many partitions, and again as long as they have more than could be taken; for the rest see `History.peek`.

        What was found is dealt with also when some of them could not be looked at, which is a `StoreError`.
        """
        while True:
            found = await self._house.history.peek(partition, LIMIT, AHEAD_MS, count=count, claimed=claimed)
            for session, attempts in found.pending:
                self._house.counters["taken_over"] += 1
                self._house.post.post(Resume(session, attempts))
            for session, alarm in found.due:
                self._house.alarms.set(session, alarm)
            if found.missed:
                raise StoreError(f"{found.missed} of {count} partitions cannot be swept: see to the nodes of the store that have them")
            if len(found.pending) < LIMIT and len(found.due) < LIMIT:
                return found.ask_again / 1000
