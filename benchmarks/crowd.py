"""A crowd of live sessions in one process: how they come up, what each takes, and how they all leave.

They come through the switchboard's own door, without HTTP, 64 at a time: the opening and one key. Then all of them have been silent for too
long at the same moment: that is the most evictions that can come at one time.
"""

import asyncio
import gc
import secrets
import sys
import time
import tracemalloc
from collections import Counter
from pathlib import Path

from benchmarks.control import Control, Lag, run, usage
from benchmarks.histories import OPENING, PATIENCE
from benchmarks.product import settings
from handlers.messages import Inbound
from handlers.redis_history import RedisHistory
from switchboard.server import Server, _calm_collector

AT_ONCE = 64
WARM_UP = 200


class Crowd:
    """A server without HTTP, and those who talk to it."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def come(self, names: list[str]) -> None:
        """All of these open a session and press a key."""
        waiting = iter(names)

        async def caller() -> None:
            for name in waiting:
                await self._send(Inbound(name, "start", opening=OPENING, fresh=True))
                await self._send(Inbound(name, "0", "pressed", {"digits": "1"}))

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(caller())

    async def leave(self) -> None:
        """Wait until nobody is in memory."""
        while self._server.board.live:  # noqa: ASYNC110 - nobody is told when the last one leaves
            await asyncio.sleep(0.005)

    async def _send(self, inbound: Inbound) -> None:
        answer = await self._server.exchange.send(inbound, PATIENCE)
        assert answer is not None
        assert answer.state == "answered", answer


async def measure(server: Server, count: int) -> dict[str, float]:
    """Seconds, bytes and lag of a crowd of so many."""
    crowd = Crowd(server)
    house = server.house
    names = _names(count)
    house.idle = 0.0
    await crowd.come(_names(WARM_UP))
    await crowd.leave()
    house.idle = 3600.0
    _calm_collector()
    loop, lag = asyncio.get_running_loop(), Lag()
    before = usage()
    lag.start()
    began = loop.time()
    await crowd.come(names)
    came = loop.time() - began
    coming = lag.stop("come_")
    gc.collect()
    after = usage()
    before_leaving = time.process_time()
    lag.start()
    began = loop.time()
    house.idle = 0.0
    server.board.wake_within(0.0)  # it meant to look when the hour was over
    await crowd.leave()
    left = loop.time() - began
    leaving = lag.stop("leave_")
    return {
        "live_bytes": (after["rss"] - before["rss"]) / count,
        "come_s": came,
        **coming,
        "leave_s": left,
        "leave_cpu_us": (time.process_time() - before_leaving) / count * 1e6,
        **leaving,
        "left_bytes": (usage()["rss"] - before["rss"]) / count,
    }


def _names(count: int) -> list[str]:
    return [f"phone:CA{secrets.token_hex(16)}" for _ in range(count)]


async def split(server: Server, count: int) -> dict[str, float]:
    """Bytes a live session by the module that asked for them, as tracemalloc counts them."""
    crowd = Crowd(server)
    server.house.idle = 3600.0
    await crowd.come(_names(WARM_UP))
    names = _names(count)
    gc.collect()
    tracemalloc.start()
    await crowd.come(names)
    gc.collect()
    sizes: Counter[str] = Counter()
    for each in tracemalloc.take_snapshot().statistics("filename"):
        path = Path(each.traceback[0].filename)
        sizes[f"{path.parent.name}/{path.stem}"] += each.size
    tracemalloc.stop()
    return {name: size / count for name, size in sizes.most_common() if size / count >= 1}


async def main() -> None:
    control = Control()
    url, count, what = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    history = RedisHistory(url, "bench.crowd")
    await history.open()
    server = Server(settings(url), history)
    server.sweeper.start()
    control.tell(await (split(server, count) if what == "split" else measure(server, count)))
    await server.close()
    await history.close()


if __name__ == "__main__":
    run(main)
