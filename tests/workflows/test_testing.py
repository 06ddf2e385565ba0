"""Rehearsals: a conversation in a plain unit test."""

import doctest
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

import workflows.testing
from workflows import (
    CallerLeft,
    Digits,
    ErrandDone,
    Heard,
    Intents,
    Recording,
    Returned,
    Silence,
    Ssml,
    StepFailed,
    Talk,
    TerminalError,
    Transferred,
    Words,
    effect,
    idempotency_key,
    workflow,
)
from workflows.errors import RehearsalError
from workflows.testing import Rehearsal

HOUR = timedelta(hours=1)


class Thought(msgspec.Struct):
    text: str
    tokens: int = 0


@effect
async def think(prompt: str) -> Thought: ...


@effect
async def double(number: int) -> int:
    return 2 * number


@workflow
async def talker(talk: Talk) -> str:
    """Say back what came, whatever it is."""
    talk.say("Hello")
    while True:
        try:
            match await talk.next(Heard, Silence, Recording, Transferred, Returned):
                case Heard(text="stop"):
                    return "stopped"
                case Heard(text="think"):
                    talk.say((await talk.call(think, "deep")).text)
                case Heard(text=text, keys=keys, intent=intent, slots=slots):
                    talk.say(f"{text}{'!' if keys else ''}{intent}{slots or ''}")
                case other:
                    talk.say(type(other).__name__)
        except CallerLeft:
            talk.say("left")
            await talk.next(Returned)
            talk.say("back")
        except StepFailed as error:
            talk.say(str(error))


def test_the_example_is_real() -> None:
    assert doctest.testmod(workflows.testing).attempted > 5
    assert doctest.testmod(workflows.testing).failed == 0


@pytest.mark.parametrize("evict", [True, False])
def test_whatever_the_caller_does_gives_what_was_said_to_it(evict: bool) -> None:
    call = Rehearsal(talker, effects={think: {"text": "a thought"}}, evict=evict)
    assert call.said == ["Hello"]
    assert call.say("hi") == ["hi"]
    assert call.press("12") == ["12!"]
    assert call.intend("Snooze", minutes="10") == ["Snooze{'minutes': '10'}"]
    assert call.stay_silent() == ["Silence"]
    assert call.leave_recording("u", 3) == ["Recording"]
    assert call.transferred("busy") == ["Transferred"]
    assert call.hang_up() == ["left"]
    assert call.come_back() == ["back"]
    assert call.say("think") == ["a thought"]
    assert not call.ended
    assert call.say("stop") == []
    assert call.ended
    assert call.result == "stopped"
    assert call.error is None
    assert len(call.said) == 10
    assert [type(event).__name__ for event in call.history] == ["Opened", *["Heard"] * 6, "Left", "Heard", "Heard", "Memo", "Heard"]


def test_the_opening_is_as_it_was_asked_for() -> None:
    @workflow
    async def curious(talk: Talk, number: int) -> None:
        it = talk.opened
        talk.note([it.channel, it.line, it.caller, it.locale, it.time_zone, it.at.isoformat(), it.facts, number])

    call = Rehearsal(
        curious, at="2026-07-01T09:30", channel="web", line="l", caller="c", locale="fi-FI", time_zone="Europe/Helsinki", facts={"x": 1},
        args={"number": "5"},
    )  # fmt: skip
    assert call.note == [
        "web",
        "l",
        "c",
        "fi-FI",
        "Europe/Helsinki",
        "2026-07-01T09:30:00+03:00",
        {"can_deliver": True, "x": 1},
        5,
    ]
    assert Rehearsal(curious, at=datetime(2026, 7, 1, 9, tzinfo=UTC), args={"number": 1}).note[5] == "2026-07-01T09:00:00+00:00"


def test_what_is_listened_for_can_be_seen() -> None:
    @workflow
    async def asking(talk: Talk) -> None:
        await talk.ask("Key?", Digits(1))
        await talk.next(Heard)
        await talk.sleep(HOUR)

    call = Rehearsal(asking)
    assert call.listening == Digits(1)
    call.press("1")
    assert call.listening == Words()
    call.press("1")
    assert call.listening is None


