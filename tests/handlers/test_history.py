"""What the port promises, of both its twins: given a stored history, when a node calls, then this is stored and answered."""

import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest
import redis
from support.stores import InMemory, InRedis, Store

from handlers.history import (
    APART_MS,
    LEASE_MS,
    PAGE,
    PARTITIONS,
    Alarm,
    Append,
    History,
    Indexes,
    Overdue,
    Renewal,
    Reply,
    Restart,
    partition_of,
)

S = "web:abc"
P = partition_of(S)
Nodes = Callable[[str], Coroutine[Any, Any, History]]


def element(body: bytes = b"") -> bytes:
    return b"\x01" + random.randbytes(8) + body


def elements(count: int) -> tuple[bytes, ...]:
    return tuple(element() for _ in range(count))


def tail(history: tuple[bytes, ...]) -> bytes:
    return history[-1][1:9] if history else b""


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "memory":
        return InMemory()
    client: redis.Redis = request.getfixturevalue("valkey")
    return InRedis(client, request.getfixturevalue("valkey_url"))


@pytest.fixture
async def node(store: Store) -> AsyncIterator[Nodes]:
    """Opens the store as another node: `await node("b.1")`."""
    async with AsyncExitStack() as stack:

        async def opened(boot: str) -> History:
            history = store.node(boot)
            stack.push_async_callback(history.close)
            await history.open()
            return history

        yield opened


@pytest.fixture
async def a(node: Nodes) -> History:
    return await node("a.1")


@pytest.fixture
async def b(node: Nodes) -> History:
    return await node("b.1")


async def test_events_are_appended_in_their_order_and_read_back_to_the_byte(a: History, store: Store) -> None:
    first, second = (element(bytes(range(256))), element(b"\r\n$3\r\n")), (element(),)

    assert await a.append(Append(S, 0, b"", first)) == Reply("ok", 2, None, mine=False, attempts=0)
    assert await a.append(Append(S, 2, tail(first), second)) == Reply("ok", 3, None, mine=False, attempts=0)

    assert await a.load(S) == first + second
    assert await a.load(S, 2) == second
    assert await a.load(S, 3) == ()
    assert store.state()["histories"] == {S: ([*first, *second], None)}


async def test_a_turn_that_leaves_nothing_outstanding_is_in_no_index(a: History, store: Store) -> None:
    await a.append(Append(S, 0, b"", elements(1)))

    assert {kind: entries for kind, entries in store.state().items() if entries and kind != "histories"} == {}


@pytest.mark.parametrize("stale", ["too short", "too long", "right length, other tail", "right tail, other length", "empty"])
async def test_a_stale_view_writes_nothing_and_gets_the_slice_from_its_own_last_event(
    a: History, b: History, store: Store, stale: str
) -> None:
    stored = elements(3)
    await a.append(Append(S, 0, b"", stored))
    before = store.state()
    view = {
        "too short": (2, tail(stored[:2])),
        "too long": (4, b"8 bytes."),
        "right length, other tail": (3, b"8 bytes."),
        "right tail, other length": (2, tail(stored)),
        "empty": (0, b""),
    }[stale]

    reply = await b.append(Append(S, *view, elements(1), release=False, alarms_set=(Alarm(1, "0", 5),), keep_until=store.now + 9))

    assert reply == Reply("conflict", 3, None, mine=False, attempts=0, elements=stored[max(view[0] - 1, 0) :])
    assert store.state() == before


async def test_a_conflict_shows_at_most_one_page_and_the_event_before_it(a: History) -> None:
    stored = elements(PAGE + 20)
    await a.append(Append(S, 0, b"", stored))

    from_start = await a.append(Append(S, 0, b"", elements(1)))
    from_ten = await a.append(Append(S, 10, b"8 bytes.", elements(1)))

    assert from_start.elements == stored[: PAGE + 1]
    assert from_ten.elements == stored[9 : 9 + PAGE + 1]


