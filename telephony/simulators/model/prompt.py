"""What a request to the offline demo model comes to: what the user means, when and where it was said, and the tools on offer."""

import json
import re
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from telephony.simulators.model.wire import Call, Json, Reply

LONGEST = 1_000
"""Characters of a message that are looked at."""

_MARKS = str.maketrans("‘’“”«»", '\'\'""""')  # noqa: RUF001 - that is what they are here for
_NOW = re.compile(
    r"It is \w+, (?P<now>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[+-]\d\d:\d\d)?) in the user's time zone, (?P<zone>[\w/+-]+?)\.?\s*$",
    re.MULTILINE,
)
_NAMED = re.compile(r"""\b(?:named|called|call it|name it)\s+["']?(?P<name>[\w-]+)["']?""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is to be understood, when and where it was said, and the names of the tools on offer."""

    text: str
    now: datetime
    tools: frozenset[str]


def now_of(system: str) -> datetime:
    """When and where it was said, by the system message."""
    found = _NOW.search(system)
    try:
        zone: tzinfo = ZoneInfo(found["zone"]) if found else ZoneInfo("UTC")
        at = datetime.fromisoformat(found["now"]) if found else datetime.now(zone)
        return at.astimezone(zone) if at.tzinfo is not None else at.replace(tzinfo=zone)
    except (ValueError, OSError, LookupError):
        return datetime.now(ZoneInfo("UTC"))


def content(message: Json) -> str:
    """A message's text; it may come in parts."""
    parts = message.get("content")
    if isinstance(parts, list):
        return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))
    return parts if isinstance(parts, str) else ""


def said_by(messages: list[Json], *roles: str) -> list[tuple[str, str]]:
    """What was said by these, in one line each; the oldest first."""
    texts = [(each["role"], " ".join(content(each)[:LONGEST].translate(_MARKS).split())) for each in messages if each["role"] in roles]
    return [(role, text) for role, text in texts if text]


def unnamed(text: str) -> tuple[str, str | None]:
    """A text without the name that is given in it, and that name."""
    found = _NAMED.search(text)
    return (text, None) if found is None else (f"{text[: found.start()].rstrip()} {text[found.end() :].lstrip()}".strip(), found["name"])


def call(tool: str, **arguments: Any) -> Call:
    """A call of a tool, without the arguments that are not given."""
    given = {name: value for name, value in arguments.items() if value is not None}
    return Call(tool, json.dumps(given, ensure_ascii=False))


def calls(*wanted: Call) -> Reply:
    """A reply that calls tools."""
    return Reply(calls=wanted)
