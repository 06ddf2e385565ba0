"""Dates and times in plain English: where in a text a moment is named, and which one.

A small grammar of its own, for phrases such as "in half an hour", "tomorrow at 9", "on Friday evening", "24 December 18:30 Berlin time". A
moment without a time of day is at nine in the morning; one without a day is the next that comes. Times of day are those of the clock on
the wall where the user is, unless a zone is named.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
NUMBERS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "forty-five": 45, "fifty": 50, "ninety": 90,
}  # fmt: skip
PARTS_OF_DAY = {"morning": time(9), "noon": time(12), "midday": time(12), "afternoon": time(15), "evening": time(19), "night": time(21)}
SECONDS = {"second": 1, "sec": 1, "minute": 60, "min": 60, "hour": 3_600, "hr": 3_600}
DAYS = {"day": 1, "week": 7}
MORNING = PARTS_OF_DAY["morning"]
NOON = 12

_NUMBER = rf"\d{{1,5}}|{'|'.join(sorted(NUMBERS, key=len, reverse=True))}"
_UNIT = "seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?"
_MONTH = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
_PART = "|".join(PARTS_OF_DAY)


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.VERBOSE)


_SPAN = _compiled(rf"""
    \b(?:in|after)\s+
    (?P<spans>
        half\s+an\s+hour
        | (?:(?:{_NUMBER})\s*(?:{_UNIT})\b (?:\s+and\s+a\s+half\b)? (?:\s*(?:,|and)\s*(?=(?:{_NUMBER})\s*(?:{_UNIT})\b))? )+
    )
    (?:\s+from\s+now\b)?
