"""The author's API, line by line."""

import dataclasses
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from support.bare_run import NOON, BareRun, replayed

from workflows import (
    CallerLeft,
    Choice,
    Digits,
    Errand,
    ErrandDone,
    ErrandStatus,
    Heard,
    Intent,
    Intents,
    NoAnswer,
    NotUnderstood,
    Recording,
    Returned,
    Silence,
    Ssml,
    StepFailed,
    Talk,
    Transferred,
    Words,
    YesNo,
    effect,
    workflow,
)
from workflows.errors import ConversationError
from workflows.outputs import Play, Say
from workflows.registry import Registry
from workflows.run import Run

HOUR = timedelta(hours=1)
PHONE = {"owns_timeouts": True, "can_deliver": False}


@dataclasses.dataclass
class Thought:
    text: str
    tokens: int = 0
    at: datetime | None = None


@effect
async def think(prompt: str) -> Thought: ...


def outcome(run: BareRun) -> tuple[str, str]:
    """Kind and text of the bug that a run met."""
    failure = run.run.failure
    assert failure is not None
    return failure.kind, failure.text


# -- what is known -------------------------------------------------------------------------------------------------------------------------


def test_the_opening_is_known_in_the_time_zone_of_the_line() -> None:
    @workflow
    async def curious(talk: Talk) -> None:
        it = talk.opened
        talk.say(f"{it.channel} {it.line} {it.caller} {it.locale} {it.at.isoformat()} {it.facts['can_deliver']}")
        assert talk.opened is it

    run = BareRun(curious, channel="phone", time_zone="Europe/Helsinki", facts=PHONE)
    assert run.said == ["phone line caller en 2026-01-05T14:00:00+02:00 False"]


def test_now_is_the_greatest_recorded_time_in_the_time_zone_of_the_line() -> None:
    @workflow
    async def watch(talk: Talk) -> None:
        talk.say(talk.now.isoformat())
        await talk.listen(Words())
        talk.say(talk.now.isoformat())

    run = BareRun(watch, time_zone="Asia/Tokyo")
    run.say("x", at=NOON + 90_500)
    assert run.said == ["2026-01-05T21:00:00+09:00", "2026-01-05T21:01:30.500000+09:00"]


def test_chance_comes_out_the_same_on_every_replay_and_differs_by_name_use_session_and_life() -> None:
    @workflow
    async def dice(talk: Talk) -> None:
        talk.say(f"{talk.random('a').random()} {talk.random('a').random()} {talk.random('b').random()} {talk.uuid('a')} {talk.uuid('a')}")

    values = BareRun(dice).said[0].split()
    assert len(set(values)) == 5
    assert BareRun(dice).said[0].split() == values
    for other in (BareRun(dice, session="web:2"), BareRun(dice, at=NOON + 1), BareRun(dice, seed=b"other")):
        assert not set(values) & set(other.said[0].split())


def test_an_added_call_with_another_name_shifts_no_other() -> None:
    @workflow(name="dice")
    async def old(talk: Talk) -> None:
        talk.say(f"{talk.random('a').random()} {talk.uuid('u')}")

    @workflow(name="dice")
    async def new(talk: Talk) -> None:
        talk.random("added")
        talk.uuid("added")
        talk.random("u")  # the name of a uuid is not the name of a random
        talk.say(f"{talk.random('a').random()} {talk.uuid('u')}")

    assert BareRun(old).said == BareRun(new).said


def test_a_patch_is_known_to_sessions_opened_with_it_only() -> None:
    @workflow(patches=["polite"])
    async def patched(talk: Talk) -> None:
        talk.say("Good day" if talk.patched("polite") else "Hi")

    assert BareRun(patched).said == ["Good day"]
    assert BareRun(patched, patches=[]).said == ["Hi"]


def test_a_patch_that_is_not_declared_is_refused() -> None:
    @workflow(patches=["polite"])
    async def sloppy(talk: Talk) -> None:
        talk.patched("rude")

    kind, text = outcome(BareRun(sloppy))
    assert kind == "ArgumentsError"
    assert "@workflow(patches=['polite', 'rude'])" in text


