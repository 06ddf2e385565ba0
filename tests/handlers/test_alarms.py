"""Alarms: fired once, in due order, by whoever is there; and an index that follows the history."""

import logging

import pytest
from support.house import SESSION, Town, texts
from support.workflows import ALL, buggy, clocks, echo, impatient, mended, sleeper

from handlers.alarms import AHEAD_MS
from handlers.due import FAILED_MS
from handlers.history import Alarm, partition_of
from workflows.events import Fired


def index(town, session=SESSION):
    return town.store.partitions[partition_of(session)].due


def fired(town):
    return [event for event in town.events() if isinstance(event, Fired)]


@pytest.fixture
def still_town(outside):
    """Nobody sweeps but on request."""
    town = Town(ALL, outside.bodies, sweeps=False)
    yield town
    town.close()


# -- on time ---------------------------------------------------------------------------------------------------------------------------


def test_a_near_alarm_fires_on_time_without_a_sweep(still_town):
    town = still_town
    a = town.node("a.1")
    a.open(sleeper, args={"seconds": 3.0})
    a.say("1", "one")
    town.wait(2.99)
    assert fired(town) == []
    town.wait(0.02)
    assert len(fired(town)) == 1
    assert town.due == {}


def test_a_far_alarm_costs_its_node_no_timer_and_fires_on_time_all_the_same(town, a):
    a.open(sleeper, args={"seconds": 86_400.0})
    a.say("1", "one")
    town.wait(3600)
    assert a.live == 0
    assert len(a.house.alarms) == 0
    town.wait(86_400 - 3600 - 0.01)
    assert fired(town) == []
    town.wait(0.02)
    assert len(fired(town)) == 1
    assert a.house.counters["lateness_ms"] <= 20


def test_alarms_fire_in_due_order_however_they_were_set(town, a):
    a.open(clocks, args={"seconds": [3, 1, 2]})
    town.wait(5)
    assert texts(a.collect("open")) == ["Yes?", "1 s", "2 s", "3 s", "And?"]


def test_alarms_that_are_all_overdue_fire_in_due_order(still_town):
    town = still_town
    a = town.node("a.1")
    a.open(clocks, args={"seconds": [3, 1, 2, 1]})
    a.kill()
    town.wait(60)
    b = town.node("b.1")
    due = dict(sorted(index(town).items(), key=lambda entry: -entry[1]))
    index(town).clear()
    index(town).update(due)
    b.sweep()
    town.wait(1)
    assert texts(b.collect("open")) == ["Yes?", "1 s", "1 s", "2 s", "3 s", "And?"]
    assert town.due == {}


def test_an_alarm_is_fired_once_by_two_nodes_that_know_of_it(town, a, b):
    a.open(sleeper, args={"seconds": 5.0})
    a.say("1", "one")
    b.say("2", "two")  # which sets a timer there, too
    town.wait(6)
    assert len(fired(town)) == 1
    town.wait(6)
    assert len(fired(town)) == 2
    assert town.due == {}


def test_the_alarm_of_a_dead_node_is_fired_by_another(town, a, b):
    a.open(sleeper)
    a.say("1", "one")
    a.kill()
    town.wait(61)
    assert len(fired(town)) == 1
    assert texts(b.collect("1")) == ["one, I woke up.", "Yes?"]


def test_an_alarm_that_a_dead_sweeper_had_taken_in_hand_comes_again(still_town):
    town = still_town
    a, b = town.node("a.1"), town.node("b.1")
    a.open(sleeper)
    a.say("1", "one")
    a.evict()
    town.wait(55)
    b.sweep()
    b.kill()
    c = town.node("c.1")
    for _ in range(8):
        town.wait(4)
        c.sweep()
    town.wait(1)
    assert len(fired(town)) == 1
    assert town.due == {}


def test_an_alarm_wakes_an_evicted_session_and_no_other(town, a):
    a.open(sleeper)
    a.say("1", "one")
    a.open(echo, session="web:2")
    a.evict()
    town.wait(59)
    assert a.live == 0
    town.wait(2)
    assert a.live == 1


# -- what is not wanted, not yet, or not there -----------------------------------------------------------------------------------------


def test_an_alarm_whose_branch_lost_is_cleared_with_the_same_call(town, a, outside):
    outside.seconds = 5.0
    a.open(impatient)
    assert len(town.due) == 1
    with a.counting() as calls:
        a.say("1", "quick")
    assert calls == ["append"]
    assert town.due == {}
    assert len(a.house.alarms) == 0


def test_an_early_entry_waits_for_its_time(still_town):
    town = still_town
    a = town.node("a.1")
    a.open(sleeper)
    a.say("1", "one")
    [member] = index(town)
    index(town)[member] = town.world.now() - 1
    a.sweep(SESSION)
    town.wait(1)
    assert fired(town) == []
    town.wait(56)
    a.sweep(SESSION)
    town.wait(10)
    assert len(fired(town)) == 1


def test_a_missing_entry_is_put_back_at_the_next_word(still_town):
    town = still_town
    a = town.node("a.1")
    a.open(sleeper)
    a.say("1", "one")
    due = dict(town.due)
    index(town).clear()
    a.evict()
    a.say("2", "two")
    assert town.due == due


def test_a_missing_entry_is_put_back_when_its_session_is_taken_over(still_town, outside):
    town = still_town
    a = town.node("a.1")
    outside.seconds = 100.0
    a.open(impatient)
    due = dict(town.due)
    index(town).clear()
    a.kill()
    town.wait(6)
    b = town.node("b.1")
    b.sweep(SESSION)
    town.wait(1)
    assert town.due == due


