"""`switchboard new`: what it makes runs as it stands, by the commands that it prints."""

import asyncio
import re
import shlex
import subprocess
import sys

import pytest
from support.server import SWITCHBOARD, ServerProcess

from switchboard import new
from switchboard.errors import NewError
from telephony.simulators.events import Said


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a space in its name, to work in."""
    folder = tmp_path / "my projects"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def run(*words):
    return subprocess.run([SWITCHBOARD, "new", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


async def test_the_tests_pass_and_the_phone_is_answered_by_the_commands_that_are_printed(place):
    done = run("hello")
    assert (done.returncode, done.stderr) == (0, "")
    made = place / "hello"
    head, *listed, _, tests, serve = done.stdout.splitlines()
    assert head == f"Made {made}:"
    assert sorted(line.split()[0] for line in listed) == sorted(file.name for file in made.iterdir())
    assert len({len(re.match(r"  \S+ +", line)[0]) for line in listed}) == 1, "in columns"
    tested = await asyncio.to_thread(subprocess.run, tests, shell=True, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout
    assert re.search(r"^3 passed in", tested.stdout.splitlines()[-1].strip("= ")), tested.stdout
    assert "warning" not in tested.stdout + tested.stderr
    assert shlex.split(serve)[1:] == ["serve", "--reload"]
    server = ServerProcess(made, (made / "switchboard.toml").read_text()).start()
    try:
        async with server.phone() as phone:
            call = phone.call()
            heard = [*await call.start(), *await call.say("Ada"), *await call.press("1")]
        chat = await asyncio.create_subprocess_exec(
            SWITCHBOARD, "chat", "--url", server.url, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        written, _ = await chat.communicate(b"Grace\ncoffee\n")
    finally:
        server.end()
    assert [event.text for event in heard if isinstance(event, Said)][-1] == "One cup of tea for Ada. Goodbye!"
    assert b"One cup of coffee for Grace. Goodbye!" in written


def test_what_is_made_is_in_good_order(place):
    new.make(place / "zebra")
    options = ["--isolated", "--line-length", "140", "zebra"]
    for command in (["check", "--select", "E,W,F,I,UP,B,SIM,RUF,ANN,D1"], ["format", "--check"]):
        ignored = ["--ignore", "D103"] if command[0] == "check" else []
        done = subprocess.run([sys.executable, "-m", "ruff", *command, *ignored, *options], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    assert not [file.name for file in (place / "zebra").iterdir() if "$" in file.read_text()]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("workflows", "the name of one of Switchboard's own packages"),
        ("telephony", "the name of one of Switchboard's own packages"),
        ("class", "a word of Python's own"),
        ("my-bot", "cannot be the name of a module: it takes small letters a to z, digits and _, and begins with a letter. Try: my_bot"),
        ("MyBot", "Try: mybot"),
        ("2nd line", "Try: nd_line"),
        ("../up", "Try: up"),
        ("käse", "Try: k_se"),
        ("", "cannot be the name of a module"),
        ("Class", "cannot be the name of a module"),
        ("test_bot", "pytest would take test_bot.py for a file of its own"),
        ("conftest", "pytest would take conftest.py for a file of its own"),
        ("json", "Python has a module json already"),
        ("aiohttp", "Python has a module aiohttp already"),
    ],
)
def test_a_name_that_cannot_work_is_refused_with_the_reason(place, name, why):
    with pytest.raises(NewError) as refused:
        new.new(name)
    assert why in str(refused.value)


@pytest.mark.parametrize("name", ["JSON", "Test_Bot", "Conftest", "AioHTTP", "Class", "Workflows", "2nd line", "My-Bot"])
def test_a_name_that_is_suggested_is_one_that_works(place, name):
    with pytest.raises(NewError) as refused:
        new.new(name)
    _, tries, better = str(refused.value).partition(" Try: ")
    assert bool(tries) == (name in ("2nd line", "My-Bot"))
    if tries:
        new.check_name(better)
    assert list(place.iterdir()) == []


def test_a_refusal_is_one_sentence_and_exit_code_2(place):
    (place / "hello").mkdir()
    done = run("hello")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Error: {place / 'hello'} is there already. Choose another name, or move it away.\n"
    assert list((place / "hello").iterdir()) == []


def test_a_module_of_the_same_name_beside_it_is_no_hindrance(place):
    (place / "hello.py").touch()
    assert run("hello").returncode == 0


def test_a_place_where_nothing_can_be_made_is_told(place):
    with pytest.raises(NewError, match="cannot be made: No such file or directory"):
        new.make(place / "gone" / "hello")


def test_what_cannot_be_filled_leaves_nothing_behind(place, monkeypatch):
    monkeypatch.setattr(new, "_STARTER", place / "gone")
    with pytest.raises(NewError, match=r"cannot be filled: No such file or directory\. Nothing was left behind"):
        new.make(place / "hello")
    assert list(place.iterdir()) == []


def test_where_there_is_no_pytest_the_way_to_it_is_told(place, monkeypatch, capsys):
    monkeypatch.setattr(new.importlib.util, "find_spec", lambda name: None)
    new.new("hello")
    assert re.search(r"cd hello && ('.+'|\S+) -m pip install pytest && \1 -m pytest\n", capsys.readouterr().out)
