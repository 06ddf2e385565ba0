"""Slack through a whole server: signed events in by HTTP, messages out by its Web API, a real store between."""

import asyncio
import logging
import time
from collections import deque
from unittest import mock
from urllib.parse import urlencode

import pytest
from support.chats import mouth
from support.slack_house import ADA, BOB, DIRECT, SECRET, body, buttons, contexts, slack_kit, stored, text_of, until
from support.valkey import Valkey

from handlers.right_of_way import RightOfWay
from telephony.simulators.slack_faults import Fault, script
from telephony.simulators.slack_sender import SlackSender
from telephony.simulators.slack_workspace import BOT, GENERAL
from telephony.slack_blocks import WAITING
from telephony.slack_signature import sign

DM = "slack:T0SIMULATED:D0ADA"


@pytest.fixture(autouse=True)
def silence():
    mouth.reset()


# -- conversations -------------------------------------------------------------------------------------------------------------------------


async def test_a_direct_message_is_answered(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        await kit.say("one")
        await kit.until_said("Hello!", "You said one.")
        await kit.say("two")
        await kit.until_said("Hello!", "You said one.", "You said two.")
        assert stored(valkey) == [DM.encode()]
        await kit.rest(valkey)


async def test_a_mention_begins_a_thread_that_goes_on_without_mentions(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        root = await kit.mention("one")
        await kit.until_said("Hello!", "You said one.", channel=GENERAL, thread=root["ts"])
        await kit.say("two", GENERAL, root["ts"], BOB)
        await kit.until_said("Hello!", "You said one.", "You said two.", channel=GENERAL, thread=root["ts"])
        assert kit.texts(GENERAL) == []
        assert stored(valkey) == [f"slack:T0SIMULATED:{GENERAL}:{root['ts']}".encode()]


async def test_a_mention_in_somebody_elses_thread_joins_it(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        root = await kit.say("let us have lunch", GENERAL)
        await kit.say("yes", GENERAL, root["ts"], BOB)
        assert stored(valkey) == []
        await kit.mention("where?", root["ts"])
        await kit.until_said("Hello!", "You said where?.", channel=GENERAL, thread=root["ts"])


async def test_a_bare_mention_is_a_greeting(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        root = await kit.mention("")
        await kit.until_said("Hello!", channel=GENERAL, thread=root["ts"])


async def test_twins_are_one_turn(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot", nodes=2) as kit:
        message = kit.workspace.write(GENERAL, ADA, f"<@{BOT}> one")
        twins = kit.sender.mention(message), kit.sender.message(message)
        assert twins[0]["event_id"] != twins[1]["event_id"]
        statuses = await asyncio.gather(*(sender.send(twin, retry=n) for sender in kit.senders for twin in twins for n in (0, 1)))
        assert set(statuses) == {200}
        await kit.until_said("Hello!", "You said one.", channel=GENERAL, thread=message["ts"])
        await kit.rest(valkey)
        assert kit.workspace.counts["chat.postMessage"] == 2


async def test_the_next_message_after_the_end_begins_anew(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        root = await kit.mention("bye")
        await kit.until_said("Hello!", "Bye.", channel=GENERAL, thread=root["ts"])
        await kit.say("again", GENERAL, root["ts"])
        await kit.until_said("Hello!", "Bye.", "Hello!", "You said again.", channel=GENERAL, thread=root["ts"])
        await kit.say("bye")
        await kit.until_said("Hello!", "Bye.")
        await kit.say("once more")
        await kit.until_said("Hello!", "Bye.", "Hello!", "You said once more.")


async def test_a_thread_in_a_direct_message_is_a_session_of_its_own(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        root = kit.workspace.write(DIRECT, ADA, "New chat")
        await kit.say("one", thread=root["ts"])
        await kit.until_said("Hello!", "You said one.", thread=root["ts"])
        assert stored(valkey) == [f"{DM}:{root['ts']}".encode()]


async def test_files_are_named_to_the_workflow(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        message = kit.workspace.write(DIRECT, ADA, "look")
        await kit.sender.send(
            kit.sender.message(message, subtype="file_share", files=[{"id": "F1", "name": "cat.png"}, {"id": "F2", "name": None}])
        )
        await kit.until_said("Hello!", "You said look\n[file: cat.png]\n[file: a file].")


async def test_slacks_markup_is_not_heard_and_ours_does_not_ping(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        await kit.say("a &lt;b&gt; &amp; <!channel> <@U0BOB> <https://x.y|there>")
        await kit.until_said("Hello!", "You said a &lt;b&gt; &amp; @channel @U0BOB there (https://x.y).")


async def test_sessions_leave_memory_and_come_back(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        await kit.say("one")
        await kit.until_said("Hello!", "You said one.")
        await kit.rest(valkey)
        await kit.house.reboot()
        await kit.say("two")
        await kit.until_said("Hello!", "You said one.", "You said two.")


async def test_the_line_of_a_channel_is_its_own(valkey, valkey_url):
    lines = {f"slack:{GENERAL}": "support.chats:parrot"}
    async with slack_kit(valkey_url, "", lines=lines) as kit:
        await kit.say("one")
        root = await kit.mention("two")
        await kit.until_said("Hello!", "You said two.", channel=GENERAL, thread=root["ts"])
        assert len(stored(valkey)) == 1


# -- answers that take time ----------------------------------------------------------------------------------------------------------------


async def test_a_placeholder_stands_for_the_answer_and_partial_words_for_the_whole(valkey, valkey_url, monkeypatch):
    monkeypatch.setattr("telephony.slack_messenger.SPEAK_SECONDS", 0.02)
    monkeypatch.setattr("telephony.slack_messenger.FRESH_SECONDS", 60.0)
    async with slack_kit(valkey_url, "support.chats:murmurer") as kit:
        await kit.say("go on")
        await until(lambda: [what for what, text in kit.seen if "One moment" in text] == ["posted"])
        mouth.words.put_nowait("Once **upon")
        await until(lambda: ("updated", "Once **upon …") in kit.seen)
        mouth.words.put_nowait("** a time.")
        mouth.words.put_nowait(None)
        await kit.until_said("Once *upon* a time.")
        await kit.rest(valkey)
        assert kit.workspace.counts["chat.postMessage"] == 1
        assert len(kit.workspace.said(DIRECT)) == 1


async def test_the_acknowledgement_waits_for_no_answer(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:murmurer") as kit:
        for number in range(5):
            await kit.say(f"word {number}")
        for number in range(5):
            mouth.words.put_nowait(f"Answer {number}.")
            mouth.words.put_nowait(None)
        await kit.until_said(*(f"Answer {number}." for number in range(5)))


async def test_a_reminder_is_posted_later_and_set_apart(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:runner") as kit:
        root = await kit.mention("0.3")
        where = {"channel": GENERAL, "thread": root["ts"]}
        await kit.until_said("Seconds?", "Started.", "0.3: 0.3 s are over", **where)
        assert [contexts(each) for each in kit.workspace.said(GENERAL, root["ts"])] == [[], [], [":bell: *Notice*"]]
        await kit.rest(valkey)


async def test_a_bug_is_told_in_a_plain_sentence(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:broken") as kit:
        await kit.say("0")
        await until(lambda: any("orry" in text for text in kit.texts()), kit.texts)
        assert not any("One moment" in text_of(each) for each in kit.workspace.said(DIRECT))


async def test_a_bug_after_some_thought_leaves_a_plain_sentence_in_the_placeholders_place(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.slack_copies:fumbler") as kit:
        await kit.say("0")
        await until(lambda: len(kit.texts()) == 1 and "orry" in kit.texts()[0], kit.texts)
        await kit.rest(valkey)
        assert ("posted", text_of(kit.workspace.said(DIRECT)[0])) not in kit.seen  # it was a placeholder first
        await kit.say("1")
        await until(lambda: kit.texts()[1:] == ["1"], kit.texts)


async def test_a_turn_without_a_word_leaves_no_placeholder(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.slack_copies:fumbler") as kit:
        await kit.say("hush")
        await until(lambda: ("deleted", WAITING) in kit.seen, lambda: kit.seen)
        await kit.rest(valkey)
        assert kit.workspace.said(DIRECT) == []


async def test_a_restart_comes_after_what_was_said_before_it(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:phoenix") as kit:
        kit.workspace.faults["chat.postMessage"] = deque(script("429:1*5"))
        for word in ("one", "two", "three"):
            await kit.say(word)
        await kit.until_said("one in life 1.", "two in life 2.", "three in life 3.")
        await kit.rest(valkey)


# -- buttons -------------------------------------------------------------------------------------------------------------------------------


async def test_choices_are_buttons_that_show_what_was_chosen(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:asker") as kit:
        root = await kit.mention("")
        where = {"channel": GENERAL, "thread": root["ts"]}
        await kit.until_said("Which?", **where)
        asked = kit.workspace.said(GENERAL, root["ts"])[0]
        assert buttons(asked) == ["tea", "coffee"]
        assert await kit.sender.send_press(kit.sender.press(asked, 1, BOB)) == 200
        await kit.until_said("Which?", "Your PIN &amp; name?", **where)
        await until(lambda: not buttons(asked))
        assert contexts(asked) == [":white_check_mark: *coffee* (<@U0BOB>)"]
        await kit.say("1234", GENERAL, root["ts"])
        await until(lambda: len(kit.texts(**where)) == 4)
        sure = kit.workspace.said(GENERAL, root["ts"])[-1]
        assert buttons(sure) == ["Yes", "No"]
        await kit.sender.send_press(kit.sender.press(sure, 0, ADA))
        await until(lambda: kit.texts(**where)[-2:] == ["That was failed.", "Tell me."], lambda: kit.texts(**where))
        await kit.say("a story", GENERAL, root["ts"])
        await until(lambda: kit.texts(**where)[-1] == "I heard a story.", lambda: kit.texts(**where))
        await kit.rest(valkey)


async def test_a_button_that_is_pressed_again_counts_once_and_another_one_of_the_question_too(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:asker", nodes=2) as kit:
        await kit.say("hm")
        await until(lambda: kit.texts()[-1:] == ["Which?"] and len(kit.texts()) == 2, kit.texts)
        asked = kit.workspace.said(DIRECT)[-1]
        first = kit.sender.press(asked, 0, ADA)
        second = kit.sender.press(asked, 1, ADA)
        assert await kit.sender.send_press(first) == 200
        statuses = await asyncio.gather(*(sender.send_press(each) for sender in kit.senders for each in (first, second, first)))
        assert set(statuses) == {200}
        await until(lambda: not buttons(asked))
        await kit.rest(valkey)
        assert kit.texts()[-1] == "Your PIN &amp; name?"
        assert contexts(asked) == [":white_check_mark: *tea* (<@U0ADA>)"]


async def test_a_button_of_an_old_question_is_told_so_and_answers_nothing(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:asker") as kit:
        root = await kit.mention("")
        where = {"channel": GENERAL, "thread": root["ts"]}
        await kit.until_said("Which?", **where)
        asked = kit.workspace.said(GENERAL, root["ts"])[0]
        pressed = kit.sender.press(asked, 0, ADA)
        await kit.say("coffee", GENERAL, root["ts"])
        await kit.until_said("Which?", "Your PIN &amp; name?", **where)
        assert await kit.sender.send_press(pressed) == 200
        await until(lambda: kit.whispers and not buttons(asked))
        assert "passed" in kit.whispers[0]
        await kit.rest(valkey)
        assert kit.texts(**where) == ["Which?", "Your PIN &amp; name?"]


async def test_a_button_of_a_conversation_that_is_gone_is_told_so(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:asker") as kit:
        root = await kit.mention("")
        await kit.until_said("Which?", channel=GENERAL, thread=root["ts"])
        await kit.rest(valkey)
        valkey.flushall()
        await kit.house.reboot()
        asked = kit.workspace.said(GENERAL, root["ts"])[0]
        assert await kit.sender.send_press(kit.sender.press(asked, 0, ADA)) == 200
        await until(lambda: kit.whispers)
        assert stored(valkey) == []


# -- slash commands ------------------------------------------------------------------------------------------------------------------------


async def test_a_slash_command_speaks_in_the_direct_message(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        command = kit.sender.command("one", ADA, GENERAL)
        answers = await asyncio.gather(*(kit.sender.send_command(command) for _ in range(3)))
        assert {status for status, _ in answers} == {200}
        assert answers[0][1] == "I answer in our direct messages."
        await kit.until_said("Hello!", "You said one.")
        await kit.sender.send_command(kit.sender.command("two", ADA, GENERAL))
        await kit.until_said("Hello!", "You said one.", "You said two.")
        assert kit.workspace.counts["conversations.open"] <= 3


async def test_a_slash_command_without_a_direct_message_says_so(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        kit.workspace.faults["conversations.open"] = deque([Fault("error", error="missing_scope")])
        status, told = await kit.sender.send_command(kit.sender.command("one", ADA, GENERAL))
        assert status == 200
        assert "cannot open" in told
        assert await kit.sender.post("/slack/commands", b"ssl_check=1&token=x", "application/x-www-form-urlencoded") == (200, "")
        assert stored(valkey) == []


# -- who is believed -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["events", "interactivity", "commands"])
async def test_forged_and_old_requests_get_a_401_and_are_not_stored(valkey, valkey_url, path, caplog):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        payload = body(kit.sender.message(kit.workspace.write(DIRECT, ADA, "one")))
        now = int(time.time())
        good = sign(SECRET, str(now), payload)
        heads = [
            {},
            {"X-Slack-Signature": good},
            {"X-Slack-Request-Timestamp": str(now)},
            {"X-Slack-Request-Timestamp": str(now), "X-Slack-Signature": sign("another", str(now), payload)},
            {"X-Slack-Request-Timestamp": str(now), "X-Slack-Signature": good[:-1] + ("0" if good[-1] != "0" else "1")},
            {"X-Slack-Request-Timestamp": str(now), "X-Slack-Signature": sign(SECRET, str(now), payload + b" ")},
            {"X-Slack-Request-Timestamp": str(now - 400), "X-Slack-Signature": sign(SECRET, str(now - 400), payload)},
            {"X-Slack-Request-Timestamp": str(now + 400), "X-Slack-Signature": sign(SECRET, str(now + 400), payload)},
            {"X-Slack-Request-Timestamp": "soon", "X-Slack-Signature": sign(SECRET, "soon", payload)},
            {"X-Slack-Request-Timestamp": str(now), "X-Slack-Signature": "v0=é".encode().decode("latin-1")},
        ]
        http = kit.sender._client
        for headers in heads:
            async with http.post(f"{kit.house.url}/slack/{path}", data=payload, headers=headers) as response:
                assert response.status == 401, headers
        assert kit.house.counters["forged"] == len(heads)
        assert sum("SLACK_SIGNING_SECRET" in each.getMessage() for each in caplog.records) == 1
        assert stored(valkey) == []
        assert kit.workspace.counts == {"auth.test": 1}


async def test_the_address_is_verified_after_the_signature(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        challenge = body({"type": "url_verification", "token": "x", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"})
        assert await kit.sender.post("/slack/events", challenge, "application/json") == (
            200,
            "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",
        )
        assert await kit.sender.post("/slack/events", body({"type": "url_verification"}), "application/json") == (200, "")


async def test_another_workspace_is_refused_with_a_hint(valkey, valkey_url, caplog):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        event = kit.sender.message(kit.workspace.write(DIRECT, ADA, "one"))
        foreign = event | {"team_id": "T0OTHER", "authorizations": [{"team_id": "T0OTHER"}]}
        assert await kit.sender.send(foreign) == 403
        assert await kit.sender.send({name: value for name, value in foreign.items() if name != "authorizations"}) == 403
        press = {"type": "block_actions", "team": {"id": "T0OTHER"}, "actions": []}
        assert await kit.sender.send_press(press) == 403
        status, _ = await kit.sender.send_command(kit.sender.command("x", ADA, GENERAL) | {"team_id": "T0OTHER"})
        assert status == 403
        assert "uninstall the app in the other one" in caplog.text
        assert stored(valkey) == []


async def test_a_channel_that_workspaces_share_is_ours_too(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        message = kit.workspace.write(GENERAL, BOB, f"<@{BOT}> one")
        assert await kit.sender.send(kit.sender.mention(message) | {"team_id": "T0OTHER", "is_ext_shared_channel": True}) == 200
        await kit.until_said("Hello!", "You said one.", channel=GENERAL, thread=message["ts"])
        assert stored(valkey) == [f"slack:T0SIMULATED:{GENERAL}:{message['ts']}".encode()]


async def test_while_nobody_knows_which_workspace_is_ours_slack_is_asked_to_come_again(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        kit.workspace.faults["auth.test"] = deque(script("500,invalid_auth,reset"))
        kit.house.api._me = None
        event = kit.sender.message(kit.workspace.write(DIRECT, ADA, "one"))
        assert [await kit.sender.send(event) for _ in range(4)] == [503, 503, 503, 200]
        await kit.until_said("Hello!", "You said one.")


async def test_while_the_store_is_down_slack_is_asked_to_come_again():
    own = Valkey("--maxmemory-policy", "noeviction", persistent=True)
    own.start()
    try:
        async with slack_kit(own.url, "support.chats:parrot") as kit:
            await kit.say("one")
            await kit.until_said("Hello!", "You said one.")
            own.kill()
            event = kit.sender.message(kit.workspace.write(DIRECT, ADA, "two"))
            assert await kit.sender.send(event) == 503
            own.start()
            while await kit.sender.send(event, retry=1) != 200:  # noqa: ASYNC110 - Slack comes again, too
                await asyncio.sleep(0.1)
            assert await kit.sender.send(event, retry=2) == 200
            await kit.until_said("Hello!", "You said one.", "You said two.")
    finally:
        own.remove()


async def refused_while_the_store_takes_too_long(kit, own, monkeypatch):
    """An event that Slack has to send again."""
    event = kit.sender.message(kit.workspace.write(DIRECT, ADA, "two"))
    with monkeypatch.context() as hasty:
        hasty.setattr("telephony.slack_intake.STORE_SECONDS", 0.1)
        own.freeze()
        assert await kit.sender.send(event) == 503
        own.thaw()
    return event


async def test_when_the_store_takes_too_long_slack_is_asked_to_come_again_and_it_is_one_turn(monkeypatch):
    own = Valkey("--maxmemory-policy", "noeviction")
    own.start()
    try:
        async with slack_kit(own.url, "support.chats:parrot") as kit:
            await kit.say("one")
            await kit.until_said("Hello!", "You said one.")
            event = await refused_while_the_store_takes_too_long(kit, own, monkeypatch)
            while await kit.sender.send(event, retry=1) != 200:  # noqa: ASYNC110 - Slack comes again, too
                await asyncio.sleep(0.1)
            await kit.until_said("Hello!", "You said one.", "You said two.")
    finally:
        own.remove()


async def test_an_event_has_the_right_of_way_until_slack_is_answered_taken_or_not(monkeypatch):
    come, go = (mock.create_autospec(act, side_effect=act) for act in (RightOfWay.come, RightOfWay.go))
    monkeypatch.setattr(RightOfWay, "come", come)
    monkeypatch.setattr(RightOfWay, "go", go)
    own = Valkey("--maxmemory-policy", "noeviction")
    own.start()
    try:
        async with slack_kit(own.url, "support.chats:parrot") as kit:
            way = mock.call(kit.house.server.house.way)
            await kit.say("one")
            await kit.until_said("Hello!", "You said one.")
            assert come.mock_calls == go.mock_calls == [way]
            event = await refused_while_the_store_takes_too_long(kit, own, monkeypatch)
            assert come.mock_calls == go.mock_calls == [way] * 2
            own.kill()
            assert await kit.sender.send(event) == 503
            assert come.mock_calls == go.mock_calls == [way] * 3
    finally:
        own.remove()


# -- what is not for us, and what is no good -------------------------------------------------------------------------------------------------


async def test_what_is_not_for_us_gets_the_empty_200_and_is_not_stored(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        direct, general = kit.workspace.write(DIRECT, ADA, "one"), kit.workspace.write(GENERAL, ADA, "two")
        message = kit.sender.message
        events = [
            message(general),
            message(general, thread_ts="16.000001"),
            message(direct, bot_id="B1"),
            message(direct, user=BOT),
            message(direct, subtype="bot_message"),
            message(direct, subtype="message_deleted", hidden=True),
            message(direct, subtype="channel_join"),
            message(direct, text="", subtype="message_replied"),
            kit.sender.edit(direct, "three"),
            message(direct, type="reaction_added"),
            message(direct, type="app_home_opened"),
            {"type": "app_rate_limited", "team_id": "T0SIMULATED"},
            {"type": "something_new"},
        ]
        assert {await kit.sender.send(event) for event in events} == {200}
        for payload in ({"type": "view_submission"}, {"type": "block_actions"}, {"type": "block_actions", "actions": [{"type": "button"}]}):
            assert await kit.sender.send_press(payload | {"team": {"id": "T0SIMULATED"}}) == 200
        assert stored(valkey) == []
        assert kit.workspace.counts["chat.postMessage"] == 0


HOSTILE = [
    b"", b"{", b"[]", b"null", b"3", b'"x"', b"\xff\xfe\x00", b"[" * 50_000, b"{}", b'{"type": 3}', b'{"type": null}', b'{"type": ["event_callback"]}',
    b'{"type": "event_callback"}', b'{"type": "url_verification", "challenge": {"a": 1}}', b'{"type": "event_callback", "event": []}',
    b'{"type": "event_callback", "event": "message", "team_id": "T0SIMULATED"}', b'{"type": "event_callback", "event": {}, "team_id": "T0SIMULATED"}',
    b'{"type": "event_callback", "team_id": "T0SIMULATED", "event": {"type": "message"}}',
    b'{"type": "event_callback", "team_id": "T0SIMULATED", "event": {"type": "message", "channel": "D1", "user": "U1", "ts": "' + b"9" * 4000 + b'"}}',
    b'{"type": "event_callback", "team_id": "T0SIMULATED", "event": {"type": "message", "channel": "D1:x/y", "user": "U1", "ts": "1.1", "channel_type": "im"}}',
    b'{"type": "event_callback", "team_id": "T0SIMULATED", "event": {"type": "message", "channel": "D1", "user": "U1", "ts": "1.1", "text": "\\ud800"}}',
    b'{"type": "event_callback", "team_id": "T0SIMULATED", "event": {"type": "message", "channel": "D1", "user": "U1", "ts": 1.1, "text": 1}}',
    b"payload=%7B", b"payload=3", b"payload=", b"payload=%7B%22type%22%3A%22block_actions%22%2C%22actions%22%3A3%7D", b"&" * 1000, b"a=1&" * 300,
    b"team_id=T0SIMULATED", b"team_id=T0SIMULATED&user_id=..%2F&trigger_id=1", b"team_id=T0SIMULATED&user_id=U0ADA&trigger_id=a%20b",
    "team_id=T0SIMULATED&user_id=U0ADA&trigger_id=é".encode(), b"x" * 600_000,
]  # fmt: skip


@pytest.mark.parametrize("path", ["events", "interactivity", "commands"])
async def test_hostile_bodies_get_a_4xx_or_the_empty_200_and_are_not_stored(valkey, valkey_url, path):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        for each in HOSTILE:
            for kind in ("application/json", "application/x-www-form-urlencoded", "multipart/form-data"):
                async with SlackSender(kit.house.url, SECRET, kit.workspace) as sender:
                    status, text = await sender.post(f"/slack/{path}", each, kind)
                assert 400 <= status < 500 or (status, text) == (200, ""), (path, each[:100], status, text)
        assert stored(valkey) == []
        await kit.say("still there?")
        await kit.until_said("Hello!", "You said still there?.")


async def test_hostile_buttons_press_nothing(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:asker") as kit:
        await kit.say("hm")
        await until(lambda: kit.texts()[-1:] == ["Which?"] and len(kit.texts()) == 2)
        await kit.rest(valkey)
        asked = kit.workspace.said(DIRECT)[-1]
        genuine = kit.sender.press(asked, 0, ADA)
        before = valkey.llen(valkey.keys("sb:*:h:*")[0])

        def changed(container=None, **action):
            return {**genuine, "container": {**genuine["container"], **(container or {})}, "actions": [{**genuine["actions"][0], **action}]}

        block = genuine["actions"][0]["block_id"]
        for press in (
            changed({"channel_id": "C0OTHER"}),
            changed(block_id=block.replace("T0SIMULATED", "T0OTHER")),
            changed(block_id="phone:CA1/" + block.partition("/")[2]),
            changed(block_id=block.replace(".", "x")),
            changed(block_id="x" * 100_000),
            changed(action_id="-1"),
            changed(action_id="9" * 50),
            changed(value=3),
            changed(text="tea"),
            {**genuine, "actions": {}},
            {**genuine, "message": []},
            {**genuine, "user": None},
            {**genuine, "user": {"id": "<!channel>"}},
            {**genuine, "container": {"channel_id": DIRECT, "message_ts": "../x"}},
        ):
            status = await kit.sender.send_press(press)
            assert status == 200 or 400 <= status < 500, press
        assert valkey.llen(valkey.keys("sb:*:h:*")[0]) == before


async def test_a_message_as_long_as_slack_allows_is_taken(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        text = "wörd " * 8_000
        await kit.say(text)
        await until(lambda: "".join(kit.texts()).count("wörd") == 8_000)
        await kit.rest(valkey)


async def test_what_cannot_be_posted_stops_nothing(valkey, valkey_url, caplog):
    async with slack_kit(valkey_url, "support.chats:parrot") as kit:
        kit.workspace.faults["chat.postMessage"] = deque(script("token_revoked,channel_not_found"))
        await kit.say("one")
        await until(lambda: caplog.text.count("Slack does not take") == 2)
        await kit.say("two")
        await kit.until_said("You said two.")
        await kit.rest(valkey)
        assert "install the app again" in caplog.text


# -- by socket -----------------------------------------------------------------------------------------------------------------------------


async def test_the_same_comes_by_socket(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:asker", app_token="xapp-1", slack_app_token="xapp-1") as kit:
        workspace, sender = kit.workspace, kit.sender
        await until(lambda: workspace.sockets)
        event = sender.message(workspace.write(DIRECT, ADA, "hm"))
        assert await workspace.push("events_api", event, "e1", seconds=60)
        assert await workspace.push("events_api", event, "e2", seconds=60)
        await until(lambda: kit.texts()[-1:] == ["Which?"] and len(kit.texts()) == 2)
        press = sender.press(workspace.said(DIRECT)[-1], 0, ADA)
        assert await workspace.push("interactive", press, "e3", seconds=60)
        await until(lambda: kit.texts()[-1:] == ["Your PIN &amp; name?"])
        assert await workspace.push("slash_commands", sender.command("1234", ADA, GENERAL), "e4", seconds=60)
        assert workspace.acks["e4"]["response_type"] == "ephemeral"
        await until(lambda: kit.texts()[-1:] == ["Sure?"], kit.texts)
        await kit.rest(valkey)


async def test_what_is_no_good_by_socket_is_acknowledged_and_what_is_not_stored_is_not(valkey, valkey_url, caplog):
    async with slack_kit(valkey_url, "support.chats:parrot", app_token="xapp-1", slack_app_token="xapp-1") as kit:
        workspace, sender = kit.workspace, kit.sender
        await until(lambda: workspace.sockets)
        good = sender.message(workspace.write(DIRECT, ADA, "one"))
        assert await workspace.push("events_api", good | {"event": {"type": "message"}}, "bad", seconds=60)
        assert await workspace.push("events_api", good | {"authorizations": [{"team_id": "T0OTHER"}]}, "foreign", seconds=60)
        assert await workspace.push("something_new", {}, "new", seconds=60)
        workspace.faults["auth.test"] = deque(script("500"))
        kit.house.api._me = None
        assert not await workspace.push("events_api", good, "later", seconds=0.5)
        assert await workspace.push("events_api", good, "later", seconds=60)
        await kit.until_said("Hello!", "You said one.")


async def test_a_token_that_opens_no_socket_is_told_with_the_remedy(valkey, valkey_url, caplog):
    async with slack_kit(valkey_url, "support.chats:parrot", app_token="xapp-1", slack_app_token="xapp-2"):
        await until(lambda: "connections:write" in caplog.text)
        assert "xapp-2" not in caplog.text


async def test_a_socket_that_slack_refreshes_is_replaced(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot", app_token="xapp-1", slack_app_token="xapp-1") as kit:
        await until(lambda: kit.workspace.sockets)
        [first] = kit.workspace.sockets
        await first.send_json({"type": "disconnect", "reason": "refresh_requested"})
        await until(lambda: kit.workspace.sockets and first not in kit.workspace.sockets)
        assert kit.workspace.counts["apps.connections.open"] == 2
        assert await kit.workspace.push("events_api", kit.sender.message(kit.workspace.write(DIRECT, ADA, "one")), "e1", seconds=60)
        await kit.until_said("Hello!", "You said one.")


async def test_a_server_that_stops_acknowledges_what_it_has_begun_with_takes_nothing_more_by_the_socket_and_hangs_up(valkey, valkey_url):
    async with slack_kit(valkey_url, "support.chats:parrot", app_token="xapp-1", slack_app_token="xapp-1") as kit:
        await until(lambda: kit.workspace.sockets)
        exchange, begun, go_on = kit.house.server.exchange, asyncio.Event(), asyncio.Event()
        send = exchange.send

        async def held_up(*inbound):
            begun.set()
            await go_on.wait()
            return await send(*inbound)

        exchange.send = held_up
        one, two = (kit.sender.message(kit.workspace.write(DIRECT, ADA, text)) for text in ("one", "two"))
        pushed = asyncio.create_task(kit.workspace.push("events_api", one, "e1", seconds=60))
        await begun.wait()
        exchange.leaving.set()
        assert not await kit.workspace.push("events_api", two, "e2", seconds=0.5)
        assert kit.workspace.sockets
        go_on.set()
        assert await pushed
        await until(lambda: not kit.workspace.sockets)
        await kit.until_said("Hello!", "You said one.")
        assert kit.workspace.counts["apps.connections.open"] == 1


async def test_secrets_are_in_no_log(valkey, valkey_url, caplog):
    with caplog.at_level(logging.DEBUG):
        async with slack_kit(valkey_url, "support.chats:parrot") as kit:
            kit.workspace.faults["*"] = deque(script("500,invalid_auth,reset"))
            kit.house.api._me = None
            for _ in range(4):
                await kit.sender.send(kit.sender.message(kit.workspace.write(DIRECT, ADA, "one")))
            await kit.sender.post("/slack/commands", urlencode({"token": "x"}).encode(), "application/x-www-form-urlencoded")
            await until(kit.texts)
    assert SECRET not in caplog.text
    assert "xoxb-" not in caplog.text
