"""Dates in words, and moments as a model writes them: local, in ISO 8601, in the caller's time zone.

Aware datetimes of one zone are compared and subtracted by Python as the clock on the wall shows them; what matters here is told by their
timestamps.
"""

from datetime import UTC, date, datetime, timedelta, tzinfo

import msgspec

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip

DATE_ALONE = len("2026-11-24")

UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


class Moment(msgspec.Struct, frozen=True):
    """A moment in the caller's time zone, and what has to be said of it if the clocks change that night."""

    at: datetime
    remark: str = ""

    def words(self, now: datetime) -> str:
        """It in words, as `say_moment`, with the remark."""
        return say_moment(self.at, now) + (f" ({self.remark})" if self.remark else "")


def read_moment(text: str, zone: tzinfo) -> Moment:
    """Read an ISO date and time; one without an offset is local.

    A time that the clocks jump over is as much later, and of one that comes twice the first is meant, as in RFC 5545, 3.3.5.
    Raises `ValueError`, in words for the model.
    """
    try:
        local = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not an ISO date and time such as 2026-11-24T09:00") from None
    if len(text.strip()) <= DATE_ALONE:
        raise ValueError(f"{text!r} has no time of day")
    try:
        at = local.replace(tzinfo=local.tzinfo or zone).astimezone(UTC).astimezone(zone)
    except OverflowError:
        raise ValueError(f"{text!r} is beyond the calendar") from None
    if local.tzinfo is not None:
        return Moment(at)
    if at.replace(tzinfo=None) != local:
        return Moment(at, f"there is no {_clock(local)} then, since the clocks go forward")
    if at.utcoffset() != at.replace(fold=1).utcoffset():
        return Moment(at, f"the first {_clock(local)} of two, before the clocks go back")
    return Moment(at)


def say_moment(at: datetime, now: datetime) -> str:
    """Say a moment in the zone of `now`: "tomorrow, Tuesday 24 November, 09:00 London time"."""
    at = at.astimezone(now.tzinfo)
    return f"{say_day(at.date(), now.date())}, {_clock(at)} {_zone(at)}"


def say_day(day: date, today: date) -> str:
    """Say a day: "tomorrow, Tuesday 24 November"; the year only if it is another."""
    near = {0: "today, ", 1: "tomorrow, "}.get((day - today).days, "")
    return near + (say_date(day) if day.year != today.year else _without_year(day))


def say_date(day: date) -> str:
    """Say a day for good: "Tuesday 24 November 2026"."""
    return f"{_without_year(day)} {day.year}"


def say_span(span: timedelta) -> str:
    """Say how long something takes, in its two largest units: "2 days and 3 hours"."""
    seconds = max(0, round(span.total_seconds()))
    parts: list[str] = []
    for unit, size in UNITS:
        count, rest = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
            seconds = rest
        elif parts:
            break
    return " and ".join(parts[:2]) or "no time"


def until(at: datetime, now: datetime) -> timedelta:
    """The time that really passes between two moments, whatever the clocks do meanwhile."""
    return timedelta(seconds=at.timestamp() - now.timestamp())


def _without_year(day: date) -> str:
    return f"{WEEKDAYS[day.weekday()]} {day.day} {MONTHS[day.month - 1]}"


def _clock(at: datetime) -> str:
    return f"{at:%H:%M:%S}" if at.second else f"{at:%H:%M}"


def _zone(at: datetime) -> str:
    """The zone by its city, as people call it; by its abbreviation or offset where it has none."""
    area, slash, place = str(at.tzinfo).rpartition("/")
    return f"{place.replace('_', ' ')} time" if slash and area != "Etc" else str(at.tzname())
