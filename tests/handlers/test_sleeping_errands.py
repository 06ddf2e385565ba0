"""Errands that sleep: two thousand in a real store, none of them in memory. `benchmarks.errands` does the same with 100,000."""

import asyncio
import gc
import tracemalloc
from datetime import timedelta

import pytest

from handlers.alarms import Alarms
from handlers.effects import Effects
from handlers.house import House
from handlers.messages import Inbound, Opening
from handlers.redis_history import RedisHistory
from handlers.reply import ReplyTo
from switchboard.board import Board
from switchboard.server import Posting
from workflows import ErrandDone, Talk, workflow
from workflows.errands import reminder
from workflows.registry import Registry

ERRANDS = 2_000
TASKS = 20
MOST_BYTES = 1_536


@workflow(name="dormitory")
async def dormitory(talk: Talk) -> None:
    for number in range(TASKS):
        await talk.start(reminder, "call Ada about the papers for Monday", talk.now + timedelta(days=7), name=f"call-ada-{number}")
    talk.say("All are asleep.")
    await talk.next(ErrandDone)


@pytest.fixture
async def house(valkey_url, valkey):
    posting = Posting()
    history = RedisHistory(valkey_url, "sleep.1")
    await history.open()
    house = House(history, Registry([dormitory, reminder]), Effects(), posting, Alarms(history, posting), idle=0.0)
    board = Board(house)
    posting.post = board.post
    yield house, board
    board.stop()
    house.alarms.close()
    await asyncio.sleep(0)
    await history.close()


async def put_to_sleep(house, board, names):
    """Open these sessions, and wait until nobody is in memory."""

    async def begin(name):
        reply = ReplyTo()
        board.post(Inbound(name, "start", opening=Opening("dormitory", {}, "web"), fresh=True, reply_to=reply))
        answer = await reply.get(60)
        assert [output.text for _, _, output in answer.said] == ["All are asleep."]

    for start in range(0, len(names), 10):
        await asyncio.gather(*(begin(name) for name in names[start : start + 10]))
    while board.live:
        board.evict_all()
        await asyncio.sleep(0.01)


async def test_they_take_little_in_the_store_and_nothing_in_the_process(house, valkey):
    house, board = house
    await put_to_sleep(house, board, ["web:warm"])
    gc.collect()
    stored = valkey.info("memory")["used_memory"]
    tracemalloc.start()
    try:
        await put_to_sleep(house, board, [f"web:{number}" for number in range(ERRANDS // TASKS)])
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    keys = list(valkey.scan_iter("sb:*:h:errand:*", count=1000))
    assert len(keys) == ERRANDS + TASKS
    assert (valkey.info("memory")["used_memory"] - stored) / ERRANDS <= MOST_BYTES, "the parents' part and the index included"
    assert max(valkey.memory_usage(key) for key in keys) <= MOST_BYTES / 2
    assert sum(valkey.zcard(key) for key in valkey.scan_iter("sb:*:due")) >= ERRANDS
    assert not valkey.keys("sb:*:pending")
    assert kept < 20 * ERRANDS
    assert len(house.alarms) == 0
    assert board.live == 0
