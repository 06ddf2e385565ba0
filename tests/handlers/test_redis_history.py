"""What only a real store can show: the scripts against the twin, what they may touch, and the store's moods."""

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import redis
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from support.store_calls import element, everything, opened
from support.stores import InMemory, InRedis
from support.valkey import Valkey

from handlers import redis_link, redis_wire
from handlers.errors import FormatError, StoreError
from handlers.history import LEASE_MS, PARTITIONS, Alarm, Append, History, Reply, Restart, partition_of
from handlers.redis_history import RedisHistory
from handlers.store_clock import StoreClock

S = "web:abc"


@pytest.fixture
async def history(valkey: redis.Redis, valkey_url: str) -> AsyncIterator[RedisHistory]:
    history = RedisHistory(valkey_url, "a.1")
    await history.open()
    yield history
    await history.close()


@pytest.fixture
def server() -> Iterator[Valkey]:
    """A server of the test's own, which may be killed; what it acknowledged survives that."""
    server = Valkey("--maxmemory-policy", "noeviction", persistent=True)
    try:
        server.start()
        yield server
    finally:
        server.remove()


# The scripts do what the twin does


class Twins(RuleBasedStateMachine):
    """Random commands of two nodes to both stores: equal replies, equal states, times included."""

    client: redis.Redis
    url: str

    @initialize()
    def begin(self) -> None:
        self.client.flushall()
        self.runner = asyncio.Runner()
        self.stores = (InMemory(), InRedis(self.client, self.url))
        self.nodes = {boot: [store.node(boot) for store in self.stores] for boot in ("a.1", "b.1")}
        self.last: dict[str, Append | Restart] = {}
        for pair in self.nodes.values():
            for history in pair:
                self.runner.run(history.open())

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            for pair in self.nodes.values():
                self.runner.run(pair[1].close())
            self.runner.close()

    @property
    def now(self) -> int:
        return self.stores[0].now

    def both(self, boot: str, call: Callable[[History], Awaitable[Any]]) -> Any:
        async def run(history: History) -> Any:
            return await call(history)

        memory, stored = (self.runner.run(run(history)) for history in self.nodes[boot])
        assert memory == stored
        return memory

    def view(self, session: str, back: int) -> tuple[int, bytes]:
        """The length and the tail as someone knows them who missed the last `back` events."""
        known = self.stores[0].state()["histories"].get(session, ([], None))[0]
        length = max(len(known) - back, 0)
        return length, known[length - 1][1:9] if length else b""

    boots = st.sampled_from(("a.1", "b.1"))
    sessions = st.sampled_from((S, "web:abc 1/0", "phone:CA1"))
    backs = st.sampled_from((0, 0, 0, 0, 1, 2))
    # Times of both signs, and none that a sum of waits meets: at equality the stores may differ by the millisecond that a call took.
    offsets = st.none() | st.sampled_from((-1, 7_013, 3_600_029))
    bodies = st.lists(st.binary(max_size=3), max_size=3)
    alarms = st.lists(st.tuples(st.sampled_from(("0", "1.0", "2")), st.sampled_from((-10, 0, 500, 3_000, 90_000))), max_size=2)
    cleared = st.lists(st.sampled_from(("0", "1.0", "2")), max_size=2)

    @rule(
        boot=boots,
        session=sessions,
        back=backs,
        bodies=bodies,
        release=st.booleans(),
        progress=st.booleans(),
        keep=offsets,
        alarms=alarms,
        cleared=cleared,
    )
    def append(
        self,
        *,
        boot: str,
        session: str,
        back: int,
        bodies: list[bytes],
        release: bool,
        progress: bool,
        keep: int | None,
        alarms: list[tuple[str, int]],
        cleared: list[str],
    ) -> None:
        length, tail = self.view(session, back)
        command = Append(
            session,
            length,
            tail,
            tuple(map(element, bodies)),
            release,
            progress,
            None if keep is None else self.now + keep,
            tuple(Alarm(5, step, self.now + at) for step, at in alarms),
            tuple((5, step) for step in cleared),
        )
        self.last[boot] = command
        self.both(boot, lambda history: history.append(command))

    @rule(
        boot=boots,
        session=sessions,
        back=backs,
        bodies=bodies,
        release=st.booleans(),
        keep=offsets,
        old=offsets,
        alarms=alarms,
        cleared=cleared,
    )
    def restart(
        self,
        *,
        boot: str,
        session: str,
        back: int,
        bodies: list[bytes],
        release: bool,
        keep: int | None,
        old: int | None,
        alarms: list[tuple[str, int]],
        cleared: list[str],
    ) -> None:
        length, tail = self.view(session, back)
        command = Restart(
            session,
            length,
            tail,
            tuple(map(element, bodies)),
            5,
            release,
            True,
            None if keep is None else self.now + keep,
            None if old is None else self.now + old,
            tuple(Alarm(5, step, self.now + at) for step, at in alarms),
            tuple((5, step) for step in cleared),
        )
        self.last[boot] = command
        self.both(boot, lambda history: history.restart(command))

    @rule(boot=boots)
    def send_again(self, boot: str) -> None:
        match self.last.get(boot):
            case Append() as command:
                self.both(boot, lambda history: history.append(command))
            case Restart() as command:
                self.both(boot, lambda history: history.restart(command))

    @rule(boot=boots, session=sessions)
    def renew(self, boot: str, session: str) -> None:
        self.both(boot, lambda history: history.renew(session))

    @rule(boot=boots, session=sessions, limit=st.integers(0, 3), ahead=st.sampled_from((0, 1_000, LEASE_MS)), claimed=st.booleans())
    def peek(self, boot: str, session: str, limit: int, ahead: int, claimed: bool) -> None:
        self.both(boot, lambda history: history.peek(partition_of(session), limit, ahead, claimed=claimed))

    @rule(boot=boots, limit=st.integers(1, 3), claimed=st.booleans())
    def sweep(self, boot: str, limit: int, claimed: bool) -> None:
        self.both(boot, lambda history: history.peek(0, limit, LEASE_MS, count=PARTITIONS, claimed=claimed))

    @rule(boot=boots, session=sessions)
    def look(self, boot: str, session: str) -> None:
        self.both(boot, lambda history: history.indexes(partition_of(session)))

    @rule(boot=boots, session=sessions, start=st.integers(0, 3))
    def load(self, boot: str, session: str, start: int) -> None:
        self.both(boot, lambda history: history.load(session, start))

    @rule(boot=boots, session=sessions)
    def forget(self, boot: str, session: str) -> None:
        self.both(boot, lambda history: history.forget(session))

    @rule(boot=boots, session=sessions, step=st.sampled_from(("0", "1.0", "2")))
    def clear_due(self, boot: str, session: str, step: str) -> None:
        self.both(boot, lambda history: history.clear_due(session, 5, step))

    @rule(ms=st.sampled_from((1, 400, 2_503, LEASE_MS + 1, 90_001)))
    def wait(self, ms: int) -> None:
        for store in self.stores:
            store.wait(ms)

    @invariant()
    def equal_states(self) -> None:
        if hasattr(self, "stores"):
            memory, stored = (store.state() for store in self.stores)
            assert memory == stored


