"""Edits of the conversations that we ship, made in copies of their sources: bad ones that a replay has to notice, and good ones that it must not.

A bad edit is what somebody in a hurry ships: menus swapped, a step dropped, another listen. A good one says and does the same in other code.
"""

import importlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.mutations import ROOT, Edit

import workflows
from workflows.registry import Registry

SANTA = "workflows/santa.py"
ASSISTANT = "workflows/assistant.py"
DESK = "workflows/desk.py"
ERRANDS = "workflows/errands.py"
BEDTIME = "workflows/bedtime.py"

GATHER = "await talk.gather(talk.next(Heard, ErrandDone, Silence), condense(talk, memory))"

BAD: dict[str, tuple[Edit, ...]] = {
    "menus swapped": (
        Edit(SANTA, 'case "1":\n            await queue_menu', 'case "2":\n            await queue_menu'),
        Edit(SANTA, 'case "2":\n            await leave_message', 'case "1":\n            await leave_message'),
    ),
    "a listen for more keys": (Edit(SANTA, "Digits(1)", "Digits(2)"),),
    "an option dropped": (Edit(SANTA, ', "3": "the naughty list"}', "}"),),
    "words behind the step that they announce": (
        Edit(
            SANTA,
            '    talk.say("One moment, I am putting you through.")\n    transferred = await talk.transfer(number)\n',
            '    transferred = await talk.transfer(number)\n    talk.say("One moment, I am putting you through.")\n',
        ),
    ),
    "a step dropped": (Edit(SANTA, "await talk.record(prompt)", "talk.say(prompt)"),),
    "the wrong number": (Edit(SANTA, "queues.get(int(key))", "queues.get(int(key) + 1)"),),
    "branches reordered": (
        Edit(ASSISTANT, GATHER, "(await talk.gather(condense(talk, memory), talk.next(Heard, ErrandDone, Silence)))[::-1]"),
    ),
    "the first instead of all": (Edit(ASSISTANT, GATHER, f"({GATHER.replace('gather', 'first')})[1], None"),),
    "an effect added": (
        Edit(ASSISTANT, "    asked = talk.now\n", "    asked = talk.now\n    await talk.call(think, memory.prompt(INSTRUCTIONS), [])\n"),
    ),
    "an effect removed": (
        Edit(ASSISTANT, "    try:\n        thought = await talk.call(", "    return None\n    try:\n        thought = await talk.call("),
    ),
    "an effect called and no longer spoken": (Edit(ASSISTANT, "await talk.speak(think,", "await talk.call(think,"),),
    "a prompt of the model": (Edit(ASSISTANT, "in a few sentences of plain text", "in one sentence of plain text"),),
    "an errand renamed": (Edit(ERRANDS, '@workflow(name="reminder")', '@workflow(name="reminders")'),),
    "a cancel forgotten": (Edit(DESK, "        await self._talk.cancel(task.errand)\n", ""),),
    "a sleep forgotten": (Edit(ERRANDS, "    await talk.sleep(at)\n", ""),),
    "a shorter sleep": (Edit(ERRANDS, "timedelta(hours=hours)", "timedelta(hours=hours / 2)"),),
    "an argument of an effect": (Edit(BEDTIME, "wait * 60, talk.opened.locale", "wait, talk.opened.locale"),),
    "an intent dropped": (Edit(BEDTIME, '    HELP: ["help", "what can I say"],\n', ""),),
    "answers swapped": (
        Edit(BEDTIME, 'case "AMAZON.YesIntent":', 'case "AMAZON.SomeIntent":'),
        Edit(BEDTIME, 'case "AMAZON.NoIntent":', 'case "AMAZON.YesIntent":'),
        Edit(BEDTIME, 'case "AMAZON.SomeIntent":', 'case "AMAZON.NoIntent":'),
    ),
    "a time-out": (Edit(BEDTIME, "talk.ask(QUESTION, ANSWERS)", "talk.ask(QUESTION, ANSWERS, timeout=8)"),),
}

GOOD: dict[str, tuple[Edit, ...]] = {
    "a helper inlined and names changed": (
        Edit(SANTA, "            await queue_menu(talk, queues)", "            await which_queue(talk, queues)"),
        Edit(SANTA, "async def queue_menu(", "async def which_queue("),
        Edit(
            SANTA,
            '    if transferred.outcome != "completed":\n        talk.say',
            '    if not transferred.outcome == "completed":\n        talk.say',
        ),
    ),
    "a loop instead of the tries": (
        Edit(
            SANTA,
            "        key = await talk.ask(prompt, Digits(1), tries=1)\n",
            "        talk.say(prompt)\n        key = await talk.listen(Digits(1), timeout=5)\n",
        ),
    ),
    "branches in functions of their own": (
        Edit(ASSISTANT, GATHER, "await talk.gather(listened(talk), condense(talk, memory))"),
        Edit(
            ASSISTANT,
            "async def condense(",
            "async def listened(talk: Talk) -> Heard | ErrandDone | Silence:\n    return await talk.next(Heard, ErrandDone, Silence)\n\n\n"
            "async def condense(",
        ),
    ),
    "chance and a note more": (
        Edit(
            ERRANDS,
            "    look, failures = Look(), 0\n",
            "    look, failures = Look(), 0\n    talk.random('more').random()\n    talk.note(look)\n",
        ),
    ),
    "a chain instead of a match": (
        Edit(BEDTIME, '            case "AMAZON.YesIntent":', "            case name if name == YES:"),
        Edit(BEDTIME, 'f"Well done. Good night, {names}!"', '"Well done. Good night, " + names + "!"'),
    ),
}


def applied(folder: Path, edits: Sequence[Edit]) -> None:
    """Put the sources of our conversations into a folder, with these edits."""
    for source in Path(*workflows.__path__).glob("*.py"):
        shutil.copy(source, folder)
    for edit in edits:
        path = folder / Path(edit.path).name
        path.write_text(edit.applied(path.read_text(encoding="utf-8")), encoding="utf-8")


def copied(folder: Path, edits: Sequence[Edit]) -> None:
    """Put all of our sources into a folder, with these edits: a Switchboard of its own."""
    for package in ("workflows", "handlers", "switchboard", "telephony"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for edit in edits:
        path = folder / edit.path
        path.write_text(edit.applied(path.read_text(encoding="utf-8")), encoding="utf-8")


@contextmanager
def code_of(folder: Path) -> Iterator[Registry]:
    """The conversations as their sources in a folder have them; what runs them stays the one that is loaded."""
    names = [f"workflows.{name}" for name in ("assistant", "bedtime", "desk", "errands", "santa")]
    before = {name: sys.modules.pop(name, None) for name in names}
    attributes = {name: vars(workflows).pop(name.partition(".")[2], None) for name in names}
    workflows.__path__.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield Registry()
    finally:
        workflows.__path__.remove(str(folder))
        for name in names:
            sys.modules.pop(name, None)
            if (module := before[name]) is not None:
                sys.modules[name] = module
            if (attribute := attributes[name]) is not None:
                setattr(workflows, name.partition(".")[2], attribute)
