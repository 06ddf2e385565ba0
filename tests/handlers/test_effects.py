"""The effects runner: what it tries again, when it gives up, and what it then has for the record."""

import asyncio
from dataclasses import dataclass
from itertools import pairwise

import msgspec
import pytest
from support.virtual_time import World

from handlers.effects import LONGEST_TEXT, Effects
from handlers.right_of_way import LONGEST, RightOfWay
from workflows.effects import Retry, effect, idempotency_key
from workflows.errors import TerminalError, TransientError
from workflows.steps import CallStep


@dataclass
class Weather:
    degrees: float
    sky: str = "clear"


@effect(retry=Retry(attempts=4, budget=30.0, first=1.0, most=8.0), timeout=5.0)
async def weather(city: str) -> Weather: ...


@effect
async def own_body(number: int) -> int:
    await asyncio.sleep(0.5)
    return number + 1


@pytest.fixture
def world():
    world = World()
    yield world
    world.close()


@pytest.fixture
def perform(world):
    """Run an effect to its outcome; the body may be a list of what its attempts return, raise or sleep."""
    process = world.process("here")

    def perform(body, declared=weather, args=("Turku",), stream=False, emit=lambda text: None):
        effects = Effects({declared.name: body} if body else None)
        task = process.spawn(effects.perform(CallStep(declared, args, {}, stream), "web:1/5/2", lambda: emit))
        world.run(task.done)
        return task.result()

    return perform


def attempts(world, *outcomes):
    """A body that does one thing after the other, and the times at which it was called."""
    times, left = [], list(outcomes)

    async def body(city):
        times.append(world.time)
        outcome = left.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        if isinstance(outcome, float):
            await asyncio.sleep(outcome)
        return outcome

    return body, times


def pauses(times):
    return [after - before for before, after in pairwise(times)]


def test_a_value_is_recorded_as_plain_data(perform, world):
    body, _ = attempts(world, Weather(-3.5))
    outcome = perform(body)
    assert outcome.error is None
    assert msgspec.msgpack.decode(outcome.value) == {"degrees": -3.5, "sky": "clear"}
    assert weather.read(outcome.value) == Weather(-3.5)


def test_an_effect_with_a_body_of_its_own_needs_no_binding(perform):
    assert perform(None, own_body, (4,)).value == msgspec.Raw(b"\x05")


def test_what_is_bound_goes_before_the_body(perform):
    async def bound(number):
        return 70

    assert perform(bound, own_body, (4,)).value == msgspec.Raw(b"\x46")


def test_a_declaration_that_nothing_is_bound_to_fails_for_good_and_names_the_remedy(perform):
    kind, text, terminal = perform(None).error
    assert (kind, terminal) == ("TerminalError", True)
    assert "weather" in text
    assert "switchboard.effects" in text


def test_a_failure_is_tried_again_with_growing_jittered_pauses(perform, world):
    body, times = attempts(world, OSError("down"), OSError("down"), OSError("down"), Weather(1.0))
    assert perform(body).error is None
    first, second, third = pauses(times)
    assert 0.5 <= first <= 1.0
    assert 1.0 <= second <= 2.0
    assert 2.0 <= third <= 4.0


def test_two_nodes_do_not_retry_in_step(perform, world):
    times = []
    for _ in range(2):
        body, when = attempts(world, OSError("down"), Weather(1.0))
        perform(body)
        times.append(pauses(when))
    assert times[0] != times[1]


def test_after_the_last_attempt_the_last_failure_is_recorded(perform, world):
    body, times = attempts(world, OSError("1"), OSError("2"), OSError("3"), OSError("4"))
    assert perform(body).error == ("OSError", "4", False)
    assert len(times) == 4


def test_a_terminal_error_is_not_tried_again(perform, world):
    body, times = attempts(world, TerminalError("no such city"))
    assert perform(body).error == ("TerminalError", "no such city", True)
    assert len(times) == 1


def test_what_the_other_side_asks_for_is_waited_for(perform, world):
    body, times = attempts(world, TransientError("busy", retry_after=12.0), Weather(1.0))
    assert perform(body).error is None
    assert 12.0 <= pauses(times)[0] <= 13.0


def test_an_attempt_that_hangs_is_cut_off_where_the_budget_ends(perform, world):
    body, times = attempts(world, TransientError("busy", retry_after=27.0), 1_000.0)
    assert perform(body).error == ("TimeoutError", "it took too long", False)
    assert len(times) == 2
    assert world.time == pytest.approx(30.0)


