"""Turns, from the opening to the eviction: what they cost, what they answer, and what they leave behind."""

import asyncio
import gc
import logging
import weakref
from datetime import timedelta

import pytest
from support.house import IDLE, SESSION, Town, opening, texts
from support.workflows import ALL, buggy, clerk, echo, impatient, mended, other_echo, phoenix, polite, sleeper

from handlers.errors import GoneError
from handlers.messages import Collect, Inbound, Opening
from workflows import CallerLeft, Talk, Words, workflow
from workflows.events import Heard, Opened, decode, encode
from workflows.registry import Registry
from workflows.run import Run

# -- what a turn costs -----------------------------------------------------------------------------------------------------------------


def test_a_fresh_opening_is_one_call_and_loads_nothing(a):
    with a.counting() as calls:
        assert texts(a.open(echo)) == ["Yes?"]
    assert calls == ["append"]


def test_a_fresh_opening_with_its_first_words_is_one_call(town, a):
    with a.counting() as calls:
        answer = a.say("m1", "hello", opening=opening(echo), fresh=True)
    assert texts(answer) == ["Yes?", "You said hello.", "Yes?"]
    assert calls == ["append"]
    assert town.kinds() == ["opened", "heard"]


def test_an_opening_that_may_not_be_the_first_looks_first(a):
    with a.counting() as calls:
        a.open(echo, fresh=False)
    assert calls == ["load", "append"]


def test_a_turn_without_effects_is_one_call_and_touches_no_index(town, a):
    a.open(echo)
    with a.counting() as calls:
        assert texts(a.say("1", "hi")) == ["You said hi.", "Yes?"]
    assert calls == ["append"]
    assert town.pending == []
    assert town.due == {}


def test_a_turn_with_an_effect_is_two_calls(town, a):
    a.open(clerk)
    with a.counting() as calls:
        assert texts(a.say("1", "cat")) == ["cat is 3.", "Yes?"]
    assert calls == ["append", "append"]
    assert town.pending == []


def test_a_turn_after_an_eviction_is_two_calls(a):
    a.open(echo)
    a.evict()
    with a.counting() as calls:
        assert texts(a.say("1", "hi")) == ["You said hi.", "Yes?"]
    assert calls == ["load", "append"]


def test_the_end_is_one_call_and_lets_go_of_everything(town, a):
    a.open(echo)
    with a.counting() as calls:
        answer = a.say("1", "bye")
    assert texts(answer) == ["Bye."]
    assert answer.ended
    assert calls == ["append"]
    assert town.pending == []


# -- what is acknowledged is on record -------------------------------------------------------------------------------------------------


def test_nothing_is_shown_before_it_is_on_record(town, a):
    a.open(clerk)
    seen = []
    a.line.before = lambda number: seen.append((len(town.events()), waiting.done()))
    waiting = a.tell("1", "cat")
    a.finish(waiting)
    assert seen == [(1, False), (2, False)]
    assert town.kinds() == ["opened", "heard", "memo"]


def test_no_effect_starts_before_its_cause_is_on_record(town, a, outside):
    a.open(clerk)
    a.line.before = lambda number: seen.append((town.kinds(), list(outside.words)))
    seen = []
    a.say("1", "cat")
    assert seen[0] == (["opened"], [])
    assert seen[1] == (["opened", "heard"], ["cat"])


def test_an_effect_is_called_with_a_stable_key(town, a, outside):
    a.open(clerk)
    a.say("1", "cat")
    [(key, _)] = outside.calls
    assert key == f"{SESSION}/{town.events()[0].gen}/1"


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


# -- slow effects, and the caller meanwhile --------------------------------------------------------------------------------------------


def test_a_slow_effect_does_not_keep_a_hang_up_from_being_heard(town, a, outside):
    outside.seconds = 20.0
    a.open(polite)
    slow = a.tell("1", "hello")
    town.wait(1.0)
    with a.counting() as calls:
        left = a.say("bye", type="left", payload={"reason": "hangup"}, stored_suffices=True)
    assert left.state == "running"
    assert calls == ["append"]
    assert town.kinds() == ["opened", "heard", "left"]
    assert texts(a.finish(slow)) == ["1", "Yes?"]  # which was asked before anybody listened
    town.wait(30)
    assert town.kinds() == ["opened", "heard", "left", "memo", "memo"]
    assert town.pending == []
    assert outside.words == ["x", "left"]


