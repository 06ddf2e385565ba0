"""The crowd's yardstick: as many asyncio tasks, each of which waits on a queue of its own for one more word, with a time-out.

That is what one writes by hand to keep a conversation in memory. It stores nothing; a restart loses them all.
"""

import asyncio
import gc
import sys
import time

from benchmarks.control import Control, Lag, run, usage
from benchmarks.crowd import AT_ONCE
from switchboard.server import _calm_collector


async def conversation(inbox: asyncio.Queue[str]) -> None:
    patience = 3600.0
    while True:
        try:
            async with asyncio.timeout(patience):
                await inbox.get()
        except TimeoutError:
            return
        patience = 0.0  # a word, and its time is over


async def measure(count: int) -> dict[str, float]:
    """The crowd's figures."""
    _calm_collector()
    loop, lag = asyncio.get_running_loop(), Lag()
    before = usage()
    inboxes: list[asyncio.Queue[str]] = []
    tasks: list[asyncio.Task[None]] = []
    lag.start()
    began = loop.time()
    for start in range(0, count, AT_ONCE):
        for _ in range(start, min(start + AT_ONCE, count)):
            inboxes.append(asyncio.Queue())
            tasks.append(asyncio.create_task(conversation(inboxes[-1])))
        await asyncio.sleep(0)
    came = loop.time() - began
    coming = lag.stop("come_")
    gc.collect()
    after = usage()
    before_leaving = time.process_time()
    lag.start()
    began = loop.time()
    for start in range(0, count, AT_ONCE):
        for inbox in inboxes[start : start + AT_ONCE]:
            inbox.put_nowait("1")
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    left = loop.time() - began
    return {
        "live_bytes": (after["rss"] - before["rss"]) / count,
        "come_s": came,
        **coming,
        "leave_s": left,
        "leave_cpu_us": (time.process_time() - before_leaving) / count * 1e6,
        **lag.stop("leave_"),
    }


async def main() -> None:
    control = Control()
    control.tell(await measure(int(sys.argv[1])))


if __name__ == "__main__":
    run(main)
