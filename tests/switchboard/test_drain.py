"""A server process that is told to stop, in the middle of what it does: nobody whom it has admitted goes without an answer."""

import asyncio
import contextlib
import re
import signal
import socket
import time

import aiohttp
import pytest
import redis
from support.crashing import eventually
from support.server import ServerProcess
from support.valkey import Valkey
from support.web_house import WebClient, texts

from handlers.history import partition_of
from handlers.memory_history import MemoryHistory, MemoryStore
from handlers.messages import Inbound, Opening
from switchboard.server import Server
from switchboard.settings import Settings
from workflows import Talk, effect, workflow
from workflows.registry import Registry

pytestmark = pytest.mark.timeout(300)

PONDERER = '''
import asyncio
from pathlib import Path

from workflows import Retry, Talk, Words, effect, idempotency_key, workflow


@effect(timeout=120, retry=Retry(budget=120))
async def ponder(seconds: float) -> str:
    """Takes so long, but for the second time: by then whoever began has gone."""
    key = idempotency_key.get()
    calls = Path("calls")
    again = calls.exists() and key in calls.read_text()
    with calls.open("a") as file:
        file.write(key + "\\n")
    await asyncio.sleep(0 if again else seconds)
    return "done"


@workflow
async def ponderer(talk: Talk) -> None:
    while True:
        words = await talk.ask("How many seconds?", Words())
        talk.say(await talk.call(ponder, float(words)))
'''
SETTINGS = '[lines]\n"phone:*" = "slowly:ponderer"\n"web:*" = "slowly:ponderer"\n'


@pytest.fixture
def store():
    valkey = Valkey("--maxmemory-policy", "noeviction")
    try:
        valkey.start()
        yield valkey
    finally:
        valkey.remove()


@pytest.fixture
def records(store):
    with redis.Redis.from_url(store.url) as client:
        yield client


@pytest.fixture
def house(tmp_path, store):
    server = ServerProcess(tmp_path / "house", SETTINGS, REDIS_URL=store.url)
    (server.folder / "slowly.py").write_text(PONDERER)
    server.start()
    yield server
    server.end()


@contextlib.asynccontextmanager
async def clients():
    async with aiohttp.ClientSession() as http:
        yield lambda server: WebClient(server.url, http)


def calls(server):
    path = server.folder / "calls"
    return len(path.read_text().splitlines()) if path.exists() else 0


