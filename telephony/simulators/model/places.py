"""Where from and where to: the cities and airports of a text, by name or by code."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise

from handlers.bindings.airports import code_of, plain, well_known

MOST_WORDS = 4
"""Of a name: "Palma de Mallorca", "New York City"."""

ALIKE = 0.84
"""How like a name has to be that is written with a slip, as `difflib` measures it."""

NEAR = 12
"""Characters before a name in which such a word as "between" stands."""

SHORTEST = 5
"""Characters of a name that a slip is looked for in."""

NO_CODES = frozenset((
    "all", "and", "any", "are", "back", "but", "can", "day", "eur", "eve", "for", "from", "gbp", "has", "her", "him", "his", "how",
    "inn", "its", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "led", "let", "man", "max",
    "mon", "not", "now", "off", "one", "our", "out", "per", "pls", "pub", "put", "sat", "see", "set", "she", "sun", "ten", "the",
    "thu", "tue", "two", "usd", "use", "via", "was", "wed", "who", "why", "yes", "you",
))  # fmt: skip
"""Words that are codes of airports, too, unless they are written in capitals."""

_WORD = re.compile(r"[^\W\d_][\w'.]*", re.UNICODE)
_MARKER = re.compile(r"\b(?:from|to|into|between|and)\s*$", re.IGNORECASE)
_BEFORE = re.compile(r"\b(?:from|to|into|between|and)\s+$|[^\W\d_](?:->?|\u2013|\u2192|/)$|(?:\u2013|\u2192|->)\s*$", re.IGNORECASE)
_BESIDE = re.compile(r"(?:->?|\u2013|\u2192|/)[^\W\d_]|\s*(?:\u2013|\u2192|->)\s*[^\W\d_]")
_ARROW = re.compile(r"\s*(?:-+>?|\u2013|\u2192|/)\s*")


@dataclass(frozen=True, slots=True)
class Place:
    """A place that a text names from `start` to `end`."""

    start: int
    end: int
    code: str


@dataclass(frozen=True, slots=True)
class Route:
    """Codes of where from and where to, empty where it is not said; `rest` is the text without them, `unknown` what is no place."""

    origin: str
    destination: str
    rest: str
    unknown: str = ""


def route(text: str) -> Route:
    """Find the route of a text: "from A to B", "to B from A", "between A and B", "A to B", "A - B", "A B"."""
    found = _places(text)
    origin = _after(text, found, r"from|between")
    destination = _after(text, found, r"to|into")
    if origin is not None and destination is None:
        destination = next((each for each in found if each.start >= origin.end and _joins(text, origin, each)), None)
    if destination is not None and origin is None:
        origin = next((each for each in reversed(found) if each.end <= destination.start and _joins(text, each, destination)), None)
    if origin is None and destination is None:
        for one, other in pairwise(found):
            if _joins(text, one, other):
                origin, destination = one, other
    unknown = "" if origin and destination else _unknown(text, found)
    rest = text
    for each in sorted((each for each in (origin, destination) if each is not None), key=lambda each: -each.start):
        rest = f"{_MARKER.sub('', rest[: each.start]).rstrip()} {rest[each.end :].lstrip()}".strip()
    return Route(origin.code if origin else "", destination.code if destination else "", rest, unknown)


def codes(text: str) -> dict[str, str]:
    """The names and codes of all places that a text names, each with its code."""
    return {text[each.start : each.end]: each.code for each in _places(text)}


def _places(text: str) -> list[Place]:
    """All places of a text from left to right, the longest names first."""
    words = list(_WORD.finditer(text))
    found: list[Place] = []
    index = 0
    while index < len(words):
        for count in range(min(MOST_WORDS, len(words) - index), 0, -1):
            start, end = words[index].start(), words[index + count - 1].end()
            marked = _BEFORE.search(text, max(0, start - NEAR), start) is not None or _BESIDE.match(text, end) is not None
            if (code := _code(text[start:end], marked=marked, alone=count == 1)) is not None:
                found.append(Place(start, end, code))
                index += count
                break
        else:
            index += 1
    return found


def _code(name: str, *, marked: bool, alone: bool) -> str | None:
    """The code of what may be a place; `marked` if a word such as "from" stands before it, which makes a name of any word."""
    name = name.rstrip(".,'")
    known = code_of(name)
    if not alone:
        return known
    if len(name) == 3 and not name.isupper() and (name.lower() in NO_CODES or not marked):  # noqa: PLR2004 - as codes have
        return None
    if known is not None and (marked or name[0].isupper() or plain(name) in well_known()):
        return known
    if marked and len(name) >= SHORTEST and (like := get_close_matches(plain(name), well_known(), 1, ALIKE)):
        return code_of(like[0])
    return None


def _after(text: str, found: list[Place], words: str) -> Place | None:
    return next(
        (each for each in found if re.search(rf"\b(?:{words})\s+$", text[max(0, each.start - NEAR) : each.start], re.IGNORECASE)), None
    )


def _joins(text: str, one: Place, other: Place) -> bool:
    between = text[one.end : other.start]
    return bool(_ARROW.fullmatch(between) or re.fullmatch(r"[\s,]*(?:to|and)?\s*", between, re.IGNORECASE))


def _unknown(text: str, found: list[Place]) -> str:
    """What stands where a place belongs and is none."""
    starts = {each.start for each in found}
    for marker in re.finditer(r"\b(?:from|to)\s+(?P<name>[A-Z][\w'-]+)", text):
        if marker.start("name") not in starts:
            return marker["name"]
    return ""
