"""A turn of the assistant with two tool calls, and a server process killed at every moment of it.

Real processes, a real Valkey for each, and a model behind a socket that counts what it is asked. Whatever dies when: the turn completes by
itself after the restart, comes to the same end, and the model is asked once more at most, namely if the death came between its call and
the record of its answer. The same for a server that stands still for so long that it loses its lease.
"""

import asyncio
import contextlib
import itertools
import os
import re
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import msgspec
import pytest
import redis
from support.bare_run import text_of
from support.crashing import Doomed, doomed, eventually, stand_still
from support.models import model_server
from support.valkey import Valkey
from support.web_house import Reply, WebClient

from telephony.simulators.model import endpoint
from telephony.simulators.model.endpoint import ModelEndpoint
from telephony.simulators.model.wire import Call, Json
from telephony.simulators.model.wire import Reply as Answer
from workflows.events import Heard, Memo, Opened, decode
from workflows.registry import Registry
from workflows.run import Run

AT_ONCE = 13
"""Lives that are led beside each other: most of their time they wait for a dead node's lease to run out."""

STANDSTILL_SECONDS = 14.0
"""Longer than a lease, a claim of a sweeper and its round."""

ZONE = ZoneInfo("Europe/London")
DAY = datetime.now(ZONE).date() + timedelta(days=40)
TOOLS = (
    Call("create_reminder", msgspec.json.encode({"name": "ada", "description": "call Ada", "at": f"{DAY}T09:00"}).decode()),
    Call(
        "watch_flight",
        msgspec.json.encode(
            {"name": "trip", "origin": "LHR", "destination": "JFK", "departure": f"{DAY}", "max_price": 1, "currency": "EUR"}
        ).decode(),
    ),
)
WORDS = "Both are set, and I will tell you."


def two_tools(messages: list[Json], _: list[Json]) -> Answer:
    """What the model answers: first the tools, then words."""
    return Answer(WORDS) if messages[-1]["role"] == "tool" else Answer(calls=TOOLS)


@dataclass
class End:
    """What a turn came to: what was said, what is on record (without what is drawn), and what is left to do."""

    said: list[str]
    answered: Json
    record: list[Any]
    errands: dict[str, list[Any]]
    note: Any
    alarms: int


class Life:
    """One session on one store, with one server process after the other; a moment is fatal to each of the first ones.

    `owed`: answers of the model that were asked for, and died with their server before they were on record.
    """

    def __init__(self, folder: Path, model: ModelEndpoint, *fatal: int) -> None:
        self.model = model
        self.folder = folder
        self.fatal = fatal
        self.deaths = 0
        self.owed = 0
        self.moments: list[str] = []

    async def lead(self) -> End:
        self.folder.mkdir()
        valkey = Valkey("--maxmemory-policy", "noeviction", persistent=True)
        try:
            await asyncio.to_thread(valkey.start)
            with redis.Redis.from_url(valkey.url) as self.store:
                self.url = valkey.url
                return await self._lead()
        finally:
            valkey.remove()

    async def _lead(self) -> End:
        fatal = [*self.fatal, 0]
        async with self._server(fatal.pop(0), armed=False) as (server, web):
            id_ = (await web.create(timezone=str(ZONE))).json["id"]
            reply = await self._said(web, id_)
            await eventually(lambda: not server.alive if self.fatal else self._is_complete(id_))
            self.moments = server.moments
        if self.fatal:
            self._bury()
        while True:
            async with self._server(fatal.pop(0) if fatal else 0, armed=True) as (server, web):
                if web is not None:
                    if reply is None and not self._heard(id_):
                        reply = await self._said(web, id_)  # nobody has acknowledged it, so the client sends it again
                    if await self._completes(id_, server):
                        reply = await self._said(web, id_)
                        if reply is not None:
                            return self._end(id_, reply)
            self._bury()

    @contextlib.asynccontextmanager
    async def _server(self, fatal: int, *, armed: bool, **more: Any) -> AsyncGenerator[tuple[Doomed, Any]]:
        report = self.folder / f"moments-{self.deaths}"
        settings = {
            "lines": {"web:*": "assistant"}, "server": {"port": 0}, "store": {"url": self.url}, "openai_base_url": self.model.url,
            "data": str(self.folder), "sessions": {"idle": "1s"},
        }  # fmt: skip
        async with doomed(settings, report, fatal, armed=armed, **more) as server:
            try:
                await server.listening()
            except EOFError:
                yield server, None
                return
            async with aiohttp.ClientSession() as http:
                yield server, WebClient(server.url, http)

    async def _said(self, web: WebClient, id_: str) -> Reply | None:
        """What the message is answered; None if the server died instead."""
        try:
            return await web.say(id_, "remind me and watch", key="the message", wait=60)
        except aiohttp.ClientError:
            return None

    async def _completes(self, id_: str, server: Doomed) -> bool:
        """Wait, without a word to the server, until the turn is complete in the store; False if the server died."""
        await eventually(lambda: not server.alive or self._is_complete(id_))
        return server.alive

    def _bury(self) -> None:
        self.deaths += 1
        self.owed = self.model.requests - self._answers()

    # -- what is stored ------------------------------------------------------------------------------------------------------------------

    def histories(self) -> dict[str, list[bytes]]:
        return {key.decode().split(":h:")[1]: self.store.lrange(key, 0, -1) for key in self.store.scan_iter("sb:*:h:*")}

    def _events(self, session: str) -> list[Any]:
        return [decode(element) for element in self.histories().get(session, [])]

    def _heard(self, id_: str) -> bool:
        return len(self._events(f"web:{id_}")) > 1

    def _answers(self) -> int:
        return sum(isinstance(event, Memo) and event.name == "think" for session in self.histories() for event in self._events(session))

    def _is_complete(self, id_: str) -> bool:
        histories = self.histories()
        watched = [elements for session, elements in histories.items() if session.startswith("errand:")]
        pending = self.store.keys("sb:*:pending")
        return len(histories[f"web:{id_}"]) == 6 and sum(map(len, watched)) == 3 and not pending

    def _end(self, id_: str, reply: Reply) -> End:
        errands: dict[str, list[Any]] = {}
        registry = Registry()
        for session, elements in self.histories().items():
            events = [decode(element) for element in elements]
            opened = events[0]
            assert isinstance(opened, Opened)
            run = Run(session, opened, registry, strict=True)
            for event in events[1:]:
                assert event.words == run.words()
                run.feed(event)
            record = [_plain(event) for event in events]
            if session == f"web:{id_}":
                spoken = run.turns.since(None)
                assert spoken is not None
                said, note, ours = [text_of(each.said[2]) for each in spoken], run.note, record
            else:
                errands[opened.workflow] = [opened.args, *record]
        due = sum(self.store.zcard(key) for key in self.store.scan_iter("sb:*:due"))
        return End(said, _without_id(reply), ours, errands, note, due)


