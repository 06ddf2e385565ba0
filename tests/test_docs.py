"""What the pages show is run here, as it stands there."""

import importlib.util
import re
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from workflows import TerminalError
from workflows.testing import Rehearsal

DOCS = Path(__file__).parents[1] / "docs"
HOUR = timedelta(hours=1)


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The first example of a page, as a module."""

    def example(page):
        code = re.search(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)[1]
        path = tmp_path / f"example_of_{page.partition('.')[0]}.py"
        path.write_text(code, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, path.stem, module)
        spec.loader.exec_module(module)
        return module

    return example


def test_the_effect_charges_once_and_says_why_when_it_cannot(example):
    shop = example("effects.md")
    cards = []

    def charge(card, amount):
        cards.append(card)
        return shop.Receipt("R1", amount)

    call = Rehearsal(shop.till, channel="web", effects={shop.charge: charge})
    assert call.say("4242") == ["Thank you, your receipt is number R1."]
    assert cards == ["4242"]
    assert shop.charge.read(call.history[-1].value).amount == Decimal("12.50")
    call = Rehearsal(shop.till, channel="web", effects={shop.charge: TerminalError("the card is stolen")})
    assert call.say("4242") == ["That did not work: the card is stolen."]


def test_the_errand_watches_and_tells(example):
    garden = example("errands.md")
    degrees = iter([4.0, 1.5, -2.0])
    call = Rehearsal(garden.gardener, channel="web", effects={garden.temperature: lambda place: next(degrees)})
    assert call.say("Inari") == ["I watch Inari for a week."]
    (watch,) = call.errands
    assert watch.note["last"] == 4.0
    assert call.pass_time(HOUR) == []
    assert call.pass_time(HOUR) == ["-2 degrees in Inari"]


def test_an_errand_that_fails_says_why(example):
    garden = example("errands.md")
    call = Rehearsal(garden.gardener, channel="web", effects={garden.temperature: TerminalError("no such place")})
    assert call.say("Nowhere")[-1].startswith("Watching Nowhere failed: ")


def test_an_errand_that_finds_nothing_is_silent(example):
    garden = example("errands.md")
    call = Rehearsal(garden.gardener, channel="web", effects={garden.temperature: 5.0})
    call.say("Nice")
    assert call.pass_time(200 * HOUR) == []
    assert call.errands[0].ended


def test_only_an_order_that_was_opened_with_the_patch_is_asked_for_its_size(example):
    shop = example("replay.md")
    call = Rehearsal(shop.order, channel="web")
    assert call.opened.patches == ("ask-for-size",)
    assert call.press("1") == ["1 for small, 2 for large"]
    assert call.press("2") == ["That is tea, large."]
    shop.order.patches, declared = (), shop.order.patches
    before = Rehearsal(shop.order, channel="web", evict=False)
    shop.order.patches = declared
    assert before.press("2") == ["That is coffee, small."]
