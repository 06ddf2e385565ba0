"""Signed requests in which anything may be anything: never a 5xx, never an answer that Alexa would not take."""

import copy
import json
from random import Random

import aiohttp
import pytest
from support.alexa_house import alexa_house, certificates
from support.hostile_texts import text as hostile_text

from telephony.alexa_wire import LIMIT

SEED = 6
REQUESTS = 1_500


def values(rng):
    """Something that does not belong there."""
    return rng.choice([
        None, True, False, 0, -1, 2**63, -(2**70), 1.5, "", [], {}, [[]], {"": None}, [None] * 50, {"value": {"value": {}}}, "x" * 9_000,
        "AMAZON.StopIntent", "LaunchRequest", "SessionEndedRequest", ["rest", 0], {"rest": ["x", 1]}, {"rest": [0, 10**18]}, {"rest": [-1, -1]},
        {"rest": [2**62, 2**62]}, hostile_text(rng), [hostile_text(rng)], {hostile_text(rng): hostile_text(rng)},
    ])  # fmt: skip


def places(value, way=()):
    """Every place in a request, as the keys that lead to it."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*way, key)
        yield from places(value[key], (*way, key))


def mutate(request, rng):
    """The request with some things set, left out, or swapped; what would have it refused at once mostly stays."""
    request = copy.deepcopy(request)
    for _ in range(rng.choice([1, 1, 2, 5])):
        *way, last = rng.choice(list(places(request)) or [("x",)])
        at = request
        for step in way:
            at = at[step]
        match rng.randrange(4):
            case 0 if isinstance(at, dict):
                at.pop(last, None)
            case 1 if isinstance(at, dict):
                at[rng.choice(["new", "value", "slots", "attributes", "resolutions", "rest"])] = values(rng)
            case _:
                at[last] = values(rng)
    return request


def requests(echo, rng):
    slot = {
        "name": "words",
        "value": hostile_text(rng),
        "resolutions": {"resolutionsPerAuthority": [{"status": {"code": "ER_SUCCESS_MATCH"}}]},
    }
    intents = ["WordsIntent", "DigitsIntent", "AMAZON.YesIntent", "AMAZON.NoIntent", "AMAZON.RepeatIntent", "AMAZON.FallbackIntent"]
    what = rng.choice([
        {"type": "LaunchRequest"},
        {"type": "IntentRequest", "intent": {"name": rng.choice(intents), "slots": {"words": slot}}},
        {"type": "SessionEndedRequest", "reason": "ERROR", "error": {"type": "X", "message": "y"}},
        {"type": "System.ExceptionEncountered", "error": {}, "cause": {}},
    ])  # fmt: skip
    echo.attributes = rng.choice([{}, {"rest": [rng.randrange(5), rng.randrange(5)]}, {"rest": ["x", 0]}])
    return echo.request(what, new=rng.random() < 0.3)


@pytest.mark.parametrize("workflow", ["support.conversations:echo", "support.alexa_skills:host", "support.alexa_skills:clerk"])
async def test_whatever_is_signed_is_answered_or_refused(valkey_url, valkey, workflow):
    rng = Random(f"{SEED}/{workflow}")
    seen = set()
    async with alexa_house(valkey_url, workflow) as (house, echo), aiohttp.ClientSession() as http:
        for number in range(REQUESTS // 3):
            request = requests(echo, rng)
            body = json.dumps(mutate(request, rng) if rng.random() < 0.9 else request).encode()
            async with http.post(f"{house.url}/alexa", data=body, headers=certificates().sign(body)) as response:
                told = await response.text()
                assert response.status in (200, 400), f"seed {SEED}, number {number}: {response.status} to {body!r}"
                seen.add(response.status)
                if response.status == 200:
                    assert len(told.encode()) <= LIMIT
                    assert json.loads(told)["version"] == "1.0"
                else:
                    assert told == "Bad request.\n"
    assert seen == {200, 400}