# -- saying --------------------------------------------------------------------------------------------------------------------------------


def test_text_markup_and_recordings_can_be_said() -> None:
    @workflow
    async def speaker(talk: Talk) -> None:
        talk.say("text", voice="alice", language="en-GB")
        talk.say(Ssml("<break/>"))
        talk.play("https://example.com/a.mp3")

    said = [output for _, _, output in BareRun(speaker).run.said]
    assert said == [Say("text", "alice", "en-GB"), Ssml("<break/>"), Play("https://example.com/a.mp3")]


def test_what_is_no_output_is_refused_at_its_line() -> None:
    @workflow
    async def speaker(talk: Talk) -> None:
        talk.say(7)  # type: ignore[arg-type]  # on purpose

    run = BareRun(speaker)
    assert outcome(run) == ("ArgumentsError", "say(7): it takes a text or an Ssml(…)")


def test_a_note_is_plain_data() -> None:
    @workflow
    async def noting(talk: Talk) -> None:
        talk.note(Thought("half way", 3))
        await talk.listen(Words())
        talk.note(object())

    run = BareRun(noting)
    assert run.run.note == {"text": "half way", "tokens": 3, "at": None}
    run.say("x")
    assert outcome(run)[0] == "TypeError"


# -- listening -----------------------------------------------------------------------------------------------------------------------------


@workflow
async def asking(talk: Talk, tries: int = 3, timeout: float | None = None) -> None:
    try:
        talk.say(await talk.ask("Key?", Digits(1), tries=tries, timeout=timeout))
    except (NoAnswer, NotUnderstood) as error:
        talk.say(type(error).__name__)


def test_ask_says_the_prompt_again_until_it_understands() -> None:
    run = BareRun(asking, facts=PHONE)
    assert run.said == ["Key?"]
    assert run.say("hello") == ["Key?"]
    assert run.hear("silence") == ["Key?"]
    assert run.press("7") == ["7"]


def test_tries_counts_the_prompts_in_all_and_the_last_failure_decides() -> None:
    run = BareRun(asking, args={"tries": 2})
    assert run.hear("silence") == ["Key?"]
    assert run.say("hello") == ["NotUnderstood"]
    run = BareRun(asking, args={"tries": 2})
    assert run.say("hello") == ["Key?"]
    assert run.hear("silence") == ["NoAnswer"]
    assert BareRun(asking, args={"tries": 1}).hear("silence") == ["NoAnswer"]
    assert outcome(BareRun(asking, args={"tries": 0})) == ("ArgumentsError", "ask(tries=0): it takes at least one try")


def test_uncaught_no_answer_and_not_understood_are_spoken_endings() -> None:
    @workflow
    async def plain(talk: Talk) -> None:
        await talk.ask("Key?", Digits(1), tries=1)

    assert BareRun(plain).hear("silence") == ["Goodbye."]
    assert BareRun(plain).say("hello") == ["Sorry, I did not understand. Goodbye."]


def test_the_channel_keeps_the_time_out_where_it_can() -> None:
    run = BareRun(asking, facts=PHONE)
    assert run.run.prompt is not None
    assert run.run.prompt.timeout == 5
    assert run.run.alarms == {}
    run = BareRun(asking, facts=PHONE, args={"timeout": 12.5})
    assert run.run.prompt is not None
    assert run.run.prompt.timeout == 12.5


def test_elsewhere_a_time_out_is_an_alarm_and_by_default_there_is_none() -> None:
    run = BareRun(asking)
    assert run.run.prompt is not None
    assert run.run.prompt.timeout is None
    assert run.run.alarms == {}
    run = BareRun(asking, args={"timeout": 12.5})
    assert run.run.alarms == {"0": NOON + 12_500}
    assert run.fire() == ["Key?"]
    assert run.run.alarms == {"1": NOON + 25_000}
    run.fire()
    assert run.fire() == ["NoAnswer"]


