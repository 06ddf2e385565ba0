"""The guard of the HTTP server: what one client may take of it, in bytes, in seconds and in connections.

aiohttp's own server waits for ever: for a head that never ends, for a body that never comes, for a client that never reads its answer;
it takes any number of connections, and hostile bytes write tracebacks into the log. What is here goes between the two. A request that
comes and goes at once arms no timer.

It leans on names of aiohttp that are not public, most of them of `web_protocol.RequestHandler`: the tests tell when one has changed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, cast

import msgspec
from aiohttp import HttpVersion11, web
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from handlers.counters import Counters
from switchboard.written import Written, whole

logger = logging.getLogger(__name__)

MAX_HEAD = 65_536
"""Bytes of a head that comes in pieces. aiohttp bounds its lines (8,190 bytes) and their number (128), but a megabyte each adds up."""

READ_BUFFER = 65_536
"""Bytes of a body that wait for the endpoint before the client is made to wait."""

LINGER_SECONDS = 2.0
"""How long a body that nobody wants is read away after the answer, lest the client be cut off before it has read that answer."""

REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Limits(msgspec.Struct, frozen=True):
    """What one client, and all of them together, may take.

    Attributes:
        header_seconds: for the whole head of a request, from the connection's start or from the head's first byte.
        body_seconds: for the whole body, from when the endpoint asks for it.
        idle_seconds: without a request, before the connection is closed.
        write_seconds: during which the client must take all that waits for it.
        max_body: bytes of a body.
        max_connections: at once; those whose client has left while its request still runs are counted.
    """

    header_seconds: float = 10.0
    body_seconds: float = 10.0
    idle_seconds: float = 75.0
    write_seconds: float = 30.0
    max_body: int = 65_536
    max_connections: int = 10_000


async def read_body(request: web.Request, limits: Limits) -> bytes:
    """The whole body, as it was sent: nothing is decompressed, since signatures are over the raw bytes.

    Raises `HTTPRequestEntityTooLarge` (413) over `max_body`, at once when the request says so itself; `HTTPRequestTimeout` (408) when it
    takes longer than `body_seconds`; `HTTPBadRequest` (400) when its chunks are broken or the client has left. Each closes the connection.
    """
    content = request.content
    if content.is_eof() and content is not EMPTY_PAYLOAD:  # it came with the head, as most do
        body = b"".join(content._buffer)  # noqa: SLF001 - read_nowait() would parse on, for nothing
    else:
        declared = request.content_length
        if declared is not None and declared > limits.max_body:
            raise _closing(web.HTTPRequestEntityTooLarge(limits.max_body, declared))
        body = await _rest(request, limits)
    if len(body) > limits.max_body:
        raise _closing(web.HTTPRequestEntityTooLarge(limits.max_body, len(body)))
    return body


async def _rest(request: web.Request, limits: Limits) -> bytes:
    """A body that is still on its way, up to the piece that is too much."""
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            while size <= limits.max_body and (piece := await request.content.readany()):
                pieces.append(piece)
                size += len(piece)
    except TimeoutError:
        raise _closing(web.HTTPRequestTimeout(text=f"The body did not come within {limits.body_seconds:g} s.")) from None
    except (web.RequestPayloadError, OSError):
        raise _closing(web.HTTPBadRequest(text="The body is broken.")) from None
    return b"".join(pieces)


def _closing(refusal: web.HTTPException) -> web.HTTPException:
    refusal.force_close()
    return refusal


def _plain(refusal: web.HTTPException) -> web.Response:
    """The same answer, not as an exception: aiohttp's frame would hold it, and it that frame, and with it the whole request.

    Only the collector could free such a ring, and once it has come to the old ones, only a full collection, which is rare.
    """
    answer = web.Response(status=refusal.status, reason=refusal.reason, headers=refusal.headers, body=refusal.body)
    if refusal.keep_alive is False:
        answer.force_close()
    return answer


Endpoint = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Endpoints = dict[tuple[str, str], Endpoint]


def endpoints_of(app: web.Application) -> Endpoints:
    """The endpoints of plain paths, by method and path, for a short cut past aiohttp's router; there is none past middlewares."""
    if app.middlewares:
        return {}
    found: Endpoints = {}
    for route in app.router.routes():
        path = route.resource.get_info().get("path") if route.resource is not None else None
        if path is not None:
            found[route.method, path] = cast("Endpoint", route.handler)
    return found


