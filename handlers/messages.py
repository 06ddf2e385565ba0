"""What actors send each other: frozen values, matched with `match`.

Those that the switchboard forwards to a handler are counted (see `Idle`); a handler's own results come back to it as the messages of the
last part, which are not.
"""

from typing import Any, Literal

import msgspec

from handlers.effects import Outcome
from handlers.reply import ReplyTo
from workflows.events import CarriedErrand, Prompt
from workflows.turns import Answer, Spoken


class Message(msgspec.Struct, frozen=True):
    """The base of all messages."""


# -- to a session, through the switchboard ---------------------------------------------------------------------------------------------


class Opening(msgspec.Struct, frozen=True):
    """What a session is opened with, if it has to be: the workflow by name, its arguments, and the recorded facts."""

    workflow: str
    args: dict[str, Any]
    channel: str
    line: str | None = None
    caller: str | None = None
    locale: str = "en"
    time_zone: str = "UTC"
    facts: dict[str, Any] = {}
    parent: tuple[str, str] | None = None


class Inbound(Message, frozen=True):
    """One input on its way in.

    `id` is the channel's dedupe id, `type` and `payload` are those of the recorded `heard` (`left` with `payload["reason"]` is the caller
    leaving; empty: the opening itself is the input). `returned` is heard by a session that lives; where it opens one it is the opening.
    `opening` says how to open the session if it is not there; `fresh`: the channel knows that it is not there; `reopens`: an ended or
    failed session begins a new generation. `stored_suffices`: answer as soon as the input is on record. `key`: a beginning of `id` that no
    other input of the session may have, so that one key is never two inputs;
    inputs with a key are also those that a line with the fact `busy: reject` refuses while one before is unanswered. `upon`: the number of
    the output that it answers; if more was said since, or nobody listens any more, it is not stored but `handled`.
    """

    session: str
    id: str
    type: str = ""
    payload: dict[str, Any] = {}
    opening: Opening | None = None
    fresh: bool = False
    reopens: bool = False
    stored_suffices: bool = False
    key: str = ""
    upon: tuple[int, int] | None = None
    reply_to: ReplyTo[Answer] | None = None


class Collect(Message, frozen=True):
    """What was said in a turn (by number or dedupe id; None: the last one) from `offset` on, in later turns included.

    `wait`: if need be, later.
    """

    session: str
    turn: int | str | None
    offset: int
    reply_to: ReplyTo[Answer]
    wait: bool = True


class News(msgspec.Struct, frozen=True):
    """What a reader of a session has not seen yet, and how it stands.

    `note` is what the workflow last noted for task lists. `broken`: nobody can go on with it until its code is mended. `length` and `tail`
    are the history's, `position` is that of its last event. `errands`: those that run. `prompt`: what the caller can speak to now.
    """

    spoken: tuple[Spoken, ...]
    state: Literal["live", "ended", "broken", "absent"]
    note: Any
    length: int
    tail: bytes
    position: int
    errands: tuple[CarriedErrand, ...] = ()
    prompt: Prompt | None = None


class Read(Message, frozen=True):
    """What was said behind an output (position, ordinal; None: from the beginning); `confirm`: as of this moment, not as we know it."""

    session: str
    after: tuple[int, int] | None
    confirm: bool
    reply_to: ReplyTo[News]


class Status(Message, frozen=True):
    """How a session is doing; answered with the value of `workflows.ErrandStatus`."""

    session: str
    reply_to: ReplyTo[dict[str, Any]]


class Resume(Message, frozen=True):
    """Work of this session is overdue, and ours now; `attempts` nodes have taken it over since it last made progress."""

    session: str
    attempts: int = 0


class Due(Message, frozen=True):
    """The alarm of a step has come, or may have: the history decides."""

    session: str
    gen: int
    step: str
    at: int


# -- between a handler and the switchboard ---------------------------------------------------------------------------------------------


class Idle(Message, frozen=True):
    """This incarnation has nothing to do and has taken `count` forwarded messages: it may go if that is all of them."""

    session: str
    incarnation: int
    count: int


class Quiet(Message, frozen=True):
    """Nobody has talked to this session for long: offer to leave if there is nothing to do."""


class Evict(Message, frozen=True):
    """Leave memory."""


class Gone(Message, frozen=True):
    """This incarnation has died."""

    session: str
    incarnation: int


# -- a handler to itself ---------------------------------------------------------------------------------------------------------------


class Done(Message, frozen=True):
    """An effect came to an outcome. `life`: in which life of the session it was begun, as this handler counts them."""

    life: int
    gen: int
    step: str
    name: str
    hash: bytes
    outcome: Outcome


class Notified(Message, frozen=True):
    """The parent has this errand's notice on record or will never want it (`taken`), or cannot take it for now. `life`: see `Done`."""

    life: int
    taken: bool


class Posted(Message, frozen=True):
    """An output was posted (see `handlers.deliveries` for its key): what is to be recorded of it, and which turn it answers, if any."""

    key: str
    output: tuple[int, int]
    turn: str
    receipt: dict[str, Any]


class Free(Message, frozen=True):
    """The messenger is free for what comes next."""


class Again(Message, frozen=True):
    """An input that is taken in anew: it is on record no longer, by a failover, or had to wait for the last words of a generation."""

    inbound: Inbound


class Tick(Message, frozen=True):
    """Time to bring in what is held, to renew the lease, or to look whether another node has finished."""
