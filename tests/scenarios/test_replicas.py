"""Two server processes on one real Valkey, over real HTTP, and a model that counts: either of them serves any session.

What the rules of the stored protocol (`docs/format.md`) promise, one after the other, where people would meet it.
"""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import redis
from support.balancer import Balancer
from support.chaos import ACCOUNT, TOKEN, serve
from support.crashing import Doomed, doomed, eventually
from support.models import model_server
from support.valkey import Valkey
from support.web_house import Reply, WebClient, texts

from telephony.simulators.events import Said
from telephony.simulators.model.endpoint import ModelEndpoint
from telephony.simulators.model.faults import Fault
from telephony.simulators.phone import Phone
from workflows.events import Heard, Memo, Opened, decode
from workflows.registry import Registry
from workflows.run import Run

MOST_GONE_SECONDS = 10.0

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@dataclass
class Street:
    """The two servers, with a client of each; what is stored; the model."""

    a: Doomed
    b: Doomed
    at_a: WebClient
    at_b: WebClient
    valkey: Valkey
    store: redis.Redis
    model: ModelEndpoint
    settings: dict[str, Any]
    folder: Path

    async def begin(self, line: str = "assistant") -> str:
        """A new session, opened at the first server."""
        reply = await self.at_a.create(line=line)
        assert reply.status == 201
        return reply.json["id"]

    def events(self, id_: str) -> list[Any]:
        (key,) = self.store.keys(f"sb:*:h:web:{id_}")
        return [decode(element) for element in self.store.lrange(key, 0, -1)]

    def record(self, id_: str) -> list[str]:
        """What was heard and remembered, in the order of the history, which repeats strictly."""
        events = self.events(id_)
        assert isinstance(events[0], Opened)
        run = Run(f"web:{id_}", events[0], Registry(), strict=True)
        record = []
        for event in events[1:]:
            assert event.words == run.words()
            run.feed(event)
            match event:
                case Heard(payload=payload):
                    record.append(payload["text"])
                case Memo(name=name):
                    record.append(name)
        return record

    def slow(self, seconds: float) -> int:
        """The next answer of the model takes its time; gives how often it has been asked so far."""
        self.model.faults.append(Fault("slow", seconds))
        return self.model.requests

    async def is_asked(self, before: int) -> None:
        await eventually(lambda: self.model.requests > before)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def street(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Street]:
    folder = tmp_path_factory.mktemp("street")
    valkey = Valkey("--maxmemory-policy", "noeviction", persistent=True)
    try:
        valkey.start()
        async with model_server() as model, aiohttp.ClientSession() as http:
            settings = {
                "lines": {"web:assistant": "assistant", "web:parrot": "support.chats:parrot", "phone:*": "support.conversations:echo"},
                "server": {"port": 0}, "store": {"url": valkey.url}, "openai_base_url": model.url, "data": str(folder),
                "account_sid": ACCOUNT, "auth_token": TOKEN,
            }  # fmt: skip
            report = folder / "moments"
            async with doomed(settings, report, serve=serve) as a, doomed(settings, report, serve=serve) as b:
                await asyncio.gather(a.listening(), b.listening())
                with redis.Redis.from_url(valkey.url) as store:
                    yield Street(a, b, WebClient(a.url, http), WebClient(b.url, http), valkey, store, model, settings, folder)
    finally:
        valkey.remove()


def told(reply: Reply) -> Any:
    assert reply.status == 200, reply
    return reply.json


async def test_a_conversation_goes_on_at_the_other_server_after_every_word(street: Street) -> None:
    id_ = await street.begin("parrot")
    for number in range(8):
        reply = await (street.at_b, street.at_a)[number % 2].say(id_, f"word {number}")
        assert texts(reply) == [f"You said word {number}."]
    assert street.record(id_) == [f"word {number}" for number in range(8)]


async def test_the_same_request_at_both_servers_at_once_is_one_turn_with_one_answer(street: Street) -> None:
    before = street.model.requests
    ids = [await street.begin() for _ in range(6)]
    for id_ in ids:
        first, second = await asyncio.gather(*(web.say(id_, "hello", key="k") for web in (street.at_a, street.at_b)))
        assert told(first) == told(second)
        assert street.record(id_) == ["hello", "think"]
    assert street.model.requests == before + len(ids)

    keys = [f"a key that nobody can guess {number}" for number in range(6)]
    for key in keys:
        first, second = await asyncio.gather(*(web.create(key=key, line="parrot") for web in (street.at_a, street.at_b)))
        assert (first.status, first.json) == (second.status, second.json)


async def test_two_words_at_both_servers_at_once_are_both_heard_in_one_order(street: Street) -> None:
    for _ in range(6):
        id_ = await street.begin("parrot")
        one, two = await asyncio.gather(street.at_a.say(id_, "one"), street.at_b.say(id_, "two"))
        assert (texts(one), texts(two)) == (["You said one."], ["You said two."])
        assert told(one)["turn"] != told(two)["turn"]
        assert sorted(street.record(id_)) == ["one", "two"]


