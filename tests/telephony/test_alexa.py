"""The Alexa channel: real signed HTTP into a whole server on a real Valkey."""

import asyncio
import json
import logging
import re
import uuid
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from support.alexa_authority import chain
from support.alexa_house import alexa_house, certificates
from support.conversations import slow
from support.valkey import Valkey

from telephony.alexa_development import SKILL
from telephony.alexa_turns import AGAIN, LATER, LOST, ONE_MOMENT, STILL_THERE, STILL_WORKING
from telephony.errors import RefusedError

ECHO = "support.conversations:echo"
THINKER = "support.conversations:thinker"
HOST = "support.alexa_skills:host"


def stored(valkey):
    return list(valkey.scan_iter("sb:*:h:*"))


def length(valkey):
    (key,) = stored(valkey)
    return valkey.llen(key)


def now(seconds=0.0):
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def send(house, body, *, headers=None, sign=True):
    """Post a body as Alexa would; gives status and text."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    heads = {"Content-Type": "application/json", **(certificates().sign(body) if sign else {}), **(headers or {})}
    async with aiohttp.ClientSession() as http, http.post(f"{house.url}/alexa", data=body, headers=heads) as response:
        return response.status, await response.text()


def launch(echo):
    return echo.request({"type": "LaunchRequest"}, new=True)


def words(text):
    slots = {"words": {"name": "words", "value": text}}
    return {"type": "IntentRequest", "intent": {"name": "WordsIntent", "slots": slots}}


async def until(is_so):
    """Look again and again: nobody tells."""
    while not is_so():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


class Hurry:
    """Has Alexa be as impatient as a test from `begin` on; `set` lets the slow effect go."""

    def __init__(self, monkeypatch):
        self._monkeypatch = monkeypatch
        slow.calls, slow.gate = 0, asyncio.Event()
        self.set = slow.gate.set

    def begin(self):
        self._monkeypatch.setattr("telephony.alexa_turns.PATIENCE", 1.0)
        self._monkeypatch.setattr("telephony.alexa_turns.REASSURE", 0.2)


@pytest.fixture
def hasty(monkeypatch):
    return Hurry(monkeypatch)


# -- conversations -------------------------------------------------------------------------------------------------------------------------


async def test_a_skill_is_a_conversation_until_it_ends(valkey_url, valkey):
    async with alexa_house(valkey_url, ECHO) as (_, echo):
        opened = await echo.launch()
        assert (opened.text, opened.ends) == ("Say something.", False)
        assert opened.ssml == opened.reprompt == "<speak><p>Say something.</p></speak>"
        heard = await echo.say("hello")
        assert heard.text == "You said hello. Say something."
        assert heard.reprompt == "<speak><p>Say something.</p></speak>"
        assert heard.card == {"type": "Simple", "title": "Echo", "content": "You said hello.\nSay something."}
        assert (await echo.say("goodbye")).ends
    (key,) = stored(valkey)
    assert re.fullmatch(rf"sb:\{{\d+\}}:h:alexa:{re.escape(SKILL)}:amzn1\.ask\.account\.simulated", key.decode())
    assert valkey.llen(key) == 3


async def test_everything_that_can_be_asked_can_be_answered(valkey_url, valkey):
    async with alexa_house(valkey_url, "support.alexa_skills:clerk") as (_, echo):
        assert (await echo.launch()).text == "Tea or coffee?"
        assert (await echo.say("milk")).text == "Tea or coffee?"
        assert (await echo.intent("ChoiceIntent", {"choice": "java"})).text == "Your PIN?"
        assert (await echo.intent("DigitsIntent", {"digits": "12"})).text == "Your PIN?"
        assert (await echo.intent("DigitsIntent", {"digits": "1234"})).text == "Sure?"
        assert (await echo.say("yes")).text == "What next?"
        assert (await echo.intent("UnknownIntent")).text == "What next?"
        assert (await echo.intent("SnoozeIntent", {"minutes": "20"})).text == "Your name?"
        done = await echo.say("Ada")
        assert done.text == "c 1234 True SnoozeIntent {'minutes': '20'} Ada."
        assert done.ends


async def test_a_synonym_is_taken_for_what_it_means(valkey_url, valkey):
    async with alexa_house(valkey_url, "support.alexa_skills:clerk") as (_, echo):
        await echo.launch()
        match = {"status": {"code": "ER_SUCCESS_MATCH"}, "values": [{"value": {"name": "tea", "id": "t"}}]}
        slot = {"name": "choice", "value": "a cuppa", "resolutions": {"resolutionsPerAuthority": [match]}}
        heard = await echo._ask({"type": "IntentRequest", "intent": {"name": "ChoiceIntent", "slots": {"choice": slot}}}, new=False)
        assert heard.text == "Your PIN?"


async def test_locale_and_time_zone_are_those_of_the_device_and_are_recorded(valkey_url, valkey):
    options = {"locale": "fi-FI", "time_zone": "Europe/Helsinki"}
    async with alexa_house(valkey_url, "support.alexa_skills:facts", echo=options, line={"timezone": "UTC", "locale": "en-GB"}) as (
        _,
        echo,
    ):
        told = await echo.launch()
        assert told.text.startswith(f"alexa {SKILL} fi-FI Europe/Helsinki False amzn1.ask.account.simulated at +0")
        await echo.end()
        await echo.launch()
        assert echo.cloud.asked_for_zone == 1, "a device does not move from one launch to the next"


async def test_where_alexa_does_not_tell_the_lines_time_zone_holds(valkey_url, valkey):
    async with alexa_house(valkey_url, "support.alexa_skills:facts", line={"timezone": "Asia/Tokyo"}) as (house, echo):
        for endpoint in (
            "",
            "http://127.0.0.1:1",
            "https://evil.example",
            "http://169.254.169.254",
            "https://api.amazonalexa.com@127.0.0.1",
            7,
        ):
            request = launch(echo)
            request["context"]["System"]["apiEndpoint"] = endpoint
            request["session"]["user"]["userId"] = request["context"]["System"]["user"]["userId"] = f"amzn1.ask.account.{uuid.uuid4().hex}"
            status, text = await send(house, request)
            if endpoint == 7:
                assert status == 400
            else:
                assert (status, "Asia/Tokyo" in text) == (200, True)


async def test_users_have_sessions_of_their_own(valkey_url, valkey):
    async with alexa_house(valkey_url, ECHO) as (house, ada), house.echo(user="ben") as ben:
        await ada.launch()
        await ben.launch()
        assert (await ada.say("one")).text == "You said one. Say something."
        assert (await ben.say("two")).text == "You said two. Say something."
    assert len(stored(valkey)) == 2


async def test_a_first_word_opens_the_session_and_is_answered(valkey_url, valkey):
    async with alexa_house(valkey_url, ECHO) as (_, echo):
        assert (await echo.say("hello")).text == "Say something. You said hello. Say something."
    assert length(valkey) == 2


async def test_there_is_nobody_to_hand_over_to(valkey_url, valkey):
    async with alexa_house(valkey_url, "support.conversations:exchange") as (_, echo):
        await echo.launch()
        heard = await echo.say("Ada")
        assert heard.text == "That was failed, 0 seconds."
        assert (await echo.repeat()).whole == heard.whole
        await echo.launch()
        await echo.say("a message")
        assert (await echo.say("a train set")).text == "0 seconds at ."


async def test_a_workflow_with_a_bug_apologises_and_begins_anew(valkey_url, valkey):
    async with alexa_house(valkey_url, "support.conversations:buggy") as (_, echo):
        await echo.launch()
        told = await echo.say("1234")
        assert "went wrong" in told.text
        assert told.ends
        assert (await echo.launch()).text == "Your PIN?"


async def test_a_skill_without_a_line_is_not_in_service(valkey_url, valkey):
    async with alexa_house(valkey_url, "", lines={"web:*": ECHO}) as (_, echo):
        told = await echo.launch()
        assert (told.text, told.ends) == ("This skill is not in service.", True)
    assert stored(valkey) == []


# -- lives and connections -----------------------------------------------------------------------------------------------------------------


async def test_after_the_end_a_launch_and_an_intent_begin_a_new_life(valkey_url, valkey):
    async with alexa_house(valkey_url, ECHO) as (_, echo):
        await echo.launch()
        assert (await echo.say("goodbye")).ends
        assert (await echo.launch()).text == "Say something."
        assert (await echo.say("goodbye")).ends
        assert (await echo.say("hi")).text == "Say something. You said hi. Say something."


async def test_a_closed_session_is_a_caller_who_left(valkey_url, valkey):
    async with alexa_house(valkey_url, ECHO) as (_, echo):
        await echo.launch()
        await echo.end()
        assert length(valkey) == 2
        assert (await echo.launch()).text == "Say something."
        assert length(valkey) == 1, "the workflow has ended with it, and begun anew"


async def test_a_long_lived_conversation_hears_that_its_caller_left_and_returned(valkey_url, valkey):
    async with alexa_house(valkey_url, HOST) as (house, echo):
        assert (await echo.launch()).text == "Welcome."
        await echo.say("one")
        await echo.end("EXCEEDED_MAX_REPROMPTS")
        house.evict()
        assert (await echo.launch()).text == "Back after EXCEEDED_MAX_REPROMPTS."
        assert (await echo.say("two")).text == "You said two."
        assert (await echo.launch()).text == "There you are again."


async def test_a_question_in_one_breath_to_a_conversation_that_lives_is_a_return_and_a_word(valkey_url, valkey):
    async with alexa_house(valkey_url, HOST) as (_, echo):
        await echo.launch()
        await echo.end()
        assert (await echo.say("hello")).text == "You said hello."
        assert (await echo.repeat()).text == "You said hello."


async def test_a_launch_where_nobody_listens_for_it_repeats_the_last_words(valkey_url, valkey):
    async with alexa_house(valkey_url, ECHO) as (_, echo):
        await echo.launch()
        await echo.say("hello")
        again = await echo.launch()
        assert (again.text, again.ends) == ("You said hello. Say something.", False)
        assert (await echo.repeat()).text == again.text
        assert (await echo.say("goodbye")).ends


async def test_the_end_of_an_old_connection_hangs_nobody_up(valkey_url, valkey):
    async with alexa_house(valkey_url, HOST) as (house, echo):
        await echo.launch()
        late = echo.request({"type": "SessionEndedRequest", "reason": "ERROR", "error": {"type": "X", "message": "y"}}, new=False)
        await echo.launch()
        before = length(valkey)
        assert (await send(house, late))[0] == 200
        assert length(valkey) == before
        assert (await echo.say("hi")).text == "You said hi."


# -- built-in intents ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["AMAZON.StopIntent", "AMAZON.CancelIntent", "AMAZON.NavigateHomeIntent"])
async def test_stop_cancel_and_home_end_it(valkey_url, valkey, name):
    async with alexa_house(valkey_url, HOST) as (_, echo):
        await echo.launch()
        done = await echo.intent(name)
        assert (done.ssml, done.ends) == (None, True)
        assert (await echo.launch()).text == f"Back after {name}."


async def test_repeat_does_not_advance_and_fallback_asks_again(valkey_url, valkey):
    async with alexa_house(valkey_url, ECHO) as (_, echo):
        await echo.launch()
        heard = await echo.say("hello")
        before = length(valkey)
        assert (await echo.intent("AMAZON.RepeatIntent")).text == heard.text
        assert (await echo.intent("AMAZON.FallbackIntent")).text == f"{AGAIN} {heard.text}"
        assert length(valkey) == before
        assert (await echo.say("goodbye")).ends


async def test_repeat_before_anything_was_said_begins(valkey_url, valkey):
    async with alexa_house(valkey_url, ECHO) as (_, echo):
        assert (await echo.intent("AMAZON.RepeatIntent")).text == "Say something."
        assert (await echo.say("goodbye")).ends
        assert (await echo.intent("AMAZON.FallbackIntent")).text == "Say something."


@pytest.mark.parametrize(
    ("name", "text"), [("AMAZON.HelpIntent", "help"), ("AMAZON.YesIntent", "yes"), ("AMAZON.StartOverIntent", "start over")]
)
async def test_other_built_in_intents_are_words_where_nobody_knows_them(valkey_url, valkey, name, text):
    async with alexa_house(valkey_url, ECHO) as (_, echo):
        await echo.launch()
        assert (await echo.intent(name)).text == f"You said {text}. Say something."


# -- copies --------------------------------------------------------------------------------------------------------------------------------


async def test_a_copy_gets_the_same_answer_at_once_later_and_after_eviction_and_a_new_boot(valkey_url, valkey):
    async with alexa_house(valkey_url, ECHO) as (house, echo):
        opened, opening = await echo.launch(), echo.last
        heard, first = await echo.say("hello"), echo.last
        await echo.say("again")
        for evicted in (house.evict, house.reboot, lambda: None):
            gone = evicted()
            if gone is not None:
                await gone
            for request, answer in ((opening, opened), (first, heard)):
                echo.last = request
                assert (await echo.repeat()).whole == answer.whole
        assert length(valkey) == 3
        assert (await echo.say("once more")).text == "You said once more. Say something."


async def test_twenty_copies_at_once_are_one_turn(valkey_url, valkey):
    async with alexa_house(valkey_url, ECHO) as (house, echo):
        await echo.launch()
        await echo.say("hello")
        house.evict()
        answers = await asyncio.gather(*(echo.repeat() for _ in range(20)))
        assert len({json.dumps(answer.whole) for answer in answers}) == 1
        assert length(valkey) == 2


async def test_a_copy_of_the_last_goodbye_opens_nothing(valkey_url, valkey):
    async with alexa_house(valkey_url, ECHO) as (_, echo):
        await echo.launch()
        done = await echo.say("goodbye")
        assert (await echo.repeat()).whole == done.whole
        assert length(valkey) == 2


# -- what takes long (AX6, AX7) ------------------------------------------------------------------------------------------------------------


async def test_what_takes_long_is_told_at_yes_and_asked_once(valkey_url, valkey, hasty):
    async with alexa_house(valkey_url, THINKER) as (_, echo):
        await echo.launch()
        hasty.begin()
        echo.cloud.spoken.clear()
        interim = await echo.say("why")
        assert (interim.text, interim.ends) == (f"Let me think. {STILL_WORKING}", False)
        assert echo.cloud.spoken == [ONE_MOMENT]
        assert (await echo.say("yes")).text == STILL_WORKING
        hasty.set()
        told = await echo.say("yes")
        assert (told.text, told.ends) == ("WHY What now?", False)
        assert echo.attributes == {}
        assert slow.calls == 1
    assert length(valkey) == 3, "the channel's own talk is on no record"


async def test_a_copy_of_what_took_long_gets_the_whole_answer_later(valkey_url, valkey, hasty):
    async with alexa_house(valkey_url, THINKER) as (_, echo):
        await echo.launch()
        hasty.begin()
        await echo.say("why")
        request = echo.last
        hasty.set()
        await echo.say("yes")
        echo.last = request
        assert (await echo.repeat()).text == "Let me think. WHY What now?"
        assert slow.calls == 1


@pytest.mark.parametrize("leaves", ["no", "silence", "nothing is told"])
@pytest.mark.parametrize("replaced", [False, True], ids=["same server", "another server"])
async def test_what_took_long_is_told_at_the_next_launch(valkey_url, valkey, hasty, leaves, replaced):
    async with alexa_house(valkey_url, THINKER) as (house, echo):
        await echo.launch()
        hasty.begin()
        await echo.say("why")
        match leaves:
            case "no":
                assert (await echo.say("no")).text == LATER
            case "silence":
                await echo.end("EXCEEDED_MAX_REPROMPTS")
        hasty.set()
        if replaced:
            await until(lambda: length(valkey) == 3)
            await house.reboot()
        told = await echo.launch()
        assert told.text in ("WHY What now?", "Let me think. WHY What now?")
        assert (await echo.say("how")).text == "Let me think. HOW What now?"


async def test_the_late_answer_of_a_conversation_that_is_over_is_told_before_the_next(valkey_url, valkey, hasty):
    async with alexa_house(valkey_url, "support.alexa_skills:oneshot") as (_, echo):
        await echo.launch()
        hasty.begin()
        await echo.say("why")
        await echo.end("EXCEEDED_MAX_REPROMPTS")
        hasty.set()
        await until(lambda: length(valkey) == 3)
        assert (await echo.launch()).text == "WHY it is. Goodbye. What now?"
        await echo.end()
        assert (await echo.launch()).text == "What now?"


async def test_the_end_of_a_slow_conversation_is_told_at_yes(valkey_url, valkey, hasty):
    async with alexa_house(valkey_url, "support.alexa_skills:oneshot") as (_, echo):
        await echo.launch()
        hasty.begin()
        await echo.say("why")
        hasty.set()
        told = await echo.say("yes")
        assert (told.text, told.ends) == ("WHY it is. Goodbye.", True)


async def test_a_launch_while_it_works_waits_for_what_it_works_on(valkey_url, valkey, hasty):
    async with alexa_house(valkey_url, THINKER) as (house, echo):
        await echo.launch()
        hasty.begin()
        await echo.say("why")
        await house.reboot()  # nothing is remembered, and Alexa's new session has no attributes
        assert (await echo.launch()).text == f"Let me think. {STILL_WORKING}"
        hasty.set()
        while (told := await echo.say("yes")).text == STILL_WORKING:  # noqa: ASYNC110 - until the dead server's lease has run out
            await asyncio.sleep(0.1)
        assert told.text == "WHY What now?"


async def test_other_words_while_it_works_wait_their_turn_and_nothing_is_lost(valkey_url, valkey, hasty):
    async with alexa_house(valkey_url, THINKER) as (_, echo):
        await echo.launch()
        hasty.begin()
        await echo.say("why")
        assert (await echo.say("how")).text == STILL_WORKING
        hasty.set()
        assert (await echo.say("yes")).text == "WHY What now? Let me think. HOW What now?"


async def test_repeat_while_it_works_says_all_of_it(valkey_url, valkey, hasty):
    async with alexa_house(valkey_url, THINKER) as (_, echo):
        await echo.launch()
        hasty.begin()
        await echo.say("why")
        assert (await echo.intent("AMAZON.RepeatIntent")).text == f"Let me think. {STILL_WORKING}"
        hasty.set()
        assert (await echo.say("yes")).text == "WHY What now?"


async def test_stop_while_it_works_is_heard_and_answered_at_once(valkey_url, valkey, hasty):
    async with alexa_house(valkey_url, THINKER) as (_, echo):
        await echo.launch()
        hasty.begin()
        await echo.say("why")
        assert (await echo.say("stop")).ends
        assert length(valkey) == 3
        hasty.set()


async def test_going_on_with_what_is_lost_asks_to_say_it_again(valkey_url, valkey, hasty):
    async with alexa_house(valkey_url, ECHO) as (_, echo):
        await echo.launch()
        hasty.begin()
        echo.attributes = {"rest": ["never-heard-of", 0]}
        told = await echo.say("yes")
        assert (told.text, told.ends) == (LOST, False)


@pytest.mark.parametrize("kept", [{"rest": 7}, {"rest": ["a"]}, {"rest": [{}, []]}, {"rest": None}, {"other": 1}, {"rest": [-5, -5]}])
async def test_attributes_that_are_not_ours_do_no_harm(valkey_url, valkey, kept):
    async with alexa_house(valkey_url, ECHO) as (_, echo):
        await echo.launch()
        echo.attributes = kept
        assert (await echo.say("hello")).text.endswith("You said hello. Say something.")


async def test_a_nap_is_waited_for(valkey_url, valkey):
    async with alexa_house(valkey_url, "support.conversations:napper") as (_, echo):
        await echo.launch()
        assert (await echo.say("1")).text == "I will be right back. Here I am. Press 2."


async def test_a_conversation_that_sleeps_closes_the_session_and_goes_on_at_the_next_launch(valkey_url, valkey, monkeypatch):
    monkeypatch.setattr("telephony.alexa_turns.NAP", 0.1)
    async with alexa_house(valkey_url, "support.alexa_skills:dozer") as (_, echo):
        await echo.launch()
        told = await echo.say("yes please")
        assert (told.text, told.ends) == ("Good night.", True)
        again = await echo.launch()
        assert (again.text, again.ends) == ("Good night.", True)
        assert (await echo.say("wake up")).text == "Good night."


async def test_a_question_without_words_is_asked_all_the_same(valkey_url, valkey):
    async with alexa_house(valkey_url, "support.chats:silent") as (_, echo):
        opened = await echo.launch()
        assert (opened.ssml, opened.ends) == (None, False)
        assert opened.reprompt == f"<speak><p>{STILL_THERE}</p></speak>"


async def test_when_the_store_is_down_alexa_hears_503_and_nothing_is_lost(valkey_url, valkey):
    own = Valkey("--maxmemory-policy", "noeviction")
    own.start()
    try:
        async with alexa_house(own.url, ECHO, echo={"patience": 1}) as (house, echo):
            await echo.launch()
            own.kill()
            with pytest.raises(RefusedError) as caught:
                await echo.say("hello")
            assert caught.value.status == 503
            assert "Retry-After" in (await raw(house, echo.last))[1]
    finally:
        own.remove()


async def raw(house, last):
    body, headers = last
    async with aiohttp.ClientSession() as http, http.post(f"{house.url}/alexa", data=body, headers=headers) as response:
        return response.status, response.headers


# -- bad input -----------------------------------------------------------------------------------------------------------------------------


def altered(request, path, value=...):
    """The request with one thing set, or left out."""
    copy = json.loads(json.dumps(request))
    *way, last = path.split(".")
    at = copy
    for step in way:
        at = at[step]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return copy


REFUSED = [
    ("session.application.applicationId", "amzn1.ask.skill.another"),
    ("context.System.application.applicationId", "amzn1.ask.skill.another"),
    ("session.application.applicationId", ""),
    ("session.application.applicationId", 7),
    ("session", "text"),
    ("session.user.userId", ""),
    ("session.user.userId", "a b"),
    ("session.user.userId", "../../x"),
    ("session.user.userId", "x" * 1_000),
    ("session.user.userId", "user\u0000"),
    ("request.requestId", ...),
    ("request.requestId", ""),
    ("request.requestId", "a b"),
    ("request.requestId", ["x"]),
    ("request.type", ...),
    ("request.type", 7),
    ("request.timestamp", ...),
    ("request.timestamp", "2026-11-22T09:00:00"),
    ("request.timestamp", "2020-11-22T09:00:00Z"),
    ("request.timestamp", "2036-11-22T09:00:00Z"),
    ("request.intent", ...),
    ("request.intent", "WordsIntent"),
    ("request.intent", {}),
    ("request.intent.slots", "many"),
    ("request.intent.slots", {"words": "text"}),
    ("request.intent.slots", {"words": {"value": 7}}),
    ("request.intent.name", None),
    ("request", ...),
    ("request", []),
]


@pytest.mark.parametrize(("path", "value"), REFUSED)
async def test_a_signed_request_that_is_none_is_refused_and_nothing_is_stored(valkey_url, valkey, path, value):
    async with alexa_house(valkey_url, ECHO) as (house, echo):
        status, text = await send(house, altered(echo.request(words("hello"), new=True), path, value))
        assert (status, text) == (400, "Bad request.\n")
        assert house.counters["refused_alexa"] == 1
    assert stored(valkey) == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"[]", b"null", b"7", b"text", b"\xff\xfe\x00", b"{" * 40_000, b"[" * 60_000, b'{"request": ' * 5_000,
        b'{"session": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", b"\x00" * 1_000, b'{"request": {"type": "LaunchRequest"}} trailing',
    ],
)  # fmt: skip
async def test_a_signed_body_that_is_no_request_is_refused(valkey_url, valkey, body):
    async with alexa_house(valkey_url, ECHO) as (house, _):
        assert await send(house, body) == (400, "Bad request.\n")
    assert stored(valkey) == []


async def test_a_megabyte_is_refused_signed_or_not_and_so_is_half_a_surrogate_pair(valkey_url, valkey):
    async with alexa_house(valkey_url, ECHO) as (house, echo):
        large = json.dumps(echo.request(words("x" * 1_000_000), new=True)).encode()
        for sign in (True, False):
            assert await send(house, large, sign=sign) == (400, "Bad request.\n")
        half = json.dumps(echo.request(words("?"), new=True)).replace('"?"', '"\\ud800"').encode()
        assert (await send(house, half))[0] in (200, 400)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("context", ...), ("context", None), ("context", {}), ("session", ...), ("session", None), ("session.attributes", None),
        ("session.attributes", ...), ("session.sessionId", ...), ("request.locale", ...), ("request.locale", None), ("request.locale", "x" * 99),
        ("request.intent.slots.words.resolutions", None), ("request.intent.slots.words.resolutions", {"resolutionsPerAuthority": None}),
        ("request.intent.slots.words.resolutions", {"resolutionsPerAuthority": [{}]}), ("version", ...), ("session.new", ...),
        ("context.System.device", ...), ("context.System.apiAccessToken", "\u00e9\r\nX: y"), ("context.Viewport", {"shape": "ROUND"}),
    ],
)  # fmt: skip
async def test_what_is_missing_or_new_is_tolerated(valkey_url, valkey, path, value):
    async with alexa_house(valkey_url, ECHO) as (house, echo):
        status, text = await send(house, altered(echo.request(words("hello"), new=True), path, value))
        assert status == 200
        assert "You said hello." in text


@pytest.mark.parametrize("slots", [None, {}, {"words": {"name": "words"}}, {"words": {"name": "words", "value": None}}])
async def test_an_intent_without_its_slots_is_asked_again(valkey_url, valkey, slots):
    async with alexa_house(valkey_url, "support.alexa_skills:clerk") as (_, echo):
        await echo.launch()
        told = await echo._ask({"type": "IntentRequest", "intent": {"name": "WordsIntent", "slots": slots}}, new=False)
        assert (told.text, told.ends) == ("Tea or coffee?", False)


@pytest.mark.parametrize(
    "kind",
    [
        "Nonsense",
        "",
        "CanFulfillIntentRequest",
        "AudioPlayer.PlaybackStarted",
        "AlexaSkillEvent.SkillDisabled",
        "System.ExceptionEncountered",
    ],
)
async def test_other_types_of_request_get_the_empty_answer_and_nothing_is_stored(valkey_url, valkey, kind):
    async with alexa_house(valkey_url, ECHO) as (house, echo):
        request = echo.request({"type": kind, "error": {"type": "INVALID_RESPONSE"}, "cause": {"requestId": "x"}}, new=False)
        status, text = await send(house, request)
        assert (status, json.loads(text)["response"]) == (200, {})
    assert stored(valkey) == []


async def test_a_session_that_ends_gets_no_words(valkey_url, valkey):
    async with alexa_house(valkey_url, ECHO) as (house, echo):
        await echo.launch()
        status, text = await send(house, echo.request({"type": "SessionEndedRequest", "reason": "USER_INITIATED"}, new=False))
        assert (status, json.loads(text)["response"]) == (200, {})
        assert (await send(house, echo.request({"type": "SessionEndedRequest"}, new=True)))[0] == 200


# -- who is believed -----------------------------------------------------------------------------------------------------------------------


async def test_whoever_is_not_alexa_gets_a_plain_400_and_the_log_says_why(valkey_url, valkey, caplog):
    stranger = chain()
    async with alexa_house(valkey_url, ECHO) as (house, echo):
        body = json.dumps(launch(echo)).encode()
        own = certificates().sign(body)
        forged = stranger.headers(body, own["SignatureCertChainUrl"])
        for headers, content, why in (
            ({}, body, "no address of Amazon's certificates"),
            (own | {"SignatureCertChainUrl": "https://evil.example/echo.api/x.pem"}, body, "no address"),
            (own | {"Signature-256": ""}, body, "Signature-256 is missing"),
            ({"SignatureCertChainUrl": own["SignatureCertChainUrl"], "Signature": own["Signature-256"]}, body, "Signature-256 is missing"),
            (own, body + b" ", "does not fit the body"),
            (forged, body, "does not fit the body"),
        ):
            caplog.clear()
            house.server.exchange.counters.clear()
            alexa_channel(house)._quiet_until.clear()
            with caplog.at_level(logging.WARNING, logger="telephony.alexa"):
                assert await send(house, content, headers=headers, sign=False) == (400, "Bad request.\n")
            assert why in caplog.text
    assert stored(valkey) == []


def alexa_channel(house):
    (route,) = [each for each in house.server.app.router.routes() if each.resource.canonical == "/alexa"]
    return route.handler.__self__


async def test_a_stranger_does_not_write_the_log(valkey_url, valkey, caplog):
    async with alexa_house(valkey_url, ECHO) as (house, _):
        with caplog.at_level(logging.WARNING, logger="telephony.alexa"):
            for _ in range(30):
                assert (await send(house, b"{}", sign=False))[0] == 400
        assert len(caplog.records) == 1
        assert house.counters["refused_alexa"] == 30


@pytest.mark.parametrize("at", [-151, 160, -86_400])
async def test_a_replay_outside_the_window_is_refused(valkey_url, valkey, at):
    async with alexa_house(valkey_url, ECHO) as (house, echo):
        assert (await send(house, altered(launch(echo), "request.timestamp", now(at))))[0] == 400
        assert (await send(house, altered(launch(echo), "request.timestamp", now(at * 0.1 if abs(at) < 1000 else 0))))[0] == 200


async def test_a_foreign_skill_is_refused_even_where_only_one_place_names_it(valkey_url, valkey, caplog):
    async with alexa_house(valkey_url, ECHO, alexa_skill_id="amzn1.ask.skill.ours", echo={"skill": "amzn1.ask.skill.ours"}) as (
        house,
        echo,
    ):
        assert (await echo.launch()).text == "Say something."
        async with house.echo(skill="amzn1.ask.skill.theirs", user="eve") as foreign:
            with pytest.raises(RefusedError) as caught:
                await foreign.launch()
        assert caught.value.status == 400
        assert "ALEXA_SKILL_ID" in caplog.text
    assert len(stored(valkey)) == 1


@pytest.mark.parametrize(
    ("host", "status"), [("127.0.0.1", 200), ("::1", 200), ("localhost", 200), ("0.0.0.0", 400), ("::", 400), ("192.0.2.7", 400)]
)
async def test_the_development_chain_is_trusted_on_loopback_alone(valkey_url, valkey, host, status, monkeypatch):
    fetched = []

    async def nothing(url):
        fetched.append(url)
        return b""

    async with alexa_house(valkey_url, ECHO, server={"host": host}) as (house, echo):
        alexa_channel(house)._amazon._fetch = nothing
        assert (await send(house, launch(echo)))[0] == status
    assert len(fetched) == (status == 400)
    assert len(stored(valkey)) == (status == 200)


async def test_a_real_amazon_chain_is_no_key_to_a_server_without_a_skill(valkey_url, valkey):
    stranger = chain()
    async with alexa_house(valkey_url, ECHO) as (house, echo):
        body = json.dumps(altered(altered(launch(echo), "session.application.applicationId", "amzn1.ask.skill.real"),
                                  "context.System.application.applicationId", "amzn1.ask.skill.real")).encode()  # fmt: skip
        assert (await send(house, body))[0] == 400
        assert (await send(house, body, headers=stranger.headers(body), sign=False))[0] == 400
    assert stored(valkey) == []


# -- limits (AX8) --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["much", "wide", "escaped", "parts", "markup", "sounds", "hostile"])
async def test_however_much_is_said_the_answer_is_one_that_alexa_takes(valkey_url, valkey, what):
    async with alexa_house(valkey_url, "support.alexa_skills:chatterbox") as (_, echo):
        await echo.launch()
        told = await echo.say(what)  # the device looks at the limits, and whether the markup is well-formed
        assert told.ssml is not None
        assert not told.ends
        assert "evil.example" not in re.sub(r"<p>.*?</p>", "", told.ssml)
        assert told.ssml.count("<audio ") <= 5
