"""The first turn of a session that nobody has in memory: its history is loaded and replayed before it can answer."""

import asyncio
import secrets
from functools import partial

import redis

from benchmarks.calls import Exchange, call, menu_answer, request
from benchmarks.histories import history, key_of
from benchmarks.load import drive
from benchmarks.process import Process
from benchmarks.rounds import Figures, interleaved
from handlers.history import partition_of

LENGTHS = (10, 100, 1_000, 10_000)
PAUSE_SECONDS = 0.05
"""Until the loop is at rest again, before and after."""


def measure(handmade: Process, product: Process, url: str) -> dict[str, Figures]:
    """ms of the turn, of its CPU, and of the largest lag and stall of the loop meanwhile, by length of the history.

    Beside them: `live`, a turn of a session that is in memory, and `handmade`, one of the yardstick.
    """
    elements = asyncio.run(history(max(LENGTHS)))
    with redis.Redis.from_url(url) as store:
        contenders = {
            "handmade": partial(_live, handmade),
            "live": partial(_live, product),
            **{str(length): partial(_evicted, product, store, elements[:length]) for length in LENGTHS},
        }
        return interleaved(contenders)


def _live(server: Process) -> dict[str, float]:
    opening, *turns = call(server.address, menu_answer)
    return _timed(server, [opening, turns[0]])


def _evicted(server: Process, store: redis.Redis, elements: tuple[bytes, ...]) -> dict[str, float]:
    sid, length = "CA" + secrets.token_hex(16), len(elements)
    plant(store, f"phone:{sid}", elements)
    turn = Exchange(request(server.address, sid, length, key_of(length)), menu_answer(length, key_of(length)))
    return _timed(server, [call(server.address, menu_answer)[0], turn])


def plant(store: redis.Redis, session: str, elements: tuple[bytes, ...]) -> None:
    """Put a history into the store, as another node would have left it."""
    key = stored_key(session)
    for start in range(0, len(elements), 1_000):
        store.rpush(key, *elements[start : start + 1_000])


def stored_key(session: str) -> str:
    """Where a session's history lies; see `docs/format.md`."""
    return f"sb:{{{partition_of(session)}}}:h:{session}"


def _timed(server: Process, exchanges: list[Exchange]) -> dict[str, float]:
    """The last of these turns; the first is for the connection."""
    server.ask("lag")
    before = server.ask("usage")["cpu"]
    turns = drive(server.address, 1, [exchanges], pause=PAUSE_SECONDS).turns
    cpu = server.ask("usage")["cpu"] - before
    return {"turn_ms": turns[-1] * 1e3, "cpu_ms": cpu * 1e3, **server.ask("lag")}
