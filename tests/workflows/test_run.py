"""The run: feeding, replaying, diverging, failing, and leaving memory."""

import contextlib
import gc
import inspect
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from support.bare_run import NOON, UID, BareRun, replayed

from workflows import CallerLeft, Digits, ErrandDone, NoAnswer, NotUnderstood, StepFailed, Talk, Words, effect, workflow
from workflows.errors import ForeignAwaitError, NondeterminismError, UndecodableError
from workflows.events import Fired, Heard, Memo, Opened, decode
from workflows.registry import Registry
from workflows.run import Run

HOUR = timedelta(hours=1)
APOLOGY = "Sorry, something went wrong on our side. Please try again later."


@effect
async def think(prompt: str) -> str: ...


@effect
async def count(prompt: str) -> int: ...


@workflow
async def echo(talk: Talk) -> None:
    while True:
        text = await talk.ask("Say something", Words())
        if text == "stop":
            return
        talk.say(text)


def opened(name: str, **changes: Any) -> Opened:
    base = Opened(NOON, 0, 0, "opening", NOON, name, (), "web", None, None, "en", "UTC", b"seed", {})
    return msgspec.structs.replace(base, **changes)


# -- what an event leads to ----------------------------------------------------------------------------------------------------------------


def test_an_opening_runs_up_to_the_first_wait() -> None:
    run = Run("web:1", opened(echo.name), Registry([echo]))
    assert [(position, ordinal, output.text) for position, ordinal, output in run.said] == [(0, 0, "Say something")]  # type: ignore[union-attr]  # all are Say
    assert run.wanted() == "listen words (step 0)"
    assert run.length == 1
    assert run.address("0") == f"web:1/{NOON}/0"


def test_outputs_are_numbered_by_position_and_ordinal() -> None:
    run = BareRun(echo)
    run.say("a")
    assert [(position, ordinal) for position, ordinal, _ in run.run.said] == [(1, 0), (1, 1)]


def test_alarms_are_set_and_cleared_by_the_event_that_changes_them() -> None:
    @workflow
    async def race(talk: Talk) -> None:
        await talk.first(talk.sleep(HOUR), talk.listen(Words()))
        await talk.sleep(HOUR)

    run = BareRun(race)
    assert run.run.alarms_set == {"0.0.0": NOON + 3_600_000}
    run.say("x", at=NOON + 1000)
    assert run.run.alarms_set == {"1": NOON + 3_601_000}
    assert run.run.alarms_cleared == ["0.0.0"]
    run.fire()
    assert run.run.alarms_cleared == ["1"]


def test_an_alarm_that_is_set_and_lost_by_the_same_event_is_never_mentioned() -> None:
    @workflow
    async def race(talk: Talk) -> None:
        async def at_once() -> None:
            return

        await talk.first(talk.sleep(HOUR), at_once())

    run = BareRun(race).run
    assert run.alarms_set == {}
    assert run.alarms_cleared == []


def test_time_never_goes_back() -> None:
    run = BareRun(echo, evict=False)
    run.say("x", at=NOON + 5000)
    event = Heard(NOON + 1000, run.run.shape(), 0, "late", "said", {"text": "x"})
    run.run.feed(event)
    assert run.run.now == NOON + 5000


def test_a_receipt_changes_nothing() -> None:
    run = BareRun(echo)
    assert run.sent() == []
    assert run.say("x") == ["x", "Say something"]


def test_no_more_is_wanted_when_it_has_ended() -> None:
    run = BareRun(echo)
    run.say("stop")
    assert run.run.wanted() == "nothing more (it has ended)"
    assert run.run.quiescent


def test_quiescent_is_who_listens_or_wants_no_effect() -> None:
    @workflow
    async def all_sorts(talk: Talk) -> None:
        await talk.sleep(HOUR)  # waits for time
        await talk.call(think, "alone")  # wants an effect
        await talk.gather(talk.call(think, "beside"), talk.listen(Words()))  # listens, too
        await talk.gather(talk.call(think, "beside"), talk.next(ErrandDone))  # does not listen to the caller

    run = BareRun(all_sorts)
    assert run.run.quiescent
    run.fire()
    assert not run.run.quiescent
    run.memo("think", "x")
    assert run.run.quiescent
    run.say("x")
    run.memo("think", "x")
    assert not run.run.quiescent


# -- diverging -----------------------------------------------------------------------------------------------------------------------------


@workflow(name="changing")
async def two_calls(talk: Talk) -> None:
    await talk.call(think, "first")
    await talk.call(think, "second")


