"""What is said in a session whose channel pushes: posted once, in order, by who leads, and recorded; placeholders meanwhile."""

import pytest
from support.house import SESSION, opening
from support.office import Office, clerk, mended

from handlers.deliveries import LONGEST_FACT, MOST_FACTS, bounded
from handlers.history import LEASE_MS, partition_of
from handlers.journal import TAKE_OVERS
from handlers.right_of_way import LONGEST
from workflows import Choice, Words
from workflows.conversation import APOLOGY
from workflows.events import Opened


@pytest.fixture
def office():
    office = Office()
    yield office
    office.town.close()


def test_what_is_said_is_posted_and_its_receipt_is_recorded(office):
    node = office.node("a.1")
    office.open(node)
    assert office.said == ["Life 1."]
    assert office.receipts() == [((0, 0), {"ts": 0})]
    node.say("1", "hello")
    office.town.wait(5.0)
    assert office.said == ["Life 1.", "You said hello."]
    assert office.receipts() == [((0, 0), {"ts": 0}), ((2, 0), {"ts": 1})]
    assert office.wall.looks == 0
    assert office.town.pending == []


def test_nothing_is_posted_where_the_opening_does_not_say_so(office):
    node = office.node("a.1")
    node.open(clerk, channel="wall")
    node.say("1", "twice")
    office.town.wait(5.0)
    assert office.said == []
    assert office.town.kinds() == ["opened", "heard"]


def test_an_output_is_posted_when_the_one_before_is_on_record(office):
    node = office.node("a.1")
    office.open(node)
    seen = []
    office.messengers["a.1"].begin = lambda delivery, look: seen.append((delivery.output.text, len(office.receipts())))
    node.say("1", "twice")
    assert office.town.pending == [SESSION]
    office.town.wait(5.0)
    assert seen == [("One.", 1), ("Two.", 2)]


def test_a_delivery_tells_its_turn_and_whether_it_answers_it(office):
    node = office.node("a.1")
    office.open(node)
    node.say("1", "later")
    office.town.wait(3700.0)
    first, last = (post.delivery for post in office.wall.posts)
    assert (first.turn, first.answers) == ("open", True)
    assert (last.turn, last.answers, last.output.text) == ("1", False, "Now.")
    assert last.place.opened.facts == {"pushes": True}
    assert last.key.startswith(f"{SESSION}/{last.place.gen}/{last.position}.{last.ordinal}/")
    assert last.key != first.key


def test_the_last_words_before_a_listen_tell_what_is_listened_for(office):
    node = office.node("a.1")
    office.open(node)
    node.say("1", "choose")
    office.town.wait(5.0)
    assert [post.delivery.prompt.listen for post in office.wall.posts] == [Words(), Choice({"a": "A", "b": "B"})]


def test_what_was_answered_meanwhile_is_not_asked_for_any_more(office):
    node = office.node("a.1")
    office.open(node)
    office.messengers["a.1"].busy = lambda: 10.0
    node.say("1", "hello")
    node.say("2", "choose")
    node.say("3", "a")
    office.town.wait(60.0)
    assert office.said[1:] == ["You said hello.", "Which?", "You chose a."]
    assert [post.delivery.prompt is None for post in office.wall.posts[1:]] == [False, True, False]


def test_what_is_posted_gives_way_to_inputs_on_their_way(office):
    node = office.node("a.1")
    office.open(node)
    node.house.way.come()
    node.tell("1", "hello")
    node.tell("2", "think")
    office.town.wait(LONGEST / 2)
    assert office.said == ["Life 1."]
    node.process.call(node.house.way.go)
    office.town.wait(5.0)
    assert office.said == ["Life 1.", "You said hello.", "I thought about think."]


def test_a_placeholder_gives_way_to_inputs_on_their_way(office):
    node = office.node("a.1")
    office.open(node)
    node.house.way.come()
    node.tell("1", "think")
    office.town.wait(LONGEST / 2)
    assert office.messengers["a.1"].calls[1:] == []
    office.town.wait(LONGEST)
    assert office.messengers["a.1"].calls[1:] == [("expect", "1", False)], "though the way is never clear"


# -- placeholders --------------------------------------------------------------------------------------------------------------------------


def test_a_placeholder_stands_while_an_effect_works_for_a_turn_that_has_said_nothing(office):
    node = office.node("a.1")
    office.open(node)
    node.tell("1", "think")
    office.town.wait(0.5)
    assert [each.turn for each in office.wall.placeholders.values()] == ["1"]
    office.town.wait(5.0)
    assert office.wall.placeholders == {}
    assert office.messengers["a.1"].calls[1:] == [("expect", "1", False), ("post", "I thought about think.", False)]


