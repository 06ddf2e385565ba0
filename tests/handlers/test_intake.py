"""How an input gets into a session's history: once, in this life of it or a new one, or not at all."""

import pytest
from support.house import opening, texts
from support.workflows import clerk, echo, phoenix

from handlers.errors import BusyError, ReusedKeyError
from handlers.messages import Opening
from workflows.events import Opened

# -- duplicates ------------------------------------------------------------------------------------------------------------------------


def test_a_duplicate_at_once_is_answered_alike_and_applied_once(town, a):
    a.open(clerk)
    first, second = a.tell("1", "cat"), a.tell("1", "cat")
    assert a.finish(first) == a.finish(second)
    assert texts(a.finish(first)) == ["cat is 3.", "Yes?"]
    assert town.kinds() == ["opened", "heard", "memo"]


@pytest.mark.parametrize("when", ["later", "after eviction", "on another node", "after twenty more turns", "after a crash"])
def test_a_duplicate_later_is_answered_alike_and_applied_once(town, a, b, outside, when):
    a.open(clerk)
    first = a.say("1", "cat")
    node = a
    if when == "after eviction":
        a.evict()
    if when == "on another node":
        node = b
    if when == "after twenty more turns":
        for number in range(2, 22):
            a.say(str(number), "dog")
    if when == "after a crash":
        a.kill()
        node = town.node("a.2")
    assert node.say("1", "cat") == first
    assert outside.words.count("cat") == 1


def test_a_duplicate_of_the_opening_is_answered_alike(town, a, b):
    first = a.open(echo)
    assert a.open(echo) == first
    assert b.open(echo) == first
    b.evict()
    assert b.open(echo) == first
    assert town.kinds() == ["opened"]


@pytest.mark.parametrize("turns", [0, 30])
def test_a_duplicate_of_an_opening_with_words_is_answered_with_both_parts(town, a, turns):
    first = a.say("m0", "hello", opening=opening(echo), fresh=True)
    for number in range(turns):
        a.say(f"n{number}", "x")
    a.evict()
    assert a.say("m0", "hello", opening=opening(echo)) == first
    assert texts(first) == ["Yes?", "You said hello.", "Yes?"]


def test_a_duplicate_is_answered_from_a_confirmed_tail_only(a, town):
    a.open(echo)
    a.say("1", "hi")
    with a.counting() as calls:
        a.say("1", "hi")
    assert calls == ["claim"]


def test_a_duplicate_on_another_node_while_the_turn_runs_waits_for_its_answer(town, a, b, outside):
    outside.seconds = 3.0
    a.open(clerk)
    first, second = a.tell("1", "cat"), b.tell("1", "cat")
    assert a.finish(first) == b.finish(second)
    assert outside.words == ["cat"]
    assert town.world.time < 3.6


def test_polling_for_a_turn_that_runs_elsewhere_slows_down(town, a, b, outside):
    outside.seconds = 4.0
    a.open(clerk)
    a.tell("1", "cat")
    town.settle()
    with b.counting() as calls:
        b.say("1", "cat")
    assert 15 <= calls.count("claim") <= 24  # every 50 to 250 ms


# -- endings and new lives -------------------------------------------------------------------------------------------------------------


def test_after_the_end_nothing_is_stored(town, a, b):
    a.open(echo)
    a.say("1", "bye")
    for node in (a, b):
        answer = node.say("2", "hello?")
        assert (answer.state, answer.ended, texts(answer)) == ("ended", True, [])
    assert town.kinds() == ["opened", "heard"]
    assert texts(b.say("1", "bye")) == ["Bye."]


def test_an_ended_session_of_a_channel_that_reopens_begins_anew(town, a):
    a.open(echo)
    a.say("1", "bye")
    before = town.events()[0]
    answer = a.say("2", "hello", opening=opening(phoenix), reopens=True)
    assert texts(answer) == ["Life 1?", "hello in life 1.", "Life 1?"]
    after = town.events()[0]
    assert after.gen > before.gen
    assert after.seed != before.seed
    assert after.base == 2
    assert answer.turn == 2
    assert town.store.old == {}


def test_a_return_to_where_nobody_is_opens_the_session_without_a_word(town, a):
    answer = a.say("1", type="returned", opening=opening(echo), reopens=True)
    assert texts(answer) == ["Yes?"]
    assert town.kinds() == ["opened"]
    assert texts(a.say("1", type="returned", opening=opening(echo), reopens=True)) == ["Yes?"]
    a.say("left", type="left")
    town.wait(1)
    assert texts(a.say("2", type="returned", opening=opening(echo), reopens=True)) == ["Yes?"]
    assert town.kinds() == ["opened"]


