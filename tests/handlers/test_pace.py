"""The pace of effects: few are never held back, a crowd begins bit by bit, and a busy loop holds back without stopping anybody."""

import asyncio

import pytest
from support.virtual_time import World

from handlers.pace import FREE, GROWTH, LATE_SECONDS, MOST, RATE, Pace


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


def test_a_crowd_begins_one_by_one_in_the_order_of_coming_and_all_get_through(calls):
    calls.begin(1_000)
    calls.world.wait(1.0)
    assert FREE + RATE - 1 <= calls.under_way <= FREE + RATE
    calls.seconds = 60.0
    calls.world.wait(calls.seconds)
    assert calls.under_way <= MOST
    calls.world.wait(calls.seconds * 10)
    assert calls.begun == sorted(calls.ended) == list(range(1_000))


def test_there_are_never_more_than_so_many(calls):
    calls.seconds = 1_000.0
    calls.begin(1_000)
    calls.world.wait(999.0)
    assert calls.under_way == MOST


def test_the_rate_grows_with_what_has_ended_and_falls_when_the_loop_is_late(calls):
    calls.seconds = 0.1
    calls.begin(2_000)
    calls.world.wait(10.0)
    first = len(calls.begun)
    calls.world.wait(10.0)
    second = len(calls.begun) - first
    assert second > first + 10 * RATE * GROWTH

    calls.keep_busy(2 * LATE_SECONDS)
    calls.world.wait(10.0)
    assert len(calls.begun) - first - second <= 10.0 * RATE + 1


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
