"""The web: sessions by JSON over HTTP, and what they say as server-sent events.

The id of a session is a capability: whoever knows it may speak and listen there, and nobody can guess it. So there are no cookies and no
logins here, and other sites' pages gain nothing by sending requests from a user's browser. Each request that speaks carries an
Idempotency-Key: however often it is sent, and to whatever replica, it is one turn. The API: `docs/web.md`.
"""

import logging
import math
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from aiohttp import web

from handlers.errors import BusyError, HandlerError, OverloadError, ReusedKeyError, TooOftenError, UnstorableError
from handlers.messages import Inbound
from switchboard.channel import Exchange, opening
from switchboard.guard import read_body
from switchboard.here import Here
from switchboard.settings import Line
from telephony import web_wire as wire
from telephony.errors import RefusedError
from telephony.web_events import Events
from telephony.web_tasks import tasks
from workflows.listen import Transfer
from workflows.turns import Answer

logger = logging.getLogger(__name__)

PATIENCE = 25.0
"""Seconds that a request waits for its answer, unless it prefers otherwise; proxies give up after 30 to 60."""

TRANSFERS = 5
"""How many hand-overs in a row are declined in one turn."""

ID_BYTES = 24

FACTS: dict[str, object] = {"can_deliver": True}
"""A user who is away hears the rest when they come back: the stream of events resumes where it broke off."""

_ID = re.compile(r"[A-Za-z0-9_-]{32}")
_METHODS = "GET, POST"
_HEADERS = "Content-Type, Idempotency-Key, Prefer, Last-Event-ID"

Headers = dict[str, str]
Endpoint = Callable[[web.Request, Headers], Awaitable[web.StreamResponse]]

MISNAMED = "This server is for its own machine, by localhost or a loopback address: set PUBLIC_URL if it has another name."

BROKEN = "The conversation met a bug and cannot go on until it is mended. The message was not kept: send it again later."


