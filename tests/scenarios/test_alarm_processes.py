"""Reminders and real server processes on one real Valkey: killed, all gone, started again, and with a wall clock that is wrong.

Nobody says a word to a server once the reminders are set: what happens is read from the store.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis
from support.crashing import Doomed, doomed, eventually
from support.valkey import Valkey
from support.web_house import WebClient

from workflows.events import Fired, Heard, decode

REMINDERS = 6
MOST_GONE_MS = 10_000


class Street:
    """Server processes on one store; each brings its own offline demo model along."""

    def __init__(self, valkey: Valkey, folder: Path) -> None:
        self.folder = folder
        self.url = valkey.url
        self.store = redis.Redis.from_url(valkey.url)
        self.due: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def server(self, clock: float = 0.0) -> AsyncGenerator[Doomed]:
        settings = {"lines": {"web:*": "assistant"}, "server": {"port": 0}, "store": {"url": self.url}, "data": str(self.folder)}
        async with doomed(settings, self.folder / "moments", clock=clock) as server:
            await server.listening()
            yield server

    async def remind(self, server: Doomed, seconds: int) -> None:
        """Set reminders, each in a session of its own."""
        async with aiohttp.ClientSession() as http:
            web = WebClient(server.url, http)

            async def remind() -> None:
                id_ = (await web.create()).json["id"]
                await web.say(id_, f"remind me to stretch in {seconds} seconds")

            await asyncio.gather(*(remind() for _ in range(REMINDERS)))
        for session, events in self.histories("errand:"):
            self.due[session] = round(datetime.fromisoformat(events[0].args["at"]).timestamp() * 1000)
        assert len(self.due) == REMINDERS

    def now(self) -> int:
        seconds, micros = self.store.time()
        return seconds * 1000 + micros // 1000

    def histories(self, kind: str) -> Iterator[tuple[str, list[Any]]]:
        for key in self.store.scan_iter(f"sb:*:h:{kind}*"):
            yield key.decode().split(":h:")[1], [decode(element) for element in self.store.lrange(key, 0, -1)]

    def fired(self) -> dict[str, int]:
        """When each reminder fired; that it did so once, and that its parent has one notice at most."""
        times = {}
        for session, events in self.histories("errand:"):
            fired = [event for event in events if isinstance(event, Fired)]
            assert len(fired) <= 1
            if fired:
                times[session] = fired[0].at
        for _, events in self.histories("web:"):
            assert sum(isinstance(event, Heard) and event.type == "errand" for event in events) <= 1
        return times

    def told(self) -> bool:
        """Whether every parent has its notice."""
        notices = [
            event.id for _, events in self.histories("web:") for event in events if isinstance(event, Heard) and event.type == "errand"
        ]
        return len(notices) == REMINDERS


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    valkey = Valkey("--maxmemory-policy", "noeviction")
    try:
        valkey.start()
        street = Street(valkey, tmp_path)
        yield street
        street.store.close()
    finally:
        valkey.remove()


async def test_the_reminders_of_a_server_that_is_killed_are_told_by_the_other_one(street: Street) -> None:
    async with street.server() as a, street.server():
        await street.remind(a, 4)
        a.kill()
        await eventually(street.told)
        late = [at - street.due[session] for session, at in street.fired().items()]
        assert len(late) == REMINDERS
        assert min(late) >= 0
        assert max(late) <= MOST_GONE_MS


async def test_what_fell_due_while_no_server_was_there_is_told_when_one_is_and_once(street: Street) -> None:
    async with street.server() as a, street.server() as b:
        await street.remind(a, 12)
        a.kill()
        b.kill()
    await eventually(lambda: street.now() > max(street.due.values()) + 3_000)
    assert street.fired() == {}
    async with street.server():
        await eventually(street.told)
        fired = street.fired()
        await asyncio.sleep(5)  # a whole sweep
        assert street.fired() == fired
        assert len(fired) == REMINDERS
        assert not street.store.keys("sb:*:due")
        assert not street.store.keys("sb:*:pending")


@pytest.mark.parametrize("clock", [-86_400.0, 86_400.0])
async def test_a_server_whose_wall_clock_is_wrong_by_a_day_reminds_in_time(street: Street, clock: float) -> None:
    async with street.server(clock) as a, street.server():
        await street.remind(a, 3)
        assert all(abs(due - street.now()) < 60_000 for due in street.due.values())
        await eventually(street.told)
        assert all(at - street.due[session] >= 0 for session, at in street.fired().items())
