"""The one connection to a server of the store that all calls of a process share.

A client that pools connections spends two to three times as much on a call.
"""

import asyncio
import math
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from handlers.errors import StoreError
from handlers.redis_address import Address
from handlers.redis_wire import ReplicatedWire, Replication, Wire
from handlers.resp import Refusal, pack

CONNECT_TIMEOUT: Final = 2.0
"""Seconds until an address that does not answer, or does not let us in, is given up."""

PAUSE: Final = 0.1
"""Seconds between two attempts to connect; calls in between fail at once."""

REMEDIES: Final = {
    "CLUSTERDOWN": "a part of the cluster is down: it goes on when a replica has taken over, or start what is down",
    "LOADING": "it is still loading its data: wait for it, or look at its log",
    "MISCONF": "it cannot save to its disk: look at its log",
    "MOVED": "it is one node of a cluster: let REDIS_URL begin with redis+cluster:// (with TLS, rediss+cluster://)",
    "NOAUTH": "put its password into REDIS_URL, as in redis://:password@host:6379/0",
    "NOPERM": "its user lacks a permission: grant the command and the keys sb:*",
    "NOREPLICAS": "it has fewer replicas than its min-replicas-to-write: see to its replicas",
    "OOM": "its memory is full: raise its maxmemory, or let sessions expire sooner",
    "READONLY": "it is a read-only replica: name the primary in REDIS_URL",
    "TRYAGAIN": "what was asked for is being moved to another node of the cluster: it goes on by itself",
    "WRONGPASS": "correct the user or the password in REDIS_URL",
}
_ELSEWHERE: Final = {"LOADING", "NOAUTH", "READONLY"}
"""Refusals that a new connection may not meet: the address may stand for another server by now."""

_log: Final = structlog.get_logger(__name__)


Ask = Callable[..., Awaitable[list[Any]]]
"""Sends packed commands in one write and returns their replies and refusals."""

Told = Callable[[str], str]
"""Puts a reason into a sentence that names the server."""

Greet = Callable[[Ask, Address, Told], Awaitable[None]]
"""Looks at a new connection, and refuses it with a `StoreError` or a `FormatError`."""


def accept(reply: Any, told: Told) -> Any:
    """Return a reply that is no refusal; a refusal is raised as a `StoreError` with its remedy, in a sentence made by `told`."""
    if isinstance(reply, Refusal):
        raise StoreError(told(_why(reply)))
    return reply


def _why(refusal: Refusal) -> str:
    return f"it refused ({refusal.text}): {REMEDIES.get(refusal.kind, 'look at its log')}"


class Link:
    """The way to the server at `address`: connects when a call needs it, at most every `PAUSE`, and fails at once while that is away.

    A call that meets a loss fails with a `StoreError` that names the remedy; the next one tries a new connection. `greet` looks at
    every new connection, and what it raises refuses it. `round_trips` counts the writes. With a `replication`, replies wait for replicas.
    """

    def __init__(self, address: Address, greet: Greet, replication: Replication | None = None) -> None:
        self.address = address
        self._greet = greet
        self._replication = replication
        self._wire: Wire | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._attempted = -math.inf
        self._trouble = ""
        self._closed = False
        self.round_trips = 0

    @property
    def lost(self) -> bool:
        """Whether there was a connection, or an attempt at one, and there is none now."""
        return self._wire is None and bool(self._trouble)

    @property
    def waited(self) -> float:
        """For how long the oldest call that left has had no answer, seconds."""
        return 0.0 if self._wire is None else self._wire.waited

    def call(self, command: bytes, key: bytes = b"") -> Awaitable[Any]:
        """Send a packed command about `key`, connecting first if need be; gives its reply or `Refusal`. May be cancelled at any time."""
        return self._connect_and_send(command, key) if self._wire is None else self._wire.send(command, key)

    async def ask(self, *commands: bytes, key: bytes = b"") -> list[Any]:
        """Send several commands with nothing between them; gives their replies and refusals."""
        wire = self._wire or await self._reach()
        return await asyncio.gather(*[wire.send(command, key) for command in commands])

    def accept(self, reply: Any) -> Any:
        """Return a reply that is no refusal; a refusal is raised as a `StoreError`."""
        if isinstance(reply, Refusal) and reply.kind in _ELSEWHERE:
            self.doubt(reply)
        return accept(reply, self.told)

    def doubt(self, refusal: Refusal) -> None:
        """Drop the connection: what is at its other end may not be what we look for any more."""
        if self._wire is not None:
            self._wire.end(_why(refusal))

    async def nodes(self) -> "tuple[Link, ...]":
        """All servers of the store that may be written to: this one."""
        return (self,)

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
        return f"The store at {self.address.name}: {why}."

    def broken(self, wire: Wire, error: Exception | None) -> str:
        """Why a connection broke, and what to do about it; without an error, the other side has closed it."""
        remedy = "see whether it runs"
        if "CERTIFICATE_REQUIRED" in str(error):
            remedy = "it wants a certificate of ours, and we have none: set its tls-auth-clients to no"
        elif self._wire is not wire and self.address.tls:  # what it objected to may be lost with the connection
            remedy += ", and whether it wants a certificate of ours: we have none, so set its tls-auth-clients to no"
        elif self._wire is not wire and not self.address.path:  # it has not let us in yet
            remedy += ", and whether it wants TLS (rediss://)"
        return f"the connection was lost ({error or 'closed by the other side'}): {remedy}"

    def lose(self, wire: Wire, why: str) -> str:
        """A connection ends; returns the reason as a sentence, for all who wait on it."""
        text = self.told(why)
        if self._wire is wire:
            self._wire = None
            self._trouble = text
            _log.warning("The store was lost; the next call connects anew", why=text)
        return text

    async def _connect_and_send(self, command: bytes, key: bytes) -> Any:
        wire = await self._reach()
        return await wire.send(command, key)

    async def _reach(self) -> Wire:
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
        wire = Wire(self) if self._replication is None else ReplicatedWire(self, self._replication)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._dial(wire)
                await self._greet(wire.ask, self.address, self.told)
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
                _log.info("The store is back", name=self.address.name)
        self._trouble = trouble

    async def _dial(self, wire: Wire) -> None:
        address, loop = self.address, asyncio.get_running_loop()
        if address.path:
            await loop.create_unix_connection(lambda: wire, address.path)
        else:
            await loop.create_connection(lambda: wire, address.host, address.port, ssl=address.tls or None)
        entrance = [pack(b"AUTH", *address.login)] if address.login else []
        if address.db:
            entrance.append(pack(b"SELECT", b"%d" % address.db))
        for reply in await wire.ask(*entrance):
            accept(reply, self.told)
