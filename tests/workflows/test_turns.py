"""Answers: which outputs answer which inbound."""

from datetime import timedelta

import msgspec
from support.bare_run import NOON, UID, BareRun, look

from workflows import Choice, Digits, ErrandDone, Heard, NotUnderstood, Talk, Words, effect, workflow
from workflows.events import Carried, Opened, decode, encode
from workflows.registry import Registry
from workflows.run import Run
from workflows.turns import CARRIED_IDS, CARRIED_MS, KEPT_TURNS, Turns

HOUR = timedelta(hours=1)


@effect
async def think(prompt: str) -> str: ...


@workflow
async def echo(talk: Talk) -> None:
    talk.say("Welcome")
    while True:
        talk.say(f"You said {await talk.ask('Yes?', Words())}")


@workflow
async def thinking(talk: Talk) -> None:
    while True:
        text = await talk.listen(Words())
        talk.say(f"thinking about {text}")
        talk.say(await talk.call(think, text))


@workflow
async def napping(talk: Talk) -> None:
    await talk.listen(Words())
    talk.say("good night")
    await talk.sleep(HOUR)
    talk.say("good morning")
    while True:
        talk.say(f"heard {await talk.listen(Words())}")


def test_the_answer_to_the_opening_is_what_was_said_until_it_listens() -> None:
    run = BareRun(echo)
    answer = run.full_answer("opening")
    assert run.answer("opening") == ("answered", ["Welcome", "Yes?"])
    assert answer.turn == 0
    assert answer.prompt is not None
    assert answer.prompt.listen == Words()
    assert not answer.ended


def test_the_first_words_belong_to_the_turn_of_the_opening() -> None:
    run = BareRun(echo)
    run.say("hello", id_="opening")
    assert run.answer("opening") == ("answered", ["Welcome", "Yes?", "You said hello", "Yes?"])


def test_the_first_words_of_a_session_that_does_not_listen_yet_are_answered_with_the_opening() -> None:
    @workflow
    async def late(talk: Talk) -> None:
        talk.say("Wait")
        await talk.sleep(HOUR)
        talk.say(await talk.listen(Words()))

    run = BareRun(late)
    run.say("hello", id_="opening")
    assert run.answer("opening") == ("answered", ["Wait"])
    run.fire()
    assert run.answer("opening", 1, whole=False) == ("answered", ["hello"])


def test_a_turn_lasts_until_no_effect_is_wanted() -> None:
    run = BareRun(thinking)
    run.say("x", id_="x")
    assert run.answer("x") == ("running", ["thinking about x"])
    run.memo("think", "thought")
    assert run.answer("x") == ("answered", ["thinking about x", "thought"])
    assert run.full_answer("x").turn == 1


def test_twenty_queued_inputs_get_twenty_answers() -> None:
    run = BareRun(thinking)
    for index in range(20):
        run.say(f"t{index}", id_=f"id{index}")
    for index in range(20):
        assert run.answer(f"id{index}")[0] == "running"
        run.memo("think", f"thought {index}")
        assert run.answer(f"id{index}") == ("answered", [f"thinking about t{index}", f"thought {index}"])


def test_an_input_that_the_first_quiescence_finds_unconsumed_is_kept_for_good() -> None:
    run = BareRun(napping)
    run.say("tired", id_="first")
    run.say("hello?", id_="second")
    assert run.answer("second") == ("kept", [])
    assert run.full_answer("second").prompt is None
    run.fire()
    assert run.answer("second") == ("kept", [])
    assert run.answer("second", whole=False) == ("kept", ["good morning", "heard hello?"])
    assert run.answer("first") == ("answered", ["good night"])


def test_what_is_said_while_an_input_waits_is_said_to_others() -> None:
    @workflow
    async def busy(talk: Talk) -> None:
        await talk.listen(Words())
        talk.say(await talk.call(think, "x"))
        await talk.sleep(HOUR)

    run = BareRun(busy)
    run.say("go", id_="go")
    run.say("and?", id_="waits")
    run.memo("think", "a thought")
    assert run.answer("go") == ("answered", ["a thought"])
    assert run.answer("waits") == ("kept", [])


def test_an_input_that_waits_at_the_end_is_answered_so() -> None:
    @workflow
    async def short(talk: Talk) -> None:
        talk.say(await talk.call(think, "x"))

    run = BareRun(short)
    run.say("too late", id_="late")
    run.memo("think", "bye")
    assert run.answer("late") == ("ended", [])
    assert run.full_answer("late").ended
    assert run.answer("opening") == ("answered", ["bye"])
    assert run.full_answer("opening").ended


