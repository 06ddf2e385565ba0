"""Histories under trouble: two nodes at once, a store that is down or forgets, replies that are lost, leases that run out."""

import pytest
from support.house import SESSION, Town, opening, texts
from support.workflows import ALL, boss, clerk, echo, impatient, phoenix, sleeper

from handlers import history, recall, record
from handlers.errors import StoreError
from handlers.history import LEASE_MS
from handlers.journal import TAKE_OVERS
from workflows import Talk, Words, workflow

LEASE = LEASE_MS / 1000

# -- the store is down -----------------------------------------------------------------------------------------------------------------

FAULTS = ("call lost", "reply lost")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", range(4))
def test_a_call_that_fails_once_is_made_again_with_the_very_same_bytes(town, a, outside, call, fault):
    a.line.faults.extend([""] * call + [fault])
    assert texts(a.open(clerk)) == ["Yes?"]
    assert texts(a.say("1", "cat")) == ["cat is 3.", "Yes?"]
    assert texts(a.say("2", "horse")) == ["horse is 5.", "Yes?"]
    assert town.kinds() == ["opened", "heard", "memo", "heard", "memo"]
    assert outside.words == ["cat", "horse"]
    repeated = [one for one, other in zip(a.line.commands, a.line.commands[1:], strict=False) if one is other]
    assert len(repeated) == 1
    assert town.pending == []


@pytest.mark.parametrize(
    "faults", [("call lost", "call lost"), ("reply lost", "call lost"), ("reply lost", "reply lost"), ("late", "call lost")]
)
def test_an_input_whose_outcome_stays_unknown_is_failed_and_safe_to_repeat(town, a, outside, faults):
    a.open(clerk)
    a.line.faults.extend(faults)
    with pytest.raises(StoreError):
        a.say("1", "cat")
    assert texts(a.say("1", "cat")) == ["cat is 3.", "Yes?"]
    town.wait(20)
    assert town.kinds() == ["opened", "heard", "memo"]
    assert outside.words == ["cat"]
    assert town.pending == []


@pytest.mark.parametrize(
    "faults", [("call lost", "call lost"), ("reply lost", "call lost"), ("reply lost", "reply lost"), ("late", "call lost")]
)
def test_an_opening_whose_outcome_stays_unknown_is_failed_and_safe_to_repeat(town, a, faults):
    a.line.faults.extend(faults)
    with pytest.raises(StoreError):
        a.open(echo)
    assert texts(a.open(echo)) == ["Yes?"]
    town.wait(1)
    assert town.kinds() == ["opened"]


@pytest.mark.parametrize(
    "faults", [("call lost", "call lost"), ("reply lost", "call lost"), ("reply lost", "reply lost"), ("late", "call lost")]
)
def test_a_result_that_cannot_be_recorded_is_held_and_its_effect_not_called_again(town, a, outside, faults):
    outside.seconds = 1.0
    a.open(clerk)
    waiting = a.tell("1", "cat")
    town.wait(0.5)
    a.line.faults.extend(faults)
    with pytest.raises(StoreError):
        a.finish(waiting)
    assert texts(a.say("1", "cat")) == ["cat is 3.", "Yes?"]
    assert outside.words == ["cat"]
    assert town.kinds() == ["opened", "heard", "memo"]
    town.wait(10)
    assert town.pending == []


def test_a_result_that_is_held_is_recorded_though_nobody_asks(town, a, outside):
    outside.seconds = 1.0
    a.open(clerk)
    waiting = a.tell("1", "cat")
    town.wait(0.5)
    a.line.down = True
    with pytest.raises(StoreError):
        a.finish(waiting)
    town.wait(30)
    a.line.down = False
    town.wait(1)
    assert town.kinds() == ["opened", "heard", "memo"]
    assert outside.words == ["cat"]


def test_an_outage_during_an_effect_does_not_cost_the_lease(town, a, b, outside):
    outside.seconds = 20.0
    a.open(clerk)
    a.tell("1", "cat")
    town.wait(3.0)
    a.line.down = True
    town.wait(3.0)
    a.line.down = False
    town.wait(20.0)
    assert town.kinds() == ["opened", "heard", "memo"]
    assert outside.words == ["cat"]
    assert b.house.counters["taken_over"] == 0


def test_while_the_store_is_down_every_caller_is_told_at_once(town, a):
    a.open(echo)
    a.line.down = True
    for number in range(3):
        with pytest.raises(StoreError):
            a.say(str(number), "hi")
    assert town.world.time == 0.0
    a.line.down = False
    for number in range(3):
        assert texts(a.say(str(number), "hi")) == ["You said hi.", "Yes?"]


