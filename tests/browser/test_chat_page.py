"""The chat page in a real browser, before a whole server on a real Valkey."""

import asyncio
import re

import pytest
from playwright.async_api import expect
from support.assistant_house import assistant_house
from support.chats import mouth
from support.models import model_server
from support.slack_house import until
from support.visitor import PHONE
from support.web_house import web_house

PARROT = "support.chats:parrot"
pytestmark = pytest.mark.asyncio(loop_scope="session")


def turns(valkey):
    """How many events the only session has on record."""
    (key,) = valkey.scan_iter("sb:*:h:web:*")
    return valkey.llen(key)


# -- talking -------------------------------------------------------------------------------------------------------------------------------


async def test_the_page_says_hello_suggests_what_to_say_and_tells_the_zone_of_the_browser(valkey_url, valkey, visitors):
    async with model_server() as model, assistant_house(valkey_url, model.url) as (house, _), visitors.visit(house.url) as ada:
        await ada.sees("Hello! I can chat, remind you of things, and watch the price of a flight. What can I do for you?")
        await expect(ada.words).to_be_focused()
        await ada.find("#examples button", has_text="Remind me").click()
        await expect(ada.words).to_have_value("Remind me to stretch in 10 minutes")
        await ada.words.press("Enter")
        await expect(ada.find("#log .said").nth(1)).to_contain_text(re.compile('Reminder "stretch": stretch, to.* Helsinki time'))
        await expect(ada.find("#examples")).to_be_hidden()


async def test_words_are_shown_as_they_stream_and_once_when_they_are_whole(valkey_url, valkey, visitors):
    mouth.reset()
    async with web_house(valkey_url, "support.chats:murmurer") as (house, _), visitors.visit(house.url) as ada:
        await ada.say("hi")
        await expect(ada.find("#typing")).to_be_visible()
        mouth.words.put_nowait("Once **upon")
        await expect(ada.find("#coming")).to_have_text("Once **upon")
        await expect(ada.find("#typing")).to_be_hidden()
        mouth.words.put_nowait("** a time")
        await expect(ada.find("#coming")).to_have_text("Once **upon** a time")
        await ada.sees("hi")
        await ada.picture("mid-stream")
        mouth.words.put_nowait(None)
        await ada.sees("hi", "Once upon a time")
        await expect(ada.find("#coming")).to_be_empty()
        await expect(ada.find("#log strong")).to_have_text("upon")
        strong = "async (text) => (await import('/page/words.js')).spoken(text).querySelectorAll('strong').length"
        assert [await ada.page.evaluate(strong, "**a** " * times) for times in (600, 700)] == [600, 0]


@pytest.mark.proof
async def test_streamed_words_that_are_void_give_way_to_those_that_hold(valkey_url, valkey, visitors):
    mouth.reset()
    mouth.fail = 1
    async with web_house(valkey_url, "support.chats:murmurer") as (house, _), visitors.visit(house.url) as ada:
        await ada.say("hi")
        mouth.words.put_nowait("wrong!")
        mouth.words.put_nowait("right")
        await expect(ada.find("#coming")).to_have_text("right")
        mouth.words.put_nowait(None)
        await ada.sees("hi", "right")


async def test_tasks_are_listed_asked_after_called_off_and_heard_of(valkey_url, valkey, visitors):
    async with model_server() as model, assistant_house(valkey_url, model.url) as (house, _), visitors.visit(house.url) as ada:
        await ada.say("remind me to stretch in 2 hours")
        row = ada.find("#tasks-list li", has_text="stretch")
        await expect(row.locator(".state")).to_contain_text(re.compile(r"Reminder · in 1 hour, "))
        await ada.say("watch flights from London to New York on 24 December for at most 5 EUR")
        await expect(ada.find("#tasks-list li", has_text="NYC").locator(".doing")).to_contain_text(
            re.compile(r"Last price \d+\.\d\d EUR, from "),
            timeout=90_000,  # who asked too early asks again in a minute
        )
        await row.get_by_role("button", name="How is stretch?").click()
        await expect(ada.find("#log .said").last).to_contain_text("Time left")
        await row.get_by_role("button", name="Cancel stretch").click()
        await expect(row).to_have_count(0)
        await expect(ada.find("#log", has_text='The reminder "stretch" is cancelled.')).to_be_visible()
        await ada.find("#tasks-list button", has_text="Cancel").click()
        await expect(ada.find("#tasks")).to_be_hidden()
        await ada.say("remind me to drink in 1 second")
        await expect(ada.find(".notice")).to_contain_text("Reminder: drink")
        await expect(ada.find("#tasks-button")).to_be_hidden()


