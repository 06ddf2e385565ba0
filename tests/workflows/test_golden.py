"""Golden histories: stored once, replayed for ever.

They guard the order in which the pump works, which is part of the stored format, and the conversations that we ship: the code of today
has to say, want and end as the code did that wrote them. A history that diverges here would diverge in somebody's store. To add one, add
its story and run this file; the ones that are there are never written again.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.bare_run import BareRun, text_of
from support.scripted import calls

from workflows import CallerLeft, Digits, ErrandDone, Heard, NotUnderstood, Recording, Talk, Words, effect, workflow
from workflows.assistant import assistant
from workflows.bedtime import bedtime
from workflows.errands import flight_watch, reminder
from workflows.events import Memo, Opened, decode, encode, uid_of
from workflows.fares import Quote
from workflows.registry import AnyWorkflow, Registry
from workflows.run import Run
from workflows.santa import santa
from workflows.think import Thought
from workflows.think import think as think_of_the_model

GOLDEN = Path(__file__).with_name("golden")
HOUR = timedelta(hours=1)
PHONE = {"owns_timeouts": True}


@effect(name="golden/think")
async def think(prompt: str) -> str: ...


@workflow(name="golden/errand")
async def errand(talk: Talk, number: int) -> int:
    await talk.sleep(HOUR)
    return number


@workflow(name="golden/branches")
async def branches(talk: Talk) -> None:
    """All branches start before a queued input is handed out, the oldest listen hears first, losers close innermost first."""

    async def closing(name: str, hours: int) -> str:
        try:
            talk.say(f"{name} begins")
            await talk.gather(talk.sleep(hours * HOUR), talk.sleep(hours * HOUR + HOUR))
            return name
        finally:
            talk.say(f"{name} closes")

    async def hear(name: str) -> str:
        talk.say(f"{name} begins")
        return (await talk.next(Heard)).text

    await talk.sleep(HOUR)
    talk.say(repr(await talk.gather(closing("one", 1), hear("two"), talk.next(Recording), closing("four", 1))))
    for _ in range(3):
        index, value = await talk.first(closing("slow", 5), talk.first(closing("slower", 6), hear("ear")), talk.call(think, "x"))
        talk.say(f"{index}: {value}")
    try:
        await talk.gather(talk.listen(Digits(1)), closing("last", 1))
    except NotUnderstood as error:
        talk.say(str(error))


@workflow(name="golden/chat")
async def chat(talk: Talk, life: int = 0) -> None:
    """Queued inputs, errands and the open turn over a restart."""
    if life == 0:
        first = await talk.start(errand, 1, name="kept")
        second = await talk.start(errand, 2, name="cancelled")
        talk.say(await talk.listen(Words()))
        await talk.gather(talk.cancel(second), talk.call(think, "x"))
        talk.note(first.name)
        await talk.restart(chat, 1)
    talk.say(f"life {life} {talk.random('dice').randrange(1000)} {talk.uuid('order')}")
    while True:
        try:
            match await talk.next(Heard, ErrandDone):
                case Heard(text=text):
                    talk.say(f"heard {text}")
                case ErrandDone(name=name, value=value, error=error):
                    talk.say(f"{name}: {value} {error}")
        except CallerLeft:
            talk.say("left")
            return


def call_santa() -> list[BareRun]:
    run = BareRun(santa, args={"queues": {"2": "+15550111"}}, channel="phone", facts=PHONE, at=ms(2026, 6, 1, 10), evict=False)
    run.press("1")
    run.hear("silence")
    run.press("9")
    run.say("reindeer")
    run.hear("transferred", {"outcome": "busy", "seconds": 0})
    run.hear("recorded", {"url": "https://example.com/r", "seconds": 4})
    return [run]


def call_santa_at_night() -> list[BareRun]:
    run = BareRun(santa, channel="phone", facts=PHONE, at=ms(2026, 6, 1, 22), time_zone="Europe/Helsinki", evict=False)
    run.leave()
    return [run]


def branch_out() -> list[BareRun]:
    run = BareRun(branches, evict=False)
    run.say("queued 1")
    run.say("queued 2")
    run.hear("recorded", {"url": "u", "seconds": 2})
    run.fire()
    run.fire()
    run.fire()
    run.fire()
    run.fire()
    run.memo("golden/think", "thought")
    run.say("heard")
    run.say("no digit")
    return [run]


def chat_along() -> list[BareRun]:
    lives: list[BareRun] = []
    run = BareRun(chat, errand, evict=False)
    run.memo("golden/errand")
    run.memo("golden/errand")
    gen = run.run.opened.gen
    run.say("one")
    run.say("two")
    run.done(f"{gen}/1", 2)
    run.memo(f"{gen}/1")
    run.say("three")
    run.memo("golden/think", "x")
    lives.append(frozen(run))
    run.restart()
    run.done(f"{gen}/0", 1)
    run.leave()
    lives.append(run)
    return lives


def come_to(run: BareRun, *outcomes: Any) -> None:
    """What is wanted, one after another, comes to these values; an exception is a failure."""
    for outcome in outcomes:
        (step,) = run.run.calls.values()
        if isinstance(outcome, Exception):
            run.memo(step.name, error=(type(outcome).__name__, str(outcome), False))
        else:
            run.memo(step.name, Thought(outcome) if isinstance(outcome, str) and step.name == think_of_the_model.name else outcome)


def talk_to_the_assistant() -> list[BareRun]:
    """Two tools in one answer, status, a call that is none twice, an outage, queued words, a notice, a full memory, and the life after that."""
    run = BareRun(
        assistant, reminder, flight_watch, at=ms(2026, 11, 23, 18), time_zone="Europe/London", facts={"can_deliver": True}, evict=False
    )
    run.say("hello")
    come_to(run, "Hello Ada.")
    run.say("remind me to call Grace, and watch flights to New York")
    grace = {"description": "call Grace", "at": "2026-11-24T09:00"}
    trip = {"name": "trip", "origin": "LHR", "destination": "JFK", "departure": "2026-12-24", "max_price": 300, "currency": "eur"}
    come_to(run, calls(("create_reminder", grace), ("watch_flight", trip), text="Yes."), None, None, "Both are set.")
    reminding, watching = run.run.errands
    run.say("how are they doing?")
    come_to(run, calls(("list_tasks", {}), ("task_status", {"name": "call-grace"}), ("task_status", {"name": "trip"})))
    come_to(run, {"state": "running", "note": {"at": "2026-11-24T09:00:00+00:00"}}, {"state": "running", "note": None}, "They are fine.")
    run.say("remind me")
    come_to(run, calls(("create_reminder", '{"description": ')), calls(("create_reminder", {"description": "tea"})))
    run.say("one")
    run.say("two")
    come_to(run, ConnectionError("down"), "Two it is.")
    run.say("cancel the trip")
    come_to(run, calls(("cancel_task", {"name": "trip"})), None, "Done with that.")
    run.done(reminding, "call Grace")
    for number in range(4):
        run.say(f"{number} " + "a long story, " * 430)
        come_to(run, "Tell me more.")
    come_to(run, "Ada tells a long story.")
    run.say("and then?")
    lives = [frozen(run)]
    run.restart()
    come_to(run, "Then it was over.")
    run.say("   ")
    lives.append(frozen(run))
    lives.append(errand_of(reminder, {"description": "call Grace", "at": "2026-11-24T09:00:00+00:00"}, (run.session, reminding)))
    lives[-1].fire()
    trip_args = {"trip": {"origin": "LHR", "destination": "JFK", "departure": "2026-12-24"}, "max_price": "300.00", "currency": "EUR"}
    watch = errand_of(flight_watch, trip_args | {"hours": 6.0}, (run.session, watching))
    come_to(watch, Quote(Decimal("412.00"), "EUR", "simulated"))
    watch.fire()
    come_to(watch, ConnectionError("down"))
    watch.fire()
    come_to(watch, Quote(Decimal("299.50"), "EUR", "simulated", "XX 1"))
    return [*lives, watch]


def call_the_boys_to_bed() -> list[BareRun]:
    """No, help, nonsense, a snooze without reminders, one without consent; another evening, a snooze, and nobody who answers."""
    line = {"boys": ["Ben", "Max"], "snooze": 5}
    first = BareRun(bedtime, args=line, channel="alexa", session="alexa:skill:user", facts={"can_deliver": False}, evict=False)
    first.hear("intent", {"name": "AMAZON.NoIntent", "text": "no"})
    first.say("help")
    first.say("tomorrow")
    first.hear("intent", {"name": "SnoozeIntent", "text": "20", "slots": {"minutes": "20"}})
    come_to(first, ConnectionError("down"))
    first.say("later")
    come_to(first, "forbidden")
    second = BareRun(bedtime, args=line, channel="alexa", session="alexa:skill:user", facts={"can_deliver": False}, evict=False)
    second.say("snooze")
    come_to(second, "set")
    third = BareRun(bedtime, channel="alexa", session="alexa:skill:user", facts={"can_deliver": False}, evict=False)
    third.leave()
    return [first, second, third]


def errand_of(workflow: AnyWorkflow, args: dict[str, Any], parent: tuple[str, str]) -> BareRun:
    at = ms(2026, 11, 23, 18)
    return BareRun(
        workflow,
        args=args,
        channel="errand",
        at=at,
        time_zone="Europe/London",
        parent=parent,
        session=f"errand:{workflow.name}",
        evict=False,
    )


STORIES: dict[str, Callable[[], list[BareRun]]] = {
    "santa": call_santa,
    "santa at night": call_santa_at_night,
    "branches": branch_out,
    "chat": chat_along,
    "assistant": talk_to_the_assistant,
    "bedtime": call_the_boys_to_bed,
}


def ms(*moment: int) -> int:
    year, month, day, hour = moment
    return round(datetime(year, month, day, hour, tzinfo=UTC).timestamp() * 1000)


def frozen(run: BareRun) -> BareRun:
    copy = object.__new__(BareRun)
    copy.session, copy.elements = run.session, list(run.elements)
    return copy


def told(session: str, elements: list[bytes]) -> list[dict[str, Any]]:
    """What each event of a history leads to, with the code of today."""
    registry = Registry([santa, errand, branches, chat, assistant, bedtime, reminder, flight_watch])
    opened = decode(elements[0])
    assert isinstance(opened, Opened)
    run = Run(session, opened, registry, strict=opened.workflow != assistant.name)  # its prompts may be reworded
    rows = [row(run)]
    for element in elements[1:]:
        event = decode(element)
        assert event.words == run.words(), f"it would have said something else before event {run.length}"
        run.feed(event)
        rows.append(row(run))
    return rows


def row(run: Run) -> dict[str, Any]:
    return {
        "said": [f"{position}.{ordinal} {text_of(output)}" for position, ordinal, output in run.said],
        "alarms": dict(run.alarms),
        "wants": [str(step) for step in run.calls.values()],
        "waits": run.wanted(),
    }


@pytest.mark.parametrize("name", STORIES)
def test_a_stored_history_leads_to_what_it_led_to(name: str) -> None:
    stored = json.loads((GOLDEN / f"{name}.json").read_text())
    assert stored, name
    for life in stored:
        assert told(life["session"], [bytes.fromhex(element) for element in life["elements"]]) == life["told"]


@pytest.mark.parametrize("name", STORIES)
def test_the_same_story_is_stored_the_same(name: str) -> None:
    stored = json.loads((GOLDEN / f"{name}.json").read_text())
    lives = [[bytes.fromhex(element) for element in life["elements"]] for life in stored]
    assert [[without_prompt(element) for element in run.elements] for run in STORIES[name]()] == [
        [without_prompt(element) for element in elements] for elements in lives
    ]


def test_no_golden_history_is_forgotten() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(STORIES)


def without_prompt(element: bytes) -> bytes:
    """An element without the hash of what the model was asked with, which is free to be reworded."""
    event = decode(element)
    if isinstance(event, Memo) and event.name == think_of_the_model.name:
        return encode(msgspec.structs.replace(event, hash=bytes(8)), uid_of(element))
    return element


def lines(values: list[Any]) -> str:
    return "[\n" + ",\n".join(json.dumps(value, ensure_ascii=False) for value in values) + "\n]"


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for title, story in STORIES.items():
        path = GOLDEN / f"{title}.json"
        if not path.exists():
            lives = [
                f'{{"session": "{run.session}", "elements": {lines([each.hex() for each in run.elements])}, '
                f'"told": {lines(told(run.session, run.elements))}}}'
                for run in story()
            ]
            path.write_text("[" + ",\n".join(lives) + "]\n")