def test_a_branch_that_lost_is_called_off_and_its_late_result_dropped(town, a, outside):
    outside.seconds = 5.0
    a.open(impatient)
    assert texts(a.say("1", "quick")) == ["0: quick.", "Again?"]
    town.wait(10)
    assert outside.ended == []
    assert town.kinds() == ["opened", "heard"]
    assert town.pending == []
    assert town.due == {}


def test_a_result_is_recorded_behind_inputs_that_came_meanwhile(town, a, b, outside):
    outside.seconds = 1.0
    a.open(clerk)
    first = a.tell("1", "cat")
    town.wait(0.5)
    second = b.tell("2", "horse")
    assert texts(a.finish(first)) == ["cat is 3.", "Yes?"]
    assert texts(b.finish(second)) == ["horse is 5.", "Yes?"]
    assert town.kinds() == ["opened", "heard", "heard", "memo", "memo"]
    assert outside.words == ["cat", "horse"]
    assert town.pending == []


def test_twenty_queued_messages_get_twenty_answers(town, a, outside):
    outside.seconds = 0.1
    a.open(clerk)
    waiting = [a.tell(str(number), "x" * number) for number in range(1, 21)]
    for number, each in enumerate(waiting, 1):
        assert texts(a.finish(each)) == [f"{'x' * number} is {number}.", "Yes?"]


def test_a_message_to_one_who_sleeps_is_kept_for_good(town, a):
    a.open(sleeper)
    a.say("1", "one")
    kept = a.say("2", "two")
    assert kept.state == "kept"
    assert texts(kept) == []
    town.wait(130)
    assert texts(a.collect("1")) == ["one, I woke up.", "Yes?", "two, I woke up.", "Yes?"]
    assert a.say("2", "two").state == "kept"


# -- endpoints that give up, and those that come for the rest --------------------------------------------------------------------------


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


# -- leaving memory --------------------------------------------------------------------------------------------------------------------


def test_a_handler_leaves_memory_when_nobody_talks(town, a):
    a.open(echo)
    town.wait(IDLE - 1)
    assert a.live == 1
    town.wait(2)
    assert a.live == 0
    assert a.house.counters["evictions"] == 1
    assert texts(a.say("1", "hi")) == ["You said hi.", "Yes?"]


def test_every_word_starts_the_quiet_time_anew(town, a):
    a.open(echo)
    for number in range(4):
        town.wait(IDLE - 1)
        a.say(str(number), "hi")
    assert a.house.counters["evictions"] == 0
    town.wait(IDLE + 1)
    assert a.live == 0


def test_a_message_that_crosses_the_idle_notice_is_not_lost(town, a):
    a.open(echo)
    town.wait(IDLE - 0.001)
    answers = [a.tell("1", "hi")]  # before the tick
    town.world.run(lambda: a.process.next_timer is None or town.world.time >= IDLE)
    answers += [a.tell(f"n{number}", "hi") for number in range(3)]
    for each in answers:
        assert texts(a.finish(each)) == ["You said hi.", "Yes?"]


def test_at_whatever_step_of_the_leaving_a_message_comes_it_is_answered(outside):
    outside.seconds = 1.0
    for steps in range(12):
        town = Town(ALL, outside.bodies)
        node = town.node("a.1")
        node.open(clerk)
        town.wait(IDLE - 0.0001)
        for _ in range(steps):
            town.world.step()
        assert texts(node.say("1", "cat")) == ["cat is 3.", "Yes?"], steps
        assert town.kinds() == ["opened", "heard", "memo"]
        assert len(outside.calls) == steps + 1
        town.close()


@pytest.mark.parametrize("outstanding", ["an effect", "a waiting caller", "a collector"])
def test_a_handler_stays_while_something_is_outstanding(town, a, outside, outstanding):
    if outstanding == "an effect":
        outside.seconds = 4 * IDLE
        a.open(clerk)
        a.tell("1", "cat", patience=1.0)
    elif outstanding == "a waiting caller":
        outside.seconds = 4 * IDLE
        a.open(clerk)
        a.tell("1", "cat")
    else:
        a.open(sleeper, args={"seconds": 4 * IDLE})
        a.say("1", "x")
        a.send(lambda reply: Collect(SESSION, "1", 0, reply))
    town.wait(2 * IDLE)
    assert a.live == 1
    assert a.house.counters["evictions"] == 0
    town.wait(4 * IDLE)
    assert a.live == 0


