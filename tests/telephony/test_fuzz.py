"""Signed but hostile webhooks into a server process: every one is answered, none by an error of ours, and the server does not grow.

A failure names its seed and the command that runs it again.
"""

import asyncio
import sys
from pathlib import Path
from random import SystemRandom
from urllib.parse import quote

import pytest
import redis
import uvloop
from support.fuzz import MEGABYTE, REQUESTS, ROUND, Campaign, fuzz
from support.phone_house import ACCOUNT, phone_house
from support.webhooks import Webhook
from support.wire import Pipeline

SEED = 20_261_122
FEW = 20_000
GROWTH = 8 * MEGABYTE
"""What a server's memory may differ by between two rests: heaps are fragmented by values of up to 64 kB."""


def run(seed: int, requests: int, each: int, folder: Path) -> Campaign:
    def tell(line: str) -> None:
        sys.stderr.write(f"\n{line}")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(fuzz(seed, requests, each, folder / "a folder", tell))


@pytest.mark.timeout(900)
def test_twenty_thousand_hostile_webhooks_are_all_answered(tmp_path: Path) -> None:
    campaign = run(SEED, FEW, FEW // 4, tmp_path)

    assert campaign.statuses.total() == FEW
    assert set(campaign.statuses) == {200, 204, 400, 403, 413}
    assert campaign.sizes[-1] - campaign.sizes[0] < GROWTH


@pytest.mark.proof
@pytest.mark.timeout(3 * 3600)
def test_a_million_hostile_webhooks_are_all_answered_and_leave_no_trace_in_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = SystemRandom().randrange(10**9)

    with capsys.disabled():
        campaign = run(seed, REQUESTS, ROUND, tmp_path)

    assert campaign.statuses.total() == REQUESTS
    after_100_000 = campaign.sizes[100_000 // ROUND - 1]
    assert campaign.sizes[-1] - after_100_000 < GROWTH, f"seed {seed}: {[size / MEGABYTE for size in campaign.sizes]} MB"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("words", ["100 %", "%2B and %252B", "a+b", "caf\u00e9 & tea = 2", "%", "\U0001f600;#?"])
def test_what_is_said_is_heard_letter_by_letter(method: str, words: str, valkey_url: str, valkey: redis.Redis) -> None:
    async def scene() -> None:
        async with phone_house(valkey_url, "support.conversations:echo") as house, Pipeline(house.port) as pipeline:
            call = (("AccountSid", ACCOUNT), ("CallSid", "CA1"), ("To", "+15550100"))
            begun = Webhook("x", "/twilio/voice", call, method)
            said = Webhook("x", "/twilio/voice?turn=0", (*call, ("SpeechResult", words)), method)
            _, answer = await pipeline.ask([bytes(begun.wire()), bytes(said.wire())])
            assert f"You said {words.replace('&', '&amp;')}." in answer.body.decode()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scene())


def test_the_fields_of_a_query_are_limited_as_those_of_a_body_are(valkey_url: str, valkey: redis.Redis) -> None:
    async def scene() -> None:
        async with phone_house(valkey_url, "support.conversations:echo") as house, Pipeline(house.port) as pipeline:
            many = tuple((quote(f"x{number}"), "") for number in range(300))
            meant = Webhook("x", "/twilio/voice", (("AccountSid", ACCOUNT), ("CallSid", "CA1"), *many), "GET")
            (answer,) = await pipeline.ask([bytes(meant.wire())])
            assert (answer.status, b"a form of 302 fields was refused" in answer.body) == (400, True)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scene())
