"""What it costs to be many: `python -m benchmarks.replicas`, about four minutes.

- Workers: turns a CPU second of the workers, of `serve --workers 2` beside `serve --workers 1`, in the same rounds; and beside two
  servers, for on a machine with few cores a turn costs more CPU when more processes run, whoever they are.
- Alternating: six-turn calls whose turns go to two servers in turn, beside calls that stay at one: writes to the store, and CPU.
- Idle: the commands a second that a fleet gives the store while nothing happens, of 1 to 64 servers; on an empty store, and with sessions
  that sleep in all its partitions. All calls are counted that INFO commandstats counts, those that scripts make inside included.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import redis
import uvloop

from benchmarks import product
from benchmarks.calls import ACCOUNT, KEYS, LOCALE, TOKEN, Exchange, call, menu_answer, request
from benchmarks.control import Control, run
from benchmarks.load import Load, _drive
from benchmarks.process import Process, process
from benchmarks.rounds import interleaved, ratio
from handlers.redis_history import RedisHistory
from switchboard import server
from switchboard.server import Server
from switchboard.settings import Settings
from switchboard.store import new_boot, opened_store

LEAST_OF_ONE = 0.9
MOST_MORE_TRIPS = 2.0
MOST_OF_STAYING = 2.0
MOST_IDLE = 100.0

AT_ONCE = 16
"""Calls at once for each worker: two of them serve twice as many callers."""

CALLS = 300
SESSIONS = 200
FLEETS = (1, 4, 16, 64)
SETTLE_SECONDS = 12.0
WATCH_SECONDS = 16.0
SLEEPERS = 40
"""Alarms in each partition."""

ROOT = Path(__file__).parents[1]


# -- workers -------------------------------------------------------------------------------------------------------------------------------


class Crew:
    """`switchboard serve --workers`, as anybody starts it."""

    def __init__(self, folder: Path, store: str, workers: int) -> None:
        folder.mkdir()
        (folder / "switchboard.toml").write_text(f'[lines]\n"phone:*" = {{ workflow = "benchmarks.menu:menu", locale = "{LOCALE}" }}\n')
        environment = {
            **os.environ, "REDIS_URL": store, "PYTHONPATH": str(ROOT), "TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN,
        }  # fmt: skip
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [Path(sys.executable).parent / "switchboard", "serve", "--port", "0", "--workers", str(workers)],
                cwd=folder, env=environment, stdout=log, stderr=log,
            )  # fmt: skip
        while not (found := re.search(r"http://(127\.0\.0\.1:\d+)", self.log.read_text())):
            if self._process.poll() is not None:
                raise RuntimeError(self.log.read_text())
            time.sleep(0.05)
        self.address = found[1]
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self._pids = children if workers > 1 else [self._process.pid]
        self.workers = workers

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)

    def cpu(self) -> float:
        """Seconds of the workers; see Documentation/scheduler/sched-stats of the kernel."""
        tasks = [task for pid in self._pids for task in Path(f"/proc/{pid}/task").glob("*/schedstat")]
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def measure(*crews: Crew) -> dict[str, float]:
    """Turns a CPU second of the workers, all under load at once."""
    sessions = [(each, [call(each.address, menu_answer) for _ in range(CALLS * each.workers)]) for each in crews]
    before = sum(each.cpu() for each in crews)

    async def drive() -> list[Load]:
        return await asyncio.gather(*(_drive(each.address, AT_ONCE * each.workers, calls, 0.0) for each, calls in sessions))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        turns = sum(len(load.turns) for load in runner.run(drive()))
    return {"turns_per_cpu_s": turns / (sum(each.cpu() for each in crews) - before)}


@contextmanager
def crew(folder: Path, store: str, workers: int) -> Generator[Crew]:
    started = Crew(folder, store, workers)
    try:
        yield started
    finally:
        started.end()


def workers(store: str) -> dict[str, Any]:
    """Two workers beside one, and beside two servers that share the store but no port and no supervisor."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        one, two, other = [stack.enter_context(crew(folder / name, store, count)) for name, count in (("one", 1), ("two", 2), ("other", 1))]
        contenders = {"one": lambda: measure(one), "two": lambda: measure(two), "servers": lambda: measure(one, other)}
        for each in contenders.values():
            each()
        return interleaved(contenders, rounds=9)


