"""The assistant on Alexa, with the offline demo model in a server of its own: free text, and a model that takes its time."""

import contextlib
import time

import pytest
from support.alexa_house import alexa_house
from support.models import model_server

from switchboard.plugins import opened_bindings
from switchboard.settings import Settings
from telephony.alexa_turns import ONE_MOMENT, STILL_WORKING
from telephony.simulators.model.rules import LABEL
from workflows.assistant import CHAT_ONLY


@contextlib.asynccontextmanager
async def assistant(store_url, faults=""):
    async with (
        model_server(faults) as model,
        opened_bindings(Settings.model_validate({"openai_base_url": model.url})) as bindings,
        alexa_house(store_url, "assistant", bindings=bindings) as (house, echo),
    ):
        yield model, house, echo


async def test_the_assistant_hears_free_text(valkey_url, valkey):
    async with assistant(valkey_url) as (model, _, echo):
        assert (await echo.launch()).text == CHAT_ONLY
        told = await echo.say("hello there, who are you?")
        assert told.text.startswith(LABEL)
        assert not told.ends
        assert (await echo.say("help")).text.startswith(LABEL)
        assert model.requests == 2


@pytest.mark.parametrize("leaves", [False, True], ids=["at yes", "at the next launch"])
async def test_a_model_that_takes_20_s_is_asked_once_and_every_request_is_answered_within_7(valkey_url, valkey, leaves):
    async with assistant(valkey_url, "slow:20") as (model, _, echo):
        await echo.launch()
        echo.cloud.spoken.clear()
        took = []

        async def timed(what):
            began = time.monotonic()
            told = await what
            took.append(time.monotonic() - began)
            return told

        told = await timed(echo.say("hello there, who are you?"))
        assert told.text == STILL_WORKING
        assert echo.cloud.spoken == [ONE_MOMENT]
        if leaves:
            await echo.end("EXCEEDED_MAX_REPROMPTS")
            told = await timed(echo.launch())
        while told.text.endswith(STILL_WORKING):
            told = await timed(echo.say("yes"))
        assert told.text.startswith(LABEL)
        assert not told.ends
        assert 3 <= len(took) <= 6
        assert max(took) < 7, "Alexa gives up after eight"
        assert model.requests == 1
        assert (await echo.say("thank you")).text.startswith(LABEL)
