"""What a turn and a session take in the store."""

import asyncio
import secrets

import msgspec
import redis

from benchmarks.calls import KEYS, TURNS, Exchange, menu_answer, request
from benchmarks.eviction import stored_key
from benchmarks.histories import history
from benchmarks.load import drive
from benchmarks.process import Process

TURN_NUMBERS = (10, 1_000)


def measure(handmade: Process, product: Process, url: str) -> dict[str, dict[str, float]]:
    """Bytes of a turn's element, and of a six-turn session's key; they are the same in every run, so one is enough."""
    elements = asyncio.run(history(max(TURN_NUMBERS) + 1))
    with redis.Redis.from_url(url) as store:
        ours = {f"turn_{turn}": float(len(elements[turn])) for turn in TURN_NUMBERS}
        theirs = {f"turn_{turn}": float(len(msgspec.msgpack.encode((1_760_000_000_000, turn, "1")))) for turn in TURN_NUMBERS}
        ours["session"] = _session(product, store, lambda sid: stored_key(f"phone:{sid}"))
        theirs["session"] = _session(handmade, store, "call:{}".format)
    return {"product": ours, "handmade": theirs}


def _session(server: Process, store: redis.Redis, key_of: object) -> float:
    sid = "CA" + secrets.token_hex(16)
    keys = ["", *KEYS]
    drive(server.address, 1, [[Exchange(request(server.address, sid, turn, key), menu_answer(turn, key)) for turn, key in enumerate(keys)]])
    assert store.llen(key_of(sid)) == TURNS
    return float(store.memory_usage(key_of(sid)))
