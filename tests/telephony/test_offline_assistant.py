"""The assistant with the offline demo model, in a real server on a real store: the whole way, and every fault on it."""

import contextlib
import itertools
import time
from random import Random

import pytest
from support.models import model_server

from handlers.bindings import think as binding
from handlers.bindings.breaker import MOST_SECONDS
from handlers.messages import Inbound, Opening
from handlers.redis_history import RedisHistory
from switchboard.plugins import opened_bindings
from switchboard.server import Server
from switchboard.settings import Settings
from telephony.simulators.duffel import DuffelEndpoint, serving
from telephony.simulators.model.faults import Fault
from telephony.simulators.model.rules import LABEL
from workflows.assistant import GREETING, UNREACHABLE
from workflows.events import Heard, Memo, decode

SESSION = "web:an-ada-of-her-own"
OPENING = Opening("assistant", {}, "web", None, "ada", "en-GB", "Europe/London", {"can_deliver": True})
boots = itertools.count()


class Chat:
    """A user at a server, which can be replaced by another one."""

    def __init__(self, store_url, model, **settings):
        self.settings = Settings.model_validate({"openai_base_url": model.url, **settings})
        self.store_url = store_url
        self.numbers = itertools.count()
        self.turn = 0

    async def start(self):
        self.open = contextlib.AsyncExitStack()
        bindings = await self.open.enter_async_context(opened_bindings(self.settings))
        self.history = RedisHistory(self.store_url, f"offline.{next(boots)}")
        await self.history.open()
        self.server = Server(self.settings, self.history, bindings)
        self.server.sweeper.start()

    async def stop(self):
        await self.server.close()
        await self.history.close()
        await self.open.aclose()

    async def say(self, text=None):
        """Say something, or come in; gives what was said to it."""
        heard = {} if text is None else {"type": "said", "payload": {"text": text}}
        answer = await self.server.exchange.send(
            Inbound(SESSION, f"m{next(self.numbers)}", opening=OPENING if text is None else None, fresh=text is None, **heard), 60.0
        )
        assert answer is not None, f"nobody has an answer to {text}"
        self.turn, self.offset = answer.turn, len(answer.said)
        return [output.text for _, _, output in answer.said if output.text.strip()]

    async def hear(self):
        """What is said to nobody's asking, when it comes."""
        while True:
            answer = await self.server.exchange.collect(SESSION, self.turn, self.offset, 60.0)
            assert answer is not None, "nothing is said"
            self.offset += len(answer.said)
            if texts := [output.text for _, _, output in answer.said if output.text.strip()]:
                return texts

    async def memos(self):
        events = [decode(element) for element in await self.history.load(SESSION, 0)]
        return [event for event in events if isinstance(event, Memo) and event.name == "think"]


@pytest.fixture
def chat(valkey, valkey_url):
    @contextlib.asynccontextmanager
    async def chat(model, **settings):
        chat = Chat(valkey_url, model, **settings)
        await chat.start()
        try:
            assert await chat.say() == [GREETING]
            yield chat
        finally:
            await chat.stop()

    return chat


async def test_a_reminder_is_set_listed_and_cancelled_and_another_one_fires(chat):
    async with model_server() as model, chat(model) as ada:
        told = await ada.say("remind me to call Grace tomorrow at 9")
        assert told[0].startswith('Reminder "call-grace": call Grace, tomorrow, ')
        assert told[0].endswith("09:00 London time.")
        assert told[1].startswith(LABEL)
        (listed,) = await ada.say("what reminders do I have?")
        assert '"call-grace" (reminder): call Grace' in listed
        (status,) = await ada.say("status of call-grace")
        assert "Time left: " in status
        assert (await ada.say("cancel call-grace"))[0] == 'The reminder "call-grace" is cancelled.'
        assert "No tasks are running." in (await ada.say("list"))[0]
        assert (await ada.say("remind me to stretch in 3 seconds"))[0].startswith('Reminder "stretch": stretch, today, ')
        assert await ada.hear() == ["Reminder: stretch"]


async def test_a_flight_is_watched_at_simulated_fares_and_says_so(chat):
    async with model_server() as model, chat(model) as ada:
        told = await ada.say("watch flights from London to New York on 24 December for at most 99999 EUR")
        assert told[0].startswith('Flight watch "lon-nyc": LON to NYC, ')
        (found,) = await ada.hear()
        assert "EUR (source: simulated fares, not for sale)" in found