def test_callers_who_have_given_up_do_not_keep_a_handler(town, a):
    a.open(sleeper, args={"seconds": 1000.0})
    a.say("1", "one")
    with pytest.raises(TimeoutError):
        a.collect("1", patience=5.0)
    town.wait(2 * IDLE)
    assert a.live == 0


def test_what_is_evicted_is_freed_without_the_collector(town, a, outside):
    outside.seconds = 1.0
    a.open(clerk)
    a.say("1", "cat")
    handler = weakref.ref(a.board._slots[SESSION].handler._actor_weakref())
    run = weakref.ref(handler()._journal.run)
    gc.collect()
    gc.disable()
    try:
        town.wait(2 * IDLE)
        assert a.live == 0
        assert run() is None
        assert handler() is None
    finally:
        gc.enable()


def test_what_is_in_the_inbox_when_a_handler_is_sent_away_is_failed_and_safe_to_repeat(town, a, outside):
    outside.seconds = 5.0
    a.open(clerk)
    first = a.tell("1", "cat")
    town.wait(1.0)
    a.evict()
    with pytest.raises(GoneError):
        a.finish(first)
    assert texts(a.say("1", "cat")) == ["cat is 3.", "Yes?"]
    assert town.kinds() == ["opened", "heard", "memo"]


# -- sessions that cannot go on --------------------------------------------------------------------------------------------------------


def test_a_bug_is_an_apology_and_its_traceback_is_kept(town, a, caplog):
    a.open(buggy)
    answer = a.say("1", "bug")
    assert answer.state == "failed"
    assert "something went wrong" in texts(answer)[0]
    a.evict()
    with caplog.at_level(logging.ERROR):
        a.say("2", "hello")
    assert "ZeroDivisionError: bug" in caplog.text
    assert "workflows.py" in caplog.text


def test_the_input_that_met_the_bug_is_on_record_and_later_ones_are_refused_and_not(town, a):
    a.open(buggy)
    a.say("1", "bug")
    assert town.kinds() == ["opened", "heard"]
    assert a.say("2", "hello").state == "failed"
    a.evict()
    assert a.say("3", "hello").state == "failed"
    assert town.kinds() == ["opened", "heard"]
    assert town.pending == []


def test_mended_code_resumes_a_failed_session(town, a):
    a.open(buggy)
    a.say("1", "bug")
    c = town.node("c.1", [mended])
    assert texts(c.say("2", "cat")) == ["cat is 3.", "Yes?"]
    assert texts(c.say("1", "bug")) == ["No bug.", "Yes?"]


def test_a_failed_session_holds_no_lease(town, a):
    a.open(buggy)
    a.say("1", "bug")
    a.resume()
    town.wait(1)
    assert town.pending == []


def test_a_workflow_that_cannot_be_found_is_a_failed_session_that_can_be_mended(town, a):
    class Missing:
        name = "missing"

    answer = a.open(Missing)
    assert answer.state == "failed"
    assert a.say("1", "hi").state == "failed"
    assert a.live == 1

    @workflow(name="missing")
    async def found(talk: Talk) -> None:
        talk.say(await talk.ask("Here I am.", Words()))

    c = town.node("c.1", [found])
    assert texts(c.say("2", "hi")) == ["hi"]


def test_code_that_does_not_repeat_what_is_on_record_leaves_the_session_alone(town, a, caplog):
    a.open(echo)
    a.say("1", "hi")
    c = town.node("c.1", [other_echo])
    with caplog.at_level(logging.ERROR):
        answer = c.say("2", "ho")
    assert (answer.state, answer.ended) == ("failed", True)
    assert "diverged" in caplog.text
    assert "at event 1 " in caplog.text
    assert town.kinds() == ["opened", "heard"]
    assert c.collect("1").state == "failed"
    assert c.status()["state"] == "failed"
    assert texts(a.say("2", "ho")) == ["You said ho.", "Yes?"]


def test_a_verdict_of_divergence_is_looked_at_again(town, a):
    a.open(echo)
    a.say("1", "hi")
    c = town.node("c.1", [other_echo])
    assert c.say("2", "ho").state == "failed"
    a.forget()
    assert texts(c.open(other_echo, "open2")) == ["Your number?"]
    assert texts(c.say("2", "7")) == ["7", "And?"]


