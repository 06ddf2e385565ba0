"""Too much to do: whoever cannot be served is told so at once and politely, memory stays bounded, and all is well again afterwards."""

import asyncio
import contextlib
import json
import re
import socket
import uuid
from collections import Counter
from functools import partial
from pathlib import Path
from random import Random

import pytest
from support.alexa_house import alexa_house
from support.crashing import eventually
from support.phone_house import ACCOUNT, TOKEN, phone_house
from support.server import ServerProcess
from support.slack_house import DIRECT, slack_kit
from support.valkey import Valkey
from support.web_house import texts, web_house
from support.webhooks import PARTIES, Webhook, sid
from support.wire import Pipeline

from handlers.reply import ReplyTo
from switchboard import board, server
from switchboard.guard import Limits
from telephony import alexa, phone
from telephony.simulators.events import Said
from telephony.simulators.webhook import call_form

ECHO = "support.conversations:echo"
LINE = {"from_": "+12025550199", "to": "+15550100"}


@pytest.fixture
def store():
    valkey = Valkey("--maxmemory-policy", "noeviction")
    try:
        valkey.start()
        yield valkey
    finally:
        valkey.remove()


def fill(house):
    """As many wait for their answers as may."""
    exchange = house.server.exchange
    exchange._waiting = {ReplyTo() for _ in range(exchange._most)}


async def test_on_the_web_it_is_503_and_a_time_to_come_again(valkey, valkey_url):
    async with web_house(valkey_url, ECHO) as (house, web):
        id_ = (await web.create()).json["id"]
        fill(house)
        for refused in (await web.create(), await web.say(id_, "one", key="1")):
            assert refused.status == 503
            assert refused.headers["Retry-After"] == "2"
            assert "too much to do" in refused.json["error"]
        house.server.exchange._waiting.clear()
        assert texts(await web.say(id_, "one", key="1"))[0] == "You said one."
        assert house.counters["shed"] == 2


async def test_on_the_phone_it_is_an_apology_and_then_the_question_anew(valkey, valkey_url):
    async with phone_house(valkey_url, ECHO) as house, house.phone(**LINE, speed=1000) as line:
        call = line.call()
        await call.start()
        fill(house)
        heard = [event.text for event in await call.say("one") if isinstance(event, Said)]
        assert heard == [phone.BUSY, "Say something."]
        house.server.exchange._waiting.clear()
        assert "You said two." in [event.text for event in await call.say("two") if isinstance(event, Said)]


async def test_a_call_that_begins_meanwhile_is_kept_on_the_line_until_there_is_room(valkey, valkey_url):
    async with phone_house(valkey_url, ECHO) as house, house.phone(**LINE, speed=100) as line:
        fill(house)
        start = asyncio.create_task(line.call().start())
        await eventually(lambda: house.counters["shed"] > 1)
        house.server.exchange._waiting.clear()
        heard = [event.text for event in await start if isinstance(event, Said)]
        assert set(heard[:-1]) == {phone.BUSY}
        assert heard[-1] == "Say something."


async def test_alexa_apologises_and_listens(valkey, valkey_url):
    async with alexa_house(valkey_url, ECHO) as (house, echo):
        await echo.launch()
        fill(house)
        heard = await echo.say("one")
        assert (heard.text, heard.ends) == (alexa.BUSY, False)