def test_a_listen_beside_an_effect_gives_the_answer_at_once_and_the_rest_is_a_delivery() -> None:
    @workflow
    async def beside(talk: Talk) -> None:
        async def slow() -> None:
            talk.say(await talk.call(think, "x"))

        async def hear() -> None:
            talk.say(f"heard {await talk.ask('Say stop', Words())}")

        await talk.gather(slow(), hear())

    run = BareRun(beside)
    assert run.answer("opening") == ("answered", ["Say stop"])
    assert run.memo("think", "thought") == ["thought"]
    assert run.answer("opening") == ("answered", ["Say stop"])
    assert run.answer("opening", 1, whole=False) == ("answered", ["thought"])


def test_the_prompt_of_an_answer_is_the_listen_at_its_end() -> None:
    @workflow
    async def two(talk: Talk) -> None:
        await talk.ask("One", Digits(1), timeout=7)
        await talk.ask("Two", Choice({"1": "yes"}))
        await talk.sleep(HOUR)

    run = BareRun(two)
    run.press("1", id_="a")
    run.press("1", id_="b")
    prompts = [run.full_answer(id_).prompt for id_ in ("opening", "a", "b")]
    assert prompts[0] is not None
    assert (prompts[0].listen, prompts[0].timeout) == (Digits(1), 7)
    assert prompts[1] is not None
    assert prompts[1].listen == Choice({"1": "yes"})
    assert prompts[2] is None


def test_a_listen_for_errands_alone_is_no_prompt() -> None:
    @workflow
    async def waiting(talk: Talk) -> None:
        await talk.next(ErrandDone)

    assert BareRun(waiting).run.prompt is None


def test_an_offset_leaves_out_what_was_collected() -> None:
    run = BareRun(echo)
    assert run.answer("opening", 1) == ("answered", ["Yes?"])
    assert run.full_answer("opening", 1).offset == 1
    assert run.answer("opening", 2) == ("answered", [])


def test_the_last_answers_are_kept_and_the_older_forgotten() -> None:
    run = BareRun(echo)
    for index in range(100):
        run.say(str(index), id_=f"id{index}")
    turns = run.run.turns
    assert KEPT_TURNS <= len(turns.last) <= 2 * KEPT_TURNS + 1
    assert len(turns.ids) == 101
    for index in range(100 - KEPT_TURNS, 100):
        assert run.answer(f"id{index}") == ("answered", [f"You said {index}", "Yes?"])
    assert len(turns._log) <= 2 * (2 * KEPT_TURNS + 1)


def test_an_input_that_nothing_ever_takes_does_not_make_the_run_remember_all() -> None:
    run = BareRun(echo)
    run.hear("returned", id_="stray")
    for index in range(100):
        run.say(str(index), id_=f"id{index}")
    assert len(run.run.turns.last) <= 2 * KEPT_TURNS + 2
    assert len(run.run.turns._log) <= 2 * (2 * KEPT_TURNS + 1)
    assert run.answer("stray") == ("kept", [])
    said = run.answer("stray", whole=False)[1]
    assert said[-2:] == ["You said 99", "Yes?"]


def test_what_was_forgotten_of_a_delivery_is_told_by_the_offset() -> None:
    run = BareRun(echo)
    run.hear("returned", id_="stray")
    for index in range(100):
        run.say(str(index))
    answer = run.full_answer("stray", whole=False)
    assert answer.offset > 0
    assert answer.offset + len(answer.said) == 200


def test_kept_inputs_are_consumed_in_order_however_many_there_are() -> None:
    run = BareRun(napping)
    run.say("tired")
    for index in range(50):
        run.say(str(index), id_=f"id{index}")
    assert run.fire() == ["good morning", *[f"heard {index}" for index in range(50)]]
    run.say("again", id_="again")
    assert run.answer("again") == ("answered", ["heard again"])


# -- carrying over a restart ---------------------------------------------------------------------------------------------------------------


@workflow
async def chat(talk: Talk, life: int = 0) -> None:
    talk.say(f"life {life}")
    while (text := await talk.listen(Words())) != "restart":
        talk.say(f"heard {text}")
    await talk.call(think, "before")
    talk.say("restarting")
    await talk.restart(chat, life + 1)


def test_the_open_turn_goes_on_in_the_new_generation() -> None:
    run = BareRun(chat)
    run.say("restart", id_="r")
    assert run.memo("think", "x") == ["restarting"]
    assert run.answer("r") == ("running", ["restarting"])
    assert run.restart() == ["life 1"]
    assert run.answer("r") == ("answered", ["restarting", "life 1"])
    numbers = [(position, ordinal) for position, ordinal, _ in run.full_answer("r").said]
    assert len(set(numbers)) == len(numbers)
    assert run.full_answer("r").turn == 1


