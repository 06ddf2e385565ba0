"""Replies that wait for replicas: a real primary, a real replica, and a replica that has been stopped."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import redis
from support.cluster import wait_for
from support.crowds import StoreNode
from support.ports import free_ports
from support.store_calls import element, everything, write
from support.valkey import Valkey

from handlers.errors import StoreError
from handlers.history import PARTITIONS, Append, partition_of
from handlers.redis_history import RedisHistory
from handlers.redis_wire import Replication

S = "web:abc"
ONE = Replication(1, 1_500)
TOO_FEW = r"only 0 of 1 replicas had it within 1\.5 s: see to its replicas, or lower \[store\] replicas"


@contextmanager
def pair() -> Iterator[tuple[Valkey, Valkey]]:
    """A primary, and a replica that follows it."""
    port = str(free_ports(1)[0])
    server = Valkey("--bind", "127.0.0.1", "--port", port, "--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0")
    follower = Valkey("--replicaof", f"127.0.0.1 {port}")
    try:
        server.start()
        follower.start()
        with redis.Redis(unix_socket_path=str(follower.path)) as client:
            wait_for(lambda: client.info("replication")["master_link_status"] == "up", "the replica does not follow")
        yield server, follower
    finally:
        follower.remove()
        server.remove()


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Valkey, Valkey]]:
    with pair() as both:
        yield both


@pytest.fixture
def primary(servers: tuple[Valkey, Valkey]) -> Valkey:
    return servers[0]


@pytest.fixture
def client(primary: Valkey) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(primary.path)) as client:
        client.flushall()
        yield client


@pytest.fixture
def replica(servers: tuple[Valkey, Valkey], client: redis.Redis) -> Iterator[Valkey]:
    """The replica, to be stopped; it goes on when the test is over."""
    follower = servers[1]
    yield follower
    follower.thaw()
    wait_for(lambda: bool(client.set("any", "") and client.wait(1, 1_000) == 1), "the replica does not follow")


@pytest.fixture
async def history(primary: Valkey, client: redis.Redis) -> AsyncIterator[RedisHistory]:
    history = RedisHistory(primary.url, "a.1", ONE)
    await history.open()
    yield history
    await history.close()


@pytest.fixture
async def other(primary: Valkey, client: redis.Redis) -> AsyncIterator[RedisHistory]:
    """Another node, with a connection of its own, which has written nothing."""
    history = RedisHistory(primary.url, "b.1", ONE)
    await history.open()
    yield history
    await history.close()


async def test_with_its_replica_everything_works_and_a_turn_is_still_one_round_trip(history: RedisHistory) -> None:
    before = history.round_trips
    assert (await write(history, S)).status == "ok"
    assert history.round_trips == before + 1
    assert await history.forget(S)
    await everything(history)


async def test_nothing_is_waited_for_unless_it_is_asked_for(primary: Valkey, client: redis.Redis, replica: Valkey) -> None:
    history = RedisHistory(primary.url, "a.1")
    await history.open()
    replica.freeze()
    client.config_resetstat()
    assert (await write(history, S)).status == "ok"
    await history.close()
    calls = client.info("commandstats")
    assert "cmdstat_wait" not in calls
    assert "cmdstat_set" not in calls


async def test_what_no_replica_has_is_not_acknowledged_and_found_on_record_when_it_is_sent_again(
    history: RedisHistory, replica: Valkey, client: redis.Redis
) -> None:
    command = Append(S, 0, b"", (element(),))
    replica.freeze()
    with pytest.raises(StoreError, match=TOO_FEW):
        await history.append(command)
    with pytest.raises(StoreError, match=TOO_FEW):
        await history.append(command)
    replica.thaw()
    assert (await history.append(command)).status == "again"
    assert await history.load(S) == command.events


async def test_what_another_node_wrote_is_not_shown_either_while_no_replica_has_it(
    history: RedisHistory, other: RedisHistory, replica: Valkey
) -> None:
    """A retry that reaches another node must not be answered from a record that a failover would lose."""
    command = Append(S, 0, b"", (element(),))
    replica.freeze()
    with pytest.raises(StoreError, match=TOO_FEW):
        await history.append(command)
    for look in (other.load(S), other.append(command), other.append(Append(S, 0, b"", (element(),))), other.renew(S)):
        with pytest.raises(StoreError, match=TOO_FEW):
            await look
    replica.thaw()
    assert await other.load(S) == command.events


async def test_while_no_replica_has_it_nothing_is_taken_over(
    history: RedisHistory, other: RedisHistory, primary: Valkey, replica: Valkey
) -> None:
    """Else each look would count as an attempt that nobody made, and after some of them the session would be left alone."""
    await history.append(Append(S, 0, b"", (element(),), release=False))
    await history.hand_over([S])
    looker = RedisHistory(primary.url, "c.1")
    await looker.open()
    before = await looker.indexes(partition_of(S))
    await asyncio.sleep(0.01)  # until the lease has run out
    replica.freeze()
    with pytest.raises(StoreError, match=TOO_FEW):
        await other.peek(0, 10, 0, count=PARTITIONS)
    assert await looker.indexes(partition_of(S)) == before
    await looker.close()
    replica.thaw()
    assert [name for name, _ in (await other.peek(0, 10, 0, count=PARTITIONS)).pending] == [S]


async def test_a_crowd_waits_together(history: RedisHistory, client: redis.Redis) -> None:
    client.config_resetstat()
    replies = await asyncio.gather(*(write(history, f"web:{i}") for i in range(200)))
    assert {reply.status for reply in replies} == {"ok"}
    assert client.info("commandstats")["cmdstat_wait"]["calls"] <= 3


async def test_while_a_replica_is_stopped_a_crowd_is_refused_and_the_connection_stays(
    history: RedisHistory, replica: Valkey, client: redis.Redis
) -> None:
    connections = client.info("stats")["total_connections_received"]
    replica.freeze()
    for _ in range(12):  # more of them than a call's time has room for, one after the other
        outcomes = [asyncio.create_task(write(history, f"web:{i}")) for i in range(20)]
        await asyncio.sleep(0.05)
    refused = await asyncio.gather(*outcomes, return_exceptions=True)
    assert all(isinstance(outcome, StoreError) and "0 of 1 replicas" in str(outcome) for outcome in refused)
    replica.thaw()
    assert (await write(history, "web:later")).status == "ok"
    assert client.info("stats")["total_connections_received"] == connections


async def test_a_cancelled_caller_costs_nobody_else_his_reply(history: RedisHistory) -> None:
    calls = [asyncio.ensure_future(write(history, f"web:{i}")) for i in range(30)]
    await asyncio.sleep(0)
    for call in calls[::3]:
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) if i % 3 == 0 else each.status == "ok" for i, each in enumerate(outcomes))  # type: ignore[union-attr]
    assert (await write(history, S)).status == "ok"


async def test_a_refusal_of_the_store_is_told_as_it_is(history: RedisHistory, client: redis.Redis) -> None:
    client.set(f"sb:{{{partition_of('web:1')}}}:h:web:1", "not a list")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        await write(history, "web:1")


async def test_a_user_who_may_not_wait_is_told_what_is_missing(primary: Valkey, client: redis.Redis) -> None:
    client.acl_setuser("ann", enabled=True, nopass=True, keys=["sb:*"], commands=["+@all", "-wait"])
    history = RedisHistory(primary.url.replace("unix://", "unix://ann:any@"), "a.1", ONE)
    await history.open()
    with pytest.raises(StoreError, match=r"NOPERM.*let its user run SET and WAIT"):
        await write(history, S)
    await history.close()


async def test_a_store_that_dies_between_a_reply_and_its_confirmation_has_acknowledged_nothing() -> None:
    with pair() as (server, follower):
        history = RedisHistory(server.url, "a.1", Replication(1, 1_500))
        await history.open()
        follower.freeze()
        call = asyncio.create_task(write(history, S))
        with redis.Redis(unix_socket_path=str(server.path)) as client:
            await asyncio.to_thread(wait_for, lambda: client.info("clients")["blocked_clients"] == 1, "nobody waits")
        server.kill()
        with pytest.raises(StoreError, match="the connection was lost"):
            await call
        await history.close()


async def test_an_input_that_no_replica_has_is_refused_and_answered_once_when_it_comes_again(primary: Valkey, replica: Valkey) -> None:
    first, second = StoreNode(primary.url, "c.1", ONE), StoreNode(primary.url, "d.1", ONE)
    await first.history.open()
    await second.history.open()
    await first.say(S, "open", None)
    replica.freeze()
    for node in (first, second):
        with pytest.raises(StoreError, match=TOO_FEW):
            await node.say(S, "m1", "hello")
    replica.thaw()
    answers = [[output.text for _, _, output in (await node.say(S, "m1", "hello")).said] for node in (second, first)]
    assert answers == [["You said hello.", "Yes?"]] * 2
    assert len(await first.history.load(S)) == 2
    for node in (first, second):
        await node.stop()
