"""The chat page when things go wrong: nothing is sent twice, no word is lost, and the page says what is going on."""

import asyncio
import json
from random import Random

import aiohttp
import pytest
from playwright.async_api import expect
from support.chats import mouth
from support.server import ServerProcess
from support.slack_house import until
from support.web_house import web_house

PARROT = "support.chats:parrot"
ECHO = '[lines]\n"web:*" = "conversations:echo"\n'
pytestmark = pytest.mark.asyncio(loop_scope="session")


def turns(valkey):
    """How many inputs the only session has on record, its opening included."""
    (key,) = valkey.scan_iter("sb:*:h:web:*")
    return valkey.llen(key)


async def session_of(visitor):
    """The id that the browser keeps."""
    items = await visitor.page.evaluate("Object.entries(localStorage)")
    (kept,) = [json.loads(value) for key, value in items if key.endswith(" session")]
    return kept["id"]


# -- the page goes away and comes back -----------------------------------------------------------------------------------------------------


async def test_refresh_and_back_show_the_same_and_send_nothing(valkey_url, valkey, visitors):
    async with web_house(valkey_url, PARROT) as (house, _), visitors.visit(house.url) as ada:
        for word in ("one", "two"):
            await ada.say(word)
            await expect(ada.find("#log")).to_contain_text(f"You said {word}.")
        all_ = ["Hello!", "one", "You said one.", "two", "You said two."]
        await ada.words.fill("half a wo")
        await ada.page.reload()
        await ada.sees(*all_)
        await expect(ada.words).to_have_value("half a wo")
        await ada.page.goto(f"{house.url}/healthz")
        await ada.page.go_back()
        await ada.sees(*all_)
        await ada.page.go_forward()
        await ada.page.go_back()
        await ada.words.fill("")
        await ada.say("three")
        await ada.sees(*all_, "three", "You said three.")
        assert turns(valkey) == 4


async def test_a_refresh_in_mid_sentence_goes_on_with_the_sentence(valkey_url, valkey, visitors):
    mouth.reset()
    async with web_house(valkey_url, "support.chats:murmurer") as (house, _), visitors.visit(house.url) as ada:
        await ada.say("hi")
        mouth.words.put_nowait("Once upon ")
        await expect(ada.find("#coming")).to_contain_text("Once upon")
        await ada.page.reload()
        await expect(ada.find("#coming")).to_contain_text("Once upon")
        mouth.words.put_nowait("a time")
        mouth.words.put_nowait(None)
        await ada.sees("hi", "Once upon a time")
        assert mouth.attempts == 1


async def test_a_page_that_is_closed_while_it_sends_has_sent_once(valkey_url, valkey, visitors):
    async with web_house(valkey_url, PARROT) as (house, _), visitors.context() as context:
        ada = await visitors.tab(context, house.url)
        await ada.sees("Hello!")
        lost = asyncio.Event()

        async def lose(route):
            """The server has it, and the page never hears so."""
            await route.fetch()
            lost.set()

        await ada.page.route("**/messages", lose)
        await ada.say("hi")
        await lost.wait()
        await ada.page.close()
        bob = await visitors.tab(context, house.url)
        await bob.sees("Hello!", "hi", "You said hi.")
        await expect(bob.find(".waiting")).to_have_count(0)
        assert turns(valkey) == 2


# -- two tabs ------------------------------------------------------------------------------------------------------------------------------


async def test_two_tabs_are_one_conversation_and_either_may_go(valkey_url, valkey, visitors):
    async with web_house(valkey_url, PARROT) as (house, _), visitors.context() as context:
        ada = await visitors.tab(context, house.url)
        bob = await visitors.tab(context, house.url)
        said = ["Hello!"]
        for tab, word in ((ada, "one"), (bob, "two")):
            await tab.say(word)
            said += [word, f"You said {word}."]
            for each in (ada, bob):
                await each.sees(*said)
        await ada.page.close()
        await bob.say("three")
        await bob.sees(*said, "three", "You said three.")
        assert turns(valkey) == 4