def test_outputs_other_than_text_are_given_as_they_are() -> None:
    @workflow
    async def marking(talk: Talk) -> None:
        talk.say(Ssml("<break/>"))

    assert Rehearsal(marking).said == [Ssml("<break/>")]


# -- time ----------------------------------------------------------------------------------------------------------------------------------


@workflow
async def alarms(talk: Talk) -> None:
    async def ring(hours: float) -> None:
        await talk.sleep(hours * HOUR)
        talk.say(f"{hours} {talk.now:%H:%M}")

    await talk.gather(ring(3), ring(1), ring(1.5))
    await talk.sleep(timedelta(seconds=-1))
    talk.say("done")


def test_alarms_go_off_in_due_order_each_at_its_time() -> None:
    call = Rehearsal(alarms)
    assert call.pass_time(timedelta(minutes=59)) == []
    assert call.pass_time(timedelta(minutes=1)) == ["1 13:00"]
    assert call.pass_time(2 * HOUR) == ["1.5 13:30", "3 15:00", "done"]


def test_time_goes_on_after_the_last_alarm() -> None:
    @workflow
    async def late(talk: Talk) -> None:
        await talk.sleep(HOUR)
        await talk.listen(Words())
        talk.say(f"{talk.now:%H:%M}")

    call = Rehearsal(late)
    call.pass_time(3 * HOUR)
    assert call.say("now?") == ["15:00"]


def test_silence_is_an_alarm_where_the_channel_keeps_no_time() -> None:
    @workflow
    async def patient(talk: Talk) -> None:
        await talk.ask("Still there?", Words(), timeout=60, tries=2)

    call = Rehearsal(patient, channel="web")
    assert call.stay_silent() == ["Still there?"]
    assert call.stay_silent() == ["Goodbye."]
    call = Rehearsal(patient, channel="phone")
    assert call.stay_silent() == ["Still there?"]


def test_a_silence_that_changes_nothing_is_an_error() -> None:
    @workflow
    async def patient(talk: Talk) -> None:
        await talk.listen(Words())
        await talk.sleep(HOUR)

    call = Rehearsal(patient, channel="web")
    with pytest.raises(RehearsalError, match="no time-out"):
        call.stay_silent()
    call.say("x")
    with pytest.raises(RehearsalError, match=r"waits for sleep \(step 1\)"):
        call.stay_silent()


# -- effects -------------------------------------------------------------------------------------------------------------------------------


@workflow
async def thinker(talk: Talk) -> str:
    return (await talk.speak(think, "x")).text


def stand_in(prompt: str) -> Thought:
    return Thought(f"about {prompt}")


async def asynchronous(prompt: str) -> Thought:
    return Thought(f"about {prompt}")


async def streaming(prompt: str, emit: Any) -> dict[str, str]:
    emit("ab")
    emit("out")
    return {"text": f"about {prompt}"}


@pytest.mark.parametrize(
    "effects",
    [
        {think: stand_in},
        {"think": asynchronous},
        {think: streaming},
        {think: Thought("about x")},
        {think: {"text": "about x"}},
        {think: lambda prompt: {"text": f"about {prompt}"}},
    ],
)
def test_a_function_or_a_value_stands_for_an_effect(effects: dict[Any, Any]) -> None:
    call = Rehearsal(thinker, effects=effects)
    assert call.said == ["about x"]
    assert call.result == "about x"


@pytest.mark.parametrize("error", [ValueError("no"), ValueError])
def test_an_exception_stands_for_a_failure(error: Any) -> None:
    call = Rehearsal(thinker, effects={think: error})
    assert call.said == ["Sorry, that did not work. Please try again later. Goodbye."]
    assert call.error is not None
    assert call.error.startswith("StepFailed: think failed: ValueError: ")


def test_the_finality_of_a_failure_is_on_record() -> None:
    memo: Any = Rehearsal(thinker, effects={think: TerminalError("never")}).history[-1]
    assert memo.error == ("TerminalError", "never", True)


def test_an_effect_with_a_body_stands_for_itself() -> None:
    @workflow
    async def doubling(talk: Talk) -> int:
        return await talk.call(double, 21)

    assert Rehearsal(doubling).result == 42
    assert Rehearsal(doubling, effects={double: 7}).result == 7