def history() -> list[bytes]:
    run = BareRun(two_calls)
    run.memo("think", "a")
    run.memo("think", "b")
    return run.elements


def test_the_same_code_repeats_what_is_on_record() -> None:
    assert replayed("web:1", history(), Registry([two_calls])).ended


def test_another_step_is_found_with_position_record_and_wish() -> None:
    @workflow(name="changing")
    async def changed(talk: Talk) -> None:
        await talk.call(think, "first")
        await talk.sleep(HOUR)

    with pytest.raises(NondeterminismError) as caught:
        replayed("web:1", history(), Registry([changed]), strict=False)
    assert caught.value.position == 2
    assert caught.value.recorded == "the outcome of think (step 1), recorded when other steps were open"
    assert caught.value.wanted == "sleep (step 1)"
    assert "talk.patched" in str(caught.value)


def test_a_changed_argument_is_found_by_a_strict_replay_only() -> None:
    @workflow(name="changing")
    async def changed(talk: Talk) -> None:
        await talk.call(think, "first")
        await talk.call(think, "another")

    assert replayed("web:1", history(), Registry([changed]), strict=False).ended
    with pytest.raises(NondeterminismError, match="step 1\\) with other arguments"):
        replayed("web:1", history(), Registry([changed]), strict=True)


def test_a_changed_prompt_is_no_divergence() -> None:
    @workflow(name="asking")
    async def old(talk: Talk) -> None:
        await talk.ask("Old words", Digits(1))

    @workflow(name="asking")
    async def new(talk: Talk) -> None:
        await talk.ask("New words", Digits(1))

    run = BareRun(old)
    run.press("1")
    assert replayed("web:1", run.elements, Registry([new])).ended
    second = decode(run.elements[1])
    assert second.words != replayed("web:1", run.elements[:1], Registry([new])).words()


def unwanted(run: Run) -> Iterator[Any]:
    shape = run.shape()
    yield Memo(NOON, shape, 0, "9", "think", b"")
    yield Memo(NOON, shape, 0, "0", "count", b"")
    yield Fired(NOON, shape, 0, "0")
    yield Fired(NOON, shape, 0, "9")
    yield opened(two_calls.name)
    yield Heard(NOON, shape ^ 1, 0, "x", "said", {})


@pytest.mark.parametrize("index", range(6))
def test_an_event_that_is_not_wanted_is_an_error(index: int) -> None:
    run = Run("web:1", opened(two_calls.name), Registry([two_calls]))
    with pytest.raises(NondeterminismError):
        run.feed(list(unwanted(run))[index])


def test_a_memo_after_the_end_is_an_error() -> None:
    run = BareRun(echo)
    run.say("stop")
    with pytest.raises(NondeterminismError, match="nothing more"):
        run.run.feed(Memo(NOON, run.run.shape(), 0, "0", "think", b""))


def test_a_value_that_no_longer_fits_its_type_is_a_divergence() -> None:
    @workflow
    async def counting(talk: Talk) -> None:
        await talk.call(count, "x")

    run = BareRun(counting, evict=False)
    with pytest.raises(NondeterminismError, match="does not fit"):
        run.memo("count", ["no", "number"])


# -- failing -------------------------------------------------------------------------------------------------------------------------------


@workflow(name="healing")
async def broken(talk: Talk) -> None:
    name = await talk.ask("Your name?", Words())
    talk.say(f"{1 / 0} {name}")
    await talk.listen(Words())


@workflow(name="healing")
async def healed(talk: Talk) -> None:
    name = await talk.ask("Your name?", Words())
    talk.say(f"Hello {name}")
    await talk.listen(Words())


def test_a_bug_leaves_the_input_on_record_and_the_fixed_code_resumes() -> None:
    run = BareRun(broken)
    assert run.say("Ann", id_="name") == [APOLOGY]
    failure = run.run.failure
    assert failure is not None
    assert (failure.kind, failure.text) == ("ZeroDivisionError", "division by zero")
    assert 'talk.say(f"{1 / 0} {name}")' in failure.traceback
    assert run.run.quiescent
    assert run.run.prompt is None
    assert run.answer("name") == ("failed", [APOLOGY])
    resumed = replayed("web:1", run.elements, Registry([healed]))
    assert resumed.failure is None
    assert resumed.prompt is not None


def test_events_that_a_better_version_recorded_still_count_for_a_broken_one() -> None:
    run = BareRun(healed)
    run.say("Ann", id_="name")
    run.say("more", id_="more")
    failed = replayed("web:1", run.elements, Registry([broken]))
    assert failed.failure is not None
    assert failed.length == 3
    assert "more" in failed.turns.ids
    assert failed.turns.answer(failed.turns.last["more"]).state == "failed"