def _plain(event: Any) -> Any:
    """An event without what is drawn or measured: ids of calls, and times."""
    match event:
        case Memo(name=name, step=step, value=value, error=None):
            value = msgspec.msgpack.decode(value)
            return ("memo", step, name, re.sub(r"call_[0-9a-f]{24}", "call", repr(value)) if name != "find_fares" else None)
        case Opened(workflow=workflow):
            return ("opened", workflow)
        case other:
            return (type(other).__name__, other.id, other.type, other.payload)


def _without_id(reply: Reply) -> Json:
    assert reply.status == 200, reply
    return {name: value for name, value in reply.json.items() if name != "id"}


async def led(folder: Path, *fatal: int) -> tuple[Life, End]:
    async with model_server() as model:
        life = Life(folder, model, *fatal)
        return life, await life.lead()


@pytest.fixture
def model_with_two_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "answer", two_tools)


def check(life: Life, end: End, untroubled: End, name: str) -> None:
    assert end == untroubled, name
    assert life.deaths >= 1, name
    assert life.owed <= life.deaths, name
    assert life.model.requests == 2 + life.owed, name


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("model_with_two_tools")
async def test_killed_at_every_moment_the_turn_completes_by_itself_and_is_paid_for_once(tmp_path: Path) -> None:
    life, untroubled = await led(tmp_path / "untroubled")
    assert (life.deaths, life.model.requests) == (0, 2)
    assert untroubled.said[1].startswith('Reminder "ada": call Ada, ')
    assert untroubled.said[2].startswith('Flight watch "trip": LHR to JFK, ')
    assert untroubled.said[3:] == [WORDS]
    assert [each["text"] for each in untroubled.answered["replies"] if each["text"]] == untroubled.said[1:]
    assert (set(untroubled.errands), untroubled.alarms) == ({"reminder", "flight_watch"}, 3)
    moments = life.moments
    kinds = Counter(moments)
    assert kinds["before call of think"] == kinds["after call of think"] == 2
    assert {"an input has come", "while speaking", "before the answer leaves", "after append to errand, 1 events"} < kinds.keys()

    at_once = asyncio.Semaphore(AT_ONCE)

    async def killed(number: int) -> str:
        async with at_once:
            life, end = await led(tmp_path / f"{number}", number)
            check(life, end, untroubled, f"killed at moment {number} ({moments[number - 1]})")
            return f"{moments[number - 1]}: {life.owed}"

    fates = await asyncio.gather(*(killed(number) for number in range(1, len(moments) + 1)))
    assert any(fate.startswith("after call of think: 1") for fate in fates), "a death between call and record costs a call"
    assert any(fate.endswith(": 0") for fate in fates), "and one elsewhere none"