async def test_a_long_history_is_read_in_pages(a: History) -> None:
    stored = elements(PAGE + 1)
    await a.append(Append(S, 0, b"", stored))

    assert await a.load(S) == stored[:PAGE]
    assert await a.load(S, PAGE) == stored[PAGE:]


async def test_the_very_same_bytes_sent_again_are_recognised_and_written_once(a: History, store: Store) -> None:
    command = Append(S, 0, b"", elements(2), release=False, alarms_set=(Alarm(7, "1", 99),))
    assert (await a.append(command)).status == "ok"
    before = store.state()

    assert await a.append(command) == Reply("again", 2, "a.1", mine=True, attempts=0)
    assert store.state() == before


async def test_other_bytes_for_the_same_place_are_a_conflict(a: History) -> None:
    await a.append(Append(S, 0, b"", elements(2)))

    assert (await a.append(Append(S, 0, b"", elements(2)))).status == "conflict"


async def test_bytes_that_are_the_tail_but_were_sent_for_another_place_are_a_conflict(a: History) -> None:
    stored = elements(3)
    await a.append(Append(S, 0, b"", stored))

    assert (await a.append(Append(S, 1, tail(stored[:1]), stored[2:]))).status == "conflict"
    assert (await a.restart(Restart(S, 1, tail(stored[:1]), stored[1:], 5))).status == "conflict"


async def test_a_batch_longer_than_luas_stack_is_stored_whole(a: History, store: Store) -> None:
    stored = elements(9_000)
    alarms = tuple(Alarm(1, str(i), i) for i in range(9_000))

    await a.append(Append(S, 0, b"", stored, alarms_set=alarms))
    assert len(store.state()["due"]) == 9_000
    reply = await a.append(Append(S, 9_000, tail(stored), alarms_cleared=tuple((1, str(i)) for i in range(8_999))))

    assert reply.length == 9_000
    assert store.state()["histories"] == {S: (list(stored), None)}
    assert store.state()["due"] == {f"{S} 1/8999": 8_999}


async def test_two_sessions_with_odd_names_do_not_meet(a: History) -> None:
    names = ("phone:CA1", "phone:CA1 1/0", "a:h:b", "x/1", "{7}", "ключ", "with space", "")
    histories = {name: elements(1) for name in names}
    for name, history in histories.items():
        await a.append(Append(name, 0, b"", history, release=False, alarms_set=(Alarm(3, "0.1", 5),)))

    assert {name: await a.load(name) for name in names} == histories
    overdue = [await a.peek(partition, 10, 10**13) for partition in {partition_of(name) for name in names}]
    assert sorted(session for found in overdue for session, _ in found.due) == sorted(names)
    assert {alarm for found in overdue for _, alarm in found.due} == {Alarm(3, "0.1", 5)}


# The lease


async def test_outstanding_work_takes_the_lease_and_its_end_gives_it_back(a: History, store: Store) -> None:
    first, second = elements(1), elements(1)

    taken = await a.append(Append(S, 0, b"", first, release=False))
    assert taken == Reply("ok", 1, "a.1", mine=True, attempts=0)
    assert store.state()["pending"] == {S: store.now + LEASE_MS}

    given = await a.append(Append(S, 1, tail(first), second))
    assert given == Reply("ok", 2, None, mine=False, attempts=0)
    assert store.state()["pending"] == store.state()["owner"] == {}


async def test_a_claim_without_events_takes_a_free_lease(a: History, store: Store) -> None:
    stored = elements(1)
    await a.append(Append(S, 0, b"", stored))

    assert await a.append(Append(S, 1, tail(stored), release=False)) == Reply("ok", 1, "a.1", mine=True, attempts=0)
    assert store.state()["owner"] == {S: "a.1 0"}


async def test_another_node_may_append_but_not_touch_a_living_lease(a: History, b: History, store: Store) -> None:
    first, second = elements(1), elements(1)
    await a.append(Append(S, 0, b"", first, release=False))
    before = store.state()
    store.wait(LEASE_MS)

    for release in (False, True):
        assert await b.append(Append(S, 1, tail(first), release=release)) == Reply("ok", 1, "a.1", mine=False, attempts=0)
    assert await b.append(Append(S, 1, tail(first), second)) == Reply("ok", 2, "a.1", mine=False, attempts=0)

    after = store.state()
    assert (after["pending"], after["owner"]) == (before["pending"], before["owner"])
    assert after["histories"][S][0] == [*first, *second]


