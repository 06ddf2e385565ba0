"""Several worker processes on one port: starts them, starts another one where one died, and ends them together.

Each worker is a server of its own (`worker` is its side of this), and the kernel deals the connections out to them: SO_REUSEPORT, see
socket(7). What a server has beside it, the embedded Valkey and the services of `plugins`, is opened here, once for all of them.

A worker's standard input is a socket: it gets its settings there, tells where it listens or why it cannot, and ends when the other side is
gone, so that no worker outlives its supervisor, not even one that was killed.
"""

import asyncio
import contextlib
import json
import pickle
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, Final

import structlog

from switchboard import logs
from switchboard.embedded import embedded_valkey
from switchboard.errors import ServerError
from switchboard.plugins import opened_services
from switchboard.settings import Settings

_log: Final = structlog.get_logger(__name__)

# Times are in seconds.
_PAUSE: Final = 0.25  # before a dead worker's successor starts; doubles from one death to the next,
_SLOWEST: Final = 8.0  # up to this,
_CALM: Final = 60.0  # and starts anew for a worker that lived so long
_FAREWELL: Final = 12.0  # for the workers' end: more than a server takes for its drain


def run(settings: Settings, count: int, listening: Callable[[str], None]) -> int:
    """Serve with `count` workers until SIGINT or SIGTERM; `listening` is told the address when all of them listen.

    Gives the exit code: 0 when all workers ended by themselves, 1 when one had to be killed, 128 and the signal's number when a second
    signal ended them at once. Raises what keeps the first worker from listening, or one from telling its metrics, as a `SwitchboardError`.
    """
    logs.heed(settings)
    with _reserved(settings.server.host, settings.server.port) as port:
        server = settings.server.model_copy(update={"port": port})
        server.metrics_ports(count)
        return asyncio.run(_serve(settings.model_copy(update={"server": server}), count, listening))


async def _serve(settings: Settings, count: int, listening: Callable[[str], None]) -> int:
    async with contextlib.AsyncExitStack() as held:
        if settings.store.url is None:
            await held.enter_async_context(embedded_valkey(settings.data, settings.store.fsync))
        crew = _Crew(await held.enter_async_context(opened_services(settings)))
        return await crew.serve(count, listening)


