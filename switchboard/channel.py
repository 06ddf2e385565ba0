"""The plugin protocol of channels, and the exchange through which a channel reaches sessions.

A channel turns wire requests into inbounds and answers into wire responses; nothing below it knows its format. The server finds channels
by the entry point group `switchboard.channels`: each names a class that takes an `Exchange` and has `routes()`.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Protocol, runtime_checkable

import msgspec
from aiohttp import web
from structlog.contextvars import bind_contextvars

from handlers.deliveries import Messenger
from handlers.errors import HandlerError, OverloadError, TooOftenError
from handlers.house import House
from handlers.messages import Collect, Inbound, Opening, Status
from handlers.reply import ReplyTo
from switchboard.follow import Following
from switchboard.guard import Limits
from switchboard.histories import load_whole
from switchboard.logs import TURNS
from switchboard.rates import Rates
from switchboard.replay import Replay, replay
from switchboard.settings import Line, Settings
from workflows.turns import Answer

logger = logging.getLogger(__name__)
turns = logging.getLogger(TURNS)
SHARE = 0.9
"""The part of the connections that may wait for answers; the last ones are for those who are told to come later, and for machines."""

QUIET_SECONDS = 60.0
"""How long nothing more is logged about callers who are asked to come later."""

SITE_BITS = 64
"""The bits of an IPv6 address by which callers are told apart: whoever has a line has all addresses behind them (RFC 6177)."""

MOST_ADDRESS = 64

HURRIED_SECONDS = 0.5
"""How long an endpoint waits when the server is about to stop."""


class Exchange:
    """What a channel has of the house: the settings, the lines, and a way to sessions.

    Attributes:
        settings: all of them; secrets included, so never log it.
        limits: of a request's body, for `guard.read_body`.
        counters: where a channel counts what it refuses.
        counts_callers: whether `send` has to be told whose an input is.
        leaving: set when the server stops; what a channel fetches or is sent by itself it takes no more then.
    """

    def __init__(self, settings: Settings, limits: Limits, house: House) -> None:
        self.settings = settings
        self.limits = limits
        self.counters = house.counters
        self.leaving = asyncio.Event()
        self._house = house
        self._post = house.post
        self._way = house.way
        rate = settings.limits.per_caller
        self.counts_callers = rate is not None
        self._rates = None if rate is None else Rates(rate)
        self._most = max(1, int(limits.max_connections * SHARE))
        self._waiting: set[ReplyTo[Answer]] = set()
        self._patience = math.inf
        self._tells = settings.logs.turns
        public_url = settings.server.public_url
        self._public = None if public_url is None else public_url.rstrip("/")
        self._proxies = settings.server.trusted_proxies
        self._quiet_until = 0.0

    def public_url(self, request: web.Request) -> str:
        """The URL that the sender of a request used, with its target as it was sent.

        It is the configured public URL's, else what a trusted proxy says (the first of several values), else the request's own.
        """
        if self._public is not None:
            return self._public + request.raw_path
        scheme, host = request.scheme, request.headers.get("Host", "")
        if self._proxies and self._trusts(request.remote or ""):
            scheme = request.headers.get("X-Forwarded-Proto", scheme).partition(",")[0].strip()
            host = request.headers.get("X-Forwarded-Host", host).partition(",")[0].strip()
        return f"{scheme}://{host}{request.raw_path}"

    def address(self, request: web.Request) -> str:
        """Whose request this is: the last address that a trusted proxy does not call a trusted proxy's. Of IPv6, what one line has."""
        address = request.remote or ""
        for claimed in reversed(",".join(request.headers.getall("X-Forwarded-For", [])).split(",")):  # a proxy may add a line of its own
            if not self._trusts(address):
                break
            address = claimed.strip() or address
        try:
            whole = _ip(address)
        except ValueError:
            return address[:MOST_ADDRESS]
        return str(ip_network((whole, SITE_BITS), strict=False)) if isinstance(whole, IPv6Address) else str(whole)

    def _trusts(self, address: str) -> bool:
        try:
            return any(_ip(address) in each for each in self._proxies)
        except ValueError:
            return False

    def line(self, channel: str, address: str) -> Line | None:
        """The line that people reach at an address: its own entry in `[lines]`, else the channel's `*`."""
        lines = self.settings.lines
        return lines.get(f"{channel}:{address}") or lines.get(f"{channel}:*")

    async def send(self, inbound: Inbound, patience: float, caller: str = "") -> Answer | None:
        """Bring an input to its session and wait for the answer, at most `patience` seconds; None: it takes longer, collect it.

        Raises `HandlerError` when it cannot be told whether the input is on record: the channel must ask its caller to send it again.
        Raises `OverloadError` when there is too much to do: it is not on record, and the channel asks its caller to try again later; for
        a named caller also when those are too many (`TooOftenError`).
        """
        if caller and self._rates is not None and (seconds := self._rates.wait(caller, (inbound.session, inbound.id))):
            self.counters["too_often"] += 1
            raise TooOftenError(seconds)
        if len(self._waiting) >= self._most:
            raise self._overload()
        reply: ReplyTo[Answer] = ReplyTo()
        self._waiting.add(reply)
        if inbound.stored_suffices:
            self._way.come()
        try:
            self._post.post(msgspec.structs.replace(inbound, reply_to=reply))
            answer = await reply.get(min(patience, self._patience))
        except TimeoutError:
            return None
        except HandlerError:
            bind_contextvars(session=inbound.session, input=inbound.id)  # for whatever the channel logs about it
            raise
        finally:
            self._waiting.discard(reply)
            if inbound.stored_suffices:
                self._way.go()
        if self._tells:
            _tell(inbound, answer)
        return answer

    async def collect(self, session: str, turn: int | str | None, offset: int, patience: float = 0.0) -> Answer | None:
        """What was said in a turn (None: the last one) and since, from `offset` on.

        With `patience` (seconds) it is waited for; None: nothing was said yet.
        """
        reply: ReplyTo[Answer] = ReplyTo()
        self._post.post(Collect(session, turn, offset, reply, wait=patience > 0))
        if patience:
            self._waiting.add(reply)
        try:
            return await reply.get(min(patience, self._patience) if patience else None)
        except TimeoutError:
            return None
        except HandlerError:
            bind_contextvars(session=session, turn=turn)
            raise
        finally:
            self._waiting.discard(reply)

    async def replayed(self, session: str) -> Replay:
        """A whole session, as the code here replays it: for those who look at it. Raises `HandlerError`."""
        return replay(session, await load_whole(self._house.history, session), self._house.registry)

    def _overload(self) -> OverloadError:
        """What there is too much of; the log is told now and then, for whoever causes it shall not write the log as well."""
        self.counters["shed"] += 1
        error = OverloadError(f"{self._most} inputs wait for their answers: raise max_connections under [server], or start another server")
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET_SECONDS
            logger.warning("callers are asked to come later, so far %d: %s", self.counters["shed"], error)
        return error

    @property
    def waiting(self) -> int:
        """How many wait for answers."""
        return len(self._waiting)

    def hurry(self) -> None:
        """Let nobody wait any longer for what takes its time: they are answered as if their own time was over. For drains."""
        self._patience = HURRIED_SECONDS
        for reply in self._waiting:
            reply.give_up()

    async def status(self, session: str, patience: float) -> dict[str, Any]:
        """How a session is doing and what it last noted, as in `workflows.ErrandStatus`; `unknown`: it was not told in time."""
        reply: ReplyTo[dict[str, Any]] = ReplyTo()
        self._post.post(Status(session, reply))
        try:
            return await reply.get(patience)
        except (TimeoutError, HandlerError):
            return {"state": "unknown", "note": None}

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


def _ip(address: str) -> IPv4Address | IPv6Address:
    """An address; of IPv4, as a socket of IPv6 shows it, too. Raises `ValueError`."""
    whole = ip_address(address)
    return whole.ipv4_mapped or whole if isinstance(whole, IPv6Address) else whole


def _tell(inbound: Inbound, answer: Answer) -> None:
    about = {"session": inbound.session, "turn": answer.turn, "input": inbound.id, "type": inbound.type, "state": answer.state}
    turns.info("an input was answered", extra=about)


def opening(line: Line, channel: str, address: str, caller: str | None, facts: dict[str, object]) -> Opening:
    """How a line opens its sessions."""
    return Opening(line.workflow, line.args, channel, address, caller, line.locale, line.timezone, facts)