""")
_ONE_SPAN = _compiled(rf"(?P<count>{_NUMBER})\s*(?P<unit>{_UNIT})\b(?P<half>\s+and\s+a\s+half\b)?")
_DAY = _compiled(rf"""
    \b(?:on\s+|by\s+)?(?:the\s+)?(?:
        (?P<after>day\s+after\s+tomorrow)
        | (?P<tomorrow>tomorrow)
        | (?P<today>today)
        | (?P<yesterday>yesterday)
        | (?P<tonight>tonight)
        | this\s+(?P<this>morning|afternoon|evening)
        | (?P<iso>\d{{4}}-\d\d-\d\d)(?:[T\s](?P<iso_time>\d\d:\d\d(?::\d\d)?))?
        | (?P<dotted>\d{{1,2}}\.\d{{1,2}}\.(?:\d{{4}})?)
        | (?:(?:{"|".join(WEEKDAYS)})\s*,?\s*)?(?:the\s+)?(?:
            (?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<month>{_MONTH})\b
            | (?P<month2>{_MONTH})\s+(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?\b
        )(?:,?\s+(?P<year>\d{{4}})\b)?
        | (?:(?P<next>next)\s+|this\s+)?(?P<weekday>{"|".join(WEEKDAYS)})
        | (?P<next_week>next\s+week)
    )(?!\w)(?:\s+(?:in\s+the\s+)?(?P<part>{_PART})\b)?
""")
_TIME = _compiled(rf"""
    \b(?:
        (?:at\s+|by\s+)?(?:
            (?P<relation>half\s+past|quarter\s+past|quarter\s+to)\s+(?P<around>\d{{1,2}}|{_NUMBER})\b
            | (?P<hour>\d{{1,2}})(?:[:.](?P<minute>\d\d))?(?::(?P<second>\d\d))?\s*(?:(?P<half>[ap])\.?m\b\.?|o'?clock\b)
            | (?P<hour2>\d{{1,2}})[:](?P<minute2>\d\d)(?::(?P<second2>\d\d))?\b
            | (?P<word>noon|midday|midnight)\b
        )
        | (?:at|by)\s+(?P<hour3>\d{{1,2}}|{_NUMBER})\b(?:\.(?P<minute3>\d\d)\b)?
        | (?:in\s+the|at)\s+(?P<part>{_PART})\b
    )(?:\s+in\s+the\s+(?P<of>morning|afternoon|evening)\b|\s+at\s+(?P<night>night)\b)?
""")
_ZONE = re.compile(r"\b(?:(UTC|GMT)\b(?:\s+time\b)?|([A-Z][A-Za-z]+(?:[ _][A-Z][a-z]+){0,2})\s+time\b|([A-Z][A-Za-z]+/[A-Z][A-Za-z_]+)\b)")
_HALVES = {"half past": timedelta(minutes=30), "quarter past": timedelta(minutes=15), "quarter to": timedelta(minutes=-15)}


@dataclass(frozen=True, slots=True)
class Found:
    """A moment that a text names; `rest` is the text without it, `day` whether it names a day."""

    at: datetime
    rest: str
    day: bool


def find(text: str, now: datetime) -> Found | None:
    """Find the first moment that a text names; `now`, with its zone, is when it was said. None if it names none, or one of no calendar."""
    try:
        return _find(text, now)
    except (ValueError, OverflowError):  # 31 February, 25:00, the year 10000
        return None


def _find(text: str, now: datetime) -> Found | None:
    if span := _SPAN.search(text):
        rest = _without(text, span)
        days, seconds = _span(span["spans"])
        at = (now + timedelta(days=days)).astimezone(UTC) + timedelta(seconds=seconds)
        clock = None if seconds else _TIME.search(rest)  # "in two days at nine"
        if clock is None:
            return Found(at.astimezone(now.tzinfo), rest, day=bool(days))
        day = (now + timedelta(days=days)).date()
        return Found(datetime.combine(day, _time(clock, day, now).time(), now.tzinfo), _without(rest, clock), day=True)
    zone, rest = _zone(text, now)
    here = now.astimezone(zone)
    named = _DAY.search(rest)
    if named is not None:
        rest = _without(rest, named)
    clock = _TIME.search(rest)
    if clock is not None:
        rest = _without(rest, clock)
    if named is None and clock is None:
        return None
    day = here.date() if named is None else _day(named, here.date())
    at = _time(clock, day, here) if clock is not None else datetime.combine(day, _usual(named), zone)
    part = None if named is None else named["part"] or named["this"] or ("night" if named["tonight"] else None)
    if clock is not None and part in ("afternoon", "evening", "night") and at.hour < NOON:  # "tomorrow evening at 8"
        at += timedelta(hours=NOON)
    if named is None and at.replace(tzinfo=None) <= here.replace(tzinfo=None):
        at += timedelta(days=1)
    elif named is not None and named["weekday"] and at.replace(tzinfo=None) <= here.replace(tzinfo=None):
        at += timedelta(days=7)
    return Found(at.astimezone(now.tzinfo), rest, day=named is not None)


def iso(at: datetime) -> str:
    """Write a moment as tools take it: local, with its offset only where a local time comes twice and this is the second."""
    first = at.replace(fold=0).utcoffset() == at.utcoffset()
    return (at.replace(tzinfo=None) if first else at).isoformat(timespec="seconds")


def _without(text: str, found: re.Match[str]) -> str:
    return f"{text[: found.start()].rstrip()} {text[found.end() :].lstrip()}".strip()


def _span(text: str) -> tuple[int, float]:
    """Days, which are told by the calendar, and seconds, which are told by the clock."""
    if text.lower().startswith("half"):
        return 0, 1_800.0
    days, seconds = 0, 0.0
    for each in _ONE_SPAN.finditer(text):
        unit = each["unit"].lower().rstrip("s")
        count = _number(each["count"]) + (0.5 if each["half"] else 0.0)
        if unit in SECONDS:
            seconds += count * SECONDS[unit]
        else:
            whole = int(count * DAYS[unit])
            days, seconds = days + whole, seconds + (count * DAYS[unit] - whole) * 86_400
    return days, seconds


def _number(text: str) -> int:
    return NUMBERS.get(text.lower()) or int(text)


def _day(found: re.Match[str], today: date) -> date:
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
        ahead = (WEEKDAYS.index(found["weekday"].lower()) - today.weekday()) % 7
        return today + timedelta(days=ahead or (7 if found["next"] else 0))
    if found["dotted"]:
        day, month, year = (*found["dotted"].rstrip(".").split("."), "")[:3]
        return _date(int(day), int(month), year, today)
    name = (found["month"] or found["month2"])[:3].lower()
    return _date(int(found["day"] or found["day2"]), MONTHS.index(name) + 1, found["year"] or "", today)


def _date(day: int, month: int, year: str, today: date) -> date:
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


def _usual(found: re.Match[str] | None) -> time:
    """The time of a day that is named without one."""
    if found is None:
        return MORNING
    if found["iso_time"]:
        return time.fromisoformat(found["iso_time"])
    return PARTS_OF_DAY["night"] if found["tonight"] else PARTS_OF_DAY.get((found["part"] or found["this"] or "").lower(), MORNING)


def _time(found: re.Match[str], day: date, here: datetime) -> datetime:
    at = datetime.combine(day, time(), here.tzinfo)
    if found["word"]:
        return at.replace(hour=NOON) if found["word"].lower() != "midnight" else at + timedelta(days=1)
    if found["part"]:
        return datetime.combine(day, PARTS_OF_DAY[found["part"].lower()], here.tzinfo)
    if found["relation"]:
        hour, minute, second = _number(found["around"]), 0, 0
        shift = _HALVES[" ".join(found["relation"].lower().split())]
    else:
        hour = _number(found["hour"] or found["hour2"] or found["hour3"])
        minute = int(found["minute"] or found["minute2"] or found["minute3"] or 0)
        second, shift = int(found["second"] or found["second2"] or 0), timedelta()
    half = (found["half"] or "").lower()
    late = half == "p" or (found["of"] or "").lower() in ("afternoon", "evening") or bool(found["night"])
    if half and not 1 <= hour <= NOON:
        raise ValueError(f"there is no {hour} {half}m")
    if late and hour < NOON:
        hour += NOON
    elif half == "a" and hour == NOON:
        hour = 0
    return at.replace(hour=hour, minute=minute, second=second) + shift


def _zone(text: str, now: datetime) -> tuple[ZoneInfo, str]:
    """The zone that a text names, and the text without it; else that of the user."""
    for found in _ZONE.finditer(text):
        name = found[1] or found[2] or found[3]
        zone = "UTC" if found[1] else _places().get(name.replace(" ", "_").lower())
        if zone:
            return ZoneInfo(zone), _without(text, found)
    assert isinstance(now.tzinfo, ZoneInfo)
    return now.tzinfo, text


@cache
def _places() -> dict[str, str]:
    """Zones by their full names and by their cities."""
    zones = sorted(each for each in available_timezones() if "/" in each and not each.startswith(("Etc/", "SystemV/", "posix/", "right/")))
    return {each.rpartition("/")[2].lower(): each for each in zones} | {each.lower(): each for each in zones}