async def test_an_expired_lease_is_taken_over_and_counted_until_there_is_progress(a: History, b: History, store: Store) -> None:
    first, second = elements(1), elements(1)
    await a.append(Append(S, 0, b"", first, release=False))

    claim = Append(S, 1, tail(first), release=False)
    store.wait(LEASE_MS + 1)
    assert await b.append(claim) == Reply("ok", 1, "b.1", mine=True, attempts=1)
    assert await b.append(claim) == Reply("ok", 1, "b.1", mine=True, attempts=1)
    store.wait(LEASE_MS + 1)
    assert await a.append(claim) == Reply("ok", 1, "a.1", mine=True, attempts=2)
    assert await a.append(Append(S, 1, tail(first), second, release=False)) == Reply("ok", 2, "a.1", mine=True, attempts=2)
    claim = Append(S, 2, tail(second), elements(1), release=False, progress=True)
    assert await a.append(claim) == Reply("ok", 3, "a.1", mine=True, attempts=0)
    store.wait(LEASE_MS + 1)
    assert await b.append(Append(S, 3, tail(claim.events))) == Reply("ok", 3, None, mine=False, attempts=0)


async def test_a_new_start_of_a_node_is_another_owner(a: History, node: Nodes) -> None:
    stored = elements(1)
    await a.append(Append(S, 0, b"", stored, release=False))

    restarted = await node("a.2")

    assert await restarted.append(Append(S, 1, tail(stored), release=False)) == Reply("ok", 1, "a.1", mine=False, attempts=0)


