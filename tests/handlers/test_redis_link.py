"""The connection under everything that can happen to one, with a real Valkey at the other end."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
import redis
import uvloop
from support.valkey import Valkey

from handlers import redis_link, redis_wire
from handlers.errors import StoreError
from handlers.redis_address import Address
from handlers.redis_cluster import no_greeting as welcome
from handlers.redis_link import Ask, Link, Told
from handlers.redis_wire import CHUNK
from handlers.resp import Refusal, pack

PING = pack(b"PING")
ECHO = [pack(b"ECHO", b"%d" % i) for i in range(64)]


@pytest.fixture
def server() -> Iterator[Valkey]:
    """A server of the test's own, to be killed."""
    server = Valkey()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
async def link(server: Valkey) -> AsyncIterator[Link]:
    link = Link(Address.parse(server.url), welcome)
    yield link
    await link.close()


class Stranger(asyncio.Protocol):
    """One connection to a server that is no store: it hangs up at once, or says `answer` to whatever it hears."""

    met: ClassVar[list[asyncio.Transport]] = []

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.met.append(cast("asyncio.Transport", transport))
        if self.answer is None:
            transport.close()

    def data_received(self, data: bytes) -> None:
        self.met[-1].write(self.answer or b"")


@asynccontextmanager
async def stranger(answer: bytes | None) -> AsyncIterator[str]:
    Stranger.met = []
    server = await asyncio.get_running_loop().create_server(lambda: Stranger(answer), "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for transport in Stranger.met:
            transport.abort()
        await asyncio.sleep(0)


async def until_it_answers(link: Link) -> None:
    for _ in range(500):
        try:
            assert await link.call(PING) == b"PONG"
        except StoreError:
            await asyncio.sleep(0.01)
        else:
            return
    pytest.fail("the link did not recover")


async def test_what_is_asked_in_one_tick_leaves_in_one_write_and_a_crowd_in_a_few(link: Link) -> None:
    await link.call(PING)
    before = link.round_trips

    assert await asyncio.gather(*map(link.call, ECHO[: CHUNK - 1])) == [b"%d" % i for i in range(CHUNK - 1)]
    assert link.round_trips == before + 1

    assert await asyncio.gather(*map(link.call, ECHO)) == [b"%d" % i for i in range(64)]
    assert link.round_trips == before + 1 + 64 // CHUNK

    assert await link.call(PING) == b"PONG"
    assert link.round_trips == before + 2 + 64 // CHUNK


async def test_a_refusal_is_a_reply_and_does_not_disturb_the_others(link: Link) -> None:
    first, refused, last = await asyncio.gather(link.call(PING), link.call(pack(b"NONSENSE")), link.call(PING))

    assert (first, last) == (b"PONG", b"PONG")
    assert isinstance(refused, Refusal)
    with pytest.raises(StoreError, match=r"refused \(ERR unknown command"):
        link.accept(refused)


async def test_a_cancelled_caller_costs_nobody_else_his_reply(link: Link) -> None:
    await link.call(PING)
    for patience in (0, 1, 2):  # before the write, after it, after the reply
        calls = [asyncio.ensure_future(link.call(command)) for command in ECHO]
        for _ in range(patience):
            await asyncio.sleep(0)
        for call in calls[::3]:
            call.cancel()
        kept = [i for i in range(64) if i % 3]
        assert await asyncio.gather(*(calls[i] for i in kept)) == [b"%d" % i for i in kept]
        await asyncio.gather(*calls, return_exceptions=True)
    assert await link.call(PING) == b"PONG"


async def test_callers_who_are_cancelled_while_connecting_leave_the_attempt_to_the_others(link: Link) -> None:
    calls = [asyncio.ensure_future(link.call(PING)) for _ in range(3)]
    await asyncio.sleep(0)
    calls[0].cancel()

    assert await asyncio.gather(*calls[1:]) == [b"PONG", b"PONG"]


async def test_a_killed_store_fails_all_calls_in_flight_and_is_found_again_when_it_is_back(link: Link, server: Valkey) -> None:
    await link.call(PING)
    blocked = [asyncio.ensure_future(link.call(pack(b"BLPOP", b"nothing", b"0"))) for _ in range(5)]
    await asyncio.sleep(0.05)

    server.kill()

    for outcome in await asyncio.gather(*blocked, return_exceptions=True):
        assert isinstance(outcome, StoreError)
        assert "the connection was lost" in str(outcome)
    began = time.monotonic()
    for _ in range(1_000):
        with pytest.raises(StoreError, match=r"REDIS_URL|connection was lost"):
            await link.call(PING)
    assert time.monotonic() - began < redis_link.CONNECT_TIMEOUT, "calls are to fail at once while the store is away"
    server.start()
    await until_it_answers(link)


async def test_a_store_that_hangs_up_is_asked_again_only_after_a_pause() -> None:
    async with stranger(None) as address:
        link = Link(Address.parse(f"redis://{address}/1"), welcome)
        began = time.monotonic()
        while time.monotonic() < began + 3.5 * redis_link.PAUSE:
            with pytest.raises(StoreError):
                await link.call(PING)
            await asyncio.sleep(0)
        took = time.monotonic() - began
        await link.close()

        assert 2 <= len(Stranger.met) <= took / redis_link.PAUSE + 1


async def test_while_an_attempt_hangs_later_calls_fail_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_link, "CONNECT_TIMEOUT", 1.5)
    async with stranger(b"") as address:
        link = Link(Address.parse(f"redis://:secret@{address}"), welcome)
        first = asyncio.ensure_future(link.call(PING))
        await asyncio.sleep(redis_link.PAUSE + 0.05)
        with pytest.raises(StoreError, match="no connection yet"):
            await link.call(PING)
        assert not first.done()
        with pytest.raises(StoreError, match=r"no connection within 1\.5 s.*REDIS_URL") as error:
            await first
        assert "secret" not in str(error.value)
        await link.close()


