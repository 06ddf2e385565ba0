"""The right of way: work behind gives way to whoever waits for an acknowledgement, step by step, in order, and not for ever."""

import asyncio

import pytest
from support.virtual_time import World

from handlers.right_of_way import LONGEST, PART, TICK, RightOfWay

SOON = LONGEST / 10


class Road:
    """Steps of a process that ask before they begin: which have begun, in order, and in which round of the loop."""

    def __init__(self):
        self.world = World()
        self.process = self.world.process("one")
        self.way = RightOfWay()
        self.begun, self.rounds, self.round = [], [], 0

    def begin(self, *steps):
        return [self.process.spawn(self._step(step)) for step in steps]

    async def _step(self, step):
        await self.way.clear()
        self.begun.append(step)
        self.rounds.append(self.round)

    def come(self):
        self.process.call(self.way.come)

    def go(self):
        self.process.call(self.way.go)

    def turn(self):
        """One round of the loop: all that is ready now, and nothing that becomes so by it."""
        self.round += 1
        self.process.ring()
        for _ in range(len(self.process._ready)):
            self.process.step()


@pytest.fixture
def road():
    road = Road()
    yield road
    road.world.close()


def test_a_step_begins_at_once_where_nobody_comes(road):
    road.begin("a")
    road.turn()
    assert road.begun == ["a"]


def test_of_a_crowd_one_step_begins_in_a_round_in_the_order_of_asking(road):
    road.begin(*range(100))
    for _ in range(110):
        road.turn()
    assert road.begun == list(range(100))
    assert len(set(road.rounds)) == 100


def test_steps_wait_while_an_input_is_on_its_way_and_begin_when_the_last_is_there(road):
    road.come()
    road.come()
    road.begin("a", "b")
    road.world.wait(SOON)
    road.go()
    road.world.wait(SOON)
    assert road.begun == []
    road.go()
    road.world.wait(0.0)
    assert road.begun == ["a", "b"]


def test_whoever_comes_while_a_crowd_waits_waits_for_one_step_of_it_at_most(road):
    road.begin(*range(10))
    for _ in range(4):
        road.turn()
    road.come()
    before = len(road.begun)
    road.world.wait(SOON)
    assert before > 0
    assert len(road.begun) == before
    road.go()
    road.world.wait(0.0)
    assert road.begun == list(range(10)), "who was about to begin has not lost its place"


def test_a_step_waits_no_longer_than_so_long_though_the_way_is_never_clear(road):
    road.come()
    road.begin(*range(5))
    road.world.wait(LONGEST - 2 * TICK)
    road.begin("later")
    road.world.wait(0.0)
    assert road.begun == []
    road.world.wait(2 * TICK)
    assert road.begun == list(range(5))
    road.world.wait(LONGEST)
    assert road.begun[5:] == ["later"]


def test_a_way_that_is_never_clear_slows_the_work_down_and_holds_none_of_it_up(road):
    road.come()
    for number in range(600):
        road.begin(number)
        road.world.wait(1 / 600)
    road.world.wait(LONGEST)
    assert road.begun == list(range(600))


def test_where_rounds_are_long_the_work_is_late_but_does_not_pile_up(road):
    road.come()
    rounds, steps = 500, 12
    for _ in range(rounds):
        road.begin(*range(steps))
        road.turn()
        road.world.time += 0.02  # six hundred steps a second
    assert len(road.begun) > rounds * steps - 2 * PART * steps


def test_who_gives_up_keeps_nobody_waiting_and_is_not_begun(road):
    road.come()
    tasks = road.begin(*range(6))
    road.world.wait(SOON)
    for task in tasks[::2]:
        road.process.call(task.cancel)
    road.world.wait(SOON)
    road.go()
    road.world.wait(0.0)
    assert road.begun == [1, 3, 5]


def test_who_gives_up_at_the_very_moment_of_its_turn_keeps_nobody_waiting(road):
    for rounds in range(1, 12):
        road.begun.clear()
        road.come()
        tasks = road.begin(*range(6))
        road.world.wait(SOON)
        road.go()
        for _ in range(rounds):
            road.turn()
        given_up = [task for task in tasks if not task.done()][:1]
        for task in given_up:
            road.process.call(task.cancel)
        road.world.wait(0.0)
        assert all(task.done() for task in tasks)
        assert road.begun == [number for number, task in enumerate(tasks) if not task.cancelled()]
        assert [task.cancelled() for task in tasks].count(True) == len(given_up)


def test_what_has_waited_leaves_the_way_as_it_was(road):
    road.come()
    road.begin(*range(3))
    road.world.wait(2 * LONGEST)
    road.go()
    road.world.wait(2 * LONGEST)
    assert not road.process.ready
    assert road.process.next_timer is None
    road.begin("at once")
    road.turn()
    assert road.begun[-1] == "at once"


def test_on_the_loop_of_the_server_a_step_is_let_go_in_time():
    uvloop = pytest.importorskip("uvloop")

    async def main():
        way = RightOfWay()
        way.come()
        await asyncio.gather(*[way.clear() for _ in range(20)])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main(), 60))