def test_a_return_to_a_session_that_lives_is_heard(town, a):
    a.open(echo)
    answer = a.say("1", type="returned", opening=opening(echo), reopens=True)
    assert (answer.state, texts(answer)) == ("kept", [])
    assert town.kinds() == ["opened", "heard"]
    assert texts(a.collect(None)) == ["Yes?"]
    a.say("2", "hi")
    assert texts(a.collect(None)) == ["You said hi.", "Yes?"]


def test_a_reopened_session_knows_what_its_former_life_has_applied(town, a, b):
    a.open(echo)
    a.say("1", "hi")
    a.say("2", "bye")
    a.say("3", "hello", opening=opening(echo), reopens=True)
    assert texts(a.say("2", "bye", opening=opening(echo), reopens=True)) == ["Bye."]
    assert texts(b.say("1", "hi", opening=opening(echo), reopens=True)) == ["You said hi.", "Yes?"]
    assert town.kinds() == ["opened", "heard"]


def test_a_hang_up_opens_nothing(town, a):
    answer = a.say("bye", type="left", payload={"reason": "hangup"}, opening=opening(echo), reopens=True)
    assert answer.ended
    assert town.sessions() == []


def test_an_input_without_an_opening_opens_nothing(town, a, b):
    answer = a.say("1", "hi")
    assert (answer.state, answer.ended) == ("handled", True)
    assert town.sessions() == []
    b.open(echo)
    assert texts(a.say("1", "hi")) == ["You said hi.", "Yes?"]


def test_a_second_opening_of_a_live_session_is_turned_away(town, a):
    a.open(echo)
    answer = a.open(echo, "another")
    assert (answer.state, answer.ended) == ("handled", False)
    assert town.kinds() == ["opened"]


def test_the_opening_is_recorded_with_its_facts(town, a):
    facts = Opening("echo", {}, "phone", "+1555", "+1777", "fi-FI", "Europe/Helsinki", {"owns_timeouts": True})
    a.say("open", opening=facts, fresh=True)
    [opened] = town.events()
    assert isinstance(opened, Opened)
    assert (opened.channel, opened.line, opened.caller) == ("phone", "+1555", "+1777")
    assert (opened.locale, opened.time_zone, opened.facts) == ("fi-FI", "Europe/Helsinki", {"owns_timeouts": True})


# -- forget ----------------------------------------------------------------------------------------------------------------------------


def test_a_forgotten_session_stays_forgotten(town, a, b):
    a.open(echo)
    a.say("1", "hi")
    b.forget()
    answer = a.say("2", "hello?")
    assert (answer.state, answer.ended) == ("handled", True)
    assert town.sessions() == []


def test_a_forgotten_session_begins_anew_with_an_input_that_opens(town, a, b):
    a.open(clerk)
    a.say("1", "cat")
    gen = town.events()[0].gen
    town.wait(1)
    b.forget()
    answer = a.say("1", "cat", opening=opening(clerk))
    assert texts(answer) == ["Yes?", "cat is 3.", "Yes?"]
    assert town.events()[0].gen > gen


def test_a_result_of_a_forgotten_life_does_not_land_in_the_new_one(town, a, b, outside):
    outside.seconds = 5.0
    a.open(clerk)
    waiting = a.tell("1", "cat")
    town.wait(1.0)
    a.forget()
    again = b.tell("1", "cat", opening=opening(clerk))
    assert texts(b.finish(again)) == ["Yes?", "cat is 3.", "Yes?"]
    assert len(outside.calls) == 2
    assert town.world.time >= 6.0
    assert a.finish(waiting).state in ("handled", "answered")
    town.wait(20)
    assert town.kinds() == ["opened", "heard", "memo"]


def test_a_caller_who_waits_in_a_session_that_is_forgotten_is_told(town, a, b, outside):
    outside.seconds = 20.0
    a.open(clerk)
    waiting = a.tell("1", "cat")
    town.wait(1.0)
    b.forget()
    answer = a.finish(waiting)
    assert (answer.state, answer.ended) == ("handled", True)
    assert town.sessions() == []
    town.wait(60)
    assert town.pending == []
    assert a.live == 0


# -- connections -----------------------------------------------------------------------------------------------------------------------


