"""Two versions of a server on one store, as in a rolling deploy."""

import pytest
from support.house import opening, texts

from workflows import Digits, Talk, Words, workflow


@workflow(name="tea")
async def old(talk: Talk) -> None:
    """Asks what to drink."""
    while (drink := await talk.ask("What will it be?", Words())) != "nothing":
        talk.say(f"One {drink}.")


@workflow(name="tea")
async def careless(talk: Talk) -> None:
    """Asks how many first."""
    count = await talk.ask("For how many?", Digits(1))
    while (drink := await talk.ask("What will it be?", Words())) != "nothing":
        talk.say(f"{count} {drink}.")


@workflow(name="tea", patches=["count"])
async def careful(talk: Talk) -> None:
    """Asks how many first, in sessions that were opened since it does."""
    count = await talk.ask("For how many?", Digits(1)) if talk.patched("count") else "One"
    while (drink := await talk.ask("What will it be?", Words())) != "nothing":
        talk.say(f"{count} {drink}.")


def test_what_another_version_cannot_repeat_is_refused_there_and_goes_on_where_it_can_be(town, caplog: pytest.LogCaptureFixture) -> None:
    before, after = town.node("before.1", [old]), town.node("after.1", [careless])
    before.open(old)
    assert texts(before.say("1", "tea")) == ["One tea.", "What will it be?"]

    refused = after.say("2", "coffee")
    assert (refused.state, texts(refused)) == ("failed", [])
    assert "is diverged" in caplog.text
    assert town.kinds() == ["opened", "heard"]

    assert texts(before.say("2", "coffee")) == ["One coffee.", "What will it be?"]
    assert town.kinds() == ["opened", "heard", "heard"]


def test_a_guarded_change_lets_the_new_version_go_on_with_old_sessions(town) -> None:
    before, after = town.node("before.1", [old]), town.node("after.1", [careful])
    before.open(old)
    assert texts(before.say("1", "tea")) == ["One tea.", "What will it be?"]
    assert texts(after.say("2", "coffee")) == ["One coffee.", "What will it be?"]
    assert texts(before.say("3", "cocoa")) == ["One cocoa.", "What will it be?"]
    assert texts(after.say("2", "coffee")) == ["One coffee.", "What will it be?"]


def test_what_the_new_version_opened_is_refused_by_the_old_one(town) -> None:
    before, after = town.node("before.1", [old]), town.node("after.1", [careful])
    after.open(careful)
    after.say("1", type="pressed", payload={"digits": "2"})
    assert before.say("2", "tea").state == "failed"
    assert texts(after.say("2", "tea")) == ["2 tea.", "What will it be?"]


def test_where_the_channel_opens_anew_the_version_that_cannot_go_on_does_so_and_keeps_the_old_generation(town) -> None:
    before, after = town.node("before.1", [old]), town.node("after.1", [careless])
    before.open(old)
    before.say("1", "tea")
    answer = after.say("2", "coffee", opening=opening(careless), reopens=True)
    assert texts(answer)[:1] == ["For how many?"]
    assert len(town.store.old) == 1
