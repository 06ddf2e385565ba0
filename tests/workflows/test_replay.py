"""The central property: a run that is evicted and replayed before every event is the run that has been there all the time.

The conversations are programs, drawn at random and interpreted by one workflow, so that every construct is met inside every other; the
events are whatever is legal at that moment. `BareRun` evicts before each and compares all that can be seen of a run.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bare_run import BareRun, look, replayed

from workflows import (
    CallerLeft,
    Choice,
    Digits,
    Errand,
    ErrandDone,
    Heard,
    NoAnswer,
    NotUnderstood,
    Recording,
    Returned,
    StepFailed,
    Talk,
    Transferred,
    Words,
    YesNo,
    effect,
    workflow,
)
from workflows.errors import ListenError
from workflows.run import Open

Program = list[Any]
LISTENS = {"words": Words(), "digits": Digits(2), "choice": Choice({"1": "one", "2": ["two", "zwei"]}), "yes": YesNo()}
NEXTS: dict[str, list[type[Any]]] = {
    "heard": [Heard],
    "errand": [ErrandDone],
    "both": [Heard, ErrandDone],
    "recording": [Recording],
    "transfer": [Transferred],
    "returned": [Returned],
    "any": [Heard, Recording, Transferred, Returned, ErrandDone],
}


@effect
async def think(prompt: str) -> dict[str, Any]: ...


@workflow
async def errand(talk: Talk, number: int) -> int:
    await talk.sleep(timedelta(minutes=number))
    return number


@workflow
async def interpreter(talk: Talk, program: Program, life: int = 0) -> str:
    """Carry out a program: lists whose first item says what the others are."""
    errands: list[Errand] = []

    async def carry_out(program: Program) -> str:
        value = ""
        for step in program:
            value = await one(step)
        return value

    async def one(step: Program) -> str:
        match step:
            case ["say", text]:
                talk.say(text)
            case ["note", value]:
                talk.note(value)
            case ["random", name]:
                talk.say(f"{talk.random(name).randrange(100)} {talk.uuid(name)}")
            case ["now"]:
                talk.say(talk.now.isoformat())
            case ["ask", listen, timeout, tries]:
                return repr(await talk.ask("?", LISTENS[listen], timeout=timeout, tries=tries))
            case ["listen", listen]:
                return repr(await talk.listen(LISTENS[listen]))
            case ["next", types]:
                return repr(await talk.next(*NEXTS[types]))
            case ["record"]:
                return repr(await talk.record("beep"))
            case ["transfer"]:
                return repr(await talk.transfer("+1"))
            case ["call", prompt]:
                return repr(await talk.call(think, prompt))
            case ["sleep", minutes]:
                await talk.sleep(timedelta(minutes=minutes))
            case ["first", *programs]:
                return repr(await talk.first(*[carry_out(each) for each in programs]))
            case ["gather", *programs]:
                return repr(await talk.gather(*[carry_out(each) for each in programs]))
            case ["try", inner]:
                try:
                    return await carry_out(inner)
                except (CallerLeft, NoAnswer, NotUnderstood, StepFailed, ListenError) as error:
                    talk.say(f"caught {type(error).__name__}: {error}")
            case ["finally", inner]:
                try:
                    return await carry_out(inner)
                finally:
                    talk.say("finally")
            case ["start", number]:
                errands.append(await talk.start(errand, number, name=f"errand {number}"))
            case ["cancel"] if errands:
                await talk.cancel(errands.pop())
            case ["status"] if errands:
                return repr(await talk.status(errands[-1]))
            case ["restart"] if life < 2:
                await talk.restart(interpreter, program, life + 1)
            case ["bug"]:
                raise ZeroDivisionError("a bug")
            case _:
                pass
        return ""

    talk.say(await carry_out(program))
    return "done"


leaves = st.one_of(
    st.sampled_from([["now"], ["record"], ["transfer"], ["cancel"], ["status"], ["restart"]]),
    st.tuples(st.just("say"), st.sampled_from(["a", "b"])).map(list),
    st.tuples(st.just("random"), st.sampled_from(["x", "y"])).map(list),
    st.tuples(st.just("note"), st.integers(0, 3)).map(list),
    st.tuples(st.just("ask"), st.sampled_from(list(LISTENS)), st.sampled_from([None, 5.0, 60.0]), st.integers(1, 3)).map(list),
    st.tuples(st.just("listen"), st.sampled_from(list(LISTENS))).map(list),
    st.tuples(st.just("next"), st.sampled_from(list(NEXTS))).map(list),
    st.tuples(st.just("call"), st.sampled_from(["p", "q"])).map(list),
    st.tuples(st.just("sleep"), st.integers(0, 9)).map(list),
    st.tuples(st.just("start"), st.integers(1, 3)).map(list),
)
programs = st.recursive(
    st.lists(leaves, min_size=1, max_size=4),
    lambda inner: st.lists(
        st.one_of(
            leaves,
            st.tuples(st.just("first"), inner, inner).map(list),
            st.tuples(st.just("gather"), inner, inner).map(list),
            st.tuples(st.just("try"), inner).map(list),
            st.tuples(st.just("finally"), inner).map(list),
        ),
        min_size=1,
        max_size=4,
    ),
    max_leaves=12,
)


def feed_something_legal(run: BareRun, draw: Any) -> None:
    """Feed one event that could come now."""
    if run.run.restart is not None and draw(st.booleans()):
        run.restart()
        return
    inputs = ["said", "pressed", "silence", "intent", "recorded", "transferred", "returned", "left", "sent", "errand"]
    choice = draw(st.sampled_from([*inputs, *["memo"] * 4 * bool(run.run.calls), *["fire"] * 4 * bool(run.run.alarms)]))
    at = run.run.now + draw(st.sampled_from([0, 1, 1000, 120_000]))
    match choice:
        case "memo":
            step: Open = draw(st.sampled_from(list(run.run.calls.values())))
            error = ("OSError", "no luck", False) if step.kind in ("call", "start") and draw(st.integers(0, 3)) == 0 else None
            value = {"call": {"answer": 42}, "status": {"state": "running", "note": 1}}.get(step.kind)
            run.memo(step.name, value, error=error, at=at)
        case "fire":
            run.fire()
        case "left":
            run.leave()
        case "sent":
            run.sent()
        case "errand":
            known = [*run.run.errands, f"{run.run.opened.gen}/0", "1/0"]
            run.done(draw(st.sampled_from(known)), 7, draw(st.sampled_from([None, "it failed"])))
        case _:
            payloads: dict[str, dict[str, Any]] = {
                "said": {"text": draw(st.sampled_from(["yes", "two", "hello", "1 2"]))},
                "pressed": {"digits": draw(st.sampled_from(["1", "12"]))},
                "intent": {"name": "AMAZON.YesIntent", "slots": {}},
                "recorded": {"url": "u", "seconds": 3},
                "transferred": {"outcome": "busy", "seconds": 0},
            }
            run.hear(choice, payloads.get(choice), at=at)


def feed_at_random(run: BareRun, events: int, draw: Any, *, restarts: bool = True) -> Iterator[None]:
    """Feed what is legal until it is over."""
    for _ in range(events):
        if run.run.ended or run.run.failure is not None or (run.run.restart is not None and not restarts):
            return
        feed_something_legal(run, draw)
        yield


def assert_replayed(run: BareRun) -> None:
    again = replayed(run.session, run.elements, run.registry)
    try:
        assert look(again) == look(run.run)
    finally:
        again.close()


def evict_before_every_event(program: Program, owns_timeouts: bool, data: st.DataObject) -> None:
    with BareRun(interpreter, errand, args={"program": program}, facts={"owns_timeouts": owns_timeouts}) as run:
        for _ in feed_at_random(run, data.draw(st.integers(0, 25)), data.draw):
            pass
        assert_replayed(run)


@settings(max_examples=150, deadline=None)
@given(program=programs, owns_timeouts=st.booleans(), data=st.data())
def test_evicting_before_every_event_changes_nothing(program: Program, owns_timeouts: bool, data: st.DataObject) -> None:
    evict_before_every_event(program, owns_timeouts, data)


@pytest.mark.proof
@settings(max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=programs, owns_timeouts=st.booleans(), data=st.data())
def test_evicting_before_every_event_changes_nothing_in_a_long_campaign(program: Program, owns_timeouts: bool, data: st.DataObject) -> None:
    evict_before_every_event(program, owns_timeouts, data)


@settings(max_examples=60, deadline=None)
@given(program=programs, data=st.data())
def test_never_evicting_is_the_same_as_always(program: Program, data: st.DataObject) -> None:
    with BareRun(interpreter, errand, args={"program": program}, evict=False) as run:
        for _ in feed_at_random(run, 20, data.draw):
            pass
        assert_replayed(run)


@settings(max_examples=60, deadline=None)
@given(program=programs, data=st.data())
def test_every_inbound_is_answered_once_and_for_good(program: Program, data: st.DataObject) -> None:
    answered: dict[str, Any] = {}
    with BareRun(interpreter, errand, args={"program": program}, evict=False) as run:
        for _ in feed_at_random(run, 25, data.draw, restarts=False):
            turns = run.run.turns
            for id_, turn in turns.last.items():
                if turn.end is not None:
                    answer = turns.answer(turn)
                    assert answered.setdefault(id_, answer) == answer
            assert not (run.run.quiescent and turns.open)
    everything = [said[:2] for answer in answered.values() for said in answer.said]
    assert len(everything) == len(set(everything)), "something was said in two answers"


@settings(max_examples=60, deadline=None)
@given(program=programs, data=st.data())
def test_a_history_can_be_replayed_to_any_point(program: Program, data: st.DataObject) -> None:
    with BareRun(interpreter, errand, args={"program": program}, evict=False) as run:
        shapes = [run.run.shape()]
        shapes.extend(run.run.shape() for _ in feed_at_random(run, 15, data.draw, restarts=False))
        cut = data.draw(st.integers(1, len(run.elements)))
        part = replayed(run.session, run.elements[:cut], run.registry)
        assert part.shape() == shapes[cut - 1]
        part.close()