def test_the_scripts_and_the_twin_agree_on_every_reply_and_every_state(valkey: redis.Redis, valkey_url: str) -> None:
    machine = type("ConnectedTwins", (Twins,), {"client": valkey, "url": valkey_url})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)),
    )


@pytest.mark.proof
def test_the_scripts_and_the_twin_agree_for_long(valkey: redis.Redis, valkey_url: str) -> None:
    machine = type("ConnectedTwins", (Twins,), {"client": valkey, "url": valkey_url})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=3_000, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)),
    )


# What the scripts touch


async def test_a_script_touches_only_keys_that_it_declares_and_that_share_a_slot(history: RedisHistory, valkey: redis.Redis) -> None:
    declared: set[str] = set()
    touched = 0
    with valkey.monitor() as monitor:
        await everything(history)
        valkey.echo("the end")
        for line in monitor.listen():
            words = line["command"].split()
            if words[:2] == ["ECHO", "the"]:
                break
            if line["client_type"] == "lua":
                keys = words[1:3] if words[0] == "RENAME" else words[1:2]
                assert words[0] == "TIME" or set(keys) <= declared, line["command"]
                touched += 1
            elif words[0] == "EVALSHA":
                declared = set(re.findall(r"sb:\{\d+\}:\S+", line["command"]))
                assert len(declared) == int(words[2])
                assert len({key.partition("}")[0] for key in declared}) == 1
    assert touched > 50


async def test_a_turn_costs_one_round_trip_and_a_tick_of_turns_too(history: RedisHistory) -> None:
    before = history.round_trips
    await history.append(Append(S, 0, b"", (element(),)))
    assert history.round_trips == before + 1

    await asyncio.gather(*(history.append(Append(f"web:{i}", 0, b"", (element(),))) for i in range(redis_wire.CHUNK)))
    assert history.round_trips == before + 2


async def test_a_stop_costs_a_call_for_the_claim_and_one_for_each_session_that_is_handed_over(
    history: RedisHistory, valkey: redis.Redis
) -> None:
    valkey.config_resetstat()
    await history.hand_over(["web:1", "web:2"])
    assert valkey.info("commandstats")["cmdstat_evalsha"]["calls"] == 3


