"""Callers, two nodes and every trouble at once, from a seed; the promises are checked after each run.

A seed that fails is named; `SIMULATION_SEED=<seed>` plays it alone. `make test` plays the same seeds each time, as many as there is time
for, so that a change is judged and not luck; `make proof` draws new ones for `SIMULATION_SECONDS`.
"""

import logging
import os
import time
from random import SystemRandom

import pytest
from support.chaos import Chaos

SECONDS = float(os.environ.get("SIMULATION_SECONDS", "600"))
SEED = os.environ.get("SIMULATION_SEED")


def play(seed: int) -> None:
    chaos = Chaos(seed)
    try:
        chaos.run()
        chaos.check()
    except Exception as error:
        raise AssertionError(f"seed {seed} broke a promise: {error!r}. Play it again with SIMULATION_SEED={seed}.") from error


def play_from(first: int, seconds: float) -> int:
    """Play seed after seed; gives how many."""
    count = 0
    logging.disable(logging.CRITICAL)  # troubles by the thousand
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            play(first + count)
            count += 1
    finally:
        logging.disable(logging.NOTSET)
    return count


@pytest.mark.timeout(300)
def test_the_promises_hold_through_every_trouble() -> None:
    if SEED is not None:
        play(int(SEED))
    else:
        assert play_from(0, 30.0)


@pytest.mark.proof
@pytest.mark.timeout(SECONDS + 300)
def test_the_promises_hold_through_troubles_never_seen() -> None:
    first = SystemRandom().randrange(10**9)
    print(f"{play_from(first, SECONDS):,} seeds from {first} on")  # noqa: T201 - the figure of the campaign


def test_a_seed_is_played_the_same_way_each_time() -> None:
    logs = []
    for _ in range(2):
        chaos = Chaos(7)
        chaos.run()
        logs.append((chaos.town.log, chaos.outside.calls, chaos.town.world.time))
        chaos.check()
    assert logs[0] == logs[1]