def test_the_end_of_a_connection_that_the_caller_has_left_behind_is_answered_and_not_stored(town, a, b):
    a.open(echo, facts={"via": "first"})
    for node in (a, b):
        late = node.say("bye0", type="left", payload={"reason": "closed", "via": "another"})
        assert (late.state, late.ended) == ("handled", False)
    a.say("1", type="said", payload={"text": "hi", "via": "second"})
    b.say("2", type="said", payload={"text": "hi"})
    for node in (a, b):
        assert node.say("bye1", type="left", payload={"reason": "closed", "via": "first"}).state == "handled"
    assert town.kinds() == ["opened", "heard", "heard"]
    assert b.say("bye2", type="left", payload={"reason": "closed", "via": "second"}).ended
    assert town.kinds() == ["opened", "heard", "heard", "left"]


def test_a_restart_knows_by_which_connection_the_caller_spoke_last(town, a):
    a.open(phoenix, facts={"via": "first"})
    a.say("1", type="said", payload={"text": "burn", "via": "second"})
    a.evict()
    assert a.say("bye1", type="left", payload={"via": "first"}).state == "handled"
    assert a.say("bye2", type="left", payload={"via": "second"}).ended


def test_where_there_is_one_connection_only_nobody_asks_for_its_name(a):
    a.open(echo)
    assert a.say("bye", type="left", payload={"reason": "hangup"}).ended


# -- keys ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["at once", "later", "after eviction", "on another node", "after many turns", "after a restart"])
def test_a_key_that_stands_for_another_input_is_refused_and_nothing_is_stored(town, a, b, when):
    a.open(phoenix)
    first = a.tell("k.1", "one", key="k.")
    if when != "at once":
        a.finish(first)
    if when == "after eviction":
        a.evict()
    if when == "after many turns":
        for number in range(40):
            a.say(f"{number}", "more")
    if when == "after a restart":
        a.say("2", "burn")
    other = (b if when == "on another node" else a).tell("k.2", "two", key="k.")
    with pytest.raises(ReusedKeyError):
        a.finish(other)
    length = len(town.events())
    assert texts(a.finish(first)) == ["one in life 1.", "Life 1?"]
    if when != "after a restart":
        assert a.say("k.1", "one", key="k.") == a.finish(first)
    assert len(town.events()) == length
    assert texts(a.say("kk.1", "three", key="kk."))[0].startswith("three")


def test_two_inputs_with_one_key_at_two_nodes_at_once_are_one(town, a, b):
    a.open(echo)
    b.say("0", "hello")
    waiting = [a.tell("k.1", "one", key="k."), b.tell("k.2", "two", key="k.")]
    town.wait(2)
    assert sorted(type(each.exception()).__name__ for each in waiting) == ["NoneType", "ReusedKeyError"]
    assert town.kinds() == ["opened", "heard", "heard"]


def test_a_line_that_hears_one_at_a_time_refuses_the_next_until_the_first_is_answered(town, a, b, outside):
    outside.seconds = 5.0
    a.open(clerk, facts={"busy": "reject"})
    first = a.tell("k1.1", "cat", key="k1.")
    town.wait(1)
    for node in (a, b):
        with pytest.raises(BusyError):
            node.say("k2.1", "dog", key="k2.")
    again = b.tell("k1.1", "cat", key="k1.")
    assert texts(a.finish(first)) == texts(b.finish(again)) == ["cat is 3.", "Yes?"]
    assert texts(b.say("k2.1", "dog", key="k2.")) == ["dog is 3.", "Yes?"]
    assert town.kinds() == ["opened", "heard", "memo", "heard", "memo"]


# -- answers to a question -----------------------------------------------------------------------------------------------------------------


def test_an_answer_upon_the_last_words_is_taken_and_one_upon_others_is_not_stored(town, a, b):
    a.open(echo)
    before = a.say("1", "one").said
    assert a.say("2", "two", upon=before[-1][:2]).state == "answered"
    b.say("x", "fresh eyes")
    for node in (a, b):
        late = node.say(f"late at {node.name}", "three", upon=before[-1][:2])
        assert (late.state, late.ended) == ("handled", False)
    assert town.kinds() == ["opened", "heard", "heard", "heard"]


def test_an_answer_upon_a_question_that_is_being_answered_is_not_stored(town, a, outside):
    outside.seconds = 3.0
    asked = a.open(clerk).said[-1][:2]
    first = a.tell("1", "cat")
    town.wait(1.0)
    assert a.say("2", "dog", upon=asked).state == "handled"
    assert texts(a.finish(first))[0] == "cat is 3."
    assert outside.words == ["cat"]


def test_a_repeated_answer_upon_a_question_gets_its_answer_however_old_that_is(town, a):
    asked = a.open(echo).said[-1][:2]
    first = a.say("1", "one", upon=asked)
    a.say("2", "two")
    assert a.say("1", "one", upon=asked) == first
