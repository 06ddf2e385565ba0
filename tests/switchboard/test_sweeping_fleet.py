"""What a fleet asks of the store while nothing happens, and who goes on when the one that sweeps is gone."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import redis
from support.crashing import eventually

from handlers.history import LEASE_MS
from handlers.redis_history import RedisHistory
from switchboard.server import Server
from switchboard.settings import Settings
from switchboard.sweeper import PERIOD_SECONDS
from workflows.registry import Registry

MOST = 100.0
"""Commands a second, those inside scripts included."""

OURS = ("cmdstat_config|resetstat", "cmdstat_info")


@asynccontextmanager
async def fleet(url: str, tmp_path: object, count: int) -> AsyncGenerator[list[Server]]:
    """So many servers on one store, that sweep; nobody speaks to them."""
    settings = Settings.model_validate({"data": str(tmp_path), "openai_base_url": "http://127.0.0.1:1/v1"}, context=Registry())
    async with AsyncExitStack() as held:
        servers = []
        for number in range(count):
            history = RedisHistory(url, f"fleet.{number}")
            held.push_async_callback(history.close)
            await history.open()
            servers.append(Server(settings, history))
            held.push_async_callback(servers[-1].close)
            servers[-1].sweeper.start()
        yield servers


async def rate(store: redis.Redis) -> float:
    """Commands a second, over a round of the sweeper."""
    store.config_resetstat()
    begun = time.monotonic()
    await asyncio.sleep(PERIOD_SECONDS)
    stats = store.info("commandstats")
    return sum(stat["calls"] for name, stat in stats.items() if name not in OURS) / (time.monotonic() - begun)


async def test_while_nothing_happens_a_fleet_costs_the_store_little_and_hardly_more_than_one_server(valkey_url, valkey, tmp_path):
    for partition in range(256):  # somebody sleeps everywhere
        valkey.zadd(f"sb:{{{partition}}}:due", {"web:1 1/0": 9_000_000_000_000})
    async with fleet(valkey_url, tmp_path, 1):
        await asyncio.sleep(0.5)  # the first round is at once
        alone = await rate(valkey)
    valkey.delete("sb:{0}:sweep")
    async with fleet(valkey_url, tmp_path, 24):
        await asyncio.sleep(0.5)
        together = await rate(valkey)
    assert 50 < alone <= MOST
    assert together <= MOST
    assert together - alone <= 20


async def test_when_the_one_that_sweeps_is_gone_without_a_word_another_one_does(valkey_url, valkey, tmp_path):
    async with fleet(valkey_url, tmp_path, 3) as servers:
        first = (await eventually(lambda: valkey.get("sb:{0}:sweep"))).split()[0]
        await servers[int(first.rpartition(b".")[2])].sweeper.stop()  # and says nothing, as if it had died
        successor = await eventually(lambda: (claim := valkey.get("sb:{0}:sweep")) and claim.split()[0] != first and claim)
        assert successor.split()[0] in {b"fleet.0", b"fleet.1", b"fleet.2"} - {first}
        assert 0 < int(successor.split()[1]) - int(valkey.time()[0]) * 1000 <= LEASE_MS + 1_000
