"""The pace of effects: few are never held back, a crowd begins bit by bit, and a busy loop holds back without stopping anybody."""

import asyncio

import pytest
from support.virtual_time import World

from handlers.pace import FREE, LONGEST_SECONDS, MOST, TICK_SECONDS, Pace


class Calls:
    """Effects of a process that take `seconds` each; who has begun and who has ended, in order."""

    def __init__(self, seconds=10.0):
        self.world = World()
        self.process = self.world.process("one")
        self.pace = self.process.call(Pace)
        self.seconds = seconds
        self.begun, self.ended = [], []

    @property
    def under_way(self):
        return len(self.begun) - len(self.ended)

    def begin(self, count):
        return [self.process.spawn(self._call(number)) for number in range(count)]

    async def _call(self, number):
        async with self.pace:
            self.begun.append(number)
            await asyncio.sleep(self.seconds)
            self.ended.append(number)

    def keep_busy(self, seconds):
        """Every millisecond the loop has so much to do."""

        def work():
            self.world.time += seconds
            self.process.call_later(0.001, work)

        self.process.call(self.process.call_later, 0.0, work)


@pytest.fixture
def calls():
    calls = Calls()
    yield calls
    calls.world.close()


def test_a_few_begin_at_once(calls):
    calls.begin(FREE)
    calls.world.wait(0.0)
    assert calls.under_way == FREE


def test_a_crowd_begins_bit_by_bit_in_the_order_of_coming_and_all_get_through(calls):
    calls.begin(1_000)
    calls.world.wait(TICK_SECONDS * 1.5)
    assert FREE < calls.under_way < FREE + 5
    calls.world.wait(1.0)
    assert calls.under_way == MOST
    calls.world.wait(calls.seconds * 10)
    assert calls.begun == sorted(calls.ended) == list(range(1_000))


def test_a_busy_loop_is_not_given_more_than_one_at_a_time_and_never_less_than_one_in_a_while(calls):
    calls.keep_busy(0.02)
    calls.begin(100)
    calls.world.wait(2.0)
    after = calls.under_way
    assert FREE + 10 <= after <= FREE + 2.0 / LONGEST_SECONDS + 1
    calls.world.wait(5.0)
    assert calls.under_way > after


def test_who_gives_up_while_it_waits_or_the_moment_it_is_let_in_takes_no_place(calls):
    calls.seconds = 0.001
    tasks = calls.begin(FREE + 400)
    for _ in range(5_000):
        calls.world.step()
        if len(calls.begun) > FREE:
            break
    for task in tasks[FREE + 1 :: 2]:
        calls.process.call(task.cancel)
    calls.world.wait(10.0)
    assert all(task.done() for task in tasks)
    assert sorted(calls.ended) == [number for number, task in enumerate(tasks) if not task.cancelled()]

    calls.seconds, calls.begun, calls.ended = 10.0, [], []
    calls.begin(FREE)
    calls.world.wait(0.0)
    assert calls.under_way == FREE, "every place is free again"