async def test_whoever_does_not_lead_steps_down_and_derives_the_answer(street: Street) -> None:
    id_ = await street.begin()
    before = street.slow(1.5)
    first = asyncio.create_task(street.at_a.say(id_, "hello", key="k"))
    await street.is_asked(before)
    second = await street.at_b.say(id_, "hello", key="k")
    assert told(second) == told(await first)
    assert street.record(id_) == ["hello", "think"]
    assert street.model.requests == before + 1


async def test_an_answer_of_the_model_is_recorded_behind_the_words_that_came_meanwhile_by_another_server(street: Street) -> None:
    id_ = await street.begin()
    before = street.slow(4.0)
    first = asyncio.create_task(street.at_a.say(id_, "hello"))
    await street.is_asked(before)
    second, third = asyncio.create_task(street.at_b.say(id_, "how are you")), asyncio.create_task(street.at_a.say(id_, "thank you"))
    turns = [told(each)["turn"] for each in await asyncio.gather(first, second, third)]
    record = street.record(id_)
    assert record[:3] in (["hello", "how are you", "thank you"], ["hello", "thank you", "how are you"])
    assert record[3:] == ["think"] * 3
    assert turns[0] == 1
    assert sorted(turns) == [1, 2, 3]
    assert street.model.requests == before + 3


async def test_what_a_dead_server_owes_the_other_one_goes_on_with_within_ten_seconds(street: Street) -> None:
    async with doomed(street.settings, street.folder / "moments", serve=serve) as dying:
        await dying.listening()
        ids = [await street.begin() for _ in range(3)]
        street.model.faults.extend([Fault("slow", 60.0)] * len(ids))
        before = street.model.requests
        web = WebClient(dying.url, street.at_a.http)
        waiting = [asyncio.create_task(web.say(id_, "hello", key="k")) for id_ in ids]
        await eventually(lambda: street.model.requests == before + len(ids))
        dying.kill()
        died = time.monotonic()
        for each in waiting:
            with contextlib.suppress(aiohttp.ClientError):
                await each
        await eventually(lambda: all(street.record(id_) == ["hello", "think"] for id_ in ids))  # nobody says a word to anybody
        assert time.monotonic() - died <= MOST_GONE_SECONDS
        assert street.model.requests == before + 2 * len(ids)
        for id_ in ids:
            assert told(await street.at_b.say(id_, "hello", key="k")) == told(await street.at_a.say(id_, "hello", key="k"))


async def test_a_call_goes_on_when_its_server_dies(street: Street) -> None:
    async with doomed(street.settings, street.folder / "moments", serve=serve) as dying, Balancer() as balancer:
        await dying.listening()
        balancer.addresses = [dying.url.removeprefix("http://")]
        async with Phone(balancer.url, TOKEN, ACCOUNT, "+12025550199", "+15550100", patience=40) as phone:
            call = phone.call()
            await call.start()
            dying.kill()
            balancer.addresses = [street.b.url.removeprefix("http://")]
            assert [event.text for event in await call.say("one") if isinstance(event, Said)] == ["You said one.", "Say something."]
            await call.hang_up()


async def test_after_a_failover_that_lost_the_tail_what_is_stored_counts_and_a_lost_input_is_taken_anew(street: Street) -> None:
    id_ = await street.begin("parrot")
    assert texts(await street.at_a.say(id_, "kept", key="kept")) == ["You said kept."]
    copy = street.folder / "copy"
    street.valkey.kill()
    shutil.copytree(street.valkey.folder / "appendonlydir", copy)
    street.valkey.start()
    assert texts(await insist(street.at_a, id_, "lost")) == ["You said lost."]  # it has this one in memory, and has answered
    street.valkey.kill()
    shutil.rmtree(street.valkey.folder / "appendonlydir")
    shutil.copytree(copy, street.valkey.folder / "appendonlydir")
    street.valkey.start()

    assert texts(await insist(street.at_a, id_, "next")) == ["You said next."]
    assert street.record(id_) == ["kept", "next"]
    again = await insist(street.at_b, id_, "lost")
    assert texts(again) == ["You said lost."]
    assert told(await insist(street.at_a, id_, "lost")) == told(again)
    assert street.record(id_) == ["kept", "next", "lost"]


async def insist(web: WebClient, id_: str, text: str) -> Reply:
    """Send a message, with its text as the key, until the store is back."""
    return await eventually(lambda: _answered(web, id_, text))


async def _answered(web: WebClient, id_: str, text: str) -> Reply | None:
    reply = await web.say(id_, text, key=text)
    return reply if reply.status == 200 else None
