"""What is on record, and what a run wants of the world. Tuples, since a search hashes and compares millions of them."""

from typing import Any, NamedTuple

WATCH = "errands"
"""The step of the slow due entry of a session that waits for errands."""


class Event(NamedTuple):
    """One fact. Two attempts to write never write equal events, so an event is its own uid."""

    kind: str  # opened, heard, left, memo, fired, sent
    name: str  # dedupe id, step, or output
    value: Any = None  # opened: an Opening; heard and left: by which connection, `errand/<child>/<gen>`, or `cancel`
    nonce: int = 0


class Carried(NamedTuple):
    """What a new generation knows of an input of the former one. `outputs`: the answer, or what was said so far."""

    id: str
    state: str  # done, open, queued
    outputs: Any


class Opening(NamedTuple):
    """What a generation begins with. `parent_gen`: the parent's generation that started this errand."""

    gen: int = 0
    via: str = ""
    carried: tuple[Carried, ...] = ()
    errands: tuple[tuple[int, str], ...] = ()
    parent_gen: int = 0


class Want(NamedTuple):
    """Something that a node must do."""

    gen: int
    step: str
    kind: str  # call, kill, start, cancel, restart, deliver
    target: Any = None  # the child, or the output's text


class Alarm(NamedTuple):
    """An entry of the due index."""

    gen: int
    step: str


def kind_of(event: Event) -> str:
    """What sort of input an event is: said, left, errand or cancel."""
    if event.kind == "left":
        return "left"
    return "errand" if event.value.startswith("errand/") else "cancel" if event.value == "cancel" else "said"


def child_of(address: str) -> int:
    """The child that `errand/<child>/…` names."""
    return int(address.split("/")[1])
