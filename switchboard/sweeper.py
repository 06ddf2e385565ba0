"""The sweeper: resumes sessions whose node has died and brings near the alarms of sessions that sleep.

It looks at one partition after the other, all of them at once when it starts and then once a period, and nothing else here looks at
sessions that are not live.
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

ROUND = 16
"""Partitions looked at together: one write to the store."""

LIMIT = 100
"""Sessions and alarms taken from a partition at once; more wait for the next round, or are taken at once when there are more."""


class Sweeper:
    """A task that sweeps for as long as the process lives; a store that is down is tried again in the next round."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to sweep."""
        self._task = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Sweep no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _sweep(self) -> None:
        pause = 0.0  # in the first round: what fell due while nobody was there waits no longer
        while True:
            failed = False
            for start in range(0, PARTITIONS, ROUND):
                results = await asyncio.gather(
                    *(self.sweep_partition(partition) for partition in range(start, start + ROUND)), return_exceptions=True
                )
                for result in results:
                    if isinstance(result, StoreError):
                        failed = True
                    elif isinstance(result, BaseException):
                        logger.error("the sweeper met an error", exc_info=result)
                await asyncio.sleep(pause * self._house.rng.uniform(0.9, 1.1))
            pause = PERIOD_SECONDS * ROUND / PARTITIONS
            if failed:
                self._house.counters["sweeps_failed"] += 1

    async def sweep_partition(self, partition: int) -> None:
        """Look at one partition once, and again as long as it has more than could be taken."""
        while True:
            found = await self._house.history.peek(partition, LIMIT, AHEAD_MS)
            for session, attempts in found.pending:
                self._house.counters["taken_over"] += 1
                self._house.post.post(Resume(session, attempts))
            for session, alarm in found.due:
                self._house.alarms.set(session, alarm)
            if len(found.pending) < LIMIT and len(found.due) < LIMIT:
                return
