"""Errands across two sessions: started once, cancelled, asked about, and their results brought home whatever happens."""

from itertools import pairwise

import pytest
from support.house import SESSION, Town, opening, texts
from support.workflows import ALL, boss, chore, echo, look_up, manager, phoenix

from handlers.errands import CALLED_OFF, cancel
from handlers.history import partition_of
from handlers.journal import WATCH, WATCH_MS
from workflows import ErrandDone, Talk, TerminalError, Words, workflow
from workflows.events import Heard, Memo, Opened
from workflows.steps import Errand

WATCH_S = WATCH_MS / 1000


def errands(town):
    return [session for session in town.sessions() if session.startswith("errand:")]


def notices(town, session=SESSION):
    return [event for event in town.events(session) if isinstance(event, Heard) and event.type == "errand"]


def started(town):
    """How often the errands were opened in all their lives: by the seeds of their openings."""
    return [town.events(session)[0].seed for session in errands(town)]


@pytest.fixture
def slow_town(outside):
    """For waits of days: nobody sweeps but on request."""
    town = Town(ALL, outside.bodies, sweeps=False)
    yield town
    town.close()


def watch(town, node, session=SESSION):
    """Let the slow due entry of a session come."""
    town.wait(max(0.0, (due_at(town, session) - town.world.now()) / 1000) + 1)
    node.sweep(session)
    town.wait(1)


def due_at(town, session=SESSION):
    [at] = [at for member, at in town.due.items() if member.startswith(f"{session} ") and member.endswith(f"/{WATCH}")]
    return at


# -- from the start to the result ------------------------------------------------------------------------------------------------------


def test_an_errand_runs_in_a_session_of_its_own_and_its_result_comes_back(town, a, outside):
    outside.seconds = 2.0
    a.open(boss)
    answer = a.say("1", "cat")
    assert (texts(answer), answer.state) == ([], "answered")
    assert texts(a.collect("1")) == ["cat: cat is 3.", "What?"]
    [errand] = errands(town)
    assert town.kinds(errand) == ["opened", "memo"]
    assert town.kinds() == ["opened", "heard", "memo", "heard"]
    town.wait(1)
    assert town.pending == []
    assert town.due == {}


def test_an_errand_knows_its_parent_and_nobody_else(town, a):
    facts = opening(boss, channel="slack", line="T1", caller="U1", locale="fi-FI", time_zone="Europe/Helsinki", facts={"can_deliver": True})
    a.say("open", opening=facts, fresh=True)
    a.say("1", "cat")
    opened = town.events(errands(town)[0])[0]
    assert isinstance(opened, Opened)
    assert opened.parent == (SESSION, f"{town.events()[0].gen}/1")
    assert (opened.channel, opened.line, opened.caller) == ("errand", None, None)
    assert (opened.locale, opened.time_zone) == ("fi-FI", "Europe/Helsinki")


def test_the_key_of_an_errand_is_like_no_other(town, a):
    for session in ("web:1", "web:2"):
        a.open(boss, session=session)
        a.say("1", "cat", session=session)
    a.forget("web:1")
    town.wait(1)
    a.open(boss, "again", session="web:1")
    a.say("1", "cat", session="web:1")
    assert len(errands(town)) == 3


def test_a_failing_errand_tells_its_parent_why(town, a, outside):
    outside.trouble["cat"] = TerminalError("no cats here")
    a.open(boss)
    a.say("1", "cat")
    assert texts(a.collect("1"))[0] == "cat: StepFailed: look_up failed: TerminalError: no cats here."


def test_status_asks_the_errands_own_session(town, a, outside):
    a.open(manager)
    a.say("1", "start cat")
    assert texts(a.say("2", "status cat"))[0] == "cat: running, begun."
    a.evict()
    assert texts(a.say("3", "status cat"))[0] == "cat: running, begun."


def test_status_tells_of_an_errand_that_has_ended_on_another_node(town, a, b):
    a.open(manager)
    a.say("1", "start cat")
    a.say("2", "status cat")
    [errand] = errands(town)
    town.wait(80)
    a.say("3", "status cat")  # which keeps the errand's handler in memory, with what it knows
    b.say(f"{errand}/cancel", type="cancel", session=errand)
    assert texts(a.say("4", "status cat"))[0] == "cat: ended, begun."


