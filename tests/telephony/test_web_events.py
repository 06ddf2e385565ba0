"""The events of web sessions: over real HTTP, from whole servers on a real Valkey."""

import asyncio
import socket
import time

import aiohttp
import pytest
from support.chats import mouth
from support.server import ServerProcess
from support.valkey import Valkey
from support.web_house import WebClient, texts, web_house

from handlers.followers import Followers
from handlers.house import House
from switchboard.follow import Following
from telephony.web_events import _tell

PARROT = "support.chats:parrot"
MURMURER = "support.chats:murmurer"
RUNNER = "support.chats:runner"


async def begun(web, **wish):
    return (await web.create(**wish)).json["id"]


async def rest(stream):
    """All that is left, up to the end of the stream."""
    while True:
        try:
            await asyncio.wait_for(stream.next(), 20)
        except EOFError:
            return stream.events


async def all_replies(web, id_, **options):
    """What a reader hears until nothing more is said; the session has to be over."""
    async with web.events(id_, **options) as stream:
        return [(event.id, event.data["text"]) for event in await rest(stream) if event.kind in ("reply", "notice")]


async def until(condition):
    for _ in range(3_000):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came")


@pytest.fixture
def quick(monkeypatch):
    """Other replicas are looked after more often than in life."""
    monkeypatch.setattr("switchboard.follow.LOOK_SECONDS", (0.05, 0.1))


# -- what is said --------------------------------------------------------------------------------------------------------------------------


