"""Servers and their store are killed at random while people call, chat and have errands run: see `support.chaos`."""

import sys
from pathlib import Path
from random import SystemRandom

import pytest
from support.chaos import Campaign, played

pytestmark = pytest.mark.timeout(1_800)


def check(campaign: Campaign, kills: int) -> None:
    """What was killed, and that there was enough to lose."""
    assert campaign.killed.total() >= kills
    assert min(campaign.killed["servers"], campaign.killed["stores"]) >= kills // 10
    assert len(campaign.tally.acknowledged) > 2 * kills
    assert campaign.tally.reminders


async def test_a_few_deaths_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    check(await played(tmp_path, seed=3, kills=6), 6)


@pytest.mark.proof
async def test_two_hundred_deaths_lose_nothing_and_double_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = SystemRandom().randrange(10**9)
    campaign = await played(tmp_path, seed, 200)
    check(campaign, 200)
    with capsys.disabled():
        sys.stderr.write(f"\nseed {seed}: {campaign}\n")