class LostLease(Life):
    """Two servers; the first one stands still at a moment, for longer than its lease lasts, and then goes on as if nothing had been."""

    async def _lead(self) -> End:
        async with self._server(*self.fatal, armed=False, serve=stand_still) as (first, web), self._server(0, armed=False) as (_, other):
            id_ = (await web.create(timezone=str(ZONE))).json["id"]
            waiting = asyncio.create_task(self._said(web, id_))
            await eventually(lambda: len(first.moments) >= self.fatal[0])
            with contextlib.suppress(TimeoutError):  # what is not on record, nobody can take over
                await eventually(lambda: self._is_complete(id_), STANDSTILL_SECONDS)
            first.go_on()
            self.moments = first.moments
            reply = await waiting
            assert reply is not None
            await eventually(lambda: self._is_complete(id_))
            again = await self._said(other, id_)
            assert again is not None
            assert again.json == reply.json
            return self._end(id_, reply)


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("model_with_two_tools")
async def test_standing_still_at_a_moment_costs_one_call_at_most_and_nothing_comes_twice(tmp_path: Path) -> None:
    life, untroubled = await led(tmp_path / "untroubled")
    at_once = asyncio.Semaphore(AT_ONCE)

    async def held_up(number: int) -> int:
        async with at_once, model_server() as model:
            late = LostLease(tmp_path / f"{number}", model, number)
            end = await late.lead()
            name = f"stood still at moment {number} ({late.moments[-1]})"
            assert end == untroubled, name
            assert 2 <= model.requests <= 3, name
            return model.requests - 2

    stride = int(os.environ.get("CRASH_STRIDE", "3"))
    numbers = sorted({*range(1, len(life.moments) + 1, stride), life.moments.index("after call of think") + 1})
    assert sum(await asyncio.gather(*map(held_up, numbers))) >= 1, "who stands still between call and record is paid for twice"


@pytest.mark.proof
@pytest.mark.usefixtures("model_with_two_tools")
async def test_those_who_take_over_are_killed_as_well(tmp_path: Path) -> None:
    first, untroubled = await led(tmp_path / "untroubled")
    stride = int(os.environ.get("CRASH_STRIDE", "2"))
    at_once = asyncio.Semaphore(AT_ONCE)

    async def killed(*numbers: int) -> int:
        async with at_once:
            life, end = await led(tmp_path / "-".join(map(str, numbers)), *numbers)
            check(life, end, untroubled, f"killed at the moments {numbers}")
            return life.deaths

    count = len(first.moments)
    deaths = await asyncio.gather(*(killed(*numbers) for numbers in itertools.product(range(1, count + 1, stride), range(1, 12, stride))))
    assert max(deaths) == 2


@pytest.mark.proof
async def test_twenty_messages_at_once_and_servers_that_die_one_after_the_other(tmp_path: Path) -> None:
    """Clients insist, each with its key, at whatever server there is; every message is taken once, and its answer is one for ever."""
    rng = Random(int(os.environ.get("CRASH_SEED", "1")))
    texts_ = [f"status of cup-{number}" for number in range(20)]
    async with model_server() as model:
        crowd = Crowd(tmp_path / "crowd", model, *(rng.randint(20, 120) for _ in range(8)))
        answers = await crowd.gather(texts_)
        heard = [event for event in crowd.recorded if isinstance(event, Heard)]
        assert sorted(event.payload["text"] for event in heard) == sorted(texts_)
        assert len({event.id for event in heard}) == len(heard)
        for text, replies in answers.items():
            assert len({msgspec.json.encode(reply.json) for reply in replies}) == 1, text
            assert f'"{text.removeprefix("status of ")}"' in replies[0].json["replies"][-1]["text"]
        thoughts = [event for event in crowd.recorded if isinstance(event, Memo) and event.name == "think"]
        assert len(thoughts) == 2 * len(texts_)
        assert crowd.deaths >= 3
        assert len(thoughts) <= model.requests <= len(thoughts) + crowd.deaths


class Crowd(Life):
    """A session that many speak in at once."""

    async def gather(self, texts_: list[str]) -> dict[str, list[Reply]]:
        """What each of the texts is answered, and is again when all is over."""
        self._texts = texts_
        self._web: WebClient | None = None
        self.answers: dict[str, list[Reply]] = {}
        await self.lead()
        return self.answers

    async def _lead(self) -> Any:
        async with self._server(0, armed=False) as (_, web):
            id_ = (await web.create()).json["id"]
        clients = asyncio.gather(*(self._insist(id_, text) for text in self._texts))
        for fatal in self.fatal:
            async with self._server(fatal, armed=True) as (server, web):
                self._web = web
                await eventually(lambda: not server.alive or clients.done())
                self.deaths += not server.alive
            self._web = None
        async with self._server(0, armed=False) as (_, web):
            self._web = web
            first = await clients
            self.answers = {text: [reply] for text, reply in zip(self._texts, first, strict=True)}
            for text in self._texts:
                self.answers[text].append(await self._insist(id_, text))
            self.recorded = self._events(f"web:{id_}")

    async def _insist(self, id_: str, text: str) -> Reply:
        while True:
            if self._web is not None:
                with contextlib.suppress(aiohttp.ClientError, RuntimeError):  # it died, or has been buried by now
                    reply = await self._web.say(id_, text, key=text, wait=60)
                    if reply.status == 200:
                        return reply
            await asyncio.sleep(0.05)