async def test_renewing_keeps_the_lease_and_shows_what_came_meanwhile(a: History, b: History, store: Store) -> None:
    first, second = elements(1), elements(1)
    await a.append(Append(S, 0, b"", first, release=False))
    store.wait(LEASE_MS // 3)
    assert await a.renew(S) == Renewal(mine=True, length=1, tail=tail(first))
    assert store.state()["pending"] == {S: store.now + LEASE_MS}

    await b.append(Append(S, 1, tail(first), second))
    assert await a.renew(S) == Renewal(mine=True, length=2, tail=tail(second))


async def test_a_lease_that_is_not_ours_is_not_renewed(a: History, b: History, store: Store) -> None:
    assert await b.renew(S) == Renewal(mine=False, length=0, tail=b"")
    assert store.state()["pending"] == {}
    stored = elements(1)
    await a.append(Append(S, 0, b"", stored, release=False))
    before = store.state()
    store.wait(1)

    assert await b.renew(S) == Renewal(mine=False, length=1, tail=tail(stored))
    assert store.state() == before


# Expiry


async def test_a_history_lives_as_long_as_the_last_append_said(a: History, store: Store) -> None:
    stored = elements(2)
    await a.append(Append(S, 0, b"", stored[:1], keep_until=store.now + 1_000))
    await a.append(Append(S, 1, tail(stored[:1]), stored[1:], keep_until=store.now + 60_000))
    store.wait(59_000)
    assert await a.load(S) == stored
    store.wait(2_000)
    assert await a.load(S) == ()
    assert await a.sessions(10) == ()
    assert (await a.append(Append(S, 2, tail(stored), elements(1)))).status == "conflict"


async def test_an_append_that_names_no_time_keeps_the_history_for_good(a: History, store: Store) -> None:
    stored = elements(1)
    await a.append(Append(S, 0, b"", stored, keep_until=store.now + 1_000))
    await a.append(Append(S, 1, tail(stored), release=False))
    store.wait(10**9)

    assert await a.load(S) == stored


async def test_a_time_that_has_come_already_ends_the_history_at_once(a: History, store: Store) -> None:
    assert (await a.append(Append(S, 0, b"", elements(1), keep_until=store.now))).length == 1

    assert store.state()["histories"] == {}


# Alarms and the sweep


async def test_alarms_are_set_moved_and_cleared_with_the_events_that_want_them(a: History, store: Store) -> None:
    stored = elements(3)
    await a.append(Append(S, 0, b"", stored[:1], alarms_set=(Alarm(5, "1", 100), Alarm(5, "2", 200))))
    assert store.state()["due"] == {f"{S} 5/1": 100, f"{S} 5/2": 200}

    moved = Append(
        S, 1, tail(stored[:1]), stored[1:2], alarms_set=(Alarm(5, "2", 300),), alarms_cleared=((5, "1"), (5, "2"), (5, "unknown"))
    )
    await a.append(moved)

    assert store.state()["due"] == {f"{S} 5/2": 300}


async def test_due_alarms_are_handed_out_in_due_order_and_the_rest_is_left(a: History, store: Store) -> None:
    alarms = tuple(Alarm(5, str(i), store.now + at) for i, at in enumerate((900, 100, 2_000, -50, 100, 1_001)))
    await a.append(Append(S, 0, b"", elements(1), alarms_set=alarms))

    found = await a.peek(P, 10, 1_000)

    assert found == Overdue(due=tuple((S, alarms[i]) for i in (3, 1, 4, 0)))
    assert store.state()["due"] == {
        f"{S} 5/{i}": max(alarms[i].at, store.now) + 2_000.5 if i in {0, 1, 3, 4} else alarms[i].at for i in range(6)
    }


async def test_an_alarm_that_is_handed_out_is_not_seen_again_before_its_finder_had_its_time(a: History, b: History, store: Store) -> None:
    await a.append(Append(S, 0, b"", elements(1), alarms_set=(Alarm(5, "1", store.now + 900),)))
    assert len((await a.peek(P, 10, 1_000)).due) == 1

    assert (await a.peek(P, 10, 1_000)).due == ()
    store.wait(1_900)
    assert (await a.peek(P, 10, 1_000)).due == ()


async def test_an_alarm_whose_finder_died_is_found_again_and_is_due_at_once(a: History, b: History, store: Store) -> None:
    await a.append(Append(S, 0, b"", elements(1), alarms_set=(Alarm(5, "1", store.now + 900),)))
    await a.peek(P, 10, 1_000)
    store.wait(LEASE_MS + 1)

    assert (await b.peek(P, 10, 1_000)).due == ((S, Alarm(5, "1", store.now)),)


async def test_setting_an_alarm_again_gives_it_its_true_time_back(a: History, store: Store) -> None:
    stored = elements(1)
    alarm = Alarm(5, "1", store.now + 900)
    await a.append(Append(S, 0, b"", stored, alarms_set=(alarm,)))
    await a.peek(P, 10, 1_000)

    await a.append(Append(S, 1, tail(stored), alarms_set=(alarm,)))

    assert (await a.peek(P, 10, 1_000)).due == ((S, alarm),)


async def test_sessions_whose_lease_ran_out_become_ours_oldest_first(a: History, b: History, store: Store) -> None:
    names = [name for name in (f"web:{i}" for i in range(5_000)) if partition_of(name) == P][:4]
    for name in names:
        await a.append(Append(name, 0, b"", elements(1), release=False))
        store.wait(100)
    store.wait(LEASE_MS - 200)  # the lease of the last one but one lasts until now

    assert await b.peek(P, 1, 0) == Overdue(pending=((names[0], 1),))
    assert await b.peek(P, 10, 0) == Overdue(pending=((names[1], 1),))
    assert await b.peek(P, 10, 0) == Overdue()
    state = store.state()
    assert state["owner"] == {names[0]: "b.1 1", names[1]: "b.1 1", names[2]: "a.1 0", names[3]: "a.1 0"}
    assert state["pending"][names[0]] == store.now + LEASE_MS


async def test_every_take_over_counts_but_renewing_an_own_lease_is_none(a: History, b: History, store: Store) -> None:
    await a.append(Append(S, 0, b"", elements(1), release=False))
    for node, attempts in ((a, 0), (b, 1), (b, 1), (a, 2)):
        store.wait(LEASE_MS + 1)
        assert await node.peek(P, 10, 0) == Overdue(pending=((S, attempts),))


async def test_who_is_named_as_the_owner_in_any_reply_holds_the_lease_from_then_on(a: History, b: History, store: Store) -> None:
    first = elements(1)
    command = Append(S, 0, b"", first, release=False)
    await a.append(command)
    for late in (command, Append(S, 0, b"", elements(1), release=False)):
        store.wait(LEASE_MS - 1)
        assert (await a.append(late)).mine
    store.wait(LEASE_MS - 1)
    assert await b.peek(P, 10, 0) == Overdue()


async def test_outstanding_work_that_the_index_names_no_owner_of_is_taken_over_when_its_time_is_up(a: History, store: Store) -> None:
    await a.append(Append(S, 0, b"", elements(1), release=False))
    store.lose_owner(S)
    assert await a.peek(P, 10, 0) == Overdue()
    store.wait(LEASE_MS + 1)

    assert await a.peek(P, 10, 0) == Overdue(pending=((S, 1),))
    assert store.state()["owner"] == {S: "a.1 1"}


async def test_one_node_sweeps_a_partition_as_long_as_it_goes_on(a: History, b: History, store: Store) -> None:
    await a.peek(P, 10, 0)
    await a.append(Append(S, 0, b"", elements(1), alarms_set=(Alarm(5, "1", store.now),)))
    store.wait(LEASE_MS - 1_000)
    before = store.state()
    assert (await b.peek(P, 10, 0)).swept_by_other
    assert store.state() == before
    assert await b.peek((P + 1) % 256, 10, 0) == Overdue()

    assert len((await a.peek(P, 10, 0)).due) == 1
    store.wait(LEASE_MS - 1_000)
    assert (await b.peek(P, 10, 0)).swept_by_other
    store.wait(1_001)
    assert not (await b.peek(P, 10, 0)).swept_by_other


async def test_those_who_are_refused_the_claim_ask_again_in_turn_and_not_before_it_may_be_free(a: History, store: Store) -> None:
    await a.peek(0, 10, 0, count=PARTITIONS)
    others = [store.node(f"b.{number}") for number in range(40)]

    waits = [(await other.peek(0, 10, 0, count=PARTITIONS)).ask_again for other in others]

    assert waits[:3] == [LEASE_MS + 1] * 3
    assert waits[20:] == [APART_MS * number for number in range(21, 41)]
    store.wait(1_000)
    assert (await others[0].peek(0, 10, 0)).ask_again == 41 * APART_MS - 1_000
    assert not (await a.peek(0, 10, 0)).swept_by_other
    assert (await others[1].peek(0, 10, 0)).ask_again == 42 * APART_MS - 1_000, "that it is renewed changes nobody's turn"
    for other in others:
        await other.close()


async def test_a_claim_that_was_written_before_the_clock_was_set_back_keeps_nobody_waiting(a: History, b: History, store: Store) -> None:
    hour = 3_600_000
    assert await a.peek(P, 10, 0) == Overdue()
    assert (await b.peek(P, 10, 0)).swept_by_other
    store.wait(-hour)
    assert await a.peek(P, 10, 0) == Overdue()
    assert 0 < (await b.peek(P, 10, 0)).ask_again <= LEASE_MS + 1, "the turn is counted anew"
    store.wait(-hour)
    assert await b.peek(P, 10, 0) == Overdue(), "and who died holding it holds nothing"
    assert (await a.peek(P, 10, 0)).swept_by_other


async def test_whoever_holds_the_first_partition_s_claim_sweeps_all_of_them_whoever_swept_before(
    a: History, b: History, store: Store
) -> None:
    names = [f"web:{number}" for number in range(40)]
    assert len({partition_of(name) for name in names}) > 30
    for name in names:
        await a.append(Append(name, 0, b"", elements(1), release=False, alarms_set=(Alarm(5, "1", store.now + LEASE_MS),)))
        await a.peek(partition_of(name), 10, 0)
    store.wait(LEASE_MS - 1)
    await a.peek(P, 10, 0)
    store.wait(2)

    found = await b.peek(0, 10, 0, count=PARTITIONS // 2)
    rest = await b.peek(PARTITIONS // 2, 10, 0, count=PARTITIONS // 2, claimed=True)

    assert sorted(found.pending + rest.pending) == sorted((name, 1) for name in names)
    assert sorted(name for name, _ in found.due + rest.due) == sorted(names)
    assert {partition_of(name) for name, _ in found.pending} <= set(range(PARTITIONS // 2))


# Restart


async def test_a_restart_replaces_the_history_its_alarms_and_its_lease_in_one_step(a: History, store: Store) -> None:
    old, new = elements(3), elements(2)
    await a.append(Append(S, 0, b"", old, release=False, alarms_set=(Alarm(5, "1", 100),), keep_until=store.now + 9_000))

    reply = await a.restart(Restart(S, 3, tail(old), new, 5, alarms_set=(Alarm(6, "1", 200),), alarms_cleared=((5, "1"),)))

    assert reply == Reply("ok", 2, None, mine=False, attempts=0)
    assert store.state() == {
        "histories": {S: (list(new), None)},
        "old": {},
        "pending": {},
        "owner": {},
        "due": {f"{S} 6/1": 200},
        "sweep": {},
    }


async def test_a_failed_generation_can_be_kept_aside(a: History, store: Store) -> None:
    old, new = elements(3), elements(1)
    await a.append(Append(S, 0, b"", old, keep_until=store.now + 9_000))

    await a.restart(Restart(S, 3, tail(old), new, 5, keep_until=store.now + 100_000, keep_old_until=store.now + 50_000))

    state = store.state()
    assert state["old"] == {f"{S}/5": (list(old), store.now + 50_000)}
    assert state["histories"] == {S: (list(new), store.now + 100_000)}
    store.wait(50_001)
    assert store.state()["old"] == {}


@pytest.mark.parametrize("count", [1, 3])
async def test_a_restart_sent_again_is_recognised_and_done_once(a: History, store: Store, count: int) -> None:
    old, new = elements(3), elements(count)
    await a.append(Append(S, 0, b"", old))
    command = Restart(S, 3, tail(old), new, 5, release=False, keep_old_until=store.now + 50_000)
    assert (await a.restart(command)).status == "ok"
    before = store.state()

    assert await a.restart(command) == Reply("again", count, "a.1", mine=True, attempts=0)
    assert store.state() == before


async def test_a_restart_from_a_stale_view_is_a_conflict(a: History, store: Store) -> None:
    old = elements(3)
    await a.append(Append(S, 0, b"", old))
    before = store.state()

    reply = await a.restart(Restart(S, 2, tail(old[:2]), elements(1), 5, keep_old_until=store.now + 50_000))

    assert reply == Reply("conflict", 3, None, mine=False, attempts=0, elements=old[1:])
    assert store.state() == before


# Forgetting and finding


async def test_forgetting_drops_the_history_and_its_lease_and_leaves_its_alarms_to_the_sweeper(a: History, store: Store) -> None:
    await a.append(Append(S, 0, b"", elements(2), release=False, alarms_set=(Alarm(5, "1", 100),)))

    assert await a.forget(S) is True
    assert await a.forget(S) is False

    state = store.state()
    assert state["histories"] == state["pending"] == state["owner"] == {}
    assert state["due"] == {f"{S} 5/1": 100}


async def test_a_due_entry_is_dropped_only_without_a_history(a: History, store: Store) -> None:
    await a.append(Append(S, 0, b"", elements(1), alarms_set=(Alarm(5, "1", 100), Alarm(5, "2", 100))))
    assert await a.clear_due(S, 5, "1") is False
    assert len(store.state()["due"]) == 2

    await a.forget(S)
    assert await a.clear_due(S, 5, "1") is True
    assert await a.clear_due(S, 5, "1") is True
    assert store.state()["due"] == {f"{S} 5/2": 100}


async def test_sessions_are_listed_up_to_a_limit_without_generations_kept_aside(a: History, store: Store) -> None:
    names = [f"web:{i}" for i in range(30)] + ["{a}:h:b"]
    for name in names:
        old = elements(1)
        await a.append(Append(name, 0, b"", old))
        await a.restart(Restart(name, 1, tail(old), elements(1), 5, keep_old_until=store.now + 50_000))

    assert sorted(await a.sessions(1_000)) == sorted(names)
    some = await a.sessions(7)
    assert len(set(some)) == 7
    assert set(some) <= set(names)


async def test_the_indexes_are_seen_as_they_are_and_looking_changes_nothing(a: History, b: History, store: Store) -> None:
    assert await a.indexes(P) == Indexes({}, {}, ())
    alarms = (Alarm(5, "1.0", store.now + 9_000), Alarm(5, "2", store.now + 100))
    first = elements(1)
    await a.append(Append(S, 0, b"", first, release=False, alarms_set=alarms))
    store.wait(LEASE_MS + 1)
    await b.append(Append(S, 1, tail(first), release=False))
    before = store.state()

    assert await a.indexes(P) == Indexes({S: store.now + LEASE_MS}, {S: ("b.1", 1)}, ((S, alarms[1]), (S, alarms[0])))
    assert await a.indexes((P + 1) % 256) == Indexes({}, {}, ())
    assert store.state() == before


async def test_an_alarm_that_was_handed_out_is_seen_with_the_whole_part_of_its_score(a: History, store: Store) -> None:
    await a.append(Append(S, 0, b"", elements(1), alarms_set=(Alarm(5, "1", store.now),)))
    await a.peek(P, 10, 1_000)

    assert (await a.indexes(P)).due == ((S, Alarm(5, "1", store.now + 2_000)),)


async def test_it_can_be_asked_when_a_history_expires(a: History, store: Store) -> None:
    assert await a.expires_in(S) is None
    await a.append(Append(S, 0, b"", elements(1)))
    assert await a.expires_in(S) is None
    await a.append(Append("web:2", 0, b"", elements(1), keep_until=store.now + 60_000))
    left = await a.expires_in("web:2")
    assert left is not None
    assert left > 0


async def test_what_is_handed_over_is_taken_at_the_next_sweep_of_another_node_without_waiting_for_lease_or_claim(
    a: History, b: History, store: Store
) -> None:
    first = elements(1)
    await a.append(Append(S, 0, b"", first, release=False))
    assert await a.peek(0, 10, 0, count=PARTITIONS) == Overdue()
    assert (await b.peek(0, 10, 0, count=PARTITIONS)).swept_by_other

    await a.hand_over([S])
    store.wait(2)

    assert await b.peek(0, 10, 0, count=PARTITIONS) == Overdue(pending=((S, 1),))
    assert (await a.renew(S)).mine is False


async def test_orderly_stops_count_as_one_take_over_however_many(a: History, b: History, store: Store) -> None:
    first, second = elements(2)
    await a.append(Append(S, 0, b"", (first,), release=False))
    for node, heir in ((a, b), (b, a), (a, b), (b, a)):
        await node.hand_over([S])
        store.wait(1)
        assert (await heir.peek(P, 10, 0, claimed=True)).pending == ((S, 1),)
    await a.hand_over([S])
    store.wait(1)
    assert (await b.append(Append(S, 1, first[1:9], (second,), release=False))).attempts == 1

    store.wait(LEASE_MS + 1)
    assert (await a.peek(P, 10, 0, claimed=True)).pending == ((S, 2),), "but who let the lease run out may have died of it"


async def test_what_is_anothers_cannot_be_handed_over(a: History, b: History, store: Store) -> None:
    await a.append(Append(S, 0, b"", elements(1), release=False))
    await a.peek(0, 10, 0, count=PARTITIONS)
    before = store.state()

    await b.hand_over([S])
    store.wait(2)

    assert store.state() == before
    assert (await b.peek(0, 10, 0, count=PARTITIONS)).swept_by_other