@pytest.mark.parametrize("stale", ["0", "77", "0.1.0"])
def test_a_stale_entry_is_cleared(still_town, stale):
    town = still_town
    a = town.node("a.1")
    a.open(sleeper)
    a.say("1", "one")
    due = dict(town.due)
    gen = town.events()[0].gen
    index(town)[f"{SESSION} {gen}/{stale}"] = town.world.now() - 5
    index(town)[f"{SESSION} {gen - 1000}/1"] = town.world.now() - 5
    a.sweep(SESSION)
    town.wait(1)
    assert town.due == due
    assert fired(town) == []


def test_a_stale_entry_is_judged_at_the_exact_tail_only(still_town):
    town = still_town
    a, b = town.node("a.1"), town.node("b.1")
    a.open(sleeper, args={"seconds": 2.0})
    a.collect("open")
    b.say("1", "one")  # of which a knows nothing
    b.kill()
    a.sweep(SESSION)
    town.wait(5)
    assert len(fired(town)) == 1
    assert town.due == {}


def test_an_entry_without_a_history_is_dropped(still_town):
    town = still_town
    a = town.node("a.1")
    a.open(sleeper)
    a.say("1", "one")
    a.forget()
    assert len(town.due) == 1
    a.evict()
    town.wait(61)
    a.sweep(SESSION)
    town.wait(1)
    assert town.due == {}
    assert town.sessions() == []


def test_an_entry_of_a_former_generation_goes_with_it(town, a):
    a.open(sleeper)
    a.say("1", "one")
    a.kill()
    b = town.node("b.1")
    old = town.events()[0].gen
    b.forget()
    b.open(sleeper, "again")
    b.say("2", "two")
    town.wait(70)
    assert len(fired(town)) == 1
    assert not any(f" {old}/" in member for member in town.due) or old == town.events()[0].gen


# -- a store that is down --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("faults", [("call lost", "call lost"), ("reply lost", "reply lost"), ("late", "late")])
def test_an_alarm_that_meets_a_store_that_is_down_fires_as_soon_as_it_is_back(still_town, faults):
    town = still_town
    a = town.node("a.1")
    a.open(sleeper, args={"seconds": 3.0})
    a.say("1", "one")
    town.wait(2.9)
    a.line.faults.extend(faults)
    town.wait(1.0)
    assert len(fired(town)) == 1
    town.wait(30)
    assert len(fired(town)) == 1
    assert town.due == {}


def test_an_alarm_outlasts_a_long_outage(still_town):
    town = still_town
    a = town.node("a.1")
    a.open(sleeper, args={"seconds": 3.0})
    a.say("1", "one")
    a.line.down = True
    town.wait(600)
    a.line.down = False
    town.wait(1)
    assert len(fired(town)) == 1


# -- sessions that cannot go on --------------------------------------------------------------------------------------------------------


def test_the_alarms_of_a_failed_session_are_put_off_and_fire_when_its_code_is_mended(town, a, outside, caplog):
    a.open(buggy)
    due = dict(town.due)
    a.say("1", "bug")
    assert town.due == due  # what a bug left half done is not what the mended code will want
    with caplog.at_level(logging.ERROR), a.counting() as calls:
        town.wait(3600)
    assert fired(town) == []
    assert len(calls) <= 2 * (3600_000 // FAILED_MS + 1)
    assert town.due.keys() == due.keys()
    a.kill()
    c = town.node("c.1", [mended])
    town.wait(2 * FAILED_MS / 1000)
    assert len(fired(town)) >= 1
    assert "A minute has passed." in texts(c.collect("open"))


def test_the_alarms_of_a_session_that_cannot_be_read_are_left_alone(town, a):
    a.open(sleeper)
    a.say("1", "one")
    a.evict()
    town.store.histories[SESSION].elements.append(b"\x02newer")
    due = town.due.keys()
    with a.counting() as calls:
        town.wait(600)
    assert town.due.keys() == due
    assert calls.count("append") == calls.count("claim") == 0
    assert len(calls) <= 3


# -- the local timers ------------------------------------------------------------------------------------------------------------------


def test_a_timer_that_is_set_again_far_away_is_taken_back(town, a):
    alarms = a.house.alarms
    near, far = town.world.now() + 1000, town.world.now() + 10 * AHEAD_MS
    a.process.call(alarms.set, SESSION, Alarm(1, "0", near))
    assert len(alarms) == 1
    a.process.call(alarms.set, SESSION, Alarm(1, "0", far))
    assert len(alarms) == 0


def test_a_timer_waits_on_when_the_stores_clock_was_set_back(town, a):
    a.open(sleeper, args={"seconds": 5.0})
    a.say("1", "one")
    a.line.clock_error = -3000
    town.wait(7.9)
    assert fired(town) == []
    town.wait(0.2)
    assert len(fired(town)) == 1


def test_no_timer_is_left_when_the_house_closes(town, a):
    a.open(clocks, args={"seconds": [3, 1, 2]})
    assert len(a.house.alarms) == 3
    a.house.alarms.close()
    assert len(a.house.alarms) == 0
    town.wait(0.5)
    assert fired(town) == []


def test_a_timer_set_twice_fires_once(town, a):
    posted = []
    a.board.post = posted.append
    alarm = Alarm(1, "0", town.world.now() + 500)
    for _ in range(2):
        a.process.call(a.house.alarms.set, SESSION, alarm)
    town.wait(2)
    assert [(due.session, due.gen, due.step, due.at) for due in posted] == [(SESSION, 1, "0", alarm.at)]
