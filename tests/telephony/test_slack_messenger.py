"""The messenger against the simulated Slack: posted once and in order, whatever its API does."""

import asyncio
import logging
from collections import deque
from contextlib import asynccontextmanager

import pytest
from support.slack_house import ADA, DIRECT, TOKEN, buttons, contexts, key_of, text_of, until

from handlers.deliveries import Delivery, Expected, Place
from telephony.simulators.slack_faults import script
from telephony.simulators.slack_workspace import BOT, GENERAL, SlackWorkspace, serving
from telephony.slack_api import SlackApi
from telephony.slack_messenger import SlackMessenger
from workflows.events import Opened, Prompt
from workflows.listen import Choice, Transfer, Words, YesNo
from workflows.outputs import Play, Say, Ssml

GEN = 1_700_000_000_000


def place(channel=DIRECT, thread=None, session=None):
    facts = {"pushes": True, "channel": channel} | ({"thread": thread} if thread else {})
    session = session or f"slack:T0SIMULATED:{channel}" + (f":{thread}" if thread else "")
    opened = Opened(GEN, 0, 0, "1", GEN, "w", (), "slack", channel, ADA, "en", "UTC", b"", {}, facts=facts)
    return Place(session, GEN, opened)


def delivery(text, position=1, where=None, *, turn="turn", answers=True, prompt=None, output=None):
    where = where or place()
    key = f"{where.session}/{GEN}/{position}.0/{abs(hash(text)) % 2**32:08x}"
    return Delivery(where, position, 0, output or Say(text), turn, answers, prompt, key)


def expected(turn="turn", where=None):
    where = where or place()
    return Expected(where, turn, f"{where.session}/{GEN}/{turn}/expected")


class Desk:
    """A messenger, its Slack, and what became of it."""

    def __init__(self, workspace, messenger, pauses, declined):
        self.workspace = workspace
        self.messenger = messenger
        self.pauses = pauses
        self.declined = declined

    def fails(self, method, faults):
        self.workspace.faults[method] = deque(script(faults))

    def texts(self, channel=DIRECT, thread=None):
        return [text_of(each) for each in self.workspace.said(channel, thread)]


@asynccontextmanager
async def desk(workspace=None):
    workspace = workspace or SlackWorkspace(TOKEN)
    workspace.direct(ADA)
    pauses, declined = [], []

    async def nap(seconds):
        pauses.append(seconds)
        await asyncio.sleep(0)

    async with serving(workspace) as url:
        api = SlackApi(url, lambda: TOKEN)
        await api.open()
        messenger = SlackMessenger(api, lambda *turn: declined.append(turn), nap)
        try:
            yield Desk(workspace, messenger, pauses, declined)
        finally:
            await messenger.close()
            await api.close()


# -- what is shown -------------------------------------------------------------------------------------------------------------------------


async def test_an_answer_takes_the_place_of_its_placeholder():
    async with desk() as d:
        await d.messenger.expect(expected(), look=False)
        assert "One moment" in d.texts()[0]
        receipt = await d.messenger.post(delivery("Hello"), look=False)
        assert d.texts() == ["Hello"]
        assert receipt == {"ts": d.workspace.said(DIRECT)[0]["ts"]}
        await d.messenger.post(delivery("And more", 2), look=False)
        assert d.texts() == ["Hello", "And more"]
        assert d.workspace.counts["chat.update"] == 1


async def test_an_answer_is_in_its_thread():
    async with desk() as d:
        root = d.workspace.write(GENERAL, ADA, "hey")
        where = place(GENERAL, root["ts"])
        await d.messenger.expect(expected(where=where), look=False)
        await d.messenger.post(delivery("Hello", where=where), look=False)
        assert d.texts(GENERAL, root["ts"]) == ["Hello"]
        assert d.texts(GENERAL) == []


async def test_what_comes_unprompted_is_set_apart_and_replaces_nothing():
    async with desk() as d:
        await d.messenger.expect(expected(), look=False)
        await d.messenger.post(delivery("Drink!", answers=False), look=False)
        waiting, notice = d.workspace.said(DIRECT)
        assert "One moment" in text_of(waiting)
        assert contexts(notice) == [":bell: *Notice*"]
        assert text_of(notice) == "Drink!"


