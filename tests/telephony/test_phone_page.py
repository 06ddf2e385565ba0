"""The phone of the page, without a browser: who may have it, and what a call does."""

import asyncio
import json

import aiohttp
import pytest
from support.conversations import slow
from support.page_phone import CALL, page_phone, said
from support.phone_house import phone_house
from support.twilio_line import TOKEN

from switchboard.errors import SettingsError
from switchboard.settings import load
from telephony import phone_page
from telephony.page_call import _Wire
from telephony.phone_door import COOKIE, ELSEWHERE, FOREIGN
from telephony.simulators.document import DroppedError
from telephony.simulators.webhook import Request
from workflows.events import Left, Opened

ECHO = "support.conversations:echo"
SECRET = "open sesame, if you please"
LOCKED = {"phone_page_token": SECRET, "server": {"public_url": "https://phone.example.org"}}


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as http:
        yield http


# -- the door ------------------------------------------------------------------------------------------------------------------------------


DOOR = [
    ({}, 200),
    ({"Host": "localhost:8080"}, 200),
    ({"Host": "me.localhost"}, 200),
    ({"Host": "[::1]:8080"}, 200),
    ({"Host": "127.9.9.9"}, 200),
    ({"Host": "rebound.example"}, 403),
    ({"Host": "127.0.0.1.rebound.example"}, 403),
    ({"Host": "localhost.rebound.example:80"}, 403),
    ({"Host": "192.168.1.5:8080"}, 403),
    ({"Host": "["}, 403),
    ({"X-Forwarded-For": "203.0.113.9"}, 403),
    ({"X-Forwarded-Host": "rebound.example"}, 403),
    ({"Forwarded": "for=203.0.113.9"}, 403),
    ({"Via": "1.1 a proxy"}, 403),
]


async def test_the_page_is_for_this_machine_alone(valkey_url, valkey, http):
    async with phone_house(valkey_url, ECHO) as house:
        for headers, status in DOOR:
            async with http.get(f"{house.url}/phone", headers=headers) as response:
                assert response.status == status, headers
                text = await response.text()
                assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
            assert text == ELSEWHERE if status == 403 else '<script type="module" src="page/phone.js">' in text
            origin = {"Origin": f"http://{headers.get('Host', house.url[7:])}"}
            async with http.get(f"{house.url}/phone/call", headers=origin | headers) as response:
                assert response.status == (426 if status == 200 else 403), headers


@pytest.mark.parametrize("server", [{"public_url": "https://phone.example.org"}, {"trusted_proxies": ["10.0.0.0/8"]}])
async def test_behind_a_proxy_a_loopback_address_proves_nothing(valkey_url, valkey, http, server):
    async with phone_house(valkey_url, ECHO, server=server) as house, http.get(f"{house.url}/phone") as response:
        assert (response.status, await response.text()) == (403, ELSEWHERE)


async def test_the_page_of_another_site_gets_no_call(valkey_url, valkey, http):
    async with phone_house(valkey_url, ECHO) as house:
        for origin in (None, "null", "https://evil.example", "http://127.0.0.1.evil.example", "http://localhost:1"):
            headers = {} if origin is None else {"Origin": origin}
            async with http.get(f"{house.url}/phone/call", headers=headers) as response:
                assert (response.status, await response.text()) == (403, FOREIGN), origin
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                async with http.ws_connect(f"{house.url}/phone/call", headers=headers):
                    pass
            async with http.post(f"{house.url}/phone", data={"token": SECRET}, headers=headers) as response:
                assert (response.status, await response.text()) == (403, FOREIGN), origin


async def test_the_token_opens_the_page_from_elsewhere_and_calls_are_signed_for_the_public_address(valkey_url, valkey, http, monkeypatch):
    monkeypatch.setattr(phone_page, "GUESS_SECONDS", 0.01)
    async with phone_house(valkey_url, ECHO, **LOCKED) as house:
        public = {"Host": "phone.example.org", "Origin": "https://phone.example.org", "X-Forwarded-For": "203.0.113.9"}
        url = f"{house.url}/phone"
        async with http.get(url, headers=public) as response:
            assert response.status == 403
            assert "form-action 'self'" in response.headers["Content-Security-Policy"]
            assert "This phone is behind a token" in await response.text()
        for wrong in ({"token": "guess"}, {"token": ""}, {}):
            async with http.post(url, data=wrong, headers=public) as response:
                assert (response.status, COOKIE in response.cookies) == (403, False)
        async with http.post(url, data={"token": SECRET}, headers=public, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "phone")
            cookie = response.cookies[COOKIE]
        assert (cookie["path"], cookie["samesite"], cookie["httponly"], cookie["secure"]) == ("/phone", "Strict", True, True)
        assert SECRET not in cookie.value
        known = {**public, "Cookie": f"{COOKIE}={cookie.value}"}
        async with http.get(url, headers=known) as response:
            assert response.status == 200
        async with http.get(url, headers={**public, "Cookie": f"{COOKIE}=\u00e4{cookie.value}"}) as response:
            assert response.status == 403
        async with page_phone(house.url, **known) as phone:
            assert said(await phone.do("call", "asked", **CALL)) == ["Say something."]
            assert phone.told("webhook")[0]["path"] == "/twilio/voice"


