"""What the offline demo model makes of what people say, and its grammar of dates."""

import json
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from telephony.simulators.model.chores import settle, wish_of
from telephony.simulators.model.rules import LABEL, answer
from telephony.simulators.model.when import find, iso
from workflows.dates import read_moment
from workflows.think import ToolCall
from workflows.tools import TOOLS, Malformed, read

LONDON = ZoneInfo("Europe/London")
NOW = datetime(2026, 11, 23, 18, 0, tzinfo=LONDON)  # a Monday
SYSTEM = {"role": "system", "content": "Be kind.\nIt is Monday, 2026-11-23T18:00:00 in the user's time zone, Europe/London."}


def say(*turns, tools=TOOLS):
    """The answer to the last of what a user said; those before were answered by the rules, too."""
    messages = [SYSTEM]
    for turn in turns:
        messages.append({"role": "user", "content": turn})
        reply = answer(messages, tools)
        messages.append({"role": "assistant", "content": reply.text or "Done."})
    return reply


def call(*turns):
    (called,) = say(*turns).calls
    assert not isinstance(read(ToolCall("a", called.name, called.arguments)), Malformed)
    return called.name, json.loads(called.arguments)


def report(result):
    calling = {"role": "assistant", "content": None, "tool_calls": []}
    return answer([SYSTEM, {"role": "user", "content": "x"}, calling, {"role": "tool", "content": result}], TOOLS).text.removeprefix(LABEL)


@pytest.mark.parametrize(
    ("text", "moment", "rest"),
    [
        ("call Ada tomorrow at 9", "2026-11-24T09:00:00", "call Ada"),
        ("in ten minutes", "2026-11-23T18:10:00", ""),
        ("in half an hour to stretch", "2026-11-23T18:30:00", "to stretch"),
        ("in 2 hours and 30 minutes check the oven", "2026-11-23T20:30:00", "check the oven"),
        ("in an hour and a half", "2026-11-23T19:30:00", ""),
        ("in two days at nine water the plants", "2026-11-25T09:00:00", "water the plants"),
        ("in a week", "2026-11-30T18:00:00", ""),
        ("yesterday at 9", "2026-11-22T09:00:00", ""),
        ("on Friday evening", "2026-11-27T19:00:00", ""),
        ("on Monday at 9", "2026-11-30T09:00:00", ""),
        ("on Monday at 19:00", "2026-11-23T19:00:00", ""),
        ("next Monday at 19:00", "2026-11-30T19:00:00", ""),
        ("at 9", "2026-11-23T21:00:00", ""),
        ("at 5", "2026-11-24T05:00:00", ""),
        ("at 09:00", "2026-11-24T09:00:00", ""),
        ("at 9pm", "2026-11-23T21:00:00", ""),
        ("at 12am", "2026-11-24T00:00:00", ""),
        ("at noon", "2026-11-24T12:00:00", ""),
        ("at midnight", "2026-11-24T00:00:00", ""),
        ("half past nine", "2026-11-23T21:30:00", ""),
        ("at quarter to seven in the evening", "2026-11-23T18:45:00", ""),
        ("tonight", "2026-11-23T21:00:00", ""),
        ("this evening at 8", "2026-11-23T20:00:00", ""),
        ("tomorrow morning", "2026-11-24T09:00:00", ""),
        ("the day after tomorrow at 7.30", "2026-11-25T07:30:00", ""),
        ("on the 3rd of March at 8 o'clock", "2027-03-03T08:00:00", ""),
        ("on December 24th", "2026-12-24T09:00:00", ""),
        ("24.12. at 8", "2026-12-24T08:00:00", ""),
        ("2026-12-24T10:00", "2026-12-24T10:00:00", ""),
        ("on 29 February", "2028-02-29T09:00:00", ""),
        ("on 24 December at 18:30 Berlin time", "2026-12-24T17:30:00", ""),
        ("9am New York time", "2026-11-24T14:00:00", ""),
        ("at 10:00 UTC", "2026-11-24T10:00:00", ""),
    ],
)
def test_a_moment_is_found_in_plain_phrases(text, moment, rest):
    found = find(text, NOW)
    assert (iso(found.at), found.rest) == (moment, rest)