class GuardedServer(web.Server):
    """Makes a guarded connection of each socket, and lets no request through that is no text."""

    def __init__(self, plain: web.Server, endpoints: Endpoints, limits: Limits, counters: Counters) -> None:
        super().__init__(
            self._admit,
            request_factory=plain.request_factory,
            keepalive_timeout=limits.idle_seconds,
            lingering_time=min(LINGER_SECONDS, limits.body_seconds),
            read_bufsize=READ_BUFFER,
            auto_decompress=False,
            access_log=None,
        )
        self.limits = limits
        self.counters = counters
        self.leaving = False
        self._many = limits.max_connections - limits.max_connections // 10
        self._handle = plain.request_handler
        self._endpoints = endpoints

    def _admit(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        """Have a request answered, but not one whose head is no UTF-8: aiohttp makes lone surrogates of it, and who encodes them raises."""
        headers = request.headers
        head = "".join((request.raw_path, *headers.values()))
        if not head.isascii():
            try:
                head.encode()
            except UnicodeEncodeError:
                self.counters["requests_malformed"] += 1
                raise _closing(web.HTTPBadRequest()) from None
        endpoint = self._endpoints.get((request.method, request.rel_url.raw_path))
        return self._handle(request) if endpoint is None or "Expect" in headers else endpoint(request)

    def __call__(self) -> web.RequestHandler:
        """See `web.Server`: makes a connection."""
        return GuardedConnection(self, loop=self._loop, **self._kwargs)

    def full(self) -> bool:
        """Whether one more is one too many."""
        return len(self._connections) >= self.limits.max_connections

    def ends_connections(self) -> bool:
        """Whether an answer ends its connection: we take leave, or so many are connected that there is no room for those who are silent."""
        return self.leaving or len(self._connections) > self._many


class GuardedConnection(web.RequestHandler):
    """One connection, with deadlines for what aiohttp awaits without one.

    Idle time is aiohttp's `keepalive_timeout`. The other deadlines arm a timer only while the client owes something: a head that has
    begun, or room for bytes that wait to be sent.
    """

    __slots__ = ("_body", "_guard", "_head_size", "_head_timer", "_serving", "_write_timer")

    def __init__(self, server: GuardedServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._guard = server
        self._body: StreamReader = EMPTY_PAYLOAD  # of the request whose head came last
        self._head_size = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._serving: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`: one too many is refused."""
        assert isinstance(self._manager, GuardedServer)
        transport = cast("asyncio.Transport", transport)  # uvloop's is none by name
        if self._manager.full():
            self._guard.counters["connections_refused"] += 1
            self._force_close = True  # deaf to what it may still send
            transport.write(REFUSAL)
            transport.close()
            return
        super().connection_made(transport)
        self._serving = self._task_handler  # which aiohttp forgets when the client leaves
        # A byte that the kernel does not take is one that the client does not take: pause_writing() tells at once.
        transport.set_write_buffer_limits(high=0)
        self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """See `asyncio.Protocol`."""
        self._head_arrived()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().connection_lost(exc)
        self._keepalive_handle = None  # these hold us, and we should hold each other until a full collection, which is rare
        self._body = EMPTY_PAYLOAD

    async def start(self) -> None:
        """See `web.RequestHandler`: answers one request after another."""
        try:
            await super().start()
        except Exception as error:  # noqa: BLE001 - errors of endpoints do not come here, but a target such as http://xn--a/ does
            self._malformed(repr(error))
            self.force_close()
        finally:
            self._serving = None  # else it and we hold each other until a full collection, which is rare

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`: bytes of a head have a deadline and a limit."""
        known = self._request_count
        owed = not self._body.is_eof()
        closing = self._close
        if closing and owed:
            self._close = False  # aiohttp goes deaf when it means to close, also to the rest of the body that it is to answer
        super().data_received(data)
        self._close |= closing
        if self._request_count != known:
            if self._head_timer is not None:
                self._head_arrived()
            message, body = self._messages[-1]
            if not isinstance(message, RawRequestMessage):
                message.exc.__traceback__ = None  # it holds us
                if owed:  # it broke off in a body, whose reader is not told by aiohttp
                    self._body.set_exception(web.RequestPayloadError("broken chunks"))
            self._body = body
        elif data and not (owed or closing or self._upgraded):
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                self._malformed("an endless head")
                self.end()
            elif self._head_timer is None:
                self._await_head()

    async def _handle_request(
        self,
        request: web.BaseRequest,
        start_time: float | None,
        request_handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    ) -> tuple[web.StreamResponse, bool]:
        """Have a request answered; the answer goes out in one piece if it can, else in aiohttp's own way."""
        self._current_request = request
        try:
            answer = await request_handler(request)
        except web.HTTPException as refusal:
            answer = _plain(refusal)
        except TimeoutError:
            answer = self.handle_error(request, HTTPStatus.GATEWAY_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - it is logged
            answer = self.handle_error(request, HTTPStatus.INTERNAL_SERVER_ERROR, error)
        finally:
            self._current_request = None
        if self._guard.ends_connections():
            answer.force_close()
        transport = self.transport
        if (
            request.version == HttpVersion11
            and request.method != "HEAD"
            and not self._upgraded
            and transport is not None
            and not transport.is_closing()
            and (sent := whole(answer, stays=request.keep_alive)) is not None
        ):
            request._finish()  # noqa: SLF001 - what aiohttp does first
            transport.write(sent)
            if self._paused:
                await self._drain_helper()
            return answer, False
        if type(answer) is Written:
            answer = answer.response()
        return await self.finish_response(request, answer, start_time)

    @property
    def running(self) -> bool:
        """Whether a request is being answered."""
        return self._current_request is not None

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`: the client does not take what was sent."""
        super().pause_writing()
        if self.transport is not None:
            self._write_timer = self._loop.call_later(self._guard.limits.write_seconds, self._unread, self.transport)

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """See `web.RequestHandler`: what a client does wrong is no error of ours."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return super().handle_error(request, status, exc, message)
        self._malformed(message)
        response = web.Response(status=status, text=f"{status}: {HTTPStatus(status).phrase}")
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        """Not what a client does to us by leaving, or by chunks that are none: it shall not write the log."""
        exc = kwargs.get("exc_info")
        gone = self.transport is None or self.transport.is_closing()
        if not (gone and isinstance(exc, ConnectionError)) and not isinstance(exc, web.RequestPayloadError):
            super().log_exception(*args, **kwargs)

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Let the running request finish, then cancel it; aiohttp's own gives it the time twice."""
        self.close()
        serving = self._serving
        if serving is not None:
            await asyncio.wait([serving], timeout=timeout)
            serving.cancel()
        self.force_close()

    def _await_head(self) -> None:
        self._head_timer = self._loop.call_later(self._guard.limits.header_seconds, self._head_is_late)

    def _head_arrived(self) -> None:
        self._head_size = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        self._guard.counters["connections_timed_out"] += 1
        self.end()

    def _unread(self, transport: asyncio.Transport) -> None:
        """Not `close()`, which would wait for the client to take what it does not take."""
        self._guard.counters["connections_timed_out"] += 1
        transport.abort()

    def end(self) -> None:
        """Close: at once when it waits for a request, else when what came before is answered."""
        if self._waiter is not None and not self._waiter.done():
            self.force_close()
        else:
            self.close()

    def _malformed(self, what: str | None) -> None:
        self._guard.counters["requests_malformed"] += 1
        logger.debug("refused from %s: %s", self.peername, what)
