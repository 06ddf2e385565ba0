"""Two real servers on a real cluster: a primary and a server are killed while people talk by HTTP, and every message is one turn."""

import asyncio
import itertools
from collections import Counter

import pytest
from support.cluster import Cluster, cluster
from support.server import ServerProcess

from handlers.history import partition_of
from handlers.redis_cluster import slot_of
from handlers.redis_history import RedisHistory
from telephony.simulators.web import WebUser
from workflows.events import Heard, decode

SETTINGS = '[lines]\n"web:*" = "conversations:echo"\n[store]\nreplicas = 1\nreplicas_timeout = 0.5\n'


class Person:
    """Says one number after another, each to the next server, and keeps those that were answered rightly."""

    def __init__(self, servers: list[ServerProcess]) -> None:
        self.servers = itertools.cycle(servers)
        self.answered: list[str] = []
        self.wrong: list[object] = []
        self.stopped = False
        self.session = ""

    async def talk(self) -> None:
        async with WebUser(next(self.servers).url, patience=90) as user:
            await user.open()
            self.session = f"web:{user.id}"
            for number in itertools.count():
                if self.stopped:
                    return
                user.base_url = next(self.servers).url
                answer = await user.say(str(number))
                if [reply["text"] for reply in answer["replies"]] == [f"You said {number}.", "Say something."]:
                    self.answered.append(str(number))
                else:
                    self.wrong.append(answer)
                await asyncio.sleep(0.1)


async def further(people: list[Person], count: int = 2) -> None:
    """Wait until everybody has had so many more answers."""
    goals = [len(person.answered) + count for person in people]
    async with asyncio.timeout(100):
        while any(len(person.answered) < goal for person, goal in zip(people, goals, strict=True)):  # noqa: ASYNC110 - many events
            await asyncio.sleep(0.02)


async def killed_and_back(formed: Cluster, session: str) -> None:
    """Kill the primary of a session, and bring it back as the replica of its successor."""
    slot = slot_of(b"{%d}" % partition_of(session))
    victim = await asyncio.to_thread(formed.primary_of, slot)
    heir = await asyncio.to_thread(formed.replica_of, victim)
    victim.kill()
    await asyncio.to_thread(formed.wait_for_successor, heir)
    await asyncio.to_thread(victim.start)
    await asyncio.to_thread(formed.wait)


async def campaign(formed: Cluster, servers: list[ServerProcess], people: list[Person], kills: int) -> int:
    """Kill, and look at the record; gives how many messages were answered."""
    talks = [asyncio.create_task(person.talk()) for person in people]
    await further(people)
    for turn in range(kills):
        await killed_and_back(formed, people[turn % len(people)].session)
        if turn % 3 == 1:
            server = servers[turn % len(servers)]
            server.kill()
            await asyncio.to_thread(server.start)
        await further(people)
    for person in people:
        person.stopped = True
    async with asyncio.timeout(100):
        await asyncio.gather(*talks)
    history = RedisHistory(formed.url, "test.1")
    for person in people:
        assert person.wrong == []
        elements: list[bytes] = []
        while page := await history.load(person.session, len(elements)):
            elements += page
        said = Counter(event.payload["text"] for event in map(decode, elements) if isinstance(event, Heard))
        assert said == Counter(person.answered)
    await history.close()
    return sum(len(person.answered) for person in people)


async def run(tmp_path, people: int, kills: int) -> int:
    with cluster(node_timeout=1_000) as formed:
        servers = [ServerProcess(tmp_path / name, SETTINGS, REDIS_URL=formed.url) for name in "ab"]
        try:
            for server in servers:
                await asyncio.to_thread(server.start)
            return await campaign(formed, servers, [Person(servers) for _ in range(people)], kills)
        finally:
            for server in servers:
                server.kill()


async def test_a_primary_is_killed_under_two_servers_and_every_message_is_answered_once(tmp_path) -> None:
    assert await run(tmp_path, people=6, kills=1) >= 6 * 4


@pytest.mark.proof
async def test_twenty_primaries_and_seven_servers_are_killed_and_every_message_is_answered_once(tmp_path) -> None:
    answered = await run(tmp_path, people=20, kills=20)
    print(f"20 primaries and 7 servers killed: {answered} messages, each answered rightly and on record once")  # noqa: T201 - the figures
