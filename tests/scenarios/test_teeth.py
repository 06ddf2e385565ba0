"""The simulation has teeth: our code without any one of the rules of the stored protocol breaks a promise, and the simulation notices."""

import os
import subprocess
import sys
from dataclasses import fields
from random import SystemRandom

import pytest
from model.rules import Rules
from support.mutations import MUTATIONS, NOTICED, ROOT, Edit

MOST_SEEDS = 600
"""Played from the recorded one on: a change of the code may make other seeds show the same."""

PROOF_SEEDS = 6_000


def seeds_until_noticed(rule: str, first: int, count: int) -> str:
    """What was broken without a rule, after how many seeds; empty if nothing was."""
    command = [sys.executable, "-m", "support.mutations", rule, str(first), str(count)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode in (0, 1), process.stderr
    assert process.returncode == 0 or not process.stderr, process.stderr
    return process.stdout.strip()


def test_every_rule_of_the_model_is_left_out_of_the_code() -> None:
    assert {rule.name for rule in fields(Rules)} == MUTATIONS.keys()


@pytest.mark.parametrize("rule", MUTATIONS)
def test_the_code_has_what_is_left_out_without(rule: str) -> None:
    for edit in MUTATIONS[rule].edits:
        assert edit.applied((ROOT / edit.path).read_text(encoding="utf-8"))


def test_a_mutation_of_text_that_is_not_there_is_no_mutation() -> None:
    with pytest.raises(LookupError, match="mend the mutation"):
        Edit("handlers/intake.py", "no such text", "").applied("some other text")


@pytest.mark.parametrize("rule", MUTATIONS)
def test_the_simulation_notices_a_code_without(rule: str) -> None:
    assert seeds_until_noticed(rule, NOTICED.get(rule, 0), MOST_SEEDS)


@pytest.mark.proof
@pytest.mark.parametrize("rule", MUTATIONS)
def test_new_seeds_notice_a_code_without(rule: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = seeds_until_noticed(rule, SystemRandom().randrange(10**9), PROOF_SEEDS)

    assert found, f"{PROOF_SEEDS} seeds hold without {rule}"
    with capsys.disabled():
        sys.stderr.write(f"\nwithout {rule}: seed {found}\n")
