"""The phone on the page in a real browser, before a whole server on a real Valkey."""

import asyncio

import pytest
from playwright.async_api import expect
from support.phone_house import phone_house
from support.visitor import DESK, NIGHT, PHONE

pytestmark = pytest.mark.asyncio(loop_scope="session")

ECHO = "support.conversations:echo"
EXCHANGE = "support.conversations:exchange"

SENSES = """
window.spoken = [];
speechSynthesis.speak = (words) => window.spoken.push(`${words.lang}: ${words.text}`);
window.SpeechRecognition = class extends EventTarget {
  start() { setTimeout(() => {
    this.dispatchEvent(Object.assign(new Event("result"), { results: [[{ transcript: `heard in ${this.lang}` }]] }));
    this.dispatchEvent(new Event("end"));
  }); }
  stop() {}
};
"""
"""A voice and an ear for a browser that has no loudspeaker and no microphone."""


async def calls(visitors, context, house):
    """Somebody at the page who has called, and whose turn it is."""
    ada = await visitors.tab(context, f"{house.url}/phone")
    await ada.find("#call").click()
    await expect(ada.find("#status")).to_contain_text("Your turn")
    return ada


def length(valkey):
    """How many events the only call has."""
    (key,) = valkey.scan_iter("sb:*:h:phone:*")
    return valkey.llen(key)


async def hears(ada, *texts):
    """Wait until exactly this was said."""
    await expect(ada.find("#log .said")).to_have_text(list(texts))


async def test_a_call_is_had_by_the_keypad_and_words_and_what_is_behind_it_is_seen(valkey_url, valkey, visitors):
    async with phone_house(valkey_url, EXCHANGE) as house, visitors.context() as context:
        ada = await calls(visitors, context, house)
        assert await ada.barriers() == []
        await expect(ada.find("#caption")).to_have_text("Press 1 for Ada, 2 for a message.")
        await ada.find("#pad").get_by_role("button", name="2", exact=True).click()
        await expect(ada.find("#status")).to_have_text("Recording: speak now")
        await expect(ada.find("#history li")).to_contain_text(["opened by +12025550199", "pressed 2"])
        await expect(ada.find("#waits")).to_contain_text("It waits for listen record (step 1).")
        await expect(ada.find("#twiml details[open] pre")).to_contain_text('<Record action="voice?turn=1"')
        await expect(ada.find("#twiml details")).to_have_count(2)
        await ada.picture("phone-page")
        await ada.say("it is me")
        await expect(ada.find("#status")).to_have_text("The other side hung up")
        await expect(ada.find("#session")).to_have_text("ended")
        await expect(ada.find("#call")).to_be_visible()


async def test_it_is_used_by_keyboard_alone_at_night_and_keys_are_corrected_and_collected(valkey_url, valkey, visitors):
    async with phone_house(valkey_url, "support.conversations:buggy") as house, visitors.context(**DESK, **NIGHT) as context:
        ada = await visitors.tab(context, f"{house.url}/phone")
        await ada.page.keyboard.press("1")
        await expect(ada.find("#number")).to_have_value("+155501001")
        await ada.page.keyboard.press("Backspace")
        await ada.find("#number").press("Enter")
        await expect(ada.find("#status")).to_have_text("Your turn: keys")
        await expect(ada.find("#hang-up")).to_be_focused()
        for key in ("4", "7", "7", "Backspace", "1"):
            await ada.page.keyboard.press(key)
        await expect(ada.find("#pressed")).to_have_text("•••")
        await ada.page.keyboard.press("1")
        await expect(ada.find("#log .mine")).to_have_text("You press ••••")
        await hears(ada, "Your PIN?", "Sorry, something went wrong on our side. Please try again later.")
        await expect(ada.find("#session")).to_have_text("failed")
        await expect(ada.find("#waits")).to_contain_text("ZeroDivisionError")
        await expect(ada.find("#twiml details")).to_have_count(3)
        await expect(ada.find("#twiml")).to_contain_text("(hidden)")
        assert "4711" not in await ada.find("body").evaluate("body => body.textContent")
        assert await ada.barriers() == []
        await ada.picture("phone-page-dark")