def test_a_placeholder_goes_when_the_turn_ends_without_a_word(office):
    node = office.node("a.1")
    office.open(node)
    node.tell("1", "silence")
    office.town.wait(0.5)
    assert len(office.wall.placeholders) == 1
    office.town.wait(5.0)
    assert office.wall.placeholders == {}
    assert office.messengers["a.1"].calls[1:] == [("expect", "1", False), ("give up", "1", False)]
    assert office.town.pending == []


def test_a_placeholder_goes_when_the_effect_takes_too_long(office):
    office.seconds = 60.0
    node = office.node("a.1")
    office.open(node)
    node.tell("1", "short")
    office.town.wait(1.0)
    assert len(office.wall.placeholders) == 1
    office.town.wait(10.0)
    assert office.wall.placeholders == {}
    assert office.town.pending == []


def test_what_is_done_while_the_caller_is_listened_to_has_no_placeholder(office):
    node = office.node("a.1")
    office.open(node)
    node.tell("1", "aside")
    office.town.wait(10.0)
    assert [call[0] for call in office.messengers["a.1"].calls] == ["post", "post"]
    assert [post.delivery.answers for post in office.wall.posts] == [True, False]


@pytest.mark.parametrize("word", ["think", "silence"])
def test_who_takes_over_looks_for_the_placeholder(office, word):
    office.seconds = 7.0
    node = office.node("a.1")
    office.open(node)
    node.tell("1", word)
    office.town.wait(1.0)
    node.kill()
    office.node("b.1")
    office.town.wait(60.0)
    assert office.messengers["b.1"].calls[0] == ("expect", "1", True)
    assert office.wall.placeholders == {}
    assert office.said[1:] == (["I thought about think."] if word == "think" else [])
    assert office.town.pending == []


def test_a_placeholder_goes_though_its_node_dies_when_the_turn_ends_without_a_word(office):
    node = office.node("a.1")
    office.open(node)
    node.tell("1", "silence")
    office.town.wait(0.5)
    node.line.after = lambda number: node.kill()  # the memo is stored, and nobody hears of it
    office.town.wait(2.0)
    assert node.dead
    office.node("b.1")
    office.town.wait(60.0)
    assert office.messengers["b.1"].calls == [("give up", "1", True)]
    assert office.wall.placeholders == {}
    assert office.town.pending == []


def test_who_waits_for_a_session_that_is_left_alone_is_told_so_once(office):
    office.seconds = 1_000.0
    a = office.node("a.1")
    office.open(a)
    a.tell("1", "think")
    office.town.wait(1.0)
    a.kill()
    office.town.store.partitions[partition_of(SESSION)].owner[SESSION] = ("a.1", TAKE_OVERS)
    b = office.node("b.1")
    office.town.wait(10.0)
    assert office.messengers["b.1"].calls == []
    b.tell("2", "hello?")
    b.tell("3", "hello??")
    office.town.wait(10.0)
    assert office.messengers["b.1"].calls == [("apologise", "1", True)]
    assert office.wall.placeholders == {}
    assert office.town.pending == [SESSION]


# -- who posts -----------------------------------------------------------------------------------------------------------------------------


def test_who_takes_over_looks_before_posting(office):
    node = office.node("a.1")
    office.open(node)
    node.tell("1", "hello")
    office.town.world.run(lambda: len(office.said) == 2)
    node.kill()  # between post and receipt
    office.node("b.1")
    office.town.wait(60.0)
    assert office.messengers["b.1"].calls == [("post", "You said hello.", True)]
    assert office.said == ["Life 1.", "You said hello."]
    assert office.receipts()[-1] == ((2, 0), {"ts": 1})
    assert office.town.pending == []


def test_who_takes_over_posts_what_is_not_there(office):
    node = office.node("a.1")
    office.open(node)
    office.messengers["a.1"].busy = lambda: 100.0
    node.say("1", "twice")
    node.kill()
    office.node("b.1")
    office.town.wait(60.0)
    assert office.messengers["b.1"].calls == [("post", "One.", True), ("post", "Two.", True)]
    assert office.said[1:] == ["One.", "Two."]


def test_who_hears_again_looks_before_posting(office):
    node = office.node("a.1")
    office.open(node)
    node.line.faults.append("reply lost")
    node.say("1", "hello")
    office.town.wait(5.0)
    assert office.messengers["a.1"].calls[-1] == ("post", "You said hello.", True)
    assert office.said[1:] == ["You said hello."]