def test_former_answers_are_the_same_after_a_restart() -> None:
    run = BareRun(chat)
    run.say("one", id_="one")
    run.say("restart")
    run.memo("think", "x")
    before = run.full_answer("one")
    run.restart()
    after = run.full_answer("one")
    assert (after.turn, after.said, after.prompt, after.state) == (before.turn, before.said, before.prompt, before.state)


def test_an_input_queued_over_a_restart_gets_its_own_answer() -> None:
    run = BareRun(chat)
    run.say("restart")
    run.say("queued", id_="queued")
    run.memo("think", "x")
    run.restart()
    assert run.answer("queued") == ("answered", ["heard queued"])


def test_an_input_that_was_kept_stays_kept_over_a_restart() -> None:
    @workflow
    async def napper(talk: Talk) -> None:
        await talk.sleep(HOUR)
        await talk.restart(chat, 1)

    run = BareRun(napper, chat)
    run.say("hello?", id_="kept")
    assert run.answer("kept") == ("kept", [])
    run.fire()
    assert run.restart() == ["life 1", "heard hello?"]
    assert run.answer("kept") == ("kept", [])
    assert run.answer("kept", whole=False)[1] == ["life 1", "heard hello?"]


def test_a_restart_within_a_restart_keeps_the_turn_open() -> None:
    @workflow
    async def bounce(talk: Talk, left: int) -> None:
        talk.say(f"{left} left")
        if left:
            await talk.restart(bounce, left - 1)
        await talk.listen(Words())

    run = BareRun(bounce, args={"left": 2})
    run.restart()
    assert run.answer("opening") == ("running", ["2 left", "1 left"])
    run.restart()
    assert run.answer("opening") == ("answered", ["2 left", "1 left", "0 left"])


def test_a_restart_carries_the_last_answers_and_the_recent_ids() -> None:
    turns = Turns()
    for index in range(CARRIED_IDS + 50):
        at = NOON - CARRIED_MS + index  # the first of them is an hour old
        turn = turns.arrive(f"id{index}", index, at)
        turns.consume(turn, None)
        turns.settle(None, "kept", ended=False)
    carried = turns.carry(NOON)
    assert len(carried) == CARRIED_IDS
    assert [each.state for each in carried].count("done") == KEPT_TURNS
    assert {each.state for each in carried[:-KEPT_TURNS]} == {"handled"}
    later = turns.carry(NOON + 100)
    assert min(each.at for each in later) > NOON + 100 - CARRIED_MS


def test_an_id_whose_answer_is_gone_is_still_known() -> None:
    opened = Opened(
        NOON, 0, 0, "", NOON, chat.name, (), "web", None, None, "en", "UTC", b"s", {}, carried=(Carried("old", NOON, "handled"),)
    )
    run = Run("web:1", opened, Registry([chat]))
    assert "old" in run.turns.ids
    assert "old" not in run.turns.last


def test_carried_turns_survive_the_stored_form() -> None:
    run = BareRun(chat)
    for index in range(40):
        run.say(str(index), id_=f"id{index}")
    run.say("restart")
    run.memo("think", "x")
    now = run.run.now
    carried = run.run.turns.carry(now)
    again = decode(encode(msgspec.structs.replace(run.run.opened, carried=carried), UID))
    assert isinstance(again, Opened)
    assert again.carried == carried
    run.restart()
    seen = look(run.run)
    run.replay()
    assert look(run.run) == seen


def test_what_is_said_before_any_inbound_belongs_to_no_turn() -> None:
    @workflow
    async def waking(talk: Talk) -> None:
        talk.say("now")
        await talk.sleep(HOUR)
        talk.say("later")

    opened = Opened(NOON, 0, 0, "", NOON, waking.name, (), "web", None, None, "en", "UTC", b"s", {})
    run = Run("web:1", opened, Registry([waking]))
    assert run.turns.current is None
    assert len(run.said) == 1


def test_errors_of_a_listen_belong_to_the_turn_that_met_them() -> None:
    @workflow
    async def strict(talk: Talk) -> None:
        try:
            await talk.listen(Digits(1))
        except NotUnderstood as error:
            talk.say(str(error))
        await talk.next(Heard)

    run = BareRun(strict)
    run.say("words", id_="words")
    assert run.answer("words") == ("answered", ["'words' is not what was listened for"])