# -- alternating ---------------------------------------------------------------------------------------------------------------------------


def calls_of(addresses: tuple[str, ...]) -> list[list[tuple[str, Exchange]]]:
    """Calls whose turns go to these addresses in turn."""
    sessions = []
    for _ in range(SESSIONS):
        sid = "CA" + os.urandom(16).hex()
        turns = enumerate(["", *KEYS])
        sessions.append([
            (address, Exchange(request(address, sid, turn, key), menu_answer(turn, key)))
            for turn, key in turns
            for address in [addresses[turn % len(addresses)]]
        ])  # fmt: skip
    return sessions


async def talk(sessions: list[list[tuple[str, Exchange]]], at_once: int) -> None:
    """Carry the calls through, so many at a time, each with a connection to every server."""
    waiting = iter(sessions)

    async def carry() -> None:
        connections: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        for session in waiting:
            for address, exchange in session:
                if address not in connections:
                    host, port = address.split(":")
                    connections[address] = await asyncio.open_connection(host, int(port))
                reader, writer = connections[address]
                writer.write(exchange.request)
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(len(exchange.answer))
                if not head.startswith(b"HTTP/1.1 200 ") or body != exchange.answer:
                    raise RuntimeError(f"{head!r}\n{body!r}\ncame, but this had to come: {exchange.answer!r}")
        for _, writer in connections.values():
            writer.close()

    await asyncio.gather(*(carry() for _ in range(at_once)))


