"""The command line itself: its help, its errors, its exit codes."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence

import pytest
from support.commands import Shop
from support.shop import PIN

HEAVY = {
    "aiohttp",
    "asyncio",
    "redis",
    "structlog",
    "twilio",
    "openai",
    "msgspec",
    "pykka",
    "uvloop",
    "prometheus_client",
    "rich",
    "handlers",
    "workflows",
}
"""What no help needs. Pydantic is not among them: typer itself takes it to read an option."""

COMMANDS = [
    [],
    ["serve"],
    ["new"],
    ["sessions"],
    *(["sessions", name] for name in ("ls", "show", "export", "forget", "resume")),
    ["replay"],
    ["doctor"],
    ["config"],
    ["config", "show"],
    ["call"],
]


def test_help_names_every_command(shop: Shop) -> None:
    done = shop.run("--help")
    assert done.returncode == 0
    for words in COMMANDS:
        if len(words) == 1:
            assert re.search(rf"^  {words[0]} ", done.stdout, re.MULTILINE), words


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_loads_nothing_heavy(words: Sequence[str]) -> None:
    code = (
        f"import sys; sys.argv[1:] = {[*words, '--help']}\n"
        "from switchboard.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"Usage: switchboard {' '.join(words)}".rstrip() in done.stdout
    loaded = done.stderr.split()
    assert not HEAVY & set(loaded)
    if not words:
        assert "pydantic" not in loaded
    ours = {name for name in loaded if name.startswith("switchboard.")}
    assert ours == {"switchboard.cli", "switchboard.completion", "switchboard.errors", "switchboard.workdir"}


@pytest.mark.parametrize("words", [["nonsense"], ["serve", "--port", "65536"], ["sessions", "show"], ["sessions"], []])
def test_wrong_usage_is_exit_code_2(shop: Shop, words: Sequence[str]) -> None:
    done = shop.run(*words)
    assert done.returncode == 2
    assert "Usage: switchboard" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["serve"], ["sessions", "ls"], ["replay", "x"]])
def test_wrong_settings_are_one_sentence_and_exit_code_2(shop: Shop, command: Sequence[str]) -> None:
    (shop.folder / "other.toml").write_text('[lines]\n"phone:*" = "corner:gone"\n')
    done = shop.run(*command, "--config", "other.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'Error: other.toml: [lines] "phone:*": workflow: corner:gone: there is no gone in corner.\n'


def test_a_store_that_is_down_is_one_sentence_without_its_password(shop: Shop) -> None:
    done = shop.run("sessions", "ls", REDIS_URL="redis://:hemlis@127.0.0.1:1/0")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: The store at redis://127.0.0.1:1: no connection")
    assert done.stderr.count("\n") == 1
    assert "hemlis" not in done.stderr


def test_the_doctor_s_exit_code_tells_whether_something_is_bad(shop: Shop) -> None:
    done = shop.run("doctor")
    assert done.returncode == 0, done.stdout
    assert "ok   line: phone:* is answered by corner:shop (en-GB, UTC)\n" in done.stdout
    done = shop.run("doctor", "--json", REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert json.loads(done.stdout)[-1]["status"] == "bad"


def test_colours_are_for_terminals_without_no_color(shop: Shop) -> None:
    shop.record("phone:CA1", PIN)
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    assert "\x1b[" not in shop.run("sessions", "show", "phone:CA1").stdout
    assert "\x1b[32m" in shop.run("sessions", "show", "phone:CA1", **terminal).stdout
    assert not re.search(r"\x1b\[[0-9;]*3\d", shop.run("sessions", "show", "phone:CA1", NO_COLOR="1", **terminal).stdout)


def test_a_folder_that_takes_the_place_of_our_package_is_named(shop: Shop) -> None:
    (shop.folder / "handlers").mkdir()
    (shop.folder / "handlers" / "__init__.py").touch()
    done = shop.run("sessions", "ls", PYTHONPATH=str(shop.folder))
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: Switchboard's own package handlers is hidden: Python finds it at {shop.folder / 'handlers'}")
    assert done.stderr.count("\n") == 1


def test_a_command_of_another_distribution_is_found_and_run(shop: Shop) -> None:
    installed = shop.folder / "installed"
    (installed / "bell-1.0.dist-info").mkdir(parents=True)
    (installed / "bell-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bell\nVersion: 1.0\n")
    (installed / "bell-1.0.dist-info" / "entry_points.txt").write_text("[switchboard.commands]\nring = bell:ring\nmute = bell:gone\n")
    (installed / "bell.py").write_text('def ring(times: int = 1) -> None:\n    """Ring the bell."""\n    print("ding " * times)\n')
    done = shop.run("ring", "--times", "2", PYTHONPATH=str(installed))
    assert (done.returncode, done.stdout) == (0, "ding ding \n")
    broken = shop.run("mute", PYTHONPATH=str(installed))
    assert (broken.returncode, broken.stdout) == (2, "")
    assert broken.stderr.startswith("Error: The command mute cannot be loaded (bell:gone): AttributeError")
