"""A recorded history against changed code."""

from pathlib import Path

import msgspec
import pytest
from support.shop import BUG, FIRED, LEFT, LONGER, PIN, SHOP, TEA, Steps, pressed, price, record, said, write_shop

from switchboard.replay import LedTo, Replay, State, replay
from workflows.events import Fired, Left, Opened, decode, encode
from workflows.outputs import Say
from workflows.registry import Registry


def played(folder: Path, elements: list[bytes], code: str = SHOP, *, strict: bool = False) -> Replay:
    return replay("phone:CA1", elements, write_shop(folder, code), strict=strict)


def test_a_history_replays_with_what_was_said_and_who_took_what(tmp_path: Path) -> None:
    seen = played(tmp_path, record(write_shop(tmp_path), "phone:CA1", PIN, TEA, price))
    assert seen.state == "running"
    assert [moment.position for moment in seen.moments] == [0, 1, 2, 3]
    assert [moment.said for moment in seen.moments] == [
        (Say("Welcome."), Say("Your PIN, please")),
        (Say("1 for tea, 2 for coffee"),),
        (),
        (Say("That is 3."),),
    ]
    assert [moment.taken_by for moment in seen.moments] == ["", "listen digits 4 (step 0)", "listen digits 1 (step 1)", ""]
    assert seen.waits_for == ("sleep (step 3)",)
    assert seen.alarms == (("3", 1_764_000_003_000 + 3_600_000),)


@pytest.mark.parametrize(
    ("steps", "code", "state"),
    [
        ((PIN,), SHOP, "running"),
        ((PIN, TEA, price, FIRED), SHOP, "ended"),
        ((LEFT,), SHOP, "ended"),
        ((PIN, TEA), BUG, "failed"),
        ((PIN, TEA), LONGER, "diverged"),
    ],
)
def test_the_state_follows_from_history_and_code(tmp_path: Path, steps: Steps, code: str, state: State) -> None:
    assert played(tmp_path, record(write_shop(tmp_path), "phone:CA1", *steps), code).state == state


def test_a_workflow_that_is_gone_fails_its_sessions_by_name(tmp_path: Path) -> None:
    registry = write_shop(tmp_path)
    opened, pin = record(registry, "phone:CA1", PIN)
    moved = encode(msgspec.structs.replace(decode(opened), workflow="nowhere:shop"), bytes(8))
    seen = replay("phone:CA1", [moved, pin], registry)
    assert seen.failure is not None
    assert (seen.state, seen.failed_at, seen.failure.kind) == ("failed", 0, "UnknownWorkflowError")


def test_mended_code_heals_a_failed_session(tmp_path: Path) -> None:
    elements = record(write_shop(tmp_path, BUG), "phone:CA1", PIN, TEA)
    failed = played(tmp_path, elements, BUG)
    assert failed.failure is not None
    assert (failed.state, failed.failed_at, failed.failure.kind) == ("failed", 2, "ValueError")
    assert "corner.py" in failed.failure.traceback
    assert played(tmp_path, elements).state == "running"


def test_a_divergence_names_the_first_differing_step_and_what_follows_is_not_replayed(tmp_path: Path) -> None:
    seen = played(tmp_path, record(write_shop(tmp_path), "phone:CA1", PIN, TEA, price), LONGER)
    assert seen.divergence is not None
    assert (seen.divergence.position, seen.divergence.wanted) == (2, "listen digits 2 (step 1)")
    assert [moment.replayed for moment in seen.moments] == [True, True, False, False]
    assert seen.waits_for == ()


def test_the_first_trouble_is_the_one_that_counts(tmp_path: Path) -> None:
    elements = record(write_shop(tmp_path), "phone:CA1", PIN, TEA)
    assert played(tmp_path, [*elements, b"\x02 foreign"], LONGER).state == "diverged"
    assert played(tmp_path, [*elements[:2], b"\x02 foreign", *elements[2:]], LONGER).state == "quarantined"


