"""What answers of the model are charged for: on record with them, or counted where they go on no record."""

import asyncio

import pytest
from support.house import SESSION, Town, texts

from workflows import Talk, Words, workflow
from workflows.events import Memo
from workflows.think import Thought, Usage, think


@workflow(name="thinker")
async def thinker(talk: Talk) -> None:
    while True:
        word = await talk.listen(Words())
        await talk.speak(think, [{"role": "user", "content": word}], [])


@pytest.fixture
def town():
    async def answer(messages, tools):
        await asyncio.sleep(2.0)
        return Thought("Fine.", usage=Usage(40, 3))

    town = Town([thinker], {"think": answer})
    yield town
    town.close()


def usages(town):
    return [event.usage for event in town.written[SESSION] if isinstance(event, Memo)]


def test_what_is_recorded_has_its_usage(town):
    a = town.node("a.1")
    a.open(thinker)
    assert texts(a.say("1", "how are you?")) == ["Fine."]
    assert usages(town) == [{"in": 40, "out": 3}]
    assert a.house.counters["dropped"] == a.house.counters["dropped_in"] == 0


def test_what_another_node_has_recorded_first_was_paid_for_twice_and_is_counted(town):
    a, b = town.node("a.1"), town.node("b.1")
    a.open(thinker)
    a.tell("1", "how are you?", patience=0.5)
    town.wait(1.0)
    a.line.down = True  # its lease runs out, and the other one goes on
    town.wait(20.0)
    assert usages(town) == [{"in": 40, "out": 3}]
    a.line.down = False
    assert texts(a.say("1", "how are you?")) == ["Fine."]
    town.wait(5.0)
    assert usages(town) == [{"in": 40, "out": 3}]
    counters = a.house.counters
    assert (counters["dropped"], counters["dropped_in"], counters["dropped_out"]) == (1, 40, 3)
    assert b.house.counters["dropped"] == 0
