"""What the language model and the fares are to conversations: declarations, and values that come back from the record as they went."""

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from workflows.fares import Quote, Trip, find_fares
from workflows.think import Thought, ToolCall, Usage, charged, think


@pytest.mark.parametrize("effect", [think, find_fares])
def test_they_are_declared_here_and_bound_elsewhere(effect: Any) -> None:
    assert not effect.has_body
    assert effect.name in ("think", "find_fares")


@pytest.mark.parametrize(
    ("effect", "value"),
    [
        (think, Thought("Hello.")),
        (think, Thought("", (ToolCall("a", "list_tasks", "{}"),), Usage(100, 7))),
        (find_fares, Quote(Decimal("299.50"), "EUR", "simulated fares", "XX 1")),
        (find_fares, None),
    ],
)
def test_what_they_come_to_is_read_as_it_was_recorded(effect: Any, value: Any) -> None:
    assert effect.read(msgspec.Raw(msgspec.msgpack.encode(value))) == value


def test_a_thought_of_words_alone_takes_little_more_than_its_words() -> None:
    assert len(msgspec.msgpack.encode(Thought("Hello."))) < 20


def test_a_trip_has_a_way_back_or_none() -> None:
    assert Trip("LHR", "JFK", date(2026, 12, 24)).return_ is None


def test_the_usage_of_an_answer_stands_beside_it_in_few_bytes() -> None:
    value, usage = charged(Thought("Hello.", usage=Usage(812, 40)))
    assert value == Thought("Hello.")
    assert usage == {"in": 812, "out": 40}
    assert len(msgspec.msgpack.encode(usage)) <= 12


@pytest.mark.parametrize("value", [Thought("Hello."), None, 7, {"usage": 3}, Quote(Decimal(1), "EUR", "x")])
def test_what_was_not_charged_for_is_left_as_it_is(value: Any) -> None:
    assert charged(value) == (value, None)
