"""Branches: the order in which they go on, end and are closed."""

from collections.abc import Awaitable, Generator
from datetime import timedelta
from typing import Any

import pytest
from support.bare_run import BareRun

from workflows import CallerLeft, Digits, Heard, Talk, Words, effect, workflow
from workflows.pump import MOST_STEPS

HOUR = timedelta(hours=1)


@effect
async def think(prompt: str) -> str: ...


def test_branches_start_in_order_and_the_first_to_finish_gives_its_index_and_value() -> None:
    @workflow
    async def race(talk: Talk) -> None:
        async def slow() -> str:
            talk.say("slow begins")
            return await talk.call(think, "slow")

        async def quick() -> str:
            talk.say("quick begins")
            return await talk.listen(Words())

        index, value = await talk.first(slow(), quick())
        talk.say(f"{index}: {value}")

    run = BareRun(race)
    assert run.said == ["slow begins", "quick begins"]
    assert run.say("hello") == ["1: hello"]
    assert run.run.ended
    assert not run.run.calls


def test_a_branch_that_finishes_at_its_start_wins_before_the_next_has_begun() -> None:
    @workflow
    async def race(talk: Talk) -> None:
        async def at_once() -> int:
            return 7

        async def never() -> int:
            talk.say("never said")
            return len(await talk.call(think, "x"))

        talk.say(str(await talk.first(at_once(), never())))

    assert BareRun(race).said == ["(0, 7)"]


def test_gather_gives_all_values_in_the_order_of_its_branches() -> None:
    @workflow
    async def both(talk: Talk) -> None:
        talk.say(repr(await talk.gather(talk.call(think, "a"), talk.listen(Words()))))

    run = BareRun(both)
    run.say("heard")
    assert run.memo("think", "thought") == ["('thought', 'heard')"]


def test_gather_of_nothing_is_nothing() -> None:
    @workflow
    async def nothing(talk: Talk) -> None:
        talk.say(repr(await talk.gather()))

    assert BareRun(nothing).said == ["()"]


def test_the_losers_are_closed_innermost_first_and_their_finally_blocks_run_once() -> None:
    order: list[str] = []

    @workflow
    async def nested(talk: Talk) -> None:
        async def leaf(name: str) -> None:
            try:
                await talk.sleep(HOUR)
            finally:
                talk.say(f"leaf {name}")

        async def middle(name: str) -> None:
            try:
                await talk.gather(leaf(f"{name}1"), leaf(f"{name}2"))
            finally:
                talk.say(f"middle {name}")

        try:
            await talk.first(middle("a"), middle("b"), talk.listen(Words()))
        finally:
            talk.say("outer")
        talk.say("after")

    run = BareRun(nested)
    order = run.say("go")
    assert order.index("leaf a1") < order.index("middle a") < order.index("outer")
    assert order.index("leaf b2") < order.index("middle b")
    assert sorted(order) == sorted(["leaf a1", "leaf a2", "middle a", "leaf b1", "leaf b2", "middle b", "outer", "after"])
    assert order[-2:] == ["outer", "after"]
    assert not run.run.alarms


def test_a_finally_block_runs_when_the_session_ends_and_not_when_it_leaves_memory() -> None:
    ran: list[str] = []

    @workflow
    async def tidy(talk: Talk) -> None:
        try:
            await talk.listen(Words())
        finally:
            talk.say("bye")
            ran.append("finally")

    run = BareRun(tidy, evict=False)
    run.run.close()
    assert ran == ["finally"]  # it ran, but what it said went nowhere
    assert run.run.said == []
    run = BareRun(tidy)
    assert run.say("x") == ["bye"]
    assert run.said == ["bye"]


def test_an_error_in_a_branch_closes_the_others_and_is_raised_where_they_are_awaited() -> None:
    @workflow
    async def both(talk: Talk) -> None:
        async def sleeper() -> None:
            try:
                await talk.sleep(HOUR)
            finally:
                talk.say("sleeper closed")

        async def breaker() -> None:
            await talk.listen(Words())
            raise ValueError("broken")

        try:
            await talk.gather(sleeper(), breaker())
        except ValueError as error:
            talk.say(f"caught {error}")

    assert BareRun(both).say("x") == ["sleeper closed", "caught broken"]


def test_an_error_at_the_start_of_a_branch_leaves_its_unstarted_siblings_without_a_warning() -> None:
    @workflow
    async def both(talk: Talk) -> None:
        async def breaker() -> None:
            raise ValueError("at once")

        async def late(inner: Awaitable[Any]) -> None:
            await inner

        with pytest.raises(ValueError, match="at once"):
            await talk.first(
                breaker(),
                talk.first(talk.sleep(HOUR), talk.gather(talk.sleep(HOUR), late(talk.listen(Words())))),
                late(late(talk.sleep(HOUR))),
            )
        talk.say("fine")

    assert BareRun(both).said == ["fine"]


def test_coroutines_made_for_later_are_let_go_without_a_warning_when_the_session_leaves_memory() -> None:
    @workflow
    async def later(talk: Talk) -> None:
        naps = [talk.sleep(HOUR), talk.first(talk.sleep(HOUR), talk.sleep(2 * HOUR))]
        nap = talk.sleep(HOUR)
        await talk.listen(Words())
        await talk.gather(*naps, nap)
        talk.say("slept")

    run = BareRun(later)
    run.say("go")
    run.fire()
    run.fire()
    assert run.fire() == ["slept"]


def test_a_sub_workflow_is_a_plain_await_and_a_branch_alike() -> None:
    @workflow
    async def part(talk: Talk, name: str) -> str:
        return f"{name}: {await talk.listen(Words())}"

    @workflow
    async def whole(talk: Talk) -> None:
        talk.say(await part(talk, "plain"))
        _, said = await talk.first(part(talk, "branch"), talk.sleep(HOUR))
        talk.say(str(said))

    run = BareRun(whole)
    assert run.say("a") == ["plain: a"]
    assert run.say("b") == ["branch: b"]