async def test_a_stream_tells_everything_from_the_beginning_and_as_it_is_said_until_the_end(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (_, web):
        id_ = await begun(web)
        await web.say(id_, "one")
        async with web.events(id_) as stream:
            assert stream.response.content_type == "text/event-stream"
            assert [event.data for event in await stream.until("reply", "You said one.")] == [
                {"turn": 0, "text": "Hello!"},
                {"turn": 1, "text": "You said one."},
            ]
            said = await web.say(id_, "two")
            event = await stream.next()
            assert (event.kind, event.id, event.data["text"]) == ("reply", said.json["replies"][0]["id"], "You said two.")
            await web.say(id_, "bye")
            assert [event.kind for event in (await rest(stream))[3:]] == ["reply", "ended"]


async def test_a_reader_who_comes_back_to_an_ended_session_has_the_rest_and_is_told_not_to_come_back(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (_, web):
        id_ = await begun(web)
        await web.say(id_, "bye")
        assert await all_replies(web, id_, after="0.0") == [("1.0", "Bye.")]
        async with web.events(id_, after="1.0", status=204):
            pass
        async with web.events(id_) as stream:
            assert [event.kind for event in await rest(stream)] == ["reply", "reply", "ended"]


async def test_a_stream_resumes_exactly_behind_whatever_event_was_seen_last(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (house, web):
        id_ = await begun(web)
        for number in range(40):
            await web.say(id_, f"word {number}")
        await web.say(id_, "bye")
        everything = await all_replies(web, id_)
        assert len(everything) == 42
        assert [text for _, text in everything][1:-1] == [f"You said word {number}." for number in range(40)]
        for number, (place, _) in enumerate(everything[:-1]):
            if number % 7 == 0:
                house.evict()
            assert await all_replies(web, id_, after=place) == everything[number + 1 :]
            assert await all_replies(web, id_, query=f"?after={place}") == everything[number + 1 :]


@pytest.mark.parametrize("last", ["x", "1", "-1.0", "1.0.0", "9" * 30 + ".0", "1.0\u00e9"])
async def test_a_last_event_id_that_is_none_of_ours_is_refused(valkey_url, valkey, last):
    async with web_house(valkey_url, PARROT) as (_, web), web.events(await begun(web), query=f"?after={last}", status=400):
        pass


async def test_two_tabs_see_one_linear_history(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (_, web):
        id_ = await begun(web)
        async with web.events(id_) as one, web.events(id_) as two:
            await asyncio.gather(*(web.say(id_, f"word {number}") for number in range(20)))
            await web.say(id_, "bye")
            assert [(event.id, event.data) for event in await rest(one)] == [(event.id, event.data) for event in await rest(two)]
            assert len(one.events) == 23


async def test_a_conversation_that_begins_a_new_life_is_told_on_without_a_gap_or_a_repetition(valkey_url, valkey):
    async with web_house(valkey_url, "support.chats:phoenix") as (house, web):
        id_ = await begun(web)
        async with web.events(id_) as stream:
            for number in range(6):
                await web.say(id_, f"word {number}")
                await stream.until("reply", f"word {number} in life {number + 1}.")
                house.evict()
        places = [event.id for event in stream.events]
        async with web.events(id_, after=places[2]) as again:
            await again.until("reply", "word 5 in life 6.")
            assert [event.id for event in again.events] == places[3:]


async def test_what_is_said_cannot_break_the_stream(valkey_url, valkey):
    async with web_house(valkey_url, "support.chats:nasty") as (_, web), web.events(await begun(web)) as stream:
        event = await stream.next()
        assert (event.kind, event.data["text"]) == ("reply", "</script>\r\ndata: x\n\nevent: ended\x00 \ufffd \u2028")


# -- words ---------------------------------------------------------------------------------------------------------------------------------


async def test_words_stream_before_they_are_on_record_and_the_whole_replaces_them(valkey_url, valkey):
    mouth.reset()
    async with web_house(valkey_url, MURMURER) as (_, web):
        id_ = await begun(web)
        async with web.events(id_) as stream:
            said = asyncio.create_task(web.say(id_, "hi"))
            mouth.words.put_nowait("One ")
            first = await stream.next()
            assert (first.kind, first.id, first.data["text"], first.data["first"]) == ("partial", None, "One ", True)
            mouth.words.put_nowait("two")
            second = await stream.next()
            assert (second.data["text"], second.data["first"], second.data["step"]) == ("two", False, first.data["step"])
            (key,) = valkey.scan_iter("sb:*:h:*")
            assert valkey.llen(key) == 2
            async with web.events(id_) as late:
                whole = await late.next()
                assert (whole.data["text"], whole.data["first"]) == ("One two", True), "who comes late has them from the first one on"
                mouth.words.put_nowait(None)
                for each in (stream, late):
                    (reply,) = await each.until("reply")
                    assert (reply.id, reply.data["text"]) == ("2.0", "One two")
        assert texts(await said) == ["One two"]
        async with web.events(id_) as stream:
            assert (await stream.next()).kind == "reply", "nothing is left of the words"


async def test_words_are_written_within_one_tick_of_the_loop():
    """From the moment at which an effect emits them to that at which they are handed to the socket; there is no store in between."""
    written = []

    class Response:
        """As aiohttp's, whose `write` hands the bytes to the transport before it returns."""

        async def write(self, data):
            written.append(data)

    followers = Followers()
    with Following(House(None, None, None, None, None, followers=followers), "web:1", None) as following:
        following._look_at = float("inf")
        telling = asyncio.create_task(_tell(Response(), following, None))
        await asyncio.sleep(0)
        assert written == [b":\n\n"]
        with followers.speaking("web:1", "1/2") as begin:
            emit = begin()
            for number, word in enumerate(("One", "two", "three")):
                emit(word)
                await asyncio.sleep(0)
                assert len(written) == 2 + number
                assert f'"text":"{word}"'.encode() in written[-1]
        telling.cancel()


async def test_an_attempt_that_fails_begins_its_words_anew(valkey_url, valkey):
    mouth.reset()
    mouth.fail = 1
    async with web_house(valkey_url, MURMURER) as (_, web):
        id_ = await begun(web)
        async with web.events(id_) as stream:
            await web.say(id_, "hi", wait=0)
            for word in ("wro", "ng!"):
                mouth.words.put_nowait(word)
                await stream.until("partial", word)
            mouth.words.put_nowait("right")
            (*_, event) = await stream.until("partial", "right")
            assert event.data["first"]
            mouth.words.put_nowait(None)
            assert [event.data["text"] for event in await stream.until("reply")] == ["right"]


async def test_a_server_that_is_replaced_in_mid_sentence_begins_the_sentence_anew(valkey_url, valkey):
    mouth.reset()
    async with web_house(valkey_url, MURMURER) as (house, web):
        id_ = await begun(web)
        await web.say(id_, "hi", key="one", wait=0)
        async with web.events(id_) as stream:
            mouth.words.put_nowait("One ")
            await stream.until("partial")
            await house.reboot()
            assert await rest(stream) == stream.events[:1], "the stream ends in order"
        attached = asyncio.create_task(web.say(id_, "hi", key="one"))
        async with web.events(id_) as stream:
            mouth.words.put_nowait("One ")
            assert (await stream.until("partial"))[0].data["first"]
            mouth.words.put_nowait("two")
            mouth.words.put_nowait(None)
            assert (await stream.until("reply"))[-1].data["text"] == "One two"
        assert texts(await attached) == ["One two"]
        assert mouth.attempts == 2


async def test_what_is_listened_for_is_told_at_first_and_whenever_it_changes(valkey_url, valkey):
    """Also where no message has changed it; before the words that ask for it; and from a place on, too."""
    async with web_house(valkey_url, "support.chats:porter") as (_, web):
        id_ = await begun(web)
        async with web.events(id_) as stream:
            await stream.until("reply", "Tea?")
            assert [each["kind"] for each in stream.listening] == ["yes_no"]
            await stream.until("reply", "Your PIN?")
            assert stream.listening[-1] == {"kind": "digits", "n": 4, "secret": True}
        async with web.events(id_, after=stream.events[-1].id) as stream:
            said = asyncio.create_task(web.say(id_, "4711"))
            await stream.until("reply", "Your name?")
            assert stream.listening == [{"kind": "digits", "n": 4, "secret": True}, {"kind": "words"}]
            assert (await said).json["listening"] == stream.listening[-1]


# -- notices, tasks, and sessions that rest --------------------------------------------------------------------------------------------------


async def test_an_errands_message_is_a_notice_and_the_task_list_follows(valkey_url, valkey):
    async with web_house(valkey_url, RUNNER) as (_, web):
        id_ = await begun(web)
        async with web.events(id_) as stream:
            await web.say(id_, "0.3")
            events = await stream.until("notice")
            assert [event.kind for event in events if event.kind == "tasks"] == ["tasks"]
            assert next(event.data for event in events if event.kind == "tasks") == [{"name": "0.3"}]
            assert events[-1].data["text"] == "0.3: 0.3 s are over"
            tasks = await stream.next() if events[-2].kind != "tasks" or events[-2].data else events[-2]
            assert (tasks.kind, tasks.id, tasks.data) == ("tasks", None, [])
            await web.say(id_, "bye")
            await rest(stream)
        again = await all_replies(web, id_, after="0.0")
        assert [text for _, text in again] == ["Started.", "0.3: 0.3 s are over"]
        async with web.events(id_) as stream:
            assert [event.kind for event in await rest(stream)] == ["reply", "reply", "notice", "tasks", "ended"]


async def test_tasks_tell_how_they_are_doing_when_they_are_asked(valkey_url, valkey):
    async with web_house(valkey_url, "support.chats:watcher") as (house, web):
        id_ = await begun(web)
        assert (await web.request("GET", f"/web/sessions/{id_}/tasks")).json == {"tasks": []}
        await web.say(id_, "the kettle")
        await web.say(id_, "the door")
        running = {"workflow": "support.chats:watched", "state": "running"}
        tasks = [
            running | {"name": "the kettle", "note": {"looked": "the kettle"}},
            running | {"name": "the door", "note": {"looked": "the door"}},
        ]
        for _ in range(2):
            told = await web.request("GET", f"/web/sessions/{id_}/tasks")
            assert (told.status, told.json) == (200, {"tasks": tasks})
            assert told.headers["Cache-Control"] == "no-store"
            house.evict()
        await web.say(id_, "stop")
        assert (await web.request("GET", f"/web/sessions/{id_}/tasks")).json == {"tasks": []}
        assert (await web.request("GET", f"/web/sessions/{'A' * 32}/tasks")).status == 404


async def test_a_session_leaves_memory_under_its_open_streams_and_they_hear_what_comes(valkey_url, valkey):
    async with web_house(valkey_url, RUNNER, sessions={"idle": 0.1}) as (house, web):
        id_ = await begun(web)
        async with web.events(id_) as one, web.events(id_) as two:
            await web.say(id_, "1")
            await until(lambda: house.server.board.live == 0)
            for stream in (one, two):
                assert (await stream.until("notice"))[-1].data["text"] == "1: 1 s are over"


async def test_a_session_that_is_sent_away_before_every_input_is_heard_as_ever(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (house, web):
        id_ = await begun(web)
        async with web.events(id_) as stream:
            for number in range(10):
                house.evict()
                await web.say(id_, f"word {number}")
                await stream.until("reply", f"You said word {number}.")
        assert len(stream.events) == 11


async def test_what_happens_at_another_replica_is_heard_by_looking(valkey_url, valkey, quick):
    async with web_house(valkey_url, PARROT) as (_house, web), web_house(valkey_url, PARROT) as (_other, there):
        id_ = await begun(web)
        async with web.events(id_) as stream:
            await stream.next()
            for number in range(5):
                await there.say(id_, f"word {number}")
                assert (await stream.next()).data["text"] == f"You said word {number}."
            await there.say(id_, "bye")
            assert [event.kind for event in (await rest(stream))[-2:]] == ["reply", "ended"]


async def test_looking_for_nothing_keeps_no_session_in_memory(valkey_url, valkey, quick):
    async with web_house(valkey_url, PARROT) as (house, web):
        id_ = await begun(web)
        async with web.events(id_) as stream:
            await stream.next()
            house.evict()
            loads = house.counters["rehydrations"]
            await asyncio.sleep(0.5)
            assert (house.server.board.live, house.counters["rehydrations"]) == (0, loads)
            await web.say(id_, "still there?")
            assert (await stream.next()).data["text"] == "You said still there?."


async def test_a_session_that_is_forgotten_ends_its_streams(valkey_url, valkey, quick):
    async with web_house(valkey_url, PARROT) as (house, web):
        id_ = await begun(web)
        async with web.events(id_) as stream:
            await stream.next()
            house.evict()
            await house.history.forget(f"web:{id_}")
            assert [event.kind for event in await rest(stream)] == ["reply", "ended"]


# -- connections ---------------------------------------------------------------------------------------------------------------------------


async def test_a_silent_stream_has_heartbeats(valkey_url, valkey, monkeypatch):
    monkeypatch.setattr("telephony.web_events.HEARTBEAT", 0.05)
    async with web_house(valkey_url, PARROT) as (_, web):
        id_ = await begun(web)
        began = time.monotonic()
        async with web.events(id_) as stream:
            await stream.next()
            await asyncio.sleep(0.4)
            await web.say(id_, "hi")
            await stream.next()
            assert 2 <= stream.comments <= 1 + (time.monotonic() - began) / 0.05


async def test_a_reader_who_leaves_is_forgotten(valkey_url, valkey, monkeypatch):
    monkeypatch.setattr("telephony.web_events.HEARTBEAT", 0.05)
    async with web_house(valkey_url, PARROT) as (house, web):
        id_ = await begun(web)
        followers = house.server.house.followers
        for _ in range(20):
            async with web.events(id_) as stream:
                await stream.next()
                assert f"web:{id_}" in followers
                stream.response.close()
        await until(lambda: not len(followers))
        assert f"web:{id_}" not in followers
        assert texts(await web.say(id_, "hi")) == ["You said hi."]


async def test_streams_end_with_their_server_and_go_on_at_the_next(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (house, web):
        id_ = await begun(web)
        async with web.events(id_) as stream:
            await stream.next()
            house.runner._shutdown_timeout = 60
            began = time.monotonic()
            await house.reboot()
            assert time.monotonic() - began < 30, "what does not end is waited for"
            assert len(await rest(stream)) == 1
        await web.say(id_, "hi")
        async with web.events(id_, after=stream.events[-1].id) as stream:
            assert (await stream.next()).data["text"] == "You said hi."


async def test_a_reader_who_does_not_read_holds_nobody_up(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (house, web):
        id_ = await begun(web)
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", house.port))
            deaf.sendall(f"GET /web/sessions/{id_}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            await until(lambda: len(house.server.house.followers) == 1)
            async with web.events(id_) as stream:
                for number in range(40):
                    text = f"{number} " + "\U0001f600" * 7_000
                    assert texts(await web.say(id_, text)) == [f"You said {text}."]
                    await stream.until("reply", f"You said {text}.")
            waiting = [connection.transport.get_write_buffer_size() for connection in house.runner.server.connections]
            assert max(waiting) < 4_000_000


async def test_the_store_may_fail_while_one_listens(quick):
    store = Valkey("--maxmemory-policy", "noeviction", persistent=True)
    try:
        store.start()
        async with web_house(store.url, PARROT) as (house, web):
            id_ = await begun(web)
            async with web.events(id_) as stream:
                await stream.next()
                house.evict()
                store.kill()
                await asyncio.sleep(0.3)
                async with web.events(id_, status=503):
                    pass
                refused = await web.say(id_, "hi", key="one")
                assert (refused.status, refused.headers["Retry-After"]) == (503, "2")
                assert "the very same again" in refused.json["error"]
                store.start()
                for _ in range(100):
                    said = await web.say(id_, "hi", key="one")
                    if said.status == 200:
                        break
                    await asyncio.sleep(0.05)
                assert texts(said) == ["You said hi."]
                assert (await stream.until("reply"))[-1].data["text"] == "You said hi."
    finally:
        store.remove()


# -- processes that die --------------------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(180)
async def test_with_the_server_killed_again_and_again_no_word_is_lost_and_none_comes_twice(tmp_path):
    server = ServerProcess(tmp_path / "a house", '[lines]\n"web:*" = "conversations:echo"\n').start()
    heard = []
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
            web = WebClient(server.url, http)
            id_ = (await web.create(key="k" * 22)).json["id"]
            for number in range(5):
                after = heard[-1][0] if heard else None
                async with web.events(id_, after=after) as stream:
                    said = await web.say(id_, f"word {number}", key=f"{number}")
                    if number % 2:  # it dies with this word unread
                        server.kill()
                    else:
                        await stream.until("reply", f"You said word {number}.")
                        server.kill()
                    heard += [(event.id, event.data["text"]) for event in stream.events]
                server.start()
                assert (await web.say(id_, f"word {number}", key=f"{number}")).json == said.json
                assert (await web.create(key="k" * 22)).json["id"] == id_
            await web.say(id_, "goodbye")
            heard += await all_replies(web, id_, after=heard[-1][0])
            assert heard == await all_replies(web, id_)
            spoken = [text for _, text in heard if text.startswith("You")]
            assert spoken == [f"You said word {number}." for number in range(5)]
    finally:
        server.end()
