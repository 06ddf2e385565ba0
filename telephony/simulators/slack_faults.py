"""What can go wrong with a call of the simulated Slack's Web API, and how a script of it is written."""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

KINDS: Final = ("reset", "hang", "lost", "garbage", "slow", "ok")

_ITEM: Final = re.compile(r"(?P<what>[a-z_]+|\d{3})(?::(?P<seconds>\d+(?:\.\d+)?))?(?:\*(?P<times>\d+))?")


class Fault(msgspec.Struct, frozen=True):
    """What a call gets.

    `kind` is one of `KINDS`, or `status` (with `status` and maybe a Retry-After of `seconds`), or `error` (what Slack calls `error`).
    `lost`: it is done, but the connection breaks before that is said; `reset`: it breaks at once.
    """

    kind: str
    status: int = 0
    seconds: float | None = None
    error: str = ""


def script(text: str) -> list[Fault]:
    """Read a script such as `429:2,lost,ok*3,channel_not_found`. Raises `ValueError`."""
    return list(_read(text))


def _read(text: str) -> Iterator[Fault]:
    for item in filter(None, [each.strip() for each in text.split(",")]):
        found = _ITEM.fullmatch(item)
        if found is None:
            raise ValueError(
                f"{item!r} is no fault: write a status (429:2), {', '.join(KINDS)}, or an error of Slack's such as token_revoked"
            )
        what, seconds = found["what"], None if found["seconds"] is None else float(found["seconds"])
        if what.isdecimal():
            fault = Fault("status", int(what), seconds)
        elif what in KINDS:
            fault = Fault(what, seconds=seconds)
        else:
            fault = Fault("error", error=what)
        for _ in range(int(found["times"] or 1)):
            yield fault
