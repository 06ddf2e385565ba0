"""Primaries of a real cluster that are killed under load: what was acknowledged is on record once, and service is back with the cluster."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.cluster import Cluster, Node, cluster, wait_for
from support.crowds import Crowd, StoreNode

from handlers.history import partition_of
from handlers.redis_cluster import slot_of
from handlers.redis_wire import Replication

ONE = Replication(1, 500)
KILLS = 30
BACK = 1.0
"""Seconds after the cluster's own recovery within which service is to be back."""


@asynccontextmanager
async def crowd(formed: Cluster, name: str, callers: int, replication: Replication | None) -> AsyncIterator[Crowd]:
    """Callers at two nodes, who go on until the end; then what is on record is held against what was acknowledged."""
    nodes = [StoreNode(formed.url, f"{name}-{each}.1", replication) for each in "ab"]
    for node in nodes:
        await node.start()
    crowd = Crowd(nodes, [f"web:{name}-{i}" for i in range(callers)])
    talk = asyncio.create_task(crowd.run())
    try:
        await crowd.talked(crowd.sessions, 0.0, 3)
        yield crowd
        await crowd.talked(crowd.sessions, time.monotonic())
        crowd.stopped = True
        await asyncio.wait_for(talk, 60)
        record = await crowd.on_record()
        assert all(count == 1 for ids in record.values() for count in ids.values()), "an input is on record twice"
        crowd.lost += [(session, id_) for session, ids in crowd.acknowledged.items() for id_ in ids if id_ not in record[session]]
    finally:
        talk.cancel()
        for node in nodes:
            await node.stop()


async def kill(formed: Cluster, victim: Node, plain: Crowd, *, frozen: bool = False) -> tuple[float, float]:
    """Kill a primary, or stop it in the middle of whatever it does.

    Gives how long after the cluster's recovery the last of those who talked to it had an answer again, seconds, and for how much of that
    this process, with its callers and its servers, stood still for want of a processor.
    """
    heir = await asyncio.to_thread(formed.replica_of, victim)
    shares = await asyncio.to_thread(formed.shares_of, victim)
    served = [session for session in plain.sessions if any(first <= slot_of_session(session) <= last for first, last in shares)]
    if frozen:
        victim.freeze()
    else:
        victim.kill()
    killed = time.monotonic()
    stalls: list[tuple[float, float]] = []
    watch = asyncio.create_task(note_stalls(stalls))
    recovered = await asyncio.to_thread(formed.wait_for_successor, heir)
    await plain.talked(served, killed)
    watch.cancel()
    last = max(min(at for at in plain.moments[session] if at > killed) for session in served)
    return last - recovered, sum(late for at, late in stalls if recovered < at <= last)


async def note_stalls(stalls: list[tuple[float, float]]) -> None:
    """Note when the loop was late, and by how much."""
    while True:
        due = time.monotonic() + 0.02
        await asyncio.sleep(0.02)
        stalls.append((time.monotonic(), time.monotonic() - due))


def slot_of_session(session: str) -> int:
    return slot_of(b"{%d}" % partition_of(session))


async def bring_back(formed: Cluster, victim: Node, *, frozen: bool = False) -> None:
    """It comes back, and follows its successor."""
    await asyncio.to_thread(victim.thaw if frozen else victim.start)
    await asyncio.to_thread(wait_for, lambda: not victim.primary, "it does not follow its successor")
    await asyncio.to_thread(formed.wait)


async def test_when_a_primary_is_killed_or_hangs_what_replicas_have_confirmed_is_on_record_once_and_service_comes_back() -> None:
    with cluster(node_timeout=500) as formed:
        async with crowd(formed, "plain", 12, None) as plain, crowd(formed, "sure", 12, ONE) as sure:
            for victim, frozen in ((formed.nodes[1], False), (formed.nodes[0], True)):
                await kill(formed, victim, plain, frozen=frozen)
                await bring_back(formed, victim, frozen=frozen)
            assert plain.refused
            assert sure.refused
    assert (sure.lost, sure.strange) == ([], [])


@pytest.mark.proof
async def test_thirty_killed_primaries_cost_nothing_that_replicas_have_confirmed_and_service_is_back_within_a_second() -> None:
    took: list[tuple[float, float]] = []
    with cluster(node_timeout=1_000) as formed:
        async with crowd(formed, "plain", 30, None) as plain, crowd(formed, "sure", 30, ONE) as sure:
            for turn in range(KILLS):
                frozen = turn % 3 == 2
                victim = random.choice(await asyncio.to_thread(formed.primaries))
                took.append(await kill(formed, victim, plain, frozen=frozen))
                await bring_back(formed, victim, frozen=frozen)
                await sure.talked(sure.sessions, time.monotonic())
    served = sorted(seconds - stalled for seconds, stalled in took)
    count = sum(map(len, sure.acknowledged.values()))
    print(  # noqa: T201 - the figures
        f"{KILLS} primaries killed or stopped; service was back {served[-1]:.3f} s after the cluster at most, {served[KILLS // 2]:.3f} s in the "
        f"middle ({max(took)[0]:.3f} s at most by the clock, of which {max(took)[1]:.3f} s stood still); "
        f"{count} confirmed inputs, {len(sure.lost)} lost, {sum(sure.refused.values())} refused and sent again; "
        f"without WAIT {sum(map(len, plain.acknowledged.values()))} acknowledged, {len(plain.lost)} lost"
    )
    assert (sure.lost, sure.strange) == ([], [])
    assert served[-1] < BACK, took