def test_every_listen_is_read_as_its_type() -> None:
    @workflow
    async def all_sorts(talk: Talk) -> None:
        words: str = await talk.listen(Words())
        digits: str = await talk.listen(Digits())
        choice: str = await talk.listen(Choice({"1": "an elf", "2": ["a message", "voicemail"]}))
        yes: bool = await talk.listen(YesNo())
        intent: Intent = await talk.listen(Intents({"Snooze": ["ten more minutes"]}))
        talk.say(repr((words, digits, choice, yes, intent)))

    run = BareRun(all_sorts)
    run.say("hello there")
    run.press("42")
    run.say("Voicemail.")
    run.say("yes please")
    assert run.hear("intent", {"name": "Snooze", "slots": {"minutes": "10"}}) == [
        "('hello there', '42', '2', True, Intent(name='Snooze', slots={'minutes': '10'}))"
    ]


def test_what_is_no_listen_is_refused() -> None:
    @workflow
    async def careless(talk: Talk) -> None:
        await talk.ask("?", int)  # type: ignore[arg-type]  # on purpose

    assert "is no listen" in outcome(BareRun(careless))[1]


def test_next_takes_the_first_of_several_types_to_be_matched() -> None:
    @workflow
    async def matching(talk: Talk) -> None:
        while True:
            match await talk.next(Heard, Silence, Recording, Transferred, Returned, ErrandDone):
                case Heard(text=text, keys=keys, intent=intent):
                    talk.say(f"heard {text!r} {keys!r} {intent!r}")
                case Recording(url=url, seconds=seconds):
                    talk.say(f"recorded {url} {seconds}")
                case Transferred(outcome=how, seconds=seconds):
                    talk.say(f"transferred {how} {seconds}")
                case other:
                    talk.say(type(other).__name__)

    run = BareRun(matching)
    assert run.say("hi") == ["heard 'hi' '' ''"]
    assert run.press("5#") == ["heard '5#' '5#' ''"]
    assert run.hear("intent", {"name": "Stop", "text": "stop"}) == ["heard 'stop' '' 'Stop'"]
    assert run.hear("silence") == ["Silence"]
    assert run.hear("recorded", {"url": "u", "seconds": 3}) == ["recorded u 3"]
    assert run.hear("transferred", {"outcome": "busy"}) == ["transferred busy 0"]
    assert run.hear("returned") == ["Returned"]


def test_next_of_what_was_heard_alone_meets_silence_as_an_error() -> None:
    @workflow
    async def hearing(talk: Talk) -> None:
        try:
            await talk.next(Heard)
        except NoAnswer as error:
            talk.say(str(error))

    assert BareRun(hearing).hear("silence") == ["nobody answered"]


def test_next_of_nothing_or_of_what_is_no_input_is_refused() -> None:
    @workflow
    async def nothing(talk: Talk) -> None:
        await talk.next()

    @workflow
    async def wrong(talk: Talk) -> None:
        await talk.next(int)  # type: ignore[type-var]  # on purpose

    for flow in (nothing, wrong):
        assert "next() takes some of Heard, Silence" in outcome(BareRun(flow))[1]


def test_two_open_listens_for_the_same_input_are_an_error_at_the_authors_line() -> None:
    @workflow
    async def twice(talk: Talk) -> None:
        async def a() -> str:
            return await talk.listen(Words())

        async def b() -> str:
            return await talk.listen(Digits(1))

        await talk.gather(a(), b())

    kind, text = outcome(BareRun(twice))
    line = twice.function.__code__.co_firstlineno
    assert kind == "ListenError"
    assert f"test_talk.py:{line + 6} (" in text
    assert f"test_talk.py:{line + 3} (" in text
    assert "intent, pressed, said, silence" in text


