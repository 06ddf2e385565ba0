"""A workflow that changes while its sessions live: what patches promise, over the histories of all its versions."""

from pathlib import Path

import pytest
from support.shop import PIN, TEA, Steps, pressed, price, record, write_shop

from switchboard.history_files import Recorded
from switchboard.verdicts import judge

FIRST = """
from workflows import Digits, Talk, YesNo, effect, workflow


@effect
async def price_of(what: str) -> int:
    return 3


@workflow
async def shop(talk: Talk) -> None:
    await talk.ask("Your PIN, please", Digits(4, secret=True))
    what = await talk.ask("1 for tea, 2 for coffee", Digits(1))
    price = await talk.call(price_of, what)
    talk.say(f"That is {price}.")
    await talk.ask("Anything else?", Digits(1))
"""

UNGUARDED = FIRST.replace("    price = await", '    await talk.ask("1 for small, 2 for large", Digits(1))\n    price = await')

SECOND = FIRST.replace("@workflow\n", '@workflow(patches=["size"])\n').replace(
    "    price = await",
    """    if talk.patched("size"):
        await talk.ask("1 for small, 2 for large", Digits(1))
    price = await""",
)
"""It asks for the size in sessions that were opened with it, and in no others."""

THIRD = SECOND.replace('["size"]', '["size", "gift"]').replace(
    "    talk.say(f",
    """    if talk.patched("gift"):
        await talk.ask("Is it a gift?", YesNo())
    talk.say(f""",
)

WITHOUT_THE_OLD_BRANCH = UNGUARDED.replace("@workflow\n", '@workflow(patches=["size"])\n')
"""What the second version may become when no session of the first lives any more."""

SMALL, NO = pressed("1", "c"), pressed("2", "d")

OLD: Steps = (PIN, TEA, price)
NEW: Steps = (PIN, TEA, SMALL, price)
NEWEST: Steps = (PIN, TEA, SMALL, price, NO)


@pytest.fixture
def histories(tmp_path: Path) -> dict[str, list[bytes]]:
    """A session of each version, as its code recorded it."""
    return {
        "old": record(write_shop(tmp_path, FIRST), "phone:CA1", *OLD),
        "new": record(write_shop(tmp_path, SECOND), "phone:CA1", *NEW, patches=("size",)),
        "newest": record(write_shop(tmp_path, THIRD), "phone:CA1", *NEWEST, patches=("size", "gift")),
    }


@pytest.mark.parametrize(
    ("code", "repeated"),
    [
        (FIRST, {"old"}),
        (UNGUARDED, {"new"}),
        (SECOND, {"old", "new"}),
        (THIRD, {"old", "new", "newest"}),
        (WITHOUT_THE_OLD_BRANCH, {"new"}),
    ],
    ids=["the first version", "a change without a patch", "the second", "the third", "the second without its old branch"],
)
def test_guarded_code_repeats_the_sessions_of_all_its_versions(
    tmp_path: Path, histories: dict[str, list[bytes]], code: str, repeated: set[str]
) -> None:
    registry = write_shop(tmp_path, code)
    verdicts = {name: judge(name, Recorded("phone:CA1", tuple(elements)), registry) for name, elements in histories.items()}
    assert {name for name, verdict in verdicts.items() if verdict.outcome == "same"} == repeated
    assert {verdict.outcome for name, verdict in verdicts.items() if name not in repeated} <= {"diverged"}


def test_a_change_without_a_patch_diverges_where_it_asks(tmp_path: Path, histories: dict[str, list[bytes]]) -> None:
    verdict = judge("it", Recorded("phone:CA1", tuple(histories["old"])), write_shop(tmp_path, UNGUARDED))
    assert (verdict.position, verdict.recorded) == (3, "the outcome of price_of (step 2), recorded when other steps were open")
    assert verdict.wanted == "listen digits 1 (step 2)"


def test_a_patch_that_is_no_longer_declared_is_a_bug_that_is_told(tmp_path: Path, histories: dict[str, list[bytes]]) -> None:
    verdict = judge("it", Recorded("phone:CA1", tuple(histories["new"])), write_shop(tmp_path, SECOND.replace('(patches=["size"])', "")))
    assert verdict.outcome == "failed"
    assert "patch 'size' is not declared" in verdict.recorded
