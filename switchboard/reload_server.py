"""A server as `reload` sees it: a process, and a socket by which the two speak, a line of JSON each."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from typing import Any, Final, Self

_PATIENCE: Final = 10.0
"""Seconds in which the server before has to say what is under way: it may be what is broken."""

_FAREWELL: Final = 12.0
"""Seconds for the end of the server before: more than it takes for its drain."""

_LONGEST: Final = 1 << 24
"""Bytes of a line from a server: it may name many sessions."""


class ReloadedServer:
    """One of the servers, as it is seen from here."""

    def __init__(self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, **options: Any) -> Self:
        """Start one, at the port whose descriptor is `listener`; `options` are those of `serve`. It is told by `hear` how that went."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "switchboard.reloaded",
                stdin=theirs.fileno(), pass_fds=[options["listener"]],
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},  # what is compiled passes for unchanged within a second
                start_new_session=True,  # so that Ctrl-C reaches the supervisor alone
            )  # fmt: skip
        server = cls(process, *await asyncio.open_connection(sock=ours, limit=_LONGEST))
        await server.tell(**options)
        return server

    @property
    def manner(self) -> str:
        """How it ended, in words."""
        code = self.process.returncode or 0
        return f"ended with status {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"

    async def tell(self, **words: Any) -> None:
        """Say something to it, paths as text; if it is gone, in vain."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(json.dumps(words, default=str).encode() + b"\n")
            await self._writer.drain()

    async def hear(self) -> dict[str, Any]:
        """The next thing that it says; nothing when it has ended."""
        with contextlib.suppress(ConnectionError):
            if line := await self._reader.readline():
                return dict(json.loads(line))
        return {}

    async def ask(self, what: str, **about: Any) -> dict[str, Any]:
        """What it answers to a question; nothing when it has ended or takes too long."""
        try:
            async with asyncio.timeout(_PATIENCE):
                await self.tell(ask=what, **about)
                while (answer := await self.hear()) and what not in answer:
                    pass  # it was slow to answer another question
                return answer
        except TimeoutError:
            return {}

    async def end(self) -> None:
        """Have it finish what it is doing; one that does not end is killed."""
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(_FAREWELL):
                await self.process.wait()
        except TimeoutError:
            await self.kill()
        self._writer.close()

    async def kill(self) -> None:
        """Have it end at once."""
        self.send(signal.SIGKILL)
        await self.process.wait()
        self._writer.close()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
