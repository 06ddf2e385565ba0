"""A server killed at every moment between an event and its answer, and of a press and what it leads to.

Real processes, a real Valkey for each conversation, and a simulated Slack that outlives them. Whatever dies when: everything is said once and
in order, one placeholder stood at most, and all of it is on record.
"""

import asyncio
from pathlib import Path

import pytest
from support.slack_crashing import Conversation

AT_ONCE = 8
"""Conversations beside each other: most of their time they wait for a dead node's lease to run out."""


async def held(folder: Path, *fatal: int) -> Conversation:
    conversation = Conversation(folder, *fatal)
    await conversation.lead()
    conversation.check()
    return conversation


async def each_of(folder: Path, deaths: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Hold a conversation for each of these deaths; gives those that came to nobody, since all was over before."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(fatal: tuple[int, ...]) -> bool:
        async with room:
            name = "-".join(map(str, fatal))
            try:
                conversation = await held(folder / name, *fatal)
            except AssertionError as error:
                raise AssertionError(f"killed at {name}: {error}") from error
            return len(conversation.reports) <= len(fatal)

    outlived = await asyncio.gather(*map(one, deaths))
    return [fatal for fatal, late in zip(deaths, outlived, strict=True) if late]


async def moments_of(folder: Path) -> list[str]:
    """Those of a conversation in which nobody dies."""
    [moments] = (await held(folder / "untroubled")).reports
    assert {"before a call of Slack's API", "after a post", "before an event is acknowledged", "after a placeholder"} <= set(moments)
    return moments


@pytest.mark.timeout(900)
async def test_killed_at_every_moment_everything_is_said_once(tmp_path: Path) -> None:
    moments = await moments_of(tmp_path)
    assert len(moments) > 30
    late = await each_of(tmp_path, [(number,) for number in range(1, len(moments) + 1)])
    assert min(late, default=(99,)) > (len(moments) - 6,)  # what goes on beside each other does not always come to as many


@pytest.mark.proof
async def test_when_the_heir_is_killed_as_well_everything_is_said_once(tmp_path: Path) -> None:
    moments = await moments_of(tmp_path)
    late = await each_of(tmp_path, [(first, second) for first in range(1, len(moments), 4) for second in range(1 + first % 5, 30, 5)])
    assert len(late) < 20
