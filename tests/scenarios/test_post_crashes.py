"""Every place where a process can die in a session whose words are posted: they are posted once, all of them, and in order.

As in `test_crash_points`; the wall's calls are crash points as well.
"""

import pytest
from support.house import SESSION, Node, opening
from support.office import Office, clerk
from support.traps import Trap, dies_after_call, dies_at_step, dies_before_call

from handlers.errors import HandlerError
from workflows.turns import Answer

STORY = [("1", "think"), ("2", "twice"), ("3", "silence"), ("4", "again"), ("5", "soon"), ("6", "bye"), ("7", "hello")]

POSTED = [
    "Life 1.", "I thought about think.", "One.", "Two.", "Again.", "Life 2.", "Soon.", "Bye.", "Life 1.", "You said hello.",
]  # fmt: skip


class Customer:
    """Tells the story to one node after the other; each of the first ones has a trap set."""

    def __init__(self, *traps: Trap) -> None:
        self.office = Office()
        self.office.seconds = 0.3
        self._traps = list(traps)
        self.node = self._next_node()

    def _next_node(self) -> Node:
        node = self.office.node(f"n.{len(self.office.town.nodes)}")
        if self._traps:
            self._traps.pop(0)(self.office.town, node)
        return node

    def tell(self) -> "Customer":
        begin = opening(clerk, channel="wall", facts={"pushes": True})
        self._insist("open", opening=begin)
        for id_, words in STORY:
            self._insist(id_, words, opening=begin, reopens=True)
            self._wait(3.0)
        for _ in range(3):
            self._wait(15.0)
        return self

    def _insist(self, id_: str, words: str | None = None, **more: object) -> Answer:
        for _ in range(60):
            self._replace_dead()
            try:
                return self.node.say(id_, words, **more)
            except (HandlerError, AssertionError):
                self._wait(0.2)
        raise AssertionError("the customer has given up")

    def _wait(self, seconds: float) -> None:
        self.office.town.wait(seconds)
        self._replace_dead()

    def _replace_dead(self) -> None:
        if self.node.dead:
            self.node = self._next_node()

    def check(self) -> None:
        office = self.office
        assert office.said == POSTED
        assert office.wall.placeholders == {}
        assert office.town.pending == []
        assert office.town.due == {}
        assert office.town.store.histories[SESSION].until is not None
        office.town.close()


def dies_at_post(number: int) -> Trap:
    def trap(_: object, node: Node) -> None:
        messenger = node.house.messengers["wall"]
        left = iter(range(number, -1, -1))
        messenger.begin = lambda *_: node.kill() if next(left, -1) == 0 else None  # type: ignore[attr-defined]

    return trap


@pytest.fixture(scope="module")
def untroubled() -> tuple[int, int]:
    """How many callbacks and calls to the store the story takes when nobody dies."""
    customer = Customer().tell()
    steps, calls = customer.node.process.steps, len(customer.node.line.calls)
    customer.check()
    return steps, calls


def test_nobody_dies(untroubled: tuple[int, int]) -> None:
    steps, calls = untroubled
    assert steps > 200
    assert calls > 20


def hold(what: str, *traps: Trap) -> None:
    try:
        Customer(*traps).tell().check()
    except AssertionError as error:
        raise AssertionError(f"{what}: {error}") from error


def test_a_process_dies_at_any_await(untroubled: tuple[int, int]) -> None:
    for step in range(untroubled[0]):
        hold(f"killed at step {step}", dies_at_step(step))


def test_a_process_dies_at_any_call_to_the_store(untroubled: tuple[int, int]) -> None:
    for call in range(untroubled[1]):
        hold(f"killed before call {call}", dies_before_call(call))
        hold(f"killed after call {call}", dies_after_call(call))


def test_a_process_dies_while_it_posts() -> None:
    for number in range(len(POSTED)):
        hold(f"killed at post {number}", dies_at_post(number))


def test_the_one_who_takes_over_dies_as_well(untroubled: tuple[int, int]) -> None:
    for first in range(0, untroubled[0], 31):
        for second in range(first % 11, untroubled[0], 37):
            hold(f"killed at step {first} and the next one at {second}", dies_at_step(first), dies_at_step(second))