def test_other_arguments_are_a_divergence_only_when_strict(tmp_path: Path) -> None:
    elements = record(write_shop(tmp_path), "phone:CA1", PIN, TEA, price)
    code = SHOP.replace("price_of, what)", "price_of, what * 2)")
    assert played(tmp_path, elements, code).state == "running"
    strict = played(tmp_path, elements, code, strict=True)
    assert strict.state == "diverged"
    assert "with other arguments" in strict.problem


def test_other_words_are_noticed_where_the_next_event_is_on_record(tmp_path: Path) -> None:
    elements = record(write_shop(tmp_path), "phone:CA1", PIN, TEA, price)
    seen = played(tmp_path, elements, SHOP.replace("Welcome.", "Hello.").replace("That is", "It costs"))
    assert [moment.reworded for moment in seen.moments] == [True, False, False, False]
    assert seen.state == "running"
    assert not any(moment.reworded for moment in played(tmp_path, elements).moments)
    assert not any(moment.reworded for moment in played(tmp_path, elements, BUG).moments), "an apology is no other wording"


def test_positions_go_on_after_a_former_generation(tmp_path: Path) -> None:
    elements = record(write_shop(tmp_path), "phone:CA1", PIN, TEA, base=40)
    assert [moment.position for moment in played(tmp_path, elements).moments] == [40, 41, 42]
    assert played(tmp_path, elements, BUG).failed_at == 42
    diverged = played(tmp_path, elements, LONGER).divergence
    assert diverged is not None
    assert diverged.position == 42


def test_an_element_that_cannot_be_read_quarantines_and_the_rest_is_still_seen(tmp_path: Path) -> None:
    elements = record(write_shop(tmp_path), "phone:CA1", PIN, TEA)
    seen = played(tmp_path, [*elements[:1], b"\x02 foreign", *elements[1:]])
    assert seen.state == "quarantined"
    assert "02 where 01 was expected" in seen.problem
    assert [(moment.event is None, moment.replayed) for moment in seen.moments] == [
        (False, True),
        (True, False),
        (False, False),
        (False, False),
    ]


def test_a_history_without_an_opening_is_quarantined() -> None:
    seen = replay("phone:CA1", [encode(Left(1, 0, 0, "a", "hung up"), bytes(8))], Registry())
    assert (seen.state, seen.opened) == ("quarantined", None)
    assert "does not begin with an opening" in seen.problem


def test_a_second_opening_is_a_divergence(tmp_path: Path) -> None:
    elements = record(write_shop(tmp_path), "phone:CA1")
    opened = decode(elements[0])
    assert isinstance(opened, Opened)
    run_shape = decode(record(write_shop(tmp_path), "phone:CA1", PIN)[1]).shape
    second = encode(msgspec.structs.replace(opened, shape=run_shape), bytes(8))
    assert played(tmp_path, [*elements, second]).state == "diverged"


def test_what_a_secret_listen_took_is_hidden_however_it_came(tmp_path: Path) -> None:
    for secret in (PIN, said("four seven one one", "a")):
        seen = played(tmp_path, record(write_shop(tmp_path), "phone:CA1", secret, TEA))
        assert [moment.hidden for moment in seen.moments] == [False, True, False]


def test_what_no_step_has_taken_is_hidden_until_one_does(tmp_path: Path) -> None:
    elements = record(write_shop(tmp_path), "phone:CA1", PIN, TEA, pressed("9", "c"), price)
    assert [moment.hidden for moment in played(tmp_path, elements).moments] == [False, True, False, True, False]
    late = SHOP.replace('talk.say(f"That is {price}.")', "await talk.listen(Digits(1))")
    elements = record(write_shop(tmp_path, late), "phone:CA1", PIN, TEA, pressed("9", "c"), price)
    seen = played(tmp_path, elements, late)
    assert [moment.hidden for moment in seen.moments] == [False, True, False, False, False]
    assert seen.moments[3].taken_by == "listen digits 1 (step 3)"


def test_what_came_after_a_divergence_is_hidden(tmp_path: Path) -> None:
    seen = played(tmp_path, record(write_shop(tmp_path), "phone:CA1", PIN), SHOP.replace("Digits(4", "Digits(6"))
    assert (seen.state, seen.moments[1].hidden) == ("diverged", True)


