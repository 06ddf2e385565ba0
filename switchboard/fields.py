"""What the value of a setting may be: types that read it, check it, and say what to write instead."""

import difflib
import re
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import entry_points
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from handlers.errors import StoreError
from handlers.redis_address import Address

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LONGEST_DAYS: Final = 36_500
_MOST: Final = 1_000_000
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def meant(word: str, known: Iterable[str]) -> str:
    """A guess at what was meant, to be put behind a refusal; nothing if no known word is like it."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _duration(value: object) -> timedelta:
    """Read `30`, `1.5` (seconds) or `"30s"`, `"5m"`, `"12h"`, `"30d"`."""
    seconds: float = 0
    if isinstance(value, str) and (found := re.fullmatch(r"(\d+(?:\.\d+)?) *([smhd])", value.strip())):
        seconds = float(found[1]) * _UNITS[found[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    if not 0 < seconds <= _LONGEST_DAYS * _UNITS["d"]:
        raise ValueError(f'{value!r} is no duration: write a number of seconds, or "30s", "5m", "12h", "30d"')
    return timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so many seconds; all of them may come at once."""

    count: int
    seconds: float
    text: str

    def __str__(self) -> str:
        return self.text


def _rate(value: object) -> object:
    """Read `"20/1m"`: twenty in a minute."""
    if isinstance(value, Rate):
        return value
    count, _, duration = value.partition("/") if isinstance(value, str) else ("", "", "")
    try:
        seconds = _duration(duration).total_seconds()
    except ValueError:
        seconds = 0
    if not (count.strip().isdecimal() and 0 < int(count) <= _MOST and seconds):
        raise ValueError(f'{value!r} is no rate: write how many in which time, such as "20/1m" or "1000/1d"')
    return Rate(int(count), seconds, f"{int(count)}/{duration.strip()}")


def _language(value: str) -> str:
    if not _LANGUAGE.fullmatch(value):
        raise ValueError(f"{value!r} is no language: write a BCP 47 tag such as en-GB")
    return value


def _time_zone(value: str) -> str:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{value!r} is no time zone: write an IANA name such as Europe/Helsinki{meant(value, zoneinfo.available_timezones())}"
        ) from None
    return value


def _line_address(value: str) -> str:
    """Check an address in `[lines]`: a channel that is installed, a colon, and who is reached (or `*` for all)."""
    channel, _, address = value.partition(":")
    known = {point.name for point in entry_points(group="switchboard.channels")}
    if not address:
        raise ValueError(f'write a channel and an address, such as "{min(known, default="phone")}:*"')
    if channel not in known:
        raise ValueError(f"there is no channel {channel!r}. Known are {', '.join(sorted(known))}{meant(channel, known)}")
    return value


def _public_url(value: str) -> str:
    """Check the URL by which the world reaches the server; a path in it is what a proxy in front cuts off."""
    try:
        parts = urlsplit(value)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fits = False
    if not fits or "@" in value or "?" in value or "#" in value or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("write the URL by which the world reaches this server, such as https://calls.example.com")
    return value.rstrip("/")


def _origin(value: str) -> str:
    """Check an origin as browsers name it: scheme, host, and the port where it is not the usual one."""
    origin = _public_url(value).lower()
    if origin.count("/") > len("//"):
        raise ValueError(f"{value!r} is no origin: write it without a path, such as https://www.example.com")
    return origin


def _api_url(value: str) -> str:
    """Check where a vendor's API, or one that is like it, is to be reached; a login may stand in it, so it is not repeated."""
    try:
        parts = urlsplit(value)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fits = False
    if not fits or "?" in value or "#" in value or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("write a URL that begins with http:// or https://, such as http://127.0.0.1:8090/v1")
    return value.rstrip("/")


def _store_url(value: str) -> str:
    try:
        Address.all_of(value)
    except StoreError as error:
        raise ValueError(str(error)) from None
    return value


Text = Annotated[str, Field(min_length=1)]
PerTime = Annotated[Rate, BeforeValidator(_rate)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Language = Annotated[str, AfterValidator(_language)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
LineAddress = Annotated[str, AfterValidator(_line_address)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
Origin = Annotated[str, AfterValidator(_origin)]
ApiUrl = Annotated[str, AfterValidator(_api_url)]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
