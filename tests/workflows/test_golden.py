"""Golden histories: stored once, replayed for ever.

They guard the order in which the pump works, which is part of the stored format, and the conversations that we ship: the code of today
has to say, want and end as the code did that wrote them. A history that diverges here would diverge in somebody's store. To add one, add
its story and run this file; the ones that are there are never written again.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.bare_run import BareRun, text_of

from workflows import CallerLeft, Digits, ErrandDone, Heard, NotUnderstood, Recording, Talk, Words, effect, workflow
from workflows.events import Opened, decode
from workflows.registry import Registry
from workflows.run import Run
from workflows.santa import santa

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


STORIES: dict[str, Callable[[], list[BareRun]]] = {
    "santa": call_santa,
    "santa at night": call_santa_at_night,
    "branches": branch_out,
    "chat": chat_along,
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
    registry = Registry([santa, errand, branches, chat])
    opened = decode(elements[0])
    assert isinstance(opened, Opened)
    run = Run(session, opened, registry, strict=True)
    rows = [row(run)]
    for element in elements[1:]:
        event = decode(element)
        assert event.words == run.words(), f"it would have said something else before event {run.length}"
        run.feed(event)
        rows.append(row(run))
    return rows


def row(run: Run) -> dict[str, Any]:
    return {
        "said": [f"{position}.{ordinal} {text_of(output)}" for position, ordinal, output in run.progress.said],
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
    assert [[element.hex() for element in run.elements] for run in STORIES[name]()] == [life["elements"] for life in stored]


def test_no_golden_history_is_forgotten() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(STORIES)


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
