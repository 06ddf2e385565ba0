"""Dates and times in plain English: where in a text a moment is named, and which one.

A small grammar: spans ("in half an hour"), days ("next Friday"), times of day ("at ten to five"). What it does not know is left to
`dateparser`. A moment without a time of day is at nine in the morning; one without a day is the next that comes, so at three "at 5" is two
hours away, and at six sixteen less one: the read-back tells. Times are those of the clock on the wall where the user is, unless a zone is
named.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from telephony.simulators.model import days, spans, times
from telephony.simulators.model.days import PARTS, Day
from telephony.simulators.model.times import EARLY, NOON, Time

SMALL_HOURS = 5
"""Two o'clock at night is of the next day,"""

LATE = 20
"""and what is said from now on may well be meant for it."""

MOST_PHRASES = 8
LONGEST_PHRASE = 60
"""Characters; and of so many phrases it is asked whether they are dates, since each takes a millisecond or more."""

_ZONE = re.compile(r"\b(?:(UTC|GMT)\b(?:\s+time\b)?|([A-Z][A-Za-z]+(?:[ _][A-Z][a-z]+){0,2})\s+time\b|([A-Z][A-Za-z]+/[A-Z][A-Za-z_]+)\b)")
_MONTH_FIRST = re.compile(
    r"US/|Pacific/Honolulu|America/(New_York|Chicago|Denver|Los_Angeles|Phoenix|Detroit|Boise|Anchorage|Juneau|Indiana/|Kentucky/)"
)
_NEAR = re.compile(r"[\s,]*(?:and\s+)?")
_PREPOSITION = re.compile(r"\b(?:in|on|at|by|for|from|around)\s+", re.IGNORECASE)
_LAST = re.compile(rf"{_PREPOSITION.pattern}$", re.IGNORECASE)
_UP_TO = re.compile(r"\s+(?:to|that|about)\s|[,:;]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """A moment that a text names; `rest` is the text without it, `day` whether it names a very day."""

    at: datetime
    rest: str
    day: bool


def find(text: str, now: datetime, *, early: bool = False) -> Found | None:
    """Find the moment that a text names; `now`, with its zone, is when it was said. None if it names none, or one of no calendar.

    `early` is for what is done in the morning, such as waking somebody.
    """
    try:
        return _find(text, now, early) or _guess(text, now)
    except (ValueError, OverflowError):  # 31 February, 25:00, the year 10000
        return None


def iso(at: datetime) -> str:
    """Write a moment as tools take it: local, with its offset only where a local time comes twice and this is the second."""
    first = at.replace(fold=0).utcoffset() == at.utcoffset()
    return (at.replace(tzinfo=None) if first else at).isoformat(timespec="seconds")


def _find(text: str, now: datetime, early: bool) -> Found | None:
    zone, text = _zone(text, now)
    here = now.astimezone(zone)
    named = list(days.find_all(text, here.date(), month_first=_MONTH_FIRST.match(str(now.tzinfo)) is not None))
    clocks = [each for each in times.find_all(text) if not any(each.start < day.end and day.start < each.end for day in named)]
    span = spans.find(text)
    others = [each.start for each in named] + [each.start for each in clocks if each.at]
    if span is not None and span.start <= min(others, default=span.start):
        return _ahead(text, span, clocks, here, now)
    day, clock = _pair(text, named, clocks)
    if day is None and clock is None:
        return None
    at = _moment(day, clock, here, early)
    if at is None:
        return None
    rest = _without(text, *(each for each in (day, clock) if each is not None))
    return Found(at.astimezone(now.tzinfo), rest, day=day is not None and day.exact)


def _ahead(text: str, span: spans.Span, clocks: list[Time], here: datetime, now: datetime) -> Found:
    at = span.after(here)
    clock = next((each for each in clocks if each.start >= span.end), None) if not span.seconds else None  # "in two days at nine"
    if clock is None:
        return Found(at.astimezone(now.tzinfo), _without(text, span), day=bool(span.days or span.months))
    at = clock.on(at.date(), here.tzinfo)
    return Found(at.astimezone(now.tzinfo), _without(text, span, clock), day=True)


def _pair(text: str, named: list[Day], clocks: list[Time]) -> tuple[Day | None, Time | None]:
    """The day and the time that are meant: beside each other, said to be a time, or where a text begins or ends; else the first."""
    best: tuple[Day | None, Time | None] = (None, None)
    most = -1
    some: list[Day | None] = [*named] or [None]
    maybe: list[Time | None] = [None, *clocks]
    for day in some:
        for clock in maybe:
            score = 0
            if day is not None:
                score += _at_edge(text, day.start, day.end)
            if clock is not None:
                score += _at_edge(text, clock.start, clock.end) + 2 * clock.at
                score += 1 if day is None else 4 * (_near(text, day.end, clock.start) or _near(text, clock.end, day.start))
                if score <= (0 if day is None else _at_edge(text, day.start, day.end)):
                    continue
            if score > most:
                best, most = (day, clock), score
    return best


def _at_edge(text: str, start: int, end: int) -> bool:
    return not text[:start].strip(" ,.:") or not text[end:].strip(" ,.!?")


def _near(text: str, end: int, start: int) -> bool:
    return end <= start and _NEAR.fullmatch(text, end, start) is not None


def _moment(day: Day | None, clock: Time | None, here: datetime, early: bool) -> datetime | None:
    """When that is. None for a part of today that is over: only the user knows what is meant."""
    if day is None:
        assert clock is not None
        return _next(clock, here, early)
    at = datetime.combine(day.date, day.at or PARTS.get(day.part, PARTS["morning"]), here.tzinfo)
    if clock is not None:
        at = clock.on(day.date, here.tzinfo)
        if day.part == "night" and clock.hour < SMALL_HOURS:
            return at + timedelta(days=1)
        if day.part == "night" and clock.bare and clock.hour == NOON:  # "tonight at twelve"
            return at + timedelta(hours=NOON)
        late = day.part in ("afternoon", "evening", "night")
        told = bool(day.part) or early
        passed = day.date == here.date() and not day.weekday and _wall(at) <= _wall(here)
        if clock.bare and at.hour < NOON and (late or (not told and (passed or (clock.rough and clock.hour < EARLY)))):
            at += timedelta(hours=NOON)
    if _wall(at) > _wall(here):
        return at
    if day.weekday:
        return at + timedelta(days=7)
    return None if clock is None and day.date == here.date() and day.at is None else at


def _next(clock: Time, here: datetime, early: bool) -> datetime:
    """The next time that clocks show it, be it before or after noon; no time to sleep, unless it is said late."""
    at = clock.on(here.date(), here.tzinfo)
    halves = (0, NOON) if clock.bare and not clock.digital and clock.hour < NOON and not early else (0,)
    ahead = [at + timedelta(days=day, hours=half) for day in (0, 1) for half in halves]
    awake = [each for each in ahead if each.hour >= SMALL_HOURS or here.hour < SMALL_HOURS or here.hour >= LATE or len(halves) == 1]
    return next(each for each in awake if _wall(each) > _wall(here))


def _wall(at: datetime) -> datetime:
    """What the clock on the wall shows."""
    return at.replace(tzinfo=None)


def _without(text: str, *found: Day | Time | spans.Span) -> str:
    for each in sorted(found, key=lambda each: -each.start):
        text = f"{text[: each.start].rstrip()} {text[each.end :].lstrip()}".strip()
    return text


def _zone(text: str, now: datetime) -> tuple[ZoneInfo, str]:
    """The zone that a text names, and the text without it; else that of the user."""
    for found in _ZONE.finditer(text):
        name = found[1] or found[2] or found[3]
        zone = "UTC" if found[1] else _places().get(name.replace(" ", "_").lower())
        if zone:
            return ZoneInfo(zone), f"{text[: found.start()].rstrip()} {text[found.end() :].lstrip()}".strip()
    assert isinstance(now.tzinfo, ZoneInfo)
    return now.tzinfo, text


@cache
def _places() -> dict[str, str]:
    """Zones by their full names and by their cities."""
    zones = sorted(each for each in available_timezones() if "/" in each and not each.startswith(("Etc/", "SystemV/", "posix/", "right/")))
    return {each.rpartition("/")[2].lower(): each for each in zones} | {each.lower(): each for each in zones}


def _guess(text: str, now: datetime) -> Found | None:
    """What `dateparser` finds behind a preposition, or as the whole of a text, if it has a digit and a day."""
    starts = [0, *(found.end() for found in _PREPOSITION.finditer(text))]
    for start in starts[:MOST_PHRASES]:
        until = _UP_TO.search(text, start)
        for end in (until.start() if until else len(text), len(text)):
            phrase = text[start:end].strip()
            if len(phrase) <= LONGEST_PHRASE and any(char.isdigit() for char in phrase) and (at := _parsed(phrase, now)) is not None:
                return Found(at, f"{_LAST.sub('', text[:start]).rstrip()} {text[end:].lstrip()}".strip(), day=True)
    return None


def _parsed(phrase: str, now: datetime) -> datetime | None:
    from dateparser.date import DateDataParser  # noqa: PLC0415 - a fifth of a second, for what few people write

    settings = {
        "RELATIVE_BASE": _wall(now),
        "PREFER_DATES_FROM": "future",
        "REQUIRE_PARTS": ["day", "month"],
        "RETURN_TIME_AS_PERIOD": True,
    }
    found = DateDataParser(languages=["en"], settings=settings).get_date_data(phrase)
    if found.date_obj is None or found.date_obj.tzinfo is not None:
        return None
    at = found.date_obj if found.period == "time" else datetime.combine(found.date_obj.date(), PARTS["morning"])
    return at.replace(tzinfo=now.tzinfo)
