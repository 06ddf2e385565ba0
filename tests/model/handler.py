"""What a node has in hand of one session."""

from typing import Any, NamedTuple

from model.events import Alarm, Event, Want
from model.store import Write


class Inbound(NamedTuple):
    """One input on its way in: from a caller (`said`, `left`) or another session (`open`, `ask`, `cancel`, `errand`)."""

    id: str
    kind: str
    via: str = ""  # a caller's connection; else what the event on record will say
    gen: int = 0  # from another session: the parent's generation that started the errand

    @property
    def internal(self) -> bool:
        """Whether it comes from another session."""
        return self.kind not in ("said", "left")


class Fire(NamedTuple):
    """A due alarm that a sweep or a timer handed over."""

    alarm: Alarm


class Sweep(NamedTuple):
    """A session that this node took over, or must look at again."""

    why: str = "overdue"


Task = Inbound | Fire | Sweep


class Effect(NamedTuple):
    """Something that this node does for a session."""

    want: Want
    value: str
    stage: str  # running or held, its result waits to be recorded; a delivery: look, post, held


class Handler(NamedTuple):
    """What a node knows of one session and does for it. `history` is what was acknowledged; None: nothing is loaded."""

    history: tuple[Event, ...] | None = None
    tasks: tuple[Task, ...] = ()
    waiting: tuple[Inbound, ...] = ()  # on record; whoever sent them waits for an answer
    effects: tuple[Effect, ...] = ()
    leads: bool = False  # it holds the lease, as far as it knows
    led_from: int = 0  # position from which on it has led without a break; others may have posted what was said before
    noticed: bool = False  # an errand: its parent has the result
    pending: Write | None = None  # a call whose outcome is unknown


FRESH = Handler()


class Settled(NamedTuple):
    """A handler at peace with what it knows, the answers that it gives, and the inbounds that it confirms to other sessions."""

    handler: Handler
    answers: tuple[tuple[str, Any], ...] = ()
    confirmed: tuple[Inbound, ...] = ()


class Draft(NamedTuple):
    """A call that may be made: its events have no uids yet."""

    label: str
    events: tuple[Event, ...] = ()
    task: Task | None = None
    replaces: bool = False
    polls: bool = False  # it is made only to learn something
