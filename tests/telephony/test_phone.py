"""The phone channel: real signed HTTP into a whole server on a real Valkey."""

import asyncio
import os
import re
import signal

import aiohttp
import pytest
from support.conversations import slow
from support.phone_house import ACCOUNT, TOKEN, phone_house
from support.valkey import Valkey

from telephony import twiml
from telephony.simulators.events import HungUp, Said
from telephony.simulators.webhook import Request
from telephony.twilio_signature import sign

SID = "CA" + "0" * 32
FORM = {"CallSid": SID, "AccountSid": ACCOUNT, "From": "+12025550199", "To": "+15550100", "CallStatus": "ringing"}


def said(events):
    return [event.text for event in events if isinstance(event, Said)]


def calling(house, **options):
    return house.phone(from_=options.pop("from_", "+12025550199"), to=options.pop("to", "+15550100"), **options)


async def post(house, path="/twilio/voice", form=FORM, *, signature=None, body=None, headers=None):
    url = house.url + path
    given = sign(TOKEN, url, form.items()) if signature is None else signature
    heads = {"X-Twilio-Signature": given, **(headers or {})} if given != "" else dict(headers or {})
    async with aiohttp.ClientSession() as http, http.post(url, data=form if body is None else body, headers=heads) as response:
        return response.status, await response.text()


def stored(valkey):
    return list(valkey.scan_iter("sb:*:h:*"))


async def test_a_call_is_a_conversation_until_it_ends(valkey_url, valkey):
    async with phone_house(valkey_url, "support.conversations:echo") as house, calling(house) as phone:
        call = phone.call()
        assert said(await call.start()) == ["Say something."]
        assert said(await call.say("hello")) == ["You said hello.", "Say something."]
        assert any(isinstance(event, HungUp) for event in await call.say("goodbye"))
    assert len(stored(valkey)) == 1


@pytest.mark.parametrize("signature", ["", "AAAA", "\u00e9", "not base64 at all", "=" * 5000])
async def test_a_forged_or_missing_signature_is_refused_and_nothing_is_stored(valkey_url, valkey, signature):
    async with phone_house(valkey_url, "support.conversations:echo") as house:
        status, _ = await post(house, signature=signature)
        assert status == 403
        assert house.counters["forged"] == 1
    assert stored(valkey) == []


