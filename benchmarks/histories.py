"""Histories as the product writes them, made without waiting for a store."""

import time

from benchmarks.calls import LOCALE
from benchmarks.product import settings
from handlers.memory_history import MemoryHistory, MemoryStore
from handlers.messages import Inbound, Opening
from switchboard.server import Server

WORKFLOW = "benchmarks.menu:menu"
FACTS = {"owns_timeouts": True, "can_deliver": False}
OPENING = Opening(WORKFLOW, {}, "phone", "+15550100", "+15550199", LOCALE, "UTC", FACTS)
PATIENCE = 10.0


def key_of(turn: int) -> str:
    """The key that is pressed in a turn: never the zero, which ends the call."""
    return "123456789"[turn % 9]


async def history(turns: int) -> tuple[bytes, ...]:
    """The stored elements of a session of so many turns, the opening included."""
    store = MemoryStore()
    server = Server(settings("unix:///nowhere"), MemoryHistory(store, "bench", lambda: time.time_ns() // 1_000_000))
    session = "phone:CAhistory"
    await server.exchange.send(Inbound(session, "start", opening=OPENING, fresh=True), PATIENCE)
    for turn in range(1, turns):
        await server.exchange.send(Inbound(session, str(turn - 1), "pressed", {"digits": key_of(turn)}), PATIENCE)
    await server.close()
    return tuple(store.histories[session].elements)