async def test_scripts_that_the_store_lost_are_sent_again(history: RedisHistory, valkey: redis.Redis) -> None:
    valkey.script_flush()
    before = history.round_trips

    replies = await asyncio.gather(*(history.append(Append(f"web:{i}", 0, b"", (element(),))) for i in range(3)))
    assert replies == [Reply("ok", 1, None, mine=False, attempts=0)] * 3
    assert history.round_trips == before + 2

    await everything(history)


# The store's moods


async def test_a_killed_store_loses_nothing_it_acknowledged_and_is_found_again(server: Valkey) -> None:
    history = RedisHistory(server.url, "a.1")
    await history.open()
    acknowledged: dict[str, int] = {}
    failures = 0
    stop = False

    async def talk(session: str) -> None:
        """Append event by event, as a handler does: the very same bytes once more, then a reload."""
        nonlocal failures
        length, tail = 0, b""
        while not stop:
            event = element()
            for _ in range(2):
                try:
                    reply = await history.append(Append(session, length, tail, (event,)))
                except StoreError:
                    failures += 1
                    await asyncio.sleep(0.01)
                    continue
                break
            else:
                while not stop:
                    try:
                        known = await history.load(session)
                    except StoreError:
                        await asyncio.sleep(0.01)
                        continue
                    assert len(known) >= acknowledged.get(session, 0)
                    length, tail = len(known), known[-1][1:9] if known else b""
                    break
                continue
            assert reply.status in {"ok", "again"}
            length, tail = length + 1, event[1:9]
            acknowledged[session] = length
            if length >= 400:
                return

    talks = [asyncio.create_task(talk(f"web:{i}")) for i in range(20)]
    for _ in range(3):
        await asyncio.sleep(0.15)
        server.kill()
        await asyncio.sleep(0.15)
        server.start()
        await asyncio.sleep(0.15)
    stop = True
    await asyncio.wait_for(asyncio.gather(*talks), 30)

    assert failures > 0
    for session, length in acknowledged.items():
        assert len(await history.load(session)) >= length
    await history.close()


async def test_a_store_that_is_still_loading_is_told_and_waited_for(server: Valkey) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.config_set("rdbcompression", "no")
        for i in range(20):
            client.set(f"filler:{i}", random.randbytes(4_000))
        client.config_set("appendonly", "no")
        client.save()
    server.kill()
    slow = Valkey("--maxmemory-policy", "noeviction", "--key-load-delay", "100000", "--loading-process-events-interval-bytes", "1024")
    try:
        (server.folder / "dump.rdb").rename(slow.folder / "dump.rdb")
        slow.start()
        with pytest.raises(StoreError, match=r"LOADING.*still loading its data: wait"):
            await opened(slow.url)
        async with asyncio.timeout(30):
            while True:
                try:
                    await opened(slow.url)
                except StoreError:
                    await asyncio.sleep(0.05)
                else:
                    break
    finally:
        slow.remove()


async def test_a_store_that_evicts_is_refused(valkey: redis.Redis, valkey_url: str) -> None:
    valkey.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(StoreError, match=r"allkeys-lru.*: set its maxmemory-policy to noeviction"):
            await opened(valkey_url)
    finally:
        valkey.config_set("maxmemory-policy", "noeviction")


async def test_a_store_that_hides_its_settings_is_used_with_a_warning(valkey: redis.Redis, valkey_url: str) -> None:
    valkey.acl_setuser("guest", enabled=True, nopass=True, keys=["sb:*"], commands=["+@all", "-config", "-role"])
    history = RedisHistory(valkey_url.replace("unix://", "unix://guest:any@"), "a.1")

    with structlog.testing.capture_logs() as logs:
        await history.open()

    assert [(log["log_level"], "maxmemory-policy" in log["event"]) for log in logs] == [("warning", True)]
    await everything(history)
    await history.close()


async def test_a_read_only_replica_is_refused(server: Valkey) -> None:
    await opened(server.url)  # so that nothing is left to be written
    with redis.Redis.from_url(server.url) as client:
        client.replicaof("127.0.0.1", 1)
    with pytest.raises(StoreError, match="read-only replica: name the primary"):
        await opened(server.url)


async def test_a_primary_that_becomes_a_replica_is_told_and_used_again_when_it_is_back(server: Valkey) -> None:
    history = RedisHistory(server.url, "a.1")
    await history.open()
    command = Append(S, 0, b"", (element(),))
    with redis.Redis.from_url(server.url) as client:
        client.replicaof("127.0.0.1", 1)
        for _ in range(3):
            with pytest.raises(StoreError, match="read-only replica"):
                await history.append(command)
        client.replicaof("NO", "ONE")
    await asyncio.sleep(1.1 * redis_link.PAUSE)
    assert (await history.append(command)).status == "ok"
    await history.close()


