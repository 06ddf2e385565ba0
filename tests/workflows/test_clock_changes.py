"""Reminders across the nights in which the clocks change: nine o'clock is nine o'clock on the wall, and comes once."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from support.scripted import Model, calls

from telephony.simulators.model.rules import answer
from workflows.assistant import assistant
from workflows.errands import Due
from workflows.events import Fired
from workflows.testing import Rehearsal
from workflows.think import ChatMessage, Thought, ToolCall, ToolSpec, think

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)

CHANGES = [
    # the zone, the evening before, nine o'clock on the day after in UTC, and the hours in between on a clock that nobody sets
    ("Europe/Helsinki", "2026-10-24T20:00", "2026-10-25T07:00", 14),
    ("Europe/Helsinki", "2027-03-27T20:00", "2027-03-28T06:00", 12),
    ("America/New_York", "2026-10-31T20:00", "2026-11-01T14:00", 14),
    ("America/New_York", "2027-03-13T20:00", "2027-03-14T13:00", 12),
]


def chat(zone: str, evening: str, model: Any) -> Rehearsal:
    return Rehearsal(assistant, at=evening, channel="web", time_zone=zone, effects={think: model})


def said(call: Rehearsal, text: str) -> list[Any]:
    return [each for each in call.say(text) if each]


def utc(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)


def offline(messages: list[ChatMessage], tools: list[ToolSpec]) -> Thought:
    """The offline demo model, without a socket."""
    reply = answer(messages, tools)
    return Thought(reply.text, tuple(ToolCall(f"id{number}", call.name, call.arguments) for number, call in enumerate(reply.calls)))


@pytest.mark.parametrize(("zone", "evening", "nine", "hours"), CHANGES)
def test_a_reminder_at_nine_comes_at_nine_on_the_wall(zone: str, evening: str, nine: str, hours: int) -> None:
    morning = (datetime.fromisoformat(evening) + timedelta(hours=13)).isoformat()
    call = chat(zone, evening, Model(calls(("create_reminder", {"name": "x", "description": "wake up", "at": morning})), "Good night."))
    city = zone.partition("/")[2].replace("_", " ")
    assert f", 09:00 {city} time." in said(call, "wake me at nine")[0]
    (errand,) = call.errands
    assert msgspec.convert(errand.note, Due).at.astimezone(UTC) == utc(nine)
    assert call.pass_time(hours * HOUR - SECOND) == []
    assert call.pass_time(SECOND) == ["Reminder: wake up"]
    (fired,) = [event for event in errand.history if isinstance(event, Fired)]
    assert datetime.fromtimestamp(fired.at / 1000, ZoneInfo(zone)).strftime("%H:%M:%S") == "09:00:00"
    assert call.pass_time(48 * HOUR) == []


@pytest.mark.parametrize(("zone", "evening", "nine", "hours"), CHANGES)
def test_so_does_one_that_the_offline_model_understood(zone: str, evening: str, nine: str, hours: int) -> None:
    call = chat(zone, evening, offline)
    assert ", 09:00 " in said(call, "remind me to get up tomorrow at 9")[0]
    assert call.pass_time(hours * HOUR - SECOND) == []
    assert call.pass_time(SECOND) == ["Reminder: get up"]


@pytest.mark.parametrize(("zone", "evening", "nine", "hours"), CHANGES)
def test_in_so_many_hours_is_that_long_whatever_the_clocks_do(zone: str, evening: str, nine: str, hours: int) -> None:
    call = chat(zone, evening, offline)
    said(call, "remind me to get up in 10 hours")
    assert call.pass_time(10 * HOUR - SECOND) == []
    assert call.pass_time(SECOND) == ["Reminder: get up"]


@pytest.mark.parametrize(
    ("zone", "evening", "wish", "told", "moment"),
    [
        ("Europe/Helsinki", "2027-03-27T20:00", "03:30", "04:30 Helsinki time (there is no 03:30 then", "2027-03-28T01:30"),
        ("America/New_York", "2027-03-13T20:00", "02:30", "03:30 New York time (there is no 02:30 then", "2027-03-14T07:30"),
        ("Europe/Helsinki", "2026-10-24T20:00", "03:30", "03:30 Helsinki time (the first 03:30 of two", "2026-10-25T00:30"),
        ("America/New_York", "2026-10-31T20:00", "01:30", "01:30 New York time (the first 01:30 of two", "2026-11-01T05:30"),
    ],
)
def test_a_time_that_there_is_not_or_twice_is_read_back_as_it_was_understood(
    zone: str, evening: str, wish: str, told: str, moment: str
) -> None:
    day = (datetime.fromisoformat(evening) + timedelta(days=1)).date()
    call = chat(zone, evening, Model(calls(("create_reminder", {"name": "x", "description": "wake up", "at": f"{day}T{wish}"})), "Yes."))
    assert told in said(call, "wake me")[0]
    assert msgspec.convert(call.errands[0].note, Due).at.astimezone(UTC) == utc(moment)
