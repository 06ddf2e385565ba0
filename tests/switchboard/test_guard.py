"""The guard under rude clients: each test runs a real server on loopback, once on asyncio's loop and once on uvloop."""

import asyncio
import contextlib
import gc
import gzip
import logging
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Self

import aiohttp
import pytest
import uvloop
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.counters import Counters
from switchboard.guard import MAX_HEAD, Limits, read_body
from switchboard.runner import GuardedRunner
from switchboard.written import Written

PATIENT = Limits(header_seconds=30, body_seconds=30, idle_seconds=30, write_seconds=30)
HASTY = Limits(header_seconds=0.2, body_seconds=0.2, idle_seconds=0.2, write_seconds=0.2)
FAR = 10.0
"""Seconds in which something must have happened that a deadline of tenths of a second, or no deadline at all, makes happen."""

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def on_each_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Any:
    def run(loop: str) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(test())

    run.__name__ = test.__name__
    return pytest.mark.parametrize("loop", LOOPS)(run)


class Guarded:
    """A guarded server with endpoints of all kinds."""

    def __init__(self, limits: Limits, shutdown_timeout: float = 5.0) -> None:
        self.limits = limits
        self.counters = Counters()
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.finished: list[str] = []
        self.taken: Callable[[], int] = lambda: 0
        self.refusals: list[type[Exception]] = []
        app = web.Application()
        app.add_routes(
            [
                web.get("/", self._hello),
                web.get("/slow", self._slow),
                web.get("/big", self._big),
                web.get("/stream", self._stream),
                web.get("/brim", self._brim),
                web.get("/socket", self._socket),
                web.get("/bug", self._bug),
                web.get("/late", self._late),
                web.get("/response", self._response),
                web.get("/written", self._written),
                web.get("/nothing", self._nothing),
                web.route("*", "/{any:.*}", self._measure),
            ]
        )
        self.runner = GuardedRunner(app, limits, self.counters, shutdown_timeout=shutdown_timeout)
        self.port = 0

    async def start(self) -> None:
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.port = self.runner.addresses[0][1]

    async def connect(self) -> "Client":
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))

    async def say(self, *pieces: bytes) -> bytes:
        """Send the pieces over a connection of their own; everything that comes until the server closes it."""
        async with await self.connect() as client:
            for piece in pieces:
                client.send(piece)
                await asyncio.sleep(0.01)
            return await client.rest()

    @property
    def connections(self) -> int:
        assert self.runner.server is not None
        return len(self.runner.server.connections)

    async def _hello(self, _: web.Request) -> web.Response:
        return web.Response(text="hello")

    async def _measure(self, request: web.Request) -> web.Response:
        try:
            body = await read_body(request, self.limits)
        except Exception as error:
            self.refusals.append(type(error))
            raise
        return web.Response(text=str(len(body)))

    async def _slow(self, request: web.Request) -> web.Response:
        self.taken = lambda: request.content.total_bytes
        self.begun.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.finished.append("cancelled")
            raise
        self.finished.append("done")
        return web.Response(text="slow")

    async def _big(self, _: web.Request) -> web.Response:
        return web.Response(body=bytes(20_000_000))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        self.begun.set()
        while True:
            await response.write(bytes(1_000_000))

    async def _brim(self, request: web.Request) -> web.StreamResponse:
        """Just so much that the kernel does not take all of it: a few bytes wait, far less than aiohttp would wait for."""
        response = web.StreamResponse()
        await response.prepare(request)
        transport = request.transport
        assert transport is not None
        full = 0
        while full < 5:
            full = full + 1 if transport.get_write_buffer_size() else 0
            if not full:
                transport.write(bytes(1000))
            await asyncio.sleep(0.01 if full else 0)
        return response

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        async for message in response:
            await response.send_str(message.data)
        return response

    async def _bug(self, _: web.Request) -> web.Response:
        return web.Response(text=str(1 / 0))

    async def _response(self, _: web.Request) -> web.Response:
        return web.Response(body=b"<x/>", headers={"Content-Type": "text/xml"})

    async def _written(self, _: web.Request) -> Written:
        return Written(b"<x/>", "text/xml")

    async def _late(self, _: web.Request) -> web.Response:
        raise TimeoutError

    async def _nothing(self, _: web.Request) -> web.Response:
        return None  # type: ignore[return-value]  # an endpoint with a bug


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    def send(self, data: bytes) -> None:
        if not self.writer.is_closing():  # else asyncio warns, and the guard's silence is what is tested
            self.writer.write(data)

    async def answer(self) -> bytes:
        """The next answer: its status line and its body."""
        async with asyncio.timeout(FAR):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"Content-Length: (\d+)", head)[1])  # type: ignore[index]  # each has one
            return head.split(b"\r\n")[0] + b" | " + await self.reader.readexactly(length)

    async def rest(self) -> bytes:
        """What comes until the server closes the connection; an error if it stays open."""
        got = b""
        async with asyncio.timeout(FAR):
            with contextlib.suppress(ConnectionError):
                while piece := await self.reader.read(65_536):
                    got += piece
        return got

    async def leave(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    async def vanish(self) -> None:
        """Leave with a reset, as when a process is killed or a network goes."""
        if not self.writer.is_closing():
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        await asyncio.sleep(0)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Nothing may be logged as a warning or worse, not even by a task that is collected later."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = records.append  # type: ignore[assignment]  # the shortest handler there is
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
        gc.collect()
        assert [record.getMessage() for record in records] == []
    finally:
        root.removeHandler(handler)


@contextlib.asynccontextmanager
async def guarded(limits: Limits, shutdown_timeout: float = 5.0) -> AsyncIterator[Guarded]:
    """A server in the running loop; it must stay silent and must have no connection left at the end."""
    server = Guarded(limits, shutdown_timeout)
    with silence():
        await server.start()
        try:
            yield server
            await until(lambda: server.connections == 0)
        finally:
            await server.runner.cleanup()
            await asyncio.sleep(0.01)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(FAR):
        while not true():  # noqa: ASYNC110 - what is awaited has no event
            await asyncio.sleep(0.01)


def limits(**changes: Any) -> Limits:
    return Limits(**{field: changes.get(field, getattr(PATIENT, field)) for field in Limits.__struct_fields__})


# -- heads ---------------------------------------------------------------------------------------------------------------------------------


@on_each_loop
async def test_a_client_that_says_nothing_is_cut_off() -> None:
    async with guarded(limits(header_seconds=0.2)) as server:
        before = time.monotonic()
        assert await server.say() == b""
        assert time.monotonic() - before > 0.15
        assert server.counters == {"connections_timed_out": 1}


@on_each_loop
async def test_a_head_that_comes_byte_by_byte_is_cut_off() -> None:
    async with guarded(limits(header_seconds=0.2)) as server, await server.connect() as client:
        trickle = asyncio.create_task(drip(client, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 1000))
        assert await client.rest() == b""
        trickle.cancel()
        assert server.counters == {"connections_timed_out": 1}


async def drip(client: Client, data: bytes) -> None:
    for byte in data:
        client.send(bytes([byte]))
        await asyncio.sleep(0.02)


@on_each_loop
async def test_the_head_of_a_later_request_has_the_same_deadline() -> None:
    async with guarded(limits(header_seconds=0.2)) as server, await server.connect() as client:
        client.send(GET)
        assert await client.answer() == b"HTTP/1.1 200 OK | hello"
        await asyncio.sleep(0.4)  # nothing has begun: only the idle time runs
        client.send(GET)
        assert await client.answer() == b"HTTP/1.1 200 OK | hello"
        client.send(b"GET / HT")
        assert await client.rest() == b""
        assert server.counters == {"connections_timed_out": 1}


@on_each_loop
async def test_a_head_in_two_pieces_is_served_and_its_deadline_forgotten() -> None:
    async with guarded(limits(header_seconds=0.2)) as server, await server.connect() as client:
        for _ in range(2):
            client.send(GET[:10])
            await asyncio.sleep(0.02)
            client.send(GET[10:])
            assert await client.answer() == b"HTTP/1.1 200 OK | hello"
            await asyncio.sleep(0.4)
        client.send(GET)
        assert await client.answer() == b"HTTP/1.1 200 OK | hello"


@on_each_loop
async def test_many_heads_in_pieces_are_not_taken_for_one_long_head() -> None:
    async with guarded(PATIENT) as server, await server.connect() as client:
        head = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 8000 + b"\r\n\r\n"
        for _ in range(MAX_HEAD // 8000 + 1):
            client.send(head[:-1])
            await asyncio.sleep(0.01)
            client.send(head[-1:])
            assert await client.answer() == b"HTTP/1.1 200 OK | hello"


@on_each_loop
async def test_a_client_that_has_left_is_late_with_nothing() -> None:
    async with guarded(limits(header_seconds=0.2, write_seconds=0.2)) as server:
        for began in (b"", GET[:10], b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n"):
            client = await server.connect()
            client.send(began)
            await asyncio.sleep(0.05)
            await client.vanish()
        await asyncio.sleep(0.4)
        assert server.counters == {}


@on_each_loop
async def test_a_head_that_is_late_does_not_cut_the_answer_before_it() -> None:
    async with guarded(limits(header_seconds=0.1)) as server, await server.connect() as client:
        client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await server.begun.wait()
        client.send(b"GET / HT")
        await asyncio.sleep(0.3)
        client.send(b"TP/1.1")
        await asyncio.sleep(0.3)
        server.go_on.set()
        assert await client.answer() == b"HTTP/1.1 200 OK | slow"
        assert await client.rest() == b""
        assert server.counters == {"connections_timed_out": 1}


@on_each_loop
async def test_a_head_without_an_end_is_cut_off_by_its_size() -> None:
    lines = [b"GET / HTTP/1.1\r\n"] + [b"X%d: " % n + b"y" * 8000 + b"\r\n" for n in range(MAX_HEAD // 8000 + 1)]
    async with guarded(PATIENT) as server:
        assert await server.say(*lines) == b""
        assert server.counters == {"requests_malformed": 1}


@on_each_loop
async def test_an_idle_connection_is_closed() -> None:
    async with guarded(limits(idle_seconds=0.3)) as server, await server.connect() as client:
        for _ in range(3):
            client.send(GET)
            assert await client.answer() == b"HTTP/1.1 200 OK | hello"
            await asyncio.sleep(0.2)  # longer in all than the limit, but never idle for so long
        assert await client.rest() == b""


@on_each_loop
async def test_a_request_may_take_longer_than_all_the_clients_deadlines() -> None:
    async with guarded(HASTY) as server, await server.connect() as client:
        client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.6)
        server.go_on.set()
        assert await client.answer() == b"HTTP/1.1 200 OK | slow"


HOSTILE = {
    "no HTTP": b"hello\r\n\r\n",
    "zeros": bytes(2000),
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "an SSH hello": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "a bad version": b"GET / HTTP/9.9.9\r\n\r\n",
    "a bad method": b"G@T / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long target": b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a header without a name": b"GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
    "a zero in a header": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "two lengths": b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length and chunks": b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a length past all numbers": b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "a chunk that is none": b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a target that cannot be decoded": b"GET http://xn--a/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target that is no address": b"GET http://[/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "an unknown expectation": b"GET / HTTP/1.1\r\nHost: x\r\nExpect: \xff\r\nConnection: close\r\n\r\n",
    "a tunnel": b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + bytes(100),
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_bytes_are_refused_or_cut_off_without_a_word_in_the_log(loop: str, hostile: str) -> None:
    async def scene() -> None:
        async with guarded(limits(header_seconds=0.3, body_seconds=0.3)) as server:
            answer = await server.say(HOSTILE[hostile])
            assert re.match(rb"HTTP/1\.\d 4\d\d |$", answer), answer
            assert await server.say(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")), "the next client is served"

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(scene())


@on_each_loop
async def test_an_answer_to_hostile_bytes_repeats_none_of_them() -> None:
    async with guarded(PATIENT) as server:
        assert b"<script>" not in await server.say(b"GET /<script> HTTP/1.1\r\n<script>\r\n\r\n")
        assert server.counters == {"requests_malformed": 1}


@on_each_loop
async def test_a_websocket_has_none_of_the_deadlines_of_requests() -> None:
    async with (
        guarded(HASTY) as server,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{server.port}/socket") as websocket,
    ):
        for _ in range(3):
            await websocket.send_str("hello")
            assert await websocket.receive_str(timeout=FAR) == "hello"
            await asyncio.sleep(0.3)


# -- bodies --------------------------------------------------------------------------------------------------------------------------------


def post(*headers: bytes) -> bytes:
    return b"POST /x HTTP/1.1\r\nHost: x\r\n" + b"".join(header + b"\r\n" for header in headers) + b"\r\n"


CHUNKED = b"Transfer-Encoding: chunked"


@on_each_loop
async def test_a_body_is_read_whole_however_it_comes() -> None:
    async with guarded(PATIENT) as server, await server.connect() as client:
        whole = bytes(PATIENT.max_body)
        client.send(post(b"Content-Length: 5") + b"hello")
        assert await client.answer() == b"HTTP/1.1 200 OK | 5"
        client.send(post(b"Content-Length: 65536") + whole)
        assert await client.answer() == b"HTTP/1.1 200 OK | 65536"
        client.send(post(b"Content-Length: 65536"))
        for start in range(0, len(whole), 10_000):
            await asyncio.sleep(0.01)
            client.send(whole[start : start + 10_000])
        assert await client.answer() == b"HTTP/1.1 200 OK | 65536"
        client.send(post(CHUNKED) + b"5\r\nhello\r\n6;an=extension\r\n world\r\n0\r\nA: trailer\r\n\r\n")
        assert await client.answer() == b"HTTP/1.1 200 OK | 11"
        client.send(post())
        assert await client.answer() == b"HTTP/1.1 200 OK | 0"


@on_each_loop
async def test_a_body_may_take_longer_than_a_head() -> None:
    async with guarded(limits(header_seconds=0.1)) as server, await server.connect() as client:
        client.send(post(b"Content-Length: 10"))
        for _ in range(10):
            await asyncio.sleep(0.05)
            client.send(b"x")
        assert await client.answer() == b"HTTP/1.1 200 OK | 10"
        client.send(GET)
        assert await client.answer() == b"HTTP/1.1 200 OK | hello"


@on_each_loop
async def test_a_body_that_is_not_read_is_not_taken_in() -> None:
    async with guarded(PATIENT) as server, await server.connect() as client:
        client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n" + bytes(10_000_000))
        await server.begun.wait()
        await asyncio.sleep(0.2)
        assert server.taken() < 500_000
        await client.vanish()
        server.go_on.set()


@on_each_loop
async def test_a_body_is_awaited_where_the_client_asks_first() -> None:
    async with guarded(PATIENT) as server, await server.connect() as client:
        client.send(post(b"Content-Length: 5", b"Expect: 100-continue"))
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hello")
        assert await client.answer() == b"HTTP/1.1 200 OK | 5"


@on_each_loop
async def test_a_body_that_stalls_is_given_up() -> None:
    async with guarded(limits(body_seconds=0.2)) as server:
        assert (await server.say(post(b"Content-Length: 5") + b"hell")).startswith(b"HTTP/1.1 408 ")


@on_each_loop
async def test_a_body_that_comes_byte_by_byte_is_given_up() -> None:
    async with guarded(limits(body_seconds=0.2)) as server, await server.connect() as client:
        client.send(post(b"Content-Length: 5000"))
        trickle = asyncio.create_task(drip(client, bytes(5000)))
        assert (await client.rest()).startswith(b"HTTP/1.1 408 ")
        trickle.cancel()


@on_each_loop
async def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes() -> None:
    async with guarded(limits(body_seconds=0.5)) as server:
        answer = await server.say(post(b"Content-Length: 65537"))
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"\r\nConnection: close\r\n" in answer


@on_each_loop
async def test_chunks_are_cut_off_at_the_limit() -> None:
    chunk = b"4000\r\n" + bytes(0x4000) + b"\r\n"
    async with guarded(limits(body_seconds=0.5)) as server:
        assert (await server.say(post(CHUNKED), *[chunk] * 5)).startswith(b"HTTP/1.1 413 "), "in pieces, without an end"
        assert (await server.say(post(CHUNKED) + chunk * 4 + b"1\r\nx\r\n0\r\n\r\n")).startswith(b"HTTP/1.1 413 "), "at once, with an end"
        async with await server.connect() as client:
            client.send(post(CHUNKED) + chunk * 4 + b"0\r\n\r\n")
            assert await client.answer() == b"HTTP/1.1 200 OK | 65536"


@on_each_loop
async def test_chunks_that_break_off_are_refused_at_once() -> None:
    async with guarded(PATIENT) as server:
        assert (await server.say(post(CHUNKED) + b"5\r\nhello\r\n", b"zz\r\n")).startswith(b"HTTP/1.1 400 ")


@on_each_loop
async def test_a_body_is_not_decompressed() -> None:
    packed = gzip.compress(bytes(10_000_000))
    async with guarded(PATIENT) as server, await server.connect() as client:
        client.send(post(b"Content-Length: %d" % len(packed), b"Content-Encoding: gzip") + packed)
        assert await client.answer() == b"HTTP/1.1 200 OK | %d" % len(packed)


@on_each_loop
async def test_a_body_that_no_endpoint_wants_holds_no_connection() -> None:
    async with guarded(limits(body_seconds=0.2)) as server:
        assert b"hello" in await server.say(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        assert b"hello" in await server.say(b"GET / HTTP/1.1\r\nHost: x\r\n" + CHUNKED + b"\r\n\r\n5\r\n", b"zzzzzzzzzz")


# -- connections ---------------------------------------------------------------------------------------------------------------------------


@on_each_loop
async def test_a_connection_too_many_is_refused_and_the_others_are_served() -> None:
    async with guarded(limits(max_connections=2)) as server:
        first, second = await server.connect(), await server.connect()
        for client in (first, second):
            client.send(GET)
            assert await client.answer() == b"HTTP/1.1 200 OK | hello"
        for pieces in ((), (GET,), (b"GET / HT",)):
            refusal = await server.say(*pieces)
            assert refusal.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b"\r\nRetry-After: 1\r\n" in refusal
        assert server.counters == {"connections_refused": 3}
        assert server.connections == 2
        second.send(GET)
        assert await second.answer() == b"HTTP/1.1 200 OK | hello"
        await first.leave()
        await until(lambda: server.connections == 1)
        third = await server.connect()
        third.send(GET)
        assert await third.answer() == b"HTTP/1.1 200 OK | hello"
        await second.leave()
        await third.leave()


@on_each_loop
async def test_a_crowd_that_comes_at_once_gets_no_more_than_the_limit() -> None:
    async with guarded(limits(max_connections=5)) as server:
        crowd = await asyncio.gather(*(server.connect() for _ in range(50)))
        lines = [asyncio.create_task(client.reader.readline()) for client in crowd]
        await until(lambda: sum(line.done() for line in lines) == 45)
        assert server.connections == 5
        for client, line in zip(crowd, lines, strict=True):
            if not line.done():
                client.send(GET)
        answers = await asyncio.gather(*lines)
        assert answers.count(b"HTTP/1.1 200 OK\r\n") == 5
        assert answers.count(b"HTTP/1.1 503 Service Unavailable\r\n") == 45 == server.counters["connections_refused"]
        await asyncio.gather(*(client.leave() for client in crowd))


def test_the_limit_of_open_files_is_raised_or_else_lowers_that_of_connections() -> None:
    code = """
import asyncio, resource
from aiohttp import web
from handlers.counters import Counters
from switchboard.guard import Limits
from switchboard.runner import GuardedRunner

async def connections(soft, hard):
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    runner = GuardedRunner(web.Application(), Limits(max_connections=1000), Counters(), shutdown_timeout=1)
    await runner.setup()
    print(runner.server.limits.max_connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0])

asyncio.run(connections(256, 1512))
asyncio.run(connections(256, 1000))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["1000", "1512", "500", "1000"]
    assert "at most 500 connections, not 1000" in done.stderr


# -- clients that leave, and clients that do not read --------------------------------------------------------------------------------------


@on_each_loop
async def test_a_client_that_vanishes_does_not_cancel_what_it_began() -> None:
    async with guarded(PATIENT) as server:
        for client in [await server.connect() for _ in range(2)]:
            server.begun.clear()
            client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            await server.begun.wait()
            await (client.vanish() if server.connections == 2 else client.leave())
            await asyncio.sleep(0.05)
        assert server.finished == []
        assert server.connections == 2, "they count until their requests are done"
        server.go_on.set()
        await until(lambda: server.finished == ["done", "done"])


@on_each_loop
async def test_a_client_that_vanishes_in_a_head_a_body_or_an_answer_is_no_news() -> None:
    async with guarded(PATIENT) as server:
        for began in (
            GET[:10],
            post(b"Content-Length: 5") + b"hel",
            post(CHUNKED) + b"5\r\nhe",
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
            b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n",
            GET * 100,
        ):
            for way in (Client.vanish, Client.leave):
                for pause in (0, 0.02):
                    client = await server.connect()
                    client.send(began)
                    await asyncio.sleep(pause)
                    await way(client)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("path", ["/big", "/stream", "/brim"])
@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_a_client_that_does_not_read_is_cut_off(loop: str, path: str, connection: str) -> None:
    async def scene() -> None:
        async with guarded(limits(write_seconds=0.3)) as server:
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\r\n".encode())
                await until(lambda: server.connections == 1)
                await until(lambda: server.connections == 0)
            assert server.counters == {"connections_timed_out": 1}

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(scene())


@on_each_loop
async def test_requests_in_a_row_whose_answers_nobody_reads_do_not_pile_up() -> None:
    async with guarded(limits(write_seconds=0.5)) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(client, b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
            await until(lambda: server.connections == 1)
            await asyncio.sleep(0.1)
            assert server.runner.server is not None
            assert server.runner.server.requests_count == 1, "the second waits until the first is on its way"
            await until(lambda: server.connections == 0)


@on_each_loop
async def test_a_client_that_keeps_reading_may_read_for_ever() -> None:
    async with guarded(limits(write_seconds=1)) as server, await server.connect() as client:
        client.send(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        before = time.monotonic()
        while time.monotonic() - before < 2.5:
            assert await client.reader.read(1_000_000)
        assert server.counters == {}
        await client.vanish()


@on_each_loop
async def test_a_body_whose_client_vanishes_is_a_refusal_like_others() -> None:
    async with guarded(PATIENT) as server, await server.connect() as client:
        client.send(post(b"Content-Length: 5") + b"hel")
        await until(lambda: server.connections == 1)
        await asyncio.sleep(0.05)
        await client.vanish()
        await until(lambda: server.refusals == [web.HTTPBadRequest])


# -- the end -------------------------------------------------------------------------------------------------------------------------------


@on_each_loop
async def test_a_running_request_is_finished_before_the_end_and_nothing_else_begins() -> None:
    async with guarded(PATIENT) as server, await server.connect() as busy, await server.connect() as idle, await server.connect() as late:
        idle.send(GET)
        await idle.answer()
        busy.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await server.begun.wait()
        late.send(post(b"Content-Length: 5") + b"he")
        await asyncio.sleep(0.05)
        end = asyncio.create_task(server.runner.cleanup())
        assert await idle.rest() == b""
        with pytest.raises(ConnectionError):
            await server.connect()
        late.send(b"llo" + GET)
        assert await late.answer() == b"HTTP/1.1 200 OK | 5"
        busy.send(GET)
        server.go_on.set()
        assert await busy.answer() == b"HTTP/1.1 200 OK | slow"
        assert await busy.rest() == await late.rest() == b""
        await end
        assert server.finished == ["done"]
        server.runner = Guarded(PATIENT).runner  # nothing is left to clean up
        await server.start()


@on_each_loop
async def test_a_request_that_does_not_finish_is_cancelled_at_the_deadline() -> None:
    async with guarded(PATIENT, shutdown_timeout=2.0) as server, await server.connect() as client, await server.connect() as gone:
        for each in (client, gone):
            server.begun.clear()
            each.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            await server.begun.wait()
        await gone.vanish()
        await asyncio.sleep(0.05)
        before = time.monotonic()
        await server.runner.cleanup()
        assert 1.9 < time.monotonic() - before < 3.9, "once the deadline, not twice"
        assert await client.rest() == b""
        assert server.finished == ["cancelled", "cancelled"]
        server.runner = Guarded(PATIENT).runner
        await server.start()


@on_each_loop
async def test_who_is_accepted_by_the_kernel_when_the_server_takes_leave_is_served_and_told_that_the_connection_ends() -> None:
    async with guarded(PATIENT) as server, await server.connect() as kept:
        kept.send(GET)
        assert b"200 OK" in await kept.answer()
        late = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(5)]
        for each in late:
            each.sendall(GET)
        kept.send(GET)
        await server.runner.farewell(0.0)  # the loop has had no turn since they came
        for client in [kept, *[Client(*await asyncio.open_connection(sock=each)) for each in late]]:
            answer = await client.rest()
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"\r\nConnection: close\r\n" in answer
            await client.leave()
        with pytest.raises(ConnectionError):
            await server.connect()
        await server.start()  # what is cleaned up has to be there


@on_each_loop
async def test_whoever_comes_while_the_server_takes_leave_is_served_as_long_as_it_said() -> None:
    async with guarded(PATIENT) as server, await server.connect() as idle:
        idle.send(GET)
        await idle.answer()
        leaving = asyncio.create_task(server.runner.farewell(0.5))
        await asyncio.sleep(0.05)
        async with await server.connect() as late:
            late.send(GET)
            assert b"\r\nConnection: close\r\n" in await late.rest()
        assert not leaving.done()
        assert await idle.rest() == b""
        await leaving
        await server.start()


# -- what it says --------------------------------------------------------------------------------------------------------------------------


REQUESTS_OF_ALL_KINDS = [
    b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET %b HTTP/1.0\r\n\r\n",
    b"GET %b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"HEAD %b HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET %b HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
    b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
]


@on_each_loop
async def test_what_is_written_already_is_answered_as_a_response_is() -> None:
    async with guarded(limits(idle_seconds=0.3)) as server:
        for leaving in (False, True):
            if leaving:
                server.runner.leave()
            for request in REQUESTS_OF_ALL_KINDS:
                theirs, ours = [await server.say(request % path) for path in (b"/response", b"/written")]
                assert b"200 OK" in theirs
                assert re.sub(rb"Date: [^\r]*", b"", ours) == re.sub(rb"Date: [^\r]*", b"", theirs)


@pytest.mark.parametrize("loop", LOOPS)
def test_an_endpoint_that_is_late_or_forgets_to_answer_is_answered_for(loop: str) -> None:
    async def scene() -> None:
        server = Guarded(PATIENT)
        await server.start()
        for path, status in ((b"/late", b"504 Gateway Timeout"), (b"/nothing", b"500 Internal Server Error")):
            answer = await server.say(GET.replace(b"/", path, 1).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert answer.startswith(b"HTTP/1.1 " + status)
        await server.runner.cleanup()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(scene())


@pytest.mark.parametrize("loop", LOOPS)
def test_an_error_of_ours_is_logged_and_a_request_is_not(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        server = Guarded(PATIENT)
        await server.start()
        async with await server.connect() as client:
            client.send(GET)
            await client.answer()
        assert b"500 Internal Server Error" in await server.say(b"GET /bug HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await server.runner.cleanup()

    with caplog.at_level(logging.INFO), asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(scene())
    assert [(record.name, record.exc_info[0]) for record in caplog.records if record.exc_info] == [("aiohttp.server", ZeroDivisionError)]
    assert len(caplog.records) == 1


# -- whatever comes ------------------------------------------------------------------------------------------------------------------------

METHODS = st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"PRI", b"get"])
TARGETS = st.sampled_from(
    [b"/", b"/x", b"/big", b"/a?b=%ff&c#d", b"//", b"/\xff", b"*", b"x:1", b"http://x/", b"http://xn--a/", b"xn--a:1", b""]
)
VERSIONS = st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0"])
HEADERS = st.sampled_from(
    [
        b"Content-Length: 5", b"Content-Length: 0", b"Content-Length: 70000", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked",
        b"Upgrade: websocket\r\nConnection: upgrade", b"Connection: close", b"Connection: keep-alive", b"Expect: 100-continue", b"Expect: \xff",
        b"Content-Encoding: gzip", b"Content-Type: \xff", b"Cookie: \xff=\xff", b"Host: \xff", b" folded", b":", b"X: " + b"y" * 9000,
    ]
)  # fmt: skip
BODIES = st.sampled_from(
    [b"", b"hello", b"5\r\nhello\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\nA: b\r\n\r\n", b"ffffffffffffffff\r\n", b"\0", GET]
)
REQUESTS = st.builds(
    lambda method, target, version, headers, body: b"\r\n".join([b"%b %b %b" % (method, target, version), b"Host: x", *headers, b"", body]),
    METHODS,
    TARGETS,
    VERSIONS,
    st.lists(HEADERS, max_size=3),
    BODIES,
)
NOISE = st.lists(REQUESTS | BODIES | st.binary(max_size=20), max_size=5).map(b"".join)
PIECES = st.sampled_from([1, 10, 100, 1_000_000])


@pytest.mark.parametrize("loop", LOOPS)
def test_whatever_comes_there_is_no_500_no_word_in_the_log_and_no_connection_left(loop: str) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:

        async def start() -> Guarded:
            server = Guarded(HASTY)
            await server.start()
            return server

        @settings(max_examples=30, deadline=None, database=None)
        @given(st.lists(NOISE, min_size=10, max_size=10), PIECES, st.booleans())
        def bombard(noises: list[bytes], size: int, leaves: bool) -> None:
            async def one(noise: bytes) -> None:
                async with await server.connect() as client:
                    for start in range(0, len(noise), size):
                        client.send(noise[start : start + size])
                        await asyncio.sleep(0)
                    if leaves:
                        await client.vanish()
                    else:
                        assert b"HTTP/1.1 5" not in await client.rest()

            async def all_of_them() -> None:
                await asyncio.gather(*(one(noise) for noise in noises))
                await until(lambda: server.connections == 0)

            with silence():
                runner.run(all_of_them())

        server = runner.run(start())
        bombard()
        runner.run(server.runner.cleanup())
