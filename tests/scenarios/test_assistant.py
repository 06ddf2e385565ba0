"""The assistant on nodes that die: whatever is killed when, no answer on record is asked for again, and no task is started or told twice."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.house import SESSION, Node, Town, opening, texts
from support.scripted import calls, check
from support.stories import Story, Teller
from support.workflows import Outside

from workflows import idempotency_key, memory
from workflows.assistant import assistant
from workflows.errands import flight_watch, reminder
from workflows.events import Heard, Memo, Opened
from workflows.think import ChatMessage, Thought, ToolSpec

WORKFLOWS = (assistant, reminder, flight_watch)

SAID = {"1": "both", "2": "cancel the watch", "3": "chat", "4": "chat on", "5": "and on"}

WANTED = {
    "both": calls(
        ("create_reminder", {"name": "tea", "description": "drink tea", "at": "2027-01-15T08:10:00"}),
        (
            "watch_flight",
            {"name": "trip", "origin": "LHR", "destination": "JFK", "departure": "2027-02-01", "max_price": 1, "currency": "EUR"},
        ),
    ),
    "cancel the watch": calls(("cancel_task", {"name": "trip"})),
}


class World:
    """What the assistant reaches: a model that always answers the same to the same, and fares that are too high."""

    def __init__(self) -> None:
        self.thoughts: list[str] = []

    async def think(self, messages: list[ChatMessage], tools: list[ToolSpec]) -> Thought:
        check(messages)
        self.thoughts.append(idempotency_key.get())
        last = messages[-1]
        if not tools:
            return Thought("A digest.")
        if last["role"] == "user" and last["content"] in WANTED:
            return WANTED[last["content"]]
        told = sum("Reminder: drink tea" in (message["content"] or "") for message in messages[1:])
        return Thought(f"To {last['content'][:10]} I say so much that it soon has to be condensed; told {told}.")

    async def find_fares(self, trip: Any, currency: str) -> None:
        return None


class Caller(Teller):
    """Talks to the assistant on a channel that can deliver later."""

    def say(self, id_: str, text: str) -> Any:
        if text:
            return self.insist(lambda node: node.say(id_, text))
        return self.insist(lambda node: node.say(id_, opening=opening(assistant, facts={"can_deliver": True}), fresh=True))


def tell(*traps: Callable[[Town, Node], None]) -> tuple[Caller, World]:
    """The same story each time; each of the first nodes has a trap set."""
    outside = World()
    town = Town(WORKFLOWS, {"think": outside.think, "find_fares": outside.find_fares})
    left = list(traps)

    def node() -> Node:
        node = town.node(f"n.{len(town.nodes)}")
        if left:
            left.pop(0)(town, node)
        return node

    caller = Caller(Story(assistant, [("open", ""), *SAID.items()]), town, Outside(), node(), node)
    caller.tell()
    for _ in range(3 + len(traps)):  # beyond the reminder; whoever is killed meanwhile is replaced, and has some time to itself
        town.wait(300.0)
        caller.insist(lambda node: node.status())
    caller.acknowledged["6"] = caller.say("6", "bye")
    town.wait(30.0)
    return caller, outside


def lives(events: list[Any]) -> Iterator[tuple[int, Any]]:
    """All events with the generation they belong to."""
    gen = 0
    for event in events:
        if isinstance(event, Opened):
            gen = event.gen
        yield gen, event


def check_promises(caller: Caller, outside: World, answers: dict[str, list[str]]) -> None:
    """Answers are the untroubled ones; memos, errands and notices are on record once; the model is asked once more for each death at most."""
    town = caller.town
    written = town.written
    assert {id_: texts(answer) for id_, answer in caller.acknowledged.items() if id_ in answers} == answers
    memos = Counter(
        (session, gen, event.step) for session, events in written.items() for gen, event in lives(events) if isinstance(event, Memo)
    )
    assert set(memos.values()) == {1}
    thoughts = [gen for gen, event in lives(written[SESSION]) if isinstance(event, Memo) and event.name == "think"]
    assert len(set(outside.thoughts)) == len(thoughts)
    assert len(outside.thoughts) - len(thoughts) <= caller.crashes
    errands = {session: events for session, events in written.items() if session.startswith("errand:")}
    assert Counter(event.workflow for events in errands.values() for event in events if isinstance(event, Opened)) == {
        "reminder": 1,
        "flight_watch": 1,
    }
    assert sum(isinstance(event, Heard) and event.type == "cancel" for events in errands.values() for event in events) == 1
    notices = {event.id for event in written[SESSION] if isinstance(event, Heard) and event.type == "errand"}
    assert len(notices) == 1
    assert town.pending == []
    assert town.due == {}
    town.close()


@pytest.fixture(scope="module")
def untroubled() -> Iterator[tuple[dict[str, list[str]], int, int]]:
    """What is answered when nobody dies, and how many callbacks and calls to the store that takes; with a memory that is soon full."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "BUDGET", 250)
        patch.setattr(memory, "KEPT", 60)
        caller, outside = tell()
        answers = {id_: texts(answer) for id_, answer in caller.acknowledged.items()}
        steps, store_calls = caller.node.process.steps, len(caller.node.line.calls)
        check_promises(caller, outside, answers)
        yield answers, steps, store_calls


def test_the_story_has_tasks_a_notice_and_restarts(untroubled: tuple[dict[str, list[str]], int, int]) -> None:
    answers, _, _ = untroubled
    caller, _ = tell()
    assert 'Reminder "tea": drink tea, today, Friday 15 January, 08:10 UTC.' in answers["1"]
    assert 'The flight watch "trip" is cancelled.' in answers["2"]
    assert re.fullmatch(r"To bye .*; told 1\.", answers["6"][-1])
    assert sum(isinstance(event, Opened) for event in caller.town.written[SESSION]) > 1
    caller.town.close()


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_process_dies_at_any_call_to_the_store(untroubled: tuple[dict[str, list[str]], int, int], side: str) -> None:
    answers, _, store_calls = untroubled
    for number in range(store_calls):

        def trap(town: Town, node: Node, number: int = number) -> None:
            setattr(node.line, side, lambda call: node.kill() if call == number else None)

        caller, outside = tell(trap)
        try:
            check_promises(caller, outside, answers)
        except AssertionError as error:
            raise AssertionError(f"killed {side} call {number}: {error}") from error


def dies_at_step(number: int) -> Callable[[Town, Node], None]:
    def trap(town: Town, node: Node) -> None:
        before = town.world.before_step

        def look() -> None:
            before()
            if node.process.steps >= number:
                node.kill()

        town.world.before_step = look

    return trap


def test_a_process_dies_at_any_await(untroubled: tuple[dict[str, list[str]], int, int]) -> None:
    answers, steps, _ = untroubled
    for number in range(steps):
        caller, outside = tell(dies_at_step(number))
        try:
            check_promises(caller, outside, answers)
        except AssertionError as error:
            raise AssertionError(f"killed at step {number}: {error}") from error


def test_the_one_who_takes_over_dies_as_well(untroubled: tuple[dict[str, list[str]], int, int]) -> None:
    answers, steps, _ = untroubled
    stride = int(os.environ.get("CRASH_STRIDE", "37"))
    for first in range(0, steps, stride):
        for second in range(first % 7, steps, stride):
            caller, outside = tell(dies_at_step(first), dies_at_step(second))
            try:
                check_promises(caller, outside, answers)
            except AssertionError as error:
                raise AssertionError(f"killed at step {first} and the next one at {second}: {error}") from error