def test_a_broken_version_wants_nothing_of_what_a_better_one_did() -> None:
    @workflow(name="broken later")
    async def better(talk: Talk) -> None:
        await talk.listen(Words())
        await talk.gather(talk.call(think, "x"), talk.sleep(HOUR))

    @workflow(name="broken later")
    async def worse(talk: Talk) -> None:
        await talk.listen(Words())
        raise ValueError("broken")

    run = BareRun(better)
    run.say("x")
    run.memo("think", "x")
    run.sent()
    run.fire()
    failed = replayed("web:1", run.elements, Registry([worse]))
    assert failed.failure is not None
    assert failed.length == 5
    assert failed.now == run.run.now
    assert not failed.calls


def test_a_payload_that_no_run_wrote_is_refused() -> None:
    @workflow
    async def waiting(talk: Talk) -> None:
        await talk.next(ErrandDone)

    run = BareRun(waiting, evict=False)
    with pytest.raises(UndecodableError, match=r"event 1, an input \(errand\), makes no sense: it names no errand"):
        run.hear("errand", {"no": "errand"})


def test_a_bug_at_the_opening_is_an_answer_as_well() -> None:
    @workflow
    async def stillborn(talk: Talk) -> None:
        raise LookupError("no such thing")

    run = BareRun(stillborn)
    assert run.answer("opening") == ("failed", [APOLOGY])


def test_an_unknown_workflow_fails_the_opening_in_words() -> None:
    run = Run("web:1", opened("nowhere:flow"), Registry())
    assert run.failure is not None
    assert "there is no module nowhere" in run.failure.text
    assert run.shape() == 0


def test_arguments_that_do_not_fit_fail_the_opening_in_words() -> None:
    @workflow
    async def typed(talk: Talk, count: int) -> None: ...

    run = BareRun(typed, args={"count": "many"})
    assert run.run.failure is not None
    assert "It takes count: int" in run.run.failure.text


def test_a_return_value_that_cannot_be_recorded_is_a_bug() -> None:
    @workflow
    async def odd(talk: Talk, wish: str) -> Any:
        return {"object": object(), "huge": 1 << 80, "no text": "\ud800"}[wish]

    for wish in ("object", "huge", "no text"):
        failure = BareRun(odd, args={"wish": wish}).run.failure
        assert failure is not None
        assert "cannot be recorded" in failure.text


def test_an_effect_whose_type_cannot_be_read_is_a_bug_of_the_code_and_not_of_the_record() -> None:
    @effect
    async def odd(x: int) -> object(): ...  # type: ignore[valid-type]  # on purpose

    @workflow
    async def asking(talk: Talk) -> None:
        await talk.call(odd, 1)

    run = BareRun(asking)
    run.memo("odd", 1)
    failure = run.run.failure
    assert failure is not None
    assert "return type of effect odd" in failure.text


def test_a_result_whose_own_type_chokes_on_it_is_a_bug_of_the_code_and_not_of_the_record() -> None:
    @dataclass
    class Odd:
        place: str

        def __post_init__(self) -> None:
            raise LookupError("no such place")

    @effect
    async def find(name: str) -> Odd: ...  # type: ignore[empty-body]  # a declaration

    @workflow
    async def asking(talk: Talk) -> None:
        await talk.call(find, "x")

    run = BareRun(asking)
    run.memo("find", {"place": "Inari"})
    failure = run.run.failure
    assert failure is not None
    assert failure.text == "what effect find returned cannot be read: its type raises LookupError: no such place"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (CallerLeft("gone"), []),
        (NoAnswer("nobody"), ["Goodbye."]),
        (NotUnderstood("what"), ["Sorry, I did not understand. Goodbye."]),
        (StepFailed("think", "ValueError", "no"), ["Sorry, that did not work. Please try again later. Goodbye."]),
    ],
)
def test_the_errors_of_a_conversation_are_normal_endings(error: Exception, said: list[str]) -> None:
    @workflow
    async def ending(talk: Talk) -> None:
        raise error

    run = BareRun(ending)
    assert run.said == said
    assert run.run.ended
    assert run.run.failure is None
    assert run.run.error == (type(error).__name__, str(error))
    assert run.answer("opening") == ("answered", said)


def test_a_run_that_is_fed_after_its_end_takes_nothing_up() -> None:
    run = BareRun(echo)
    run.say("stop", id_="last")
    assert run.say("hello?", id_="late") == []
    assert run.answer("late") == ("ended", [])
    assert run.answer("last") == ("answered", [])