@pytest.mark.parametrize("what", ["collect", "status"])
def test_who_asks_for_more_than_an_answer_is_told_as_well(a, what):
    a.open(echo)
    a.line.down = True
    with pytest.raises(StoreError):
        a.collect("open") if what == "collect" else a.status()


@pytest.mark.parametrize("call", range(12))
@pytest.mark.parametrize("faults", [("call lost", "call lost"), ("reply lost", "reply lost"), ("late", "late")])
def test_whichever_call_fails_the_conversation_goes_on(town, a, outside, call, faults):
    a.line.faults.extend([""] * call + list(faults))

    def insist(id_, text, **more):
        for _ in range(3):
            try:
                return texts(a.say(id_, text, **more))
            except StoreError:
                town.wait(0.1)
        raise AssertionError

    insist("0", "dog", opening=opening(clerk))
    assert insist("1", "cat") == ["cat is 3.", "Yes?"]
    a.evict()
    assert insist("2", "horse") == ["horse is 5.", "Yes?"]
    town.wait(20)
    assert [event.id for event in town.events() if hasattr(event, "text") or type(event).__name__ == "Heard"] == ["0", "1", "2"]
    assert town.pending == []
    assert len(set(outside.words)) == 3
    assert town.due == {}


# -- two nodes -------------------------------------------------------------------------------------------------------------------------


def test_a_stale_view_cannot_write(town, a, b):
    a.open(echo)
    a.say("1", "one")
    b.say("2", "two")
    assert texts(a.say("3", "three")) == ["You said three.", "Yes?"]
    assert texts(b.say("4", "four")) == ["You said four.", "Yes?"]
    assert [event.id for event in town.events()] == ["open", "1", "2", "3", "4"]


def test_a_conflict_costs_one_call_more_and_no_replay(town, a, b):
    a.open(echo)
    b.say("1", "one")
    with a.counting() as calls:
        a.say("2", "two")
    assert calls == ["append", "load", "append"]  # what was fed on trust is closed, so all of it is read
    b.say("3", "three")
    with a.counting() as calls:
        a.say("1", "one")
    assert calls == ["claim", "claim"]  # a run that was fed nothing takes the rest


def test_a_turn_that_another_node_runs_is_derived_from_the_history(town, a, b, outside):
    outside.seconds = 2.0
    a.open(clerk)
    a.tell("1", "cat")
    town.wait(0.1)
    assert texts(b.say("1", "cat")) == ["cat is 3.", "Yes?"]
    assert outside.words == ["cat"]


def test_an_input_while_another_node_works_waits_for_its_turn(town, a, b, outside):
    outside.seconds = 2.0
    a.open(clerk)
    a.tell("1", "cat")
    town.wait(0.1)
    assert texts(b.say("2", "horse")) == ["horse is 5.", "Yes?"]
    assert outside.words == ["cat", "horse"]
    assert b.house.counters["effects"] == 0


def test_whoever_looks_at_work_that_nobody_does_any_more_takes_it_up(outside):
    town = Town(ALL, outside.bodies, sweeps=False)
    a, b = town.node("a.1"), town.node("b.1")
    outside.seconds = 2.0
    a.open(clerk)
    a.tell("1", "cat")
    town.wait(1.0)
    a.kill()
    town.wait(LEASE)
    b.collect("1", wait=False)
    assert outside.words == ["cat", "cat"]
    town.close()


def test_the_lease_is_renewed_while_an_effect_runs(town, a, b, outside):
    outside.seconds = 10 * LEASE
    a.open(clerk)
    assert texts(a.say("1", "cat")) == ["cat is 3.", "Yes?"]
    assert outside.words == ["cat"]
    assert b.house.counters["taken_over"] == a.house.counters["taken_over"] == 0
    assert 25 <= a.line.count()["renew"] <= 35


def test_the_work_of_a_dead_node_is_taken_over_and_its_caller_answered(town, a, b, outside):
    outside.seconds = 2.0
    a.open(clerk)
    a.tell("1", "cat")
    town.wait(1.0)
    a.kill()
    answer = b.say("1", "cat")
    assert texts(answer) == ["cat is 3.", "Yes?"]
    assert outside.words == ["cat", "cat"]
    assert town.world.time < 1.0 + LEASE + 3.0
    town.wait(1)
    assert town.pending == []