@pytest.mark.parametrize("element", [b"", b"\x02encrypted by newer code", b"\x01short", b"\x01" + bytes(8) + b"\x91\x63", b"x" * 600])
def test_an_element_that_cannot_be_read_quarantines_its_session_and_no_other(town, a, element, caplog):
    a.open(echo)
    a.open(echo, session="web:2")
    a.evict()
    elements = town.store.histories[SESSION].elements
    elements.append(element)
    with caplog.at_level(logging.ERROR):
        assert a.say("1", "hi").state == "failed"
    assert "quarantined" in caplog.text
    assert elements[1:] == [element]
    assert a.collect("open").state == "failed"
    assert texts(a.say("1", "hi", session="web:2")) == ["You said hi.", "Yes?"]
    a.resume()
    town.wait(1)
    del elements[1]
    assert texts(a.say("1", "hi")) == ["You said hi.", "Yes?"]


@pytest.mark.parametrize("payload", [{}, {"text": 5}])
def test_an_event_that_no_run_wrote_quarantines_its_session(town, a, payload):
    a.open(echo)
    a.evict()
    elements = town.store.histories[SESSION].elements
    run = Run(SESSION, decode(elements[0]), Registry([echo]))
    type_ = "said" if "text" in payload else "errand"
    elements.append(encode(Heard(run.now, run.shape(), run.words(), "x", type_, payload), bytes(8)))
    assert a.say("1", "hi").state == "failed"
    assert len(elements) == 2
    assert texts(a.open(echo, session="web:2")) == ["Yes?"]


def test_a_history_that_does_not_begin_with_an_opening_is_quarantined(town, a):
    a.open(echo)
    a.say("1", "hi")
    a.evict()
    del town.store.histories[SESSION].elements[0]
    assert a.say("2", "ho").state == "failed"


def test_a_broken_session_opens_a_new_generation_where_the_channel_reopens(town, a):
    a.open(buggy)
    a.say("1", "bug")
    gen = town.events()[0].gen
    answer = a.say("2", "hello", opening=opening(echo), reopens=True)
    assert texts(answer) == ["Yes?", "You said hello.", "Yes?"]
    assert list(town.store.old) == [f"{SESSION}/{gen}"]
    assert town.events()[0].gen > gen
    town.wait(100)  # what the old generation left in the index goes when it is due
    assert town.due == {}


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


# -- restart ---------------------------------------------------------------------------------------------------------------------------


def test_a_restart_goes_on_with_the_turn_that_is_open(town, a):
    a.open(phoenix)
    a.say("1", "hi")
    answer = a.say("2", "burn")
    assert texts(answer) == ["I burn.", "Life 2?"]
    assert town.kinds() == ["opened"]
    assert texts(a.say("3", "hi")) == ["hi in life 2.", "Life 2?"]


def test_a_restart_knows_the_inputs_and_answers_of_before(town, a, b):
    a.open(phoenix)
    first, second = a.say("1", "hi"), a.say("2", "burn")
    third = a.say("3", "ho")
    for node in (a, b):
        assert node.say("1", "hi") == first
        assert node.say("2", "burn") == second
        assert node.say("3", "ho") == third
    assert town.kinds() == ["opened", "heard"]


def test_an_input_of_long_before_a_restart_is_known_as_handled(town, a):
    a.open(phoenix)
    a.say("old", "hi")
    for number in range(20):
        a.say(str(number), "hi")
    a.say("burn", "burn")
    answer = a.say("old", "hi")
    assert (answer.state, texts(answer)) == ("handled", [])
    assert town.kinds() == ["opened"]


def test_positions_and_turn_numbers_go_on_over_a_restart(town, a):
    a.open(phoenix)
    numbers = [a.say(str(number), "hi").turn for number in range(3)]
    assert a.say("burn", "burn").turn == 4
    after = a.say("after", "hi")
    assert numbers == [1, 2, 3]
    assert after.turn == 6
    assert town.events()[0].base == 5


def test_queued_inputs_are_carried_over_a_restart(town):
    @workflow(name="cocoon")
    async def cocoon(talk: Talk, life: int = 1) -> None:
        talk.say(f"Life {life}.")
        if life == 1:
            await talk.sleep(timedelta(seconds=10))
            await talk.restart(cocoon, 2)
        while True:
            talk.say(f"{await talk.listen(Words())} in life {life}.")

    node = town.node("c.1", [cocoon])
    node.open(cocoon)
    assert node.say("1", "one").state == "kept"
    assert node.say("2", "two").state == "kept"
    town.wait(11)
    assert town.kinds() == ["opened", "heard", "heard"]
    assert texts(node.collect("open"))[:3] == ["Life 1.", "Life 2.", "one in life 2."]
    assert node.say("1", "one").state == "kept"
    assert texts(node.say("3", "three")) == ["three in life 2."]


