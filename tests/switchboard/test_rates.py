"""How often one caller may speak: on every channel, what is too much is told politely, and what was taken once is never refused."""

from ipaddress import ip_network

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict
from support.alexa_house import alexa_house
from support.phone_house import phone_house
from support.slack_house import BOB, GENERAL, slack_kit, until
from support.web_house import texts, web_house

from handlers.memory_history import MemoryHistory, MemoryStore
from switchboard.fields import Rate
from switchboard.rates import KNOWN, MOST_CALLERS, Rates
from switchboard.server import Server
from switchboard.settings import ServerSettings, Settings
from telephony import alexa, phone
from telephony.simulators.events import Said
from telephony.simulators.slack_workspace import BOT
from telephony.slack_intake import TOO_OFTEN

ECHO = "support.conversations:echo"
PARROT = "support.chats:parrot"


class Clock:
    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


def test_so_many_may_come_at_once_and_then_as_many_in_the_time_told(clock):
    rates = Rates(Rate(3, 60.0, "3/1m"), clock)
    assert [rates.wait("ada", number) for number in range(4)] == [0, 0, 0, 20.0]
    clock.seconds += 15
    assert rates.wait("ada", 3) == 5.0
    clock.seconds += 5
    assert rates.wait("ada", 3) == 0
    assert rates.wait("ada", 4) == 20.0
    clock.seconds += 600
    assert [rates.wait("ada", number) for number in range(5, 9)] == [0, 0, 0, 20.0]


def test_every_caller_has_their_own(clock):
    rates = Rates(Rate(1, 60.0, "1/1m"), clock)
    assert [rates.wait(name, 1) for name in ("ada", "bob", "ada")] == [0, 0, 0], "the last one is a copy of the first"
    assert [rates.wait(name, 2) for name in ("ada", "bob")] == [60.0, 60.0]


def test_what_was_let_in_is_let_in_again_for_nothing_and_what_was_not_is_not(clock):
    rates = Rates(Rate(2, 60.0, "2/1m"), clock)
    assert [rates.wait("ada", each) for each in ("a", "a", "a", "b", "a", "b")] == [0] * 6
    assert rates.wait("ada", "c") == rates.wait("ada", "c") == 30.0
    clock.seconds += 30
    assert rates.wait("ada", "c") == 0


def test_a_million_callers_take_no_more_memory_than_some_thousand(clock):
    rates = Rates(Rate(1000, 1.0, "1000/1s"), clock)
    for number in range(KNOWN * 3):
        rates.wait("ada", number)
    assert len(rates._buckets["ada"].known) == KNOWN
    for number in range(MOST_CALLERS + 100):
        rates.wait(f"caller {number}", 1)
    assert len(rates) == MOST_CALLERS


async def test_on_the_web_whoever_sends_too_much_is_told_when_to_come_again_and_copies_are_answered(valkey, valkey_url):
    async with web_house(valkey_url, ECHO, limits={"per_caller": "3/1h"}) as (house, web):
        id_ = (await web.create()).json["id"]
        first = await web.say(id_, "one", key="1")
        assert (await web.say(id_, "two", key="2")).status == 200
        refused = await web.say(id_, "three", key="3")
        assert refused.status == 429
        assert 1000 < int(refused.headers["Retry-After"]) <= 1200
        assert "too much at once" in refused.json["error"]
        assert (await web.create()).status == 429
        again = await web.say(id_, "one", key="1")
        assert (again.status, texts(again)) == (200, texts(first))
        house.server.exchange._rates._clock = lambda: 1e9
        assert texts(await web.say(id_, "three", key="3"))[0] == "You said three."
        assert house.counters["too_often"] == 2


