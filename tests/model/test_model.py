"""The rules of `docs/format.md`, searched through: every interleaving of small systems, with what may go wrong in them."""

import sys
from dataclasses import fields

import pytest
from model.configurations import LARGE, MUTATIONS, QUICK
from model.rules import Rules


@pytest.mark.parametrize("name", QUICK)
def test_every_promise_holds_in(name: str) -> None:
    verdict = QUICK[name].explore()

    assert not verdict.violation, verdict
    assert verdict.rests


@pytest.mark.parametrize(("rule", "name"), [(rule, name) for rule, names in MUTATIONS.items() for name in names])
def test_a_promise_breaks_without(rule: str, name: str) -> None:
    verdict = QUICK[name].explore(rule)

    assert verdict.violation, f"{rule} is not needed in {name}: {verdict}"
    assert verdict.trace


def test_no_rule_is_there_for_nothing() -> None:
    assert {rule.name for rule in fields(Rules)} == MUTATIONS.keys()


@pytest.mark.proof
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", LARGE)
def test_every_promise_holds_in_the_large(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = LARGE[name].explore()

    with capsys.disabled():
        sys.stderr.write(f"\n{name}: {verdict}\n")
    assert not verdict.violation, verdict
    assert verdict.rests
