"""Days in plain English: "the day after tomorrow", "next Friday", "Wednesday the 25th", "24 December", "24/12", "New Year's Eve"."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, time, timedelta

from telephony.simulators.model.numbers import AMOUNT, ORDINAL, amount, ordinal

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
FEASTS = (
    (r"christmas\s+eve", 24, 12),
    (r"(?:christmas|xmas)(?:\s+day)?", 25, 12),
    (r"boxing\s+day", 26, 12),
    (r"new\s+year'?s\s+eve", 31, 12),
    (r"new\s+year'?s\s+day", 1, 1),
    (r"valentine'?s?\s+day", 14, 2),
    (r"hall?oween", 31, 10),
)
PARTS = {
    "morning": time(9),
    "noon": time(12),
    "midday": time(12),
    "lunchtime": time(12, 30),
    "afternoon": time(15),
    "evening": time(19),
    "bedtime": time(22),
    "night": time(21),
}
"""The parts of a day, and what time each is if nothing else is said."""

_TOMORROW = r"tom+or+ow|tomo+r+ow|tmrw|tmr|2morrow"
_WEEKDAY = r"mon(?:day)?|tue(?:s(?:day)?)?|wed(?:nesday)?|thu(?:rs?(?:day)?)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?"
_MONTH = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
SHORTEST = 4
"""Letters of a day's name that is no other word, as "sun", "sat" and "wed" are."""