def test_a_listen_error_may_be_caught_at_its_line() -> None:
    @workflow
    async def twice(talk: Talk) -> None:
        async def b() -> str:
            try:
                return await talk.listen(Digits(1))
            except Exception as error:  # noqa: BLE001 - to see it
                return type(error).__name__

        talk.say(str(await talk.first(talk.listen(Words()), b())))

    assert BareRun(twice).said == ["(1, 'ListenError')"]


def test_a_message_is_recorded_or_on_a_text_channel_written() -> None:
    @workflow
    async def voicemail(talk: Talk) -> None:
        talk.say(repr(await talk.record("After the beep", seconds=30)))

    run = BareRun(voicemail, facts=PHONE)
    assert run.said == ["After the beep"]
    assert run.run.prompt is not None
    assert run.run.prompt.timeout == 5
    assert run.hear("recorded", {"url": "u", "seconds": 4}) == ["Recording(url='u', seconds=4, text='')"]
    assert BareRun(voicemail).say("call me") == ["Recording(url='', seconds=0, text='call me')"]
    assert BareRun(voicemail).say("  ") == ["Goodbye."]
    assert BareRun(voicemail).hear("silence") == ["Goodbye."]


def test_a_transfer_gives_how_it_went() -> None:
    @workflow
    async def operator(talk: Talk) -> None:
        talk.say(repr(await talk.transfer("+1555", seconds=20)))

    run = BareRun(operator)
    assert run.run.prompt is not None
    assert run.run.prompt.timeout is None
    assert run.hear("transferred", {"outcome": "completed", "seconds": 60}) == ["Transferred(outcome='completed', seconds=60)"]
    assert BareRun(operator).hear("transferred", {"outcome": "busy"}) == ["Transferred(outcome='busy', seconds=0)"]
    assert BareRun(operator).hear("silence") == ["Transferred(outcome='failed', seconds=0)"]


def test_a_caller_may_leave_during_a_message_and_a_transfer() -> None:
    @workflow
    async def voicemail(talk: Talk) -> None:
        await talk.record()

    @workflow
    async def operator(talk: Talk) -> None:
        await talk.transfer("+1555")

    for flow in (voicemail, operator):
        run = BareRun(flow)
        assert run.leave() == []
        assert run.run.error == ("CallerLeft", "hung up")


# -- effects -------------------------------------------------------------------------------------------------------------------------------


def test_a_call_gives_the_effects_value_as_its_type() -> None:
    @workflow
    async def caller(talk: Talk) -> None:
        thought = await talk.call(think, prompt="x")
        assert isinstance(thought, Thought)
        talk.say(f"{thought.text} {thought.tokens} {thought.at}")

    run = BareRun(caller)
    step = run.wanted("think")
    assert (step.kind, step.step.stream, step.step.kwargs) == ("call", False, {"prompt": "x"})
    assert run.memo("think", {"text": "deep", "at": "2026-01-01T00:00:00Z"}) == ["deep 0 2026-01-01 00:00:00+00:00"]


def test_a_failure_is_recorded_and_raised_alike() -> None:
    @workflow
    async def caller(talk: Talk) -> None:
        try:
            await talk.call(think, "x")
        except StepFailed as error:
            talk.say(f"{error.step} {error.kind} {error.reason} | {error}")

    run = BareRun(caller)
    assert run.memo("think", error=("RateLimitError", "too many", False)) == [
        "think RateLimitError too many | think failed: RateLimitError: too many"
    ]
    assert replayed("web:1", run.elements, run.registry).said == run.run.said


def test_an_uncaught_failure_is_an_apology() -> None:
    @workflow
    async def caller(talk: Talk) -> None:
        await talk.call(think, "x")

    run = BareRun(caller)
    assert run.memo("think", error=("RateLimitError", "too many", False)) == ["Sorry, that did not work. Please try again later. Goodbye."]