def test_status_of_what_is_gone_is_unknown(town, a):
    a.open(manager)
    a.say("1", "start cat")
    a.forget(errands(town)[0])
    assert texts(a.say("2", "status cat"))[0] == "cat: unknown, None."
    assert a.status("web:nobody")["state"] == "unknown"


def test_several_errands_report_each_in_its_turn(town, a, outside):
    a.open(manager)
    for number, name in enumerate(("cat", "horse", "ox")):
        a.say(str(number), f"start {name}")
    town.wait(110)
    said = texts(a.collect("0"))
    for line in ("cat: cat is 3.", "horse: horse is 5.", "ox: ox is 2."):
        assert said.count(line) == 1
    town.wait(1)
    assert town.pending == []
    assert town.due == {}


def test_an_errand_may_give_errands(town, a, outside):
    @workflow(name="grand")
    async def grand(talk: Talk) -> None:
        await talk.ask("What?", Words())
        await talk.start(middle)
        talk.say(str((await talk.next(ErrandDone)).value))
        await talk.ask("More?", Words())

    @workflow(name="middle")
    async def middle(talk: Talk) -> str:
        await talk.start(chore, "cat", 5.0)
        done = await talk.next(ErrandDone)
        return f"I hear: {done.value}"

    node = town.node("c.1", [grand, middle, chore])
    node.open(grand)
    node.say("1", "go")
    assert texts(node.collect("1")) == ["I hear: cat is 3", "More?"]


# -- crashes ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", [0.05, 0.5, 1.5, 2.5, 3.5])
def test_a_crash_on_the_way_starts_no_second_errand_and_loses_no_result(town, a, outside, moment):
    outside.seconds = 2.0
    a.line.delay = lambda: 0.1
    a.open(boss, args={"seconds": 1.0})
    a.tell("1", "cat", patience=60.0)
    town.wait(moment)
    a.kill()
    b = town.node("b.1")
    assert b.say("1", "cat").state == "answered"
    assert texts(b.collect("1")) == ["cat: cat is 3.", "What?"]
    town.wait(20)
    assert len(errands(town)) == 1
    assert len(notices(town)) == 1
    assert town.pending == []
    assert town.due == {}


def test_a_notice_is_repeated_until_the_parent_has_it(town, a, outside):
    a.open(boss, args={"seconds": 5.0})
    a.say("1", "cat")
    [errand] = errands(town)
    a.line.faults.clear()
    town.wait(4.5)
    a.line.down = True
    town.wait(60)
    a.line.down = False
    assert texts(a.collect("1")) == ["cat: cat is 3.", "What?"]
    town.wait(10)
    assert len(notices(town)) == 1
    assert town.kinds(errand) == ["opened", "fired", "memo"]
    assert town.pending == []


def test_a_notice_that_is_repeated_is_heard_once(town, a, b):
    a.open(boss)
    a.say("1", "cat")
    town.wait(1)
    [errand] = errands(town)
    for node in (a, b):
        node.resume(errand)
        town.wait(1)
        node.evict()
        node.resume(errand)
        town.wait(1)
    assert len(notices(town)) == 1
    assert town.pending == []


# -- cancel ----------------------------------------------------------------------------------------------------------------------------


def test_a_cancelled_errand_ends_and_is_not_heard_of(town, a, outside):
    a.open(manager)
    a.say("1", "start cat")
    [errand] = errands(town)
    assert texts(a.say("2", "cancel cat")) == ["Order?"]
    assert town.kinds(errand) == ["opened", "heard"]
    town.wait(200)
    assert outside.words == []
    assert notices(town) == []
    assert town.pending == []
    assert town.due == {}
    assert texts(a.say("3", "status cat"))[0] == "cat: ended, begun."


def test_a_cancel_stops_what_its_errand_is_doing(town, a, outside):
    outside.seconds = 50.0
    a.open(manager)
    a.say("1", "start cat")
    town.wait(110)
    assert outside.words == ["cat"]
    a.say("2", "cancel cat")
    town.wait(100)
    assert outside.ended == []
    assert notices(town) == []
    assert town.pending == []