def test_the_body_of_an_effect_knows_its_key() -> None:
    keys: list[str] = []

    @effect
    async def keyed() -> None:
        keys.append(idempotency_key.get())

    @workflow
    async def keying(talk: Talk) -> None:
        await talk.call(keyed)

    call = Rehearsal(keying)
    assert keys == [f"phone:rehearsal/{call.opened.gen}/0"]


def test_an_effect_that_nothing_stands_for_is_named() -> None:
    with pytest.raises(RehearsalError, match="nothing stands for the effect think"):
        Rehearsal(thinker)


def test_a_value_that_does_not_fit_is_named() -> None:
    with pytest.raises(RehearsalError, match="effect think gave 7, which does not fit its type"):
        Rehearsal(thinker, effects={think: 7})


def test_a_stand_in_that_waits_is_named() -> None:
    class Wait:
        def __await__(self) -> Any:
            yield

    async def waiting(prompt: str) -> Thought:
        await Wait()
        return Thought("never")

    with pytest.raises(RehearsalError, match="think waits for something"):
        Rehearsal(thinker, effects={think: waiting})


def test_an_assertion_in_a_stand_in_is_the_tests_own() -> None:
    def strict(prompt: str) -> Thought:
        assert prompt == "something else"
        return Thought("never")

    with pytest.raises(AssertionError, match="something else"):
        Rehearsal(thinker, effects={think: strict})


def test_an_effect_may_take_its_time() -> None:
    call = Rehearsal(talker, effects={think: ...})
    assert call.say("think") == []
    assert call.say("meanwhile") == []
    assert call.finish(think, {"text": "at last"}) == ["at last", "meanwhile"]
    call.say("think")
    assert call.fail("think", OSError("no luck")) == ["think failed: OSError: no luck"]


def test_the_next_call_of_an_effect_may_be_made_to_fail() -> None:
    call = Rehearsal(talker, effects={think: {"text": "fine"}})
    assert call.fail(think, OSError("once")) == []
    assert call.say("think") == ["think failed: OSError: once"]
    assert call.say("think") == ["fine"]


# -- errands -------------------------------------------------------------------------------------------------------------------------------


@workflow
async def egg(talk: Talk, minutes: int) -> int:
    talk.note("boiling")
    await talk.sleep(timedelta(minutes=minutes))
    return await talk.call(double, minutes)


@workflow
async def cook(talk: Talk) -> None:
    soft = await talk.start(egg, 4, name="soft")
    hard = await talk.start(egg, 9, name="hard")
    while True:
        match await talk.next(Heard, ErrandDone):
            case Heard(text="how?"):
                status = await talk.status(hard)
                talk.say(f"{status.state} {status.note}")
            case Heard(text="stop"):
                await talk.cancel(hard)
                talk.say(f"stopped {hard.name}, not {soft.name}")
            case ErrandDone(name=name, value=value, error=error):
                talk.say(f"{name}: {value} {error}")
            case _:
                pass


@pytest.mark.parametrize("evict", [True, False])
def test_errands_run_report_and_are_asked(evict: bool) -> None:
    call = Rehearsal(cook, evict=evict)
    assert [(errand.name, errand.note, errand.ended) for errand in call.errands] == [("soft", "boiling", False), ("hard", "boiling", False)]
    assert call.say("how?") == ["running boiling"]
    assert call.pass_time(timedelta(minutes=5)) == ["soft: 8 None"]
    assert call.errands[0].ended
    assert call.errands[0].result == 8
    assert call.pass_time(timedelta(minutes=5)) == ["hard: 18 None"]
    assert call.say("how?") == ["ended boiling"]


def test_an_errand_that_is_called_off_is_not_heard_of() -> None:
    call = Rehearsal(cook)
    assert call.say("stop") == ["stopped hard, not soft"]
    assert [errand.cancelled for errand in call.errands] == [False, True]
    assert call.pass_time(HOUR) == ["soft: 8 None"]
    assert call.say("stop") == ["stopped hard, not soft"]


def test_an_errands_failure_is_reported() -> None:
    call = Rehearsal(cook, effects={double: OSError("no pan")})
    assert call.pass_time(timedelta(minutes=5)) == ["soft: None StepFailed: double failed: OSError: no pan"]
    assert call.errands[0].error == "StepFailed: double failed: OSError: no pan"


