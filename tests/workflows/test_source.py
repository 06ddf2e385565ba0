"""The look at a workflow's source: every rule with its line and its remedy, and what must not raise an alarm."""

import importlib.util
import sys
import textwrap
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest

from workflows import Talk, effect, workflow
from workflows.errors import SourceError

HEADER = """\
import asyncio, datetime as dt, os, os.path, pathlib, random, time, urllib.parse, uuid
from datetime import date, datetime, timedelta
from random import choice
from time import monotonic
from workflows import CallerLeft, Talk, Words, effect, workflow
"""

Load = Callable[[str], ModuleType]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Imports a module of an author, the header above before it."""
    loaded: list[str] = []

    def load(source: str) -> ModuleType:
        name = f"an_authors_module_{len(loaded)}"
        file = tmp_path / f"{name}.py"
        file.write_text(HEADER + textwrap.dedent(source))
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        loaded.append(name)
        spec.loader.exec_module(module)
        return module

    yield load
    for name in loaded:
        sys.modules.pop(name, None)


def body(*lines: str) -> str:
    """A workflow with these lines in it; the first is line 8 of its module."""
    return "@workflow\nasync def flow(talk: Talk) -> None:\n" + "".join(f"    {line}\n" for line in lines)


CLOCK = "Use talk.now or talk.opened.at"
CHANCE = "Use talk.random(name) or talk.uuid(name)"
OUTSIDE = "Put it into an @effect and await talk.call"
WAITING = "A workflow awaits only talk.…"


@pytest.mark.parametrize(
    ("lines", "line", "what", "remedy"),
    [
        (["x = time.time()"], 8, "time.time differs from one replay to the next", CLOCK),
        (["x = monotonic()"], 8, "monotonic differs", CLOCK),
        (["x = 1", "x = datetime.now()"], 9, "datetime.now differs", CLOCK),
        (["x = dt.datetime.utcnow()"], 8, "dt.datetime.utcnow differs", CLOCK),
        (["x = date.today()"], 8, "date.today differs", CLOCK),
        (["talk.say(f'{datetime.now():%H:%M}')"], 8, "datetime.now differs", CLOCK),
        (["read = datetime.now"], 8, "datetime.now differs", CLOCK),
        (["x = [time.time() for _ in range(3)]"], 8, "time.time differs", CLOCK),
        (["x = lambda: time.time()"], 8, "time.time differs", CLOCK),
        (["x = random.random()"], 8, "random.random differs", CHANCE),
        (["x = choice([1, 2])"], 8, "choice differs", CHANCE),
        (["x = random.Random(1).random()"], 8, "random.Random differs", CHANCE),
        (["x = uuid.uuid4()"], 8, "uuid.uuid4 differs", CHANCE),
        (["import secrets"], 8, "it imports secrets", CHANCE),
        (["from random import randint as roll"], 8, "it imports random", CHANCE),
        (["x = os.environ['HOME']"], 8, "os.environ differs", OUTSIDE),
        (["x = os.getenv('HOME')"], 8, "os.getenv differs", OUTSIDE),
        (["x = os.getcwd()"], 8, "os.getcwd differs", OUTSIDE),
        (["x = os.path.exists('x')"], 8, "os.path.exists differs", OUTSIDE),
        (["x = pathlib.Path('x').read_text()"], 8, "pathlib.Path differs", OUTSIDE),
        (["with open('x') as file:", "    pass"], 8, "open differs", OUTSIDE),
        (["x = input()"], 8, "input differs", OUTSIDE),
        (["import urllib.request"], 8, "it imports urllib.request", OUTSIDE),
        (["print('hello')"], 8, "print differs", "Use talk.say for the caller"),
        (["x = hash('a') % 3"], 8, "hash differs", "Use hashlib"),
        (["x = id(talk)"], 8, "id differs", "Use hashlib"),
        (["breakpoint()"], 8, "breakpoint differs", "Use Rehearsal in a test"),
        (["await asyncio.sleep(1)"], 8, "asyncio.sleep differs", WAITING),
        (["async with asyncio.timeout(1):", "    pass"], 8, "asyncio.timeout differs", WAITING),
        (["global COUNT", "COUNT = 1"], 8, "it changes COUNT of the module", "Keep it in a local variable"),
        (["for x in {1, 2}:", "    pass"], 8, "the order of a set ({1, 2}) differs from process to process", "sorted(…)"),
        (["names = set()", "for x in names:", "    pass"], 9, "the order of a set (names)", "sorted(…)"),
        (["names: set[str] = set()", "x = [n for n in names]"], 9, "the order of a set (names)", "sorted(…)"),
        (["x = {1} | {2}", "y = list(x)"], 9, "the order of a set (x)", "sorted(…)"),
        (["x = ', '.join({'a', 'b'})"], 8, "the order of a set ({'a', 'b'})", "sorted(…)"),
        (["x = {'a', 'b'}.pop()"], 8, "the order of a set ({'a', 'b'})", "sorted(…)"),
        (["x = [*{'a', 'b'}]"], 8, "the order of a set ({'a', 'b'})", "sorted(…)"),
        (["x = {'a'}", "for i, y in enumerate(x.union({'b'})):", "    pass"], 9, "the order of a set (x.union({'b'}))", "sorted(…)"),
        (["x = {y: 1 for y in {'a', 'b'}}"], 8, "the order of a set", "sorted(…)"),
        (
            ["try:", "    await talk.listen(Words())", "finally:", "    await talk.sleep(timedelta(1))"],
            11,
            "an await in `finally`",
            "Catch CallerLeft",
        ),
        (
            ["try:", "    await talk.listen(Words())", "finally:", "    async with x:", "        pass"],
            11,
            "an await in `finally`",
            "Catch CallerLeft",
        ),
        (
            ["try:", "    await talk.listen(Words())", "except:", "    pass"],
            10,
            "this `except` also catches the closing",
            "Catch Exception",
        ),
        (["try:", "    pass", "except (ValueError, BaseException):", "    talk.say('x')"], 10, "this `except`", "Catch Exception"),
        (["try:", "    pass", "except GeneratorExit:", "    pass"], 10, "this `except`", "Catch Exception"),
        (["talk.sleep(timedelta(1))"], 8, "talk.sleep(…) is never awaited", "Write: await talk.sleep(timedelta(1))"),
        (["async def inner() -> None: ...", "inner()"], 9, "inner(…) is never awaited", "Write: await inner()"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else None,
)
def test_what_a_replay_could_not_repeat_is_refused(load: Load, lines: list[str], line: int, what: str, remedy: str) -> None:
    with pytest.raises(SourceError) as caught:
        load(body(*lines))
    text = str(caught.value)
    assert f"an_authors_module_0.py:{line}: in workflow flow: {what}" in text
    assert remedy in text


@pytest.mark.parametrize(
    "lines",
    [
        ["time = 3", "talk.say(str(time))"],
        ["for time in (1, 2):", "    talk.say(str(time + 1))"],
        ["match await talk.listen(Words()):", "    case time:", "        talk.say(time)"],
        ["try:", "    pass", "except ValueError as random:", "    talk.say(str(random))"],
        ["if (time := 3):", "    talk.say(str(time))"],
        ["x = datetime(2026, 1, 1) + timedelta(days=1)"],
        ["x = datetime.fromisoformat('2026-01-01')", "x = datetime.strptime('1', '%d')", "x = date.fromordinal(7)"],
        ["x: time.struct_time | None = None"],
        ["x = talk.random('dice').random()", "x = talk.uuid('order')"],
        ["x = talk.now.time()", "x = talk.opened.at.timetuple().tm_yday"],
        ["for x in sorted({'b', 'a'}):", "    talk.say(x)"],
        ["x = sorted(y.lower() for y in {'b', 'a'})"],
        ["x = {y.lower() for y in {'b', 'a'}}"],
        ["x = any(y for y in {1, 2})", "y = 3 in {1, 2}", "z = len({1, 2})"],
        ["names = {'b', 'a'}", "names = sorted(names)", "for x in names:", "    talk.say(x)"],
        ["x = {'a': 1}", "for y in x:", "    talk.say(y)", "x.pop('a')", "z = [1].pop()"],
        ["x = urllib.parse.quote('a b')", "x = os.path.join('a', 'b')", "x = pathlib.PurePath('a') / 'b'"],
        ["x = uuid.UUID(int=3)", "x = uuid.uuid5(uuid.NAMESPACE_URL, 'x')"],
        ["x = talk.sleep(timedelta(1))", "await x"],
        ["try:", "    await talk.listen(Words())", "except BaseException:", "    talk.say('x')", "    raise"],
        [
            "try:",
            "    await talk.listen(Words())",
            "except CallerLeft:",
            "    await talk.sleep(timedelta(1))",
            "finally:",
            "    talk.say('x')",
        ],
        ["import json, re, hashlib", "from urllib.parse import quote", "x = json.dumps({'a': 1})"],
        ["def open(x: str) -> str:", "    return x", "open('x')"],
        ["class id:", "    pass", "id()"],
        ["match {}:", "    case {'a': 1, **time}:", "        talk.say(str(time))"],
        ["x = [1]", "x.append(2)", "talk.opened.facts.clear()"],
    ],
    ids=lambda lines: lines[0],
)
def test_what_is_fine_raises_no_alarm(load: Load, lines: list[str]) -> None:
    assert load(body(*lines)).flow


def test_helpers_are_looked_at_wherever_they_stand_in_the_module(load: Load) -> None:
    source = """
    @workflow
    async def flow(talk: Talk) -> None:
        await helper(talk)

    async def helper(talk: Talk) -> None:
        deeper()

    def deeper() -> float:
        return time.time()
    """
    with pytest.raises(SourceError, match=r":15: in workflow flow: time\.time differs"):
        load(source)


def test_a_forgotten_await_of_a_helper_is_found(load: Load) -> None:
    source = """
    async def helper(talk: Talk) -> None: ...

    @workflow
    async def flow(talk: Talk) -> None:
        helper(talk)
    """
    with pytest.raises(SourceError, match=r":11: in workflow flow: helper\(…\) is never awaited. Write: await helper\(talk\)"):
        load(source)


def test_functions_that_are_not_reached_may_do_what_they_like(load: Load) -> None:
    assert load("""
    def boot() -> float:
        return time.time()

    @workflow
    async def flow(talk: Talk) -> None: ...

    STARTED = boot()
    """).flow


def test_the_bodies_of_effects_may_do_what_they_like(load: Load) -> None:
    assert load("""
    import workflows

    @effect
    async def clock() -> float:
        await asyncio.sleep(0)
        return time.time()

    @workflows.effect(name="environment")
    async def environment() -> str:
        return os.environ["HOME"]

    @workflow
    async def flow(talk: Talk) -> None:
        @effect
        async def inner() -> float:
            return time.time()

        await talk.call(clock)
        await talk.call(environment)
        await talk.call(inner)
    """).flow


def test_a_recursive_helper_is_looked_at_once(load: Load) -> None:
    assert load("""
    @workflow
    async def flow(talk: Talk) -> None:
        await menu(talk)

    async def menu(talk: Talk) -> None:
        await menu(talk)
        await flow(talk)
    """).flow


def test_a_helper_may_have_other_things_that_call_or_start(load: Load) -> None:
    assert load("""
    class Engine:
        def start(self) -> None: ...

    def run(engine: Engine) -> None:
        engine.start()

    @workflow
    async def flow(talk: Talk) -> None:
        run(Engine())
    """).flow


def test_a_talk_by_another_name_is_still_a_talk(load: Load) -> None:
    with pytest.raises(SourceError, match=r"caller\.ask\(…\) is never awaited"):
        load("""
        @workflow
        async def flow(caller: Talk) -> None:
            caller.ask("?", Words())
        """)


def test_a_subclass_of_datetime_is_a_clock_as_well(load: Load) -> None:
    with pytest.raises(SourceError, match=r"Mine\.now differs"):
        load("""
        class Mine(datetime): ...

        @workflow
        async def flow(talk: Talk) -> None:
            Mine.now()
        """)


def test_a_value_of_the_module_is_judged_by_its_class(load: Load) -> None:
    with pytest.raises(SourceError, match=r"DICE\.random differs"):
        load("""
        DICE = random.Random(7)

        @workflow
        async def flow(talk: Talk) -> None:
            DICE.random()
        """)


def test_what_a_test_defines_around_a_workflow_is_known() -> None:
    opening = datetime(2026, 1, 1)  # noqa: DTZ001 - a value that a closure holds

    @effect
    async def local(x: int) -> float:
        import time

        return time.time() + x

    async def helper(talk: Talk) -> None:
        await talk.sleep(timedelta(1))

    @workflow
    async def flow(talk: Talk) -> None:
        await helper(talk)
        await later(talk)
        await talk.call(local, opening.day)

    async def later(talk: Talk) -> None: ...

    assert flow.name.endswith("flow")

    read = datetime.now

    with pytest.raises(SourceError, match="read differs"):

        @workflow
        async def clocked(talk: Talk) -> None:
            talk.say(str(read()))

    async def forgetful(talk: Talk) -> None:
        talk.sleep(timedelta(1))

    with pytest.raises(SourceError, match=r"talk\.sleep\(…\) is never awaited"):

        @workflow
        async def reaching(talk: Talk) -> None:
            await forgetful(talk)


def test_a_workflow_without_a_source_is_let_through() -> None:
    names: dict[str, object] = {"workflow": workflow, "Talk": Talk, "__name__": "typed"}
    exec("@workflow\nasync def flow(talk: Talk) -> None: ...", names)
    assert names["flow"]