def test_the_work_of_a_dead_node_is_taken_over_though_nobody_asks(town, a, b, outside):
    outside.seconds = 2.0
    a.open(clerk)
    a.tell("1", "cat")
    town.wait(1.0)
    a.kill()
    town.wait(13.0)
    assert town.kinds() == ["opened", "heard", "memo"]
    assert town.pending == []
    assert b.house.counters["taken_over"] == 1


def test_a_node_that_lost_its_lease_steps_down_and_derives_the_answer(town, a, b, outside):
    outside.seconds = 20.0
    a.open(clerk)
    waiting = a.tell("1", "cat")
    town.wait(1.0)
    a.line.down = True
    with pytest.raises(StoreError):
        a.say("other", "x")
    town.wait(2 * LEASE + 5.0)
    assert b.house.counters["taken_over"] == 1
    outside.seconds = 1.0
    a.line.down = False
    with pytest.raises(StoreError):
        a.finish(waiting)
    assert texts(a.say("1", "cat")) == ["cat is 3.", "Yes?"]
    town.wait(40.0)
    assert town.kinds() == ["opened", "heard", "memo"]
    assert outside.words == ["cat", "cat"]
    assert outside.ended == outside.calls[1:]
    assert town.pending == []


def killed_again_and_again(town, outside, workflow, **args):
    """A session whose effect seems to kill every node that calls it; the node on which it was left alone."""
    outside.seconds = 1000.0
    node = town.node("n.0")
    node.open(workflow, args=args)
    if workflow is clerk:
        node.tell("1", "cat", patience=1.0)
    town.wait(1.0)
    for number in range(1, TAKE_OVERS + 4):
        node.kill()
        node = town.node(f"n.{number}")
        town.wait(10.0)
    outside.seconds = 0.0
    return node


def test_a_session_that_seems_to_kill_the_process_is_left_alone_and_reported(town, outside, caplog):
    node = killed_again_and_again(town, outside, clerk)
    assert len(outside.calls) == 1 + TAKE_OVERS
    assert "is left alone" in caplog.text
    assert SESSION in caplog.text
    with node.counting() as calls:
        town.wait(60)
    assert calls == []  # it is not even loaded
    assert caplog.text.count("is left alone") == 3  # by each node that came after
    assert town.pending == [SESSION]


def test_callers_of_a_session_that_is_left_alone_hear_an_apology(town, outside):
    node = killed_again_and_again(town, outside, clerk)
    assert node.collect("1", patience=5.0).state == "failed"
    assert node.say("1", "cat").state == "failed"
    assert node.say("2", "dog").state == "failed"
    assert town.kinds() == ["opened", "heard", "heard"]
    assert len(outside.calls) == 1 + TAKE_OVERS


def test_an_input_that_takes_the_conversation_elsewhere_sets_a_session_free_that_was_left_alone(town, outside):
    node = killed_again_and_again(town, outside, impatient, seconds=3600.0)
    assert texts(node.say("1", "quick")) == ["0: quick.", "Again?"]
    assert town.pending == []
    assert len(outside.calls) == 1 + TAKE_OVERS


def test_progress_resets_the_count_of_take_overs(town, outside):
    outside.seconds = 3.0
    node = town.node("n.0")
    node.open(clerk)
    for number in range(2 * TAKE_OVERS):
        node.tell(f"m{number}", "cat", patience=1.0)
        town.wait(1.0)
        node.kill()
        node = town.node(f"n.{number + 1}")
        assert texts(node.say(f"m{number}", "cat")) == ["cat is 3.", "Yes?"]
    assert node.house.counters["left_alone"] == 0


def test_many_writers_at_once_are_all_served(town, a, b):
    a.open(echo)
    waiting = [(node, node.tell(f"{node.name} {number}", "hi")) for number in range(10) for node in (a, b)]
    for node, each in waiting:
        assert texts(node.finish(each)) == ["You said hi.", "Yes?"]
    assert len(town.events()) == 21


def test_a_session_that_changes_too_fast_is_told_so(a, b):
    a.open(echo)

    def interfere(number):
        if a.line.calls[number] == "append":
            b.say(f"b{number}", "x")

    a.line.before = interfere
    with pytest.raises(StoreError, match="send it again"):
        a.say("1", "hi")
    a.line.before = lambda number: None
    assert texts(a.say("1", "hi")) == ["You said hi.", "Yes?"]


# -- failover --------------------------------------------------------------------------------------------------------------------------


def test_after_a_failover_everything_is_derived_anew(town, a):
    a.open(echo)
    a.say("1", "one")
    backup = town.backup()
    a.say("2", "two")
    town.fail_over(backup)
    assert texts(a.say("3", "three")) == ["You said three.", "Yes?"]
    assert [event.id for event in town.events()] == ["open", "1", "3"]
    assert texts(a.say("2", "two")) == ["You said two.", "Yes?"]
    assert [event.id for event in town.events()] == ["open", "1", "3", "2"]


