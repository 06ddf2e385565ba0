"""The recorded facts of a session, and the codec of the stored elements.

An element is a format byte, 8 random bytes (the event's uid) and a msgpack array `[kind, at, shape, words, ...]`. The rules are in
`docs/format.md`; the hex fixtures in `tests/workflows/events.hex` hold every kind to the byte.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from workflows.errors import UndecodableError
from workflows.listen import AnyListen
from workflows.outputs import Output

FORMAT = b"\x01"
UID_BYTES = 8
HEAD = 1 + UID_BYTES


class Prompt(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an answer leaves open: the listen that the caller speaks to next, and its time-out in seconds (None: no limit)."""

    listen: AnyListen | None = None
    timeout: float | None = None


class Carried(msgspec.Struct, frozen=True, array_like=True):
    """A dedupe id that a restart takes along.

    `state`: `done` (answered), `open` (its turn goes on), `queued` (waits to be consumed; its `heard` follows the opening) or `handled`
    (known, its answer gone). `outputs` are (position, ordinal, output) of the answer so far; `kept` tells that it was answered so.
    """

    id: str
    at: int
    state: str
    turn: int = 0
    outputs: list[tuple[int, int, Output]] | None = None
    prompt: Prompt | None = None
    kept: bool = False


class CarriedErrand(msgspec.Struct, frozen=True, array_like=True):
    """An errand of a former generation: `<gen>/<step>`, the key of its session, its name, its workflow, and what became of it.

    `args` are those of its start, so that the start can be repeated when the errand's history is lost.
    """

    id: str
    key: str
    name: str
    workflow: str
    state: str = "running"
    args: dict[str, Any] = {}


class Event(msgspec.Struct, frozen=True, array_like=True, tag_field="kind", gc=False):
    """The head of every event. `at`: ms since the epoch. `shape` and `words`: checksums of what the run waited for and had said."""

    at: int
    shape: int
    words: int


class Opened(Event, frozen=True, array_like=True, tag=0):
    """The opening of a generation: everything a run needs to begin."""

    id: str
    gen: int
    workflow: str
    patches: tuple[str, ...]
    channel: str
    line: str | None
    caller: str | None
    locale: str
    time_zone: str
    seed: bytes
    args: dict[str, Any]
    parent: tuple[str, str] | None = None
    base: int = 0
    carried: tuple[Carried, ...] = ()
    errands: tuple[CarriedErrand, ...] = ()
    facts: dict[str, Any] = {}


class Heard(Event, frozen=True, array_like=True, tag=1):
    """An input: `said`, `pressed`, `silence`, `intent`, `recorded`, `transferred`, `returned`, `errand` or `cancel`."""

    id: str
    type: str
    payload: dict[str, Any]


class Memo(Event, frozen=True, array_like=True, tag=2):
    """The recorded outcome of an effect: a msgpack value, or `[class, message, terminal]`."""

    step: str
    name: str
    hash: bytes
    value: msgspec.Raw = msgspec.Raw(b"\xc0")
    error: tuple[str, str, bool] | None = None
    usage: dict[str, Any] | None = None


class Fired(Event, frozen=True, array_like=True, tag=3):
    """An alarm that a step had wanted."""

    step: str


class Sent(Event, frozen=True, array_like=True, tag=4):
    """An output that was pushed to a channel, with the vendor's receipt; the workflow never hears of it."""

    output: tuple[int, int]
    receipt: dict[str, Any]


class Left(Event, frozen=True, array_like=True, tag=6):
    """The caller hung up, or the channel's session was closed."""

    id: str
    reason: str


AnyEvent = Opened | Heard | Memo | Fired | Sent | Left

_encode = msgspec.msgpack.Encoder().encode
_decode: Callable[[bytes], AnyEvent] = msgspec.msgpack.Decoder(AnyEvent).decode


def encode(event: AnyEvent, uid: bytes) -> bytes:
    """Make the stored element of an event; `uid` is drawn anew for each attempt to append it."""
    return FORMAT + uid + _encode(event)


def decode(element: bytes) -> AnyEvent:
    """Read a stored element. Raises `UndecodableError` for whatever this code did not write."""
    if element[:1] != FORMAT:
        raise UndecodableError(
            f"an element begins with {element[:1].hex() or 'nothing'} where {FORMAT.hex()} was expected: it was written by another format "
            "or damaged. The session is left as it is; see it with `switchboard sessions show`."
        )
    try:
        return _decode(element[HEAD:])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UndecodableError(
            f"the body of element {uid_of(element).hex()} cannot be read ({error}): it was written by newer code or damaged. "
            "The session is left as it is; see it with `switchboard sessions show`."
        ) from None


def uid_of(element: bytes) -> bytes:
    """The 8 bytes that make this attempt at appending an event unlike any other."""
    return element[1:HEAD]


def describe(event: AnyEvent) -> str:
    """An event in words, for error texts."""
    match event:
        case Opened(workflow=name):
            return f"an opening of {name}"
        case Heard(type=type_):
            return f"an input ({type_})"
        case Memo(step=step, name=name):
            return f"the outcome of {name} (step {step})"
        case Fired(step=step):
            return f"the alarm of step {step}"
        case Left():
            return "the caller leaving"
        case Sent(output=(position, ordinal)):
            return f"the receipt of output {position}.{ordinal}"
