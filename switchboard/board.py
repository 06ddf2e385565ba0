"""The switchboard: the actor that knows which handler hosts which session.

It does no I/O and survives every message. Only it forwards what is meant for a session, so it can tell whether a handler that wishes to
leave has seen everything: each incarnation's forwarded messages are counted here and there.
"""

import logging
from typing import Any

import msgspec
from pykka import ActorRef

from handlers.actors import AsyncioActor
from handlers.errors import GoneError
from handlers.handler import Handler, House
from handlers.messages import Collect, Due, Evict, Gone, Idle, Inbound, Message, Resume, Status

logger = logging.getLogger(__name__)

CLOSED = "the switchboard is closed; ask again"


class Slot(msgspec.Struct):
    """The record of a session that is live: its handler, which life of it this is, and how many messages it was forwarded."""

    handler: ActorRef[Handler]
    incarnation: int
    count: int = 0

    def evict(self) -> None:
        """Let the handler leave memory, if it has not died before."""
        if self.handler.is_alive():
            self.handler.tell(Evict())


class Board(AsyncioActor):
    """Routes every message to the one handler of its session, opening one where there is none."""

    survives = True

    def __init__(self, house: House) -> None:
        super().__init__()
        self._house = house
        self._slots: dict[str, Slot] = {}
        self._incarnations = 0

    @property
    def live(self) -> int:
        """Sessions in memory."""
        return len(self._slots)

    def post(self, message: Message) -> None:
        """Deliver a message; the port that handlers know. It never raises: a switchboard that is closed says so to the reply-to."""
        if self.actor_stopped.is_set():
            _turn_away(message, CLOSED)
        else:
            self._actor_ref.tell(message)

    def on_receive(self, message: Any) -> None:
        """Forward, or take note of a handler that leaves."""
        try:
            self._route(message)
        except BaseException:
            _turn_away(message, "the switchboard met an error; see the log, and ask again")
            raise

    def _route(self, message: Any) -> None:
        match message:
            case (
                Inbound(session=session)
                | Collect(session=session)
                | Status(session=session)
                | Resume(session=session)
                | Due(session=session)
            ):
                self._forward(session, message)
            case Idle(session=session, incarnation=incarnation, count=count):
                slot = self._slots.get(session)
                if slot is not None and slot.incarnation == incarnation and slot.count == count:
                    del self._slots[session]
                    slot.evict()
                    self._house.counters["evictions"] += 1
            case Gone(session=session, incarnation=incarnation):
                slot = self._slots.get(session)
                if slot is not None and slot.incarnation == incarnation:
                    del self._slots[session]
            case _:
                logger.error("the switchboard knows no %s", type(message).__name__)

    def _forward(self, session: str, message: Message) -> None:
        slot = self._slots.get(session)
        if slot is None or not slot.handler.is_alive():
            self._incarnations += 1
            slot = self._slots[session] = Slot(Handler.start(session, self._incarnations, self._house), self._incarnations)
        slot.count += 1
        slot.handler.tell(message)

    def evict_all(self) -> None:
        """Send every handler away; what it was doing is taken over by whoever is next. For drains and for tests."""
        for slot in self._slots.values():
            slot.evict()
        self._slots.clear()

    def on_death(self, error: BaseException | None, left: list[Any]) -> None:  # noqa: ARG002 - whatever ended it, all are let go
        """Let everybody go."""
        for message in left:
            _turn_away(message, CLOSED)
        self.evict_all()


def _turn_away(message: Any, why: str) -> None:
    reply = getattr(message, "reply_to", None)
    if reply is not None and not reply.answered:
        reply.fail(GoneError(why))
