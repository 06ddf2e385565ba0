"""Deliveries: what is said in a session whose channel pushes, brought to people outside a request; and the port to the channels that do so.

A session pushes if its opening has the fact `pushes`. Each of its outputs is then posted by the node that leads, after the append of its
cause, one after another, and the receipt is recorded (`docs/format.md`, rule 12). What a turn shows before it has said anything, a
placeholder or words that are still coming, is no output: it is never recorded, and the turn's first output takes its place.
"""

from typing import Any, Protocol

import msgspec

from workflows.events import Opened, Prompt
from workflows.outgoing import APOLOGY
from workflows.outputs import Output, Say, whole

MOST_FACTS = 16
LONGEST_FACT = 300
"""How many facts of a receipt are recorded, and how many characters of each."""


class Place(msgspec.Struct, frozen=True):
    """Where to, as the opening recorded it: its channel, line, caller, and the facts, which hold what else the channel needs to know."""

    session: str
    gen: int
    opened: Opened


class Delivery(msgspec.Struct, frozen=True):
    """An output to be posted.

    `position` and `ordinal` are its number. `turn` is the dedupe id of the turn that it belongs to; `answers`: it is part of that turn's
    answer, else it is said later and unprompted. `prompt` is what the session listens for, on the last output before it does. `key` is
    made of session, generation, number and a checksum of what is said: equal keys are the same words at the same place.
    """

    place: Place
    position: int
    ordinal: int
    output: Output
    turn: str
    answers: bool
    prompt: Prompt | None
    key: str


class Expected(msgspec.Struct, frozen=True):
    """A turn that is worked on and has said nothing yet. `key` is made of session, generation and the turn's dedupe id."""

    place: Place
    turn: str
    key: str


class Messenger(Protocol):
    """Brings what is said to the people of one channel.

    Of a session, one of the three coroutines runs at a time, in the order of what was said, and only on the node that leads; when it steps
    down, the call is cancelled. `look`: another node, or a former life of this one, may have done so already.
    """

    async def post(self, delivery: Delivery, *, look: bool) -> dict[str, Any]:
        """Show it to people, in place of what stands there for its turn if something does, and give the receipt.

        With `look`, look first whether an output of this key is there; if so the receipt is that one's. Waits out rate limits and trouble
        that passes. What can never be delivered is logged with the remedy, and its receipt has an `error`. Whatever is raised counts as
        trouble that passes: it is posted again, with `look`.
        """
        ...

    async def expect(self, expected: Expected, *, look: bool) -> None:
        """Show that the turn is worked on; with `look`, only if nothing of its key is there. Raises nothing."""
        ...

    async def give_up(self, expected: Expected, *, failed: bool, look: bool) -> None:
        """Nothing will be said for the turn: what stands there for it goes. Raises nothing.

        `failed`: it has not ended, but its session is left alone, since it may be what kills servers; an apology takes the place.
        """
        ...

    def speak(self, expected: Expected, text: str) -> None:
        """What is being said is `text` so far; the next call has all of it and more. Nobody minds what is left out. Raises nothing."""
        ...


def bounded(receipt: dict[str, Any]) -> dict[str, Any]:
    """What is recorded of a receipt: its first facts, as plain values of a size that a history can bear."""
    facts = [(name, value) for name, value in receipt.items() if name != APOLOGY]
    return {_text(name): _fact(value) for name, value in facts[:MOST_FACTS]}


def _fact(value: object) -> int | float | str | None:
    plain = value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)
    return value if plain else _text(value)  # type: ignore[return-value]  # plain is what it says


def _text(value: object) -> str:
    text = whole(Say(str(value)[:LONGEST_FACT]))
    assert isinstance(text, Say)
    return text.text
