"""What the log tells of a workflow's bug: where it is, and nothing of what a caller may have keyed in."""

import re

_DIGITS = re.compile(r"\d")


def without_values(traceback: str) -> str:
    """A traceback without the digits that stand in what the exceptions say: they may be a caller's PIN. `sessions show` has them all."""
    lines, code = [], 0
    for line in traceback.splitlines():
        if line.startswith("  File "):
            code = 2  # the line of the code follows, and maybe one that marks a part of it
        elif code and line.startswith("    "):
            code -= 1
        else:
            code, line = 0, _DIGITS.sub("#", line)  # noqa: PLW2901 - it is the line without them from here on
        lines.append(line)
    return "\n".join(lines)
