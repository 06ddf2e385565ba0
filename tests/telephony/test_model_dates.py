"""The offline demo model's grammar of dates: what it reads, what it leaves alone, and that clocks which change do not mislead it."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.simulators.model.rules import answer
from telephony.simulators.model.when import find, iso
from workflows.assistant import assistant
from workflows.dates import read_moment
from workflows.testing import Rehearsal
from workflows.think import Thought, ToolCall, think

LONDON = ZoneInfo("Europe/London")
NOW = datetime(2026, 11, 22, 14, 30, tzinfo=LONDON)  # a Sunday
ZONES = ("Europe/London", "Europe/Helsinki", "America/New_York", "America/Los_Angeles", "Australia/Sydney", "Asia/Kathmandu", "UTC")
MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905 - as they are said
LOCAL = st.datetimes(datetime(2026, 12, 1), datetime(2036, 12, 31))  # noqa: DTZ001 - what clocks on walls show
WAYS = (
    "on {day} {month} {year} at {hour}:{minute:02}",
    "on {month} {day}{th}, {year} at {hour:02}:{minute:02}",
    "{year}-{number:02}-{day:02} {hour:02}:{minute:02}",
    "on the {day}{th} of {month} {year} at {twelve}:{minute:02} {half}m",
    "at {twelve}.{minute:02} {half}.m. on {day}.{number}.{year}",
)


def modelled(messages, tools):
    reply = answer(msgspec.to_builtins(messages), msgspec.to_builtins(tools))
    return Thought(reply.text, tuple(ToolCall(str(index), call.name, call.arguments) for index, call in enumerate(reply.calls)))


@pytest.mark.parametrize(
    ("text", "moment", "rest"),
    [
        ("in 1 hour 20 minutes move the car", "2026-11-22T15:50:00", "move the car"),
        ("in 2h", "2026-11-22T16:30:00", ""),
        ("in 2.5 hours", "2026-11-22T17:00:00", ""),
        ("in three quarters of an hour", "2026-11-22T15:15:00", ""),
        ("in twenty-five minutes' time", "2026-11-22T14:55:00", ""),
        ("24 hours from now", "2026-11-23T14:30:00", ""),
        ("in a fortnight", "2026-12-06T14:30:00", ""),
        ("in two months at nine", "2027-01-22T09:00:00", ""),
        ("at ten to five", "2026-11-22T16:50:00", ""),
        ("ten minutes before midnight", "2026-11-22T23:50:00", ""),
        ("at 1500 hours", "2026-11-22T15:00:00", ""),
        ("at 15h30", "2026-11-22T15:30:00", ""),
        ("at 2", "2026-11-23T14:00:00", ""),
        ("tomorrow at 5", "2026-11-23T17:00:00", ""),
        ("tomorrow at 05:00", "2026-11-23T05:00:00", ""),
        ("tonight at twelve", "2026-11-23T00:00:00", ""),
        ("tonight at 1", "2026-11-23T01:00:00", ""),
        ("on Wednesday the 25th at 10:15", "2026-11-25T10:15:00", ""),
        ("on the 31st", "2026-12-31T09:00:00", ""),
        ("on 24/12 at 10am", "2026-12-24T10:00:00", ""),
        ("on 3/4/2027", "2027-04-03T09:00:00", ""),
        ("on New Year's Eve at noon", "2026-12-31T12:00:00", ""),
        ("a week from Friday", "2026-12-04T09:00:00", ""),
        ("the day before Christmas", "2026-12-24T09:00:00", ""),
        ("sat 11am haircut", "2026-11-28T11:00:00", "haircut"),
        ("take the 9 o'clock bus tomorrow at 8:30", "2026-11-23T08:30:00", "take the 9 o'clock bus"),
        ("buy 2 tickets at 4:30pm", "2026-11-22T16:30:00", "buy 2 tickets"),
        ("ask about May's report on Monday", "2026-11-23T09:00:00", "ask about May's report"),
        ("tommorow at noon", "2026-11-23T12:00:00", ""),
    ],
)
def test_a_moment_is_read_as_people_mean_it(text: str, moment: str, rest: str) -> None:
    found = find(text, NOW)
    assert found is not None
    assert (iso(found.at), found.rest) == (moment, rest)


@pytest.mark.parametrize(
    ("text", "moment", "rest"),
    [
        ("25 12 2026", "2026-12-25T09:00:00", ""),
        ("on 12.12.26", "2026-12-12T09:00:00", ""),
        ("look at the map on 25 12 2026 to plan", "2026-12-25T09:00:00", "look at the map to plan"),
    ],
)
def test_what_the_grammar_does_not_know_is_left_to_dateparser(text: str, moment: str, rest: str) -> None:
    found = find(text, NOW)
    assert found is not None
    assert (iso(found.at), found.rest, found.day) == (moment, rest, True)


@pytest.mark.parametrize(
    "text", ["today", "tonight at 99", "call 3 people", "watch the sun set", "march on", "the year 2030", "pay 20 euros at the bank"]
)
def test_what_names_no_moment_to_come_is_none(text: str) -> None:
    assert find(text, NOW.replace(hour=22)) is None


def test_who_speaks_late_may_mean_the_night() -> None:
    for hour, moment in ((19, "2026-11-23T14:00:00"), (22, "2026-11-23T02:00:00"), (1, "2026-11-22T02:00:00")):
        found = find("at 2", NOW.replace(hour=hour))
        assert found is not None
        assert iso(found.at) == moment


def test_the_order_of_day_and_month_is_that_of_the_users_country() -> None:
    for zone, moment in (("America/Chicago", "2027-03-04"), ("Europe/Paris", "2027-04-03")):
        found = find("on 3/4/2027", NOW.astimezone(ZoneInfo(zone)))
        assert found is not None
        assert iso(found.at) == f"{moment}T09:00:00"


def test_a_month_from_the_last_day_of_a_long_one_is_the_last_of_the_next() -> None:
    found = find("in a month", datetime(2027, 1, 31, 10, tzinfo=LONDON))
    assert found is not None
    assert iso(found.at) == "2027-02-28T10:00:00"


@settings(max_examples=200, deadline=None)
@given(LOCAL, st.sampled_from(ZONES), st.sampled_from(WAYS))
def test_a_date_and_a_time_written_out_are_read_back_in_every_zone_and_season(at: datetime, zone: str, way: str) -> None:
    at = at.replace(second=0, microsecond=0)
    text = way.format(
        day=at.day, month=MONTHS[at.month - 1], number=at.month, year=at.year, hour=at.hour, minute=at.minute,
        twelve=at.hour % 12 or 12, half="ap"[at.hour >= 12], th={1: "st", 2: "nd", 3: "rd"}.get(at.day % 10 * (at.day // 10 != 1), "th"),
    )  # fmt: skip
    found = find(text, NOW.astimezone(ZoneInfo(zone)))
    assert found is not None
    assert found.at.replace(tzinfo=None) == at, text
    assert found.rest.strip(" .") == ""
    assert read_moment(iso(found.at), ZoneInfo(zone)).at.timestamp() == read_moment(at.isoformat(), ZoneInfo(zone)).at.timestamp()


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5_000), st.sampled_from(ZONES), LOCAL)
def test_minutes_ahead_are_minutes_on_every_night_of_the_year(minutes: int, zone: str, now: datetime) -> None:
    here = now.replace(microsecond=0, tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(zone))
    found = find(f"in {minutes} minutes", here)
    assert found is not None
    assert found.at.timestamp() - here.timestamp() == minutes * 60
    assert read_moment(iso(found.at), ZoneInfo(zone)).at.timestamp() == found.at.timestamp()


def test_in_the_hour_that_comes_twice_minutes_ahead_are_minutes() -> None:
    for turn in (0, 1):
        now = datetime(2026, 10, 25, 1, 50, tzinfo=LONDON, fold=turn)
        call = Rehearsal(assistant, at=now, channel="web", time_zone="Europe/London", effects={think: modelled})
        assert call.say("remind me to stretch in 5 minutes")[0].startswith('Reminder "stretch": stretch, today, Sunday 25 October, 01:55')
        (errand,) = call.errands
        assert datetime.fromisoformat(errand.note["at"]).timestamp() == now.timestamp() + 300


WORDS = re.findall(
    r"\S+",
    "in at on by the a of next this tomorrow friday 24 december 3rd half past to ten 9 pm noon week from UTC time 24/13 31.2. 99:99 0 -",
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=8), max_size=14))
def test_whatever_is_typed_there_is_a_moment_or_none(words: list[str]) -> None:
    found = find(" ".join(words), NOW)
    assert found is None or (found.at.tzinfo is LONDON and abs(found.at - NOW) < timedelta(days=400_000))
