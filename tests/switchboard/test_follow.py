"""Following a session: what wakes a reader, and what does not."""

import asyncio
import time

import pytest
from support.chats import mouth, murmurer, parrot

from handlers.alarms import Alarms
from handlers.effects import Effects
from handlers.handler import House
from handlers.memory_history import MemoryHistory, MemoryStore
from handlers.messages import Inbound, Opening
from handlers.reply import ReplyTo
from switchboard.board import Board
from switchboard.follow import Following
from switchboard.server import Posting
from workflows.registry import Registry

SESSION = "web:1"


class Node:
    """One node on a store in memory."""

    def __init__(self, store, boot):
        posting = Posting()
        self.history = MemoryHistory(store, boot, lambda: round(time.time() * 1000))
        self.house = House(self.history, Registry([parrot, murmurer]), Effects(), posting, Alarms(self.history, posting))
        self.board = Board(self.house)
        posting.post = self.board.post

    async def say(self, id_, text="", opening=None):
        reply = ReplyTo()
        self.board.post(Inbound(SESSION, id_, "said" if text else "", {"text": text} if text else {}, opening=opening, reply_to=reply))
        return await reply.get(20)

    async def open(self, workflow):
        return await self.say("start", opening=Opening(workflow, {}, "web"))


@pytest.fixture
async def nodes():
    store = MemoryStore()
    made = [Node(store, f"{name}.1") for name in "ab"]
    yield made
    for node in made:
        node.house.alarms.close()
        node.board.stop()
    await asyncio.sleep(0)


def told(news):
    return [each.said[2].text for each in news.spoken]


def soon(seconds=20.0):
    return asyncio.get_running_loop().time() + seconds


async def test_the_first_words_are_handed_on_within_one_tick_of_the_loop(nodes):
    node, _ = nodes
    mouth.reset()
    await node.open(murmurer.name)
    with Following(node.house, SESSION, None) as following:
        await following.read()
        seen = []

        async def reader():
            while not seen:
                await following.next(soon())
                seen.extend(piece.text for piece in following.words())

        task = asyncio.create_task(reader())
        await asyncio.sleep(0)
        with node.house.followers.speaking(SESSION, "1/2") as begin:
            begin()("One")
            assert seen == []
            await asyncio.sleep(0)
            assert seen == ["One"]
        await task


async def test_words_do_not_wait_for_a_look_at_the_store(nodes, monkeypatch):
    node, _ = nodes
    mouth.reset()
    await node.open(murmurer.name)
    with Following(node.house, SESSION, None) as following:
        await following.read()
        looked = asyncio.Event()

        async def load(session, start=0):
            await looked.wait()
            return ()

        monkeypatch.setattr(node.history, "load", load)
        following._look_at = 0.0  # it is time to look
        with node.house.followers.speaking(SESSION, "1/2") as begin:
            begin()("One")
            reader = asyncio.create_task(following.next(soon()))
            await asyncio.sleep(0)
            assert reader.done()
            assert [piece.text for piece in following.words()] == ["One"]
            reader = asyncio.create_task(following.next(soon()))
            await asyncio.sleep(0)
            assert not reader.done(), "without words it looks"
            looked.set()
            await reader


async def test_an_append_here_wakes_and_one_elsewhere_is_found(nodes, monkeypatch):
    monkeypatch.setattr("switchboard.follow.LOOK_SECONDS", (0.02, 0.05))
    here, there = nodes
    await here.open(parrot.name)
    with Following(here.house, SESSION, None) as following:
        assert told(await following.read()) == ["Hello!"]
        for number, node in enumerate((here, there, there, here)):
            await node.say(f"{number}", f"{number}")
            news = None
            while news is None or not news.spoken:
                news = await following.next(soon())
            assert told(news) == [f"You said {number}."]
        assert following.after == (4, 0)


async def test_nothing_wakes_who_has_seen_it_all(nodes):
    node, _ = nodes
    await node.open(parrot.name)
    with Following(node.house, SESSION, None) as one, Following(node.house, SESSION, None) as two:
        await one.read()
        await two.read()
        began = asyncio.get_running_loop().time()
        assert await one.next(began + 0.1) is None
        assert asyncio.get_running_loop().time() - began >= 0.1


async def test_what_was_cut_off_by_a_failover_is_not_waited_for(nodes):
    node, _ = nodes
    await node.open(parrot.name)
    with Following(node.house, SESSION, (7, 0)) as following:
        assert told(await following.read()) == []
        await node.say("1", "one")
        news = None
        while news is None:
            news = await following.next(soon())
        assert told(news) == ["You said one."]


async def test_a_closed_house_is_noticed_at_once(nodes):
    node, _ = nodes
    await node.open(parrot.name)
    with Following(node.house, SESSION, None) as following:
        await following.read()
        waiting = asyncio.create_task(following.next(soon()))
        await asyncio.sleep(0)
        node.house.followers.close()
        assert await asyncio.wait_for(waiting, 5) is None
        assert following.closed
    assert len(node.house.followers) == 0