async def test_on_the_web_callers_are_told_apart_by_the_address_that_a_trusted_proxy_names(valkey, valkey_url):
    proxied = {"trusted_proxies": ["127.0.0.0/8", "10.0.0.0/8"]}
    async with web_house(valkey_url, ECHO, limits={"per_caller": "1/1h"}, server=proxied) as (_, web):
        for addresses, status in (
            ("192.0.2.1", 201), ("192.0.2.1", 429), ("192.0.2.1, 10.1.2.3", 429), ("192.0.2.2, 192.0.2.1", 429), ("192.0.2.1, 192.0.2.2", 201),
            ("2001:db8::1", 201), ("2001:db8::2", 429), ("2001:db8:0:1::1", 201), ("nonsense", 201), ("nonsense", 429),
        ):  # fmt: skip
            assert (await web.create(headers={"X-Forwarded-For": addresses})).status == status, addresses
    async with web_house(valkey_url, ECHO, limits={"per_caller": "1/1h"}) as (_, web):
        assert [(await web.create(headers={"X-Forwarded-For": f"192.0.2.{n}"})).status for n in (1, 2)] == [201, 429]


@pytest.mark.parametrize(
    ("remote", "forwarded", "caller"),
    [
        ("10.0.0.1", ["192.0.2.9", "192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["192.0.2.9", "192.0.2.1, 10.0.0.2"], "192.0.2.1"),
        ("10.0.0.1", ["192.0.2.1", "10.0.0.2"], "192.0.2.1"),
        ("::ffff:10.0.0.1", ["::ffff:192.0.2.1"], "192.0.2.1"),
        ("::ffff:192.0.2.1", ["192.0.2.9"], "192.0.2.1"),
        ("2001:db8::1", [], "2001:db8::/64"),
    ],
)
async def test_an_address_is_the_last_that_a_trusted_proxy_names_in_whichever_line_and_the_same_over_ipv6(remote, forwarded, caller):
    settings = Settings(lines={}, server=ServerSettings(trusted_proxies=[ip_network("10.0.0.0/8")]))
    exchange = Server(settings, MemoryHistory(MemoryStore(), "a.1", lambda: 0)).exchange
    headers = CIMultiDict([("X-Forwarded-For", each) for each in forwarded])
    assert exchange.address(make_mocked_request("GET", "/", headers).clone(remote=remote)) == caller


async def test_on_the_phone_a_caller_is_asked_to_wait_and_then_asked_anew(valkey, valkey_url):
    async with (
        phone_house(valkey_url, ECHO, limits={"per_caller": "2/1h"}) as house,
        house.phone(from_="+12025550199", to="+15550100", speed=1000) as line,
    ):
        call = line.call()
        await call.start()
        assert "You said one." in said(await call.say("one"))
        answer = await call.repeat()
        assert "You said one." in answer, "a copy is no input of its own"
        step = said(await call.say("two"))
        assert step == [phone.TOO_OFTEN, "You said one.", "Say something."], "the question is asked anew"
        house.server.exchange._rates._clock = lambda: 1e9
        assert "You said two." in said(await call.say("two"))
        await call.hang_up()
        assert house.counters["too_often"] == 1


async def test_alexa_asks_to_say_it_again(valkey, valkey_url):
    async with alexa_house(valkey_url, ECHO, limits={"per_caller": "1/1h"}) as (house, echo):
        await echo.launch()
        answer = await echo.say("one")
        assert alexa.TOO_OFTEN in str(answer)
        house.server.exchange._rates._clock = lambda: 1e9
        assert "You said one." in str(await echo.say("one"))


async def test_in_slack_whoever_is_too_quick_is_told_and_slack_is_not(valkey, valkey_url):
    async with slack_kit(valkey_url, PARROT, limits={"per_caller": "2/1h"}) as kit:
        for words in ("one", "two", "three", "four"):
            await kit.say(words)  # each is answered with 200
        await until(lambda: kit.whispers)
        await kit.until_said("Hello!", "You said one.", "You said two.")
        assert await kit.sender.send(kit.sender.mention(kit.workspace.write(GENERAL, BOB, f"<@{BOT}> hi"))) == 200
        assert kit.whispers == [TOO_OFTEN], "once a minute"
        assert kit.house.counters["too_often"] == 2


def said(events):
    return [event.text for event in events if isinstance(event, Said)]
