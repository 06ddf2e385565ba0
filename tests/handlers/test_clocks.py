"""Alarms by the clock: how late they are, what becomes of them when nodes die, and what happens when clocks are set."""

from random import Random
from statistics import median

import pytest
from support.house import Town
from support.workflows import ALL, sleeper

from workflows.events import Fired, Heard

SESSIONS = 100
MOST_GONE_MS = 10_000
"""How late an alarm may be whose node is gone."""


def put_to_sleep(node, session, seconds):
    node.open(sleeper, session=session, args={"seconds": seconds})
    node.say("1", "one", session=session)


def latenesses(town):
    """How late each alarm was that fired, by the store's clock, ms; every session has slept once."""
    late = []
    for session, events in town.written.items():
        (heard,) = [event for event in events if isinstance(event, Heard)]
        fired = [event for event in events if isinstance(event, Fired)]
        assert len(fired) <= 1, f"{session}: an alarm fired twice"
        due = heard.at + 1000 * events[0].args["seconds"]
        late += [event.at - due for event in fired]
    return late


# -- how late they are -----------------------------------------------------------------------------------------------------------------


def test_with_its_node_alive_an_alarm_is_late_by_what_the_store_takes_and_never_early(town, a):
    rng = Random(1)
    a.line.delay = lambda: rng.uniform(0.0, 0.005)
    for number in range(SESSIONS):
        put_to_sleep(a, f"web:{number}", round(rng.choice([rng.uniform(0.0, 10.0), rng.uniform(10.0, 600.0)]), 3))
    town.wait(660)
    late = latenesses(town)
    assert len(late) == SESSIONS
    assert min(late) >= 0
    assert median(late) <= 50
    assert max(late) <= 50
    assert town.due == {}


@pytest.mark.parametrize("before", [0.0, 0.5, 1.5, 3.0, 4.5, 6.0, 20.0])
def test_with_its_node_gone_an_alarm_is_ten_seconds_late_at_most(outside, before):
    """The node that dies has swept, too: so its claim on the partition, and what it has in hand, are in the way for a while."""
    late = []
    for seed in range(12):
        town = Town(ALL, outside.bodies, seed=seed)
        a, b = town.node("a.1"), town.node("b.1")
        put_to_sleep(a, "web:1", 60.0)
        b.line.down = True  # so that it is the other one that sweeps
        town.wait(60.0 - before)
        a.kill()
        b.line.down = False
        town.wait(before + 15)
        late += latenesses(town)
        town.close()
    assert len(late) == 12
    assert min(late) >= 0
    assert max(late) <= MOST_GONE_MS


def test_what_fell_due_while_nobody_was_there_fires_as_soon_as_somebody_is(outside):
    town = Town(ALL, outside.bodies, sweeps=False)
    a = town.node("a.1")
    for number in range(20):
        put_to_sleep(a, f"web:{number}", 60.0 + number)
    a.kill()
    town.wait(86_400)
    b = town.node("b.1")
    b.process.call(b.sweeper.start)
    town.wait(0.01)
    assert len(latenesses(town)) == 20
    assert town.due == {}
    town.close()


# -- clocks that are set ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("awake", [True, False])
@pytest.mark.parametrize("jump", [100.0, 3_600.0, 365 * 86_400.0])
def test_a_clock_set_forward_past_an_alarm_fires_it_once(town, a, jump, awake):
    put_to_sleep(a, "web:1", 60.0)
    if not awake:
        a.evict()
    town.wait(10)
    town.world.skew += jump
    town.wait(5)
    (late,) = latenesses(town)
    assert 0 <= late - (jump - 50.0) * 1000 <= 5_000
    town.world.skew -= jump
    town.wait(120)
    assert len(latenesses(town)) == 1


@pytest.mark.parametrize("awake", [True, False])
@pytest.mark.parametrize("jump", [2.0, 100.0, 86_400.0])
@pytest.mark.parametrize("before", [55.0, 3.0, 0.5])
def test_a_clock_set_back_before_an_alarm_is_waited_for(town, a, jump, awake, before):
    put_to_sleep(a, "web:1", 60.0)
    if not awake:
        a.evict()
    town.wait(60.0 - before)
    town.world.skew -= jump
    town.wait(before + jump - 0.1)
    assert latenesses(town) == []
    town.wait(10)
    (late,) = latenesses(town)
    assert 0 <= late <= 5_000


@pytest.mark.parametrize("error", [-3_000, 900])
def test_a_node_with_another_idea_of_the_time_fires_no_alarm_more_than_a_second_early(town, a, error):
    a.line.clock_error = error
    b = town.node("b.1")
    for number, node in enumerate((a, b) * 5):
        put_to_sleep(node, f"web:{number}", 30.0 + number)
        town.wait(0.5)
    begun = town.world.now()
    times = {}
    while town.world.now() < begun + 60_000:
        town.wait(0.1)
        for session, events in town.written.items():
            if any(isinstance(event, Fired) for event in events):
                times.setdefault(session, town.world.now())
    assert len(times) == 10
    for number in range(10):
        events = town.written[f"web:{number}"]
        due = events[1].at + 1000 * events[0].args["seconds"]
        assert times[f"web:{number}"] >= due - 1_000
