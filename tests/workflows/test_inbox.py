"""Inputs that wait: in order, for the oldest listen; callers who leave and come back; notices of errands."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from support.bare_run import BareRun, text_of

from workflows import CallerLeft, Errand, ErrandDone, Heard, Recording, Returned, Talk, Transferred, Words, effect, workflow
from workflows.events import CarriedErrand
from workflows.events import Heard as HeardEvent
from workflows.registry import Registry
from workflows.run import Run

HOUR = timedelta(hours=1)


@effect
async def think(prompt: str) -> str: ...


@workflow
async def errand(talk: Talk, number: int = 0) -> int:
    await talk.sleep(HOUR)
    return number


# -- the queue -----------------------------------------------------------------------------------------------------------------------------


def test_inputs_that_come_while_nothing_listens_wait_in_order() -> None:
    @workflow
    async def slow(talk: Talk) -> None:
        await talk.sleep(HOUR)
        while True:
            talk.say(await talk.listen(Words()))

    run = BareRun(slow)
    for text in "abc":
        assert run.say(text) == []
    assert [event.payload["text"] for event in run.run.queued if not isinstance(event, CarriedErrand)] == ["a", "b", "c"]  # type: ignore[union-attr]  # nobody left
    assert run.fire() == ["a", "b", "c"]
    assert run.run.queued == []


def test_the_oldest_listen_is_served_first() -> None:
    @workflow
    async def two(talk: Talk) -> None:
        async def hear(name: str) -> None:
            while True:
                recording = await talk.next(Recording) if name == "recordings" else await talk.next(Transferred)
                talk.say(f"{name}: {recording.seconds}")

        async def later() -> None:
            await talk.sleep(HOUR)
            talk.say(f"words: {(await talk.next(Heard)).text}")

        await talk.gather(hear("recordings"), hear("transfers"), later())

    run = BareRun(two)
    run.say("w1")
    assert run.hear("transferred", {"seconds": 1}) == ["transfers: 1"]
    assert run.hear("recorded", {"seconds": 2}) == ["recordings: 2"]
    assert run.fire() == ["words: w1"]


def test_an_input_that_no_listen_takes_lets_others_pass() -> None:
    @workflow
    async def choosy(talk: Talk) -> None:
        await talk.sleep(HOUR)
        talk.say(str((await talk.next(Recording)).seconds))
        talk.say((await talk.next(Heard)).text)

    run = BareRun(choosy)
    run.say("words")
    run.hear("recorded", {"seconds": 3})
    assert run.fire() == ["3", "words"]


# -- leaving and coming back ---------------------------------------------------------------------------------------------------------------


def test_a_caller_who_leaves_is_raised_at_the_listen() -> None:
    @workflow
    async def asking(talk: Talk) -> None:
        try:
            await talk.ask("Who is there?", Words())
        except CallerLeft as error:
            talk.note(str(error))

    run = BareRun(asking)
    run.leave()
    assert run.run.ended
    assert run.run.note == "hung up"


def test_what_was_said_before_the_leaving_is_heard_before_it() -> None:
    @workflow
    async def slow(talk: Talk) -> None:
        await talk.call(think, "x")
        try:
            while True:
                talk.note(await talk.listen(Words()))
        except CallerLeft:
            talk.say("left")

    run = BareRun(slow)
    run.say("a")
    run.say("b")
    run.leave()
    assert not run.run.left  # the workflow does not know yet
    assert run.memo("think", "x") == ["left"]
    assert run.run.note == "b"


def test_the_caller_is_gone_for_every_listen_but_other_steps_stay_allowed() -> None:
    @workflow
    async def stubborn(talk: Talk) -> None:
        for _ in range(2):
            try:
                await talk.listen(Words())
            except CallerLeft:
                talk.say("gone")
        await talk.sleep(HOUR)
        await talk.call(think, "x")
        await talk.record("Message?")

    run = BareRun(stubborn)
    assert run.leave() == ["gone", "gone"]
    assert run.run.left
    run.fire()
    assert run.memo("think", "x") == ["Message?"]
    assert run.run.error == ("CallerLeft", "the caller has left")


def test_all_listens_that_are_open_hear_of_the_leaving() -> None:
    @workflow
    async def two(talk: Talk) -> None:
        async def hear(kind: type[Any]) -> str:
            try:
                return str(await talk.next(kind))
            except CallerLeft:
                return f"no {kind.__name__}"

        talk.say(" ".join(await talk.gather(hear(Recording), hear(Transferred))))

    assert BareRun(two).leave() == ["no Recording no Transferred"]


def test_a_second_leaving_is_no_news() -> None:
    @workflow
    async def long_lived(talk: Talk) -> None:
        while True:
            try:
                talk.say((await talk.next(Heard)).text)
            except CallerLeft:
                talk.say("left")
                await talk.next(Returned)
                talk.say("back")

    run = BareRun(long_lived)
    assert run.leave() == ["left"]
    assert run.leave(id_="again") == []
    assert run.answer("again") == ("answered", [])
    assert run.hear("returned") == ["back"]
    assert run.say("hello") == ["hello"]
    assert run.leave() == ["left"]


def test_a_caller_who_came_back_while_nothing_listened_is_there_again() -> None:
    @workflow
    async def long_lived(talk: Talk) -> None:
        while True:
            try:
                talk.say(await talk.ask("Yes?", Words()))
            except CallerLeft:
                await talk.call(think, "x")

    run = BareRun(long_lived)
    run.leave()
    assert run.run.left
    run.hear("returned", id_="back")
    assert run.memo("think", "x") == ["Yes?"]
    assert not run.run.left
    assert run.answer("back") == ("answered", ["Yes?"])
    assert run.say("hello") == ["hello", "Yes?"]
    run.leave()
    assert run.run.left


def test_leaving_coming_back_and_leaving_again_unheard_ends_up_gone() -> None:
    @workflow
    async def slow(talk: Talk) -> None:
        await talk.sleep(HOUR)
        for _ in range(3):
            try:
                await talk.listen(Words())
            except CallerLeft:
                talk.say("left")

    run = BareRun(slow)
    run.leave()
    run.hear("returned")
    run.leave()
    assert run.fire() == ["left", "left", "left"]


def test_who_came_back_before_they_left_is_not_back() -> None:
    @workflow
    async def long_lived(talk: Talk) -> None:
        while True:
            try:
                talk.say(await talk.ask("Yes?", Words()))
            except CallerLeft:
                await talk.next(Returned)
                talk.say("back")

    run = BareRun(long_lived)
    run.hear("returned", id_="stray")
    assert run.leave() == []
    assert run.run.left
    assert run.hear("returned") == ["back", "Yes?"]
    assert run.answer("stray") == ("kept", [])


def test_an_input_that_came_with_the_return_is_heard() -> None:
    @workflow
    async def long_lived(talk: Talk) -> None:
        try:
            await talk.listen(Words())
        except CallerLeft:
            match await talk.next(Heard, Returned):
                case Returned():
                    talk.say("welcome back")
                case Heard(text=text):
                    talk.say(text)
        talk.say(await talk.listen(Words()))

    run = BareRun(long_lived)
    run.leave()
    assert run.hear("returned") == ["welcome back"]
    assert run.say("thanks") == ["thanks"]


# -- notices of errands --------------------------------------------------------------------------------------------------------------------


@workflow
async def parent(talk: Talk) -> None:
    started = await talk.start(errand, 7, name="seven")
    talk.say(started.id)
    done = await talk.next(ErrandDone)
    talk.say(f"{done.name}: {done.value} {done.error}")


def test_an_errand_reports_to_a_listen() -> None:
    run = BareRun(parent)
    start = run.wanted(errand.name)
    assert start.kind == "start"
    id_ = f"{run.run.opened.gen}/{start.id}"
    key = run.run.child_key(start)
    assert run.run.errands[id_].state == "starting"
    assert run.memo(errand.name) == [id_]
    assert run.run.errands[id_] == CarriedErrand(id_, key, "seven", errand.name, "running", {"number": 7})
    assert run.done(id_, 7) == ["seven: 7 None"]
    assert run.run.errands == {}


def test_an_errands_failure_is_reported_in_words() -> None:
    run = BareRun(parent)
    id_ = f"{run.run.opened.gen}/0"
    run.memo(errand.name)
    assert run.done(id_, error="StepFailed: think failed") == ["seven: None StepFailed: think failed"]


def test_a_notice_that_comes_before_the_start_is_on_record_waits_for_it() -> None:
    run = BareRun(parent)
    id_ = f"{run.run.opened.gen}/0"
    assert run.done(id_, 7) == []
    assert run.memo(errand.name) == [id_, "seven: 7 None"]


def test_a_notice_whose_start_was_lost_with_its_branch_is_dropped() -> None:
    @workflow
    async def race(talk: Talk) -> None:
        await talk.first(talk.start(errand), talk.listen(Words()))
        await talk.first(talk.next(ErrandDone), talk.listen(Words()))

    run = BareRun(race)
    id_ = f"{run.run.opened.gen}/0.0.0"
    run.done(id_, 0, id_="early")
    run.say("never mind")
    assert run.run.queued == []
    run.done(id_, 0, id_="late")
    assert run.run.errands == {}
    assert not run.run.ended
    run.say("x")
    assert run.run.ended


def test_a_notice_of_a_start_that_failed_is_dropped() -> None:
    @workflow
    async def hopeful(talk: Talk) -> None:
        try:
            await talk.start(errand)
        except Exception as error:  # noqa: BLE001 - to see it
            talk.say(f"{type(error).__name__}: {error}")
        await talk.next(ErrandDone)

    run = BareRun(hopeful)
    run.done(f"{run.run.opened.gen}/0", 0)
    assert run.memo(errand.name, error=("ArgumentsError", "no", True)) == [f"StepFailed: {errand.name} failed: ArgumentsError: no"]
    assert run.run.queued == []
    assert run.run.errands == {}


def test_a_notice_from_nowhere_is_dropped() -> None:
    @workflow
    async def waiting(talk: Talk) -> None:
        await talk.next(ErrandDone)

    run = BareRun(waiting)
    assert run.done("1/0", 1) == []
    assert not run.run.ended


def test_nothing_is_heard_of_an_errand_once_it_is_called_off() -> None:
    @workflow
    async def fickle(talk: Talk) -> None:
        started = await talk.start(errand)
        await talk.listen(Words())
        await talk.cancel(started)
        talk.say("cancelled")
        await talk.next(ErrandDone)

    run = BareRun(fickle)
    run.memo(errand.name)
    id_ = f"{run.run.opened.gen}/0"
    run.done(id_, 1, id_="before")  # it has come already, but nothing listened
    run.say("stop it")
    assert run.run.errands[id_].state == "cancelled"
    assert run.run.queued == []
    run.done(id_, 1, id_="while")
    assert run.memo(id_) == ["cancelled"]
    assert run.run.errands == {}
    run.done(id_, 1, id_="after")
    assert not run.run.ended


def test_cancelling_what_has_reported_is_harmless() -> None:
    @workflow
    async def late(talk: Talk) -> None:
        started = await talk.start(errand)
        await talk.next(ErrandDone)
        await talk.cancel(started)
        await talk.cancel(started)

    run = BareRun(late)
    run.memo(errand.name)
    id_ = f"{run.run.opened.gen}/0"
    run.done(id_, 1)
    run.memo(id_)
    run.memo(id_)
    assert run.run.ended


def test_a_result_is_typed_as_the_workflow_returns_it() -> None:
    import dataclasses

    @dataclasses.dataclass
    class Order:
        number: int

    @workflow(name="ordering")
    async def ordering(talk: Talk) -> int: ...

    @workflow
    async def waiting(talk: Talk) -> None:
        await talk.start(ordering)
        talk.say(repr((await talk.next(ErrandDone)).value))

    run = BareRun(waiting)
    run.memo("ordering")
    assert run.done(f"{run.run.opened.gen}/0", 3) == ["3"]
    run = BareRun(waiting)
    run.memo("ordering")
    run.done(f"{run.run.opened.gen}/0", "no number")
    failure = run.run.failure
    assert failure is not None
    assert "what workflow ordering returned does not fit" in failure.text
    assert "await talk.next(ErrandDone)" in failure.traceback


def test_a_result_whose_workflow_is_gone_is_an_error_at_the_listen() -> None:
    @workflow
    async def waiting(talk: Talk) -> None:
        try:
            await talk.next(ErrandDone)
        except Exception as error:  # noqa: BLE001 - to see it
            talk.say(str(error))

    opened = BareRun(waiting).run.opened
    lost = CarriedErrand("1/0", "errand:0", "lost", "nowhere:lost")
    run = Run("web:1", msgspec.structs.replace(opened, errands=(lost,)), Registry([waiting]))
    run.feed(HeardEvent(0, run.shape(), 0, "n", "errand", {"errand": "1/0", "value": 1, "error": None}))
    assert "there is no module nowhere" in text_of(run.said[0][2])


def test_an_errand_has_nobody_to_talk_to() -> None:
    @workflow
    async def saying(talk: Talk) -> None:
        talk.say("hello?")

    @workflow
    async def listening(talk: Talk) -> None:
        await talk.listen(Words())

    for flow in (saying, listening):
        failure = BareRun(flow, parent=("web:0", "1/0")).run.failure
        assert failure is not None
        assert "nobody to talk to" in failure.text


def test_an_errands_failure_is_its_result_and_is_not_said() -> None:
    @workflow
    async def unlucky(talk: Talk) -> None:
        await talk.call(think, "x")

    run = BareRun(unlucky, parent=("web:0", "1/0"))
    assert run.memo("think", error=("TimeoutError", "slow", False)) == []
    assert run.run.error == ("StepFailed", "think failed: TimeoutError: slow")


# -- restarts ------------------------------------------------------------------------------------------------------------------------------


@workflow
async def next_life(talk: Talk, seen: int) -> None:
    talk.say(f"life {seen}")
    while True:
        match await talk.next(Heard, ErrandDone):
            case Heard(text=text):
                talk.say(f"heard {text}")
            case ErrandDone(name=name, value=value):
                talk.say(f"{name} gave {value}")


def test_a_restart_carries_the_queue_the_open_turn_and_the_errands() -> None:
    @workflow
    async def first_life(talk: Talk) -> None:
        running = await talk.start(errand, name="running")
        cancelled = await talk.start(errand, name="cancelled")
        talk.say(await talk.listen(Words()))
        await talk.gather(talk.call(think, "x"), talk.cancel(cancelled))
        talk.note(running.id)
        await talk.restart(next_life, 2)

    run = BareRun(first_life, next_life)
    run.memo(errand.name)
    run.memo(errand.name)
    gen = run.run.opened.gen
    run.say("one", id_="one")
    run.say("two", id_="two")
    run.say("three", id_="three")
    assert run.answer("one") == ("running", ["one"])
    run.memo(f"{gen}/1")
    assert run.memo("think", "x") == []
    assert not run.run.quiescent
    length = run.run.length
    assert run.restart() == ["life 2", "heard two", "heard three"]
    assert run.run.opened.base == length
    assert run.answer("one") == ("answered", ["one", "life 2"])
    assert run.answer("two") == ("answered", ["heard two"])
    assert run.answer("three") == ("answered", ["heard three"])
    assert run.full_answer("two").turn == 4  # its number is the position of its first arrival
    assert [errand.name for errand in run.run.errands.values()] == ["running"]
    assert run.done(f"{gen}/1", 0) == []  # called off in a former life
    assert run.done(f"{gen}/0", 5) == ["running gave 5"]


def test_an_errand_that_is_being_called_off_at_a_restart_is_not_heard_of_either() -> None:
    @workflow
    async def first_life(talk: Talk) -> None:
        started = await talk.start(errand)
        await talk.listen(Words())
        await talk.gather(talk.cancel(started), talk.restart(next_life, 2))

    run = BareRun(first_life, next_life)
    run.memo(errand.name)
    gen = run.run.opened.gen
    run.say("go")
    run.restart()
    assert run.done(f"{gen}/0", 5) == []


def test_a_caller_who_left_is_still_gone_after_a_restart() -> None:
    @workflow
    async def second(talk: Talk) -> None:
        await talk.sleep(HOUR)
        await talk.listen(Words())

    @workflow
    async def first_life(talk: Talk) -> None:
        try:
            await talk.listen(Words())
        except CallerLeft:
            await talk.restart(second)

    run = BareRun(first_life, second)
    run.leave(id_="bye")
    run.restart()
    run.fire()
    assert run.run.ended
    assert run.run.error == ("CallerLeft", "hung up")
    assert run.answer("bye") == ("answered", [])


def test_errand_values_are_frozen_facts() -> None:
    it = Errand("1/0", "errand:x", "name", "flow")
    with pytest.raises(AttributeError):
        it.id = "2/0"  # type: ignore[misc]  # on purpose
