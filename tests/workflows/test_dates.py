"""Dates in words, and the moments that a model writes: what is local, what is past, and what happens when the clocks change."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.dates import read_moment, say_date, say_day, say_moment, say_span, until

LONDON = ZoneInfo("Europe/London")
NOW = datetime(2026, 11, 23, 18, tzinfo=LONDON)


def test_a_moment_is_said_as_people_do() -> None:
    assert read_moment("2026-11-24T09:00", LONDON).words(NOW) == "tomorrow, Tuesday 24 November, 09:00 London time"
    assert read_moment("2026-11-23 20:05:30", LONDON).words(NOW) == "today, Monday 23 November, 20:05:30 London time"
    assert read_moment("2027-01-01T00:00", LONDON).words(NOW) == "Friday 1 January 2027, 00:00 London time"


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("America/Argentina/Buenos_Aires", "09:00 Buenos Aires time"),
        ("UTC", "09:00 UTC"),
        ("Etc/GMT+3", "09:00 -03"),
        ("EST", "09:00 EST"),
    ],
)
def test_a_zone_is_said_by_its_city_if_it_has_one(zone: str, said: str) -> None:
    now = datetime(2026, 11, 23, tzinfo=ZoneInfo(zone))
    assert read_moment("2026-11-24T09:00", ZoneInfo(zone)).words(now).endswith(said)


def test_a_moment_with_an_offset_is_the_moment_it_says() -> None:
    moment = read_moment("2026-11-24T09:00:00+02:00", LONDON)
    assert moment.at.timestamp() == datetime(2026, 11, 24, 7, tzinfo=UTC).timestamp()
    assert moment.words(NOW) == "tomorrow, Tuesday 24 November, 07:00 London time"
    assert read_moment("2026-11-24T09:00Z", LONDON).at == datetime(2026, 11, 24, 9, tzinfo=UTC)


def test_a_moment_is_said_in_the_zone_of_the_listener() -> None:
    assert say_moment(datetime(2026, 11, 24, 23, 30, tzinfo=UTC), NOW.astimezone(ZoneInfo("Europe/Helsinki"))).startswith("Wednesday 25")


def test_a_time_that_the_clocks_jump_over_is_as_much_later_and_said_so() -> None:
    moment = read_moment("2026-03-29T01:30", LONDON)  # at 01:00 it becomes 02:00
    assert moment.at.timestamp() == datetime(2026, 3, 29, 1, 30, tzinfo=UTC).timestamp()
    words = moment.words(datetime(2026, 3, 28, 12, tzinfo=LONDON))
    assert words == "tomorrow, Sunday 29 March, 02:30 London time (there is no 01:30 then, since the clocks go forward)"


def test_of_a_time_that_comes_twice_the_first_is_meant_and_said_so() -> None:
    moment = read_moment("2026-10-25T01:30", LONDON)  # at 02:00 it becomes 01:00
    assert moment.at.timestamp() == datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()
    words = moment.words(datetime(2026, 10, 24, 12, tzinfo=LONDON))
    assert words == "tomorrow, Sunday 25 October, 01:30 London time (the first 01:30 of two, before the clocks go back)"


def test_the_second_time_can_be_had_by_its_offset() -> None:
    moment = read_moment("2026-10-25T01:30+00:00", LONDON)
    assert moment.at.timestamp() == datetime(2026, 10, 25, 1, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tomorrow at nine", "is not an ISO date and time"),
        ("", "is not an ISO date and time"),
        ("2026-02-30T09:00", "is not an ISO date and time"),
        ("2026-11-24", "has no time of day"),
        ("20261124", "has no time of day"),
        ("0001-01-01T00:00", "is beyond the calendar"),
        ("9999-12-31T23:59-12:00", "is beyond the calendar"),
    ],
)
def test_what_is_no_moment_is_refused_in_words(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_moment(text, ZoneInfo("Asia/Tokyo"))


@given(
    st.datetimes(datetime.fromisoformat("1980-01-01"), datetime.fromisoformat("2037-01-01")),
    st.sampled_from(["Europe/London", "Australia/Lord_Howe", "America/St_Johns"]),
)
def test_a_moment_is_that_time_on_the_wall_or_remarked_upon(local: datetime, zone: str) -> None:
    moment = read_moment(local.isoformat(), ZoneInfo(zone))
    on_the_wall = moment.at.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    assert on_the_wall == local or "clocks go forward" in moment.remark
    assert timedelta(0) <= on_the_wall - local <= timedelta(hours=2)  # St John's, in 1988


def test_a_day_is_said_with_its_year_only_if_it_is_another() -> None:
    assert say_day(date(2026, 12, 31), date(2026, 12, 31)) == "today, Thursday 31 December"
    assert say_day(date(2027, 1, 1), date(2026, 12, 31)) == "tomorrow, Friday 1 January 2027"
    assert say_day(date(2026, 12, 30), date(2026, 12, 31)) == "Wednesday 30 December"
    assert say_date(date(2026, 12, 30)) == "Wednesday 30 December 2026"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (2 * 86_400 + 3 * 3_600 + 59, "2 days and 3 hours"),
        (86_400 + 59, "1 day"),
        (3_660, "1 hour and 1 minute"),
        (61, "1 minute and 1 second"),
        (45, "45 seconds"),
        (0.2, "no time"),
        (-5, "no time"),
    ],
)
def test_a_span_is_said_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert say_span(timedelta(seconds=seconds)) == said


def test_the_time_left_is_what_really_passes() -> None:
    before, after = datetime(2026, 10, 25, 0, 30, tzinfo=LONDON), datetime(2026, 10, 25, 3, 30, tzinfo=LONDON)
    assert after - before == timedelta(hours=3)  # as the clock on the wall shows it
    assert until(after, before) == timedelta(hours=4)