def test_an_alarm_that_fired_before_it_is_due_now_is_a_divergence_only_when_strict(tmp_path: Path) -> None:
    elements = record(write_shop(tmp_path), "phone:CA1", PIN, TEA, price, FIRED)
    later = SHOP.replace("timedelta(hours=1)", "timedelta(hours=2)")
    assert played(tmp_path, elements, later).state == "ended"
    found = played(tmp_path, elements, later, strict=True).divergence
    assert found is not None
    assert (found.position, found.recorded) == (4, "the alarm of step 3, fired at 2025-11-24 17:00:03.000+00:00")
    assert found.wanted == "it at 2025-11-24 18:00:03.000+00:00"


def test_an_alarm_that_would_not_be_the_first_is_a_divergence_when_strict(tmp_path: Path) -> None:
    code = SHOP.replace(
        "await talk.sleep(timedelta(hours=1))", "await talk.gather(talk.sleep(timedelta(hours=1)), talk.sleep(timedelta(hours=2)))"
    )
    elements = record(write_shop(tmp_path, code), "phone:CA1", PIN, TEA, price, (Fired, ("3.0.0",)), (Fired, ("3.1.0",)))
    assert played(tmp_path, elements, code, strict=True).state == "ended"
    found = played(tmp_path, elements, code.replace("hours=2", "minutes=30"), strict=True).divergence
    assert found is not None
    assert (found.position, found.wanted) == (4, "that of step 3.1.0, which is due before it")


def test_what_events_led_to_is_held_against_what_they_lead_to(tmp_path: Path) -> None:
    elements = record(write_shop(tmp_path), "phone:CA1", PIN, TEA, price)
    then = played(tmp_path, elements).led_to
    assert then[3] == LedTo(("sleep (step 3) until 2025-11-24 17:00:03.000+00:00",), (Say("That is 3."),))

    def now(code: str) -> Replay:
        return replay("phone:CA1", elements, write_shop(tmp_path, code), led_to=then)

    assert not any(moment.reworded for moment in now(SHOP).moments)
    reworded = [(moment.position, moment.then) for moment in now(SHOP.replace("That is", "It costs")).moments if moment.reworded]
    assert reworded == [(3, then[3])], "the words after the last event are known, too"
    shorter = now(SHOP.replace("hours=1", "minutes=1")).divergence
    assert shorter is not None
    assert (shorter.position, shorter.wanted) == (3, "sleep (step 3) until 2025-11-24 16:01:03.000+00:00")
    assert (
        shorter.recorded == "the outcome of price_of (step 2), upon which it waited for sleep (step 3) until 2025-11-24 17:00:03.000+00:00"
    )
    gone = now(SHOP.split("    await talk.sleep")[0]).divergence
    assert gone is not None
    assert gone.wanted == "nothing more (it has ended)"


def test_what_people_see_besides_words_is_looked_at_like_words(tmp_path: Path) -> None:
    elements = record(write_shop(tmp_path), "phone:CA1", PIN)
    then = played(tmp_path, elements).led_to
    assert [each and each.shows for each in then] == [('listens for digits {"n":4,"secret":true}',), ('listens for digits {"n":1}',)]
    for code in (SHOP.replace(", secret=True", ""), SHOP.replace("Digits(1)", 'Digits(1, finish_on="*")')):
        seen = replay("phone:CA1", elements, write_shop(tmp_path, code), led_to=then)
        assert (seen.state, sum(moment.reworded for moment in seen.moments)) == ("running", 1)


def test_what_the_code_that_wrote_it_down_did_not_repeat_is_not_known(tmp_path: Path) -> None:
    elements = record(write_shop(tmp_path), "phone:CA1", PIN, TEA, price)
    led_to = played(tmp_path, elements, LONGER.replace("Welcome.", "Hello.")).led_to
    assert [each and each.said for each in led_to] == [None, (Say("1 for tea, 2 for coffee"),), None, None]
    failed = played(tmp_path, record(write_shop(tmp_path, BUG), "phone:CA1", PIN, TEA), BUG).led_to
    assert [each is None for each in failed] == [False, False, True]
    back = replay("phone:CA1", elements, write_shop(tmp_path), led_to=led_to)
    assert back.state == "diverged", "it is the waiting for two keys that was written down"