async def test_a_long_answer_comes_in_parts_each_with_a_key_of_its_own():
    async with desk() as d:
        await d.messenger.expect(expected(), look=False)
        long = delivery("word " * 2000, prompt=Prompt(YesNo()))
        receipt = await d.messenger.post(long, look=False)
        shown = d.workspace.said(DIRECT)
        assert receipt == {"ts": shown[0]["ts"], "parts": 4}
        assert [key_of(each) for each in shown] == [long.key, *(f"{long.key}#{n}" for n in (1, 2, 3))]
        assert [buttons(each) for each in shown] == [[], [], [], ["Yes", "No"]]


async def test_voices_markup_and_recordings_are_shown_as_text():
    async with desk() as d:
        await d.messenger.post(delivery("1", output=Ssml("Wait <break time='1s'/> &lt;!here&gt;")), look=False)
        await d.messenger.post(delivery("2", 2, output=Play("https://example.com/a.mp3?x=1&y=2")), look=False)
        assert d.texts() == ["Wait &lt;!here&gt;", "<https://example.com/a.mp3?x=1&amp;y=2>"]


async def test_a_choice_has_buttons_and_free_words_have_none():
    async with desk() as d:
        options = {str(n): f"option {n} " + "x" * 80 for n in range(60)}
        await d.messenger.post(delivery("Which?", prompt=Prompt(Choice(options))), look=False)
        await d.messenger.post(delivery("What?", 2, prompt=Prompt(Words())), look=False)
        await d.messenger.post(delivery("Any?", 3, prompt=Prompt()), look=False)
        choice, *others = d.workspace.said(DIRECT)
        assert len(buttons(choice)) == 60
        assert all(len(label) == 75 for label in buttons(choice))
        assert not any(buttons(each) for each in others)


async def test_nobody_is_handed_over_to():
    async with desk() as d:
        asked = delivery("Connecting.", prompt=Prompt(Transfer("+1")))
        await d.messenger.post(asked, look=False)
        assert d.declined == [(asked.place.session, "turn")]


async def test_partial_words_replace_the_placeholder_and_never_the_answer(monkeypatch):
    monkeypatch.setattr("telephony.slack_messenger.SPEAK_SECONDS", 0.02)
    monkeypatch.setattr("telephony.slack_messenger.FRESH_SECONDS", 60.0)
    async with desk() as d:
        d.messenger.speak(expected(), "nobody has been told to wait")
        await d.messenger.expect(expected(), look=False)
        for text in ("Once", "Once upon", "Once upon a **time**"):
            d.messenger.speak(expected(), text)
            await asyncio.sleep(0.05)
        await until(lambda: d.texts() == ["Once upon a *time* …"], d.texts)
        d.messenger.speak(expected(), "Once upon a time there was")
        await d.messenger.post(delivery("The end."), look=False)
        d.messenger.speak(expected(), "late words")
        await asyncio.sleep(0.1)
        assert d.texts() == ["The end."]
        assert d.workspace.counts["chat.postMessage"] == 1


async def test_words_that_come_before_the_placeholder_is_there_are_shown_in_it(monkeypatch):
    monkeypatch.setattr("telephony.slack_messenger.FRESH_SECONDS", 60.0)
    async with desk() as d:
        d.fails("chat.postMessage", "slow:0.2")
        expecting = asyncio.create_task(d.messenger.expect(expected(), look=False))
        await until(lambda: d.workspace.calls)
        d.messenger.speak(expected(), "Once upon")
        await expecting
        await until(lambda: d.texts() == ["Once upon …"], d.texts)


async def test_words_for_which_there_is_no_placeholder_are_not_kept():
    async with desk() as d:
        d.fails("chat.postMessage", "channel_not_found")
        expecting = asyncio.create_task(d.messenger.expect(expected(), look=False))
        await asyncio.sleep(0)
        d.messenger.speak(expected(), "Once upon")
        await expecting
        d.messenger.speak(expected(), "Once upon a time")
        assert not d.messenger._spoken
        assert not d.messenger._speaking