def test_step_ids_are_paths() -> None:
    @workflow
    async def tree(talk: Talk) -> None:
        await talk.sleep(HOUR)
        await talk.gather(talk.sleep(HOUR), talk.first(talk.sleep(HOUR), talk.sleep(2 * HOUR)))

    run = BareRun(tree)
    assert list(run.run.alarms) == ["0"]
    run.fire()
    assert list(run.run.alarms) == ["1.0.0", "1.1.0.0.0", "1.1.0.1.0"]


@pytest.mark.parametrize("wrong", ["a number", "the same one twice"])
def test_branches_that_are_no_coroutines_are_refused_at_the_line(wrong: str) -> None:
    @workflow
    async def careless(talk: Talk) -> None:
        nap = talk.sleep(HOUR)
        await talk.first(nap, 7 if wrong == "a number" else nap)  # type: ignore[arg-type]  # on purpose

    failure = BareRun(careless).run.failure
    assert failure is not None
    assert failure.kind == "ArgumentsError"
    assert "await talk.first(nap, 7 if" in failure.traceback


def test_first_of_nothing_is_refused() -> None:
    @workflow
    async def careless(talk: Talk) -> None:
        await talk.first()

    failure = BareRun(careless).run.failure
    assert failure is not None
    assert failure.text == "first() needs at least one branch"


def test_a_foreign_await_is_named_with_its_line() -> None:
    class Foreign:
        def __await__(self) -> Generator[str, None, None]:
            yield "to some loop"

    async def helper() -> None:
        await Foreign()

    @workflow
    async def foreign(talk: Talk) -> None:
        await talk.listen(Words())
        await helper()

    run = BareRun(foreign)
    assert run.say("go") == ["Sorry, something went wrong on our side. Please try again later."]
    failure = run.run.failure
    assert failure is not None
    assert failure.kind == "ForeignAwaitError"
    line = foreign.function.__code__.co_firstlineno + 3
    assert f"test_pump.py:{line} (test_a_foreign_await_is_named_with_its_line.<locals>.foreign) → " in failure.text
    assert f"test_pump.py:{line - 5} (test_a_foreign_await_is_named_with_its_line.<locals>.helper): awaits something" in failure.text


def test_a_loop_that_never_waits_is_stopped_and_its_line_named() -> None:
    @workflow
    async def circle(talk: Talk) -> None:
        while True:
            try:
                await talk.listen(Words())
            except CallerLeft:
                await talk.gather()

    run = BareRun(circle)
    run.leave()
    failure = run.run.failure
    assert failure is not None
    assert failure.kind == "RunawayError"
    assert f"{MOST_STEPS + 1:,} steps" in failure.text
    assert "test_pump.py:" in failure.text


def test_many_queued_inputs_are_no_runaway() -> None:
    @workflow
    async def patient(talk: Talk) -> None:
        await talk.sleep(HOUR)
        for _ in range(MOST_STEPS + 10):
            await talk.next(Heard)

    run = BareRun(patient, evict=False)
    for _ in range(MOST_STEPS + 10):
        run.say("x")
    run.fire()
    assert run.run.ended
    assert run.run.failure is None


def test_deep_nesting_is_no_recursion() -> None:
    @workflow
    async def wide(talk: Talk) -> None:
        async def deep(level: int) -> int:
            if level:
                _, value = await talk.first(deep(level - 1))
                return value + 1
            await talk.listen(Words())
            return 0

        talk.say(str(await deep(200)))

    run = BareRun(wide)
    assert run.say("x") == ["200"]


def test_a_thousand_branches_are_closed_at_once() -> None:
    @workflow
    async def wide(talk: Talk) -> None:
        await talk.first(talk.listen(Digits(1)), *[talk.sleep((1 + each) * HOUR) for each in range(1000)])

    run = BareRun(wide)
    assert len(run.run.alarms) == 1000
    run.press("1")
    assert run.run.ended
    assert len(run.run.alarms_cleared) == 1000


def test_an_error_in_a_losers_finally_is_a_bug() -> None:
    @workflow
    async def careless(talk: Talk) -> None:
        async def loser() -> None:
            try:
                await talk.sleep(HOUR)
            finally:
                raise KeyError("in finally")

        await talk.first(loser(), talk.listen(Words()))

    run = BareRun(careless)
    run.say("x")
    failure = run.run.failure
    assert failure is not None
    assert failure.kind == "KeyError"


def test_a_ctrl_c_while_a_workflow_runs_is_the_process_own() -> None:
    interrupt = False

    @workflow
    async def unlucky(talk: Talk) -> None:
        await talk.listen(Words())
        if interrupt:
            raise KeyboardInterrupt

    run = BareRun(unlucky, evict=False)
    interrupt = True
    with pytest.raises(KeyboardInterrupt):
        run.say("x")


def test_a_ctrl_c_while_a_branch_is_closed_is_the_process_own() -> None:
    @workflow
    async def unlucky(talk: Talk) -> None:
        async def loser() -> None:
            try:
                await talk.sleep(HOUR)
            finally:
                raise KeyboardInterrupt

        await talk.first(loser(), talk.listen(Words()))

    run = BareRun(unlucky, evict=False)
    with pytest.raises(KeyboardInterrupt):
        run.say("x")


def test_an_exit_in_a_workflow_is_a_bug_like_any_other() -> None:
    @workflow
    async def quitter(talk: Talk) -> None:
        raise SystemExit(3)

    failure = BareRun(quitter).run.failure
    assert failure is not None
    assert failure.kind == "SystemExit"