async def test_below_a_path_the_token_opens_the_page_too(valkey_url, valkey, http):
    server = {"public_url": "https://example.org/voice/"}
    async with phone_house(valkey_url, ECHO, phone_page_token=SECRET, server=server) as house:
        headers = {"Host": "example.org", "Origin": "https://example.org"}
        async with http.post(f"{house.url}/phone", data={"token": SECRET}, headers=headers, allow_redirects=False) as response:
            assert (response.status, response.cookies[COOKIE]["path"]) == (303, "/voice/phone")


async def test_a_token_is_asked_for_at_this_machine_too_since_not_every_forwarder_names_itself(valkey_url, valkey, http):
    async with phone_house(valkey_url, ECHO, phone_page_token=SECRET) as house:
        async with http.get(f"{house.url}/phone") as response:
            assert (response.status, "This phone is behind a token" in await response.text()) == (403, True)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            async with http.ws_connect(f"{house.url}/phone/call", headers={"Origin": house.url}):
                pass


def test_a_token_that_can_be_guessed_is_refused(monkeypatch):
    monkeypatch.setenv("PHONE_PAGE_TOKEN", "open sesame")
    with pytest.raises(SettingsError, match=r"phone_page_token \(from PHONE_PAGE_TOKEN\): write at least 16 characters"):
        load()


# -- calls ---------------------------------------------------------------------------------------------------------------------------------


async def test_a_call_is_had_by_keys_and_words_and_its_documents_and_history_are_told(valkey_url, valkey):
    async with phone_house(valkey_url, "support.conversations:exchange") as house, page_phone(house.url) as phone:
        told = await phone.do("call", "asked", **CALL)
        assert said(told) == ["Press 1 for Ada, 2 for a message."]
        (asked,) = phone.told("asked")
        assert (asked["keys"], asked["speech"], asked["num_digits"], asked["turn"], asked["secret"]) == (True, True, 1, 0, False)
        (webhook,) = phone.told("webhook")
        assert (webhook["method"], webhook["path"], webhook["status"]) == ("POST", "/twilio/voice", 200)
        assert ["From", CALL["caller"]] in webhook["fields"]
        assert "<Gather" in webhook["text"]
        await phone.do("press", "recording", keys="2")
        assert ["Digits", "2"] in phone.told("webhook")[1]["fields"]
        told = await phone.do("say", "hungup", text="It is me")
        assert said(told)[0].startswith("2 seconds at https://api.twilio.com/")
        with pytest.raises(EOFError):
            await phone.until("never")
        history = phone.told("history")[-1]
        assert history["state"] == "ended"
        assert [each["what"].partition(" of")[0] for each in history["moments"]] == [
            "opened by +12025550199 on phone:+15550100", "pressed 2", "left a recording",
        ]  # fmt: skip
        assert history["moments"][0]["said"] == ['says "Press 1 for Ada, 2 for a message."']


async def test_secrets_are_hidden_and_a_bug_is_shown(valkey_url, valkey):
    async with phone_house(valkey_url, "support.conversations:buggy") as house, page_phone(house.url) as phone:
        await phone.do("call", "asked", **CALL)
        assert phone.told("asked")[0]["secret"] is True
        await phone.do("press", "hungup", keys="4711")
        with pytest.raises(EOFError):
            await phone.until("never")
        history = phone.told("history")[-1]
        assert "4711" not in json.dumps(phone.heard)
        assert ["Digits", "(hidden)"] in phone.told("webhook")[1]["fields"]
        assert history["state"] == "failed"
        assert history["trouble"].startswith("ZeroDivisionError")


async def test_hanging_up_is_heard_while_the_server_thinks_and_a_silence_is_one(valkey_url, valkey):
    slow.gate.clear()
    async with phone_house(valkey_url, "support.conversations:thinker") as house, page_phone(house.url) as phone:
        await phone.do("call", "asked", **CALL)
        assert said(await phone.do("wait", "asked")) == ["What now?"]
        await phone.do("say", text="hm")
        assert (await phone.do("press", "deaf", keys="1"))[-1] == {"event": "deaf"}
        assert (await phone.do("hang up", "hungup"))[-1]["reason"] == "caller"
        assert await left(house, phone.sid) == "completed"
    slow.gate.set()


async def test_who_hangs_up_at_once_has_hung_up(valkey_url, valkey):
    async with phone_house(valkey_url, ECHO) as house, page_phone(house.url) as phone:
        await phone.do("call", **CALL)
        assert (await phone.do("hang up", "hungup"))[-1]["reason"] == "caller"


