"""The one connection to the store that all calls of a process share.

Replies come in the order of the commands, so a call is a place in a queue and a future: no task, lock or timer of its own. What is asked
for in one tick of the event loop leaves in one write. A client that pools connections spends two to three times as much on a call.
"""

import asyncio
import math
import os
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Self, cast
from urllib.parse import parse_qs, unquote, unquote_to_bytes, urlsplit

import structlog

from handlers.errors import StoreError
from handlers.resp import Refusal, Replies, pack

CONNECT_TIMEOUT: Final = 2.0
"""Seconds until an address that does not answer, or does not let us in, is given up."""

COMMAND_TIMEOUT: Final = 2.0
"""Seconds until an unanswered command fails, and its connection with it: whose reply comes next could not be told any more."""

CHUNK: Final = 16
"""Commands that leave together at most: the store works on the first of a crowd while we prepare the next."""

PAUSE: Final = 0.1
"""Seconds between two attempts to connect; calls in between fail at once."""

_CLUSTER: Final = "clusters come later: name a single server in REDIS_URL"
_REMEDIES: Final = {
    "CLUSTERDOWN": _CLUSTER,
    "LOADING": "it is still loading its data: wait for it, or look at its log",
    "MISCONF": "it cannot save to its disk: look at its log",
    "MOVED": _CLUSTER,
    "NOAUTH": "put its password into REDIS_URL, as in redis://:password@host:6379/0",
    "NOPERM": "its user lacks a permission: grant the command and the keys sb:*",
    "OOM": "its memory is full: raise its maxmemory, or let sessions expire sooner",
    "READONLY": "it is a read-only replica: name the primary in REDIS_URL",
    "WRONGPASS": "correct the user or the password in REDIS_URL",
}
_ELSEWHERE: Final = {"LOADING", "NOAUTH", "READONLY"}
"""Refusals that a new connection may not meet: the address may stand for another server by now."""

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the store is and who we are there. `name` is for people: the address without the password."""

    name: str
    host: str
    port: int
    path: str
    tls: bool
    login: tuple[bytes, ...]
    db: int

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `redis://[[user]:password@]host[:port][/db]` or `unix://[[user]:password@]/path[?db=n]`.

        `rediss://` is TLS, and trusts the authorities of the system or of SSL_CERT_FILE. A `StoreError` says what is wrong, and
        quotes nothing that may be a piece of the password.
        """
        try:
            parts = urlsplit(url)
            options = parse_qs(parts.query, keep_blank_values=True)
            unix = parts.scheme == "unix"
            db = int(options.pop("db", ["0"])[-1] if unix else parts.path.strip("/") or "0")
            host, port = parts.hostname or "localhost", parts.port or 6379
        except ValueError:
            raise StoreError(
                "REDIS_URL cannot be read: write redis://:password@host:6379/0 or unix:///path/of/socket, and %xx for special characters"
            ) from None
        if "cluster" in parts.scheme:
            raise StoreError(f"REDIS_URL begins with {parts.scheme}://, but {_CLUSTER} as redis://host:6379/0")
        if parts.scheme not in {"redis", "rediss", "unix"}:
            raise StoreError("REDIS_URL must begin with redis://, with rediss:// (which is TLS) or with unix://")
        if options:
            raise StoreError("REDIS_URL has options behind a question mark: only db is known, and only for unix://")
        path = os.fsdecode(unquote_to_bytes(parts.path)) if unix else ""
        login = (unquote(parts.username or "").encode(), unquote(parts.password or "").encode())
        return cls(
            name=f"unix://{path}" if unix else f"{parts.scheme}://{host}:{port}",
            host=host,
            port=port,
            path=path,
            tls=parts.scheme == "rediss",
            login=tuple(filter(None, login)),
            db=db,
        )


class _Wire(asyncio.Protocol):
    """One connection, from its making to its loss."""

    def __init__(self, link: "Link") -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._replies = Replies()
        self._unsent: list[tuple[bytes, asyncio.Future[Any]]] = []
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.ended = ""
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, command: bytes) -> asyncio.Future[Any]:
        """Put a packed command into this tick's write. The future is its reply, or a `StoreError`."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.ended:
            future.set_exception(StoreError(self.ended))
            return future
        if not self._unsent:
            self._loop.call_soon(self._write)
        self._unsent.append((command, future))
        if len(self._unsent) >= CHUNK:
            self._write()
        return future

    async def ask(self, *commands: bytes) -> list[Any]:
        """Send several commands in one write and return their replies and refusals."""
        return await asyncio.gather(*map(self.send, commands))

    def _write(self) -> None:
        if not self._unsent:
            return
        now = self._loop.time()
        cast("asyncio.Transport", self._transport).write(b"".join([command for command, _ in self._unsent]))
        self._link.round_trips += 1
        self._waiting.extend([(now, future) for _, future in self._unsent])
        self._unsent.clear()
        if self._timer is None:
            self._timer = self._loop.call_at(now + COMMAND_TIMEOUT, self._look)

    def data_received(self, data: bytes) -> None:
        try:
            for reply in self._replies.feed(data):
                _, future = self._waiting.popleft()
                if not future.done():  # its caller was cancelled
                    future.set_result(reply)
        except (ValueError, IndexError):
            self.end("what answers there does not speak the Redis protocol: correct REDIS_URL")

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(f"the connection was lost ({exc or 'closed by the other side'}): see whether it runs")
        self.gone.set()

    def end(self, why: str) -> None:
        """Drop the connection and tell everybody who waits; the first reason counts."""
        if self.ended:
            return
        self.ended = self._link.lose(self, why)
        if self._timer is not None:
            self._timer.cancel()
        waiting = [*(future for _, future in self._waiting), *(future for _, future in self._unsent)]
        self._waiting.clear()
        self._unsent.clear()
        for future in waiting:
            if not future.done():
                future.set_exception(StoreError(self.ended))
        if self._transport is not None:
            self._transport.abort()

    def _look(self) -> None:
        """Is the oldest command's time up? If our own loop stood still, replies in the socket were read before timers."""
        self._timer = None
        if self._waiting:
            late = self._waiting[0][0] + COMMAND_TIMEOUT
            if self._loop.time() < late:
                self._timer = self._loop.call_at(late, self._look)
            else:
                self.end(f"no answer within {COMMAND_TIMEOUT:g} s: it is overloaded, stopped or out of reach")