@pytest.mark.parametrize(
    "text", ["", "buy 3 apples", "on 31 February", "at 25:00", "at 13pm", "in 99999 weeks of 99999 years 9999-99-99", "in"]
)
def test_where_there_is_no_moment_none_is_found(text):
    found = find(text, NOW)
    assert found is None or found.at > NOW


def test_what_is_some_hours_ahead_is_so_on_the_night_the_clocks_change():
    before = datetime(2026, 10, 25, 0, 50, tzinfo=LONDON)  # at 2 it is 1 again
    for minutes in range(10, 240, 10):
        found = find(f"in {minutes} minutes", before)
        assert found.at.timestamp() - before.timestamp() == minutes * 60
        assert read_moment(iso(found.at), LONDON).at.timestamp() == found.at.timestamp()
    assert find("in 2 days", before).at == datetime(2026, 10, 27, 0, 50, tzinfo=LONDON)
    assert timedelta(days=2) == find("in 2 days", before).at - before


@pytest.mark.parametrize(
    ("turns", "arguments"),
    [
        (["remind me to call Ada tomorrow at 9"], {"description": "call Ada", "at": "2026-11-24T09:00:00"}),
        (["remind me to call Ada", "tomorrow at 9"], {"description": "call Ada", "at": "2026-11-24T09:00:00"}),
        (["remind me", "tomorrow at 9", "buy milk"], {"description": "buy milk", "at": "2026-11-24T09:00:00"}),
        (
            ["Could you remind me about the meeting on 3 December at 14:00, please?"],
            {"description": "the meeting", "at": "2026-12-03T14:00:00"},
        ),
        (["remind me in 10 minutes to stretch, call it yoga"], {"description": "stretch", "at": "2026-11-23T18:10:00", "name": "yoga"}),
        (["at 9pm remind me to watch the flight"], {"description": "watch the flight", "at": "2026-11-23T21:00:00"}),
        (["remind me to cancel the gym on Friday"], {"description": "cancel the gym", "at": "2026-11-27T09:00:00"}),
        (["set a reminder for friday at noon: lunch with Bob"], {"description": "lunch with Bob", "at": "2026-11-27T12:00:00"}),
        (["wake me up at 7"], {"description": "wake up", "at": "2026-11-24T07:00:00"}),
    ],
)
def test_a_reminder_is_understood_all_at_once_or_bit_by_bit(turns, arguments):
    assert call(*turns) == ("create_reminder", arguments)


@pytest.mark.parametrize(
    ("turns", "called"),
    [
        (["remind me", "list"], "list_tasks"),
        (["remind me to call Ada", "what tasks are running?"], "list_tasks"),
        (["remind me to call Ada", "how is call-ada doing?"], "task_status"),
        (["watch flights", "cancel lon-nyc"], "cancel_task"),
        (["remind me to x at 25:00", "watch flights", "London to New York", "24 December", "300 EUR"], "watch_flight"),
        (["watch flights", "remind me to call Ada", "tomorrow at 9"], "create_reminder"),
    ],
)
def test_whoever_is_asked_something_may_say_something_else(turns, called):
    assert call(*turns)[0] == called


@pytest.mark.parametrize("text", ["help", "never mind", "no", "Nothing.", "what time is it?"])
def test_a_question_of_ours_is_not_asked_again_and_again(text):
    reply = say("remind me to call Ada", text)
    assert reply.calls == ()
    assert "When shall I" not in reply.text


FLIGHT = {"origin": "LON", "destination": "NYC", "departure": "2026-12-24", "max_price": 300.0, "currency": "EUR"}