async def test_what_can_be_chosen_is_a_button_and_secret_digits_are_kept_nowhere(valkey_url, valkey, visitors):
    async with web_house(valkey_url, "support.chats:asker") as (house, _), visitors.visit(house.url) as ada:
        await ada.find("#options").get_by_role("button", name="coffee").click()
        await expect(ada.secret).to_be_focused()
        await ada.secret.fill("4711")
        await ada.secret.press("Enter")
        await ada.find("#options").get_by_role("button", name="Yes").click()
        await ada.sees(
            "Which?", "coffee", "Your PIN & name?", "••••", "Listen to the recording", "Sure?", "yes", "That was failed.", "Tell me."
        )
        assert "4711" not in await ada.page.evaluate(
            "JSON.stringify([{...localStorage}, {...sessionStorage}]) + document.documentElement.outerHTML"
        )


async def test_secret_digits_are_hidden_as_soon_as_they_are_asked_for_whatever_else_is_on_its_way(valkey_url, valkey, visitors):
    """After a time-out, while the message before has no answer yet, and when that comes late."""
    async with web_house(valkey_url, "support.chats:porter") as (house, _), visitors.visit(house.url) as ada:
        await expect(ada.find("#log")).to_contain_text("Your PIN?")
        await expect(ada.secret).to_be_visible()
        await ada.secret.fill("4711")
        await ada.secret.press("Enter")
        await expect(ada.words).to_be_visible()
        late = asyncio.Event()

        async def delay(route):
            answer = await route.fetch()
            await late.wait()
            await route.fulfill(response=answer)

        await ada.page.route("**/messages", delay)
        await ada.say("Ada")
        await expect(ada.find("#log")).to_contain_text("The PIN of Ada?")
        await expect(ada.find(".waiting")).to_have_count(1)
        await expect(ada.secret).to_be_visible()
        await ada.secret.fill("4712")
        await ada.secret.press("Enter")
        await expect(ada.find(".waiting")).to_have_count(2)
        late.set()
        await ada.sees("Tea?", "Your PIN?", "••••", "Your name?", "Ada", "The PIN of Ada?", "••••", "Thanks.")
        await expect(ada.words).to_be_visible()
        kept = await ada.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}]) + document.documentElement.outerHTML")
        assert "4711" not in kept
        assert "4712" not in kept


# -- the ends ------------------------------------------------------------------------------------------------------------------------------


async def test_a_conversation_that_has_ended_says_so_and_another_one_can_be_begun(valkey_url, valkey, visitors):
    async with web_house(valkey_url, PARROT) as (house, _), visitors.visit(house.url) as ada:
        await ada.say("bye")
        await ada.sees("Hello!", "bye", "Bye.")
        await expect(ada.find("#over")).to_contain_text("This conversation has ended.")
        await expect(ada.words).to_be_hidden()
        await ada.page.reload()
        await expect(ada.find("#over")).to_contain_text("This conversation has ended.")
        await ada.find("#over-button").click()
        await ada.sees("Hello!")
        await ada.say("again")
        await ada.sees("Hello!", "again", "You said again.")


async def test_a_conversation_that_the_server_has_no_more_is_shown_and_its_unsent_words_can_be_taken_along(valkey_url, valkey, visitors):
    async with web_house(valkey_url, PARROT) as (house, _), visitors.visit(house.url) as ada:
        await ada.say("one")
        await ada.sees("Hello!", "one", "You said one.")
        (key,) = valkey.scan_iter("sb:*:h:web:*")
        house.evict()
        await house.history.forget(key.decode().partition(":h:")[2])
        await ada.say("two")
        await expect(ada.find("#over")).to_be_visible()
        await expect(ada.find(".refused")).to_contain_text("Not sent.")
        await ada.find(".refused button").click()
        await ada.find("#over-button").click()
        await ada.sees("Hello!")
        await expect(ada.words).to_have_value("two")


