"""Turns, from the opening to the eviction: what they cost, what they answer, and what they leave behind."""

import asyncio
import gc
import weakref
from types import SimpleNamespace

import pytest
from support.house import IDLE, SESSION, Town, opening, texts
from support.workflows import ALL, clerk, echo, impatient, polite, sleeper

from handlers.alarms import Alarms
from handlers.effects import Effects
from handlers.errors import GoneError, UnstorableError
from handlers.house import House
from handlers.messages import Collect, Inbound
from handlers.redis_history import RedisHistory
from handlers.reply import ReplyTo
from switchboard.board import Board
from workflows.events import Heard
from workflows.registry import Registry

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


async def test_in_redis_an_opening_and_a_turn_without_effects_are_one_round_trip_each(valkey_url, valkey):
    history = RedisHistory(valkey_url, "a.1")
    await history.open()
    posting = SimpleNamespace()
    board = Board(House(history, Registry(ALL), Effects(), posting, Alarms(history, posting)))
    posting.post = board.post

    async def say(**fields):
        before = history.round_trips
        reply = ReplyTo()
        board.post(Inbound(SESSION, reply_to=reply, **fields))
        return texts(await reply.get(10)), history.round_trips - before

    assert await say(id="open", opening=opening(echo), fresh=True) == (["Yes?"], 1)
    assert await say(id="1", type="said", payload={"text": "hi"}) == (["You said hi.", "Yes?"], 1)
    assert await say(id="2", type="said", payload={"text": "ho"}) == (["You said ho.", "Yes?"], 1)
    board.stop()
    await asyncio.sleep(0.01)
    await history.close()


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
    handler = weakref.ref(a.board._slots[SESSION].handler)
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


# -- the actor -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["half a \ud83d smile", 2**64, object()])
def test_what_no_history_can_hold_is_refused_and_disturbs_nobody(town, a, outside, words):
    outside.seconds = 5.0
    a.open(clerk)
    slow = a.tell("1", "cat")
    town.wait(1.0)
    for more in ({}, {"session": "web:2", "opening": opening(clerk)}):
        with pytest.raises(UnstorableError, match="cannot be stored"):
            a.say("2", type="said", payload={"text": words}, **more)
    assert texts(a.finish(slow)) == ["cat is 3.", "Yes?"]
    assert outside.words == ["cat"]
    assert town.kinds() == ["opened", "heard", "memo"]
    assert town.sessions() == [SESSION]
    assert texts(a.say("2", "dog", session="web:2", opening=opening(clerk))) == ["Yes?", "dog is 3.", "Yes?"]


def test_a_handler_that_dies_answers_those_behind_it(town, a, caplog):
    a.open(echo)
    slot = a.board._slots[SESSION]
    a.process.call(slot.handler.deliver, "what?")
    behind = [a.tell("1", "hi"), a.send(lambda reply: Collect(SESSION, "1", 0, reply))]
    for each in behind:
        with pytest.raises(GoneError, match="ask again"):
            a.finish(each)
    assert "knows no str" in caplog.text
    assert texts(a.say("1", "hi")) == ["You said hi.", "Yes?"]


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
    town.settle()
    a.line.delay = None
    assert texts(a.say("1", "cat")) == ["cat is 3.", "Yes?"]


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


def test_who_only_wants_it_stored_is_told_before_the_work_for_it_is_begun(town, a, outside):
    outside.seconds = 10.0
    a.open(clerk)
    assert a.say("1", "cat", stored_suffices=True).state == "running"
    assert a.house.counters["effects"] == 0
    town.wait(1.0)
    assert a.house.counters["effects"] == 1


def test_inbounds_are_values():
    assert Inbound("s", "1") == Inbound("s", "1")
