"""Spans of time in plain English, from now on: "in half an hour", "in 1 hour 20 minutes", "in 30s", "three weeks from now"."""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from telephony.simulators.model.numbers import AMOUNT, amount

SECONDS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3_600, "hr": 3_600, "hour": 3_600}
DAYS = {"d": 1, "day": 1, "week": 7, "fortnight": 14}
MONTHS_A_YEAR = 12
MONTHS = {"month": 1, "year": MONTHS_A_YEAR}

_UNIT = r"seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?|fortnights?|months?|years?"
_ONE = rf"(?:(?:{AMOUNT})\s+(?:{_UNIT})|\d{{1,5}}(?:\.\d{{1,2}})?\s*(?:{_UNIT}|[smhd]))\b(?:\s+and\s+a\s+half\b)?"
_SPANS = rf"{_ONE}(?:\s*(?:,|and)?\s*{_ONE})*"
_ABOUT = r"(?:(?:about|around|roughly|approximately|exactly|just|another|the\s+next)\s+)?"
_PATTERN = re.compile(
    rf"\b(?:in|after|within)\s+{_ABOUT}(?P<ahead>{_SPANS})(?:'?s?\s+time\b|\s+from\s+now\b)?|\b(?P<hence>{_SPANS})\s+from\s+now\b",
    re.IGNORECASE,
)
_EACH = re.compile(
    rf"(?:(?P<count>{AMOUNT})\s+(?P<unit>{_UNIT})|(?P<number>\d{{1,5}}(?:\.\d{{1,2}})?)\s*(?P<short>{_UNIT}|[smhd]))\b"
    r"(?P<half>\s+and\s+a\s+half\b)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Span:
    """A span that a text names from `start` to `end`; months and days are told by the calendar, seconds by the clock."""

    start: int
    end: int
    months: int
    days: int
    seconds: float

    def after(self, now: datetime) -> datetime:
        """The moment that is so far ahead; on the wall's clock the same time of day, unless hours or less are named."""
        ahead = now
        if self.months or self.days:
            ahead = _months_later(now, self.months) + timedelta(days=self.days)
        return (ahead.astimezone(UTC) + timedelta(seconds=self.seconds)).astimezone(now.tzinfo)


def _months_later(now: datetime, months: int) -> datetime:
    """The same day of a later month, or the last one of it: a month after 31 January is the last of February."""
    years, month = divmod(now.month - 1 + months, MONTHS_A_YEAR)
    last = monthrange(now.year + years, month + 1)[1]
    return now.replace(year=now.year + years, month=month + 1, day=min(now.day, last))


def find(text: str) -> Span | None:
    """The first span of a text."""
    found = _PATTERN.search(text)
    if found is None:
        return None
    months, days, seconds = 0, 0, 0.0
    for each in _EACH.finditer(found["ahead"] or found["hence"]):
        unit = (each["unit"] or each["short"]).lower()
        unit = unit if unit in SECONDS or unit in DAYS else unit.rstrip("s")
        count = amount(each["count"] or each["number"]) + (0.5 if each["half"] else 0.0)
        if unit in SECONDS:
            seconds += count * SECONDS[unit]
        elif unit in DAYS:
            whole = int(count * DAYS[unit])
            days, seconds = days + whole, seconds + (count * DAYS[unit] - whole) * 86_400
        else:
            months += int(count * MONTHS[unit])
    return Span(found.start(), found.end(), months, days, seconds)