@pytest.mark.proof
async def test_more_tabs_than_a_browser_opens_connections_share_one_connection_and_see_words_stream(valkey_url, valkey, visitors):
    mouth.reset()
    async with web_house(valkey_url, "support.chats:murmurer") as (house, _), visitors.context() as context:
        tabs = [await visitors.tab(context, house.url) for _ in range(7)]
        await tabs[-1].say("hi")
        mouth.words.put_nowait("Once ")
        for tab in tabs:
            await expect(tab.find("#coming")).to_contain_text("Once")
        await until(lambda: len(house.server.house.followers) == 1)
        mouth.words.put_nowait(None)
        for tab in tabs:
            await tab.sees("hi", "Once")


@pytest.mark.proof
async def test_two_tabs_that_open_at_once_open_one_session(valkey_url, valkey, visitors):
    async with web_house(valkey_url, PARROT) as (house, _), visitors.context() as context:
        tabs = await asyncio.gather(*(visitors.tab(context, house.url) for _ in range(3)))
        for tab in tabs:
            await tab.sees("Hello!")
        assert len(list(valkey.scan_iter("sb:*:h:web:*"))) == 1


async def test_a_new_conversation_in_one_tab_is_one_in_the_other(valkey_url, valkey, visitors):
    async with web_house(valkey_url, PARROT) as (house, _), visitors.context() as context:
        ada, bob = await visitors.tab(context, house.url), await visitors.tab(context, house.url)
        await ada.say("one")
        await bob.sees("Hello!", "one", "You said one.")
        late = await bob.page.evaluate("Object.keys(localStorage).find((key) => key.includes(' said '))")
        await bob.find("#new-button").click()
        await bob.find("#sure button", has_text="Stay").click()
        await bob.find("#new-button").click()
        await bob.find("#sure button", has_text="Start").click()
        for tab in (ada, bob):
            await tab.sees("Hello!")
        await bob.page.evaluate(  # a tab that has not heard of it yet writes down what came in the old one
            "(late) => localStorage.setItem(late.replace(/[^ ]+$/, '9.0'), JSON.stringify({ kind: 'reply', turn: 9, text: 'Late.' }))", late
        )
        await ada.say("two")
        for tab in (ada, bob):
            await tab.sees("Hello!", "two", "You said two.")


@pytest.mark.proof
async def test_where_a_browser_has_no_locks_each_tab_sends_and_it_is_one_message(valkey_url, valkey, visitors):
    async with web_house(valkey_url, PARROT) as (house, _), visitors.context() as context:
        await context.add_init_script("Object.defineProperty(navigator, 'locks', { value: undefined });")
        ada = await visitors.tab(context, house.url)
        await ada.sees("Hello!")
        bob = await visitors.tab(context, house.url)
        for number in range(3):
            await (ada, bob)[number % 2].say(f"{number}")
            for tab in (ada, bob):
                await expect(tab.find("#log")).to_contain_text(f"You said {number}.")
        assert turns(valkey) == 4


# -- the connection ------------------------------------------------------------------------------------------------------------------------


async def test_what_is_written_without_a_connection_is_kept_and_sent_once_in_its_order(valkey_url, valkey, visitors):
    async with web_house(valkey_url, PARROT) as (house, _), visitors.context() as context:
        ada = await visitors.tab(context, house.url)
        await ada.sees("Hello!")
        await context.set_offline(True)
        for word in ("one", "two", "three"):
            await ada.say(word)
        await expect(ada.find("#trouble")).to_contain_text("You are offline. What you write is kept here")
        await expect(ada.find(".waiting .fate")).to_have_text(["Kept here, and sent as soon as that is possible"] * 3)
        await ada.picture("offline")
        await ada.find("#new-button").click()
        await expect(ada.find("#sure-words")).to_contain_text("3 messages have not been sent, and will not be.")
        await ada.find("#sure button", has_text="Stay").click()
        await context.set_offline(False)
        await ada.sees("Hello!", "one", "You said one.", "two", "You said two.", "three", "You said three.")
        await expect(ada.find("#trouble")).to_be_empty()
        assert turns(valkey) == 4


