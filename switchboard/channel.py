"""The plugin protocol of channels, and the exchange through which a channel reaches sessions.

A channel turns wire requests into inbounds and answers into wire responses; nothing below it knows its format. The server finds channels
by the entry point group `switchboard.channels`: each names a class that takes an `Exchange` and has `routes()`.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterable
from ipaddress import ip_address
from typing import Protocol, runtime_checkable

import msgspec
from aiohttp import web

from handlers.deliveries import Messenger
from handlers.house import House
from handlers.messages import Collect, Inbound, Opening
from handlers.reply import ReplyTo
from switchboard.follow import Following
from switchboard.guard import Limits
from switchboard.settings import Line, Settings
from workflows.turns import Answer

HURRIED_SECONDS = 0.5
"""How long an endpoint waits when the server is about to stop."""


class Exchange:
    """What a channel has of the house: the settings, the lines, and a way to sessions.

    Attributes:
        settings: all of them; secrets included, so never log it.
        limits: of a request's body, for `guard.read_body`.
        counters: where a channel counts what it refuses.
        leaving: set when the server stops; what a channel fetches or is sent by itself it takes no more then.
    """

    def __init__(self, settings: Settings, limits: Limits, house: House) -> None:
        self.settings = settings
        self.limits = limits
        self.counters = house.counters
        self.leaving = asyncio.Event()
        self._house = house
        self._post = house.post
        self._waiting: set[ReplyTo[Answer]] = set()
        self._patience = math.inf

    def public_url(self, request: web.Request) -> str:
        """The URL that the sender of a request used, with its target as it was sent.

        It is the configured public URL's, else what a trusted proxy says (the first of several values), else the request's own.
        """
        server = self.settings.server
        if server.public_url is not None:
            return server.public_url.rstrip("/") + request.raw_path
        scheme, host = request.scheme, request.headers.get("Host", "")
        if server.trusted_proxies and request.remote and any(ip_address(request.remote) in each for each in server.trusted_proxies):
            scheme = request.headers.get("X-Forwarded-Proto", scheme).partition(",")[0].strip()
            host = request.headers.get("X-Forwarded-Host", host).partition(",")[0].strip()
        return f"{scheme}://{host}{request.raw_path}"

    def line(self, channel: str, address: str) -> Line | None:
        """The line that people reach at an address: its own entry in `[lines]`, else the channel's `*`."""
        lines = self.settings.lines
        return lines.get(f"{channel}:{address}") or lines.get(f"{channel}:*")

    async def send(self, inbound: Inbound, patience: float) -> Answer | None:
        """Bring an input to its session and wait for the answer, at most `patience` seconds; None: it takes longer, collect it.

        Raises `HandlerError` when it cannot be told whether the input is on record: the channel must ask its caller to send it again.
        """
        reply: ReplyTo[Answer] = ReplyTo()
        self._waiting.add(reply)
        try:
            self._post.post(msgspec.structs.replace(inbound, reply_to=reply))
            return await reply.get(min(patience, self._patience))
        except TimeoutError:
            return None
        finally:
            self._waiting.discard(reply)

    async def collect(self, session: str, turn: int | str | None, offset: int, patience: float = 0.0) -> Answer | None:
        """What was said in a turn (None: the last one) and since, from `offset` on.

        With `patience` (seconds) it is waited for; None: nothing was said yet.
        """
        reply: ReplyTo[Answer] = ReplyTo()
        self._post.post(Collect(session, turn, offset, reply, wait=patience > 0))
        if not patience:
            return await reply.get()
        self._waiting.add(reply)
        try:
            return await reply.get(min(patience, self._patience))
        except TimeoutError:
            return None
        finally:
            self._waiting.discard(reply)

    def hurry(self) -> None:
        """Let nobody wait any longer for what takes its time: they are answered as if their own time was over. For drains."""
        self._patience = HURRIED_SECONDS
        for reply in self._waiting:
            reply.give_up()

    def follow(self, session: str, after: tuple[int, int] | None) -> Following:
        """Read a session from an output on (its position and ordinal; None: from the beginning), until the returned context is left."""
        return Following(self._house, session, after)


class Channel(Protocol):
    """One way to reach people.

    `name` is the word before the colon in `[lines]`, `when_lost` a sentence for authors: what people meet in a session that its code
    cannot go on with. Raises `SettingsError` when made with settings that it cannot work with.
    """

    name: str
    when_lost: str

    def __init__(self, exchange: Exchange) -> None: ...

    def routes(self) -> Iterable[web.RouteDef]:
        """The endpoints of this channel."""
        ...


class Page(Protocol):
    """A page for browsers: no channel, since no line answers there. Found by the entry point group `switchboard.pages`."""

    def __init__(self, exchange: Exchange) -> None: ...

    def routes(self) -> Iterable[web.RouteDef]:
        """The addresses of the page and of what it is made of."""
        ...


@runtime_checkable
class Pushing(Protocol):
    """A channel that brings what is said to people outside a request, in the sessions that it opens with the fact `pushes`."""

    messenger: Messenger


@runtime_checkable
class Running(Protocol):
    """A channel with something that runs beside the server: connections that it keeps, a socket."""

    def running(self, app: web.Application, /) -> AsyncIterator[None]:
        """Begin, yield once, and end: aiohttp's `cleanup_ctx`."""
        ...


def opening(line: Line, channel: str, address: str, caller: str | None, facts: dict[str, object]) -> Opening:
    """How a line opens its sessions."""
    return Opening(line.workflow, line.args, channel, address, caller, line.locale, line.timezone, facts)