def test_a_caller_who_has_left_is_gone_in_the_new_generation_too(town):
    @workflow(name="widow")
    async def widow(talk: Talk, alone: bool = False) -> None:
        try:
            await talk.ask("Alone?" if alone else "Yes?", Words())
        except CallerLeft:
            if not alone:
                await talk.restart(widow, True)
            await talk.sleep(timedelta(seconds=5))

    node = town.node("c.1", [widow])
    node.open(widow)
    node.say("bye", type="left", payload={"reason": "hangup"})
    assert town.kinds() == ["opened", "left"]
    assert town.events()[0].args == {"alone": True}
    assert node.say("bye", type="left", payload={"reason": "hangup"}).state == "answered"
    town.wait(6)
    assert town.kinds() == ["opened", "left", "fired"]
    assert node.say("1", "hi").ended


def test_an_effect_of_the_generation_before_is_not_taken_for_one_of_this(town, a, outside):
    @workflow(name="hasty")
    async def hasty(talk: Talk, life: int = 1) -> None:
        from support.workflows import look_up

        async def ask() -> str:
            return await talk.ask(f"Life {life}?", Words())

        async def look() -> str:
            return str(await talk.call(look_up, "x"))

        index, word = await talk.first(look(), ask())
        if index == 1:
            await talk.restart(hasty, life + 1)
        talk.say(f"{word} in life {life}.")
        await talk.ask("Again?", Words())

    outside.seconds = 5.0
    node = town.node("c.1", [hasty])
    node.open(hasty)
    town.wait(4.9)
    node.say("1", "go")
    town.wait(4.9)
    assert texts(node.collect("open", wait=False))[-1:] == ["Life 2?"]
    town.wait(0.2)
    assert texts(node.collect("open"))[-2:] == ["1 in life 2.", "Again?"]
    assert len(outside.calls) == 2
    assert len({key for key, _ in outside.calls}) == 2


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


# -- the actor -------------------------------------------------------------------------------------------------------------------------


def test_a_handler_that_dies_answers_the_message_at_hand_and_those_behind_it(town, a, caplog):
    a.open(echo)
    lame = [a.tell("1", type="said", payload={"text": "\ud800"}), a.tell("2", "behind")]
    for each in lame:
        with pytest.raises(GoneError, match="again"):
            a.finish(each)
    assert "surrogates" in caplog.text
    assert texts(a.say("3", "hi")) == ["You said hi.", "Yes?"]
    assert town.kinds() == ["opened", "heard"]


def test_a_handler_that_is_cancelled_fails_its_callers(town, a, outside):
    outside.seconds = 5.0
    a.open(clerk)
    a.line.delay = lambda: 1.0
    waiting = a.tell("1", "cat")
    town.wait(0.5)
    for task in asyncio.all_tasks(a.process):
        if "_finish" in repr(task):
            task.cancel()
    with pytest.raises(GoneError):
        a.finish(waiting)
    a.line.delay = None
    assert texts(a.say("1", "cat")) == ["cat is 3.", "Yes?"]


def test_an_unknown_message_ends_nothing_but_its_handler(town, a, caplog):
    a.open(echo)
    slot = a.board._slots[SESSION]
    a.process.call(slot.handler.tell, "what?")
    town.settle()
    assert "knows no str" in caplog.text
    assert texts(a.say("1", "hi")) == ["You said hi.", "Yes?"]


def test_an_input_is_stored_as_its_channel_gave_it(town, a):
    a.open(echo)
    a.say("SM1", type="intent", payload={"name": "Snooze", "slots": {"minutes": "10"}})
    heard = town.events()[1]
    assert isinstance(heard, Heard)
    assert (heard.id, heard.type, heard.payload) == ("SM1", "intent", {"name": "Snooze", "slots": {"minutes": "10"}})


def test_who_only_wants_it_stored_is_answered_as_soon_as_it_is(town, a, outside):
    outside.seconds = 10.0
    a.open(clerk)
    assert a.say("1", "cat", stored_suffices=True).state == "running"
    assert town.world.time == 0.0
    assert a.say("1", "cat", stored_suffices=True).state == "running"
    assert town.kinds() == ["opened", "heard"]


def test_inbounds_are_values():
    assert Inbound("s", "1") == Inbound("s", "1")