async def test_answers_that_get_lost_on_the_way_are_asked_for_again_with_the_same_key(valkey_url, valkey, visitors):
    async with web_house(valkey_url, PARROT) as (house, _), visitors.visit(house.url) as ada:
        await ada.sees("Hello!")
        keys = []

        async def lose(route):
            """Two answers of three."""
            keys.append(route.request.headers["idempotency-key"])
            if len(keys) % 3:
                await route.fetch()
                await route.abort()
            else:
                await route.continue_()

        await ada.page.route("**/messages", lose)
        for word in ("one", "two"):
            await ada.say(word)
            await expect(ada.find("#log")).to_contain_text(f"You said {word}.")  # by the stream, which loses nothing
            await expect(ada.find(".waiting")).to_have_count(0)
        await ada.sees("Hello!", "one", "You said one.", "two", "You said two.")
        assert [keys.count(key) for key in dict.fromkeys(keys)] == [3, 3]
        assert turns(valkey) == 3


async def test_an_answer_stands_below_its_message_also_when_it_is_there_first(valkey_url, valkey, visitors):
    async with web_house(valkey_url, PARROT) as (house, _), visitors.visit(house.url) as ada:
        await ada.sees("Hello!")
        seen = asyncio.Event()

        async def delay(route):
            answer = await route.fetch()
            await seen.wait()
            await route.fulfill(response=answer)

        await ada.page.route("**/messages", delay)
        await ada.say("hi")
        await ada.sees("Hello!", "hi", "You said hi.")
        await expect(ada.find(".waiting")).to_have_count(1)
        seen.set()
        await expect(ada.find(".waiting")).to_have_count(0)
        await ada.sees("Hello!", "hi", "You said hi.")


async def test_a_last_word_whose_answer_is_late_counts_as_heard(valkey_url, valkey, visitors):
    async with web_house(valkey_url, PARROT) as (house, _), visitors.visit(house.url) as ada:
        await ada.sees("Hello!")
        over = asyncio.Event()

        async def delay(route):
            answer = await route.fetch()
            await over.wait()
            await route.fulfill(response=answer)

        await ada.page.route("**/messages", delay)
        await ada.say("bye")
        await expect(ada.find("#over")).to_be_visible()
        await ada.page.reload()
        await expect(ada.find("#over")).to_be_visible()
        over.set()
        await expect(ada.find(".waiting")).to_have_count(0)
        await expect(ada.find(".refused")).to_have_count(0)
        await ada.sees("Hello!", "bye", "Bye.")


async def test_what_the_server_says_while_it_cannot_is_told_and_its_pause_is_kept(valkey_url, valkey, visitors):
    async with web_house(valkey_url, PARROT) as (house, _), visitors.visit(house.url) as ada:
        await ada.sees("Hello!")
        refusals = [
            (429, "Too many messages: wait a moment."),
            (503, "The store does not answer."),
            (502, "<h1>Bad gateway</h1>"),
            (409, "Busy."),
        ]
        seen = []
        told = asyncio.Event()

        async def refuse(route):
            if len(seen) == 2:
                await told.wait()  # what is told after the second refusal stands until the third
            if not refusals:
                return await route.continue_()
            status, why = refusals.pop(0)
            seen.append(status)
            body = why if why.startswith("<") else json.dumps({"error": why})
            return await route.fulfill(status=status, body=body, headers={"Retry-After": "1"})

        await ada.page.route("**/messages", refuse)
        await ada.say("hi")
        await expect(ada.find("#trouble")).to_contain_text("The server cannot answer just now. This page tries again by itself.")
        told.set()
        await ada.sees("Hello!", "hi", "You said hi.")
        await expect(ada.find("#trouble")).to_be_empty()
        assert seen == [429, 503, 502, 409]
        assert turns(valkey) == 2


