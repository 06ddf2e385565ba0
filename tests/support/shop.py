"""A small conversation whose code can be changed after the fact, and histories that real runs of it make."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from workflows.events import Fired, Heard, Left, Memo, Opened, encode
from workflows.registry import Registry
from workflows.run import Run

SHOP = """
from datetime import timedelta

from workflows import Digits, Talk, effect, workflow


@effect
async def price_of(what: str) -> int:
    return 3


@workflow
async def shop(talk: Talk) -> None:
    talk.say("Welcome.")
    await talk.ask("Your PIN, please", Digits(4, secret=True))
    what = await talk.ask("1 for tea, 2 for coffee", Digits(1))
    price = await talk.call(price_of, what)
    talk.say(f"That is {price}.")
    await talk.sleep(timedelta(hours=1))
    talk.say("We close.")
"""

BUG = SHOP.replace("talk.call(price_of, what)", "talk.call(price_of, int('tea'))")
"""It fails after the second input."""

LONGER = SHOP.replace("Digits(1)", "Digits(2)")
"""It listens for something else at the second input."""

AT = 1_764_000_000_000
"""When the shop opens: 2025-11-24 16:00 UTC, ms."""

Step = tuple[type[Heard | Left | Memo | Fired], Sequence[object]]
Steps = Sequence[Step | Callable[[Run], Step]]


def pressed(keys: str, id_: str) -> Step:
    return Heard, (id_, "pressed", {"digits": keys})


def said(text: str, id_: str) -> Step:
    return Heard, (id_, "said", {"text": text})


def price(run: Run) -> Step:
    """The outcome of the effect that the run wants."""
    (step,) = run.calls.values()
    return Memo, (step.id, "price_of", step.hash, msgspec.Raw(msgspec.msgpack.encode(3)))


PIN = pressed("4711", "a")
TEA = pressed("1", "b")
LEFT: Step = Left, ("left", "hung up")
FIRED: Step = Fired, ("3",)


def write_shop(folder: Path, code: str = SHOP) -> Registry:
    """Write the code as `corner.py`, and give a registry that knows it as `corner:shop`."""
    path = folder / "corner.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location("corner", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["corner"] = importlib.util.module_from_spec(spec)
    try:
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode  # another code of the same size may follow within the second
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
        del sys.modules["corner"]
    return Registry([module.shop])


def record(registry: Registry, session: str, *steps: Step | Callable[[Run], Step], at: int = AT, **changes: Any) -> list[bytes]:
    """The history that a run makes of an opening and these steps, a second apart; alarms fire when they are due."""
    opened = Opened(at, 0, 0, "open", at, "corner:shop", [], "phone", "+15550100", "+15550199", "en-GB", "Europe/Helsinki", b"12345678", {})
    opened = msgspec.structs.replace(opened, **changes)
    run = Run(session, opened, registry)
    elements = [encode(opened, bytes(8))]
    for number, each in enumerate(steps, 1):
        kind, fields = each if isinstance(each, tuple) else each(run)
        at = max(at + 1000, run.alarms[str(fields[0])] if kind is Fired else 0)
        event = kind(at, run.shape(), run.words(), *fields)
        run.feed(event)
        elements.append(encode(event, number.to_bytes(8)))
    run.close()
    return elements