def test_a_result_that_crosses_its_cancel_is_discarded(town, a, outside):
    a.open(manager)
    a.say("1", "start cat")
    town.wait(99.9)
    a.line.delay = lambda: 0.05
    assert texts(a.say("2", "cancel cat")) == ["Order?"]
    town.wait(20)
    assert all("cat is" not in line for line in texts(a.collect("open", wait=False)))
    assert town.pending == []
    assert town.due == {}


def test_a_cancel_of_an_errand_that_is_gone_counts_as_told(town, a):
    a.open(manager)
    a.say("1", "start cat")
    a.forget(errands(town)[0])
    assert texts(a.say("2", "cancel cat")) == ["Order?"]
    assert errands(town) == []


def test_a_cancel_is_repeated_until_the_errand_has_it(town, a):
    a.open(manager)
    a.say("1", "start cat")
    [errand] = errands(town)
    a.evict()
    a.line.faults.extend(["", "", "call lost", "call lost"])  # load and append, then the errand's load
    a.say("2", "cancel cat")
    assert town.kinds(errand) == ["opened", "heard"]


def test_a_cancel_reaches_an_errand_that_this_node_once_saw_absent(town, a, b):
    key = "errand:0"
    assert a.status(key)["state"] == "unknown"
    b.say(key, session=key, opening=opening(chore, {"word": "cat", "seconds": 100.0}, channel="errand", parent=(SESSION, "1/0")))
    task = a.process.spawn(cancel(a, a.house.rng, Errand("1/0", key, "", "chore")))
    a.finish(task)
    assert town.kinds(key) == ["opened", "heard"]


# -- parents that restart, end, fail or are gone ---------------------------------------------------------------------------------------


def test_a_result_reaches_a_parent_that_has_restarted(town, a, outside):
    a.open(manager)
    a.say("1", "start cat")
    a.say("2", "restart")
    town.wait(110)
    assert "cat: cat is 3." in texts(a.collect("1"))
    assert town.pending == []
    assert town.due == {}


def test_a_result_of_a_cancelled_errand_stays_unheard_after_a_restart(town, a, outside):
    a.open(manager)
    a.say("1", "start cat")
    a.say("2", "cancel cat")
    a.say("3", "restart")
    town.wait(200)
    assert notices(town) == []
    assert town.due == {}


def test_a_result_for_a_parent_that_has_ended_is_logged_and_settled(town, a, caplog):
    a.open(manager)
    a.say("1", "start cat")
    a.say("2", "bye")
    town.wait(110)
    assert "nobody waits for the result" in caplog.text
    assert notices(town) == []
    assert town.pending == []
    assert town.due == {}


def test_a_result_for_a_parent_that_is_gone_is_logged_and_settled(town, a, caplog):
    a.open(boss, args={"seconds": 50.0})
    a.say("1", "cat")
    a.forget()
    town.wait(100)
    assert "nobody waits for the result" in caplog.text
    assert town.sessions() == errands(town)
    assert town.pending == []
    town.wait(1)
    assert town.due == {} or all(WATCH in member for member in town.due)


def test_a_result_for_a_former_life_of_its_parent_is_settled_and_unheard(town, a):
    a.open(manager)
    a.say("1", "start cat")
    a.say("2", "bye")
    a.say("3", "hello", opening=opening(phoenix), reopens=True)
    town.wait(110)
    assert notices(town) == []
    assert town.pending == []


@workflow(name="fragile")
async def fragile(talk: Talk) -> None:
    """Has a bug while an errand of it runs."""
    await talk.start(chore, "cat", 5.0)
    await talk.ask("Yes?", Words())
    raise ZeroDivisionError


@workflow(name="fragile")
async def sound(talk: Talk) -> None:
    """`fragile`, mended."""
    await talk.start(chore, "cat", 5.0)
    await talk.ask("Yes?", Words())
    done = await talk.next(ErrandDone)
    talk.say(str(done.value))
    await talk.ask("More?", Words())


def test_an_errand_does_not_insist_with_a_parent_that_has_failed(slow_town):
    town = slow_town
    node = town.node("c.1", [fragile, chore])
    node.open(fragile)
    assert node.say("1", "x").state == "failed"
    town.wait(10)
    with node.counting() as calls:
        town.wait(3600)
    assert len(calls) <= 3
    assert town.pending == []
    [errand] = errands(town)
    assert f"{errand} {town.events(errand)[0].gen}/{WATCH}" in town.due
    assert town.store.histories[errand].until is None


