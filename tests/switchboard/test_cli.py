"""The command line, run as people run it, on histories that real runs wrote into a real Valkey."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from support.shop import AT, BUG, FIRED, LEFT, LONGER, PIN, SHOP, TEA, Step, pressed, price, record, write_shop

from handlers.history import Append, partition_of
from handlers.redis_history import RedisHistory
from switchboard.settings import ENVIRONMENT
from workflows.run import Run

SWITCHBOARD = Path(sys.executable).parent / "switchboard"
FOREIGN = b"\x02\xff another format"


def history_key(session: str) -> str:
    """Where the store keeps a history (docs/format.md)."""
    return f"sb:{{{partition_of(session)}}}:h:{session}"


class Shop:
    """A working directory with a workflow in it, and the commands that are run there."""

    def __init__(self, folder: Path, url: str | None) -> None:
        folder.mkdir()
        self.folder = folder
        self.url = url
        self.registry = write_shop(folder)
        (folder / "switchboard.toml").write_text('[lines]\n"phone:*" = "corner:shop"\n')

    def rewrite(self, code: str) -> None:
        """Change the code in front of the command."""
        self.registry = write_shop(self.folder, code)

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
        environment |= {"PYTHONDONTWRITEBYTECODE": "1"} | ({"REDIS_URL": self.url} if self.url else {}) | variables
        return subprocess.run(
            [SWITCHBOARD, *words], cwd=self.folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )

    def json(self, *words: str) -> Any:
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def record(self, session: str, *steps: Step | Callable[[Run], Step], at: int = AT, **changes: Any) -> None:
        """Store what a run of the code in front makes of these inputs."""
        asyncio.run(self._append(session, record(self.registry, session, *steps, at=at, **changes)))

    async def _append(self, session: str, elements: Sequence[bytes]) -> None:
        assert self.url is not None
        history = RedisHistory(self.url, "test.1")
        await history.open()
        for start in range(0, len(elements), 500):
            tail = elements[start - 1][1:9] if start else b""
            reply = await history.append(Append(session, start, tail, tuple(elements[start : start + 500])))
            assert reply.status == "ok"
        await history.close()


@pytest.fixture
def shop(tmp_path: Path, valkey: redis.Redis, valkey_url: str) -> Shop:
    return Shop(tmp_path / "a folder", valkey_url)


# -- sessions -----------------------------------------------------------------------------------------------------------------------------


def test_sessions_are_listed_with_their_states_the_last_active_first(shop: Shop, valkey: redis.Redis) -> None:
    shop.record("phone:runs", PIN)
    shop.record("phone:fails", PIN, TEA, at=AT + 1_000_000)
    shop.record("phone:ends", LEFT, at=AT + 2_000_000)
    shop.record("phone:damaged", at=AT + 3_000_000)
    valkey.rpush(history_key("phone:damaged"), FOREIGN)
    shop.rewrite(SHOP.replace("Digits(4", "Digits(6"))
    shop.record("phone:differs", pressed("123456", "a"), at=AT + 4_000_000)
    shop.rewrite(BUG)
    listed = shop.json("sessions", "ls")
    assert [(each["session"], each["events"], each["state"]) for each in listed] == [
        ("phone:differs", 2, "diverged"),
        ("phone:damaged", 2, "quarantined"),
        ("phone:ends", 2, "ended"),
        ("phone:fails", 3, "failed"),
        ("phone:runs", 2, "running"),
    ]
    assert listed[4] == {
        "session": "phone:runs",
        "workflow": "corner:shop",
        "events": 2,
        "opened": "2025-11-24 18:00:00+02:00",
        "last_event": "2025-11-24 18:00:01+02:00",
        "state": "running",
    }
    some = shop.run("sessions", "ls", "--limit", "4")
    table = some.stdout.splitlines()
    assert re.split(r" {2,}", table[0].strip()) == ["SESSION", "WORKFLOW", "EVENTS", "OPENED", "LAST EVENT", "STATE"]
    assert len(table) == 5
    assert some.stderr == "There are more than 4 sessions; --limit shows more.\n"


def test_a_session_is_shown_to_people_and_to_machines(shop: Shop) -> None:
    shop.record("phone:CA1", PIN, TEA, price)
    told = shop.run("sessions", "show", "phone:CA1")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("phone:CA1  running\n")
    assert "   2  2025-11-24 18:00:02+02:00  pressed 1  -> listen digits 1 (step 1)\n" in told.stdout
    assert "4711" not in told.stdout
    shown = shop.json("sessions", "show", "phone:CA1")
    assert (shown["state"], shown["workflow"], shown["waits_for"]) == ("running", "corner:shop", ["sleep (step 3)"])
    assert shown["alarms"] == [{"step": "3", "at": "2025-11-24T19:00:03+02:00"}]
    assert shown["events"][2] == {
        "position": 2,
        "at": "2025-11-24T18:00:02+02:00",
        "kind": "heard",
        "id": "b",
        "type": "pressed",
        "payload": {"digits": "1"},
        "hidden": False,
        "taken_by": "listen digits 1 (step 1)",
        "replayed": True,
        "said": [],
    }


def test_a_history_of_several_pages_is_shown_whole(shop: Shop) -> None:
    shop.rewrite(
        "from workflows import Talk, Words, workflow\n\n@workflow\nasync def shop(talk: Talk) -> None:\n"
        "    while True:\n        await talk.listen(Words())\n"
    )
    shop.record("web:1", *[pressed(str(number), str(number)) for number in range(1_200)])
    events = shop.json("sessions", "show", "web:1")["events"]
    assert [event["payload"]["digits"] for event in events[1:]] == [str(number) for number in range(1_200)]


def test_a_session_is_forgotten_when_that_is_sure(shop: Shop, valkey: redis.Redis) -> None:
    shop.record("phone:CA1", PIN)
    asked = shop.run("sessions", "forget", "phone:CA1")
    assert (asked.returncode, asked.stdout) == (2, ""), asked.stderr
    assert "--yes" in asked.stderr
    assert valkey.exists(history_key("phone:CA1"))
    done = shop.run("sessions", "forget", "phone:CA1", "--yes")
    assert (done.returncode, done.stdout) == (0, "phone:CA1 is forgotten.\n")
    assert not valkey.exists(history_key("phone:CA1"))


def test_an_errand_that_runs_is_not_forgotten_for_its_parent_would_start_it_anew(shop: Shop, valkey: redis.Redis) -> None:
    shop.rewrite(
        "from workflows import Heard, Talk, workflow\n\n@workflow\nasync def shop(talk: Talk) -> None:\n    await talk.next(Heard)\n"
    )
    shop.record("errand:1", parent=("web:1", "5/0"))
    refused = shop.run("sessions", "forget", "errand:1", "--yes")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "web:1" in refused.stderr
    assert valkey.exists(history_key("errand:1"))


@pytest.mark.parametrize("command", [("sessions", "show"), ("sessions", "forget", "--yes"), ("replay",)])
def test_a_session_that_is_not_there_is_wrong_usage(shop: Shop, command: Sequence[str]) -> None:
    done = shop.run(*command, "phone:nobody")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: There is no session phone:nobody. `switchboard sessions ls` tells which there are.\n"


def test_sessions_of_the_embedded_store_are_seen_without_a_server(tmp_path: Path) -> None:
    alone = Shop(tmp_path / "a folder", None)
    nothing = alone.run("sessions", "ls")
    assert nothing.returncode == 2
    assert "There is no data directory" in nothing.stderr
    assert not (alone.folder / ".switchboard").exists(), "looking makes none"
    (alone.folder / "data").mkdir()
    assert alone.json("sessions", "ls", "--data", "data") == []


# -- replay -------------------------------------------------------------------------------------------------------------------------------


def test_a_replay_of_the_same_code_is_fine_and_touches_nothing(shop: Shop, valkey: redis.Redis) -> None:
    shop.record("phone:CA1", PIN, TEA, price, FIRED)
    before = {key: valkey.dump(key) for key in valkey.scan_iter()}
    done = shop.run("replay", "phone:CA1")
    assert (done.returncode, done.stdout) == (0, "phone:CA1: 5 events replayed, every step as on record; it is ended.\n")
    assert {key: valkey.dump(key) for key in valkey.scan_iter()} == before


def test_other_words_are_told_and_are_no_divergence(shop: Shop) -> None:
    shop.record("phone:CA1", PIN, TEA, price)
    shop.rewrite(SHOP.replace("Welcome.", "Good morning."))
    done = shop.run("replay", "phone:CA1")
    assert done.returncode == 0
    assert "after event 0 something else would be said than was:\n" in done.stdout
    assert '  now says "Good morning."\n' in done.stdout
    assert "every step as on record" in done.stdout
    assert shop.json("replay", "phone:CA1") == {
        "session": "phone:CA1",
        "state": "running",
        "events": 4,
        "reworded": [{"position": 0, "now": [{"say": "Good morning."}, {"say": "Your PIN, please"}]}],
    }


def test_a_divergence_is_told_with_both_sides_and_exit_code_1(shop: Shop) -> None:
    shop.record("phone:CA1", PIN, TEA, price)
    shop.rewrite(LONGER)
    done = shop.run("replay", "phone:CA1")
    assert done.returncode == 1
    assert "does not repeat what is on record at event 2:\n" in done.stdout
    assert "  on record  an input (pressed), recorded when other steps were open\n" in done.stdout
    assert "  wanted     listen digits 2 (step 1)\n" in done.stdout
    machine = shop.run("replay", "phone:CA1", "--json")
    assert machine.returncode == 1
    assert json.loads(machine.stdout)["divergence"]["wanted"] == "listen digits 2 (step 1)"


def test_an_effect_called_with_other_arguments_is_a_divergence(shop: Shop) -> None:
    shop.record("phone:CA1", PIN, TEA, price)
    shop.rewrite(SHOP.replace("price_of, what)", "price_of, what * 2)"))
    done = shop.run("replay", "phone:CA1")
    assert done.returncode == 1
    assert "  on record  the outcome of price_of (step 2) with other arguments\n" in done.stdout


def test_code_that_fails_on_a_history_is_a_problem(shop: Shop) -> None:
    shop.record("phone:CA1", PIN, TEA)
    shop.rewrite(BUG)
    done = shop.run("replay", "phone:CA1")
    assert done.returncode == 1
    assert "phone:CA1: the workflow fails at event 2:\n" in done.stdout
    assert "ValueError: invalid literal" in done.stdout


def test_a_history_that_cannot_be_read_is_a_problem(shop: Shop, valkey: redis.Redis) -> None:
    shop.record("phone:CA1", PIN)
    valkey.rpush(history_key("phone:CA1"), FOREIGN)
    done = shop.run("replay", "phone:CA1")
    assert done.returncode == 1
    assert "phone:CA1: quarantined\n" in done.stdout


# -- the command itself -------------------------------------------------------------------------------------------------------------------


def test_help_names_every_command_and_loads_nothing_heavy(shop: Shop) -> None:
    done = shop.run("--help")
    assert done.returncode == 0
    for command in ("serve", "sessions", "replay", "doctor", "call"):
        assert re.search(rf"^  {command} ", done.stdout, re.MULTILINE)
    code = "import sys; sys.argv[1:] = ['--help']\nfrom switchboard.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()
    assert not {"aiohttp", "asyncio", "redis", "pydantic", "structlog", "twilio", "openai", "rich.console"} & set(loaded)


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
