"""`serve --reload`: a server that is replaced when a file changes, while calls and chats go on.

The port is opened here, once, and each server gets it: so nobody who calls meanwhile meets a closed door. The next server (`reloaded` is
its side of this) starts beside the one before and takes its place when it listens. Where it cannot, over a line half typed, say, it tells
why and the one before goes on.

What is said here is for the person who writes the workflow: which conversations were under way, and which of them the changed code cannot
go on with. The server before knows the former, since only it has the code as it was, and the server after the latter.
"""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from watchfiles import Change, DefaultFilter, awatch

from switchboard import show
from switchboard.errors import ServerError
from switchboard.reload_server import ReloadedServer
from switchboard.settings import FILE, load_server

Listening = Callable[[str, str | None], None]
"""Is told the address, and the public one, when the first server listens."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options that `serve` was given, for each server to read the settings anew."""

    config: Path | None
    host: str | None
    port: int | None
    data: Path | None


def run(options: Options, listening: Listening) -> int:
    """Serve until SIGINT or SIGTERM, and give the exit code: 0, or 128 and its number when a second signal ended the server at once.

    Raises `ServerError` when the port is taken, and `SettingsError` when the settings do not tell where to listen.
    """
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # what has changed is told here
    at = load_server(options.config, host=options.host, port=options.port)
    with _opened(at.host, at.port) as port:
        return asyncio.run(_Reloading(options, port, listening).run())


@contextlib.contextmanager
def _opened(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        opened = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise ServerError.cannot_listen(host, port, error) from None
    with opened:
        yield opened


class _Reloading:
    """The server of the moment, what has changed since it began, and which conversations were lost on the way."""

    def __init__(self, options: Options, port: socket.socket, listening: Listening) -> None:
        self._options = options
        self._port = port
        self._listening = listening
        self._server: ReloadedServer | None = None
        self._next: ReloadedServer | None = None
        self._before: ReloadedServer | None = None
        self._minding: set[asyncio.Task[None]] = set()
        self._at: list[Any] | None = None
        self._lost: set[str] = set()
        self._changed: set[str] = set()
        self._news = asyncio.Event()
        self._stop = asyncio.Event()
        self._ended_by: signal.Signals | None = None

    async def run(self) -> int:
        """See `run`."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._signalled, number)
        watching = asyncio.create_task(self._watch())
        await asyncio.sleep(0)  # it watches from now on: nothing that changes while a server starts is missed
        try:
            while not self._stop.is_set():
                self._news.clear()
                names, self._changed = sorted(self._changed), set()
                await self._replace(names)
                await self._news.wait()
        finally:
            self._stop.set()
            if self._server is not None:
                await self._server.end()
            await watching
        return 128 + self._ended_by if self._ended_by else 0

    def _signalled(self, number: signal.Signals) -> None:
        """The first signal drains the server, a second one ends it at once."""
        if self._stop.is_set():
            self._ended_by = number
            for server in filter(None, (self._before, self._server, self._next)):
                server.send(signal.SIGKILL)
        self._stop.set()
        self._news.set()

    async def _watch(self) -> None:
        """Note which files change: Python's below the working directory, and the settings."""
        here = Path.cwd()
        config = here / (self._options.config or FILE)
        usual = DefaultFilter()

        def matters(change: Change, path: str) -> bool:
            return usual(change, path) and (path.endswith(".py") or Path(path) == config)

        try:
            async for changes in awatch(*{here, config.parent}, watch_filter=matters, stop_event=self._stop):
                self._changed |= {_shown(path, here) for _, path in changes}
                self._news.set()
        except OSError as error:
            raise ServerError(
                f"The files in {here} cannot be watched: {error}. Run this in a smaller folder, or set WATCHFILES_FORCE_POLLING=true."
            ) from None
        finally:
            self._stop.set()
            self._news.set()

    # -- servers ---------------------------------------------------------------------------------------------------------------------------

    async def _replace(self, changed: Sequence[str]) -> None:
        """Put a new server in the place of the one before, unless something else changes before it listens."""
        before = self._server
        if changed:
            _say(f"{', '.join(map(show.clean, changed))} changed.")
        self._next = await ReloadedServer.start(**asdict(self._options), listener=self._port.fileno())
        told = await self._unless_news(self._next.hear())
        if not told or "url" not in told:
            await self._give_up(self._next, told, before)
            self._next = None
            return
        self._before, self._server, self._next = before, self._next, None
        minding = asyncio.create_task(self._mind(self._server))
        self._minding.add(minding)
        minding.add_done_callback(self._minding.discard)
        if self._at is None:
            self._at = told["at"]
            self._listening(told["url"], told["public"])
            return
        alive = {} if before is None else await before.ask("alive")
        if before is not None:
            await before.end()
            self._before = None
        await self._sum_up(self._server, alive, moved=told["at"] != self._at)

    async def _unless_news(self, hearing: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any] | None:
        """What a server says; None: what it was started with is out of date by now, or everything is to end."""
        news, heard = asyncio.create_task(self._news.wait()), asyncio.create_task(hearing)
        await asyncio.wait({news, heard}, return_when=asyncio.FIRST_COMPLETED)
        news.cancel()
        if heard.done():
            return heard.result()
        heard.cancel()
        return None

    async def _give_up(self, server: ReloadedServer, told: dict[str, Any] | None, before: ReloadedServer | None) -> None:
        """Tell why a new server does not serve, and who does instead."""
        if told is None:
            await server.kill()
            return
        await server.end()
        why = told.get("error") or f"The new server {server.manner} before it listened."
        _complain(f"Error: {why}")
        if before is None:
            _complain("Nobody serves now. Mend it: the next change starts a server.")
        else:
            _complain("The code as it was before serves on. Mend it: the next change tries again.")

    async def _mind(self, server: ReloadedServer) -> None:
        """Tell when a server ends that should not."""
        await server.process.wait()
        if self._server is server and not self._stop.is_set():
            self._server = None
            _complain(f"The server {server.manner}, and nobody serves now. The next change starts another one.")

    # -- conversations ---------------------------------------------------------------------------------------------------------------------

    async def _sum_up(self, server: ReloadedServer, alive: dict[str, Any], *, moved: bool) -> None:
        """Tell what becomes of the conversations that were under way."""
        if moved:
            _complain("Note: host and port under [server] are taken up when you start the server yourself.")
        under_way = set(alive.get("alive", ()))
        answer = await server.ask("lost", sessions=sorted(under_way | self._lost))
        lost = {each["session"]: each for each in answer.get("lost", ())}
        on = len(under_way - lost.keys())
        _say(f"The changed code serves now. {show.count(on, 'conversation')} under way {'goes' if on == 1 else 'go'} on.")
        for problem in filter(None, (alive.get("problem"), answer.get("problem"))):
            _complain(f"Whether others do cannot be told: {problem}")
        for session in sorted(self._lost - lost.keys()):
            _say(f"{show.clean(session)} goes on again.")
        for session in sorted(lost):
            name = show.clean(session)
            if session in self._lost:
                _complain(f"{name} still cannot go on.")
            else:
                _complain(f"{name} cannot go on: {show.clean(lost[session]['why'])}")
                _complain(f"  {show.clean(lost[session]['meets'])}")
        self._lost = set(lost)


def _shown(path: str, here: Path) -> str:
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _say(text: str) -> None:
    typer.echo(text)


def _complain(text: str) -> None:
    typer.secho(text, fg="red")