async def test_partial_words_that_are_not_fresh_are_not_shown_lest_they_replace_anothers_answer(monkeypatch):
    monkeypatch.setattr("telephony.slack_messenger.SPEAK_SECONDS", 0.02)
    monkeypatch.setattr("telephony.slack_messenger.FRESH_SECONDS", 0.05)
    monkeypatch.setattr("telephony.slack_messenger.SILENT_SECONDS", 0.2)
    async with desk() as d, desk(d.workspace) as heir:
        await d.messenger.expect(expected(), look=False)
        d.messenger._speak_at = asyncio.get_running_loop().time() + 0.1  # as if others had spoken, or the process had stood still
        d.messenger.speak(expected(), "stale words")
        await heir.messenger.post(delivery("The answer."), look=True)
        await until(lambda: not d.messenger._speaking)
        assert d.texts() == ["The answer."]
        assert not d.messenger._spoken


async def test_partial_words_that_grow_old_while_the_channel_is_busy_are_not_shown_either(monkeypatch):
    monkeypatch.setattr("telephony.slack_messenger.FRESH_SECONDS", 0.05)
    async with desk() as d, desk(d.workspace) as heir:
        await d.messenger.expect(expected(), look=False)
        async with d.messenger._lanes.one(DIRECT):
            d.messenger.speak(expected(), "stale words")
            await heir.messenger.post(delivery("The answer."), look=True)
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.1)
        assert d.texts() == ["The answer."]


async def test_partial_words_of_all_sessions_together_keep_to_the_limit(monkeypatch):
    monkeypatch.setattr("telephony.slack_messenger.SPEAK_SECONDS", 0.1)
    async with desk() as d:
        turns = [expected(f"turn {n}") for n in range(8)]
        for turn in turns:
            await d.messenger.expect(turn, look=False)
        begun = asyncio.get_running_loop().time()
        for number in range(20):
            for turn in turns:
                d.messenger.speak(turn, "word " * number)
            await asyncio.sleep(0.02)
        took = asyncio.get_running_loop().time() - begun
        assert 1 <= d.workspace.counts["chat.update"] <= took / 0.1 + 2


async def test_a_turn_without_a_word_leaves_no_placeholder():
    async with desk() as d:
        await d.messenger.expect(expected(), look=False)
        await d.messenger.give_up(expected(), failed=False, look=False)
        assert d.texts() == []
        await d.messenger.give_up(expected(), failed=False, look=True)


async def test_a_turn_that_failed_says_so_in_a_plain_sentence_once():
    async with desk() as d:
        await d.messenger.expect(expected(), look=False)
        await d.messenger.give_up(expected(), failed=True, look=False)
        await d.messenger.give_up(expected(), failed=True, look=True)
        assert len(d.texts()) == 1
        assert "Sorry" in d.texts()[0]


# -- after a crash -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("thread", [True, False])
async def test_who_takes_over_finds_what_was_posted_and_posts_it_no_second_time(thread):
    async with desk() as d:
        where = place(GENERAL, d.workspace.write(GENERAL, ADA, "hey")["ts"]) if thread else place()
        long = delivery("word " * 2000, where=where)
        await d.messenger.post(long, look=False)
        before = d.workspace.counts["chat.postMessage"]
        async with desk(d.workspace) as heir:
            receipt = await heir.messenger.post(long, look=True)
        assert receipt["parts"] == 4
        assert d.workspace.counts["chat.postMessage"] == before


async def test_who_takes_over_replaces_the_placeholder_of_the_dead():
    async with desk() as d:
        await d.messenger.expect(expected(), look=False)
        async with desk(d.workspace) as heir:
            await heir.messenger.expect(expected(), look=True)
            await heir.messenger.post(delivery("Hello"), look=True)
        assert d.texts() == ["Hello"]
        assert d.workspace.counts["chat.postMessage"] == 1


@pytest.mark.parametrize("fault", ["429:1", "500", "ratelimited"])
async def test_who_could_not_look_for_a_placeholder_looks_again_before_the_answer(fault):
    async with desk() as d:
        await d.messenger.expect(expected(), look=False)
        async with desk(d.workspace) as heir:
            d.fails("conversations.history", fault)
            await heir.messenger.expect(expected(), look=True)
            await heir.messenger.post(delivery("Hello"), look=False)
        assert d.texts() == ["Hello"]