def test_an_input_that_a_failover_took_away_is_taken_in_again_for_the_one_who_waits(town, a, outside):
    outside.seconds = 10.0
    a.open(clerk)
    backup = town.backup()
    waiting = a.tell("1", "cat")
    town.wait(1.0)
    town.fail_over(backup)
    assert town.kinds() == ["opened"]
    assert texts(a.finish(waiting)) == ["cat is 3.", "Yes?"]
    assert town.kinds() == ["opened", "heard", "memo"]
    assert outside.words == ["cat", "cat"]  # everything goes, running effects included
    assert outside.ended == [outside.calls[1]]
    town.wait(20)
    assert town.pending == []


def test_an_opening_that_a_failover_took_away_is_made_again_for_the_one_who_waits(town, a, outside):
    outside.seconds = 10.0
    backup = town.backup()
    waiting = a.tell("1", "cat", opening=opening(clerk))
    town.wait(1.0)
    town.fail_over(backup)
    assert texts(a.finish(waiting)) == ["Yes?", "cat is 3.", "Yes?"]


def test_a_result_of_before_a_failover_is_dropped(town, a, outside):
    a.open(clerk)
    backup = town.backup()
    outside.seconds = 3.0
    a.tell("1", "cat", patience=1.0)
    town.wait(2.9)
    town.fail_over(backup)
    assert texts(a.say("1", "cat")) == ["cat is 3.", "Yes?"]
    assert len(outside.calls) == 2


def test_a_result_that_is_held_over_a_failover_is_dropped(town, a, outside):
    outside.seconds = 1.0
    a.open(clerk)
    backup = town.backup()
    a.tell("1", "cat", patience=0.5)
    town.wait(0.9)
    a.line.down = True
    town.wait(1.0)
    a.line.down = False
    town.fail_over(backup)
    town.wait(5.0)
    assert town.kinds() == ["opened"]
    assert a.house.counters["dropped"] == 1 or a.house.counters["store_errors"] > 0
    assert texts(a.say("1", "cat")) == ["cat is 3.", "Yes?"]
    assert len(outside.calls) == 2


def test_an_alarm_of_before_a_failover_is_set_again(town, a):
    a.open(sleeper)
    backup = town.backup()
    a.say("1", "one")
    town.fail_over(backup)
    town.wait(70)
    assert town.kinds() == ["opened"]
    assert texts(a.say("1", "one")) == []
    assert len(town.due) == 1
    town.wait(70)
    assert texts(a.collect("1")) == ["one, I woke up.", "Yes?"]


def test_a_failover_to_before_the_opening_leaves_nothing_but_what_opens(town, a):
    backup = town.backup()
    a.open(echo)
    town.fail_over(backup)
    assert a.say("1", "hi").state == "handled"
    assert texts(a.open(echo)) == ["Yes?"]


# -- pages -----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_pages(monkeypatch):
    for module in (history, record, recall):
        monkeypatch.setattr(module, "PAGE", 4)
    monkeypatch.setattr("handlers.memory_history.PAGE", 4)
    monkeypatch.setattr("handlers.journal.PAGE", 4)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("turns", range(1, 14))
def test_a_long_history_is_read_in_pages(town, a, turns):
    a.open(echo)
    for number in range(turns):
        a.say(str(number), f"word {number}")
    a.evict()
    assert texts(a.say("last", "hi")) == ["You said hi.", "Yes?"]
    assert texts(a.say("0", "")) == ["You said word 0.", "Yes?"]


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("behind", range(1, 14))
def test_a_node_that_fell_far_behind_catches_up(town, a, b, behind):
    a.open(echo)
    for number in range(behind):
        b.say(str(number), "hi")
    assert texts(a.say("last", "hi")) == ["You said hi.", "Yes?"]
    assert len(town.events()) == behind + 2


@pytest.mark.usefixtures("small_pages")
def test_a_history_that_is_replaced_while_it_is_read_is_read_again(town, a, b):
    a.open(phoenix)
    for number in range(9):
        a.say(str(number), "hi")

    def replace(number):
        if b.line.calls[number] == "load" and b.line.calls.count("load") == 3:
            a.say("burn", "burn")
            for more in range(12):
                a.say(f"x{more}", "ho")

    b.line.before = replace
    assert texts(b.say("last", "hi")) == ["hi in life 2.", "Life 2?"]
    assert b.house.counters["conflicts"] == 0