def test_the_result_reaches_a_failed_parent_when_its_code_is_mended(slow_town):
    town = slow_town
    node = town.node("c.1", [fragile, chore])
    node.open(fragile)
    node.say("1", "x")
    town.wait(10)
    [errand] = errands(town)
    assert notices(town) == []
    watch(town, node, errand)
    assert notices(town) == []  # still failed; the errand comes again
    assert due_at(town, errand) > town.world.now() + 1000
    node.kill()
    after = town.node("d.1", [sound, chore])
    watch(town, after, errand)
    assert len(notices(town)) == 1
    assert texts(after.collect("1")) == ["cat is 3", "More?"]
    town.wait(1)
    assert town.pending == []
    assert town.due == {}


def test_a_mended_parent_asks_for_its_results_itself(slow_town):
    town = slow_town
    node = town.node("c.1", [fragile, chore])
    node.open(fragile)
    node.say("1", "x")
    town.wait(10)
    node.kill()
    after = town.node("d.1", [sound, chore])
    watch(town, after)
    assert texts(after.collect("1")) == ["cat is 3", "More?"]
    town.wait(1)
    assert town.pending == []


# -- the slow watch --------------------------------------------------------------------------------------------------------------------


def test_a_parent_that_waits_for_an_errand_is_watched_and_no_other(town, a):
    a.open(boss, args={"seconds": 60.0})
    assert town.due == {}
    a.say("1", "cat")
    gen = town.events()[0].gen
    assert due_at(town) == gen + WATCH_MS
    town.wait(70)
    assert town.due == {}


def test_the_watch_starts_an_errand_again_that_a_failover_took_away(slow_town, outside):
    town = slow_town
    a = town.node("a.1")
    a.open(boss, args={"seconds": 60.0})
    backup = town.backup()
    a.say("1", "cat")
    [errand] = errands(town)
    town.fail_over(backup, errand)
    assert errands(town) == []
    a.evict()
    watch(town, a)
    assert errands(town) == [errand]
    opened = town.events(errand)[0]
    assert isinstance(opened, Opened)
    assert opened.args == {"word": "cat", "seconds": 60.0}
    town.wait(60)
    a.sweep(errand)
    town.wait(10)
    assert texts(a.collect("1")) == ["cat: cat is 3.", "What?"]


def test_the_watch_asks_again_for_a_notice_that_a_failover_took_away(slow_town, outside):
    town = slow_town
    a = town.node("a.1")
    outside.seconds = 5.0
    a.open(boss)
    a.say("1", "cat")
    backup = town.backup()
    town.wait(6)
    assert len(notices(town)) == 1
    town.fail_over(backup, SESSION)
    assert notices(town) == []
    watch(town, a)
    assert len(notices(town)) == 1
    assert texts(a.collect("1")) == ["cat: cat is 3.", "What?"]
    town.wait(1)
    assert town.pending == []
    assert town.due == {}


def test_the_watch_starts_an_errand_of_a_former_generation_again(slow_town, outside):
    town = slow_town
    a = town.node("a.1")
    a.open(manager)
    backup = town.backup()
    a.say("1", "start cat")
    a.say("2", "restart")
    [errand] = errands(town)
    town.fail_over(backup, errand)
    watch(town, a)
    assert errands(town) == [errand]
    assert town.events(errand)[0].args == {"word": "cat", "seconds": 100.0}


def test_an_errand_that_was_called_off_in_a_life_that_is_lost_tells_its_parent_so(slow_town):
    town = slow_town
    a = town.node("a.1")
    a.open(manager)
    backup = town.backup()
    a.say("1", "start cat")
    a.say("2", "cancel cat")
    [errand] = errands(town)
    town.fail_over(backup, SESSION)
    a.say("1", "start cat")  # the very same errand, which has been called off
    assert errands(town) == [errand]
    town.wait(1)
    assert f"cat: {CALLED_OFF}." in texts(a.collect("1"))
    assert town.pending == []
    assert town.due == {}


def test_another_errand_at_the_step_of_one_that_is_lost_is_not_taken_for_it(slow_town, outside):
    town = slow_town
    a = town.node("a.1")
    a.open(boss, args={"seconds": 5.0})
    backup = town.backup()
    a.say("1", "cat")
    town.fail_over(backup, SESSION)
    a.say("2", "horse")
    assert len(errands(town)) == 2
    assert texts(a.collect("2")) == ["horse: horse is 5.", "What?"]
    town.wait(60)
    assert "cat" not in str(texts(a.collect("open", wait=False)))  # the lost one's result is nobody's
    assert town.pending == []