async def test_nobody_there_is_told_with_the_remedy(tmp_path: Path) -> None:
    link = Link(Address.parse(f"unix://{tmp_path}/nobody"), welcome)

    with pytest.raises(StoreError, match=r"The store at unix://.*/nobody: no connection .*: start it, or correct REDIS_URL"):
        await link.call(PING)


async def test_a_stopped_store_times_out_and_is_found_again(link: Link, server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_wire, "COMMAND_TIMEOUT", 0.2)
    await link.call(PING)
    server.freeze()
    try:
        early = asyncio.ensure_future(link.call(PING))
        await asyncio.sleep(0.1)
        late = asyncio.ensure_future(link.call(PING))
        for call in (early, late):
            with pytest.raises(StoreError, match=r"no answer within 0\.2 s"):
                await call
    finally:
        server.thaw()
    await until_it_answers(link)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_loop_that_stood_still_does_not_blame_the_store(server: Valkey, monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    monkeypatch.setattr(redis_wire, "COMMAND_TIMEOUT", 0.4)

    async def main() -> None:
        link = Link(Address.parse(server.url), welcome)
        await link.call(PING)
        call = asyncio.ensure_future(link.call(pack(b"BLPOP", b"nothing", b"0.2")))  # answered while the loop stands still
        await asyncio.sleep(0.05)
        time.sleep(0.8)  # noqa: ASYNC251 - the loop is to stand still
        assert await call is None
        await link.close()

    run(main())


async def test_a_time_out_counts_from_each_command_not_from_the_first(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_wire, "COMMAND_TIMEOUT", 0.5)
    for _ in range(4):
        assert await link.call(PING) == b"PONG"
        await asyncio.sleep(0.2)


async def test_a_wrong_password_is_told_without_repeating_it() -> None:
    server = Valkey("--requirepass", "the-right-one")
    try:
        server.start()
        for login, remedy in ((":the-wrong-one@", "WRONGPASS.*correct the user or the password"), ("", "NOAUTH.*put its password")):
            link = Link(Address.parse(server.url.replace("unix://", f"unix://{login}")), welcome)
            with pytest.raises(StoreError, match=remedy) as error:
                link.accept(await link.call(PING))
            assert "one" not in str(error.value).replace(str(server.folder), "")
            await link.close()
        right = Link(Address.parse(server.url.replace("unix://", "unix://:the-right-one@") + "?db=3"), welcome)
        assert await right.call(PING) == b"PONG"
        assert b"db=3" in await right.call(pack(b"CLIENT", b"INFO"))
        await right.close()
    finally:
        server.remove()


async def test_a_user_with_a_name_signs_in(valkey: redis.Redis, valkey_url: str) -> None:
    valkey.acl_setuser("ann", enabled=True, passwords=["+p@ss/w"], commands=["+@all"])
    link = Link(Address.parse(valkey_url.replace("unix://", "unix://ann:p%40ss%2Fw@")), welcome)

    assert await link.call(pack(b"ACL", b"WHOAMI")) == b"ann"
    await link.close()


async def test_something_else_at_the_address_is_told() -> None:
    async with stranger(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address:
        link = Link(Address.parse(f"redis://{address}"), welcome)
        with pytest.raises(StoreError, match="does not speak the Redis protocol"):
            await link.call(PING)
        await link.close()


async def test_a_server_without_tls_is_told() -> None:
    async with stranger(b"-ERR what?\r\n") as address:
        link = Link(Address.parse(f"rediss://{address}"), welcome)
        with pytest.raises(StoreError, match=r"no connection \(.*\): start it, or correct REDIS_URL"):
            await link.call(PING)
        await link.close()


async def test_a_refusal_that_another_server_would_not_give_ends_the_connection() -> None:
    async with stranger(b"-READONLY You can't write against a read only replica.\r\n") as address:
        link = Link(Address.parse(f"redis://{address}"), welcome)
        for _ in range(2):
            with pytest.raises(StoreError, match="read-only replica: name the primary"):
                link.accept(await link.call(PING))
            await asyncio.sleep(1.1 * redis_link.PAUSE)
        assert len(Stranger.met) == 2
        await link.close()


async def test_what_the_greeting_raises_refuses_the_connection(server: Valkey) -> None:
    greeted = []

    async def picky(ask: Ask, address: Address, told: Told) -> None:
        greeted.append(await ask(PING, PING))
        raise StoreError("not this one")

    link = Link(Address.parse(server.url), picky)
    for _ in range(3):
        with pytest.raises(StoreError, match="not this one"):
            await link.call(PING)
    await link.close()

    assert greeted == [[b"PONG", b"PONG"]]


async def test_after_closing_every_call_fails_also_those_that_wait_for_a_connection(server: Valkey) -> None:
    link = Link(Address.parse(server.url), welcome)
    waiting = asyncio.ensure_future(link.call(PING))
    await asyncio.sleep(0)

    await link.close()

    with pytest.raises(StoreError, match="this end closed"):
        await waiting
    with pytest.raises(StoreError, match="this end closed"):
        await link.call(PING)


async def test_closing_does_not_wait_for_a_store_that_does_not_let_us_in() -> None:
    async with stranger(b"") as address:
        link = Link(Address.parse(f"redis://:secret@{address}"), welcome)
        waiting = asyncio.ensure_future(link.call(PING))
        while not Stranger.met:  # noqa: ASYNC110 - the server's side of it has no event
            await asyncio.sleep(0.01)

        await link.close()

        with pytest.raises(StoreError, match="this end closed"):
            await waiting


async def test_a_connection_that_is_lost_during_the_greeting_fails_at_once() -> None:
    async def slow(ask: Ask, address: Address, told: Told) -> None:
        await asyncio.sleep(0.1)
        await ask(PING)

    async with stranger(None) as address:
        link = Link(Address.parse(f"redis://{address}"), slow)
        with pytest.raises(StoreError, match="the connection was lost"):
            await link.call(PING)
        await link.close()


async def test_closing_fails_what_is_in_flight(server: Valkey) -> None:
    link = Link(Address.parse(server.url), welcome)
    await link.call(PING)
    waiting = asyncio.ensure_future(link.call(pack(b"BLPOP", b"nothing", b"0")))
    await asyncio.sleep(0.01)

    await link.close()

    with pytest.raises(StoreError, match="this end closed"):
        await waiting


async def test_closing_fails_what_has_not_left_yet(link: Link) -> None:
    await link.call(PING)
    before = link.round_trips
    waiting = asyncio.ensure_future(link.call(PING))

    await link.close()

    with pytest.raises(StoreError, match="this end closed"):
        await waiting
    assert link.round_trips == before


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://", ("redis://localhost:6379", "localhost", 6379, "", False, (), 0)),
        ("redis://10.0.0.1:7000/2", ("redis://10.0.0.1:7000", "10.0.0.1", 7000, "", False, (), 2)),
        ("rediss://ann:s%40@h.example/", ("rediss://h.example:6379", "h.example", 6379, "", True, (b"ann", b"s@"), 0)),
        ("redis://:s@[::1]:1", ("redis://::1:1", "::1", 1, "", False, (b"s",), 0)),
        ("rediss+cluster://:s@h:7000", ("rediss+cluster://h:7000", "h", 7000, "", True, (b"s",), 0, True)),
        ("unix:///a%20b/s.sock?db=4", ("unix:///a b/s.sock", "localhost", 6379, "/a b/s.sock", False, (), 4)),
    ],
)
def test_addresses_are_read(url: str, address: tuple[object, ...]) -> None:
    assert Address.parse(url) == Address(*address)


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("redis+cluster://h/1", "names a database, but a cluster has only one"),
        ("redis+sentinel://h", "must begin with redis://"),
        ("localhost:6379", "must begin with redis://"),
        ("http://h", "must begin with redis://"),
        ("redis://:hid/den@h", "cannot be read: write redis://:password@host:6379/0"),
        ("redis://h/hidden", "cannot be read"),
        ("redis://h?hidden=1", "only db is known"),
    ],
)
def test_an_address_that_is_no_good_is_told_with_the_remedy_and_without_what_may_be_secret(url: str, remedy: str) -> None:
    with pytest.raises(StoreError, match=remedy) as error:
        Address.parse(url)
    assert "hid" not in str(error.value)
