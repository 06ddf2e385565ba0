"""Many histories, replayed in parallel processes.

One process reads, the others judge: what goes out is a batch of histories or of files, and what comes back is a tally, whose size does not
grow with them. So memory holds a few batches, however many histories there are.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from switchboard import history_files
from switchboard.errors import ReplayError
from switchboard.history_files import Recorded
from switchboard.tally import Tally
from switchboard.verdicts import judge
from workflows.registry import Registry

Source = Recorded | Path
"""A history, known by its session's key, or a file of histories."""

BATCH: Final = 100
"""Sources that go to a process at once: a few hundredths of a second of work, which is much more than the way there costs."""

_BATCH_BYTES: Final = 4_000_000
"""Of histories in a batch; long ones would else take a lot of memory on their way."""

_AHEAD: Final = 2
"""Batches for each process that are read before their turn has come."""


def cores() -> int:
    """How many processes can work at once here."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def named(source: Source) -> Iterator[tuple[str, Recorded]]:
    """The histories of a source, with the names that people know them by. Raises `HistoryFileError`."""
    if isinstance(source, Recorded):
        yield source.session, source
        return
    histories = history_files.read(source)
    for number, recorded in enumerate(histories, 1):
        yield f"{source}{f', history {number}' if len(histories) > 1 else ''}", recorded


async def tally_of(sources: AsyncIterator[Source], count: int, jobs: int, step: Callable[[], None]) -> Tally:
    """Judge about `count` sources in as many processes, or in this one if that is enough; `step` is called after each.

    Raises `HistoryFileError`, and `ReplayError` when a process dies.
    """
    jobs = min(jobs, -(-count // BATCH))
    if jobs <= 1:
        tally, registry = Tally(), Registry()
        async for source in sources:
            _judge_all([source], registry, tally)
            step()
        return tally
    try:
        return await _judge_in(ProcessPoolExecutor(jobs, get_context("spawn")), sources, jobs * _AHEAD, step)
    except BrokenProcessPool:
        raise ReplayError(
            "A process that replays has died. Does a workflow end its process, or take all memory? With --jobs 1 there is none to die."
        ) from None


async def _judge_in(pool: ProcessPoolExecutor, sources: AsyncIterator[Source], most: int, step: Callable[[], None]) -> Tally:
    tally = Tally()
    running: dict[asyncio.Future[Tally], int] = {}

    async def collect() -> None:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            for _ in range(running.pop(each)):
                step()
            tally.merge(each.result())

    try:
        async for batch in _batches(sources):
            with _deaf():
                running[asyncio.get_running_loop().run_in_executor(pool, _work, batch)] = len(batch)
            if len(running) >= most:
                await collect()
        while running:
            await collect()
    finally:
        pool.shutdown(cancel_futures=True)
        await asyncio.gather(*running, return_exceptions=True)  # one trouble is told, the others are the same
    return tally


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that start here do not hear Ctrl-C: it is for this one, which ends them."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def _batches(sources: AsyncIterator[Source]) -> AsyncIterator[list[Source]]:
    batch: list[Source] = []
    size = 0
    async for source in sources:
        batch.append(source)
        size += sum(map(len, source.elements)) if isinstance(source, Recorded) else 0
        if len(batch) == BATCH or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _judge_all(sources: Iterable[Source], registry: Registry, tally: Tally) -> None:
    for source in sources:
        for name, recorded in named(source):
            tally.add(judge(name, recorded, registry))


# -- in the other processes ----------------------------------------------------------------------------------------------------------------


@cache
def _registry() -> Registry:
    return Registry()


def _work(batch: list[Source]) -> Tally:
    tally = Tally()
    _judge_all(batch, _registry(), tally)
    return tally