def test_the_watch_comes_again_and_again(slow_town, outside):
    town = slow_town
    a = town.node("a.1")
    a.open(boss, args={"seconds": 40 * 3600.0})
    a.say("1", "cat")
    times = []
    for _ in range(4):
        times.append(due_at(town))
        watch(town, a)
    assert [after - before for before, after in pairwise(times)] == [WATCH_MS] * 3
    assert len(set(started(town))) == 1
    assert town.pending == []


def test_the_watch_comes_however_often_its_session_is_loaded(slow_town, outside):
    town = slow_town
    a = town.node("a.1")
    a.open(boss, args={"seconds": 40 * 3600.0})
    a.say("1", "cat")
    first = due_at(town)
    for number in range(5):
        town.wait(3600)
        a.evict()
        a.say(f"x{number}", "are you there?")
        assert due_at(town) == first


def test_a_result_that_waits_unread_is_not_watched(town, a):
    @workflow(name="deaf")
    async def deaf(talk: Talk) -> None:
        await talk.start(chore, "cat")
        while await talk.ask("Yes?", Words()) != "listen":
            pass
        talk.say(str((await talk.next(ErrandDone)).value))
        await talk.ask("More?", Words())

    node = town.node("c.1", [deaf, chore])
    node.open(deaf)
    town.wait(5)
    assert len(notices(town)) == 1
    assert town.due == {}
    assert town.store.histories[SESSION].until is not None
    node.say("1", "listen")
    assert texts(node.collect("1")) == ["cat is 3", "More?"]


def test_an_entry_of_the_watch_that_nobody_wants_is_cleared(slow_town):
    town = slow_town
    a = town.node("a.1")
    a.open(echo)
    gen = town.events()[0].gen
    index = town.store.partitions[partition_of(SESSION)]
    index.due[f"{SESSION} {gen}/{WATCH}"] = town.world.now() - 5
    index.due[f"{SESSION} {gen - 9}/{WATCH}"] = town.world.now() - 5
    a.sweep(SESSION)
    town.wait(1)
    assert town.due == {}


# -- starts ----------------------------------------------------------------------------------------------------------------------------


def test_a_start_of_a_branch_that_lost_leaves_an_errand_whose_result_is_not_heard(town, a, outside):
    @workflow(name="fickle")
    async def fickle(talk: Talk) -> None:
        async def begin() -> str:
            return (await talk.start(chore, "cat", 3.0)).id

        async def ear() -> str:
            return await talk.listen(Words())

        await talk.first(begin(), ear())
        talk.say("Well.")
        await talk.ask("More?", Words())

    node = town.node("c.1", [fickle, chore])
    node.line.delay = lambda: 0.5
    opened = node.tell("open", opening=opening(fickle), fresh=True)
    town.wait(1.2)
    assert town.kinds() == ["opened"]
    node.line.delay = None
    node.say("1", "never mind")
    node.finish(opened)
    town.wait(20)
    assert not any(isinstance(event, Memo) for event in town.events())
    assert town.pending == []


def test_a_workflow_that_only_the_parents_node_knows_makes_a_failed_errand_that_can_be_mended(town, outside):
    node = town.node("c.1", [boss])  # boss refers to chore, so that its node knows it; the other does not
    node.open(boss, args={"seconds": 5.0})
    node.say("1", "cat")
    [errand] = errands(town)
    other = town.node("d.1", [echo])
    assert other.status(errand)["state"] == "failed"
    town.wait(20)
    assert look_up.name == "look_up"


def test_a_notice_that_comes_before_its_start_is_given_again_when_it_is_waited_for(town, a, outside):
    outside.seconds = 5.0
    a.open(boss)
    backup = town.backup()
    a.say("1", "cat")
    town.fail_over(backup, SESSION)
    town.wait(20)  # the errand has ended; its parent knows of none
    assert notices(town) == []
    a.say("1", "cat")
    assert texts(a.collect("1")) == ["cat: cat is 3.", "What?"]
    assert len(notices(town)) == 1
    assert outside.words == ["cat"]
