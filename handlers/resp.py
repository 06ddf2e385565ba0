"""RESP2, the store's wire format: commands are packed, replies are cut out of a stream.

https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

LONG: Final = 32
"""Elements that a list lacks at least, for it to be looked at as a whole."""

_STRING, _INTEGER, _LIST, _STATUS, _REFUSAL = b"$:*+-"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the store says instead of a reply to one command, such as `OOM command not allowed …`; the connection is fine.

    `by`: the node of a cluster that says it.
    """

    text: str
    by: str = ""

    @property
    def kind(self) -> str:
        """Its first word, by which programs know it."""
        return self.text.partition(" ")[0]


def pack(*parts: bytes) -> bytes:
    """One command, ready to be sent."""
    return pack_behind(b"", 0, parts)


def pack_behind(packed: bytes, count: int, parts: Sequence[bytes]) -> bytes:
    """One command whose first parts, `count` of them, are packed already, as `strings`."""
    return b"*%d\r\n%b%b" % (count + len(parts), packed, strings(parts))


def strings(parts: Iterable[bytes]) -> bytes:
    """Some of the parts of a command, or of the elements of a list, packed."""
    lines: list[bytes] = []
    for part in parts:
        lines.append(b"$%d" % len(part))
        lines.append(part)
    lines.append(b"")
    return b"\r\n".join(lines)


class Replies:
    """Cuts what the store sends into replies: bytes, int, None, `Refusal`, or a list of these.

    A reply that is not complete yet is kept element by element, so that a long list costs no more in many pieces than in one.
    """

    __slots__ = ("_lists", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._lists: list[tuple[list[Any], int]] = []

    def feed(self, data: bytes) -> list[Any]:
        """Take the next bytes and return the replies that they complete; `ValueError` for anything but RESP2."""
        data = self._rest + data
        lists = self._lists
        complete: list[Any] = []
        at = self._take_strings(data, 0) if lists else 0
        while (end := data.find(b"\r\n", at)) >= 0:
            kind, line, after = data[at], data[at + 1 : end], end + 2
            value: Any = None
            if kind == _STRING:
                size = int(line)
                if size >= 0:  # -1 is None
                    end = after + size
                    value, after = data[after:end], end + 2
                    if len(data) < after:
                        break
            elif kind == _INTEGER:
                value = int(line)
            elif kind == _LIST:
                size = int(line)
                if size >= 0:
                    value = []
                if size > 0:
                    lists.append((value, size))
                    at = self._take_strings(data, after)
                    continue
            elif kind == _STATUS:
                value = line
            elif kind == _REFUSAL:
                value = Refusal(line.decode(errors="replace"))
            else:
                raise ValueError(data[at : at + 40])
            at = after
            while lists:
                items, size = lists[-1]
                items.append(value)
                if len(items) < size:
                    break
                value = lists.pop()[0]
            else:
                complete.append(value)
        self._rest = data[at:]
        return complete

    def _take_strings(self, data: bytes, at: int) -> int:
        """Take what is here of a long list of strings, but for its last one, in a few steps for all; returns where the rest begins.

        The data is cut at every line break. If one stood within a string, or something else among them, the strings that come of it
        do not make the same data again; then nothing is taken.
        """
        items, size = self._lists[-1]
        lacking = size - len(items)
        if lacking < LONG:
            return at
        pieces = data[at:].split(b"\r\n", 2 * (lacking - 1))
        found = pieces[1:-1:2]  # each behind its size; what is behind the last line break is not known to be complete
        packed = strings(found)
        if not data.startswith(packed, at):
            return at
        items += found
        return at + len(packed)