async def test_a_page_that_is_closed_hangs_up_and_a_line_that_breaks_does_not(valkey_url, valkey):
    async with phone_house(valkey_url, ECHO) as house:
        async with page_phone(house.url) as phone:
            await phone.do("call", "asked", **CALL)
            await phone.socket.close(code=aiohttp.WSCloseCode.GOING_AWAY)
        assert await left(house, phone.sid) == "completed"
        async with page_phone(house.url) as phone:
            await phone.do("call", "asked", **CALL)
            phone.socket._response.connection.transport.abort()
        async with page_phone(house.url) as again:
            told = await again.do("go on", "asked", sid=phone.sid, turn=phone.turn, **CALL)
            assert said(told) == ["Say something."]
            assert said(await again.do("say", "asked", text="hello"))[0] == "You said hello."


async def test_a_call_goes_on_where_the_last_input_that_is_on_record_led(valkey_url, valkey):
    async with phone_house(valkey_url, ECHO) as house:
        async with page_phone(house.url) as phone:
            await phone.do("call", "asked", **CALL)
            seen = phone.turn
            await phone.do("say", "asked", text="one")
        async with page_phone(house.url) as again:
            told = await again.do("go on", "asked", sid=phone.sid, turn=seen, **CALL)
            assert said(told) == ["You said one.", "Say something."], "it was heard: its answer is what was lost"
        async with page_phone(house.url) as again:
            assert said(await again.do("go on", "asked", sid=phone.sid, turn=None, **CALL)) == ["Say something."], "nothing was seen at all"
            if not again.told("history"):
                await again.until("history")
        assert [each["what"] for each in again.told("history")[-1]["moments"]][1:] == ['said "one"']


async def test_a_server_that_stops_sends_its_pages_to_the_next_one(valkey_url, valkey):
    async with phone_house(valkey_url, ECHO) as house, page_phone(house.url) as phone:
        await phone.do("call", "asked", **CALL)
        stopping = asyncio.create_task(house.server.drain(house.runner))
        with pytest.raises(EOFError, match=str(int(aiohttp.WSCloseCode.SERVICE_RESTART))):
            await phone.until("never")
        await stopping
        assert isinstance(await last(house, phone.sid), Opened)


NONSENSE = (
    "no JSON", "{}", '"\\ud800"', b"\x00", "[" * 9_000, '{"do": "fly"}', '{"do": "press", "keys": "1"}', '{"do": "call", "to": "1"}',
    '{"do": "call", "to": "a b", "caller": "x"}', '{"do": "call", "to": "1\\n", "caller": "x"}',
    '{"do": "go on", "to": "1", "caller": "2", "sid": "CA1", "turn": 0}',
)  # fmt: skip
REFUSALS = {aiohttp.WSCloseCode.POLICY_VIOLATION, aiohttp.WSCloseCode.UNSUPPORTED_DATA, aiohttp.WSCloseCode.MESSAGE_TOO_BIG}


async def test_what_a_page_would_not_say_begins_no_call(valkey_url, valkey):
    async with phone_house(valkey_url, ECHO) as house:
        for sent in NONSENSE:
            async with page_phone(house.url) as phone:
                await (phone.socket.send_bytes(sent) if isinstance(sent, bytes) else phone.socket.send_str(sent))
                with pytest.raises(EOFError):
                    await phone.until("never")
                assert phone.socket.close_code in REFUSALS, sent
        assert valkey.keys("sb:*:h:*") == []


async def test_what_is_not_understood_in_a_call_is_not_heard_and_the_call_goes_on(valkey_url, valkey):
    async with phone_house(valkey_url, ECHO) as house, page_phone(house.url) as phone:
        await phone.do("call", "asked", **CALL)
        for deed in (
            {"do": "press", "keys": "1" * 65}, {"do": "press", "keys": "1\n"}, {"do": "say", "text": "\ud800"}, {"do": "say", "text": ""}, {"do": "fly"},
        ):  # fmt: skip
            await phone.socket.send_json(deed)
            assert (await phone.until("deaf", "asked"))[-1] == {"event": "deaf"}, deed
        assert said(await phone.do("say", "asked", text="hello"))[0] == "You said hello."


async def test_the_page_s_phone_asks_no_other_server():
    async def tell(*_, **__):
        raise AssertionError

    wire = _Wire(TOKEN, "http://127.0.0.1:1", "http://127.0.0.1:1", tell)
    for url in ("http://127.0.0.1:12/x", "https://example.com/", "http://127.0.0.1:1@example.com/"):
        with pytest.raises(DroppedError, match="asks no other"):
            await wire.send(Request(url, ()))


async def last(house, sid):
    """What happened last in a call."""
    return (await house.server.exchange.replayed(f"phone:{sid}")).moments[-1].event


async def left(house, sid):
    """Wait until somebody has left a call."""
    while not isinstance(event := await last(house, sid), Left):  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.05)
    return event.reason