@pytest.mark.usefixtures("small_pages")
def test_an_outage_in_the_middle_of_a_long_history_is_survived(town, a, b):
    a.open(echo)
    for number in range(9):
        a.say(str(number), "hi")
    b.line.faults.extend(["", "", "call lost"])
    with pytest.raises(StoreError):
        b.say("last", "hi")
    assert texts(b.say("last", "hi")) == ["You said hi.", "Yes?"]


def test_a_long_replay_lets_others_have_the_loop(a, monkeypatch):
    a.open(echo)
    for number in range(300):
        a.say(str(number), "hi")
    a.evict()
    clock, turns = [0.0], []

    def time():
        clock[0] += 0.001  # for whoever looks at the clock, time passes
        return clock[0]

    monkeypatch.setattr(a.process, "time", time)

    def others():
        turns.append(1)
        a.process.call_soon(others)

    a.process.call(others)
    assert texts(a.say("last", "hi")) == ["You said hi.", "Yes?"]
    assert len(turns) > 10
    monkeypatch.undo()


# -- how long a history is kept --------------------------------------------------------------------------------------------------------


def kept(town, session=SESSION):
    until = town.store.histories[session].until
    return None if until is None else (until - town.world.now()) / 1000


def test_a_resting_history_is_kept_for_its_ttl_from_the_last_word_on(town, a):
    a.open(echo)
    town.wait(1000)
    a.say("1", "hi")
    assert kept(town) == 30 * 86_400


def test_an_alarm_keeps_its_history(town, a):
    a.open(sleeper, args={"seconds": 20.0})
    a.say("1", "hi")
    assert kept(town) is None
    town.wait(20.1)
    assert kept(town) == pytest.approx(30 * 86_400, abs=1)


def test_what_is_outstanding_keeps_its_history_for_ever(town, a, outside):
    outside.seconds = 10.0
    a.open(clerk)
    a.tell("1", "cat")
    town.wait(1)
    assert kept(town) is None
    town.wait(10)
    assert kept(town) == pytest.approx(30 * 86_400, abs=11)


def test_an_errand_keeps_its_parents_history_and_its_own(town, a):
    a.open(boss, args={"seconds": 100.0})
    a.say("1", "cat")
    [errand] = [session for session in town.sessions() if session != SESSION]
    assert kept(town) is None
    assert kept(town, errand) is None
    town.wait(110)
    assert kept(town) == pytest.approx(30 * 86_400, abs=20)
    assert kept(town, errand) == pytest.approx(30 * 86_400, abs=20)


def test_an_expired_session_begins_anew(outside):
    town = Town(ALL, outside.bodies, sweeps=False)
    a = town.node("a.1")
    a.open(echo)
    a.say("1", "hi")
    gen = town.events()[0].gen
    town.wait(31 * 86_400)
    assert a.say("2", "ho").state == "handled"
    assert texts(a.say("1", "hi", opening=opening(echo))) == ["Yes?", "You said hi.", "Yes?"]
    assert town.events()[0].gen > gen
    town.close()


# -- time ------------------------------------------------------------------------------------------------------------------------------


def test_recorded_time_never_goes_back(town, a):
    @workflow(name="clock")
    async def clock(talk: Talk) -> None:
        while True:
            talk.say(str(talk.now.timestamp()))
            await talk.ask("Yes?", Words())

    node = town.node("c.1", [clock])
    first = float(texts(node.open(clock))[0])
    node.line.clock_error = -50_000
    assert float(texts(node.say("1", "hi"))[0]) == first
    node.line.clock_error = 50_000
    assert float(texts(node.say("2", "hi"))[0]) == first + 50
    times = [event.at for event in town.events()]
    assert times == sorted(times)


def test_a_new_generation_is_younger_than_the_one_before_even_when_the_clock_went_back(town, a):
    a.open(phoenix)
    before = town.events()[0].gen
    a.line.clock_error = -50_000
    a.say("1", "burn")
    middle = town.events()[0].gen
    assert middle > before
    a.say("2", "bye")
    a.say("3", "hi", opening=opening(phoenix), reopens=True)
    assert town.events()[0].gen > middle


def test_a_town_of_one_node_with_delays_gives_the_same_answers(outside):
    town = Town(ALL, outside.bodies, seed=3)
    node = town.node("a.1")
    node.line.delay = town.world._rng.random
    outside.seconds = 1.0
    assert texts(node.open(impatient)) == ["Well?"]
    assert texts(node.say("1", "quick")) == ["0: quick.", "Again?"]
    town.close()
