"""The store as a real cluster: what each call touches, where calls go, and what becomes of them while slots are moved."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from types import SimpleNamespace

import pytest
from support.cluster import PRIMARIES, Cluster, Node, cluster, wait_for
from support.ports import free_ports
from support.store_calls import element, everything, opened, write
from support.valkey import Valkey

from handlers.counters import Counters
from handlers.errors import FormatError, StoreError
from handlers.history import PARTITIONS, Alarm, Append, partition_of
from handlers.messages import Resume
from handlers.redis_cluster import slot_of
from handlers.redis_history import META, RedisHistory
from handlers.redis_wire import Replication
from handlers.store_clock import ClusterClock
from switchboard.sweeper import Sweeper

SPREAD = [f"web:{i}" for i in range(600)]
"""Sessions of all partitions."""


@pytest.fixture(scope="module")
def formed() -> Iterator[Cluster]:
    with cluster(node_timeout=5_000) as formed:  # so that a busy machine is not taken for a dead node
        yield formed


@pytest.fixture
async def history(formed: Cluster) -> AsyncIterator[RedisHistory]:
    for node in formed.nodes:
        if node.primary:
            node.client.flushall()
    history = RedisHistory(formed.url, "a.1")
    await history.open()
    yield history
    await history.close()


def slot_of_session(session: str) -> int:
    return slot_of(b"{%d}" % partition_of(session))


def test_slots_are_those_of_the_cluster(formed: Cluster) -> None:
    keys = [b"sb:{%d}:h:web:{x}" % partition for partition in range(PARTITIONS)]
    for key in (*keys, META, b"", b"{}", b"a{}b{c}", b"{a", b"}{a}"):
        assert slot_of(key) == formed.nodes[0].cluster("KEYSLOT", key)


async def test_every_call_works_in_every_partition_and_no_script_leaves_its_slot(history: RedisHistory, formed: Cluster) -> None:
    """A node refuses a script whose keys lie in several slots (CROSSSLOT), and one that touches a key of another node."""
    one_each = {partition_of(session): session for session in SPREAD}
    for session in (*one_each.values(), "web:{x} 1/0"):
        if partition_of(session) % 8 == 0 or session.startswith("web:{"):
            await everything(history, session)
    await asyncio.gather(*(write(history, session) for session in one_each.values()))
    assert set(await history.sessions(10_000)) == set(one_each.values())
    assert len(await history.sessions(7)) == 7
    assert all([await history.forget(session) for session in one_each.values()])
    left = [key for node in formed.primaries() for key in node.client.keys("*:h:*")]
    assert left == []


async def test_what_is_asked_in_one_tick_leaves_in_one_write_a_node(history: RedisHistory) -> None:
    few = SPREAD[:15]
    before = history.round_trips
    await asyncio.gather(*(write(history, session) for session in few))
    assert history.round_trips - before == PRIMARIES


async def test_an_alarm_and_a_lost_lease_are_found_by_another_nodes_sweep(history: RedisHistory, formed: Cluster) -> None:
    for session in SPREAD[:9]:
        await history.append(Append(session, 0, b"", (element(),), release=False, alarms_set=(Alarm(5, "1", history.now() - 1),)))
    await history.hand_over(SPREAD[:9])
    other = RedisHistory(formed.url, "b.1")
    await other.open()
    await asyncio.sleep(0.01)  # until the claims of the first have run out, and the leases
    found = await other.peek(0, 100, 1_000, count=PARTITIONS)
    await other.close()
    assert sorted(name for name, _ in found.pending) == sorted(SPREAD[:9])
    assert sorted(name for name, _ in found.due) == sorted(SPREAD[:9])


async def test_a_node_that_is_away_keeps_nobody_from_sweeping_the_others(history: RedisHistory, formed: Cluster) -> None:
    """Even if it is the one that has the claim. Here it refuses every script."""
    away = formed.primary_of(slot_of(b"{0}"))
    sessions = [session for session in SPREAD if partition_of(session) < 32]
    there = [session for session in sessions if formed.primary_of(slot_of_session(session)) is not away]
    assert 0 < len(there) < len(sessions)
    for node in formed.nodes:
        commands = ["+@all", "-evalsha"] if node is away else ["+@all"]
        node.client.acl_setuser("ben", enabled=True, reset=True, nopass=True, keys=["sb:*"], commands=commands)
    await asyncio.gather(*(history.append(Append(session, 0, b"", (element(),), release=False)) for session in sessions))
    await history.hand_over(sessions)
    other = RedisHistory(formed.url.replace("//", "//ben:any@"), "b.1")
    await other.open()
    await asyncio.sleep(0.01)  # until the leases have run out
    posted: list[Resume] = []
    house = SimpleNamespace(history=other, counters=Counters(), post=SimpleNamespace(post=posted.append))

    with pytest.raises(StoreError, match=r"^\d+ of 32 partitions cannot be swept"):
        await Sweeper(house).look(0, 32)  # type: ignore[arg-type]
    assert sorted(resume.session for resume in posted) == sorted(there)
    with pytest.raises(StoreError, match="NOPERM"):
        await other.peek(0, 100, 0)

    await other.hand_over(there)  # the claim cannot be given back: nobody needs to hear of it
    again = await history.peek(0, 100, 0, count=32)
    assert {session for session, _ in again.pending} >= set(there)
    with pytest.raises(StoreError, match="NOPERM"):
        await other.hand_over(sessions)
    await other.close()


async def test_with_replicas_to_wait_for_every_call_works(formed: Cluster, history: RedisHistory) -> None:
    sure = RedisHistory(formed.url, "s.1", Replication(1, 1_500))
    await sure.open()
    await asyncio.gather(*(write(sure, session) for session in SPREAD[:60]))
    waits = sum(node.client.info("commandstats")["cmdstat_wait"]["calls"] for node in formed.primaries())
    assert 3 <= waits < 30
    await everything(sure)
    await sure.close()


# Slots that move


class Moving:
    """One slot on its way to another primary, by the steps of `redis-cli --cluster reshard`."""

    def __init__(self, formed: Cluster, slot: int) -> None:
        self.formed, self.slot = formed, slot
        self.source = formed.primary_of(slot)
        self.target = next(node for node in formed.primaries() if node is not self.source)

    def begin(self) -> None:
        self.target.cluster("SETSLOT", self.slot, "IMPORTING", self.source.cluster("MYID"))
        self.source.cluster("SETSLOT", self.slot, "MIGRATING", self.target.cluster("MYID"))

    def move(self, *keys: bytes) -> None:
        for key in keys or self.source.cluster("GETKEYSINSLOT", self.slot, 1_000):
            self.source.client.execute_command("MIGRATE", "127.0.0.1", self.target.port, key, 0, 5_000)

    def end(self) -> None:
        self.move()
        for node in (self.target, self.source, *self.formed.primaries()):
            node.cluster("SETSLOT", self.slot, "NODE", self.target.cluster("MYID"))


async def test_a_slot_that_moves_is_followed(history: RedisHistory, formed: Cluster) -> None:
    session = SPREAD[0]
    moving = Moving(formed, slot_of_session(session))
    first = element()
    assert (await history.append(Append(session, 0, b"", (first,)))).status == "ok"
    before = history.round_trips

    moving.begin()
    assert await history.load(session) == (first,)
    assert history.round_trips == before + 1
    moving.move()
    assert await history.load(session) == (first,)  # ASK: this once, elsewhere
    assert await history.load(session) == (first,)
    assert history.round_trips == before + 5
    moving.end()

    before = history.round_trips
    assert await history.load(session) == (first,)  # MOVED: from now on, elsewhere
    assert await history.load(session) == (first,)
    assert before + 3 <= history.round_trips <= before + 3 + PRIMARIES  # and the cluster is asked what else has moved
    assert (await write(history, session, (first,))).length == 2


async def test_what_is_appended_while_a_slot_moves_waits_for_the_move_or_is_refused(history: RedisHistory, formed: Cluster) -> None:
    """A script whose keys are not all at one node is told TRYAGAIN by both."""
    session = SPREAD[1]
    moving = Moving(formed, slot_of_session(session))
    first, second = element(), element()
    command = Append(session, 1, first[1:9], (second,))
    await history.append(Append(session, 0, b"", (first,), release=False))
    moving.begin()
    moving.move()
    with pytest.raises(StoreError, match=r"is being moved from one node to another: it goes on by itself"):
        await history.append(command)

    waiting = asyncio.create_task(history.append(command))
    await asyncio.sleep(0.15)
    assert not waiting.done()
    moving.end()
    assert (await waiting).status == "ok"
    assert await history.load(session) == (first, second)


async def test_while_a_slot_moves_replicas_are_waited_for_all_the_same(history: RedisHistory, formed: Cluster) -> None:
    """No mark is taken in the slot itself: where it leaves (ASK), where it comes (MOVED), and where it has been (MOVED)."""
    moving = Moving(formed, slot_of_session(SPREAD[5]))
    near = next(
        session for session in SPREAD
        if slot_of_session(session) != moving.slot and formed.primary_of(slot_of_session(session)) is moving.source
    )  # fmt: skip
    first, second = element(), element()
    for session, event in ((SPREAD[5], first), (near, second)):
        await history.append(Append(session, 0, b"", (event,)))
    sure = RedisHistory(formed.url, "s.1", Replication(1, 1_500))
    await sure.open()

    async def look() -> None:
        assert await asyncio.gather(sure.load(SPREAD[5]), sure.load(near)) == [(first,), (second,)]
        assert await sure.load(SPREAD[5]) == (first,)

    await sure.load(SPREAD[5])  # which its first mark is beside
    moving.source.client.delete(f"sb:{{{partition_of(SPREAD[5])}}}:wait")  # its minute is over
    moving.begin()
    await look()
    moving.move()
    await look()
    moving.end()
    await look()
    await sure.close()


async def test_inputs_go_on_while_a_slot_moves_to_and_fro(history: RedisHistory, formed: Cluster) -> None:
    session = SPREAD[2]
    known: tuple[bytes, ...] = ()
    stop = False

    async def talk() -> None:
        nonlocal known
        while not stop:
            event = element()
            command = Append(session, len(known), known[-1][1:9] if known else b"", (event,))
            while True:
                try:
                    assert (await history.append(command)).status in {"ok", "again"}
                    break
                except StoreError:
                    await asyncio.sleep(0.02)
            known += (event,)

    talking = asyncio.create_task(talk())
    for _ in range(4):
        moving = Moving(formed, slot_of_session(session))
        for step in (moving.begin, moving.move, moving.end):
            await asyncio.to_thread(step)
        length = len(known)
        while len(known) < length + 3:
            assert not talking.done()
            await asyncio.sleep(0.005)
    stop = True
    await talking
    assert await history.load(session) == known[:500]


async def test_valkeys_own_migration_of_a_slot_disturbs_nobody(history: RedisHistory, formed: Cluster) -> None:
    session = SPREAD[4]
    moving = Moving(formed, slot_of_session(session))
    known: list[bytes] = []
    moved = False

    async def talk() -> None:
        while not moved or len(known) < 50:
            event = element()
            reply = await history.append(Append(session, len(known), known[-1][1:9] if known else b"", (event,)))
            assert reply.status == "ok"
            known.append(event)
            await asyncio.sleep(0.002)

    talking = asyncio.create_task(talk())
    moving.source.cluster("MIGRATESLOTS", "SLOTSRANGE", moving.slot, moving.slot, "NODE", moving.target.id)
    await asyncio.to_thread(wait_for, lambda: formed.primary_of(moving.slot) is moving.target, "the slot was not moved")
    moved = True
    await talking
    assert list(await history.load(session)) == known[:500]


async def test_a_planned_failover_costs_nothing(history: RedisHistory, formed: Cluster) -> None:
    """The former primary sends to its successor (MOVED), and those who ask it nothing new are not disturbed."""
    sessions = [session for session in SPREAD if formed.primaries()[0] is formed.primary_of(slot_of_session(session))][:20]
    known = dict(zip(sessions, [(element(),) for _ in sessions], strict=True))
    await asyncio.gather(*(history.append(Append(session, 0, b"", events)) for session, events in known.items()))
    replica = formed.replica_of(formed.primaries()[0])
    replica.cluster("FAILOVER")
    await asyncio.to_thread(formed.wait_for_successor, replica)

    replies = await asyncio.gather(*(write(history, session, events) for session, events in known.items()))
    assert {(reply.status, reply.length) for reply in replies} == {("ok", 2)}
    await asyncio.to_thread(formed.wait)


async def test_a_cluster_with_a_gap_is_told() -> None:
    node = Node(*free_ports(2))
    try:
        node.start()
        with pytest.raises(StoreError, match=r"no node of the cluster has slot 0: .*give every slot to a primary"):
            await opened(f"redis+cluster://127.0.0.1:{node.port}")
        node.cluster("ADDSLOTSRANGE", 0, 99)
        with pytest.raises(StoreError, match=r"no node of the cluster has slot 100: .*give every slot to a primary"):
            await opened(f"redis+cluster://127.0.0.1:{node.port}")
        node.cluster("ADDSLOTSRANGE", 100, 16_383)
        await asyncio.to_thread(wait_for, lambda: node.healthy, "the cluster of one does not serve")
        await opened(f"redis+cluster://127.0.0.1:{node.port}")
    finally:
        node.remove()


# Who is let in, and who is not


async def test_any_living_node_of_the_url_will_do(formed: Cluster, history: RedisHistory) -> None:
    replica = next(node for node in formed.nodes if not node.primary)
    for hosts in (f"127.0.0.1:{replica.port}", f"127.0.0.1:1,127.0.0.1:{formed.nodes[0].port}"):
        await opened(f"redis+cluster://{hosts}")
    with pytest.raises(StoreError, match="start it, or correct REDIS_URL"):
        await opened("redis+cluster://127.0.0.1:1")


async def test_a_cluster_url_to_a_single_server_is_refused() -> None:
    port = free_ports(1)[0]
    server = Valkey("--bind", "127.0.0.1", "--port", str(port))
    try:
        server.start()
        with pytest.raises(StoreError, match=r"it is no cluster: let REDIS_URL begin with redis:// \(with TLS, rediss://\)"):
            await opened(f"redis+cluster://127.0.0.1:{port}")
    finally:
        server.remove()


async def test_the_url_of_a_single_server_to_a_node_of_a_cluster_is_refused(formed: Cluster) -> None:
    for node in formed.primaries():
        with pytest.raises(StoreError, match=r"it is one node of a cluster: let REDIS_URL begin with redis\+cluster://"):
            await opened(f"redis://127.0.0.1:{node.port}")
    replica = next(node for node in formed.nodes if not node.primary)
    with pytest.raises(StoreError, match=r"read-only replica|node of a cluster"):
        await opened(f"redis://127.0.0.1:{replica.port}")


async def test_one_primary_that_drops_histories_when_it_is_full_is_enough_to_be_refused(formed: Cluster) -> None:
    node = formed.primaries()[1]
    node.client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(StoreError, match=rf":{node.port}: it drops histories .*allkeys-lru.*: set its maxmemory-policy to noeviction"):
            await opened(formed.url)
    finally:
        node.client.config_set("maxmemory-policy", "noeviction")


async def test_a_refusal_names_the_node(formed: Cluster, history: RedisHistory) -> None:
    node = formed.primary_of(slot_of_session(SPREAD[0]))
    node.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreError, match=rf"127\.0\.0\.1:{node.port}: it refused \(OOM .*\): its memory is full: raise its maxmemory"):
            await write(history, SPREAD[0])
    finally:
        node.client.config_set("maxmemory", 0)


async def test_another_format_is_refused(formed: Cluster, history: RedisHistory) -> None:
    keeper = formed.primary_of(slot_of(META))
    keeper.client.hset("sb:meta", "partitions", 64)
    with pytest.raises(FormatError, match="1 and 64, this version writes 1 and 256"):
        await opened(formed.url)
    keeper.client.delete("sb:meta")


async def test_a_wrong_password_is_told_and_not_repeated(formed: Cluster) -> None:
    for node in formed.nodes:
        node.client.acl_setuser("ann", enabled=True, reset=True, passwords=["+right"], keys=["sb:*"], commands=["+@all"])
    with pytest.raises(StoreError, match=r"WRONGPASS.*correct the user or the password in REDIS_URL") as error:
        await opened(formed.url.replace("//", "//ann:mistaken@"))
    assert "mistaken" not in str(error.value)
    await opened(formed.url.replace("//", "//ann:right@"))


async def test_after_closing_every_call_fails(formed: Cluster) -> None:
    history = RedisHistory(formed.url, "a.1")
    await history.open()
    waiting = asyncio.ensure_future(write(history, SPREAD[0]))
    await asyncio.sleep(0)
    await history.close()
    for call in (waiting, history.load(SPREAD[0])):
        with pytest.raises(StoreError, match="this end closed the connection"):
            await call


# The clock


def test_the_clock_of_a_cluster_is_the_one_most_behind_and_does_not_jump() -> None:
    mine = 50_000.0
    offsets = {b"a": 7_000_000, b"b": 7_000_400, b"c": 6_999_800}
    live = {"a", "b", "c"}
    clock = ClusterClock(lambda key: key.decode(), lambda: live)
    clock._monotonic = lambda: mine / 1000
    shown = [0]
    for round_ in range(200):
        key = b"abc"[round_ % 3 : round_ % 3 + 1]
        asked = mine
        mine += 2
        clock.tell(int(mine + offsets[key]), asked / 1000, mine / 1000, key)
        if round_ > 2:
            shown.append(clock.now())
    assert all(earlier <= later for earlier, later in pairwise(shown))
    assert -5 <= mine + offsets[b"c"] - clock.now() <= 5

    live = {"a", "b", "d"}  # c has a successor
    clock.tell(int(mine + 7_000_100), mine / 1000, mine / 1000, b"d")
    assert -5 <= mine + offsets[b"a"] - clock.now() <= 5
