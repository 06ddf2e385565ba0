"""Every reply of the store is lost once, at every point of a story of calls, chats and errands: nothing comes twice, nothing is missing.

A real server over real HTTP, a real Valkey, a model that counts; between server and store, a way on which one reply is lost, and the
connection with it. The command was carried out, but nobody is told so.
"""

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncGenerator, Iterator
from random import Random
from typing import Any

import aiohttp
import pytest
import redis
from support.crashing import eventually
from support.lossy_store import LossyStore
from support.models import model_server
from support.phone_house import ACCOUNT, TOKEN
from support.valkey import Valkey
from support.web_house import WebClient, WebHouse, texts

from handlers.errors import StoreError
from switchboard.plugins import opened_bindings
from telephony.simulators.events import Said
from telephony.simulators.phone import Phone
from workflows.events import Fired, Heard, Left, Memo, Opened, decode

AT_ONCE = 8
DATABASES = 256

Record = dict[str, list[list[str]]]
"""What each kind of session has on record, without what is drawn or measured; a notice may come before an answer or after it."""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def store() -> Iterator[Valkey]:
    server = Valkey("--maxmemory-policy", "noeviction", "--databases", str(DATABASES))
    try:
        server.start()
        yield server
    finally:
        server.remove()


@contextlib.asynccontextmanager
async def house(way: LossyStore, model: str) -> AsyncGenerator[WebHouse]:
    lines = {"web:*": "assistant", "phone:*": "support.conversations:echo"}
    house = WebHouse(way.url, "", lines=lines, openai_base_url=model, account_sid=ACCOUNT, auth_token=TOKEN, sessions={"idle": "1s"})
    async with opened_bindings(house.settings) as house.bindings:
        while True:
            try:
                await house.start()
                break
            except StoreError:  # the reply was lost while it started: whoever runs it starts it again
                await house.history.close()
        house.server.sweeper.start()
        try:
            yield house
        finally:
            await house.stop()


async def insist(send: Any, session: aiohttp.ClientSession, url: str) -> Any:
    """Send a request until it is taken."""
    while True:
        reply = await send(WebClient(url, session))
        if reply.status in (200, 201):
            return reply
        assert reply.status in (202, 503), f"{reply.status} {reply.json}"
        await asyncio.sleep(0.05)


async def tell(url: str, history: Any) -> list[str]:
    """The story; gives all that the chat said in it."""
    async with aiohttp.ClientSession() as http, Phone(url, TOKEN, ACCOUNT, "+12025550199", "+15550100", patience=400, speed=20) as phone:
        call = phone.call()
        await call.start()  # who hears "one moment" first, when a machine is slow, hears the question after it
        said: list[str] = []
        id_ = (await insist(lambda web: web.create(key="a key that nobody can guess"), http, url)).json["id"]
        for text in ("status of cup", "remind me to stretch in 1 seconds"):
            reply = await insist(lambda web, text=text: web.say(id_, text, key=text), http, url)
            again = await insist(lambda web, text=text: web.say(id_, text, key=text), http, url)
            assert again.json == reply.json
            said += [each for each in texts(reply) if "stretch" not in each]  # which tells the time
            heard: list[str] = []
            while f"You said {text}." not in heard:  # "one moment", and the question anew: it is said again
                heard += [event.text for event in await call.say(text) if isinstance(event, Said)]
        await call.hang_up()
        await eventually(lambda: any(event.startswith("heard errand") for record in history()["web"] for event in record))
        return said


def recorded(store: redis.Redis) -> Record:
    record: Record = {"web": [], "phone": [], "errand": []}
    for key in store.scan_iter("sb:*:h:*"):
        events = [decode(element) for element in store.lrange(key, 0, -1)]
        record[key.decode().split(":h:")[1].partition(":")[0]].append(sorted(map(plain, events)))
    return record


def plain(event: Any) -> str:
    match event:
        case Opened(workflow=workflow):
            return f"opened {workflow}"
        case Heard(type="errand"):
            return "heard errand"
        case Heard(type=type_, payload=payload):
            return f"heard {type_} {payload.get('text', '')}"
        case Memo(step=step, name=name, error=error):
            return f"memo {step} {name} {error}"
        case Fired(step=step):
            return f"fired {step}"
        case Left(reason=reason):
            return f"left {reason}"
    raise AssertionError(event)


numbers = itertools.count()


async def told(valkey: Valkey, fatal: int) -> tuple[list[str], Record, int, LossyStore]:
    """The story with reply number `fatal` lost: what was said, what is on record, and how often the model was asked."""
    db = next(numbers) % DATABASES
    with redis.Redis.from_url(valkey.url, db=db) as client:
        client.flushdb()
        async with model_server() as model, LossyStore(valkey.path, db, fatal) as way, house(way, model.url) as server:
            said = await tell(server.url, lambda: recorded(client))
            await eventually(lambda: not any(client.scan_iter("sb:*:pending")) and not any(client.scan_iter("sb:*:due")))
            return said, recorded(client), model.requests, way


async def lose(valkey: Valkey, points: Any) -> None:
    said, record, asked, way = await told(valkey, 0)
    assert len(record["web"]) == len(record["phone"]) == len(record["errand"]) == 1
    assert asked == 4
    assert way.replies > 40
    at_once = asyncio.Semaphore(AT_ONCE)

    async def compare(fatal: int) -> bool:
        async with at_once:
            outcome = await told(valkey, fatal)
            assert outcome[:3] == (said, record, asked), f"reply number {fatal} was lost; again with: REPLY={fatal} pytest {__file__}"
            return outcome[3].lost

    async with asyncio.TaskGroup() as tasks:
        comparisons = [tasks.create_task(compare(point)) for point in points(way.replies)]
    lost = sum(each.result() for each in comparisons)
    assert lost > 0.8 * len(comparisons), "a story may have fewer replies than another: the last ones are those of the sweeper"


async def test_some_replies_of_the_store_are_lost(store: Valkey) -> None:
    if reply := int(os.environ.get("REPLY", "0")):
        await lose(store, lambda _: [reply])
    else:
        await lose(store, lambda count: sorted(Random(1).sample(range(1, count), 8)))


@pytest.mark.proof
async def test_every_reply_of_the_store_is_lost_once(store: Valkey) -> None:
    await lose(store, lambda count: range(1, count))
