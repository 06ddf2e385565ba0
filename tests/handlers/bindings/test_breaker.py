"""The circuit breaker, by a clock that is set."""

import asyncio

import pytest

from handlers.bindings.breaker import FAILURES, FIRST_SECONDS, MOST_SECONDS, Breaker
from workflows.errors import TerminalError, TransientError


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker("the model", clock)


def fail(breaker, times=1, error=TransientError):
    for _ in range(times):
        with pytest.raises(error), breaker.attempt():
            raise error("down")


def succeed(breaker):
    with breaker.attempt():
        pass


def test_it_opens_after_so_many_failures_in_a_row_and_then_refuses_at_once(breaker):
    fail(breaker, FAILURES - 1)
    assert breaker.state == "closed"
    fail(breaker)
    assert breaker.state == "open"
    with pytest.raises(TerminalError, match="the model failed 5 times in a row"), breaker.attempt():
        pytest.fail("nobody is to be asked")


def test_a_success_in_between_starts_the_count_anew(breaker):
    fail(breaker, FAILURES - 1)
    succeed(breaker)
    fail(breaker, FAILURES - 1)
    assert breaker.state == "closed"


def test_whoever_refuses_is_there(breaker):
    fail(breaker, FAILURES - 1)
    fail(breaker, error=TerminalError)
    fail(breaker, FAILURES - 1)
    assert breaker.state == "closed"


def test_when_its_time_is_over_one_attempt_is_let_through(breaker, clock):
    fail(breaker, FAILURES)
    clock.now += FIRST_SECONDS
    assert breaker.state == "half-open"
    with breaker.attempt():
        assert breaker.state == "open"
        with pytest.raises(TerminalError), breaker.attempt():
            pytest.fail("the other one is not back yet")
    assert breaker.state == "closed"
    fail(breaker, FAILURES - 1)
    assert breaker.state == "closed"


def test_a_failed_attempt_doubles_the_time_up_to_a_most(breaker, clock):
    fail(breaker, FAILURES)
    pause, pauses = FIRST_SECONDS, []
    for _ in range(7):
        clock.now += pause - 0.001
        assert breaker.state == "open"
        clock.now += 0.001
        assert breaker.state == "half-open"
        fail(breaker)
        pause = min(pause * 2, MOST_SECONDS)
        pauses.append(pause)
    assert pauses[-1] == MOST_SECONDS
    clock.now += MOST_SECONDS
    succeed(breaker)
    fail(breaker, FAILURES)
    clock.now += FIRST_SECONDS
    assert breaker.state == "half-open"


def test_attempts_that_were_under_way_when_it_opened_do_not_prolong_it(breaker, clock):
    def late():
        with breaker.attempt():
            yield
            raise TransientError("down")

    waiting = [late() for _ in range(50)]
    for each in waiting:
        next(each)
    for each in waiting:
        with pytest.raises(TransientError):
            next(each)
    clock.now += FIRST_SECONDS
    assert breaker.state == "half-open"


@pytest.mark.parametrize("given_up", [asyncio.CancelledError, GeneratorExit])
def test_an_attempt_that_is_given_up_says_nothing_and_leaves_room_for_the_next(breaker, clock, given_up):
    fail(breaker, FAILURES, error=given_up)
    assert breaker.state == "closed"
    fail(breaker, FAILURES)
    clock.now += FIRST_SECONDS
    fail(breaker, error=given_up)
    assert breaker.state == "half-open"
    succeed(breaker)
    assert breaker.state == "closed"