async def test_the_rest_of_a_long_answer_is_posted_by_who_takes_over():
    async with desk() as d:
        d.fails("chat.postMessage", "ok,ok,hang")
        posting = asyncio.create_task(d.messenger.post(delivery("word " * 2000), look=False))
        await until(lambda: d.workspace.counts["chat.postMessage"] == 3)
        posting.cancel()
        await asyncio.gather(posting, return_exceptions=True)
        async with desk(d.workspace) as heir:
            await heir.messenger.post(delivery("word " * 2000), look=True)
        assert len(d.texts()) == 4
        assert "".join(d.texts()).count("word") == 2000


async def test_other_words_at_the_same_place_are_other_words():
    async with desk() as d:
        await d.messenger.post(delivery("lost by a failover"), look=False)
        await d.messenger.post(delivery("said in its place"), look=True)
        assert d.texts() == ["lost by a failover", "said in its place"]


async def test_a_message_is_found_behind_many_others_and_nobody_elses_is_taken_for_it():
    async with desk() as d:
        first = delivery("first")
        await d.messenger.post(first, look=False)
        forged = d.workspace.write(DIRECT, ADA, "me too")
        second = delivery("second", 2)
        forged["metadata"] = {"event_type": "switchboard", "event_payload": {"key": second.key}}
        for number in range(450):
            d.workspace.write(DIRECT, ADA, f"noise {number}")["metadata"] = None
        await d.messenger.post(first, look=True)
        await d.messenger.post(second, look=True)
        assert d.texts() == ["first", "second"]


@pytest.mark.parametrize("answers", [True, False])
async def test_messages_without_a_key_are_nobodys_placeholder(answers):
    async with desk() as d:
        other = d.workspace.write(DIRECT, BOT, "posted by another program with our token")
        d.workspace.write(DIRECT, ADA, "hey")
        await d.messenger.post(delivery("word " * 1000, answers=answers), look=True)
        assert other["text"] == "posted by another program with our token"
        assert len(d.texts()) == 3


async def test_a_placeholder_that_somebody_deleted_does_not_take_the_answer_with_it():
    async with desk() as d:
        await d.messenger.expect(expected(), look=False)
        d.workspace.channels[DIRECT].clear()
        await d.messenger.post(delivery("Hello"), look=False)
        assert d.texts() == ["Hello"]


# -- when the API fails --------------------------------------------------------------------------------------------------------------------

TROUBLES = [
    "500",
    "503:7",
    "reset",
    "lost",
    "garbage",
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "429:3",
    "429",
    "ratelimited",
]


@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update", "conversations.history", "auth.test"])
@pytest.mark.parametrize("trouble", TROUBLES)
async def test_trouble_passes_and_everything_is_there_once_and_in_order(method, trouble):
    async with desk() as d:
        d.fails(method, f"{trouble}*3")
        await d.messenger.expect(expected(), look=False)
        for position in (1, 2, 3):
            await d.messenger.post(delivery(f"word {position}", position), look=position == 2)
        assert [each for each in d.texts() if "One moment" not in each] == ["word 1", "word 2", "word 3"]
        assert sum("One moment" in each for each in d.texts()) == 0


@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update", "conversations.history"])
async def test_a_call_that_hangs_is_given_up_and_looked_after(method, monkeypatch):
    monkeypatch.setattr("telephony.slack_api.CALL_SECONDS", 0.2)
    async with desk() as d:
        d.fails(method, "hang,hang")
        await d.messenger.expect(expected(), look=False)
        await d.messenger.post(delivery("word"), look=True)
        assert d.texts() == ["word"]


async def test_minutes_of_rate_limits_are_waited_out_as_long_as_slack_says():
    async with desk() as d:
        d.fails("chat.postMessage", "429:30*10")
        posts = [asyncio.create_task(d.messenger.post(delivery(f"word {n}", n), look=False)) for n in range(5)]
        await asyncio.gather(*posts)
        assert d.pauses == [30.0] * 10
        assert d.texts() == [f"word {n}" for n in range(5)]