def test_who_steps_down_posts_nothing_more(office):
    a, b = office.node("a.1"), office.node("b.1")
    office.open(a)
    office.messengers["a.1"].busy = lambda: 30.0  # it has to wait before it may post
    a.say("1", "hello")
    a.line.down = True
    office.town.wait(LEASE_MS / 1000 + 20.0)
    a.line.down = False
    office.town.wait(60.0)
    assert office.said[1:] == ["You said hello."]
    assert [post.by for post in office.wall.posts[1:]] == ["b.1"]
    assert b.live + a.live <= 2


def test_who_stood_still_until_the_lease_ran_out_asks_before_posting(office):
    a = office.node("a.1")
    office.open(a)
    a.tell("1", "hello")
    office.town.world.run(lambda: len(office.town.events()) == 3)  # stored, and the reply is on its way
    office.town.world.freeze(a.process)
    office.node("b.1")
    office.town.wait(30.0)
    assert office.said[1:] == ["You said hello."]
    office.town.world.thaw(a.process)
    office.town.wait(30.0)
    assert office.said[1:] == ["You said hello."]


def test_a_receipt_is_kept_while_the_store_is_down(office):
    node = office.node("a.1")
    office.open(node)
    node.tell("1", "hello")
    office.town.world.run(lambda: len(office.said) == 2)
    node.line.down = True
    office.town.wait(3.0)
    node.line.down = False
    office.town.wait(20.0)
    assert office.said == ["Life 1.", "You said hello."]
    assert office.receipts()[-1] == ((2, 0), {"ts": 1})
    assert office.town.pending == []


def test_what_an_effect_came_to_is_kept_when_the_messenger_is_done_while_the_store_is_lost(office):
    node = office.node("a.1")
    office.open(node)
    node.tell("1", "think")
    office.town.wait(0.05)
    node.line.faults.extend(["call lost", "call lost"])
    node.line.delay = lambda: 1.0
    node.resume()  # it asks the store, and in vain; meanwhile the placeholder stands, and the effect comes to its result
    office.town.wait(3.0)
    node.line.delay = None
    office.town.wait(20.0)
    assert office.thoughts == 1
    assert office.said[1:] == ["I thought about think."]


def test_a_messenger_that_raises_is_asked_again_and_looks(office, caplog):
    node = office.node("a.1")
    office.open(node)
    messenger = office.messengers["a.1"]
    faults = [RuntimeError("oh")] * 3

    def begin(delivery, look):
        if faults:
            raise faults.pop()

    messenger.begin = begin
    node.say("1", "hello")
    office.town.wait(60.0)
    assert [look for _, _, look in messenger.calls[1:]] == [False, True, True, True]
    assert office.said[1:] == ["You said hello."]
    assert "it will be asked again" in caplog.text


def test_a_placeholder_that_goes_wrong_is_logged_and_stops_nothing(office, caplog):
    node = office.node("a.1")
    office.open(node)

    async def fail(expected, *, look, failed=False):
        raise RuntimeError("oh")

    office.messengers["a.1"].expect = office.messengers["a.1"].give_up = fail
    node.say("1", "think")
    node.say("2", "silence")
    office.town.wait(10.0)
    assert office.said[1:] == ["I thought about think."]
    assert caplog.text.count("failed at the placeholder") == 3
    assert office.town.pending == []


def test_a_channel_that_is_not_there_is_reported_and_what_waits_is_sent_when_it_is(office, caplog):
    node = office.town.node("a.1")
    node.open(clerk, channel="wall", facts={"pushes": True})
    office.town.wait(30.0)
    assert "nobody sees what is said there" in caplog.text
    assert office.town.pending == [SESSION]
    node.kill()
    office.node("b.1")
    office.town.wait(30.0)
    assert office.said == ["Life 1."]
    assert office.town.pending == []


def test_a_delivery_is_progress(office):
    """Each node dies after one delivery: that many take-overs are no sign of something that kills."""
    office.open(office.node("n.0"))
    node = office.town.nodes[0]
    node.say("1", "twice")
    for number in range(1, 9):
        office.town.wait(1.0)
        node.kill()
        node = office.node(f"n.{number}")
        office.town.wait(8.0)
        node.tell(f"2.{number}", "twice")
        office.town.wait(0.3)
    office.town.wait(60.0)
    assert office.said[1:] == ["One.", "Two."] * 9
    assert office.town.pending == []


# -- generations ---------------------------------------------------------------------------------------------------------------------------


