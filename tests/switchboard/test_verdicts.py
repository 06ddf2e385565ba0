"""How histories fare, and what many of them add up to."""

from pathlib import Path

from support.shop import BUG, LONGER, PIN, SHOP, TEA, Steps, price, record, write_shop

from switchboard.history_files import Recorded
from switchboard.tally import Tally
from switchboard.verdicts import Verdict, judge


def judged(folder: Path, code: str, *steps: Steps, name: str = "phone:CA1") -> list[Verdict]:
    histories = [record(write_shop(folder), name, *each) for each in steps]
    registry = write_shop(folder, code)
    return [judge(f"{name}-{number}", Recorded(name, tuple(elements)), registry) for number, elements in enumerate(histories)]


def test_a_history_that_is_repeated_is_the_same_whatever_is_said(tmp_path: Path) -> None:
    (same,) = judged(tmp_path, SHOP, [PIN, TEA, price])
    (reworded,) = judged(tmp_path, SHOP.replace("Welcome.", "Hello."), [PIN, TEA, price])
    assert [(each.outcome, each.differs) for each in (same, reworded)] == [("same", False), ("reworded", False)]


def test_what_differs_is_told_from_both_sides(tmp_path: Path) -> None:
    (verdict,) = judged(tmp_path, LONGER, [PIN, TEA])
    assert (verdict.outcome, verdict.differs, verdict.position) == ("diverged", True, 2)
    assert verdict.recorded == "an input (pressed), recorded when other steps were open"
    assert verdict.wanted == "listen digits 2 (step 1)"


def test_a_bug_is_told_with_its_place(tmp_path: Path) -> None:
    (verdict,) = judged(tmp_path, BUG, [PIN, TEA])
    assert (verdict.outcome, verdict.position) == ("failed", 2)
    assert verdict.recorded.startswith("ValueError: invalid literal")
    assert "corner.py:" in verdict.wanted


def test_a_history_that_cannot_be_read_is_quarantined_and_of_no_workflow(tmp_path: Path) -> None:
    verdict = judge("x", Recorded("phone:CA1", (b"\x02 foreign",)), write_shop(tmp_path))
    assert (verdict.workflow, verdict.outcome) == ("?", "quarantined")


def test_the_same_trouble_at_another_place_in_the_history_is_the_same_kind(tmp_path: Path) -> None:
    loop = "from workflows import Digits, Talk, workflow\n\n@workflow\nasync def shop(talk: Talk) -> None:\n    while True:\n        await talk.listen(Digits(1))\n"
    registry = write_shop(tmp_path, loop)
    histories = [record(registry, "phone:CA1", *[(PIN[0], (str(each), "pressed", {"digits": "1"})) for each in range(n)]) for n in (2, 3)]
    changed = write_shop(
        tmp_path,
        loop.replace(
            "    while True:\n        await",
            "    await talk.listen(Digits(1))\n    while True:\n        await talk.listen(Digits(2))\n        await",
        ),
    )
    tally = Tally()
    for number, elements in enumerate(histories):
        tally.add(judge(str(number), Recorded("phone:CA1", tuple(elements)), changed))
        damaged = (*elements[:-1], elements[-1][:-1])
        tally.add(judge(f"{number} damaged", Recorded("phone:CA1", damaged), registry))
    assert [(each.example.outcome, each.count) for each in tally.sorted_troubles()] == [("diverged", 2), ("quarantined", 2)]


def test_other_words_are_told_with_the_steps_around_them(tmp_path: Path) -> None:
    (verdict,) = judged(tmp_path, SHOP.replace("1 for tea", "1 for green tea"), [PIN, TEA])
    (rewording,) = verdict.rewordings
    assert (rewording.position, rewording.then) == (1, None)
    assert rewording.place == "after listen digits 4 (step 0), before listen digits 1 (step 1)"
    assert rewording.now == ('says "1 for green tea, 2 for coffee"',)