async def test_a_proxy_or_a_portal_that_answers_in_the_place_of_the_server_ends_nothing(valkey_url, valkey, visitors):
    async with web_house(valkey_url, PARROT) as (house, _), visitors.context() as context:
        html, foreign = "<h1>Please sign in</h1>", json.dumps({"message": "Forbidden"})
        between = {
            "messages": [(404, html), (401, ""), (403, foreign), (200, html), (410, html)],
            "events": [(403, html), (404, foreign), (200, html), (401, json.dumps({"error": "Sign in first."})), (410, "")],
        }

        async def answer(route):
            left = between[route.request.url.rpartition("/")[2]]
            if not left:
                return await route.continue_()
            status, body = left.pop(0)
            return await route.fulfill(status=status, body=body, content_type="text/html")

        await context.route("**/web/sessions/*/*", answer)
        ada = await visitors.tab(context, house.url)
        await ada.say("precious words")
        await ada.sees("Hello!", "precious words", "You said precious words.")
        await expect(ada.find("#trouble")).to_be_empty()
        await expect(ada.find("#over")).to_be_hidden()
        assert between == {"messages": [], "events": []}
        assert turns(valkey) == 2


async def test_a_stream_that_falls_silent_is_given_up_for_another(valkey_url, valkey, visitors):
    async with web_house(valkey_url, PARROT) as (house, _), visitors.context() as context:
        await context.add_init_script(
            "const later = setTimeout; window.setTimeout = (work, wait, ...more) => later(work, wait === 40000 ? 1500 : wait, ...more);"
        )
        ada = await visitors.tab(context, house.url)
        await ada.sees("Hello!")
        async with ada.page.expect_request(
            lambda request: request.url.endswith("/events") and request.headers.get("last-event-id") == "0.0"
        ):
            pass
        await ada.say("hi")
        await ada.sees("Hello!", "hi", "You said hi.")


async def test_an_opening_whose_answer_gets_lost_is_one_session(valkey_url, valkey, visitors):
    async with web_house(valkey_url, PARROT) as (house, _), visitors.context() as context:
        lost = []

        async def lose(route):
            lost.append(await (await route.fetch()).json())
            await (route.abort() if len(lost) < 3 else route.continue_())

        await context.route("**/web/sessions", lose)
        ada = await visitors.tab(context, house.url)
        await ada.sees("Hello!")
        assert len({each["id"] for each in lost}) == 1
        assert len(list(valkey.scan_iter("sb:*:h:web:*"))) == 1


STORAGES = {
    "closed": "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('closed', 'SecurityError'); } });",
    "full": "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };",
    "soon full": "const set = Storage.prototype.setItem; Storage.prototype.setItem = "
    "function (...item) { if (this.length > 5) throw new DOMException('full', 'QuotaExceededError'); set.apply(this, item); };",
}


@pytest.mark.parametrize("how", ["soon full", *(pytest.param(each, marks=pytest.mark.proof) for each in ("closed", "full"))])
async def test_a_storage_that_is_closed_or_full_keeps_nobody_from_talking(valkey_url, valkey, visitors, how):
    async with web_house(valkey_url, PARROT) as (house, _), visitors.context() as context:
        await context.add_init_script(STORAGES[how])
        ada = await visitors.tab(context, house.url)
        said = ["Hello!"]
        for number in range(6):
            await ada.say(f"{number}")
            said += [f"{number}", f"You said {number}."]
        await ada.sees(*said)
        await expect(ada.find(".waiting")).to_have_count(0)
        assert turns(valkey) == 7
        await context.route("**/messages", lambda route: route.abort())
        await ada.say("precious words")
        await expect(ada.find("#trouble")).to_contain_text("The server does not answer")
        asked = await ada.page.evaluate("!dispatchEvent(new Event('beforeunload', { cancelable: true }))")
        if how == "soon full":
            assert not asked
            await ada.page.reload()
        else:
            assert asked
            await expect(ada.find("#trouble")).to_contain_text("only in this tab: do not close it")
            await expect(ada.find(".waiting .fate")).to_contain_text("Only in this tab")
        await context.unroute("**/messages")
        await expect(ada.find("#log")).to_contain_text("You said precious words.")
        await expect(ada.find(".waiting")).to_have_count(0)
        assert turns(valkey) == 8
        assert await ada.page.evaluate("dispatchEvent(new Event('beforeunload', { cancelable: true }))")