class Web:
    """The channel of the web API."""

    name = "web"
    when_lost = f'The next message is refused: "{BROKEN}"'

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._events = Events(exchange)
        self._origins = frozenset(exchange.settings.web.allowed_origins)
        public = exchange.settings.server.public_url
        self._own = "" if public is None else urlsplit(public).netloc.lower()
        self._here = Here(exchange.settings.server)

    def routes(self) -> Iterable[web.RouteDef]:
        """Sessions, their messages, their events, and their tasks."""
        paths = ("/web/sessions", "/web/sessions/{id}/messages", "/web/sessions/{id}/events", "/web/sessions/{id}/tasks")
        yield web.post(paths[0], self._checked(self._create))
        yield web.post(paths[1], self._checked(self._message))
        yield web.get(paths[2], self._checked(self._follow), allow_head=False)
        yield web.get(paths[3], self._checked(self._tasks), allow_head=False)
        if self._origins:
            for path in paths:
                yield web.options(path, self._checked(self._preflight))

    # -- endpoints -------------------------------------------------------------------------------------------------------------------------

    async def _create(self, request: web.Request, headers: Headers) -> web.StreamResponse:
        key = wire.key_of(request.headers.getall("Idempotency-Key", []), wire.CREATING_KEY)
        body = await read_body(request, self._exchange.limits)
        wish = wire.read(body, wire.Wish) if body.strip() else wire.Wish()
        address = wish.line or ""
        line = self._line(wish, address)
        id_ = wire.digest(key, size=ID_BYTES) if key else secrets.token_urlsafe(ID_BYTES)
        facts = FACTS | {"busy": "reject"} if line.busy == "reject" else FACTS
        inbound = Inbound(
            f"web:{id_}",
            f"start.{wire.digest(address, line.timezone, size=6)}",
            opening=opening(line, "web", address, None, facts),
            fresh=True,
            key="start.",
        )
        answer = await self._take(request, inbound)
        return self._told(id_, answer, headers, HTTPStatus.CREATED)

    async def _message(self, request: web.Request, headers: Headers) -> web.StreamResponse:
        id_ = _id(request)
        key = wire.key_of(request.headers.getall("Idempotency-Key", []))
        if not key:
            raise RefusedError(
                HTTPStatus.BAD_REQUEST, "The Idempotency-Key is missing: send a new one with each message, and the same to send it again."
            )
        text = wire.text_of(wire.read(await read_body(request, self._exchange.limits), wire.Sent))
        hashed = wire.digest(key, size=12)
        inbound = Inbound(f"web:{id_}", f"{hashed}.{wire.digest(text, size=6)}", "said", {"text": text}, key=f"{hashed}.")
        return self._told(id_, await self._take(request, inbound), headers, HTTPStatus.OK)

    async def _follow(self, request: web.Request, headers: Headers) -> web.StreamResponse:
        return await self._events.stream(request, f"web:{_id(request)}", headers)

    async def _tasks(self, request: web.Request, headers: Headers) -> web.StreamResponse:
        return _json(HTTPStatus.OK, {"tasks": await tasks(self._exchange, f"web:{_id(request)}")}, headers)

    async def _preflight(self, _: web.Request, headers: Headers) -> web.StreamResponse:
        return web.Response(
            status=HTTPStatus.NO_CONTENT,
            headers=headers
            | {"Access-Control-Allow-Methods": _METHODS, "Access-Control-Allow-Headers": _HEADERS, "Access-Control-Max-Age": "7200"},
        )

    # -- turns -----------------------------------------------------------------------------------------------------------------------------

    async def _take(self, request: web.Request, inbound: Inbound) -> Answer:
        """The answer to an input, or how far it has come when the client would wait no longer."""
        patience = wire.wait_of(",".join(request.headers.getall("Prefer", [])), PATIENCE)
        answer = await self._send(inbound, patience, f"web:{self._exchange.address(request)}")
        for _ in range(TRANSFERS):  # there is nobody to hand over to: the workflow shall hear that, not wait for ever
            if answer.state == "running" or answer.prompt is None or not isinstance(answer.prompt.listen, Transfer):
                break
            declined = Inbound(inbound.session, f"transfer.{answer.turn}", "transferred", {"outcome": "failed"})
            rest = await self._send(declined, patience)
            answer = msgspec.structs.replace(rest, said=answer.said + rest.said)
        return answer

    async def _send(self, inbound: Inbound, patience: float, caller: str = "") -> Answer:
        exchange = self._exchange
        answer = await exchange.send(inbound, patience, caller)
        if answer is None:
            begun = await exchange.collect(inbound.session, inbound.id, 0)
            if begun is None or begun.turn < 0:  # it is not on record: it is refused, as it will be again, and at once
                answer = await exchange.send(inbound, PATIENCE)
            else:
                answer = msgspec.structs.replace(begun, said=(), state="running")
        return answer or Answer(-1, (), "running")

    def _told(self, id_: str, answer: Answer, headers: Headers, status: int) -> web.Response:
        shown = {"id": id_, **wire.shown(answer)}
        if answer.state == "running":
            shown = {"id": id_, "turn": shown["turn"], "status": "running"}
            return _json(HTTPStatus.ACCEPTED, shown, headers | {"Retry-After": "1"})
        if answer.turn < 0 and status != HTTPStatus.CREATED:
            if answer.state == "ended":
                raise RefusedError(HTTPStatus.GONE, "The conversation is over: create a new session to go on talking.")
            if answer.state == "failed":
                raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, BROKEN, {"Retry-After": "60"})
            if answer.ended:
                raise wire.unknown()
        return _json(status, shown, headers)

    def _line(self, wish: wire.Wish, address: str) -> Line:
        line = self._exchange.line("web", address) if len(address) <= wire.MOST_KEY and address.isprintable() else None
        if line is None:
            why = f'There is no line {address[:40]!r} on the web: add "web:{address[:40] or "*"}" to [lines], or name one that is there.'
            raise RefusedError(HTTPStatus.NOT_FOUND, wire.plain(why))
        if wish.timezone is None:
            return line
        if not _is_zone(wish.timezone):
            why = "The timezone is none that is known: send an IANA name such as Europe/Helsinki, or leave it out."
            raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, why)
        return line.model_copy(update={"timezone": wish.timezone})

    # -- around each request ---------------------------------------------------------------------------------------------------------------

    def _checked(self, endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def checked(request: web.Request) -> web.StreamResponse:
            headers: Headers = {"Cache-Control": "no-store"}
            try:
                self._admit(request, headers)
                return await endpoint(request, headers)
            except RefusedError as error:
                return _refusal(error.status, str(error), headers | error.headers)
            except ReusedKeyError:
                why = "This Idempotency-Key came with another body before: send a new key with a new message."
                return _refusal(HTTPStatus.UNPROCESSABLE_ENTITY, why, headers)
            except BusyError:
                why = "The message before is not answered yet, and this line hears one at a time: send this again when it is."
                return _refusal(HTTPStatus.CONFLICT, why, headers | {"Retry-After": "1"})
            except UnstorableError:
                return _refusal(HTTPStatus.BAD_REQUEST, "The text cannot be kept: send it as proper Unicode.", headers)
            except TooOftenError as error:
                why = "That was too much at once: send the very same again, with its key, after Retry-After."
                return _refusal(HTTPStatus.TOO_MANY_REQUESTS, why, headers | {"Retry-After": str(math.ceil(error.seconds))})
            except OverloadError:
                why = "The server has too much to do just now: send the very same again, with its key."
                return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, why, headers | {"Retry-After": "2"})
            except HandlerError as error:
                logger.warning("%s of /web refused: %s", request.path.rpartition("/")[2], error)  # the id in the path is a capability
                why = "The store does not answer: send the very same again, with its key."
                return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, why, headers | {"Retry-After": "2"})
            except web.HTTPException as error:  # of the body: too large, too slow, broken
                response = _refusal(error.status, error.text or error.reason, headers)
                response.force_close()
                return response

        return checked

    def _admit(self, request: web.Request, headers: Headers) -> None:
        """A browser names the site whose page sends a request; only our own and those on the list may.

        A page is not our own because its site's name leads here: such a name may be made to (DNS rebinding).
        """
        if self._here.misnamed(request):
            raise RefusedError(HTTPStatus.FORBIDDEN, MISNAMED)
        origin = request.headers.get("Origin", "").lower()
        if self._origins:
            headers["Vary"] = "Origin"
        if not origin:
            return
        if origin in self._origins:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = "Retry-After"
        elif origin.partition("://")[2] not in {request.headers.get("Host", "").lower(), self._own} - {""}:
            raise RefusedError(
                HTTPStatus.FORBIDDEN, "Pages of this site may not talk to this server: add it to allowed_origins under [web]."
            )


def _id(request: web.Request) -> str:
    id_ = request.match_info["id"]
    if not _ID.fullmatch(id_):
        raise wire.unknown()
    return id_


def _is_zone(name: str) -> bool:
    try:
        return len(name) <= wire.MOST_KEY and bool(ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


def _refusal(status: int, why: str, headers: Headers) -> web.Response:
    return _json(status, {"error": why}, headers)


def _json(status: int, value: Any, headers: Headers) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json", headers=headers)
