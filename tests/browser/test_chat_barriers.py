"""Nobody is kept out of the chat page: axe finds nothing, by day, by night and on a phone, in whatever state; readers hear what matters."""

import pytest
from playwright.async_api import expect
from support.assistant_house import assistant_house
from support.chats import mouth
from support.models import model_server
from support.visitor import DESK, NIGHT, PHONE
from support.web_house import web_house

pytestmark = pytest.mark.asyncio(loop_scope="session")

RICH = "# Title\n\nSome *words*, `code` and [a link](https://example.com).\n\n> quoted\n\n1. one\n2. two\n\n```\ncode\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |"


@pytest.mark.parametrize(
    ("name", "looks"),
    [
        pytest.param("day", DESK, id="day"),
        pytest.param("phone by night", PHONE | NIGHT, id="phone by night"),
        pytest.param("night", DESK | NIGHT, id="night", marks=pytest.mark.proof),
        pytest.param("phone by day", PHONE, id="phone by day", marks=pytest.mark.proof),
    ],
)
async def test_axe_finds_no_barrier(valkey_url, valkey, visitors, name, looks):
    async def check(state):
        await ada.picture(f"{name} - {state}")
        assert await ada.barriers() == [], state
        assert await ada.overflow() == 0, state

    async with model_server() as model, assistant_house(valkey_url, model.url) as (house, _), visitors.context(**looks) as context:
        ada = await visitors.tab(context, house.url)
        await expect(ada.find("#examples button")).to_have_count(4)
        await check("nothing said yet")
        await ada.say("watch flights from London to New York on 24 December for at most 50 EUR")
        await expect(ada.find("#tasks-list li")).to_have_count(1)
        await ada.say("remind me to stretch in 1 second")
        await expect(ada.find(".notice")).to_have_count(1)
        if looks["viewport"] == PHONE["viewport"]:
            await ada.find("#tasks-button").click()
        await check("tasks and notices")
        await ada.find("#new-button").click()
        await check("a question")
        await ada.page.keyboard.press("Escape")
        await context.set_offline(True)
        await ada.say("are you there?")
        await expect(ada.find("#trouble")).not_to_be_empty()
        await check("offline")


async def test_axe_finds_no_barrier_in_rich_words_choices_and_the_end(valkey_url, valkey, visitors):
    async with web_house(valkey_url, "support.mockers:waiter") as (house, _), visitors.visit(house.url, **PHONE) as ada:
        await ada.say("tea")
        await expect(ada.find("#options button")).to_have_count(2)
        assert await ada.barriers() == []
    async with web_house(valkey_url, "support.chats:parrot") as (house, _), visitors.visit(house.url, **DESK | NIGHT) as ada:
        await ada.say(RICH)
        await expect(ada.find("#log table")).to_be_visible()
        await ada.words.evaluate("(box) => { box.value = '\\u0001'; }")
        await ada.words.press("Enter")
        await expect(ada.find(".refused")).to_be_visible()
        await ada.picture("rich words")
        assert await ada.barriers() == []
        await ada.say("bye")
        await expect(ada.find("#over")).to_be_visible()
        await ada.picture("over")
        assert await ada.barriers() == []
        await ada.page.evaluate("document.documentElement.removeAttribute('lang')")
        assert [each.partition(":")[0] for each in await ada.barriers()] == ["html-has-lang"], "it would be noticed"


async def test_readers_hear_whole_answers_and_not_what_was_there_before(valkey_url, valkey, visitors):
    mouth.reset()
    async with web_house(valkey_url, "support.chats:murmurer") as (house, _), visitors.visit(house.url) as ada:
        log, coming = ada.find("#log"), ada.find("#coming")
        await expect(log).to_have_attribute("aria-live", "polite")
        await ada.page.evaluate(
            "() => { window.heard = []; new MutationObserver((all) => all.forEach(({ addedNodes }) => window.heard.push("
            "...[...addedNodes].map((node) => node.textContent)))).observe(document.getElementById('log'), { childList: true }); }"
        )
        await ada.say("hi")
        mouth.words.put_nowait("word [by](https://example.com) word")
        await expect(coming).to_contain_text("word")
        await expect(coming).to_have_attribute("aria-hidden", "true")
        assert await ada.barriers() == [], "nobody gets to a link that is not read out"
        mouth.words.put_nowait(None)
        await expect(log.locator(".said")).to_have_text("Switchboard said: word by word")
        await expect(log.locator(".waiting")).to_have_count(0)
        assert await ada.page.evaluate("heard") == ["You said: hiSending …", "Switchboard said: word by word\n"]
        await ada.page.add_init_script(
            "addEventListener('DOMContentLoaded', () => { const log = document.getElementById('log'); "
            "new MutationObserver(() => { window.live ??= log.getAttribute('aria-live'); }).observe(log, { childList: true }); });"
        )
        await ada.page.reload()
        await ada.sees("hi", "word by word")
        assert await ada.page.evaluate("window.live") == "off"
        await expect(log).to_have_attribute("aria-live", "polite")
