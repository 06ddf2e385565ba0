"""The web channel: JSON over real HTTP into a whole server on a real Valkey."""

import asyncio
import json
import uuid
from random import Random

import pytest
from support.chats import mouth
from support.valkey import Valkey
from support.web_house import texts, web_house

from telephony import web_wire as wire

PARROT = "support.chats:parrot"
MURMURER = "support.chats:murmurer"
KEY = "0123456789abcdefghijkl"
NOBODY = "A" * 32


def stored(valkey):
    return list(valkey.scan_iter("sb:*:h:*"))


def length(valkey):
    (key,) = stored(valkey)
    return valkey.llen(key)


async def begun(web, **wish):
    reply = await web.create(**wish)
    assert reply.status == 201
    return reply.json["id"]


# -- conversations -------------------------------------------------------------------------------------------------------------------------


async def test_a_session_is_a_conversation_until_it_ends(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (_, web):
        opened = await web.create()
        assert opened.status == 201
        assert opened.json | {"id": ""} == {
            "id": "", "turn": 0, "status": "answered", "replies": [{"id": "0.0", "text": "Hello!"}], "listening": {"kind": "any"},
            "ended": False,
        }  # fmt: skip
        id_ = opened.json["id"]
        said = await web.say(id_, "hi")
        assert (said.status, said.json["turn"], texts(said)) == (200, 1, ["You said hi."])
        last = await web.say(id_, "bye")
        assert (texts(last), last.json["ended"], last.json["listening"]) == (["Bye."], True, None)
        late = await web.say(id_, "more")
        assert late.status == 410
        assert "create a new session" in late.json["error"]
    assert length(valkey) == 3


async def test_ids_of_sessions_are_long_random_and_never_the_same(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (_, web):
        ids = {(await web.create()).json["id"] for _ in range(20)}
    assert len(ids) == 20
    assert all(len(each) == 32 for each in ids)


async def test_what_is_listened_for_is_told(valkey_url, valkey):
    async with web_house(valkey_url, "support.chats:asker") as (_, web):
        opened = await web.create()
        id_ = opened.json["id"]
        assert opened.json["listening"] == {"kind": "choice", "options": [{"key": "t", "name": "tea"}, {"key": "c", "name": "coffee"}]}
        pin = await web.say(id_, "java")
        assert texts(pin) == ["Your PIN & name?"]
        assert pin.json["listening"] == {"kind": "digits", "n": 4, "secret": True}
        sure = await web.say(id_, "1234")
        bells, _ = sure.json["replies"]
        assert (bells["text"], bells["audio"]) == ("https://example.com/bells.mp3", "https://example.com/bells.mp3")
        assert sure.json["listening"] == {"kind": "yes_no", "seconds": 600.0}
        key = str(uuid.uuid4())
        declined = await web.say(id_, "yes", key=key)
        assert texts(declined) == ["That was failed.", "Tell me."], "there is nobody to hand over to"
        assert declined.json["listening"] == {"kind": "message"}
        assert (await web.say(id_, "yes", key=key)).json == declined.json
        assert texts(await web.say(id_, "a pony")) == ["I heard a pony."]


async def test_a_line_is_chosen_by_its_name_and_the_clock_by_its_zone(valkey_url, valkey):
    lines = {"web:shop": "support.chats:silent", "web:*": {"workflow": PARROT, "timezone": "Europe/Paris"}}
    async with web_house(valkey_url, "", lines=lines) as (_, web):
        assert (await web.create(line="shop")).json["listening"] == {"kind": "words"}
        assert texts(await web.create(line="elsewhere", timezone="Europe/Helsinki")) == ["Hello!"]
        for zone in ("Mars/Olympus", "../../etc/passwd", "Europe", "", "x" * 300, "\x00"):
            reply = await web.create(timezone=zone)
            assert reply.status == 422
            assert "IANA" in reply.json["error"]


async def test_where_there_is_no_line_there_is_no_session(valkey_url, valkey):
    async with web_house(valkey_url, "", lines={"web:shop": PARROT}) as (_, web):
        assert (await web.create(line="shop")).status == 201
        for line in (None, "shop2", "\x00", "x" * 1000):
            reply = await web.create(**({} if line is None else {"line": line}))
            assert reply.status == 404
            assert "[lines]" in reply.json["error"]


async def test_a_workflow_with_a_bug_apologises_and_keeps_no_more(valkey_url, valkey):
    async with web_house(valkey_url, "support.chats:broken") as (_, web):
        id_ = await begun(web)
        reply = await web.say(id_, "0")
        assert (reply.status, reply.json["status"]) == (200, "failed")
        assert "went wrong" in texts(reply)[0]
        late = await web.say(id_, "1")
        assert late.status == 503
        assert "was not kept" in late.json["error"]
    assert length(valkey) == 2


async def test_while_the_store_is_down_everything_is_refused_for_now_and_the_log_has_no_session_s_id(caplog):
    store = Valkey("--maxmemory-policy", "noeviction")
    try:
        store.start()
        async with web_house(store.url, PARROT) as (_, web):
            id_ = await begun(web)
            store.kill()
            for reply in (await web.create(), await web.say(id_, "hi")):
                assert (reply.status, reply.headers["Retry-After"]) == (503, "2")
                assert "send the very same again" in reply.json["error"]
    finally:
        store.remove()
    assert "sessions of /web refused" in caplog.text
    assert "messages of /web refused" in caplog.text
    assert id_ not in caplog.text


# -- once for a key ------------------------------------------------------------------------------------------------------------------------


async def test_the_same_send_is_one_turn_however_often_and_to_whatever_replica(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (house, web), web_house(valkey_url, PARROT) as (_, other):
        id_ = await begun(web)
        first = await web.say(id_, "hi", key="one")
        for _ in range(4):
            assert (await web.say(id_, "hi", key="one")).json == first.json
            house.evict()
        assert (await other.say(id_, "hi", key="one")).json == first.json
        await house.reboot()
        assert (await web.say(id_, "hi", key="one")).json == first.json
    assert length(valkey) == 2


async def test_twenty_copies_at_once_at_two_replicas_are_one_turn(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (_, web), web_house(valkey_url, PARROT) as (_, other):
        id_ = await begun(web)
        replies = await asyncio.gather(*((web, other)[number % 2].say(id_, "hi", key="one") for number in range(20)))
        assert {json.dumps(reply.json) for reply in replies} == {json.dumps(replies[0].json)}
        assert replies[0].status == 200
    assert length(valkey) == 2


async def test_twenty_messages_at_once_are_kept_in_one_order_and_answered_once_each(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (_, web):
        id_ = await begun(web)
        replies = await asyncio.gather(*(web.say(id_, f"word {number}") for number in range(20)))
        assert sorted(reply.json["turn"] for reply in replies) == list(range(1, 21))
        assert [texts(reply) for reply in replies] == [[f"You said word {number}."] for number in range(20)]
    assert length(valkey) == 21


async def test_the_same_key_with_another_body_is_refused_and_keeps_nothing(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (house, web), web_house(valkey_url, PARROT) as (_, other):
        id_ = await begun(web)
        await web.say(id_, "hi", key="one")
        for client in (web, other, web):
            reply = await client.say(id_, "ho", key="one")
            assert reply.status == 422
            assert "new key" in reply.json["error"]
            house.evict()
        assert texts(await web.say(id_, "hi", key="one")) == ["You said hi."]
    assert length(valkey) == 2


async def test_two_bodies_with_one_key_at_once_are_one_turn_and_one_refusal(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (_, web), web_house(valkey_url, PARROT) as (_, other):
        id_ = await begun(web)
        replies = await asyncio.gather(*(client.say(id_, word, key="one") for client, word in ((web, "hi"), (other, "ho"))))
        assert sorted(reply.status for reply in replies) == [200, 422]
    assert length(valkey) == 2


async def test_a_key_is_known_after_a_restart_of_the_conversation(valkey_url, valkey):
    async with web_house(valkey_url, "support.chats:phoenix") as (house, web):
        id_ = await begun(web)
        first = await web.say(id_, "hi", key="one")
        assert texts(first) == ["hi in life 1."]
        await web.say(id_, "ho", key="two")
        house.evict()
        assert (await web.say(id_, "hi", key="one")).json["replies"] == first.json["replies"]
        assert (await web.say(id_, "ho", key="one")).status == 422


async def test_creating_twice_with_a_key_is_one_session_at_whatever_replica(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (house, web), web_house(valkey_url, PARROT, auth_token="another secret") as (_, other):
        opened = await asyncio.gather(*(client.create(key=KEY) for client in (web, other, web)))
        house.evict()
        opened += [await web.create(key=KEY), await other.create(key=KEY)]
        assert {json.dumps(each.json) for each in opened} == {json.dumps(opened[0].json)}
        assert {each.status for each in opened} == {201}
        changed = await web.create(key=KEY, timezone="Europe/Helsinki")
        assert changed.status == 422
    assert length(valkey) == 1


@pytest.mark.parametrize("key", ["short", "x" * 21, "x" * 256, "\u00e9" * 30])
async def test_a_key_that_could_be_guessed_creates_no_session(valkey_url, valkey, key):
    async with web_house(valkey_url, PARROT) as (_, web):
        reply = await web.create(key=key)
        assert reply.status == 400
        assert "22 to 255" in reply.json["error"]
    assert stored(valkey) == []


# -- slow and busy -------------------------------------------------------------------------------------------------------------------------


async def test_who_would_not_wait_asks_again_with_the_key_and_the_effect_runs_once(valkey_url, valkey):
    mouth.reset()
    async with web_house(valkey_url, MURMURER) as (_, web):
        id_ = await begun(web)
        for _ in range(3):
            running = await web.say(id_, "hi", key="one", wait=0)
            assert (running.status, running.json) == (202, {"id": id_, "turn": 1, "status": "running"})
            assert running.headers["Retry-After"] == "1"
        attached = asyncio.create_task(web.say(id_, "hi", key="one"))
        for word in ("a ", "word", None):
            mouth.words.put_nowait(word)
        assert texts(await attached) == ["a word"]
        assert texts(await web.say(id_, "hi", key="one", wait=0.0)) in (["a word"], [])
        assert mouth.attempts == 1


async def test_a_refusal_does_not_wait_for_anything(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (house, web):
        id_ = await begun(web)
        await web.say(id_, "bye")
        house.evict()
        assert (await web.say(id_, "more", wait=0)).status == 410
        assert (await web.say(NOBODY, "more", wait=0)).status == 404


async def test_a_queueing_line_keeps_what_comes_meanwhile_and_a_rejecting_one_refuses_it(valkey_url, valkey):
    lines = {"web:queue": MURMURER, "web:reject": {"workflow": MURMURER, "busy": "reject"}}
    for line in lines:
        mouth.reset()
        async with web_house(valkey_url, "", lines=lines) as (_, web):
            id_ = await begun(web, line=line.partition(":")[2])
            assert (await web.say(id_, "one", key="1", wait=0)).status == 202
            second = asyncio.create_task(web.say(id_, "two", key="2"))
            if line == "web:reject":
                assert (await second).status == 409
                assert "hears one at a time" in second.result().json["error"]
                assert (await web.say(id_, "one", key="1", wait=0)).status == 202, "the same one attaches"
            mouth.words.put_nowait(None)
            mouth.words.put_nowait(None)
            assert (await web.say(id_, "one", key="1")).status == 200
            assert (await (web.say(id_, "two", key="2") if line == "web:reject" else second)).status == 200


@pytest.mark.parametrize(
    ("preference", "seconds"),
    [
        ("", 25.0),
        ("wait=10", 10.0),
        ("respond-async, wait=7", 7.0),
        ('WAIT="3"', 3.0),
        ("wait=99999", 60.0),
        ("wait=-1", 25.0),
        ("x", 25.0),
    ],
)
def test_how_long_a_client_would_wait(preference, seconds):
    assert wire.wait_of(preference, 25.0) == seconds


# -- bad input -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"null", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"text": 5}', 400),
        (b'{"text": null}', 400),
        (b'{"text": ""}', 400),
        (b'{"text": "  \\n "}', 400),
        (b'{"text": "\\u0000\\u0007"}', 400),
        (b'{"text": "\xff\xfe"}', 400),
        (b'{"text": "\\ud800"}', 400),
        (b"[" * 30_000, 400),
        (json.dumps({"text": "x" * 8_001}).encode(), 413),
        (('{"text": "' + "\U0001f600" * 262_144 + '"}').encode(), 413),
    ],
    ids=lambda each: repr(each)[:24],
)
async def test_a_body_that_is_no_message_is_refused_and_not_kept(valkey_url, valkey, body, status):
    async with web_house(valkey_url, PARROT) as (_, web):
        id_ = await begun(web)
        reply = await web.request("POST", f"/web/sessions/{id_}/messages", body=body, headers={"Idempotency-Key": "one"})
        assert reply.status == status
        assert reply.json["error"]
    assert length(valkey) == 1


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"line": 5}', b'{"timezone": []}', b"\xff"])
async def test_a_body_that_is_no_wish_creates_nothing(valkey_url, valkey, body):
    async with web_house(valkey_url, PARROT) as (_, web):
        assert (await web.request("POST", "/web/sessions", body=body)).status == 400
    assert stored(valkey) == []


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("tab\tand\nline", "tab\tand\nline"),
        ("bell\x07 escape\x1b[31m\x9b", "bell escape[31m"),
        ("\U0001f600" * 8_000, "\U0001f600" * 8_000),
        ("\u202e</script>'\"", "\u202e</script>'\""),
    ],
    ids=["space", "control", "emoji", "markup"],
)
async def test_odd_texts_are_plainly_answered(valkey_url, valkey, text, heard):
    async with web_house(valkey_url, PARROT) as (_, web):
        assert texts(await web.say(await begun(web), text)) == [f"You said {heard}."]


async def test_a_message_without_a_key_is_refused_and_says_what_to_do(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (_, web):
        id_ = await begun(web)
        reply = await web.request("POST", f"/web/sessions/{id_}/messages", body=b'{"text": "hi"}')
        assert reply.status == 400
        assert "Idempotency-Key is missing" in reply.json["error"]
        for key in ("", "x" * 256):
            assert (
                await web.request("POST", f"/web/sessions/{id_}/messages", body=b'{"text": "hi"}', headers={"Idempotency-Key": key})
            ).status == 400


@pytest.mark.parametrize("id_", [NOBODY, "x", "A" * 31, "A" * 33, "..%2F..%2Fx", "%00" * 32, "\u00e9" * 32, "A" * 5_000, "CA123"])
async def test_an_unknown_or_wrong_id_is_not_found_and_leaves_nothing(valkey_url, valkey, id_):
    async with web_house(valkey_url, PARROT) as (_, web):
        assert (await web.say(id_, "hi")).status == 404
        async with web.events(id_, status=404):
            pass
    assert stored(valkey) == []


async def test_an_id_opens_no_session_of_another_channel(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (_, web):
        assert (await web.say("phone:CA" + "0" * 24, "hi")).status == 404


async def test_what_is_said_cannot_break_the_answer(valkey_url, valkey):
    async with web_house(valkey_url, "support.chats:nasty") as (_, web):
        opened = await web.create()
        assert opened.status == 201
        assert texts(opened)[0].startswith("</script>\r\ndata: x\n\nevent: ended\x00 \ufffd")
        assert opened.json["listening"]["options"] == [{"key": "x", "name": "?"}]


async def test_methods_that_there_are_not_are_refused(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (_, web):
        for method, path in (("GET", "/web/sessions"), ("DELETE", f"/web/sessions/{NOBODY}/messages"), ("OPTIONS", "/web/sessions")):
            async with web.http.request(method, web.url + path) as response:
                assert response.status == 405


async def test_a_session_that_is_not_there_does_not_stay_in_memory(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (house, web):
        for number in range(30):
            assert (await web.say(f"{number:032}", "hi")).status == 404
        assert house.server.board.live == 0


# -- other sites' pages --------------------------------------------------------------------------------------------------------------------


async def test_pages_of_other_sites_are_refused_and_our_own_are_not(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (house, web):
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "file://", "http://[::1"):
            reply = await web.create(headers={"Origin": origin})
            assert reply.status == 403
            assert "allowed_origins" in reply.json["error"]
            assert "Access-Control-Allow-Origin" not in reply.headers
        assert stored(valkey) == []
        assert (await web.create(headers={"Origin": house.url})).status == 201


async def test_a_page_whose_site_s_name_was_made_to_lead_here_is_not_our_own(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (_, web):
        for host in ("evil.example", "127.0.0.1.evil.example:8080", "192.168.1.5", "["):
            reply = await web.create(headers={"Host": host, "Origin": f"http://{host}"})
            assert (reply.status, "PUBLIC_URL" in reply.json["error"]) == (403, True), host
        assert stored(valkey) == []
        for host in ("localhost", "127.9.9.9:8080", "[::1]", "me.localhost"):
            assert (await web.create(headers={"Host": host, "Origin": f"http://{host}"})).status == 201, host


@pytest.mark.parametrize("server", [{"host": "0.0.0.0"}, {"trusted_proxies": ["127.0.0.1"]}, {"public_url": "https://chat.example.org"}])
async def test_a_server_for_others_has_whatever_name_they_know_it_by(valkey_url, valkey, server):
    async with web_house(valkey_url, PARROT, server=server) as (_, web):
        assert (await web.create(headers={"Host": "chat.example.org", "Origin": "http://chat.example.org"})).status == 201


async def test_pages_of_the_public_url_are_our_own(valkey_url, valkey):
    async with web_house(valkey_url, PARROT, server={"public_url": "https://Chat.example.org"}) as (_, web):
        assert (await web.create(headers={"Origin": "https://chat.example.org"})).status == 201


async def test_pages_of_allowed_sites_may_ask_and_see(valkey_url, valkey):
    async with web_house(valkey_url, PARROT, web={"allowed_origins": ["https://shop.example.org"]}) as (_, web):
        ours = {"Origin": "https://shop.example.org"}
        async with web.http.options(f"{web.url}/web/sessions", headers=ours | {"Access-Control-Request-Method": "POST"}) as preflight:
            assert preflight.status == 204
            assert "Idempotency-Key" in preflight.headers["Access-Control-Allow-Headers"]
            assert preflight.headers["Access-Control-Allow-Origin"] == "https://shop.example.org"
        opened = await web.create(headers=ours)
        assert opened.headers["Access-Control-Allow-Origin"] == "https://shop.example.org"
        assert opened.headers["Vary"] == "Origin"
        refused = await web.say(NOBODY, "hi", headers=ours)
        assert refused.headers["Access-Control-Allow-Origin"] == "https://shop.example.org", "a page may read why"
        async with web.events(opened.json["id"], headers=ours) as stream:
            assert stream.response.headers["Access-Control-Allow-Origin"] == "https://shop.example.org"
        assert (await web.create(headers={"Origin": "https://evil.example"})).status == 403
        async with web.http.options(f"{web.url}/web/sessions", headers={"Origin": "https://evil.example"}) as preflight:
            assert preflight.status == 403
            assert "Access-Control-Allow-Origin" not in preflight.headers


# -- whatever is sent ----------------------------------------------------------------------------------------------------------------------


async def test_whatever_is_sent_is_answered_in_json_and_never_by_an_error_of_ours(valkey_url, valkey):
    rng = Random(5)
    bits = [
        "\x00", "\ud800", "\U0001f600", "\u202e", "{", "}", '"', "\\", "text", "line", "timezone", "null", "1e999", "-0", "[", "]", ":", ",",
        "Europe/Helsinki", " ", "\n", "\u0085", "%00", "../", "x" * 9_000,
    ]  # fmt: skip

    def noise():
        return "".join(rng.choices(bits, k=rng.randrange(6)))

    def some(*values):
        return rng.choice([*values, noise()])

    async with web_house(valkey_url, PARROT) as (_, web):
        id_ = await begun(web)
        for _ in range(400):
            wish = {some("text", "line", "timezone"): rng.choice([noise(), None, 5, [], {}, {"a": noise()}, True])}
            body = rng.choice([json.dumps(wish), noise()]).encode("utf-8", "surrogatepass")
            headers = {
                "Idempotency-Key": some("k" * 30, str(rng.random())),
                "Prefer": some("wait=1", "wait=", "wait=-1", "wait=0"),
                "Content-Type": some("application/json", "text/plain", "multipart/form-data"),
            }
            headers = {name: value for name, value in headers.items() if len(value) < 4_000 and value.isprintable() and value.isascii()}
            path = rng.choice(["/web/sessions", f"/web/sessions/{id_}/messages", f"/web/sessions/{NOBODY}/messages"])
            reply = await web.request("POST", path, body=body, headers=headers)
            assert reply.status < 500, (path, body, headers, reply)
            assert "id" in reply.json or reply.json["error"]
        assert texts(await web.say(id_, "still there?", key="the last one")) == ["You said still there?."]
