"""What errands cost that sleep, and how late their alarms are: `python -m benchmarks.errands`, about five minutes.

100,000 reminders in one store (or as many as are given as an argument), thirty to a session, as the assistant has them at most. Then, among
them, alarms that fall due: with their node alive, with their node killed and another one there, and with none there until they are overdue.
"""

import asyncio
import gc
import secrets
import sys
import time
from statistics import median
from typing import Any

import redis

from benchmarks.control import Control, usage
from benchmarks.control import run as run_process
from benchmarks.eviction import stored_key
from benchmarks.nanny import nanny
from benchmarks.process import Process, process
from benchmarks.product import settings
from handlers.messages import Inbound, Opening
from handlers.redis_history import RedisHistory
from switchboard.server import Server, _calm_collector
from workflows.errands import reminder
from workflows.events import Fired, Opened, decode
from workflows.registry import Registry
from workflows.run import Run

COUNT = 100_000
TASKS = 30
"""Errands of a session: see `workflows.tasks.MOST_TASKS`."""

AT_ONCE = 16
WEEK = 7 * 86_400.0
PATIENCE = 120.0
WATCHED_SECONDS = 20.0
SAMPLE = 500
DUE_SECONDS = (4.0, 10.0)
"""When the alarms fall due whose lateness is measured: some get a timer at once, some are found by a sweep."""

MOST_BYTES = 1_536
MOST_MS = {"alive": 50.0, "gone": 10_000.0}


class Nursery:
    """A server without HTTP, and the sessions that give it errands."""

    def __init__(self, server: Server) -> None:
        self._server = server
        server.house.idle = 0.0

    async def fill(self, sessions: list[tuple[str, list[float]]]) -> None:
        """Have each of these sessions start its errands."""
        waiting = iter(sessions)

        async def parent() -> None:
            for name, seconds in waiting:
                opening = Opening("benchmarks.nanny:nanny", {"seconds": seconds}, "web", "", None, "en-GB", "UTC", {"can_deliver": True})
                answer = await self._server.exchange.send(Inbound(name, "start", opening=opening, fresh=True), PATIENCE)
                assert answer is not None
                assert answer.said, answer

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(parent())

    async def rest(self) -> None:
        """Wait until nobody is in memory."""
        self._server.board.wake_within(0.0)
        while self._server.board.live:  # noqa: ASYNC110 - nobody is told when the last one leaves
            await asyncio.sleep(0.01)


def names(count: int) -> list[str]:
    return [f"web:{secrets.token_urlsafe(24)}" for _ in range(count)]


# -- the measured processes ----------------------------------------------------------------------------------------------------------------


