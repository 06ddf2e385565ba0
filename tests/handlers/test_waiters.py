"""Endpoints that give up, those that come for the rest, and those who wait for what happens elsewhere."""

import pytest
from support.house import texts
from support.workflows import clerk, echo, sleeper


def test_the_late_answer_is_kept_and_can_be_collected(town, a, outside):
    outside.seconds = 12.0
    a.open(clerk)
    with pytest.raises(TimeoutError):
        a.say("1", "cat", patience=10.0)
    answer = a.collect("1", wait=False)
    assert (answer.state, texts(answer)) == ("running", [])
    answer = a.collect("1")
    assert (answer.state, texts(answer)) == ("answered", ["cat is 3.", "Yes?"])
    assert texts(a.collect(answer.turn, 1)) == ["Yes?"]
    assert town.world.time < 13


def test_what_is_collected_of_an_old_turn_begins_at_the_offset(a):
    a.open(echo)
    answer = a.say("1", "hi")
    for number in range(2, 40):
        a.say(str(number), "x")
    a.evict()
    assert texts(a.collect("1")) == texts(answer)
    assert texts(a.collect("1", 1)) == ["Yes?"]
    assert texts(a.collect(answer.turn, 1)) == ["Yes?"]


def test_collecting_what_never_was_is_answered_and_ends_nothing(a):
    a.open(echo)
    answer = a.collect("nothing of the kind")
    assert (answer.state, answer.ended) == ("handled", False)
    answer = a.collect(77)
    assert (answer.state, answer.ended) == ("handled", False)


def test_collecting_from_a_session_that_is_not_there_is_answered_at_once(a, b):
    assert a.collect("open").state == "handled"
    assert a.collect("open").ended
    b.open(echo)
    assert texts(a.collect("open")) == ["Yes?"]


def test_a_collector_hears_what_another_node_has_said_since(town, a, b):
    a.open(sleeper)
    a.say("1", "one")
    b.say("2", "two")
    answer = a.collect("1", patience=100.0)
    assert texts(answer)[:1] == ["one, I woke up."]


def test_a_collector_waits_for_an_alarm(town, a):
    a.open(sleeper)
    a.say("1", "one")
    assert texts(a.collect("1", patience=100)) == ["one, I woke up.", "Yes?"]
    assert 60 <= town.world.time <= 60.1