async def test_a_channels_limit_holds_up_no_other_channel():
    async with desk() as d:
        waiting = asyncio.Event()

        async def wait(seconds):
            await waiting.wait()

        d.messenger._lanes.sleep = wait
        d.fails("chat.postMessage", "429:60")
        slow = asyncio.create_task(d.messenger.post(delivery("slow"), look=False))
        await until(lambda: d.workspace.calls)
        behind = asyncio.create_task(d.messenger.post(delivery("behind", where=place(session="slack:T0SIMULATED:D0ADA:1.1")), look=False))
        await d.messenger.post(delivery("fast", where=place(GENERAL)), look=False)
        assert (d.texts(GENERAL), d.texts()) == (["fast"], [])
        waiting.set()
        await asyncio.gather(slow, behind)
        assert d.texts() == ["slow", "behind"]
        assert not d.messenger._lanes


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("channel_not_found", "invite it there"),
        ("token_revoked", "install the app again"),
        ("invalid_auth", "SLACK_BOT_TOKEN"),
        ("msg_too_long", "too long"),
        ("not_in_channel", "/invite"),
        ("is_archived", "bring it back"),
        ("missing_scope", "slack-manifest.yaml"),
        ("something_new", "something_new"),
    ],
)
async def test_what_can_never_be_posted_is_logged_with_the_remedy_and_given_up(code, remedy, caplog):
    async with desk() as d:
        d.fails("chat.postMessage", code)
        with caplog.at_level(logging.ERROR):
            assert await d.messenger.post(delivery("lost"), look=False) == {"error": code}
        assert code in caplog.text
        assert remedy in caplog.text
        assert await d.messenger.post(delivery("next", 2), look=False) == {"ts": d.workspace.said(DIRECT)[0]["ts"]}


async def test_trouble_that_lasts_is_logged_and_its_end_too(caplog):
    async with desk() as d:
        d.fails("chat.postMessage", "500*12")
        await d.messenger.post(delivery("word"), look=False)
        assert d.texts() == ["word"]
        assert "Slack does not answer" in caplog.text
        assert "answers again, after 12 tries" in caplog.text
        assert d.pauses[:3] == [0.5, 1.0, 2.0]
        assert max(d.pauses) == 30.0


async def test_a_message_that_slack_fails_at_for_ever_does_not_stop_the_others(caplog):
    async with desk() as d:
        d.fails("chat.postMessage", "internal_error*30")
        assert await d.messenger.post(delivery("poison"), look=False) == {"error": "internal_error"}
        assert "again and again" in caplog.text
        await d.messenger.post(delivery("next", 2), look=False)
        assert d.texts() == ["next"]


async def test_an_outage_of_any_length_is_waited_out():
    async with desk() as d:
        d.fails("chat.postMessage", "503*70,reset*10")
        await d.messenger.post(delivery("word"), look=False)
        assert d.texts() == ["word"]


async def test_where_slack_lets_nobody_look_it_is_posted_all_the_same(caplog):
    async with desk() as d:
        d.fails("conversations.history", "missing_scope")
        await d.messenger.post(delivery("word"), look=True)
        assert d.texts() == ["word"]
        assert "may be posted twice" in caplog.text


@pytest.mark.parametrize("fault", ["500", "429:1", "channel_not_found", "lost", "garbage", "token_revoked"])
async def test_no_trouble_with_placeholders_reaches_anybody(fault):
    async with desk() as d:
        d.fails("chat.postMessage", fault)
        d.fails("chat.delete", f"{fault}*2" if fault != "lost" else "lost")
        await d.messenger.expect(expected(), look=False)
        await d.messenger.give_up(expected(), failed=False, look=False)
        if fault not in ("channel_not_found", "token_revoked"):
            assert d.texts() == []


async def test_our_own_user_is_the_tokens():
    async with desk() as d:
        assert (await d.messenger._posts._api.me()).user == BOT
        assert (await d.messenger._posts._api.me()).team == "T0SIMULATED"
        assert d.workspace.counts["auth.test"] == 1
