"""Histories without their secrets."""

from pathlib import Path

import pytest
from support.shop import BUG, FIRED, LEFT, LONGER, PIN, SHOP, TEA, Step, Steps, pressed, price, record, said, write_shop

from switchboard.redaction import Redacted, redact
from switchboard.replay import Replay, replay
from workflows.events import Heard, decode, uid_of

S = "phone:CA1"

SPOKEN = SHOP.replace('await talk.ask("Your PIN, please"', 'pin = await talk.ask("Your PIN, please"').replace(
    'talk.say("We close.")', 'talk.say(f"We close, {pin}.")\n    await talk.sleep(timedelta(hours=1))'
)
"""It says the secret, at the end."""

CALLED = SHOP.replace('await talk.ask("Your PIN, please"', 'pin = await talk.ask("Your PIN, please"').replace(
    "price_of, what)", "price_of, pin)"
)
"""It gives the secret to an effect."""

JUDGED = SHOP.replace(
    'await talk.ask("Your PIN, please", Digits(4, secret=True))',
    'if await talk.ask("Your PIN, please", Digits(4, secret=True)) != "4711":\n        return',
)
"""It looks at the secret itself."""

DIVIDED = SHOP.replace(
    'await talk.ask("Your PIN, please", Digits(4, secret=True))',
    'talk.say(str(1 // int(await talk.ask("Your PIN, please", Digits(4, secret=True)))))',
)
"""It has a bug that only zeros meet."""


def redacted(folder: Path, code: str, *steps: object, now: str | None = None) -> tuple[Redacted, Replay]:
    """A history of `code` without its secrets, by the code `now`, and its replay."""
    elements = record(write_shop(folder, code), S, *steps)  # type: ignore[arg-type]  # steps
    registry = write_shop(folder, now or code)
    found = redact(S, elements, registry)
    assert b"4711" not in b"".join(found.elements)
    assert [uid_of(each) for each in found.elements] == [uid_of(each) for each in elements[: len(found.elements)]]
    assert len(found.elements) + found.left_out == len(elements)
    return found, replay(S, found.elements, registry, strict=True)


def payloads(found: Redacted) -> list[object]:
    return [event.payload for event in map(decode, found.elements) if isinstance(event, Heard)]


def test_a_history_without_secrets_is_left_as_it_is(tmp_path: Path) -> None:
    open_ = SHOP.replace(", secret=True", "")
    elements = record(write_shop(tmp_path, open_), S, PIN, TEA, price, FIRED)
    assert redact(S, elements, write_shop(tmp_path, open_)) == Redacted(tuple(elements))


@pytest.mark.parametrize(
    ("secret", "stand_in"),
    [
        (PIN, {"digits": "0000"}),
        (pressed("4711#", "a"), {"digits": "0000"}),
        (said("four seven one one", "a"), {"text": "0000"}),
        (
            (Heard, ("a", "intent", {"name": "Pin", "slots": {"pin": "4711"}, "text": "4711", "via": "x"})),
            {"name": "", "slots": {}, "text": "0000", "via": "x"},
        ),
    ],
)
def test_a_secret_becomes_zeros_and_the_rest_replays(tmp_path: Path, secret: Step, stand_in: object) -> None:
    found, seen = redacted(tmp_path, SHOP, secret, TEA, price, FIRED)
    assert payloads(found) == [stand_in, {"digits": "1"}]
    assert (found.hidden, found.left_out) == ((1,), 0)
    assert (seen.state, [moment.reworded for moment in seen.moments]) == ("ended", [False] * 5)


def test_a_secret_that_was_not_understood_stays_so(tmp_path: Path) -> None:
    for wrong in (pressed("471", "z"), pressed("47111", "z"), said("what 4711?", "z")):
        found, seen = redacted(tmp_path, SHOP, wrong, PIN, TEA)
        assert (found.hidden, seen.state) == ((1, 2), "running")
        assert payloads(found)[0] in ({"digits": "?"}, {"text": "?"})


def test_what_no_step_has_taken_is_hidden_too(tmp_path: Path) -> None:
    found, seen = redacted(tmp_path, SHOP, PIN, TEA, pressed("4711", "c"), price)
    assert (found.hidden, payloads(found)[2], seen.state) == ((1, 3), {"digits": "?"}, "running")


def test_checksums_that_give_a_secret_away_are_made_anew(tmp_path: Path) -> None:
    for code in (SPOKEN, CALLED):
        steps = [PIN, TEA, price, FIRED, *([(FIRED[0], ("4",))] if code == SPOKEN else [])]
        elements = record(write_shop(tmp_path, code), S, *steps)
        found, seen = redacted(tmp_path, code, *steps)
        assert (found.hidden, found.left_out, seen.state) == ((1,), 0, "ended")
        assert not any(moment.reworded for moment in seen.moments)
        changed = [index for index, pair in enumerate(zip(elements, found.elements, strict=True)) if pair[0] != pair[1]]
        assert changed == ([1, 5] if code == SPOKEN else [1, 3]), "the input, and what was computed from it"