@pytest.mark.parametrize(
    ("turns", "arguments"),
    [
        (["watch flights from London to New York on 24 December for at most 300 EUR"], FLIGHT),
        (["Watch a flight", "from London to New York", "on 24 December", "300 euros"], FLIGHT),
        (["keep an eye on flights to New York from London on Dec 24, under €300"], FLIGHT),
        (
            ["watch LHR to JFK on 24 December back on 31 December under $99.50, called xmas"],
            {"origin": "LHR", "destination": "JFK", "departure": "2026-12-24", "return_": "2026-12-31", "max_price": 99.5, "currency": "USD", "name": "xmas"},
        ),
    ],
)  # fmt: skip
def test_a_flight_watch_is_understood_all_at_once_or_bit_by_bit(turns, arguments):
    assert call(*turns) == ("watch_flight", arguments)


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ("list", ("list_tasks", {})),
        ("What reminders do I have?", ("list_tasks", {})),
        ("show my tasks", ("list_tasks", {})),
        ("status of call-ada", ("task_status", {"name": "call-ada"})),
        ("How is call-ada doing?", ("task_status", {"name": "call-ada"})),
        ("what's the status of the flight watch lon-nyc?", ("task_status", {"name": "lon-nyc"})),
        ("cancel call-ada", ("cancel_task", {"name": "call-ada"})),
        ("Please cancel the reminder call-ada.", ("cancel_task", {"name": "call-ada"})),
        ("cancel the flight watch lon-nyc", ("cancel_task", {"name": "lon-nyc"})),
    ],
)
def test_tasks_are_listed_asked_after_and_called_off(text, called):
    assert call(text) == called


@pytest.mark.parametrize(
    "text", ["hello", "help", "thanks!", "how are you?", "what time is it?", "who are you?", "purple monkeys", "cancel", ""]
)
def test_whatever_else_is_said_has_a_labelled_answer(text):
    reply = say(text)
    assert reply.calls == ()
    assert reply.text.startswith(LABEL)


def test_where_nothing_can_be_delivered_no_tool_is_called():
    for text in ("remind me to call Ada tomorrow at 9", "watch flights from London to New York", "list", "cancel x", "help"):
        reply = say(text, tools=[])
        assert reply.calls == ()
        assert reply.text.startswith(LABEL)


LISTED = (
    'Running tasks:\n"call-ada" (reminder): call Ada, tomorrow\n"yoga" (reminder): yoga, today\n'
    '"lon-nyc" (flight watch): LON to NYC, Thursday 24 December 2026, for at most 50.00 EUR\n'
    '"par-rom" (flight watch): PAR to ROM, Sunday 14 February 2027, for at most 85.00 EUR'
)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("stop watching flights to Rome", ["par-rom"]),
        ("cancel lon-nyc and par-rom", ["lon-nyc", "par-rom"]),
        ("delete all my reminders", ["call-ada", "yoga"]),
        ("cancel everything", ["call-ada", "yoga", "lon-nyc", "par-rom"]),
        ("cancel lon-tyo", []),
        ("cancel the flight to Rome and all my meetings", []),
        ("cancel the flight watch", []),
        ("cancel the Rome flight on Monday", []),
        ("how is the flight to New York on Thursday doing", ["lon-nyc"]),
    ],
)
def test_the_task_that_is_meant_is_found_in_the_list_and_nothing_is_called_off_on_half_a_word(text, meant):
    reply = settle(wish_of(text), LISTED)
    assert [json.loads(call.arguments)["name"] for call in reply.calls] == meant
    assert meant or reply.text.split("\n")[0].endswith("?")


def test_a_slip_of_the_pen_is_mended_where_it_was_none_of_what_to_remind_of():
    assert call("remind me on wensday at 8 to bring the cake") == (
        "create_reminder", {"description": "bring the cake", "at": "2026-11-25T08:00:00"},
    )  # fmt: skip
    for about in ("check the remainder", "watch the fights", "read the minuets"):
        assert call(f"remind me to {about} tomorrow at 9")[1]["description"] == about


def test_what_the_user_has_been_told_is_not_told_again_and_the_rest_is():
    assert "Ada" not in report('Done. The user has been told: Reminder "ada": call Ada.')
    assert report('Running tasks:\n"ada" (reminder): call Ada') == 'Running tasks:\n"ada" (reminder): call Ada'
    assert report("Refused: Monday has passed. Ask the user when.") == "I cannot do that: Monday has passed. When else?"


def test_another_name_that_is_agreed_to_is_taken():
    question = report('Refused: the name "ada" is taken. Suggest "ada-2", and ask.')
    assert question.endswith('How about "ada-2"?')
    turns = [("user", "remind me to call Ada tomorrow at 9, called ada"), ("assistant", LABEL + question), ("user", "yes please")]
    reply = answer([SYSTEM, *({"role": role, "content": content} for role, content in turns)], TOOLS)
    assert json.loads(reply.calls[0].arguments) == {"description": "call Ada", "at": "2026-11-24T09:00:00", "name": "ada-2"}