_TOLD = re.compile(r"\b(?:on|by|this|next)\s+\w{3}\b.{0,4}$|\b\w{3}\s+(?:at\s|\d)\S*\s?\S*$", re.IGNORECASE)
_AWAY = re.compile(
    rf"\b(?:on\s+|by\s+)?(?:the\s+|(?P<count>{AMOUNT})\s+)(?P<unit>days?|weeks?)\s+(?P<side>before|after|from|on)\s+$", re.IGNORECASE
)
_PATTERN = re.compile(
    rf"""
    \b(?:first\s+thing\s+)?(?:(?:on|by|for)\s+)?(?:the\s+)?(?:
        (?P<after>(?:day\s+)?after\s+(?:{_TOMORROW}))
        | (?P<tomorrow>{_TOMORROW})
        | (?P<today>today)
        | (?P<yesterday>yesterday)
        | (?P<tonight>tonight|tonite)
        | this\s+(?P<this>morning|afternoon|evening)
        | (?P<iso>\d{{4}}-\d\d-\d\d)(?:[T\s](?P<iso_time>\d\d:\d\d(?::\d\d)?))?
        | (?P<dotted>\d{{1,2}}\.\d{{1,2}}\.(?:\d{{4}})?)
        | (?P<slashed>\d{{1,2}}/\d{{1,2}}(?:/\d{{4}})?)
        | (?:(?:{_WEEKDAY})\s*,?\s*)?(?:the\s+)?(?:
            (?P<day>{ORDINAL}|\d{{1,2}})\s+(?:of\s+)?(?P<month>{_MONTH})\b\.?
            | (?P<month2>{_MONTH})\.?\s+(?:the\s+)?(?P<day2>{ORDINAL}|\d{{1,2}})\b
        )(?:,?\s+(?P<year>\d{{4}})\b)?
        | (?P<feast>{"|".join(feast for feast, _, _ in FEASTS)})
        | (?:(?:{_WEEKDAY})\s*,?\s*)?(?<!\d\s)(?:(?<=the\s)|(?<=y\s)the\s)(?P<only>\d{{1,2}}(?:st|nd|rd|th))(?!\s+\w+day)
        | (?:(?P<next>next|coming)\s+|this\s+)?(?P<weekday>{_WEEKDAY})
        | (?P<next_week>next\s+week)
    )(?![\w'])(?:\s+(?:in\s+the\s+|at\s+)?(?P<part>{"|".join(PARTS)})\b)?
    """,
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Day:
    """A day that a text names from `start` to `end`.

    Attributes:
        part: the part of the day, if it is named with it.
        at: the time, if it is written in one with the date.
        weekday: whether it is the day's name alone, that may be today's, too.
        exact: whether it is that very day; "next week" is not.
    """

    start: int
    end: int
    date: date
    part: str = ""
    at: time | None = None
    weekday: bool = False
    exact: bool = True


def find_all(text: str, today: date, *, month_first: bool) -> Iterator[Day]:
    """All days of a text; what is of no calendar raises `ValueError`. `month_first` is for 3/4, if it could be either."""
    for found in _PATTERN.finditer(text):
        part = (found["part"] or found["this"] or ("night" if found["tonight"] else "")).lower()
        at = time.fromisoformat(found["iso_time"]) if found["iso_time"] else None
        weekday = bool(found["weekday"] and not found["next"])
        if weekday and found["weekday"].islower() and len(found["weekday"]) < SHORTEST and not _TOLD.search(text[: found.end() + 4]):
            continue
        start, end, shift = _shifted(text, found)
        day = _date(found, today, month_first) + timedelta(days=shift)
        yield Day(start, end, day, part, at, weekday and not shift, exact=not found["next_week"])


def _shifted(text: str, found: re.Match[str]) -> tuple[int, int, int]:
    """Where a day begins and ends with what is said beside it, and its distance in days: "a week from Friday"."""
    if before := _AWAY.search(text, 0, found.start()):
        days = round(amount(before["count"] or "a") * (7 if before["unit"].lower().startswith("week") else 1))
        return before.start(), found.end(), -days if before["side"].lower() == "before" else days
    if found["weekday"] and (week := re.compile(r"\s+week\b", re.IGNORECASE).match(text, found.end())):
        return found.start(), week.end(), 7
    return found.start(), found.end(), 0


def _date(found: re.Match[str], today: date, month_first: bool) -> date:
    if found["after"]:
        return today + timedelta(days=2)
    if found["tomorrow"]:
        return today + timedelta(days=1)
    if found["today"] or found["tonight"] or found["this"]:
        return today
    if found["yesterday"]:
        return today - timedelta(days=1)
    if found["next_week"]:
        return today + timedelta(days=7)
    if found["iso"]:
        return date.fromisoformat(found["iso"])
    if found["weekday"]:
        index = next(index for index, name in enumerate(WEEKDAYS) if name.startswith(found["weekday"][:3].lower()))
        ahead = (index - today.weekday()) % 7
        return today + timedelta(days=ahead or (7 if found["next"] else 0))
    if found["only"]:
        return _day_of_month(ordinal(found["only"]), today)
    if found["dotted"]:
        day, month, year = (*found["dotted"].rstrip(".").split("."), "")[:3]
        return _next(int(day), int(month), year, today)
    if found["slashed"]:
        first, second, year = (*found["slashed"].split("/"), "")[:3]
        day, month = (second, first) if int(second) > len(MONTHS) or (month_first and int(first) <= len(MONTHS)) else (first, second)
        return _next(int(day), int(month), year, today)
    if found["feast"]:
        day_, month_ = next((day, month) for feast, day, month in FEASTS if re.fullmatch(feast, found["feast"], re.IGNORECASE))
        return _next(day_, month_, "", today)
    name = (found["month"] or found["month2"])[:3].lower()
    return _next(ordinal(found["day"] or found["day2"]), MONTHS.index(name) + 1, found["year"] or "", today)


def _next(day: int, month: int, year: str, today: date) -> date:
    """A date; without a year, the next that comes."""
    if year:
        return date(int(year), month, day)
    for ahead in range(9):  # 29 February may be eight years away
        try:
            found = date(today.year + ahead, month, day)
        except ValueError:
            continue
        if found >= today:
            return found
    raise ValueError(f"there is no {day}.{month}.")


def _day_of_month(day: int, today: date) -> date:
    """The next month's day of that number, this month's if it is still to come."""
    for ahead in range(12):
        month = today.month - 1 + ahead
        try:
            found = date(today.year + month // 12, month % 12 + 1, day)
        except ValueError:
            continue
        if found >= today:
            return found
    raise ValueError(f"no month has a day {day}")