# -- the server ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(240)
async def test_a_server_that_is_killed_at_any_moment_loses_no_word_and_hears_none_twice(tmp_path, visitors):
    server = ServerProcess(tmp_path / "a house", ECHO).start()
    try:
        async with visitors.visit(server.url) as ada:
            await ada.sees("Say something.")
            expected = ["Say something."]
            for number, moment in enumerate((None, 0.01)):
                if moment is None:
                    server.kill()
                await ada.say(f"word {number}")
                if moment is not None:
                    await asyncio.sleep(moment)
                    server.kill()
                else:
                    await expect(ada.find("#trouble")).to_contain_text("The server does not answer")
                    await ada.picture("server-away")
                server.start()
                expected += [f"word {number}", f"You said word {number}.", "Say something."]
                await ada.sees(*expected)
            await expect(ada.find("#trouble")).to_be_empty()
            id_ = await session_of(ada)
            assert await spoken(server, id_) == [text for text in expected if not text.startswith("word")]
            assert id_ not in server.output()
            assert id_ not in ada.page.url
    finally:
        server.end()


@pytest.mark.proof
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", range(4))
async def test_servers_and_tabs_that_die_at_random_lose_no_word_and_hear_none_twice(tmp_path, visitors, seed):
    random = Random(seed)
    server = ServerProcess(tmp_path / "a house", ECHO).start()
    try:
        async with visitors.context() as context:
            tabs = [await visitors.tab(context, server.url) for _ in range(2)]
            await tabs[1].sees("Say something.")
            words = []
            for number in range(25):
                for _ in range(random.randrange(1, 4)):
                    words.append(f"word {len(words)} of {number}")
                    await random.choice(tabs).say(words[-1])
                await asyncio.sleep(random.choice((0.0, 0.01, 0.05, 0.3)))
                match random.choice(("server", "tab", "both", "refresh", "network")):
                    case "refresh":
                        await random.choice(tabs).page.reload()
                    case "network":
                        await context.set_offline(True)
                        await asyncio.sleep(random.random())
                        await context.set_offline(False)
                    case what:
                        if what != "tab":
                            server.kill()
                        if what != "server":
                            await tabs.pop(random.randrange(2)).page.close()
                        if what != "tab":
                            server.start()
                        if what != "server":
                            tabs.append(await visitors.tab(context, server.url))
                if not random.randrange(3):
                    await expect(random.choice(tabs).find(".waiting")).to_have_count(0)
            for tab in tabs:
                await expect(tab.find(".waiting")).to_have_count(0)
                await expect(tab.find("#log .said")).to_have_count(1 + 2 * len(words))
                assert sorted(text for text in await tab.transcript() if text.startswith("word")) == sorted(words)
            id_ = await session_of(tabs[0])
            answers = [text for text in await spoken(server, id_) if text.startswith("You")]
            assert sorted(answers) == sorted(f"You said {word}." for word in words)
    finally:
        server.end()


async def spoken(server, id_):
    """What the server has on record as said."""
    async with aiohttp.ClientSession() as http, http.get(f"{server.url}/web/sessions/{id_}/events") as response:
        said = []
        async for line in response.content:
            if line.startswith(b":"):
                return said
            if line.startswith(b"data: ") and b'"text"' in line:
                said.append(json.loads(line[6:])["text"])
    return said