async def put_to_sleep(nursery: Nursery, url: str, count: int) -> dict[str, float]:
    """Bytes that each errand takes, in the store (its parent's part included) and in this process, when all are asleep."""
    far = [WEEK + number for number in range(TASKS)]
    await nursery.fill([(name, far) for name in names(20)])
    await nursery.rest()
    _calm_collector()
    with redis.Redis.from_url(url) as store:
        stored, before, began = store.info("memory")["used_memory"], usage(), time.perf_counter()
        await nursery.fill([(name, far) for name in names(count // TASKS)])
        started = time.perf_counter() - began
        await nursery.rest()
        gc.collect()
        count = count // TASKS * TASKS
        return {
            "count": count,
            "stored_bytes": (store.info("memory")["used_memory"] - stored) / count,
            "process_bytes": (usage()["rss"] - before["rss"]) / count,
            "started_us": started / count * 1e6,
            "cpu_us": (usage()["cpu"] - before["cpu"]) / count * 1e6,
        }


async def main() -> None:
    control = Control()
    what, url, *more = sys.argv[1:]
    history = RedisHistory(url, f"bench.{secrets.token_hex(6)}")
    await history.open()
    server = Server(settings(url), history)
    nursery = Nursery(server)
    server.sweeper.start()
    match what:
        case "sleep":
            control.tell(await put_to_sleep(nursery, url, int(more[0])))
        case "fill":  # and go on until this is killed, or told to end
            await nursery.fill([(name, spread(TASKS)) for name in more])
            control.tell({})
            await control.stop.wait()
        case _:  # just be there
            control.tell({})
            await control.stop.wait()
    await server.close()
    await history.close()


# -- the run -------------------------------------------------------------------------------------------------------------------------------


def watched(url: str) -> dict[str, float]:
    """What a server that has nothing to do takes: resident bytes, and ms of CPU a second."""
    with process("errands", "watch", url) as server:
        before = server.ask("usage")
        time.sleep(WATCHED_SECONDS)  # it is watched doing nothing
        after = server.ask("usage")
    return {"rss": after["rss"], "cpu_ms": (after["cpu"] - before["cpu"]) / WATCHED_SECONDS * 1e3}


def lateness(store: redis.Redis, parents: list[str], patience: float) -> list[float]:
    """How late each errand of these sessions fired, ms by the store's clock; all of them have to."""
    registry = Registry([nanny, reminder])
    late: list[float] = []
    for parent in parents:
        opened, *events = _events(store, parent)
        assert isinstance(opened, Opened)
        run = Run(parent, opened, registry)
        for event in events:
            run.feed(event)
        late += [_late(store, errand.key, patience) for errand in run.errands.values()]
        run.close()
    return late


def _late(store: redis.Redis, session: str, patience: float) -> float:
    until = time.monotonic() + patience
    while True:
        opened, *events = _events(store, session)
        if fired := [event for event in events if isinstance(event, Fired)]:
            break
        assert time.monotonic() < until, f"{session} never fired"
        time.sleep(0.05)  # the history is all that tells; nobody is told when an alarm has fired
    run = Run(session, opened, Registry([reminder]))
    (due,) = run.alarms.values()
    run.close()
    assert len(fired) == 1
    return float(fired[0].at - due)


def _events(store: redis.Redis, session: str) -> list[Any]:
    return [decode(element) for element in store.lrange(stored_key(session), 0, -1)]


def spread(count: int) -> list[float]:
    first, last = DUE_SECONDS
    return [first + (last - first) * number / count for number in range(count)]


def alive(url: str, store: redis.Redis) -> list[float]:
    """Lateness of alarms whose node lives; their sessions have left memory."""
    parents = names(SAMPLE // TASKS)
    with process("errands", "fill", url, *parents):
        return lateness(store, parents, 60.0)


def gone(url: str, store: redis.Redis) -> list[float]:
    """Lateness of alarms whose node is killed before they are due, with another one there, which came later and so does not sweep."""
    parents = names(SAMPLE // TASKS)
    doomed = Process("errands", "fill", url, *parents)
    with process("errands", "watch", url):
        doomed._process.kill()
        doomed.end()
        return lateness(store, parents, 60.0)


def overdue(url: str, store: redis.Redis) -> float:
    """Seconds from the start of a server until the last of the alarms has fired that fell due while none was there."""
    parents = names(SAMPLE // TASKS)
    with process("errands", "fill", url, *parents) as doomed:
        doomed._process.kill()
    time.sleep(DUE_SECONDS[1] + 6.0)  # until all are overdue, and the dead node's lease has run out
    with process("errands", "watch", url):
        began = time.monotonic()
        lateness(store, parents, 60.0)
        return time.monotonic() - began


def measure(count: int) -> dict[str, Any]:
    """All figures."""
    with process("store", "everysec") as server, redis.Redis.from_url(server.hello["url"]) as store:
        url = server.hello["url"]
        empty = watched(url)
        with process("errands", "sleep", url, str(count)) as sleeping:
            figures = sleeping.hello
        full = watched(url)
        late = alive(url, store)
        return {
            **figures,
            "watch_bytes": (full["rss"] - empty["rss"]) / figures["count"],
            "watch_cpu_ms": full["cpu_ms"],
            "idle_cpu_ms": empty["cpu_ms"],
            "alive_ms": median(late),
            "alive_most_ms": max(late),
            "alive_least_ms": min(late),
            "gone_ms": gone(url, store),
            "overdue_s": overdue(url, store),
        }


def table(figures: dict[str, Any]) -> None:
    """Print the figures, with their bars."""

    def line(name: str, value: float, bar: float | None = None, *, digits: int = 0) -> None:
        verdict = "" if bar is None else f"<= {bar:,g}: {'met' if value <= bar else 'missed'}"
        print(f"{name:56} {value:12,.{digits}f}   {verdict}")

    line("sleeping errands", figures["count"])
    line("bytes each in the store, their parents' part included", figures["stored_bytes"], MOST_BYTES)
    line("bytes each in the process that started them", figures["process_bytes"], digits=1)
    line("bytes each in a process that is started beside them", figures["watch_bytes"], digits=1)
    line("CPU of a server at rest beside them, ms a second", figures["watch_cpu_ms"], digits=1)
    line("  with none in the store", figures["idle_cpu_ms"], digits=1)
    line("CPU to start one, us", figures["cpu_us"])
    line("lateness, node alive, median, ms", figures["alive_ms"], MOST_MS["alive"], digits=1)
    line("  the latest", figures["alive_most_ms"])
    line("  the earliest", figures["alive_least_ms"])
    line("lateness, node killed, the latest, ms", max(figures["gone_ms"]), MOST_MS["gone"])
    line("  median", median(figures["gone_ms"]))
    line("overdue ones, from a server's start to the last, s", figures["overdue_s"], digits=2)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        run_process(main)
    else:
        table(measure(int(sys.argv[1]) if len(sys.argv) > 1 else COUNT))
