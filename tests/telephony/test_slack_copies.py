"""Whatever Slack sends, and however often, in whatever order and to whatever replica: each message is one turn with one answer."""

import os
import random

import pytest
from support.slack_copies import campaign
from support.slack_house import slack_kit


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.timeout(600)
async def test_copies_of_a_message_are_one_turn_with_one_answer(valkey, valkey_url, seed):
    async with slack_kit(valkey_url, "support.slack_copies:echo", nodes=2) as kit:
        await campaign(kit, valkey, seed=seed, stories=500)


@pytest.mark.proof
async def test_copies_of_a_message_are_one_turn_with_one_answer_in_a_long_campaign(valkey, valkey_url):
    seed = int(os.environ.get("SEED", "0")) or random.randrange(10**9)
    async with slack_kit(valkey_url, "support.slack_copies:echo", nodes=2) as kit:
        try:
            await campaign(kit, valkey, seed=seed, stories=20_000)
        except AssertionError as error:
            raise AssertionError(f"with SEED={seed}: {error}") from error