class Caller:
    """Asks again and again over a connection that it keeps, until nobody listens any more.

    `statuses` and `closed` (whether the answer said so) are of each answer; `lost` are the requests that got none.
    """

    def __init__(self, port):
        self.port = port
        self.statuses, self.closed, self.lost = [], [], []

    async def call(self):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except ConnectionError:
                return
            try:
                while not (self.closed and self.closed[-1]):
                    await self._ask(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                self.lost.append(repr(error))
                return
            finally:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
            self.closed.append(False)

    async def _ask(self, reader, writer):
        writer.write(b"POST /web/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        self.statuses.append(int(head[9:12]))
        self.closed.append(b"\r\nconnection: close" in head.lower())


async def test_under_load_whoever_is_admitted_is_answered_and_told_to_go_elsewhere(house):
    callers = [Caller(house.port) for _ in range(16)]
    calling = asyncio.gather(*(caller.call() for caller in callers))
    await eventually(lambda: all(len(caller.statuses) > 5 for caller in callers))
    begun = time.monotonic()
    house.process.send_signal(signal.SIGTERM)
    await calling
    assert await asyncio.to_thread(house.process.wait, 60) == 0
    assert time.monotonic() - begun < 10
    assert [caller.lost for caller in callers if caller.lost] == []
    assert {status for caller in callers for status in caller.statuses} == {201}
    assert all(True in caller.closed for caller in callers)


async def test_it_is_not_ready_at_once_and_goes_on_to_live_and_to_answer(house):
    async with clients() as client:
        web = client(house)
        id_ = (await web.create()).json["id"]
        turn = asyncio.create_task(web.say(id_, "3"))
        await eventually(lambda: calls(house) == 1)
        house.process.send_signal(signal.SIGTERM)
        heads = []
        while not heads or b" 200 " in heads[-1]:
            heads.append(_ask(house.port, "/readyz"))
        assert b" 503 " in heads[-1]
        assert b"connection: close" in heads[-1].lower()
        assert b"retry-after: 1" in heads[-1].lower()
        assert (await turn).status == 200
        assert texts(await turn)[0] == "done"
        assert await asyncio.to_thread(house.process.wait, 60) == 0
        assert calls(house) == 1


def _ask(port, path):
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return client.recv(65_536)


async def test_what_takes_too_long_is_answered_as_such_handed_over_at_once_and_told_by_the_next_server(house, records):
    async with clients() as client, house.phone() as phone:
        web = client(house)
        id_ = (await web.create()).json["id"]
        call = phone.call()
        await call.start()
        turn = asyncio.create_task(web.say(id_, "100", key="mine"))
        step = asyncio.create_task(call.say("100"))
        async with web.events(id_) as stream:
            await stream.until("reply", "How many seconds?")
            await eventually(lambda: calls(house) == 2)
            begun = time.monotonic()
            house.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(EOFError):  # a broken chunk is another error
                while True:
                    await stream.next()
        reply = await turn
        assert (reply.status, reply.json["status"]) == (202, "running")
        assert await asyncio.to_thread(house.process.wait, 60) == 0
        assert time.monotonic() - begun < 10
        seconds, micros = records.time()
        scores = [score for key in records.keys("sb:*:pending") for _, score in records.zrange(key, 0, -1, withscores=True)]
        assert len(scores) == 2
        assert max(scores) <= seconds * 1000 + micros // 1000, "their leases have run out"
        assert records.keys("sb:*:sweep") == []
        house.start()
        web = client(house)
        async with web.events(id_, stream.events[-1].id) as stream:
            [said] = [event for event in await stream.until("reply", "done") if event.kind == "reply"]
        reply = await web.say(id_, "100", key="mine", wait=60)
        assert (reply.status, texts(reply)[0]) == (200, "done")
        assert reply.json["replies"][0]["id"] == said.id
        assert "done" in [getattr(event, "text", "") for event in await step]
        assert calls(house) == 4


async def test_a_second_signal_ends_it_at_once(house):
    async with clients() as client:
        web = client(house)
        id_ = (await web.create()).json["id"]
        turn = asyncio.create_task(web.say(id_, "100"))
        await eventually(lambda: calls(house) == 1)
        house.process.send_signal(signal.SIGTERM)
        await eventually(lambda: "once more ends it at once" in house.output())
        house.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(house.process.wait, 60) == 128 + signal.SIGTERM
        with pytest.raises(aiohttp.ClientError):
            await turn


NOON = 1_700_000_000_000


class Slow(MemoryHistory):
    """A store at noon, whose replies to appends wait for `free`. `answering`: one does; `handed_over`: it heard what others go on with."""

    def __init__(self, store, boot):
        super().__init__(store, boot, lambda: NOON)
        self.free, self.answering, self.handed_over = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.free.set()

    async def hand_over(self, sessions):
        await super().hand_over(sessions)
        self.handed_over.set()

    async def append(self, command):
        reply = await super().append(command)
        self.answering.set()
        await self.free.wait()
        return reply


async def test_a_session_whose_handler_waits_for_the_store_is_handed_over_when_that_has_left(tmp_path):
    calls, enough = [], asyncio.Event()

    @effect
    async def first() -> str:
        calls.append("first")
        await enough.wait()
        return "a"

    @effect
    async def second() -> str:
        calls.append("second")
        try:
            await asyncio.sleep(3600)
        finally:
            calls.append("second is over")

    @workflow
    async def two(talk: Talk) -> None:
        await talk.call(first)
        await talk.call(second)

    store, session = MemoryStore(), "web:x"
    history = Slow(store, "a.1")
    server = Server(Settings(data=tmp_path, lines={}), history)
    server.house.registry = Registry([two])
    server.board.post(Inbound(session, "1", opening=Opening(two.name, {}, "web"), fresh=True))
    await eventually(lambda: calls == ["first"])
    history.free.clear()
    history.answering.clear()
    enough.set()
    await history.answering.wait()
    closing = asyncio.create_task(server.close())
    await history.handed_over.wait()
    leases = store.partitions[partition_of(session)].pending
    assert leases[session] > NOON, "it goes on when it hears from the store"
    history.free.set()
    await closing
    assert leases[session] == NOON - 0.5, "half a millisecond marks what is handed over"
    assert "second" not in calls or calls[-1] == "second is over"
