"""Server processes that kill themselves at a given moment of a turn, with `kill -9` and no goodbye.

They are forks of a process that has imported what a server needs (the language model's client alone takes a second or two), so that a
test can afford one for every moment there is.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

from handlers.effects import Effects
from handlers.redis_history import RedisHistory
from switchboard import server
from switchboard.settings import Settings
from telephony.web import Web
from workflows.registry import Registry

PRELOADED = [
    "aiohttp.web",
    "openai",
    "openai.resources.chat",
    "redis",
    "switchboard.server",
    "telephony.slack",
    "telephony.web",
    "workflows.assistant",
]
"""Modules that are there when a process begins."""

START_SECONDS = 60.0


class Moments:
    """The moments of a process at which its death would differ from that at any other, from the first word heard on (or from the start).

    They are written to `report`, one a line, so that they are known after the death, too. At number `fatal` (from 1 on) the process dies,
    or what else the signal `deadly` does to it.
    """

    def __init__(self, report: Path, fatal: int, *, armed: bool, deadly: int = signal.SIGKILL) -> None:
        self._report = report
        self._fatal = fatal
        self._count = 0
        self._armed = armed
        self._deadly = deadly

    def pass_by(self, name: str) -> None:
        if not self._armed:
            return
        self._count += 1
        with self._report.open("a") as report:
            report.write(name + "\n")
        if self._count == self._fatal:
            os.kill(os.getpid(), self._deadly)

    def around(self, owner: type, method: str, named: Callable[..., str]) -> None:
        """Take the moments before and after every call of a method; what is called "" is none."""
        inner = getattr(owner, method)

        async def outer(*args: Any, **kwargs: Any) -> Any:
            name = named(*args)
            if name:
                self.pass_by(f"before {name}")
            outcome = await inner(*args, **kwargs)
            if name:
                self.pass_by(f"after {name}")
            return outcome

        setattr(owner, method, outer)

    def while_speaking(self) -> None:
        """Take the moment at which the first words of an answer have come."""
        inner = Effects.perform

        async def outer(effects: Effects, step: Any, key: str, begin: Callable[[], Callable[[str], None]] | None = None) -> Any:
            if begin is None:
                return await inner(effects, step, key)

            def watched() -> Callable[[str], None]:
                emit, first = begin(), [True]

                def emitted(text: str) -> None:
                    emit(text)
                    if first:
                        first.clear()
                        self.pass_by("while speaking")

                return emitted

            return await inner(effects, step, key, watched)

        Effects.perform = outer  # type: ignore[method-assign,assignment]

    def when_heard(self) -> None:
        """Take the moments at which an input has come in, and at which its answer is about to leave."""
        take, told = Web._take, Web._told

        async def taken(web: Web, request: Any, inbound: Any) -> Any:
            self._armed |= inbound.type == "said"
            self.pass_by("an input has come")
            return await take(web, request, inbound)

        def answered(web: Web, *args: Any) -> Any:
            response = told(web, *args)
            self.pass_by("before the answer leaves")
            return response

        Web._take, Web._told = taken, answered  # type: ignore[method-assign]


def _kinds(command: Any) -> str:
    """What an append is about: the session's kind, and the kinds of the events."""
    return f"append to {command.session.partition(':')[0]}, {len(command.events)} events"


def _serve(settings: dict[str, Any], moments: tuple[Path, int, bool], clock: float, told: Any, deadly: int = signal.SIGKILL) -> None:
    right = time.time
    time.time = lambda: right() + clock
    passing = Moments(moments[0], moments[1], armed=moments[2], deadly=deadly)
    passing.around(RedisHistory, "append", lambda _, command: _kinds(command))
    passing.around(Effects, "perform", lambda _, step, *__: f"call of {step.effect.name}")
    passing.while_speaking()
    passing.when_heard()
    server.run(Settings.model_validate(settings, context=Registry()), told.send)


def stand_still(settings: dict[str, Any], moments: tuple[Path, int, bool], clock: float, told: Any) -> None:
    """Serve, and at the fatal moment stand still until `Doomed.go_on`: what a machine does that is short of memory."""
    _serve(settings, moments, clock, told, signal.SIGSTOP)


class Doomed:
    """One server process, or what is left of it. `url` is where it listens; `clock` is by how many seconds its wall clock is wrong."""

    def __init__(
        self,
        settings: dict[str, Any],
        report: Path,
        fatal: int = 0,
        *,
        armed: bool = False,
        clock: float = 0.0,
        serve: Callable[..., None] = _serve,
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self._report = report
        self._hears, tells = context.Pipe(duplex=False)
        self._process = context.Process(target=serve, args=(settings, (report, fatal, armed), clock, tells), daemon=True)
        self._process.start()
        tells.close()
        self.url = ""

    async def listening(self) -> None:
        """Wait until it listens; raises `EOFError` if it died before."""
        assert await asyncio.to_thread(self._hears.poll, START_SECONDS), "the server does not start"
        self.url = self._hears.recv()

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    @property
    def moments(self) -> list[str]:
        """Those it has passed by."""
        return self._report.read_text().splitlines() if self._report.exists() else []

    def kill(self) -> None:
        self._process.kill()

    def go_on(self) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def end(self) -> None:
        """Have it gone, and nothing of it left."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self._hears.close()


@contextlib.asynccontextmanager
async def doomed(
    settings: dict[str, Any],
    report: Path,
    fatal: int = 0,
    *,
    armed: bool = False,
    clock: float = 0.0,
    serve: Callable[..., None] = _serve,
) -> AsyncGenerator[Doomed, None]:
    """A server process that dies at its moment number `fatal` (0: at none); gone at the end in any case. `serve` is what it runs."""
    process = Doomed(settings, report, fatal, armed=armed, clock=clock, serve=serve)
    try:
        yield process
    finally:
        process.end()


async def eventually(holds: Callable[[], Awaitable[Any] | Any], seconds: float = 60.0) -> Any:
    """Wait until something holds, and give it; raises `TimeoutError` when it never does."""
    async with asyncio.timeout(seconds):
        while True:
            found = holds()
            if isinstance(found, Awaitable):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.1)