def test_an_attempt_may_take_its_time_if_that_is_more_than_the_budget(perform, world):
    @effect(retry=Retry(budget=2.0), timeout=90.0)
    async def slow(city: str) -> float: ...

    body, times = attempts(world, 80.0)
    assert perform(body, slow).error is None
    assert (len(times), world.time) == (1, pytest.approx(80.0))


def test_a_wait_that_would_pass_the_budget_is_not_begun(perform, world):
    body, times = attempts(world, TransientError("busy", retry_after=31.0))
    assert perform(body).error == ("TransientError", "busy", False)
    assert world.time == times[0]


def test_the_budget_counts_the_time_that_attempts_took(perform, world):
    body, times = attempts(world, 100.0, 100.0, 100.0, 100.0)  # each ends after its 5 s

    @effect(name="weather", retry=Retry(attempts=9, budget=11.0, first=1.0), timeout=5.0)
    async def impatient(city: str) -> Weather: ...

    assert perform(body, impatient).error == ("TimeoutError", "it took too long", False)
    assert len(times) == 2


def test_an_attempt_that_takes_too_long_is_cut_off_and_tried_again(perform, world):
    body, times = attempts(world, 100.0, Weather(1.0))
    assert perform(body).error is None
    assert 5.5 <= pauses(times)[0] <= 6.0


def test_a_body_that_is_cancelled_from_within_has_failed_like_any_other(perform, world):
    body, times = attempts(world, asyncio.CancelledError(), asyncio.CancelledError(), asyncio.CancelledError(), asyncio.CancelledError())
    kind, text, terminal = perform(body).error
    assert (kind, terminal) == ("TransientError", False)
    assert "cancelled" in text
    assert len(times) == 4


def test_an_effect_that_nobody_wants_any_more_leaves_no_outcome(world):
    process = world.process("here")
    body, times = attempts(world, 3.0)
    task = process.spawn(Effects({"weather": body}).perform(CallStep(weather, ("Turku",), {}), "k"))
    world.wait(1.0)
    task.cancel()
    world.run(task.done)
    assert task.cancelled()
    assert len(times) == 1


def test_a_call_gives_way_to_inputs_on_their_way_and_is_not_begun_before(world):
    process, way = world.process("here"), RightOfWay()
    body, times = attempts(world, 0.0)
    process.call(way.come)
    task = process.spawn(Effects({"weather": body}, way=way).perform(CallStep(weather, ("Turku",), {}), "k"))
    world.wait(LONGEST / 2)
    assert times == []
    process.call(way.go)
    world.run(task.done)
    assert times == [LONGEST / 2]


def test_a_value_of_the_wrong_type_is_a_failure_and_no_poisoned_memo(perform, world):
    body, times = attempts(world, "sunny")
    kind, text, _ = perform(body).error
    assert kind == "ValidationError"
    assert "object" in text
    assert len(times) == 1


@pytest.mark.parametrize("value", [object(), {1, 2}.__iter__(), 2**70, "\ud800"])
def test_a_value_that_cannot_be_recorded_is_a_failure(perform, world, value):
    body, _ = attempts(world, value)
    assert perform(body).error is not None


def test_a_message_that_cannot_be_recorded_as_it_stands_is_mended(perform, world):
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError

    body, _ = attempts(world, TerminalError("half a \ud83d smile"))
    assert perform(body).error[1] == "half a ? smile"
    body, _ = attempts(world, *[Odd()] * 4)
    assert perform(body).error == ("Odd", "no more is known", False)


def test_an_endless_message_is_cut(perform, world):
    body, _ = attempts(world, TerminalError("x" * 100_000))
    assert perform(body).error[1] == "x" * LONGEST_TEXT


def test_every_attempt_sees_the_same_idempotency_key(perform):
    keys = []

    async def body(city):
        keys.append(idempotency_key.get())
        if len(keys) < 3:
            raise OSError("down")
        return Weather(1.0)

    perform(body)
    assert keys == ["web:1/5/2"] * 3


def test_only_a_streamed_effect_is_given_a_way_to_emit(perform):
    said = []

    async def body(city, emit=None):
        if emit is not None:
            emit("sun")
        return Weather(1.0)

    assert perform(body, emit=said.append).error is None
    assert said == []
    assert perform(body, stream=True, emit=said.append).error is None
    assert said == ["sun"]