@pytest.mark.parametrize(("said", "heard"), [("a \ud800 b", "a \ufffd b"), ("\ud83d\ude00", "\U0001f600"), ("ä\n🙂", "ä\n🙂")])
def test_what_is_said_can_be_stored_and_sent(said: str, heard: str) -> None:
    @workflow
    async def speaker(talk: Talk) -> None:
        await talk.ask(said, Words())
        talk.say(Ssml(said))
        talk.play(said)

    run = BareRun(speaker)
    assert run.said == [heard]
    assert run.say("hi") == [heard, heard]
    assert run.run.ended


def test_speak_says_the_text_of_the_result_as_one_output() -> None:
    @workflow
    async def speaker(talk: Talk) -> None:
        thought = await talk.speak(think, "x")
        talk.note(thought.tokens)

    run = BareRun(speaker)
    assert run.wanted("think").step.stream
    assert run.memo("think", {"text": "aloud", "tokens": 3}) == ["aloud"]
    assert run.run.note == 3


def test_speak_says_nothing_where_there_is_no_text() -> None:
    @workflow
    async def speaker(talk: Talk) -> None:
        await talk.speak(think, "x")
        talk.say("done")

    run = BareRun(speaker)
    assert run.memo("think", {"text": "", "tokens": 3}) == ["done"]


def test_what_is_no_effect_is_refused() -> None:
    async def plain(prompt: str) -> str: ...

    @workflow
    async def careless(talk: Talk) -> None:
        await talk.call(plain, "x")  # type: ignore[arg-type]  # on purpose

    assert outcome(BareRun(careless)) == ("ArgumentsError", "'plain' is no effect; declare it with @effect")


# -- time ----------------------------------------------------------------------------------------------------------------------------------


def test_a_sleep_is_an_alarm_for_a_time_or_until_a_moment() -> None:
    @workflow
    async def sleeper(talk: Talk) -> None:
        await talk.sleep(timedelta(seconds=1.5))
        await talk.sleep(datetime(2026, 1, 6, 8, 0, tzinfo=ZoneInfo("Europe/Helsinki")))
        await talk.sleep(timedelta(seconds=-5))
        talk.say("awake")

    run = BareRun(sleeper)
    assert run.run.alarms == {"0": NOON + 1500}
    run.fire()
    assert run.run.alarms == {"1": round(datetime(2026, 1, 6, 6, 0, tzinfo=UTC).timestamp() * 1000)}
    run.fire()
    assert run.run.alarms["2"] < run.run.now
    assert run.fire() == ["awake"]


def test_a_moment_without_a_time_zone_is_refused() -> None:
    @workflow
    async def sleeper(talk: Talk) -> None:
        await talk.sleep(datetime(2026, 1, 6))  # noqa: DTZ001 - on purpose

    assert "needs a time zone" in outcome(BareRun(sleeper))[1]


# -- errands and restarts ------------------------------------------------------------------------------------------------------------------


@workflow
async def errand(talk: Talk, number: int, note: str = "") -> int:
    await talk.sleep(HOUR)
    return number


@workflow
async def boss(talk: Talk) -> None:
    started = await talk.start(errand, 3, note="x", name="three")
    talk.say(f"{started.name} {started.workflow}")
    status = await talk.status(started)
    talk.say(f"{status.state} {status.note}")
    await talk.cancel(started)
    talk.say("called off")


def test_errands_are_started_asked_and_called_off() -> None:
    run = BareRun(boss)
    start = run.wanted(errand.name)
    assert start.step.args == {"number": 3, "note": "x"}
    assert start.step.name == "three"
    assert run.memo(errand.name) == [f"three {errand.name}"]
    id_ = f"{NOON}/0"
    assert run.run.errands[id_].key.startswith("errand:")
    assert run.wanted(id_).kind == "status"
    assert run.memo(id_, {"state": "running", "note": 5}) == ["running 5"]
    assert run.wanted(id_).kind == "cancel"
    assert run.memo(id_) == ["called off"]


