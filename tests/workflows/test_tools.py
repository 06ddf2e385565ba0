"""Tools: what the model is told of them is what is accepted, and what cannot be read is said in words."""

from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.think import ToolCall
from workflows.tools import (
    MOST_ARGUMENTS,
    TOOLS,
    UNCLEAR,
    CancelTask,
    CreateReminder,
    ListTasks,
    Malformed,
    TaskStatus,
    WatchFlight,
    arguments_of,
    read,
)

FLIGHT = {"origin": "LHR", "destination": "JFK", "departure": "2026-12-24", "max_price": 300, "currency": "EUR"}


def call(name: str, arguments: Any) -> ToolCall:
    return ToolCall("1", name, arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode())


def test_the_tools_have_the_names_and_fields_that_were_promised() -> None:
    told = {tool["function"]["name"]: tool["function"]["parameters"] for tool in TOOLS}
    fields = {name: (set(schema["required"]), set(schema["properties"]) - set(schema["required"])) for name, schema in told.items()}
    assert fields == {
        "create_reminder": ({"description", "at"}, {"name"}),
        "watch_flight": ({"origin", "destination", "departure", "max_price", "currency"}, {"name", "return_"}),
        "list_tasks": (set(), set()),
        "task_status": ({"name"}, set()),
        "cancel_task": ({"name"}, set()),
    }


def test_what_the_model_is_told_is_plain_chat_completions() -> None:
    for tool in TOOLS:
        assert tool["type"] == "function"
        assert tool["function"]["description"]
        assert "$ref" not in msgspec.json.encode(tool).decode()


@pytest.mark.parametrize(
    ("name", "arguments", "tool"),
    [
        ("create_reminder", {"description": "call Ada", "at": "2026-11-24T09:00"}, CreateReminder("call Ada", "2026-11-24T09:00")),
        ("create_reminder", {"description": "x", "at": "y", "name": None, "mood": 1}, CreateReminder("x", "y")),
        ("watch_flight", FLIGHT, WatchFlight("LHR", "JFK", date(2026, 12, 24), 300.0, "EUR")),
        (
            "watch_flight",
            {**FLIGHT, "max_price": "300.50", "return_": "2026-12-31", "name": "x"},
            WatchFlight("LHR", "JFK", date(2026, 12, 24), 300.5, "EUR", date(2026, 12, 31), "x"),
        ),
        ("list_tasks", "{}", ListTasks()),
        ("list_tasks", "", ListTasks()),
        ("task_status", {"name": "x"}, TaskStatus("x")),
        ("cancel_task", {"name": "x"}, CancelTask("x")),
    ],
)
def test_a_call_is_read_where_its_meaning_is_plain(name: str, arguments: Any, tool: Any) -> None:
    assert read(call(name, arguments)) == tool


def test_a_missing_field_is_to_be_asked_for() -> None:
    assert read(call("create_reminder", {"description": "x", "at": ""})) == Malformed(
        "missing: at. Do not guess: ask the user", "To do that, I still need to know when."
    )
    many = read(call("watch_flight", {"origin": "LHR", "currency": None, "departure": "2026-12-24"}))
    assert isinstance(many, Malformed)
    assert many.sentence == "To do that, I still need to know where to, the highest price and the currency."


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("order_pizza", {}, "there is no tool order_pizza; there are create_reminder, "),
        ("create_reminder", "{", "not one JSON object"),
        ("create_reminder", "[]", "not one JSON object"),
        ("create_reminder", '{"at": "\\ud800"}', "not one JSON object"),
        ("create_reminder", "\ud800", "not one JSON object"),
        ("create_reminder", "[" * MOST_ARGUMENTS, "not one JSON object"),
        ("create_reminder", " " * MOST_ARGUMENTS + "{}", "not one JSON object"),
        ("create_reminder", {"description": "x" * 501, "at": "y"}, "$.description"),
        ("task_status", {"name": 7}, "$.name"),
        ("watch_flight", {**FLIGHT, "departure": "soon"}, "$.departure"),
        ("watch_flight", {**FLIGHT, "max_price": -1}, "$.max_price"),
        ("watch_flight", '{"origin":"LHR","destination":"JFK","departure":"2026-12-24","max_price":1e999,"currency":"EUR"}', ""),
        ("watch_flight", {**FLIGHT, "currency": "euros"}, "$.currency"),
    ],
)
def test_what_cannot_be_read_says_why(name: str, arguments: Any, problem: str) -> None:
    malformed = read(call(name, arguments))
    assert isinstance(malformed, Malformed)
    assert problem in malformed.problem
    assert malformed.sentence == UNCLEAR


@given(st.sampled_from([*[tool["function"]["name"] for tool in TOOLS], "other"]), st.text(max_size=200))
def test_no_text_of_a_model_is_too_much(name: str, arguments: str) -> None:
    given_ = call(name, arguments)
    assert read(given_) is not None
    assert arguments_of(given_) is None or isinstance(arguments_of(given_), dict)
