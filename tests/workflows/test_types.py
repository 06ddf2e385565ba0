"""What mypy says to an author, line by line: `# error: code` stands beside what must be found, and nothing else may be."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

AUTHOR = '''
"""An author's module."""

from dataclasses import dataclass
from datetime import timedelta
from typing import assert_type

from workflows import Choice, Digits, ErrandDone, Heard, Intent, Intents, Recording, Returned, Talk, Transferred, Words, YesNo, effect, workflow


@dataclass
class Thought:
    text: str


@effect
async def think(prompt: str, *, temperature: float = 0.5) -> Thought:
    return Thought(prompt)


@effect(timeout=3)
async def count(number: int) -> int:
    return number


@workflow
async def errand(talk: Talk, minutes: int) -> str:
    await talk.sleep(timedelta(minutes=minutes))
    return "done"


@workflow(name="right", patches=["p"])
async def right(talk: Talk, queues: dict[int, str] | None = None) -> None:
    assert_type(await talk.ask("?", Words()), str)
    assert_type(await talk.ask("?", Digits(1), tries=2, timeout=3), str)
    assert_type(await talk.ask("?", Choice({"1": "one"})), str)
    assert_type(await talk.ask("?", YesNo()), bool)
    assert_type(await talk.listen(Intents({"A": ["a"]})), Intent)
    assert_type(await talk.next(Heard), Heard)
    assert_type(await talk.next(Heard, ErrandDone), Heard | ErrandDone)
    assert_type(await talk.next(Heard, Returned, ErrandDone), Heard | Returned | ErrandDone)
    assert_type(await talk.record("beep"), Recording)
    assert_type(await talk.transfer("+1"), Transferred)
    assert_type(await talk.call(think, "x", temperature=0.1), Thought)
    assert_type(await talk.speak(think, "x"), Thought)
    assert_type(await talk.gather(talk.call(count, 1), talk.ask("?", Words())), tuple[int, str])
    assert_type(await talk.gather(*[talk.call(count, n) for n in range(9)]), tuple[int, ...])
    assert_type(await talk.first(talk.call(count, 1), talk.call(count, 2)), tuple[int, int])
    assert_type(await errand(talk, 3), str)
    talk.say(await talk.listen(Words()))
    match await talk.next(Heard, ErrandDone):
        case Heard(text=text):
            talk.say(text)
        case ErrandDone(name=name):
            talk.say(name)
    started = await talk.start(errand, 3, name="three")
    await talk.cancel(started)
    if queues:
        await talk.restart(right)


@workflow
async def wrong(talk: Talk) -> None:
    talk.ask("?", Words())  # error: unused-coroutine
    talk.sleep(timedelta(1))  # error: unused-coroutine
    errand(talk, 3)  # error: unused-coroutine
    await talk.call(think, 7)  # error: arg-type
    await talk.call(think)  # error: call-arg
    await talk.call(think, "x", heat=1)  # error: call-arg
    await talk.speak(count, 1)  # error: type-var
    await talk.call(errand, 1)  # error: arg-type
    number: int = await talk.ask("?", Digits(1))  # error: arg-type
    await talk.listen("words")  # error: arg-type
    await talk.next(int)  # error: type-var
    talk.say(7)  # error: arg-type
    await talk.restart(errand, "many")  # error: arg-type
    talk.say(str(number))  # error: unreachable
'''


def test_mypy_finds_what_an_author_forgot_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "author.py"
    file.write_text(AUTHOR)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        str(ROOT / "pyproject.toml"),
        "--cache-dir",
        str(tmp_path / "cache"),
        str(file),
    ]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False).stdout
    found = {(int(line), code) for line, code in re.findall(r"author\.py:(\d+): error: .*\[([\w-]+)\]", output)}
    expected = {
        (number, match[1])
        for number, line in enumerate(AUTHOR.splitlines(), 1)
        if (match := re.search(r"# error: ([\w-]+)", line)) is not None
    }
    assert found == expected, output