async def test_it_fits_a_phone_and_reads_aloud_and_listens_where_the_browser_can(valkey_url, valkey, visitors):
    async with phone_house(valkey_url, ECHO, line={"locale": "fi-FI"}) as house, visitors.context(**PHONE) as context:
        await context.add_init_script(SENSES)
        ada = await calls(visitors, context, house)
        assert await ada.overflow() == 0
        await ada.find("#more summary").click()
        await ada.find("#aloud").check()
        await ada.find("#listen").click()
        await hears(ada, "Say something.", "You said heard in fi-FI.", "Say something.")
        assert await ada.page.evaluate("window.spoken") == ["fi-FI: You said heard in fi-FI.", "fi-FI: Say something."]
        await ada.find("#pad button").first.click()
        await expect(ada.find("#hint")).to_have_text("Only words are heard here.")
        assert await ada.overflow() == 0
        assert await ada.barriers() == []
        await ada.picture("phone-page-phone")
        await ada.find("#hang-up").click()
        await expect(ada.find("#status")).to_have_text("You hung up")


async def test_words_that_are_meant_to_break_the_page_are_text(valkey_url, valkey, visitors):
    attack = "<img src=x onerror='window.harm=1'><script>window.harm=2</script>" + "W" * 500
    async with phone_house(valkey_url, ECHO) as house, visitors.context(**PHONE) as context:
        ada = await calls(visitors, context, house)
        await ada.say(attack)
        await hears(ada, "Say something.", f"You said {attack}.", "Say something.")
        await expect(ada.find("#history li")).to_have_count(2)
        assert await ada.page.evaluate("window.harm") is None
        assert await ada.find("main :is(img, script)").count() == 0
        assert await ada.overflow() == 0


@pytest.mark.parametrize("arrives", [False, True], ids=["on the way", "and its answer"])
async def test_what_is_said_into_a_line_that_breaks_is_heard_once(valkey_url, valkey, visitors, arrives):
    async with phone_house(valkey_url, ECHO) as house, visitors.context() as context:
        lost = []

        async def break_once(page):
            server = page.connect_to_server()
            server.on_message(lambda message: page in lost or page.send(message))

            async def hear(message):
                if '"say"' in message and not lost:
                    lost.append(page)  # nothing comes back any more
                    if arrives:
                        server.send(message)
                        while length(valkey) < 2:  # noqa: ASYNC110 - nobody tells
                            await asyncio.sleep(0.05)
                    await page.close(code=3000)
                else:
                    server.send(message)

            page.on_message(hear)

        await context.route_web_socket("**/phone/call", break_once)
        ada = await calls(visitors, context, house)
        await ada.say("one")
        await expect(ada.find("#log .said").filter(has_text="You said one.")).to_have_count(1)
        await expect(ada.find("#log")).to_contain_text("The line is back")
        await expect(ada.find("#status")).to_contain_text("Your turn")
        await ada.say("two")
        await expect(ada.find("#log")).to_contain_text("You said two.")
        await expect(ada.find("#history li")).to_contain_text(["opened", 'said "one"', 'said "two"'])
        assert len(lost) == 1


async def test_a_call_outlives_its_server_and_a_page_that_is_left_hangs_up(valkey_url, valkey, visitors):
    async with phone_house(valkey_url, ECHO) as house, visitors.context() as context:
        ada = await calls(visitors, context, house)
        await house.reboot()
        await expect(ada.find("#log")).to_contain_text("The line is back")
        await expect(ada.find("#status")).to_contain_text("Your turn")
        await ada.say("one")
        await expect(ada.find("#log .said").last).to_have_text("Say something.")
        await expect(ada.find("#log")).to_contain_text("You said one.")
        await house.stop()
        await expect(ada.find("#status")).to_have_text("The line broke. Getting it back …")
        await ada.picture("phone-page-lost")
        await house.start()
        await expect(ada.find("#status")).to_contain_text("Your turn")
        await expect(ada.find("#history li")).to_have_count(2)
        await ada.page.reload()
        await expect(ada.find("#status")).to_have_text("Ready to call")
        while length(valkey) < 3:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
        valkey.flushdb()
        await ada.find("#call").click()
        await expect(ada.find("#status")).to_contain_text("Your turn")
        await house.stop()
        await expect(ada.find("#status")).to_have_text("The line broke. Getting it back …")
        await ada.find("#hang-up").click()
        await expect(ada.find("#status")).to_have_text("You hung up")
        await house.start()
        while length(valkey) < 2:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