@contextlib.contextmanager
def _reserved(host: str, port: int) -> Iterator[int]:
    """Keep a port for the workers, also while none of them lives; gives its number, a free one's for 0.

    A bound socket that does not listen gets no connections. The port is tried without SO_REUSEPORT first: with it, a second server
    would share the port of the first one and take half of its callers.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ServerError("Several workers on one port need SO_REUSEPORT, which this system lacks. Leave --workers out.")
    with contextlib.ExitStack() as held:
        try:
            addresses = {
                (family, address[0])
                for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            }
            for family, address in sorted(addresses):
                with _bound(family, str(address), port, shared=False) as probe:
                    port = probe.getsockname()[1]
                held.enter_context(_bound(family, str(address), port, shared=True))
        except OSError as error:
            raise ServerError.cannot_listen(host, port, error) from None
        yield port


def _bound(family: int, address: str, port: int, *, shared: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((address, port))
    except BaseException:
        bound.close()
        raise
    return bound


class _Crew:
    """The workers, by their numbers from 1 on, and what becomes of them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._living: dict[int, asyncio.subprocess.Process] = {}
        self._listened = False
        self._stop = asyncio.Event()
        self._ended_by: signal.Signals | None = None

    async def serve(self, count: int, listening: Callable[[str], None]) -> int:
        """See `run`."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled, number)
        ready: list[asyncio.Future[str]] = [loop.create_future() for _ in range(count)]
        keeping = [asyncio.create_task(self._keep(1, ready[0]))]
        try:
            await self._unless_stopped(ready[0])  # alone: what keeps it from listening would keep all, and is told once
            keeping += [asyncio.create_task(self._keep(number, ready[number - 1])) for number in range(2, count + 1)]
            await self._unless_stopped(*ready)
            if not self._stop.is_set():
                listening(ready[0].result())
            await self._stop.wait()
        finally:
            self._stop.set()
            killed = await self._end(keeping)
        return 128 + self._ended_by if self._ended_by else int(killed)

    def _signalled(self, number: signal.Signals) -> None:
        """The first signal drains the workers, a second one ends them at once."""
        if self._stop.is_set():
            self._ended_by = number
            self._send(signal.SIGKILL)
        else:
            _log.info("the workers finish what they are doing; once more ends them at once", workers=len(self._living))
            self._stop.set()

    async def _unless_stopped(self, *ready: asyncio.Future[str]) -> None:
        """Wait until these workers have listened, or all are to end; raises what came instead."""
        stopped: asyncio.Future[Any] = asyncio.create_task(self._stop.wait())
        left: set[asyncio.Future[str]] = set(ready)
        while left and not self._stop.is_set():
            await asyncio.wait([stopped, *left], return_when=asyncio.FIRST_COMPLETED)
            for done in [each for each in left if each.done()]:
                left.remove(done)
                done.result()
        stopped.cancel()

    async def _keep(self, number: int, ready: asyncio.Future[str]) -> None:
        """See to it that there is a worker of this number."""
        now = asyncio.get_running_loop().time
        pause = _PAUSE
        while not self._stop.is_set():
            begun, pid, manner = now(), None, ""
            try:
                async with self._started(number) as (process, told):
                    pid, error = process.pid, told.get("error", "")
                    if "url" in told:
                        self._listened = True
                        if not ready.done():
                            ready.set_result(told["url"])
                    manner = _manner(await process.wait())
            except OSError as trouble:
                error = f"a worker cannot be started: {trouble}. See that there are processes, open files and memory to be had (ulimit -a)."
            if self._stop.is_set():
                return
            if not self._listened:
                ready.set_exception(ServerError(error or f"The first worker {manner} before it listened; what it wrote above tells why."))
                return
            pause = _PAUSE if now() - begun > _CALM else pause
            _log.warning("a worker is gone; another one starts", worker=number, pid=pid, why=error or f"it {manner}", in_seconds=pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
            pause = min(2 * pause, _SLOWEST)

    @contextlib.asynccontextmanager
    async def _started(self, number: int) -> AsyncGenerator[tuple[asyncio.subprocess.Process, dict[str, str]]]:
        """Start a worker, and hear what it tells: its `url`, the `error` that keeps it from listening, or nothing if it died before."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-P", "-m", "switchboard.worker",
                    stdin=theirs.fileno(), start_new_session=True,  # so that Ctrl-C reaches the supervisor alone
                )  # fmt: skip
        except BaseException:
            ours.close()
            raise
        self._living[number] = process
        if self._stop.is_set():  # it was too late to be told with the others
            process.terminate()
        reader, lifeline = await asyncio.open_connection(sock=ours)
        line = b""
        with contextlib.suppress(ConnectionError):
            lifeline.write(pickle.dumps(self._settings_of(number)))
            line = await reader.readline()
        try:
            yield process, json.loads(line) if line.endswith(b"\n") else {}
        finally:
            del self._living[number]
            lifeline.close()

    def _settings_of(self, number: int) -> Settings:
        """The settings of a worker: each has a port of its own for metrics, if there is one for the first."""
        server = self._settings.server
        if server.metrics_port is None:
            return self._settings
        own = server.model_copy(update={"metrics_port": server.metrics_ports(number)[-1]})
        return self._settings.model_copy(update={"server": own})

    async def _end(self, keeping: list[asyncio.Task[None]]) -> bool:
        """Have all workers end, and wait for it; True if one had to be killed."""
        self._send(signal.SIGTERM)
        _, late = await asyncio.wait(keeping, timeout=_FAREWELL)
        if late:
            _log.error("workers that did not end are killed", workers=sorted(self._living), waited_seconds=_FAREWELL)
            self._send(signal.SIGKILL)
        await asyncio.gather(*keeping)
        return bool(late)

    def _send(self, number: signal.Signals) -> None:
        for process in self._living.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)


def _manner(code: int) -> str:
    return f"ended with exit code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"
