"""What has to be sent where a channel pushes: it follows from the history alone, and receipts take it away."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from support.bare_run import BareRun, replayed

from workflows import Choice, Talk, Words, effect, workflow
from workflows.conversation import APOLOGY
from workflows.errors import NondeterminismError
from workflows.events import Opened, Sent, decode, encode
from workflows.registry import Registry
from workflows.run import Run

PUSHES = {"pushes": True}
UID = bytes(8)


@effect
async def ponder(word: str) -> str: ...


@workflow(name="talker")
async def talker(talk: Talk) -> None:
    talk.say("One.")
    word = await talk.ask("Two?", Words())
    if word == "bug":
        talk.say("Well,")
        raise RuntimeError("a bug")
    if word == "choose":
        await talk.ask("Which?", Choice({"a": "A"}))
    if word == "remind":
        await talk.gather(talk.listen(Choice({"a": "A"})), remind(talk))
    talk.say(await talk.call(ponder, word))


async def remind(talk: Talk) -> None:
    await talk.sleep(timedelta(hours=1))
    talk.say("It is time.")


@workflow(name="talker")
async def terse(talk: Talk) -> None:
    """The same conversation in other words, and fewer."""
    word = await talk.ask("One, two?", Words())
    talk.say(f"Really, {word}?")
    await talk.call(ponder, word)


def unsent(run: Run) -> list[tuple[tuple[int, int], str, str, bool]]:
    return [(each.number, each.output.text, each.turn, each.answers) for each in run.unsent]  # type: ignore[union-attr]


def receipt(number: tuple[int, int], **more: Any) -> Sent:
    return Sent(0, 0, 0, number, {"ts": "1.2"} | more)


def test_nothing_has_to_be_sent_where_the_opening_does_not_say_so() -> None:
    run = BareRun(talker)
    assert run.run.unsent == ()
    assert run.run.turns.outgoing is None


def test_what_is_said_has_to_be_sent_until_its_receipt_is_on_record() -> None:
    run = BareRun(talker, facts=PUSHES)
    assert unsent(run.run) == [((0, 0), "One.", "opening", True), ((0, 1), "Two?", "opening", True)]
    run.feed(receipt((0, 0)))
    assert unsent(run.run) == [((0, 1), "Two?", "opening", True)]
    run.say("hi", id_="1")
    run.feed(receipt((0, 1)))
    run.memo("ponder", "Hm.")
    assert unsent(run.run) == [((4, 0), "Hm.", "1", True)]
    assert unsent(replayed("web:1", run.elements, Registry([talker]))) == unsent(run.run)


def test_the_last_words_before_a_listen_carry_what_is_listened_for() -> None:
    run = BareRun(talker, facts=PUSHES)
    one, two = run.run.unsent
    assert one.prompt is None
    assert two.prompt is not None
    assert two.prompt.listen == Words()


def test_what_is_said_while_a_listen_is_open_does_not_ask_anew() -> None:
    run = BareRun(talker, facts=PUSHES)
    run.say("remind", id_="1")
    run.fire()
    (_, _, reminder) = run.run.unsent
    assert (reminder.output.text, reminder.answers) == ("It is time.", False)  # type: ignore[union-attr]
    run.feed(receipt((2, 0)))
    assert run.run.prompt is not None


@pytest.mark.parametrize(
    ("number", "why"),
    [((0, 0), "that has one"), ((9, 0), "that was not said yet"), ((2, 0), "that was not said yet")],
)
def test_a_receipt_that_cannot_be_is_an_error(number: tuple[int, int], why: str) -> None:
    run = BareRun(talker, facts=PUSHES)
    run.feed(receipt((0, 0)))
    with pytest.raises(NondeterminismError, match=why):
        run.feed(receipt(number))


def test_a_receipt_of_a_former_generation_is_an_error() -> None:
    opened = decode(BareRun(talker, facts=PUSHES).elements[0])
    assert isinstance(opened, Opened)
    run = Run("web:1", msgspec.structs.replace(opened, base=100), Registry([talker]))
    assert run.unsent[0].number == (100, 0)
    with pytest.raises(NondeterminismError, match="another generation"):
        run.feed(receipt((99, 0)))


def test_words_may_be_changed_behind_receipts() -> None:
    """That code now says less than was sent, or more where something later was sent, is no error, and nothing old is sent."""
    run = BareRun(talker, facts=PUSHES)
    run.feed(receipt((0, 0)))
    run.feed(receipt((0, 1)))
    run.say("hi", id_="1")
    other = replayed("web:1", run.elements, Registry([terse]))
    assert unsent(other) == [((3, 0), "Really, hi?", "1", True)]
    run.memo("ponder", "Hm.")
    run.feed(receipt((4, 0)))
    assert unsent(replayed("web:1", run.elements, Registry([terse]))) == []


def test_a_failed_run_says_that_its_apology_is_none_of_the_workflows_words() -> None:
    run = BareRun(talker, facts=PUSHES)
    run.say("bug", id_="1")
    assert [each.apology for each in run.run.unsent] == [False, False, False, True]
    assert run.run.unsent[-1].output == APOLOGY


def test_the_receipt_of_an_apology_is_none_of_what_mended_code_says() -> None:
    run = BareRun(talker, facts=PUSHES)
    for number in ((0, 0), (0, 1)):
        run.feed(receipt(number))
    run.say("bug", id_="1")
    run.feed(receipt((3, 0)))
    run.feed(receipt((3, 1), apology=True))
    assert unsent(run.run) == []
    healed = replayed("web:1", [*run.elements[:-2], run.elements[-1]], Registry([terse]))
    assert unsent(healed) == [((3, 0), "Really, bug?", "1", True)]


def test_an_errand_has_its_parents_facts_and_nothing_to_send() -> None:
    run = BareRun(talker, facts=PUSHES, parent=("web:0", "1/2"))
    assert run.run.turns.outgoing is None


def test_a_receipt_may_come_when_other_steps_are_open() -> None:
    """A failed run waits for nothing, its mended code may wait for something."""
    run = BareRun(talker, facts=PUSHES)
    run.feed(receipt((0, 0)))
    element = run.elements[-1]
    event = decode(element)
    assert isinstance(event, Sent)
    altered = encode(Sent(event.at, event.shape + 1, event.words, event.output, event.receipt), UID)
    assert unsent(replayed("web:1", [*run.elements[:-1], altered], Registry([talker]))) == [((0, 1), "Two?", "opening", True)]
