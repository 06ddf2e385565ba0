"""The embedded Valkey's history is cut off anywhere at its end: it is loaded as it was at some moment before, or the start is refused.

What is held to that is the whole store, not the histories alone: a cut that took half of a script's effects would leave an input without
its lease, or an alarm without its history.
"""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import pytest
import redis
from support.valkey import Valkey
from support.web_house import web_house

from switchboard.embedded import embedded_valkey
from switchboard.errors import EmbeddedError

State = dict[bytes, Any]

AT_ONCE = 4
SESSIONS = 12
ZEROS = 4_096
"""As many as a power cut may leave behind what was written (ext4)."""

pytestmark = pytest.mark.timeout(600)


def state(store: redis.Redis) -> State:
    """All that is stored."""
    found: State = {}
    for key in store.scan_iter():
        match store.type(key):
            case b"list":
                found[key] = store.lrange(key, 0, -1)
            case b"zset":
                found[key] = store.zrange(key, 0, -1, withscores=True)
            case b"hash":
                found[key] = store.hgetall(key)
            case _:
                found[key] = store.get(key)
    return found


def commands(aof: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """The commands of an append-only file, each with the position of its end."""
    at = 0
    while at < len(aof):
        if aof[at : at + 1] == b"#":  # an annotation, such as a time
            at = aof.index(b"\r\n", at) + 2
            continue
        assert aof[at : at + 1] == b"*", aof[at : at + 40]
        end = aof.index(b"\r\n", at)
        count, at = int(aof[at + 1 : end]), end + 2
        words = []
        for _ in range(count):
            end = aof.index(b"\r\n", at)
            size = int(aof[at + 1 : end])
            words.append(aof[end + 2 : end + 2 + size])
            at = end + 2 + size + 2
        yield at, words


def moments(aof: bytes) -> list[tuple[int, State]]:
    """The states that the store went through, each with the first position at which it was whole: a script's effects are one step."""
    valkey = Valkey()
    try:
        valkey.start()
        with redis.Redis.from_url(valkey.url) as store:
            states = [(0, state(store))]
            open_ = False
            for end, words in commands(aof):
                open_ = words[0] == b"MULTI" or (open_ and words[0] != b"EXEC")
                if words[0] not in (b"MULTI", b"EXEC", b"SELECT"):
                    store.execute_command(*words)
                if not open_:
                    states.append((end, state(store)))
            return states
    finally:
        valkey.remove()


async def grown(folder: Path) -> Path:
    """A data directory with histories, leases, errands and alarms, at rest; the path of its append-only file."""
    async with embedded_valkey(folder) as url, web_house(url, "support.chats:runner") as (_, web):
        for number in range(SESSIONS):
            id_ = (await web.create(key=f"a key that nobody can guess {number}")).json["id"]
            for word in (f"{3_600 + number}", f"{7_200 + number}", "bye")[: 1 + number % 3]:
                assert (await web.say(id_, word)).status == 200
    (aof,) = (folder / "appendonlydir").glob("*.incr.aof")
    return aof


async def cut(folder: Path, seed: int, count: int) -> tuple[int, int]:
    """Cut a history at so many places; how often it was loaded, and refused."""
    rng = Random(seed)
    aof = await grown(folder / "whole")
    written = aof.read_bytes()
    states = moments(written)
    assert len(states) > 60
    assert {key.split(b":")[2] for key in states[-1][1] if key.count(b":") > 1} >= {b"h", b"due"}
    assert any(b"pending" in key for _, each in states for key in each)
    at_once = asyncio.Semaphore(AT_ONCE)

    async def load(number: int, end: int, zeros: int) -> bool:
        async with at_once:
            copy = folder / str(number)
            await asyncio.to_thread(shutil.copytree, aof.parent, copy / aof.parent.name)
            (copy / aof.parent.name / aof.name).write_bytes(written[:end] + bytes(zeros))
            try:
                async with embedded_valkey(copy) as url:
                    with redis.Redis.from_url(url) as store:
                        loaded = await asyncio.to_thread(state, store)
            except EmbeddedError:
                return False
            (expected,) = [each for start, each in states if start <= end][-1:]
            assert loaded == expected, f"cut at {end} of {len(written)}, with {zeros} zeros; again with: CUT_SEED={seed} pytest {__file__}"
            shutil.rmtree(copy)
            return True

    places = [(number, rng.randint(0, len(written)), rng.choice([0, 0, rng.randint(1, ZEROS)])) for number in range(count)]
    loads = await asyncio.gather(*(load(*place) for place in places))
    return loads.count(True), loads.count(False)


async def test_a_history_that_is_cut_off_somewhere_is_loaded_up_to_there(tmp_path: Path) -> None:
    loaded, _ = await cut(tmp_path, int(os.environ.get("CUT_SEED", "1")), 20)
    assert loaded > 15


@pytest.mark.proof
async def test_a_thousand_cuts(tmp_path: Path) -> None:
    loaded, refused = await cut(tmp_path, int(os.environ.get("CUT_SEED", "0")) or SystemRandom().randrange(10**9), 1_000)
    assert loaded > refused