def test_what_the_code_changed_is_still_seen_to_have_changed(tmp_path: Path) -> None:
    found, seen = redacted(tmp_path, SPOKEN, PIN, TEA, price, now=SPOKEN.replace("1 for tea", "One for tea"))
    assert (found.left_out, [moment.reworded for moment in seen.moments]) == (0, [False, True, False, False])
    found, seen = redacted(tmp_path, CALLED, PIN, TEA, price, now=CALLED.replace("price_of, pin)", "price_of, pin * 2)"))
    assert (found.left_out, seen.state) == (0, "diverged")
    assert "with other arguments" in seen.problem


def test_where_the_conversation_depends_on_a_secret_the_history_ends(tmp_path: Path) -> None:
    found, seen = redacted(tmp_path, JUDGED, PIN, TEA, price)
    assert (found.hidden, found.left_out, found.why) == ((1,), 2, "what follows depends on what is hidden")
    assert seen.state == "ended", "the zeros are the wrong PIN"


def test_zeros_are_left_out_where_they_would_be_a_bug(tmp_path: Path) -> None:
    found, seen = redacted(tmp_path, DIVIDED, PIN, TEA)
    assert (found.hidden, found.left_out, found.why) == ((), 2, "what follows depends on what is hidden")
    assert seen.state == "running"


@pytest.mark.parametrize(
    ("now", "kept", "state", "why"),
    [
        (BUG, 3, "failed", "the workflow fails"),
        (LONGER, 3, "diverged", "the code here does not repeat event 2"),
        (SHOP.replace("Digits(4", "Digits(6"), 2, "diverged", "the code here does not repeat event 1"),
    ],
)
def test_what_comes_after_the_first_trouble_is_left_out_and_the_trouble_stays(
    tmp_path: Path, now: str, kept: int, state: str, why: str
) -> None:
    found, seen = redacted(tmp_path, SHOP, PIN, TEA, price, FIRED, now=now)
    assert (len(found.elements), found.why, seen.state) == (kept, why, state)


def test_an_effect_that_is_no_longer_called_gives_nothing_away(tmp_path: Path) -> None:
    found, seen = redacted(tmp_path, CALLED, PIN, TEA, price, now=CALLED.replace("talk.call(price_of, pin)", "talk.listen(Digits(1))"))
    assert (seen.state, decode(found.elements[-1]).hash) == ("diverged", bytes(8))  # type: ignore[union-attr]  # a memo


def test_of_an_element_that_cannot_be_read_only_the_head_is_kept(tmp_path: Path) -> None:
    registry = write_shop(tmp_path)
    elements = record(registry, S, PIN, TEA)
    for damaged in (b"\x02headhead 4711", elements[1][:9] + b"4711"):
        found = redact(S, [elements[0], damaged, elements[2]], registry)
        assert found.elements == (elements[0], damaged[:9])
        assert (found.left_out, found.why) == (1, "event 1 cannot be read")
        assert replay(S, found.elements, registry).state == "quarantined"
    found = redact(S, [b"\x02headhead 4711", *elements], registry)
    assert (found.elements, found.left_out) == ((b"\x02headhead",), 3)


def test_of_a_workflow_that_is_not_here_only_the_opening_is_kept(tmp_path: Path) -> None:
    steps: Steps = [PIN, LEFT]
    elements = record(write_shop(tmp_path), S, *steps)
    (tmp_path / "corner.py").unlink()
    registry = write_shop(
        tmp_path, SHOP.replace("async def shop", "async def shoe").replace("@workflow", '@workflow(name="x")') + "\nshop = shoe\n"
    )
    found = redact(S, elements, registry)
    assert (len(found.elements), found.left_out, found.why) == (1, 2, "the workflow fails")


def test_positions_of_a_later_generation_are_its_own(tmp_path: Path) -> None:
    registry = write_shop(tmp_path)
    assert redact(S, record(registry, S, PIN, base=40), registry).hidden == (41,)


def test_hiding_twice_changes_nothing(tmp_path: Path) -> None:
    registry = write_shop(tmp_path, CALLED)
    once = redact(S, record(registry, S, PIN, TEA, price, FIRED), registry)
    assert redact(S, list(once.elements), registry) == once


def test_an_alarm_that_only_the_secret_sets_ends_the_history_before_it_fires(tmp_path: Path) -> None:
    code = SPOKEN.replace('"1 for tea, 2 for coffee", Digits(1)', '"1 or 2", Digits(1), timeout=5 if pin == "4711" else None, tries=1')
    found, seen = redacted(tmp_path, code, PIN, (FIRED[0], ("1",)))
    assert (found.hidden, found.left_out, found.why) == ((1,), 1, "what follows depends on what is hidden")
    assert seen.state == "running"