async def test_a_message_that_a_conversation_ended_upon_can_be_taken_along(valkey_url, valkey, visitors):
    mouth.reset()
    async with web_house(valkey_url, "support.chats:leaver") as (house, _), visitors.visit(house.url) as ada:
        await ada.say("one")
        await expect(ada.find("#typing")).to_be_visible()
        await ada.say("two")
        await until(lambda: turns(valkey) == 3)
        mouth.words.put_nowait("Bye.")
        mouth.words.put_nowait(None)
        await expect(ada.find(".refused")).to_contain_text("The conversation was over before this was heard.")
        await ada.find(".refused button").click()
        await ada.sees("one", "Bye.")
        await ada.find("#over-button").click()
        await expect(ada.words).to_have_value("two")


async def test_where_no_line_answers_the_page_says_so_and_how_to_mend_it(valkey_url, valkey, visitors):
    async with (
        web_house(valkey_url, "", lines={"web:shop": PARROT}) as (house, _),
        visitors.visit(house.url, ready=False) as ada,
    ):
        await expect(ada.find("#over")).to_contain_text('add "web:*" to [lines]')
        await expect(ada.words).to_be_hidden()
        await ada.picture("no-line")


@pytest.mark.proof
async def test_a_message_that_the_server_refuses_says_why_and_can_be_written_anew(valkey_url, valkey, visitors):
    async with web_house(valkey_url, PARROT) as (house, _), visitors.visit(house.url) as ada:
        await ada.words.evaluate("(box) => { box.value = '\\u0001'; }")
        await ada.words.press("Enter")
        await expect(ada.find(".refused")).to_contain_text("Not sent. The text is empty")
        await ada.say("fine")
        await expect(ada.find("#log")).to_contain_text("You said fine.")


@pytest.mark.proof
async def test_a_zone_that_the_server_does_not_know_is_left_to_the_line(valkey_url, valkey, visitors):
    async with web_house(valkey_url, PARROT) as (house, _), visitors.context() as context:
        await context.add_init_script("Intl.DateTimeFormat.prototype.resolvedOptions = () => ({ timeZone: 'Mars/Olympus' });")
        ada = await visitors.tab(context, house.url)
        await ada.sees("Hello!")


# -- the shape -----------------------------------------------------------------------------------------------------------------------------


async def test_it_is_read_and_written_by_keyboard_alone_and_on_a_phone(valkey_url, valkey, visitors):
    async with model_server() as model, assistant_house(valkey_url, model.url) as (house, _), visitors.visit(house.url, **PHONE) as ada:
        await ada.say("remind me to stretch in 2 hours")
        await expect(ada.find("#tasks-button")).to_be_visible()
        assert await ada.overflow() == 0
        await ada.find("#tasks-button").focus()
        await ada.page.keyboard.press("Enter")
        await expect(ada.find("#tasks")).to_be_visible()
        await expect(ada.find("#tasks-button")).to_have_attribute("aria-expanded", "true")
        assert await ada.overflow() == 0
        await ada.picture("phone-tasks")
        await ada.page.set_viewport_size({"width": 320, "height": 256})
        assert await ada.overflow() == 0
        heights = [(await each.bounding_box())["height"] for each in await ada.find(".bar button").all()]
        assert max(heights) < 45, "their words are in one line"
        await ada.page.set_viewport_size(PHONE["viewport"])
        await ada.find("#tasks").get_by_role("button", name="Cancel stretch").focus()
        await ada.page.keyboard.press("Escape")
        await expect(ada.find("#tasks")).to_be_hidden()
        await expect(ada.find("#tasks-button")).to_be_focused()
        await ada.words.fill("one")
        await ada.words.press("Shift+Enter")
        await ada.page.keyboard.type("two")
        await expect(ada.words).to_have_value("one\ntwo")