def test_the_last_words_of_a_session_are_posted(office):
    node = office.node("a.1")
    office.open(node)
    node.say("1", "bye")
    assert office.town.pending == [SESSION]
    assert office.town.store.histories[SESSION].until is None
    office.town.wait(5.0)
    assert office.said[-1] == "Bye."
    assert office.town.pending == []
    assert office.town.store.histories[SESSION].until is not None


def test_a_restart_waits_until_everything_is_sent(office):
    node = office.node("a.1")
    office.open(node)
    office.messengers["a.1"].busy = lambda: 3.0
    node.tell("1", "again")
    office.town.wait(2.0)
    assert office.town.kinds() == ["opened", "sent", "heard"]
    office.town.wait(10.0)
    assert office.said == ["Life 1.", "Again.", "Life 2."]
    assert [event.base for _, event in office.town.log if isinstance(event, Opened)] == [0, 4]
    assert office.receipts() == [((4, 0), {"ts": 2})]


def test_an_input_that_reopens_waits_for_the_last_words(office):
    node = office.node("a.1")
    office.open(node)
    office.messengers["a.1"].busy = lambda: 3.0
    node.say("1", "bye")
    again = node.tell("2", "hello", reopens=True, opening=opening(clerk, channel="wall", facts={"pushes": True}))
    office.town.wait(2.0)
    assert not again.done()
    office.town.wait(30.0)
    assert again.result().state == "answered"
    assert office.said == ["Life 1.", "Bye.", "Life 1.", "You said hello."]


def test_an_input_that_reopens_waits_for_what_another_node_posts(office):
    a, b = office.node("a.1"), office.node("b.1")
    office.open(a)
    office.messengers["a.1"].busy = lambda: 3.0
    a.say("1", "bye")
    again = b.tell("2", "hello", reopens=True, opening=opening(clerk, channel="wall", facts={"pushes": True}))
    office.town.wait(1.0)
    assert not again.done()
    office.town.wait(30.0)
    assert again.result().state == "answered"
    assert office.said == ["Life 1.", "Bye.", "Life 1.", "You said hello."]


def test_a_failed_session_posts_what_it_said_and_an_apology(office):
    node = office.node("a.1")
    office.open(node)
    node.say("1", "bug")
    office.town.wait(5.0)
    assert office.said[1:] == ["Well,", APOLOGY.text]
    assert office.receipts()[1:] == [((2, 0), {"ts": 1}), ((2, 1), {"ts": 2, "apology": True})]
    assert office.town.pending == []


def test_mended_code_posts_its_own_words_where_the_apology_was(office):
    node = office.node("a.1")
    office.open(node)
    node.say("1", "crash")
    office.town.wait(5.0)
    node.kill()
    other = office.node("b.1", [mended])
    other.status()
    office.town.wait(10.0)
    assert office.said[1:] == [APOLOGY.text, "You said crash, didn't you?"]
    assert office.town.pending == []
    other.kill()
    office.node("c.1").status()  # somebody brings the old code back
    office.town.wait(10.0)
    assert len(office.said) == 3
    assert office.town.pending == []


def test_words_stream_to_where_the_placeholder_stands(office):
    node = office.node("a.1")
    office.open(node)
    node.tell("1", "tell")
    office.town.wait(20.0)
    assert office.messengers["a.1"].spoken == ["Once", "Once upon", "Once upon a time."]
    assert office.said[1:] == ["Once upon a time."]


def test_words_do_not_stream_over_what_the_turn_has_said(office):
    node = office.node("a.1")
    office.open(node)
    node.tell("1", "tell more")
    office.town.wait(20.0)
    assert office.messengers["a.1"].spoken == []
    assert office.said[1:] == ["Let me see.", "Once upon a time."]


# -- receipts ------------------------------------------------------------------------------------------------------------------------------


def test_a_receipt_is_recorded_in_plain_values_of_bounded_size():
    assert bounded({"ts": "17.1", "parts": 3, "ok": True, "none": None, "share": 0.5}) == {
        "ts": "17.1", "parts": 3, "ok": True, "none": None, "share": 0.5,
    }  # fmt: skip
    assert bounded({"text": "x" * 1000, "half": "\ud83d", "big": 2**70, "list": [1]}) == {
        "text": "x" * LONGEST_FACT, "half": "\ufffd", "big": str(2**70), "list": "[1]",
    }  # fmt: skip
    assert len(bounded({str(number): number for number in range(1000)})) == MOST_FACTS
    assert bounded({"apology": True}) == {}