async def test_slack_is_asked_to_send_it_again(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        await kit.say("hi")
        fill(kit.house)
        message = kit.sender.message(kit.workspace.write(DIRECT, "U0ADA", "one"))
        assert await kit.sender.send(message) == 503
        kit.house.server.exchange._waiting.clear()
        assert await kit.sender.send(message) == 200
        await kit.until_said("Hello!", "You said hi.", "You said one.")


async def test_where_no_more_sessions_fit_into_memory_those_that_are_there_go_on(valkey, valkey_url):
    async with web_house(valkey_url, ECHO, limits={"live_sessions": 2}, sessions={"idle": 60}) as (house, web):
        first, _ = [(await web.create()).json["id"] for _ in range(2)]
        refused = await web.create()
        assert (refused.status, refused.headers["Retry-After"]) == (503, "2")
        assert texts(await web.say(first, "one"))[0] == "You said one."
        house.evict()
        assert (await web.create()).status == 201


async def test_the_inputs_that_wait_for_one_session_are_bounded(store, monkeypatch):
    monkeypatch.setattr(board, "MOST_WAITING", 3)
    async with web_house(store.url, ECHO) as (_, web):
        id_ = (await web.create()).json["id"]
        store.freeze()
        saying = [asyncio.create_task(web.say(id_, str(number), key=str(number))) for number in range(10)]
        await eventually(lambda: sum(each.done() for each in saying) == 6)  # one is under way, three wait
        assert {each.result().status for each in saying if each.done()} == {503}
        store.thaw()
        assert Counter([(await each).status for each in saying])[200] == 4
        for number in range(10):
            assert texts(await web.say(id_, str(number), key=str(number)))[0] == f"You said {number}."


async def test_a_reader_of_events_who_takes_none_is_cut_off_and_forgotten_and_the_session_goes_on(valkey, valkey_url, monkeypatch):
    monkeypatch.setattr(server, "Limits", partial(Limits, write_seconds=0.5))
    async with web_house(valkey_url, ECHO, server={"max_body": 100_000}) as (house, web):
        id_ = (await web.create()).json["id"]
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", house.port))
            reader.sendall(f"GET /web/sessions/{id_}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            await eventually(lambda: len(house.server.house.followers))
            for _ in range(600):  # some megabytes, more than the kernel takes for anybody
                await web.say(id_, "x" * 7_900)
                if not len(house.server.house.followers):
                    break
            await eventually(lambda: not len(house.server.house.followers))
        assert house.counters["connections_timed_out"] == 1
        assert texts(await web.say(id_, "one"))[0] == "You said one."


def memory(pid):
    """Resident kilobytes."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


CONNECTIONS, CROWD = 300, 280  # some places are for those whose last connection is not closed yet
SETTINGS = f'[lines]\n"phone:*" = "conversations:echo"\n"web:*" = "conversations:echo"\n[server]\nmax_connections = {CONNECTIONS}\n'


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("rounds", [2, pytest.param(60, marks=pytest.mark.proof)])
async def test_a_crowd_at_a_store_that_does_not_answer_is_told_so_in_bounded_memory_and_served_when_it_does(tmp_path, store, rounds):
    process = ServerProcess(tmp_path / "house", SETTINGS, REDIS_URL=store.url, TWILIO_ACCOUNT_SID=ACCOUNT, TWILIO_AUTH_TOKEN=TOKEN)
    process.start()
    rng, seen = Random(7), Counter()

    def phone_call():
        fields = call_form(PARTIES, sid(rng), "ringing")
        return bytes(Webhook(f"127.0.0.1:{process.port}", "/twilio/voice", tuple(fields.items())).wire())

    def web_session():
        return f"POST /web/sessions HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: {uuid.uuid4()}\r\nContent-Length: 0\r\n\r\n".encode()

    async def caller(request):
        async with Pipeline(process.port) as connection:
            for _ in range(rounds):
                [answer] = await connection.ask([request()])
                seen[request.__name__, answer.status, b"<Redirect" in answer.body or b"\r\nRetry-After: " in answer.head] += 1
                await asyncio.sleep(0.3)

    async def crowd():
        await asyncio.gather(*(caller((phone_call, web_session)[number % 2]) for number in range(CROWD)))

    try:
        await crowd()
        seen.clear()
        before = memory(process.process.pid)
        store.freeze()
        growth = []
        with contextlib.suppress(asyncio.CancelledError):
            crowding = asyncio.create_task(crowd())
            while not crowding.done():
                growth.append(memory(process.process.pid) - before)
                await asyncio.wait([crowding], timeout=0.5)
            await crowding
        assert set(seen) == {("phone_call", 200, True), ("web_session", 503, True)}, seen
        assert "callers are asked to come later" in process.output()
        assert max(growth) < 60_000, "kilobytes, of which each connection has its share"
        store.thaw()

        async def served():
            async with Pipeline(process.port) as connection:
                answers = await connection.ask([phone_call(), web_session()])
            return b"Say something." in answers[0].body and answers[1].status == 201 and json.loads(answers[1].body)

        await eventually(served)
    finally:
        store.thaw()
        process.end()