async def test_a_flight_is_watched_at_duffel_and_says_that_it_is_of_test_mode(chat):
    duffel = DuffelEndpoint("duffel_test_token")
    async with (
        model_server() as model,
        serving(duffel) as url,
        chat(model, duffel_access_token="duffel_test_token", duffel_api_url=url) as ada,
    ):
        told = await ada.say("watch flights from San Francisco to New York tomorrow for at most 99999 EUR")
        assert told[0].startswith('Flight watch "sfo-nyc": SFO to NYC, ')
        (found,) = await ada.hear()
        assert "EUR with Duffel Airways ZZ" in found
        assert "(source: Duffel's test mode, not for sale)" in found
    assert len(duffel.requests) == 1


async def test_a_token_that_duffel_refuses_is_told_to_the_user_with_the_remedy(chat):
    async with (
        model_server() as model,
        serving(DuffelEndpoint("another")) as url,
        chat(model, duffel_access_token="duffel_test_token", duffel_api_url=url) as ada,
    ):
        await ada.say("watch flights from San Francisco to New York tomorrow for at most 99999 EUR")
        (news,) = await ada.hear()
        assert news.startswith('The flight watch "sfo-nyc" failed: Duffel answered with status 401: Access token not found')
        assert news.endswith("Check DUFFEL_ACCESS_TOKEN.")


async def test_every_answer_is_asked_for_once_and_paid_for_once_whatever_server_goes_on(chat):
    async with model_server() as model, chat(model) as ada:
        for text in ("hello", "remind me to call Grace tomorrow at 9", "list"):
            await ada.say(text)
            await ada.stop()
            await ada.start()
        memos = await ada.memos()
        assert model.requests == len(memos) == 5
        assert all(memo.usage.keys() == {"in", "out"} and memo.usage["in"] > 0 for memo in memos)


async def test_when_the_model_cannot_be_reached_the_user_hears_so_and_the_next_message_works(chat):
    async with model_server("500*3") as model, chat(model) as ada:
        assert await ada.say("hello") == [UNREACHABLE]
        assert (await ada.say("hello"))[0].startswith(LABEL)


async def test_a_hundred_faults_of_every_kind_stop_nobody_and_lose_nothing(chat, monkeypatch):
    monkeypatch.setattr(binding, "SILENCE_SECONDS", 0.15)
    rng = Random(17)
    kinds = [Fault(kind) for kind in ("reset", "hang", "stall", "cut", "end", "error", "garbage", "empty", "malformed")]
    kinds += [Fault("status", None, status) for status in (400, 401, 404, 408, 429, 500, 503)] + [
        Fault("status", 0.1, 429),
        Fault("status", 3600.0, 429),
    ]
    async with model_server() as model, chat(model) as ada:
        await ada.say("remind me to call Grace tomorrow at 9")
        faults, told, messages = 0, [], 1
        while faults < 100:
            row = [kinds[(faults + number) % len(kinds)] for number in range(rng.randint(1, 4))]  # five in a row are an outage
            faults += len(row)
            model.faults.extend(row)
            while model.faults:
                said = await ada.say(rng.choice(["hello", "list", "status of call-grace", "help"]))
                assert said, "nobody is left without a word"
                told += said
                messages += 1
            assert (await ada.say("how are you?"))[0].startswith(LABEL), "the next message works"
            messages += 1
        assert told.count(UNREACHABLE) > 5
        heard = [decode(element) for element in await ada.history.load(SESSION, 0)]
        assert len({event.id for event in heard if isinstance(event, Heard)}) == messages, "every message is on record, once"
        assert '"call-grace" (reminder): call Grace' in (await ada.say("list"))[0]


async def test_in_an_outage_many_users_are_answered_at_once(chat):
    async with model_server("503*9999") as model, chat(model) as ada:
        for _ in range(12):
            assert await ada.say("hello") == [UNREACHABLE]
        assert model.requests <= 8
        model.faults.clear()
        ada.server.house.effects._bindings["think"]._breaker._clock = lambda: time.monotonic() + MOST_SECONDS
        assert (await ada.say("hello"))[0].startswith(LABEL)