async def test_who_hangs_up_before_a_server_was_there_has_not_called_it(valkey_url, valkey, visitors):
    async with phone_house(valkey_url, ECHO) as house, visitors.context() as context:
        ada = await visitors.tab(context, f"{house.url}/phone")
        await house.stop()
        await ada.find("#call").click()
        await expect(ada.find("#status")).to_have_text("The line broke. Getting it back …")
        sockets = []
        await ada.find("#hang-up").click()
        await expect(ada.find("#status")).to_have_text("You hung up")
        ada.page.on("websocket", lambda socket: sockets.append(socket.url))
        await house.start()
        await ada.find("#call").click()
        await expect(ada.find("#status")).to_contain_text("Your turn")
        assert len(sockets) == 1, "that of the second call"
        assert length(valkey) == 1


GARBLER = """
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (text) {
  send.call(this, window.garbled ? text.replace(/"do":"[^"]*"/, '"do":"mumble"') : text);
  window.garbled = false;
};
"""
"""A line that makes one message a mumble."""


async def test_who_was_not_heard_says_it_again(valkey_url, valkey, visitors):
    async with phone_house(valkey_url, ECHO) as house, visitors.context() as context:
        await context.add_init_script(GARBLER)
        ada = await calls(visitors, context, house)
        await ada.page.evaluate("window.garbled = true")
        await ada.say("one")
        await expect(ada.find("#hint")).to_have_text("That was not heard. Try again.")
        await expect(ada.find("#status")).to_contain_text("Your turn")
        await ada.page.evaluate("document.getElementById('words').value = 'two \\ud800'")
        await ada.find("#words").press("Enter")
        await hears(ada, "Say something.", "You said two \ufffd.", "Say something.")


async def test_more_keys_than_a_call_takes_at_once_are_not_sent(valkey_url, valkey, visitors):
    async with phone_house(valkey_url, "support.conversations:buggy") as house, visitors.context() as context:
        ada = await calls(visitors, context, house)
        await ada.say("1" * 65)
        await expect(ada.find("#hint")).to_contain_text("at most 64")
        await expect(ada.find("#status")).to_have_text("Your turn: keys")
        await ada.say("4711")
        await expect(ada.find("#log .mine")).to_have_text("You press ••••")
        await expect(ada.find("#session")).to_have_text("failed")


async def test_one_s_own_number_is_typed_as_people_write_it_or_told_what_is_wrong_with_it(valkey_url, valkey, visitors):
    async with phone_house(valkey_url, ECHO) as house, visitors.context() as context:
        ada = await visitors.tab(context, f"{house.url}/phone")
        await ada.find("#more summary").click()
        await ada.find("#caller").fill("Ada & Bob")
        await ada.find("#call").click()
        await expect(ada.find("#hint")).to_contain_text("Your own number is none")
        await expect(ada.find("#caller")).to_be_focused()
        await ada.find("#caller").fill(" +1 (202) 555-0142 ")
        await ada.find("#call").click()
        await expect(ada.find("#history li")).to_contain_text(["opened by +12025550142"])


async def test_the_token_is_asked_for_and_opens_the_page(valkey_url, valkey, visitors):
    locked = {"phone_page_token": "open sesame, please", "server": {"trusted_proxies": ["10.0.0.0/8"]}}
    async with phone_house(valkey_url, ECHO, **locked) as house, visitors.visit(f"{house.url}/phone", ready=False) as ada:
        assert await ada.barriers() == []
        await ada.find("#token").fill("open sesame, please")
        await ada.find("#token").press("Enter")
        await ada.find("#call").click()
        await expect(ada.find("#status")).to_contain_text("Your turn")