Ask = Callable[..., Awaitable[list[Any]]]
"""Sends packed commands in one write and returns their replies and refusals."""


class Link:
    """The way to the store at `url`: connects when a call needs it, at most every `PAUSE`, and fails at once while the store is away.

    A call that meets a loss fails with a `StoreError` that names the remedy; the next one tries a new connection. `greet` looks at
    every new connection, and what it raises refuses it. `round_trips` counts the writes.
    """

    def __init__(self, url: str, greet: Callable[[Ask], Awaitable[None]]) -> None:
        self._address = Address.parse(url)
        self._greet = greet
        self._wire: _Wire | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._attempted = -math.inf
        self._trouble = ""
        self._closed = False
        self.round_trips = 0

    def call(self, command: bytes) -> Awaitable[Any]:
        """Send a packed command, connecting first if need be; gives its reply or `Refusal`. May be cancelled at any time."""
        return self._connect_and_send(command) if self._wire is None else self._wire.send(command)

    def accept(self, reply: Any) -> Any:
        """Return a reply that is no refusal; a refusal is raised as a `StoreError`."""
        if not isinstance(reply, Refusal):
            return reply
        kind = reply.text.partition(" ")[0]
        why = f"it refused ({reply.text}): {_REMEDIES.get(kind, 'look at its log')}"
        if kind in _ELSEWHERE and self._wire is not None:
            self._wire.end(why)
        raise StoreError(self.told(why))

    async def close(self) -> None:
        """Drop the connection and wait until it is gone; every later call fails."""
        self._closed = True
        self._trouble = self.told("this end closed the connection")
        if self._attempt is not None:
            self._attempt.cancel()
            await asyncio.wait([self._attempt])
        if self._wire is not None:
            wire, self._wire = self._wire, None
            wire.end("this end closed the connection")
            await wire.gone.wait()

    def told(self, why: str) -> str:
        """Put a reason into a sentence that names the store."""
        return f"The store at {self._address.name}: {why}."

    def lose(self, wire: _Wire, why: str) -> str:
        """A connection ends; returns the reason as a sentence, for all who wait on it."""
        text = self.told(why)
        if self._wire is wire:
            self._wire = None
            self._trouble = text
            _log.warning("The store was lost; the next call connects anew", why=text)
        return text

    async def _connect_and_send(self, command: bytes) -> Any:
        wire = await self._reach()
        return await wire.send(command)

    async def _reach(self) -> _Wire:
        """Wait for a connection. Shortly after a failed attempt, or when one takes longer than `PAUSE`, fail at once instead."""
        now = asyncio.get_running_loop().time()
        recent = now < self._attempted + PAUSE
        if self._attempt is None and not recent and not self._closed:
            self._attempted = now
            self._attempt = asyncio.create_task(self._connect())
        elif self._attempt is None or not recent:
            raise StoreError(self._trouble or self.told("no connection yet: see whether it runs"))
        await asyncio.wait([self._attempt])  # which leaves the attempt alone if this caller is cancelled
        if self._wire is None:
            raise StoreError(self._trouble)
        return self._wire

    async def _connect(self) -> None:
        """Set the connection, or what the trouble is."""
        wire = _Wire(self)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._dial(wire)
                await self._greet(wire.ask)
        except TimeoutError:
            trouble = self.told(f"no connection within {CONNECT_TIMEOUT:g} s: see whether it runs, or correct REDIS_URL")
        except ssl.SSLCertVerificationError as error:
            trouble = self.told(f"it cannot be trusted ({error.verify_message}): name the certificate of its authority in SSL_CERT_FILE")
        except OSError as error:
            trouble = self.told(f"no connection ({error}): start it, or correct REDIS_URL")
        except StoreError as error:
            trouble = str(error)
        except asyncio.CancelledError:
            wire.end("this end closed the connection")
            raise
        else:
            trouble = wire.ended
        finally:
            self._attempt = None
        if trouble:
            wire.end(trouble)
        else:
            self._wire = wire
            if self._trouble:
                _log.info("The store is back", name=self._address.name)
        self._trouble = trouble

    async def _dial(self, wire: _Wire) -> None:
        address, loop = self._address, asyncio.get_running_loop()
        if address.path:
            await loop.create_unix_connection(lambda: wire, address.path)
        else:
            await loop.create_connection(lambda: wire, address.host, address.port, ssl=address.tls or None)
        entrance = [pack(b"AUTH", *address.login)] if address.login else []
        if address.db:
            entrance.append(pack(b"SELECT", b"%d" % address.db))
        for reply in await wire.ask(*entrance):
            self.accept(reply)
