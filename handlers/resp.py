"""RESP2, the store's wire format: commands are packed, replies are cut out of a stream.

https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from dataclasses import dataclass
from typing import Any


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
    lines = [b"*%d\r\n" % len(parts)]
    lines += [b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]
    return b"".join(lines)


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
        at = 0
        while (end := data.find(b"\r\n", at)) >= 0:
            line, after = data[at + 1 : end], end + 2
            value: Any = None
            match data[at : at + 1]:
                case b"$":
                    size = int(line)
                    if size >= 0:  # -1 is None
                        value, after = data[after : after + size], after + size + 2
                        if len(data) < after:
                            break
                case b":":
                    value = int(line)
                case b"*":
                    size = int(line)
                    if size >= 0:
                        value = []
                    if size > 0:
                        lists.append((value, size))
                        at = after
                        continue
                case b"+":
                    value = line
                case b"-":
                    value = Refusal(line.decode(errors="replace"))
                case _:
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
