"""Sessions that cannot go on: what is known of them, what their callers hear, and how they are healed."""

import logging

import pytest
from support.house import SESSION, opening, texts
from support.workflows import buggy, echo, mended, other_echo

from workflows import Talk, Words, workflow
from workflows.events import Heard, decode, encode
from workflows.registry import Registry
from workflows.run import Run


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
