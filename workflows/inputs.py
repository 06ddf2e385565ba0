"""What a conversation hears: the values that a listen hands to its author."""

from typing import Any

import msgspec


class Heard(msgspec.Struct, frozen=True, gc=False):
    """The caller said, typed or pressed something.

    `text` is what was said (or the keys as text), `keys` what was pressed (empty if spoken), `intent` and `slots` what a channel with
    a language model of its own (Alexa) made of it.
    """

    text: str = ""
    keys: str = ""
    intent: str = ""
    slots: dict[str, str] = {}


class Silence(msgspec.Struct, frozen=True, gc=False):
    """Nothing came within the time-out."""


class Recording(msgspec.Struct, frozen=True, gc=False):
    """A message left by the caller: where it lies and how long it is, in seconds; on a text channel the text itself."""

    url: str = ""
    seconds: int = 0
    text: str = ""


class Transferred(msgspec.Struct, frozen=True, gc=False):
    """How a hand-over to a person went: `completed`, `busy`, `no-answer`, `failed` or `canceled`; and how long they spoke, in seconds."""

    outcome: str = "failed"
    seconds: int = 0


class Returned(msgspec.Struct, frozen=True, gc=False):
    """The caller came back to a session that was still alive."""


class ErrandDone(msgspec.Struct, frozen=True):
    """An errand ended: its id, its name, and its value, or in words why it failed."""

    errand: str
    name: str
    value: Any = None
    error: str | None = None


Input = Heard | Silence | Recording | Transferred | Returned | ErrandDone

TYPES: dict[type, frozenset[str]] = {
    Heard: frozenset({"said", "pressed", "intent"}),
    Silence: frozenset({"silence"}),
    Recording: frozenset({"recorded"}),
    Transferred: frozenset({"transferred"}),
    Returned: frozenset({"returned"}),
    ErrandDone: frozenset({"errand"}),
}
"""Which recorded types of input each of the author's classes stands for."""

CALLER = frozenset({"said", "pressed", "intent", "silence", "recorded", "transferred"})
"""The types that only a caller who is still there can send."""


def read(type_: str, payload: dict[str, Any]) -> Input:
    """Turn a recorded input into the author's value; errands are read by the run, which knows their names."""
    match type_:
        case "said":
            return Heard(payload.get("text", ""))
        case "pressed":
            keys = payload.get("digits", "")
            return Heard(keys, keys)
        case "intent":
            return Heard(text=payload.get("text", ""), intent=payload.get("name", ""), slots=payload.get("slots", {}))
        case "recorded":
            return Recording(payload.get("url", ""), payload.get("seconds", 0))
        case "transferred":
            return Transferred(payload.get("outcome", "failed"), payload.get("seconds", 0))
        case "returned":
            return Returned()
        case _:
            return Silence()
