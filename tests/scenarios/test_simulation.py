"""Callers, two or three nodes and every trouble at once, from a seed; the promises are checked at each step and at the end.

A seed that breaks one is named, with the command that plays it again and tells what happened.
"""

import sys
from random import SystemRandom

import pytest
from support.simulation import play, play_all

SEEDS = 1_000
PUSHING_SEEDS = 400
BLOCK = 50
PROOF_SEEDS = 20_000
PROOF_BLOCK = 500


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_the_promises_hold_through_every_trouble_from_seed(first: int) -> None:
    play_all(first, BLOCK)


@pytest.mark.parametrize("first", range(0, PUSHING_SEEDS, BLOCK))
def test_the_promises_hold_where_what_is_said_is_posted_from_seed(first: int) -> None:
    play_all(first, BLOCK, pushes=True)


@pytest.mark.proof
@pytest.mark.parametrize("pushes", [False, True])
@pytest.mark.parametrize("block", range(PROOF_SEEDS // PROOF_BLOCK))
def test_the_promises_hold_through_every_trouble_of_new_seeds(block: int, pushes: bool, capsys: pytest.CaptureFixture[str]) -> None:
    first = SystemRandom().randrange(10**9)

    play_all(first, PROOF_BLOCK, pushes=pushes)

    with capsys.disabled():
        which = f"{PROOF_BLOCK} seeds from {first} on, {'posting' if pushes else 'answering'},"
        sys.stderr.write(f"\n{which} hold, block {block + 1} of {PROOF_SEEDS // PROOF_BLOCK}\n")


@pytest.mark.parametrize("pushes", [False, True])
@pytest.mark.parametrize("seed", [2, 8, 12])
def test_a_seed_is_played_the_same_way_each_time(seed: int, pushes: bool) -> None:
    one, other = play(seed, pushes=pushes), play(seed, pushes=pushes)
    assert one.town.log == other.town.log
    assert [call.key for call in one.witness.calls] == [call.key for call in other.witness.calls]
    assert one.world.time == other.world.time
