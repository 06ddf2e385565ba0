"""Every place where a process can die, in a turn with an effect, an alarm and an errand: the story always comes to the same end.

A process dies between two callbacks of its event loop, which is at any await in it, or at a call to the store, before that has reached
it or before the reply has left. Nobody says goodbye: see `support.virtual_time`.
"""

import os
from collections.abc import Callable

import pytest
from support.house import Node, Town
from support.stories import STORIES, WORKFLOWS, Teller, check_promises
from support.traps import Trap, dies_after_call, dies_at_step, dies_before_call
from support.workflows import Outside


def tell(name: str, *traps: Trap) -> Teller:
    """Tell a story on one node after the other; each of the first ones has a trap set."""
    outside = Outside()
    outside.seconds = 0.3
    town = Town(WORKFLOWS, outside.bodies)
    left = list(traps)

    def node() -> Node:
        node = town.node(f"n.{len(town.nodes)}")
        if left:
            left.pop(0)(town, node)
        return node

    teller = Teller(STORIES[name], town, outside, node(), node)
    teller.tell()
    return teller


def finish(teller: Teller) -> None:
    check_promises(teller)
    teller.town.close()


@pytest.fixture(scope="module", params=STORIES)
def untroubled(request: pytest.FixtureRequest) -> tuple[str, int, int]:
    """A story, and how many callbacks and calls to the store it takes when nobody dies."""
    teller = tell(request.param)
    steps, calls = teller.node.process.steps, len(teller.node.line.calls)
    finish(teller)
    return request.param, steps, calls


def test_nobody_dies(untroubled: tuple[str, int, int]) -> None:
    _, steps, calls = untroubled
    assert steps > 100
    assert calls > 15


def test_a_process_dies_at_any_await(untroubled: tuple[str, int, int]) -> None:
    name, steps, _ = untroubled
    for step in range(steps):
        teller = tell(name, dies_at_step(step))
        try:
            finish(teller)
        except AssertionError as error:
            raise AssertionError(f"{name}, killed at step {step}: {error}") from error


@pytest.mark.parametrize("side", [dies_before_call, dies_after_call])
def test_a_process_dies_at_any_call_to_the_store(untroubled: tuple[str, int, int], side: Callable[[int], Trap]) -> None:
    name, _, calls = untroubled
    for call in range(calls):
        teller = tell(name, side(call))
        try:
            finish(teller)
        except AssertionError as error:
            raise AssertionError(f"{name}, {side.__name__} {call}: {error}") from error


def test_the_one_who_takes_over_dies_as_well(untroubled: tuple[str, int, int]) -> None:
    name, steps, _ = untroubled
    stride = int(os.environ.get("CRASH_STRIDE", "23"))
    for first in range(0, steps, stride):
        for second in range(first % 7, steps, stride):
            teller = tell(name, dies_at_step(first), dies_at_step(second))
            try:
                finish(teller)
            except AssertionError as error:
                raise AssertionError(f"{name}, killed at step {first} and the next one at {second}: {error}") from error
