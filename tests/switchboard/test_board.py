"""The switchboard: one handler a session, nothing lost between two of them, and nobody left waiting."""

import pytest
from support.house import IDLE, SESSION, Town, opening, texts
from support.workflows import ALL, Outside, clerk, echo

from handlers.errors import GoneError, StoreError
from handlers.messages import Collect, Due, Evict, Gone, Idle, Inbound, Resume, Status
from handlers.reply import ReplyTo


@pytest.fixture
def outside():
    return Outside()


@pytest.fixture
def town(outside):
    town = Town(ALL, outside.bodies)
    yield town
    town.close()


@pytest.fixture
def node(town):
    return town.node("a.1")


def handler(node, session=SESSION):
    return node.board._slots[session].handler


def post(node, message):
    node.process.call(node.board.post, message)
    node.town.settle()


def test_all_messages_of_a_session_go_to_one_handler(town, node):
    node.open(echo)
    first = handler(node)
    node.say("1", "hi")
    node.collect("1")
    node.status()
    assert handler(node) is first
    assert node.live == 1


def test_every_session_has_a_handler_of_its_own(town, node):
    for number in range(50):
        node.open(echo, session=f"web:{number}")
    assert node.live == 50
    town.wait(2 * IDLE)
    assert node.live == 0


def test_the_handler_counts_what_was_forwarded_and_nothing_else(town, node, outside):
    outside.seconds = 1.0
    node.open(clerk)
    node.say("1", "cat")
    for message in (Resume(SESSION), Due(SESSION, 1, "0", 0)):
        post(node, message)
    node.status()
    node.collect("1")
    assert handler(node)._count == node.board._slots[SESSION].count == 6


@pytest.mark.parametrize("wrong", [Idle(SESSION, 1, 99), Idle(SESSION, 2, 1), Idle("web:2", 1, 1), Gone(SESSION, 2), Gone("web:2", 1)])
def test_a_notice_that_does_not_fit_moves_nobody(node, wrong):
    node.open(echo)
    before = handler(node)
    post(node, wrong)
    assert handler(node) is before
    assert not before.stopped


def test_a_notice_that_fits_evicts(node):
    node.open(echo)
    post(node, Idle(SESSION, 1, 1))
    assert node.live == 0
    assert node.house.counters["evictions"] == 1


def test_who_waits_for_the_store_is_not_asked_whether_there_is_anything_to_do(town, node):
    node.open(echo)
    node.line.delay = lambda: 5 * IDLE
    answer = node.tell("1", "hi")
    town.wait(4 * IDLE)
    assert handler(node).at_work
    assert handler(node).waiting == 0
    node.line.delay = None
    assert texts(node.finish(answer)) == ["You said hi.", "Yes?"]
    town.wait(2 * IDLE)
    assert node.live == 0


def test_who_knows_nothing_any_more_since_the_store_is_away_leaves_at_once(town, node):
    node.open(echo)
    node.line.down = True
    with pytest.raises(StoreError):
        node.say("1", "hi")
    assert node.live == 0
    node.line.down = False
    assert texts(node.say("1", "hi")) == ["You said hi.", "Yes?"]


def test_who_has_something_to_do_stays_while_the_store_is_away(town, node, outside):
    outside.seconds = 1.0
    node.open(clerk)
    waiting = node.tell("1", "cat")
    town.wait(0.5)
    node.line.down = True
    with pytest.raises(StoreError):
        node.say("2", "dog")
    assert node.live == 1
    node.line.down = False
    town.wait(10)
    assert outside.words == ["cat"]
    assert waiting.done()


def test_an_idle_notice_of_a_handler_that_died_since_is_taken_quietly(town, node, caplog):
    node.open(echo)
    slot = node.board._slots[SESSION]
    node.process.call(slot.handler.deliver, Evict())
    node.process.call(node.board.post, Idle(SESSION, 1, 1))
    town.settle()
    assert node.live == 0
    assert caplog.text == ""


def test_a_message_that_meets_a_dead_handler_opens_a_successor(town, node):
    node.open(echo)
    slot = node.board._slots[SESSION]
    node.process.call(slot.handler.deliver, Evict())
    town.settle()
    assert texts(node.say("1", "hi")) == ["You said hi.", "Yes?"]
    assert node.board._slots[SESSION].incarnation == 2


def test_the_farewell_of_an_incarnation_does_not_touch_its_successor(town, node):
    node.open(echo)
    post(node, Idle(SESSION, 1, 1))
    node.say("1", "hi")
    post(node, Gone(SESSION, 1))
    assert node.live == 1
    assert node.board._slots[SESSION].incarnation == 2


def test_an_unknown_message_is_logged_and_harms_nobody(node, caplog):
    node.open(echo)
    post(node, "what?")
    assert "knows no str" in caplog.text
    assert texts(node.say("1", "hi")) == ["You said hi.", "Yes?"]


def test_a_closed_switchboard_tells_all_who_wait(town, node, outside):
    outside.seconds = 100.0
    node.open(clerk)
    waiting = node.tell("1", "cat")
    town.wait(1)
    behind = node.tell("2", "dog")
    node.process.call(node.board.stop)
    for each in (waiting, behind):
        with pytest.raises(GoneError, match="again"):
            node.finish(each)
    assert node.live == 0


def test_what_is_posted_to_a_closed_switchboard_is_told_so(town, node):
    node.open(echo)
    node.process.call(node.board.stop)
    town.settle()
    for kind in (
        lambda reply: Inbound(SESSION, "1", "said", {"text": "hi"}, reply_to=reply),
        lambda reply: Collect(SESSION, "1", 0, reply),
        lambda reply: Status(SESSION, reply),
    ):
        with pytest.raises(GoneError, match="closed"):
            node.finish(node.send(kind))
    post(node, Resume(SESSION))
    post(node, Inbound(SESSION, "1"))


def test_behind_a_stop_in_the_inbox_nobody_waits_for_ever(town, node):
    node.open(echo)
    node.process.call(node.board.stop)
    late = node.tell("1", "hi")
    with pytest.raises(GoneError, match="closed"):
        node.finish(late)


def test_an_error_while_a_message_is_forwarded_fails_that_message_only(town, node, monkeypatch, caplog):
    node.open(echo)
    monkeypatch.setattr("switchboard.board.Handler", lambda *_: 1 / 0)
    broken = node.tell("1", "hi", session="web:2")
    with pytest.raises(GoneError):
        node.finish(broken)
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.undo()
    assert texts(node.say("1", "hi")) == ["You said hi.", "Yes?"]


def test_a_thousand_sessions_come_and_go(town, node):
    waiting = [
        node.send(lambda reply, number=number: Inbound(f"web:{number}", "m", "said", {"text": "x"}, opening(echo), reply_to=reply))
        for number in range(1000)
    ]
    for each in waiting:
        assert texts(node.finish(each)) == ["Yes?", "You said x.", "Yes?"]
    assert node.live == 1000
    town.wait(2 * IDLE)
    assert node.live == 0
    assert len(town.sessions()) == 1000


def test_a_reply_to_is_made_where_its_loop_runs(node):
    reply = node.process.call(ReplyTo)
    assert not reply.answered
    assert not reply.abandoned
