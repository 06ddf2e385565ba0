"""How the offline demo model misbehaves when it is told to: a script of faults, one for each request."""

import re
from dataclasses import dataclass

KINDS = {
    "ok": "as if nothing were wrong",
    "slow": "a pause before the answer, of so many seconds: slow:3",
    "hang": "the request is taken and never answered",
    "reset": "the connection is closed without an answer",
    "stall": "half an answer, and then nothing more",
    "cut": "half an answer, and then the connection is closed",
    "end": "half an answer that ends as if it were whole, but for its terminal event",
    "error": "half an answer, and then an error",
    "garbage": "half an answer, and then what is no JSON",
    "empty": "an answer without words",
    "malformed": "a call of a tool whose arguments are no JSON",
}
"""The faults by name; a status (429, or 429:2 with a Retry-After of two seconds) is one, too."""

_FAULT = re.compile(r"(?P<kind>[a-z]+|[45]\d\d)(?::(?P<seconds>\d+(?:\.\d+)?))?(?:\*(?P<times>\d{1,4}))?")


@dataclass(frozen=True, slots=True)
class Fault:
    """What one request gets; `seconds` are those of a pause or of Retry-After, `status` is that of an error."""

    kind: str
    seconds: float | None = None
    status: int | None = None


def script(text: str) -> list[Fault]:
    """Read a script, such as `429:2,hang,ok*3,cut`. Raises `ValueError` with what there is."""
    faults: list[Fault] = []
    for item in filter(None, map(str.strip, text.split(","))):
        match = _FAULT.fullmatch(item)
        if match is None or not (match["kind"].isdecimal() or match["kind"] in KINDS):
            raise ValueError(
                f"there is no fault {item!r}. There are a status (429, 429:2 with Retry-After), {', '.join(KINDS)}; *3 repeats"
            )
        kind, seconds = match["kind"], None if match["seconds"] is None else float(match["seconds"])
        fault = Fault("status", seconds, int(kind)) if kind.isdecimal() else Fault(kind, seconds)
        faults += [fault] * int(match["times"] or 1)
    return faults
