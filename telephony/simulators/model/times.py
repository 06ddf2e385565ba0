"""Times of day in plain English: "at 9", "5.30 pm", "17:45", "ten to five", "half past eight", "1500 hours", "noon"."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from telephony.simulators.model.days import PARTS
from telephony.simulators.model.numbers import CARDINAL, cardinal

NOON = 12
EARLY = 7
"""Whoever says "tomorrow at 5" means the afternoon, and who says "at 7", the morning."""

_PATTERN = re.compile(
    rf"""
    (?<![\w.:/-])(?:(?P<at>at|by|for|around|about|from)\s+(?:about\s+|around\s+)?)?(?:
        (?P<away>half|(?:a\s+)?quarter|(?:{CARDINAL})(?:\s+minutes)?)\s+(?P<side>past|to|after|before)\s+(?P<around>{CARDINAL}|noon|midnight)(?!\w|[:.]\d)
            (?:\s*(?P<half3>[ap])\.?m\b\.?)?
        | (?P<hour>\d{{1,2}})(?:[:.](?P<minute>\d\d))?(?::(?P<second>\d\d))?\s*(?:(?P<half>[ap])\.?m\b\.?|o'?clock\b)
        | (?P<hour2>\d{{1,2}})[:](?P<minute2>\d\d)(?::(?P<second2>\d\d))?(?!\w|:)
        | (?P<spelt>{CARDINAL})\s*(?:(?P<half2>[ap])\.?m\b\.?|o'?clock\b)
        | (?P<hour24>\d{{1,2}})h(?P<minute24>\d\d)?\b
        | (?P<military>[0-2]\d[0-5]\d)\s*(?:hours|hrs|h)\b
        | (?P<word>noon|midday|midnight)\b
        | (?<=at\s)(?P<hour3>{CARDINAL})\b(?:\.(?P<minute3>\d\d)\b)?(?!\s*(?:%|percent|euros?|dollars?|EUR\b|USD\b|people|o\b))
        | (?<=by\s)(?P<hour4>{CARDINAL})\b(?!\s+\w+s\b)
        | (?:(?<=at\s)|in\s+the\s+)(?P<part>{"|".join(PARTS)})\b
    )(?:\s+in\s+the\s+(?P<of>morning|afternoon|evening)\b|\s+at\s+(?P<night>night)\b)?(?:\s+(?:sharp|exactly|on\s+the\s+dot))?
    """,
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Time:
    """A time of day that a text names from `start` to `end`.

    Attributes:
        at: whether it is said to be a time, by "at" or the like.
        bare: whether it may be of the morning or of the evening.
        rough: whether it is an hour alone.
        digital: whether it is written as a clock of 24 hours would show it.
        shift: minutes to be added, a day's for midnight.
    """

    start: int
    end: int
    hour: int
    minute: int = 0
    second: int = 0
    shift: int = 0
    at: bool = False
    bare: bool = False
    rough: bool = False
    digital: bool = False

    def on(self, day: date, zone: tzinfo | None) -> datetime:
        """It on a day. Raises `ValueError` when no clock shows it."""
        at = datetime(day.year, day.month, day.day, self.hour, self.minute, self.second, tzinfo=zone)
        return at + timedelta(minutes=self.shift)


def find_all(text: str) -> Iterator[Time]:
    """All times of day of a text. Raises `ValueError` for 13 pm."""
    for found in _PATTERN.finditer(text):
        start, end, at = found.start(), found.end(), bool(found["at"] or found["part"])
        if found["word"]:
            midnight = found["word"].lower() == "midnight"
            yield Time(start, end, 0 if midnight else NOON, shift=24 * 60 if midnight else 0, at=at)
            continue
        if found["part"]:
            usual = PARTS[found["part"].lower()]
            yield Time(start, end, usual.hour, usual.minute, at=at)
            continue
        if found["military"]:
            yield Time(start, end, int(found["military"][:2]), int(found["military"][2:]), at=at)
            continue
        shift = 0
        if found["away"]:
            around = found["around"].lower()
            hour = {"noon": NOON, "midnight": 24}.get(around) or cardinal(around)
            minutes = _away(found["away"])
            shift = -minutes if found["side"].lower() in ("to", "before") else minutes
            if around == "midnight":
                hour, shift = 0, shift + 24 * 60
        else:
            hour = cardinal(next(found[name] for name in ("hour", "hour2", "spelt", "hour24", "hour3", "hour4") if found[name]))
        minute = int(found["minute"] or found["minute2"] or found["minute24"] or found["minute3"] or 0)
        digits = found["hour"] or found["hour2"] or ""
        half = (found["half"] or found["half2"] or found["half3"] or "").lower()
        of = (found["of"] or found["night"] or "").lower()
        if half and not 1 <= hour <= NOON:
            raise ValueError(f"there is no {hour} {half}m")
        if (half == "p" or of in ("afternoon", "evening", "night")) and hour < NOON:
            hour += NOON
        elif half == "a" and hour == NOON:
            hour = 0
        bare = (
            not (half or of or found["hour24"] or (found["around"] or "").lower() == "noon" or digits.startswith("0")) and 1 <= hour <= NOON
        )
        rough = bare and not minute and not found["minute2"]
        digital = bool(found["minute2"]) and len(digits) > 1
        yield Time(start, end, hour, minute, int(found["second"] or found["second2"] or 0), shift, at, bare, rough, digital)


def _away(text: str) -> int:
    """The minutes before or after an hour."""
    words = text.lower().split()
    return {"half": 30, "quarter": 15}.get(words[0] if words[0] != "a" else words[1]) or cardinal(" ".join(words).removesuffix(" minutes"))