def test_an_errand_reports_to_nobody_when_its_parent_has_ended() -> None:
    @workflow
    async def hasty(talk: Talk) -> None:
        await talk.start(egg, 4)

    call = Rehearsal(hasty)
    assert call.ended
    assert call.pass_time(HOUR) == []
    assert call.errands[0].result == 8


def test_errands_have_errands() -> None:
    @workflow
    async def kitchen(talk: Talk) -> int:
        await talk.start(egg, 1)
        return int((await talk.next(ErrandDone)).value) + 1

    @workflow
    async def house(talk: Talk) -> None:
        await talk.start(kitchen)
        talk.say(str((await talk.next(ErrandDone)).value))

    call = Rehearsal(house)
    assert call.pass_time(HOUR) == ["3"]
    assert call.errands[0].errands[0].result == 2


# -- restarts ------------------------------------------------------------------------------------------------------------------------------


@workflow
async def chat(talk: Talk, life: int = 1) -> None:
    talk.say(f"life {life}")
    await talk.start(egg, 4, name=f"egg {life}")
    while True:
        match await talk.next(Heard, ErrandDone):
            case Heard(text="again"):
                await talk.call(double, 1)
                await talk.restart(chat, life + 1)
            case Heard(text=text):
                talk.say(text)
            case ErrandDone(name=name):
                talk.say(f"{name} is done")


@pytest.mark.parametrize("evict", [True, False])
def test_a_restart_goes_on_in_a_new_generation(evict: bool) -> None:
    call = Rehearsal(chat, effects={double: ...}, evict=evict)
    call.say("again")
    call.say("queued")
    assert call.finish(double, 2) == ["life 2", "queued"]
    assert call.finish(double, 2) == []
    assert call.say("again") == ["life 3"]
    assert [errand.name for errand in call.errands] == ["egg 1", "egg 2", "egg 3"]
    call.pass_time(timedelta(minutes=5))
    for _ in range(3):
        call.finish(double, 8)
    assert call.said[-3:] == ["egg 1 is done", "egg 2 is done", "egg 3 is done"]


# -- what goes wrong -----------------------------------------------------------------------------------------------------------------------


def test_a_bug_is_shown_with_its_line() -> None:
    @workflow
    async def broken(talk: Talk) -> None:
        await talk.listen(Words())
        talk.say(f"{1 / 0}")

    call = Rehearsal(broken)
    with pytest.raises(RehearsalError, match=r"broken has a bug:(.|\n)*talk\.say\(f\"{1 / 0}\"\)(.|\n)*ZeroDivisionError"):
        call.say("x")


def test_arguments_that_do_not_fit_are_shown() -> None:
    with pytest.raises(RehearsalError, match="It takes life: int = 1"):
        Rehearsal(chat, args={"life": "many"})


def test_a_workflow_that_uses_the_world_does_not_get_through() -> None:
    numbers: list[int] = []

    @workflow
    async def impure(talk: Talk) -> None:
        numbers.append(1)
        talk.say(f"{len(numbers)}")
        await talk.listen(Words())

    with pytest.raises(RehearsalError, match="impure does not come out the same on a replay: what it says was"):
        Rehearsal(impure)
    assert Rehearsal(impure, evict=False).said == ["3"]


def test_a_loop_without_an_end_is_found() -> None:
    @workflow
    async def circle(talk: Talk) -> None:
        while True:
            await talk.sleep(timedelta(0))

    with pytest.raises(RehearsalError, match="without time passing"):
        Rehearsal(circle, evict=False)


def test_nobody_hears_a_caller_after_the_end() -> None:
    call = Rehearsal(talker)
    call.say("stop")
    for action in (lambda: call.say("hello?"), lambda: call.press("1"), call.hang_up, call.come_back):
        with pytest.raises(RehearsalError, match="has ended"):
            action()


def test_intents_of_a_channel_that_knows_them() -> None:
    @workflow
    async def alarm_clock(talk: Talk) -> None:
        intent = await talk.ask("Yes?", Intents({"Snooze": ["snooze"]}))
        talk.say(f"{intent.name} {intent.slots['minutes']}")

    assert Rehearsal(alarm_clock, channel="alexa").intend("Snooze", minutes="10") == ["Snooze 10"]