# -- leaving memory ------------------------------------------------------------------------------------------------------------------------


@workflow
async def listening(talk: Talk) -> None:
    await talk.ask("Say something", Words())


@workflow
async def nested(talk: Talk) -> None:
    async def part() -> None:
        await talk.gather(talk.sleep(HOUR), talk.listen(Words()))

    await talk.first(talk.sleep(HOUR), part())


@workflow
async def after_groups(talk: Talk) -> None:
    await talk.first(talk.gather(talk.sleep(HOUR)), talk.listen(Words()))
    await talk.gather(talk.listen(Words()))
    await talk.call(think, "x")


@workflow
async def after_errors(talk: Talk) -> None:
    async def part() -> None:
        await talk.gather(talk.listen(Digits(1)), talk.sleep(HOUR))

    try:
        await talk.first(part(), talk.sleep(HOUR))
    except NotUnderstood:
        talk.say("not understood")
    await talk.first(part(), talk.sleep(HOUR))


@workflow
async def failing(talk: Talk) -> None:
    async def part() -> None:
        await talk.listen(Words())
        raise ValueError("broken")

    await talk.gather(part(), talk.sleep(HOUR))


@workflow
async def restarting(talk: Talk) -> None:
    await talk.listen(Words())
    await talk.restart(listening)


@workflow
async def holding(talk: Talk) -> None:
    naps = [talk.sleep(HOUR), talk.first(talk.sleep(HOUR))]
    with contextlib.suppress(CallerLeft):
        await talk.listen(Words())
    await talk.gather(*naps)


@contextlib.contextmanager
def no_garbage() -> Iterator[None]:
    """Nothing of ours is left to the collector."""
    gc.collect()
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert [each for each in gc.garbage if inspect.iscoroutine(each) or type(each).__module__.startswith("workflows")] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


ways: list[Callable[[BareRun], Any]] = [
    lambda run: None,
    lambda run: run.say("hello"),
    lambda run: [run.say("hello"), run.say("hello")],
    lambda run: run.leave(),
    lambda run: [run.say("hello"), run.leave()],
]


@pytest.mark.parametrize("way", range(len(ways)))
@pytest.mark.parametrize(
    "flow", [echo, listening, nested, after_groups, after_errors, failing, restarting, holding], ids=lambda flow: flow.name
)
def test_evicted_means_freed(flow: Any, way: int) -> None:
    run = BareRun(flow, evict=False)
    ways[way](run)
    gone = weakref.ref(run.run)
    with no_garbage():
        run.run.close()
        del run
        assert gone() is None


def test_a_live_turn_leaves_nothing_to_the_collector() -> None:
    @workflow
    async def busy(talk: Talk) -> None:
        while True:
            await talk.first(talk.ask("?", Digits(1), timeout=5, tries=2), talk.gather(talk.sleep(HOUR), talk.sleep(HOUR)))

    run = BareRun(busy, evict=False)
    run.press("1")
    with no_garbage():
        for _ in range(50):
            run.say("x")
            run.press("1")


def test_close_is_silent_and_may_be_called_twice() -> None:
    run = BareRun(nested, evict=False)
    run.run.close()
    run.run.close()
    assert not run.run.calls


def test_an_errand_that_was_called_off_is_over() -> None:
    @workflow
    async def sleeper(talk: Talk) -> None:
        await talk.gather(talk.sleep(HOUR), talk.call(think, "x"))

    run = BareRun(sleeper, parent=("web:0", "1/0"))
    run.hear("cancel")
    assert run.run.ended
    assert not run.run.calls
    assert run.run.cancelled
    assert not run.run.alarms


def test_an_errand_that_has_ended_cannot_be_called_off_any_more() -> None:
    @workflow
    async def short(talk: Talk) -> int:
        return 3

    run = BareRun(short, parent=("web:0", "1/0"))
    run.hear("cancel")
    assert run.run.result == 3
    assert not run.run.cancelled


def test_the_stored_elements_alone_are_enough() -> None:
    run = BareRun(echo)
    run.say("a")
    again = replayed("web:1", run.elements, run.registry)
    assert (again.said, again.alarms_set, again.alarms_cleared) == (run.run.said, run.run.alarms_set, run.run.alarms_cleared)
    assert run.elements[0][1:9] == UID


def test_an_unknown_step_is_a_bug() -> None:
    from workflows.steps import Step, trap

    class Odd(Step, frozen=True): ...

    @workflow
    async def odd(talk: Talk) -> None:
        await trap(Odd())

    failure = BareRun(odd).run.failure
    assert failure is not None
    assert failure.kind == ForeignAwaitError.__name__