async def test_a_signature_of_raw_bytes_is_refused(valkey_url, valkey):
    async with phone_house(valkey_url, "support.conversations:echo") as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(b"POST /twilio/voice HTTP/1.1\r\nHost: x\r\nX-Twilio-Signature: \xff\xfe\r\n")
        writer.write(b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\nCallSid=1")
        assert (await reader.readline()).split()[1] in (b"400", b"403")
        writer.close()
        await writer.wait_closed()
    assert stored(valkey) == []


@pytest.mark.parametrize(
    ("form", "path", "status"),
    [
        ({key: value for key, value in FORM.items() if key != "CallSid"}, "/twilio/voice", 400),
        ({**FORM, "CallSid": ""}, "/twilio/voice", 400),
        ({**FORM, "CallSid": "../../x"}, "/twilio/voice", 400),
        ({**FORM, "CallSid": "C" * 65}, "/twilio/voice", 400),
        ({**FORM, "AccountSid": "AC" + "9" * 32}, "/twilio/voice", 403),
        ({key: value for key, value in FORM.items() if key != "CallSid"}, "/twilio/status", 400),
        ({**FORM, **{f"x{n}": "" for n in range(300)}}, "/twilio/voice", 400),
    ],
)
async def test_a_signed_request_that_is_no_call_of_ours_is_refused(valkey_url, valkey, form, path, status):
    async with phone_house(valkey_url, "support.conversations:echo") as house:
        assert (await post(house, path, form))[0] == status
    assert stored(valkey) == []


@pytest.mark.parametrize(
    ("body", "headers", "statuses"),
    [
        (b"{}", {"Content-Type": "application/json"}, {403}),
        (b"<x/>", {"Content-Type": "text/xml"}, {403}),
        (b"CallSid=" + b"1" * 100_000, {"Content-Type": "application/x-www-form-urlencoded"}, {413}),
        (b"%%%&&&===\xff\xfe", {"Content-Type": "application/x-www-form-urlencoded"}, {403}),
    ],
)
async def test_a_body_that_is_no_form_is_refused(valkey_url, valkey, body, headers, statuses):
    async with phone_house(valkey_url, "support.conversations:echo") as house:
        assert (await post(house, body=body, headers=headers, signature="AAAA"))[0] in statuses
    assert stored(valkey) == []


async def test_an_altered_form_is_refused(valkey_url, valkey):
    async with phone_house(valkey_url, "support.conversations:echo") as house:
        genuine = sign(TOKEN, house.url + "/twilio/voice", FORM.items())
        assert (await post(house, form={**FORM, "From": "+1900"}, signature=genuine))[0] == 403
    assert stored(valkey) == []


async def test_a_get_is_signed_over_its_url_alone(valkey_url, valkey):
    async with phone_house(valkey_url, "support.conversations:echo") as house, calling(house) as phone:
        query = "&".join(f"{key}={value.replace('+', '%2B')}" for key, value in FORM.items())
        answer = await phone.webhooks.send(Request(f"{house.url}/twilio/voice?{query}", (), "GET"))
        assert answer.status == 200
        assert "Say something." in answer.text


async def test_a_duplicate_gets_identical_twiml_at_once_later_and_after_eviction_and_a_new_boot(valkey_url, valkey):
    async with phone_house(valkey_url, "support.conversations:echo") as house, calling(house) as phone:
        call = phone.call()
        await call.start()
        opening, opened = call.last_request, await call.repeat()
        await call.say("hello")
        first = call.last_request
        heard = await call.repeat()
        assert "You said hello." in heard
        await call.say("again")
        for evicted in (house.evict, house.reboot, lambda: None):
            gone = evicted()
            if gone is not None:
                await gone
            assert (await phone.webhooks.send(first)).text == heard
            assert (await phone.webhooks.send(opening)).text == opened
        assert "You said once more." in said(await call.say("once more"))


async def test_twenty_copies_at_once_are_one_turn(valkey_url, valkey):
    async with phone_house(valkey_url, "support.conversations:echo") as house, calling(house) as phone:
        call = phone.call()
        await call.start()
        await call.say("hello")
        house.evict()
        answers = await asyncio.gather(*(call.repeat() for _ in range(20)))
        assert len(set(answers)) == 1
        (key,) = stored(valkey)
        assert valkey.llen(key) == 2


async def test_a_slow_turn_is_answered_in_parts_and_asked_once(valkey_url, valkey, monkeypatch):
    monkeypatch.setattr("telephony.phone.PATIENCE", 0.2)
    slow.calls, slow.gate = 0, asyncio.Event()
    async with phone_house(valkey_url, "support.conversations:thinker") as house, calling(house, speed=20) as phone:
        call = phone.call()
        await call.start()
        asyncio.get_running_loop().call_later(0.9, slow.gate.set)
        assert said(await call.say("why")) == ["Let me think.", "WHY", "What now?"]
        assert slow.calls == 1


async def test_a_caller_who_hangs_up_is_heard_while_an_effect_runs(valkey_url, valkey, monkeypatch):
    monkeypatch.setattr("telephony.phone.PATIENCE", 0.2)
    slow.calls, slow.gate = 0, asyncio.Event()
    async with phone_house(valkey_url, "support.conversations:thinker") as house:
        await post(house)
        status, text = await post(house, "/twilio/voice?turn=0", {**FORM, "SpeechResult": "why"})
        assert (status, "Redirect" in text) == (200, True)
        assert (await post(house, "/twilio/status", {**FORM, "CallStatus": "completed"}))[0] == 204
        (key,) = stored(valkey)
        assert valkey.llen(key) == 3
        slow.gate.set()
        for _ in range(100):
            if valkey.llen(key) == 4:
                break
            await asyncio.sleep(0.02)
        assert valkey.llen(key) == 4
        again = await post(house, "/twilio/status", {**FORM, "CallStatus": "completed"})
        assert again[0] == 204
        assert valkey.llen(key) == 4


async def test_news_of_a_calls_beginning_changes_nothing(valkey_url, valkey):
    async with phone_house(valkey_url, "support.conversations:echo") as house:
        for status in ("ringing", "in-progress", "completed"):
            assert (await post(house, "/twilio/status", {**FORM, "CallStatus": status}))[0] == 204
    assert stored(valkey) == []


async def test_a_session_that_sleeps_goes_on_by_polling(valkey_url, valkey):
    async with phone_house(valkey_url, "support.conversations:napper") as house, calling(house, speed=20) as phone:
        call = phone.call()
        await call.start()
        assert said(await call.press("1")) == ["I will be right back.", "Here I am. Press 2."]
        assert any(isinstance(event, HungUp) for event in await call.press("2"))


async def test_silence_is_no_answer_and_asked_again_until_the_tries_are_used_up(valkey_url, valkey):
    async with phone_house(valkey_url, "support.conversations:echo") as house, calling(house) as phone:
        call = phone.call()
        await call.start()
        assert said(await call.stay_silent()) == ["Say something."]
        assert said(await call.stay_silent()) == ["Say something."]
        assert said(await call.stay_silent()) == ["Goodbye."]
        assert call.ended is not None


@pytest.mark.parametrize("outcome", ["completed", "busy", "no-answer"])
async def test_the_outcome_of_a_transfer_comes_back(valkey_url, valkey, outcome):
    async with phone_house(valkey_url, "support.conversations:exchange") as house, calling(house) as phone:
        call = phone.call({"+15550111": outcome})
        await call.start()
        assert said(await call.press("1"))[-1].startswith(f"That was {outcome}")


async def test_a_recording_comes_back_once_however_often_it_is_told(valkey_url, valkey):
    async with phone_house(valkey_url, "support.conversations:exchange") as house:
        await post(house)
        _, text = await post(house, "/twilio/voice?turn=0", {**FORM, "Digits": "2"})
        assert '<Record action="voice?turn=1"' in text
        recording = {**FORM, "RecordingUrl": "https://example.com/r1", "RecordingDuration": "7"}
        assert (await post(house, "/twilio/recording?turn=1", {**recording, "RecordingStatus": "completed"}))[0] == 204
        _, text = await post(house, "/twilio/voice?turn=1", recording)
        assert "7 seconds at https://example.com/r1." in text
        (key,) = stored(valkey)
        assert valkey.llen(key) == 3


async def test_hanging_up_at_the_tone_is_no_message(valkey_url, valkey):
    async with phone_house(valkey_url, "support.conversations:exchange") as house:
        await post(house)
        await post(house, "/twilio/voice?turn=0", {**FORM, "Digits": "2"})
        _, text = await post(house, "/twilio/voice?turn=1", {**FORM, "Digits": "hangup"})
        assert "<Hangup />" in text


async def test_a_workflow_with_a_bug_apologises_and_the_next_call_works(valkey_url, valkey):
    async with phone_house(valkey_url, "support.conversations:buggy") as house, calling(house) as phone:
        for _ in range(2):
            call = phone.call()
            assert said(await call.start()) == ["Your PIN?"]
            assert "something went wrong" in said(await call.press("1234"))[0]
            assert call.ended is not None


async def test_a_late_turn_of_an_ended_or_unknown_call_is_a_hang_up(valkey_url, valkey):
    async with phone_house(valkey_url, "support.conversations:echo") as house:
        _, text = await post(house, "/twilio/voice?turn=3", {**FORM, "SpeechResult": "hello"})
        assert "<Hangup />" in text
        assert stored(valkey) == []
        await post(house)
        await post(house, "/twilio/voice?turn=0", {**FORM, "SpeechResult": "goodbye"})
        _, text = await post(house, "/twilio/voice?turn=1", {**FORM, "SpeechResult": "hello"})
        assert text.endswith("<Response><Hangup /></Response>")
        (key,) = stored(valkey)
        assert valkey.llen(key) == 2


@pytest.mark.parametrize("caller", ["anonymous", "client:ada", ""])
async def test_callers_without_a_number_are_callers_too(valkey_url, valkey, caller):
    async with phone_house(valkey_url, "support.conversations:echo") as house, calling(house, from_=caller) as phone:
        assert said(await phone.call().start()) == ["Say something."]


async def test_what_is_said_cannot_break_the_answer(valkey_url, valkey):
    async with phone_house(valkey_url, "support.conversations:hostile") as house, calling(house) as phone:
        (first, second) = said(await phone.call().start())
        assert first.startswith("</Say><Dial>+1900</Dial>")
        assert second == "<Hangup/>"


@pytest.mark.parametrize("words", ["a" * 50_000, "hello there. " * 4_000, "é" * 10_000])
async def test_what_is_too_long_for_one_answer_is_said_as_far_as_it_goes(valkey_url, valkey, words):
    async with phone_house(valkey_url, "support.conversations:echo") as house:
        await post(house)
        _, text = await post(house, "/twilio/voice?turn=0", {**FORM, "SpeechResult": words})
        assert len(text.encode()) <= twiml.LIMIT
        heard = "".join(re.findall("<Say [^>]*>([^<]*)</Say>", text))
        assert heard.startswith("You said " + words[:9_000])
        assert heard.endswith("Say something.")


async def test_voice_and_language_are_the_lines_own_or_hinted_and_a_prompt_can_be_spoken_over(valkey_url, valkey):
    async with phone_house(valkey_url, "support.conversations:polyglot", line={"locale": "en-AU", "voice": "Polly.Nicole"}) as house:
        _, text = await post(house)
    assert '<Say language="en-AU" voice="Polly.Nicole">Good day.</Say>' in text
    assert '<Say language="fr-FR" voice="Polly.Lea">Bonjour.</Say>' in text
    assert 'Wait <break time="1s"></break> for it.' in text
    assert "<Play>https://example.com/bells.mp3</Play>" in text
    (gather,) = re.findall("<Gather ([^>]*)>", text)
    for attribute in (
        'input="dtmf speech"',
        'timeout="3"',
        'numDigits="1"',
        'language="en-AU"',
        'actionOnEmptyResult="true"',
        'hints="yes, no"',
    ):
        assert attribute in gather
    assert text.endswith("Yes or no?</Say></Gather></Response>")


async def test_odd_numbers_in_the_action_url_are_no_error(valkey_url, valkey):
    async with phone_house(valkey_url, "support.conversations:echo") as house:
        await post(house)
        for query in ("turn=-1", "turn=x", "turn=0&offset=x", "turn=99&offset=99", "turn=0&again=x", "turn=9&again=1", "turn=" + "9" * 40):
            assert (await post(house, f"/twilio/voice?{query}"))[0] == 200


async def test_the_public_url_is_what_was_signed(valkey_url, valkey):
    server = {"public_url": "https://phone.example.org"}
    async with phone_house(valkey_url, "support.conversations:echo", server=server) as house:
        theirs = sign(TOKEN, "https://phone.example.org/twilio/voice", FORM.items())
        assert (await post(house, signature=theirs))[0] == 200
        assert (await post(house))[0] == 403


async def test_forwarded_headers_are_believed_from_trusted_proxies_only(valkey_url, valkey):
    forwarded = {"X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "phone.example.org, inner"}
    theirs = sign(TOKEN, "https://phone.example.org/twilio/voice", FORM.items())
    async with phone_house(valkey_url, "support.conversations:echo") as house:
        assert (await post(house, signature=theirs, headers=forwarded))[0] == 403
    async with phone_house(valkey_url, "support.conversations:echo", server={"trusted_proxies": ["127.0.0.0/8"]}) as house:
        assert (await post(house, signature=theirs, headers=forwarded))[0] == 200


async def test_a_turn_without_effects_is_one_round_trip_an_opening_included(valkey_url, valkey):
    async with phone_house(valkey_url, "support.conversations:echo") as house:
        before = house.history.round_trips
        for turn in range(10):
            path = "/twilio/voice" if not turn else f"/twilio/voice?turn={turn - 1}"
            form = FORM if not turn else {**FORM, "SpeechResult": "hello"}
            assert (await post(house, path, form))[0] == 200
        assert house.history.round_trips - before == 10


async def test_a_store_that_is_down_costs_the_caller_a_moment_and_nothing_else():
    store = Valkey("--maxmemory-policy", "noeviction", persistent=True)
    try:
        store.start()
        async with phone_house(store.url, "support.conversations:echo") as house, calling(house, speed=20) as phone:
            call = phone.call()
            await call.start()
            await call.say("one")
            store.kill()
            step = asyncio.create_task(call.say("two"))
            for _ in range(200):
                await asyncio.sleep(0.02)
                if any(isinstance(event, Said) and event.text == "One moment, please." for event in call.trace):
                    break
            store.start()
            heard = said(await step)
            assert heard[0] == "One moment, please."
            # Whether the word got through or not, the caller is asked on; nothing was lost in silence.
            assert heard[-1] == "Say something."
            assert said(await call.say("three"))[0] == "You said three."
    finally:
        store.remove()


async def test_health_and_readiness_tell_a_store_that_is_down_from_one_that_is_not():
    store = Valkey("--maxmemory-policy", "noeviction")
    try:
        store.start()
        async with phone_house(store.url, "support.conversations:echo") as house, aiohttp.ClientSession() as http:
            async with http.get(f"{house.url}/readyz") as ready:
                assert ready.status == 200
            os.kill(store.pid, signal.SIGKILL)
            store.kill()
            async with http.get(f"{house.url}/readyz") as ready, http.get(f"{house.url}/healthz") as health:
                assert (ready.status, health.status) == (503, 200)
    finally:
        store.remove()