async def test_a_full_store_refuses_an_append_whole_and_still_forgets(server: Valkey) -> None:
    history = RedisHistory(server.url, "a.1")
    await history.open()
    first = element()
    await history.append(Append(S, 0, b"", (first,), release=False))
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", "1")
        with pytest.raises(StoreError, match=r"OOM.*its memory is full: raise its maxmemory"):
            await history.append(Append(S, 1, first[1:9], (element(),), alarms_set=(Alarm(5, "1", 1),)))
        assert await history.load(S) == (first,)
        assert client.exists(f"sb:{{{partition_of(S)}}}:due") == 0
        assert await history.forget(S)
    await history.close()


@pytest.mark.parametrize("stored", [{"format": 2, "partitions": 256}, {"format": 1, "partitions": 64}])
async def test_another_format_is_refused_and_both_are_named(valkey: redis.Redis, valkey_url: str, stored: dict[str, int]) -> None:
    valkey.hset("sb:meta", mapping=stored)

    with pytest.raises(FormatError, match=f"{stored['format']} and {stored['partitions']}, this version writes 1 and 256"):
        await opened(valkey_url)
    assert {key.decode(): int(value) for key, value in valkey.hgetall("sb:meta").items()} == stored


async def test_the_format_is_written_on_first_use(valkey: redis.Redis, valkey_url: str) -> None:
    await opened(valkey_url)
    await opened(valkey_url)

    assert valkey.hgetall("sb:meta") == {b"format": b"1", b"partitions": b"256"}


async def test_a_key_of_another_kind_in_our_place_is_an_error_and_stays(history: RedisHistory, valkey: redis.Redis) -> None:
    key = f"sb:{{{partition_of(S)}}}:h:{S}"
    valkey.set(key, "not a list")

    with pytest.raises(StoreError, match="WRONGTYPE"):
        await history.append(Append(S, 0, b"", (element(),), release=False))
    assert valkey.keys("sb:{*") == [key.encode()]


# The clock


async def test_the_clock_is_the_stores(history: RedisHistory, valkey: redis.Redis) -> None:
    await everything(history)

    before = valkey.time()
    now = history.now()
    after = valkey.time()

    assert before[0] * 1000 + before[1] // 1000 - 1_000 <= now <= after[0] * 1000 + after[1] // 1000


class Clocks:
    """A store whose clock is ours plus an offset, ms, and replies that take their time."""

    def __init__(self) -> None:
        self.mine = 50_000.0
        self.offset = 7_000_000.0
        self.clock = StoreClock(lambda: self.mine / 1000)

    def ask(self, there: float, back: float) -> None:
        asked = self.mine
        self.mine += there
        told = int(self.mine + self.offset)
        self.mine += back
        self.clock.tell(told, asked / 1000, self.mine / 1000)

    @property
    def behind(self) -> float:
        return self.mine + self.offset - self.clock.now()


def test_the_clock_is_behind_by_no_more_than_the_fastest_reply_took() -> None:
    clocks = Clocks()
    for there, back in ((5, 300), (300, 2), (1, 80), (900, 900)):
        clocks.ask(there, back)
        assert clocks.behind >= 0
    assert clocks.behind <= 2 + 2  # two for the reply, two for the rounding


def test_the_clock_never_goes_back_while_the_stores_does_not() -> None:
    clocks, rng, shown = Clocks(), random.Random(1), [0]
    for _ in range(2_000):
        clocks.ask(rng.expovariate(0.1), rng.expovariate(0.1))
        shown.append(clocks.clock.now())
    assert all(earlier <= later for earlier, later in pairwise(shown))


@pytest.mark.parametrize("change", [-60_000.0, 60_000.0])
def test_the_clock_follows_a_store_whose_clock_was_set(change: float) -> None:
    clocks = Clocks()
    clocks.ask(3, 3)
    clocks.offset += change
    clocks.ask(3, 3)
    assert -1 <= clocks.behind <= 6


def test_the_clock_follows_a_store_that_runs_slower() -> None:
    clocks = Clocks()
    for _ in range(1_000):
        clocks.mine += 10_000
        clocks.offset -= 1  # 100 ppm
        clocks.ask(1, 1)
        assert abs(clocks.behind) <= 5


def test_until_the_store_told_its_time_the_clock_is_our_own() -> None:
    assert abs(StoreClock().now() - time.time() * 1000) < 10_000


async def test_what_is_no_alarm_in_a_due_index_does_not_hold_up_the_others(valkey: redis.Redis, history: RedisHistory) -> None:
    partition = partition_of("web:1")
    valkey.zadd(f"sb:{{{partition}}}:due", {b"\xff": 0, b"web:1": 0, b"web:1 x/0": 0, b"web:1 7/0": 1})
    found = await history.peek(partition, 100, 5_000)
    assert [(session, alarm.gen, alarm.step) for session, alarm in found.due] == [("web:1", 7, "0")]
    indexes = await history.indexes(partition)
    assert [session for session, _ in indexes.due] == ["web:1"]
