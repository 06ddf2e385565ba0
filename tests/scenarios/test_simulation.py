"""Callers, two nodes and every trouble at once, from a seed; the promises are checked after each run.

A seed that fails is named; `SIMULATION_SEED=<seed>` plays it alone, in a store that keeps its word and in one that does not.
"""

import logging
import os
import time
from random import SystemRandom

import pytest
from support.chaos import Chaos, LossyChaos

SECONDS = 15.0
PROOF_SECONDS = 900.0

KINDS = pytest.mark.parametrize("kind", [Chaos, LossyChaos])


def play(kind: type[Chaos], seed: int) -> Chaos:
    chaos = kind(seed)
    try:
        chaos.run()
        chaos.check()
        errors = chaos.town.world.errors
        assert not errors, errors
    except Exception as error:
        raise AssertionError(f"{kind.__name__}({seed}) broke a promise: {error!r}. Play it again with SIMULATION_SEED={seed}.") from error
    finally:
        chaos.town.world.close()
    return chaos


def play_for(kind: type[Chaos], seconds: float) -> None:
    seeds = os.environ.get("SIMULATION_SEED")
    if seeds is not None:
        play(kind, int(seeds))
        return
    first = SystemRandom().randrange(10**9)
    logging.disable(logging.CRITICAL)  # troubles by the thousand
    try:
        end, count = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            play(kind, first + count)
            count += 1
    finally:
        logging.disable(logging.NOTSET)
    assert count


@KINDS
def test_the_promises_hold_through_every_trouble(kind: type[Chaos]) -> None:
    play_for(kind, SECONDS)


@pytest.mark.proof
@pytest.mark.timeout(2 * PROOF_SECONDS)
@KINDS
def test_the_promises_hold_through_every_trouble_for_long(kind: type[Chaos]) -> None:
    play_for(kind, PROOF_SECONDS)


@KINDS
def test_a_seed_is_played_the_same_way_each_time(kind: type[Chaos]) -> None:
    one, other = play(kind, 7), play(kind, 7)
    assert one.town.log == other.town.log
    assert one.outside.calls == other.outside.calls
    assert one.town.world.time == other.town.world.time