def alternating(store: str, at_once: int) -> dict[str, Any]:
    """Two servers; every turn at the other one, beside calls that stay."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(process("replicas", store)) for _ in range(2)]
        first, second = [node.address for node in nodes]

        def carry(sessions: list[list[tuple[str, Exchange]]]) -> dict[str, float]:
            before = _sums(nodes)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(talk(sessions, at_once))
            turns = sum(map(len, sessions))
            return {name: (value - before[name]) / turns for name, value in _sums(nodes).items()}

        def stays() -> dict[str, float]:
            """Two calls side by side, each at a server of its own: both servers wake as often as when turns alternate."""
            pairs = zip(calls_of((first,))[::2], calls_of((second,))[::2], strict=True)
            return carry([[turn for both in zip(*pair, strict=True) for turn in both] for pair in pairs])

        stays()
        return interleaved({"stays": stays, "alternates": lambda: carry(calls_of((first, second)))})


def _sums(nodes: list[Process]) -> dict[str, float]:
    return {"trips": sum(node.ask("trips") for node in nodes), "cpu_us": sum(node.ask("usage")["cpu"] for node in nodes) * 1e6}


async def _served() -> None:
    """A server that tells how many writes went to the store."""
    control = Control()

    @asynccontextmanager
    async def watched(settings: Settings) -> AsyncGenerator[RedisHistory]:
        async with opened_store(settings) as history:
            control.questions["trips"] = lambda: history.round_trips
            yield history

    server.opened_store = watched
    settings = product.settings(sys.argv[1])
    await server.serve(settings, lambda url: control.tell({"address": url.removeprefix("http://")}), control.stop)


# -- idle ----------------------------------------------------------------------------------------------------------------------------------


async def idle(url: str, count: int) -> dict[str, float]:
    """Commands a second of a fleet to which nothing happens: all that the store carries out, and those that were sent."""
    servers = []
    client = redis.Redis.from_url(url)
    for _ in range(count):
        history = RedisHistory(url, new_boot())
        await history.open()
        servers.append((history, Server(product.settings(url), history)))
    for _, each in servers:
        each.sweeper.start()
    await asyncio.sleep(SETTLE_SECONDS)
    client.config_resetstat()
    begun = time.monotonic()
    await asyncio.sleep(WATCH_SECONDS)
    stats = client.info("commandstats")
    seconds = time.monotonic() - begun
    for history, each in servers:
        await each.close()
        await history.close()
    ours = {"cmdstat_config|resetstat", "cmdstat_info"}
    calls = sum(stat["calls"] for name, stat in stats.items() if name not in ours)
    return {"all": calls / seconds, "sent": stats["cmdstat_evalsha"]["calls"] / seconds}


def idling(url: str) -> dict[str, dict[int, dict[str, float]]]:
    """Fleets of all sizes, on an empty store and on one where sessions sleep."""
    with redis.Redis.from_url(url) as client:
        client.flushall()
        found = {"empty": {count: asyncio.run(idle(url, count)) for count in FLEETS}}
        at = (time.time() + 86_400) * 1000
        for partition in range(256):
            client.zadd(f"sb:{{{partition}}}:due", {f"web:{number} 1/0": at for number in range(SLEEPERS)})
        found["asleep"] = {count: asyncio.run(idle(url, count)) for count in FLEETS}
        return found


# -- the run -------------------------------------------------------------------------------------------------------------------------------


def main() -> None:
    with process("store", "everysec") as store:
        url = store.hello["url"]
        crews, ways, fleets = workers(url), {at_once: alternating(url, at_once) for at_once in (1, 8)}, idling(url)
    figures = {name: figures["turns_per_cpu_s"] for name, figures in crews.items()}
    two = median(figures["two"])
    of_one, of_servers = ratio(figures["two"], figures["one"]), ratio(figures["two"], figures["servers"])
    what = "turns a CPU second of the workers"
    tell(what, f"two {two:.0f}, one {median(figures['one']):.0f}", f"{of_one:.2f} of one", f">= {LEAST_OF_ONE}", of_one >= LEAST_OF_ONE)
    tell(what, f"two {two:.0f}, two servers {median(figures['servers']):.0f}", f"{of_servers:.2f} of them", "", None)
    for at_once, way in ways.items():
        stays, alternates = way["stays"], way["alternates"]
        more = median(alternates["trips"]) - median(stays["trips"])
        dearer = ratio(alternates["cpu_us"], stays["cpu_us"])
        bars = (f"<= {MOST_MORE_TRIPS:g}", more <= MOST_MORE_TRIPS), (f"<= {MOST_OF_STAYING:g}", dearer <= MOST_OF_STAYING)
        if at_once > 1:  # writes that sessions share are nobody's: the bars are for a session
            bars = ("", None), ("", None)
        what = f"alternating every turn, {at_once} at once"
        tell(what, f"writes a turn {median(alternates['trips']):.2f}, staying {median(stays['trips']):.2f}", f"{more:.2f} more", *bars[0])
        tell(
            what,
            f"CPU a turn {median(alternates['cpu_us']):.0f} us, staying {median(stays['cpu_us']):.0f}",
            f"{dearer:.2f} times",
            *bars[1],
        )
    for name, fleet in fleets.items():
        for count, each in fleet.items():
            rate = f"{each['all']:.1f} commands a second, {each['sent']:.1f} sent"
            tell(f"idle, {name}, {count} servers", rate, "", f"<= {MOST_IDLE:g}", each["all"] <= MOST_IDLE)
        growth = fleet[FLEETS[-1]]["all"] - fleet[1]["all"]
        tell(f"idle, {name}, of 64 beside 1", f"{growth:.1f} commands a second more", "", "", None)


def tell(what: str, figures: str, compared: str, bar: str, holds: bool | None) -> None:
    print(f"{what:34}  {figures:45}  {compared:12}  {bar:8}  {({True: 'met', False: 'missed', None: ''})[holds]}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(_served)
    else:
        main()