def test_an_errands_key_is_unlike_any_other() -> None:
    @workflow
    async def other_boss(talk: Talk) -> None:
        await talk.start(errand, 4, note="x", name="three")

    @workflow
    async def slow_boss(talk: Talk) -> None:
        talk.say("Well.")
        await talk.sleep(timedelta(0))
        await talk.start(errand, 3, note="x", name="three")

    keys = set()
    for session in ("web:1", "web:2"):
        for seed in (b"a", b"b"):
            for giver in (boss, other_boss, slow_boss):
                run = BareRun(giver, session=session, seed=seed)
                if giver is slow_boss:
                    run.fire()
                keys.add(run.run.child_key(run.wanted(errand.name)))
    assert len(keys) == 12


def test_arguments_of_an_errand_are_checked_at_the_start() -> None:
    @workflow
    async def careless(talk: Talk, way: int) -> None:
        wrong: list[Any] = [("many",), (), (1, "x", "y"), (object(),)]
        await talk.start(errand, *wrong[way])

    for way in range(4):
        kind, text = outcome(BareRun(careless, args={"way": way}))
        assert kind == "ArgumentsError"
        assert errand.name in text


def test_what_is_no_workflow_or_no_errand_is_refused() -> None:
    async def plain(talk: Talk) -> None: ...

    @workflow
    async def careless(talk: Talk, way: int) -> None:
        if way == 0:
            await talk.start(plain)  # type: ignore[arg-type]  # on purpose
        if way == 1:
            await talk.restart(plain)  # type: ignore[arg-type]  # on purpose
        if way == 2:
            await talk.cancel("1/0")  # type: ignore[arg-type]  # on purpose
        await talk.status("1/0")  # type: ignore[arg-type]  # on purpose

    texts = [outcome(BareRun(careless, args={"way": way}))[1] for way in range(4)]
    assert texts[0] == texts[1] == "'plain' is no workflow; decorate it with @workflow"
    assert texts[2] == texts[3] == "'1/0' is no errand; pass what talk.start gave"


def test_a_status_is_a_value() -> None:
    assert ErrandStatus("running") == ErrandStatus("running", None)
    assert Errand("1/0", "k", "n", "w") != Errand("1/1", "k", "n", "w")


def test_two_workflows_of_one_name_cannot_both_be_started() -> None:
    @workflow(name="same")
    async def one(talk: Talk) -> None: ...

    @workflow(name="same")
    async def other(talk: Talk) -> None: ...

    @workflow
    async def confused(talk: Talk) -> None:
        await talk.gather(talk.start(one), talk.start(other))

    assert "two workflows are called same" in outcome(BareRun(confused))[1]


def test_a_restart_is_wanted_and_never_returns() -> None:
    @workflow
    async def again(talk: Talk, life: int = 1) -> None:
        try:
            await talk.restart(again, life + 1)
            talk.say("never")
        finally:
            talk.note("closed")

    run = BareRun(again)
    assert run.run.restart is not None
    assert run.run.restart.step.args == {"life": 2}
    assert not run.run.quiescent
    assert run.run.wanted() == f"restart {again.name} (step 0)"
    run.say("wait", id_="w")
    assert [event.type for event in run.run.queued] == ["said"]  # type: ignore[union-attr]  # nobody left


def test_a_started_workflow_is_found_by_its_name_in_this_process() -> None:
    @workflow(name="only here")
    async def hidden(talk: Talk) -> int:
        return 5

    @workflow
    async def starter(talk: Talk) -> None:
        await talk.start(hidden)
        talk.say(str((await talk.next(ErrandDone)).value))

    registry = Registry([starter])
    run = BareRun(starter)
    run.registry = registry
    child = Run("errand:x", run.run.opened, registry)
    assert child.calls
    assert registry.get("only here") is hidden


def test_what_authors_may_catch_can_be_told_apart() -> None:
    assert set(ConversationError.__subclasses__()) >= {CallerLeft, NoAnswer, NotUnderstood, StepFailed}
    assert not any(issubclass(one, other) for one, other in itertools.permutations([CallerLeft, NoAnswer, NotUnderstood, StepFailed], 2))
