"""The switchboard: the actor that knows which handler hosts which session.

It does no I/O and survives every message. Only it forwards what is meant for a session, so it can tell whether a handler that wishes to
leave has seen everything: each incarnation's forwarded messages are counted here and there.
"""

import logging
from typing import Any

import msgspec

from handlers.actors import AsyncioActor
from handlers.errors import GoneError, HandlerError, OverloadError
from handlers.handler import Handler, House
from handlers.messages import Collect, Due, Evict, Gone, Idle, Inbound, Message, Quiet, Read, Resume, Status

logger = logging.getLogger(__name__)

EVICT = Evict()
QUIET = Quiet()

ROUNDS = 8
"""How often the silent are looked for in the time after which they leave: so they leave an eighth of it late, at most."""

AT_ONCE = 100
"""How many sessions are looked at in one go, so that a crowd that leaves does not stall the loop."""

MOST_WAITING = 1_000
"""Messages that wait for one handler before no more are let in: only a store that is slow, and a caller who is not, come so far."""

CLOSED = "the switchboard is closed; ask again"
FULL = "there are as many sessions in memory as may be: raise live_sessions under [limits], or start another server"
CROWDED = "too many inputs of this session wait for the store"


class Slot(msgspec.Struct, gc=False):
    """The record of a session that is live: its handler, which life of it this is, and how many messages it was forwarded."""

    handler: Handler
    incarnation: int
    count: int = 0


class Board(AsyncioActor):
    """Routes every message to the one handler of its session, opening one where there is none."""

    survives = True

    def __init__(self, house: House) -> None:
        super().__init__()
        self._house = house
        self._slots: dict[str, Slot] = {}
        self._incarnations = 0
        self._round: list[Slot] = []

    @property
    def live(self) -> int:
        """Sessions in memory."""
        return len(self._slots)

    def post(self, message: Message) -> None:
        """Deliver a message; the port that handlers know. It never raises: a switchboard that is closed says so to the reply-to."""
        if not self.deliver(message):
            _turn_away(message, GoneError(CLOSED))

    def on_receive(self, message: Any) -> None:
        """Forward, or take note of a handler that leaves."""
        try:
            self._route(message)
        except BaseException:
            _turn_away(message, GoneError("the switchboard met an error; see the log, and ask again"))
            raise

    def _route(self, message: Any) -> None:
        match message:
            case (
                Inbound(session=session)
                | Collect(session=session)
                | Read(session=session)
                | Status(session=session)
                | Resume(session=session)
                | Due(session=session)
            ):
                self._forward(session, message)
            case Idle(session=session, incarnation=incarnation, count=count):
                slot = self._slots.get(session)
                if slot is not None and slot.incarnation == incarnation and slot.count == count:
                    del self._slots[session]
                    slot.handler.deliver(EVICT)
                    self._house.counters["evictions"] += 1
            case Gone(session=session, incarnation=incarnation):
                slot = self._slots.get(session)
                if slot is not None and slot.incarnation == incarnation:
                    del self._slots[session]
            case _:
                logger.error("the switchboard knows no %s", type(message).__name__)

    def _forward(self, session: str, message: Message) -> None:
        slot = self._slots.get(session)
        if slot is None or slot.handler.stopped:
            if len(self._slots) >= self._house.most_live and _comes_from_outside(message):
                _turn_away(message, OverloadError(FULL))
                return
            self._incarnations += 1
            slot = self._slots[session] = Slot(Handler(session, self._incarnations, self._house), self._incarnations)
            self.wake_within(self._house.idle / ROUNDS)
        elif slot.handler.waiting >= MOST_WAITING and _comes_from_outside(message):
            _turn_away(message, OverloadError(CROWDED))
            return
        slot.count += 1
        slot.handler.deliver(message)

    def on_timer(self) -> None:
        """Look for those who have been silent: one timer for all is a tenth of what a session would take in memory with its own."""
        self._round = list(self._slots.values())
        self._ask_the_silent()

    def _ask_the_silent(self) -> None:
        """Let the next few look whether they have anything left to do; those who have not offer to leave."""
        if self.stopped:
            return
        silent = self._loop.time() - self._house.idle
        for _ in range(min(AT_ONCE, len(self._round))):
            slot = self._round.pop()  # who leaves is let go at once, not when the round is over and all of them are
            if slot.handler.quiet_since <= silent and not slot.handler.at_work:  # else the questions would pile up while the store is slow
                slot.handler.deliver(QUIET)
        if self._round:
            self._loop.call_soon(self._ask_the_silent)
        elif self._slots:
            self.wake_within(self._house.idle / ROUNDS)

    def handlers(self) -> list[Handler]:
        """Those of all sessions in memory. For drains."""
        return [slot.handler for slot in self._slots.values()]

    def evict_all(self) -> None:
        """Send every handler away; what it was doing is taken over by whoever is next. For drains and for tests."""
        slots, self._slots = self._slots, {}
        for slot in slots.values():
            slot.handler.deliver(EVICT)

    def on_death(self, error: BaseException | None, left: list[Any]) -> None:  # noqa: ARG002 - whatever ended it, all are let go
        """Let everybody go."""
        for message in left:
            _turn_away(message, GoneError(CLOSED))
        self.evict_all()


def _turn_away(message: Any, why: HandlerError) -> None:
    reply = getattr(message, "reply_to", None)
    if reply is not None and not reply.answered:
        reply.fail(why)


def _comes_from_outside(message: Message) -> bool:
    """Whether somebody may be told to come again: what sessions owe each other, and what is resumed, makes room in the end."""
    match message:
        case Inbound(type=type_, opening=opening):
            return type_ not in ("errand", "cancel") and (opening is None or opening.parent is None)
        case Collect() | Read():
            return True
        case _:
            return False
