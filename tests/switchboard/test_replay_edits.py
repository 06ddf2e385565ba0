"""Would a replay have noticed? Bad edits of what we ship against a corpus of conversations, and good ones, over which it has to be silent."""

import json
import os
import re
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from support.butler import WORKFLOWS
from support.corpus import recorded
from support.edits import ASSISTANT, BAD, BEDTIME, DESK, ERRANDS, GOOD, SANTA, applied, code_of, copied
from support.mutations import Edit
from support.simulation import play

from switchboard.history_files import Recorded, write
from switchboard.replay import replay
from switchboard.tally import Tally
from switchboard.verdicts import judge
from workflows.events import Heard, Memo, Opened, decode
from workflows.registry import Registry

HISTORIES = 1_000
FEWER = 300
"""A bad edit is to be noticed in far fewer."""

ONLY_IN_A_CORPUS = {"a shorter sleep", "a time-out"}
"""What a history alone cannot tell: an alarm that is late there may have waited for a server."""

SOURCES = {
    "santa": {SANTA},
    "assistant": {ASSISTANT, DESK, ERRANDS},
    "reminder": {ERRANDS},
    "flight_watch": {ERRANDS},
    "bedtime": {BEDTIME},
}
"""Where a workflow's code is, as far as it is edited."""

STEP = re.compile(r"step \d")


@pytest.fixture(scope="module")
def corpus() -> list[Recorded]:
    """Histories with what they lead to, as `sessions export` writes them."""
    registry = Registry()
    return [
        replace(each, led_to=replay(each.session, each.elements, registry, strict=True).led_to) for each in recorded(20_261_122, HISTORIES)
    ]


def judged(folder: Path, edits: Sequence[Edit], corpus: Sequence[Recorded]) -> Tally:
    """What the edited code makes of the histories that it is there for."""
    applied(folder, edits)
    files = {edit.path for edit in edits}
    names = {name for name, paths in SOURCES.items() if not files or files & paths}
    tally = Tally()
    with code_of(folder) as registry:
        for number, each in enumerate(corpus):
            opened = decode(each.elements[0])
            if isinstance(opened, Opened) and opened.workflow in names:
                tally.add(judge(str(number), each, registry))
    return tally


def test_there_are_twenty_bad_edits() -> None:
    assert len(BAD) == 20


@pytest.mark.parametrize("name", BAD)
def test_a_bad_edit_is_caught_with_event_and_step(name: str, tmp_path: Path, corpus: list[Recorded]) -> None:
    check(judged(tmp_path, BAD[name], corpus[:FEWER]))


@pytest.mark.parametrize("name", [name for name in BAD if name not in ONLY_IN_A_CORPUS])
def test_a_bad_edit_is_caught_where_only_the_history_is_known(name: str, tmp_path: Path, corpus: list[Recorded]) -> None:
    check(judged(tmp_path, BAD[name], [replace(each, led_to=()) for each in corpus[:FEWER]]))


def check(tally: Tally) -> None:
    found = [(each.example.position, f"{each.example.recorded} {each.example.wanted}") for each in tally.sorted_troubles()]
    found += [(each.example.position, each.example.place) for each in tally.sorted_rewordings()]
    assert found
    assert "failed" not in {each.example.outcome for each in tally.sorted_troubles()}, "an edit that breaks is noticed by anything"
    assert all(position is not None for position, _ in found)
    assert any(STEP.search(place) for _, place in found), found


def test_the_command_catches_a_bad_edit_in_a_corpus(tmp_path: Path, corpus: list[Recorded]) -> None:
    for number, each in enumerate(corpus[:FEWER]):
        write(tmp_path / "corpus" / f"{number:04}.json", each)
    for name, code in (("nothing", 0), ("menus swapped", 1)):
        folder = tmp_path / name
        copied(folder, BAD.get(name, ()))
        done = subprocess.run(
            [sys.executable, "-c", "from switchboard.cli import main; main()", "replay", "corpus", "--json", "--jobs", "1"],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (code, b"")
        told = json.loads(done.stdout)
        assert told["histories"] == FEWER
        assert {each["workflow"] for each in told["differences"]} == ({"santa"} if code else set())
        for each in told["differences"]:
            assert each["position"] is not None
            assert STEP.search(each["wanted"])


@pytest.mark.parametrize("name", ["nothing", *GOOD])
def test_there_is_no_false_alarm(name: str, tmp_path: Path, corpus: list[Recorded]) -> None:
    tally = judged(tmp_path, GOOD.get(name, ()), corpus)
    assert tally.histories == HISTORIES if name == "nothing" else tally.histories > 100
    assert sum(counts["same"] for counts in tally.workflows.values()) == tally.histories, tally.as_value()


def test_the_corpus_has_what_can_happen(corpus: list[Recorded]) -> None:
    events = [[decode(element) for element in each.elements] for each in corpus]
    openings = [each[0] for each in events]
    assert {opened.workflow for opened in openings if isinstance(opened, Opened)} == {
        "assistant", "bedtime", "flight_watch", "reminder", "santa",
    }  # fmt: skip
    assert sum(isinstance(opened, Opened) and opened.base > 0 for opened in openings) > 10, "restarts"
    everything = [event for each in events for event in each]
    kinds = Counter("failure" if isinstance(event, Memo) and event.error else type(event).__name__ for event in everything)
    assert min(kinds[name] for name in ("Memo", "failure", "Heard", "Fired", "Sent", "Left")) > 50, kinds
    heard = Counter(event.type for event in everything if isinstance(event, Heard))
    assert set(heard) == {"said", "pressed", "intent", "silence", "recorded", "transferred", "returned", "errand", "cancel"}


@pytest.mark.parametrize("seeds", [range(8), pytest.param(range(1_000, 1_300), marks=pytest.mark.proof)], ids=["few", "many"])
@pytest.mark.parametrize("pushes", [False, True])
def test_there_is_no_false_alarm_over_what_handlers_wrote_in_every_trouble(seeds: range, pushes: bool) -> None:
    registry, count = Registry(WORKFLOWS), 0
    for seed in seeds:
        for session, stored in play(seed, pushes=pushes).town.store.histories.items():
            elements = tuple(stored.elements)
            led_to = replay(session, elements, registry, strict=True).led_to
            verdict = judge(f"seed {seed}, {session}", Recorded(session, elements, led_to=led_to), registry)
            assert verdict.outcome == "same", verdict
            count += 1
    assert count > len(seeds)


@pytest.mark.proof
def test_there_is_no_false_alarm_in_many_conversations() -> None:
    begin = secrets.randbelow(1_000_000)
    registry = Registry()
    for seed in range(begin, begin + 20):
        for each in recorded(seed, HISTORIES):
            led_to = replay(each.session, each.elements, registry, strict=True).led_to
            verdict = judge(f"seed {seed}, {each.session}", replace(each, led_to=led_to), registry)
            assert verdict.outcome == "same", verdict
