"""What the shell offers: asked as the three shells ask, and by a real bash."""

import os
import socket
import subprocess
from pathlib import Path

import pytest
import redis
from support.commands import SWITCHBOARD, Shop
from support.shop import PIN

from switchboard.settings import ENVIRONMENT


def asked(shop: Shop, line: str, **variables: str) -> list[str]:
    """What fish is offered behind a line; nothing may be said to standard error."""
    done = shop.run(_SWITCHBOARD_COMPLETE="complete_fish", _TYPER_COMPLETE_FISH_ACTION="get-args", _TYPER_COMPLETE_ARGS=line, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    return [offered.split("\t")[0] for offered in done.stdout.splitlines() if offered]


def in_bash(shop: Shop, *words: str) -> list[str]:
    """What a real bash puts into COMPREPLY when Tab is pressed behind the last of the words, as readline has split them."""
    script = shop.run("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1").stdout
    assert "complete -o default -F _switchboard_completion switchboard" in script
    quoted = " ".join(f"'{word}'" for word in words)
    ask = f'{script}\nCOMP_WORDS=({quoted})\nCOMP_CWORD={len(words) - 1}\n_switchboard_completion switchboard\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    environment |= {"PATH": f"{SWITCHBOARD.parent}:{os.environ['PATH']}", "REDIS_URL": shop.url or ""}
    done = subprocess.run(["bash", "--norc", "-c", ask], cwd=shop.folder, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_and_options_are_offered(shop: Shop) -> None:
    assert asked(shop, "switchboard s") == ["serve", "sessions", "slack"]
    assert asked(shop, "switchboard sessions ") == ["ls", "show", "export", "forget", "resume"]
    assert asked(shop, "switchboard alexa ") == ["say", "model"]
    assert asked(shop, "switchboard ca") == ["call"], "those of other distributions, too"
    assert asked(shop, "switchboard doctor --re") == ["--repair"]


@pytest.mark.parametrize("command", ["sessions show", "sessions forget", "sessions export", "sessions resume", "replay"])
def test_session_keys_are_offered(shop: Shop, command: str) -> None:
    for session in ("phone:CA2", "phone:CA1", "web:1", "web:two words", "web:\x1b[2J"):
        shop.record(session, PIN)
    assert asked(shop, f"switchboard {command} ") == ["phone:CA1", "phone:CA2", "web:1"]
    assert asked(shop, f"switchboard {command} phone:CA2") == ["phone:CA2"]


def test_every_shell_is_answered_in_its_way(shop: Shop) -> None:
    shop.record("phone:CA1", PIN)
    zsh = shop.run(_SWITCHBOARD_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="switchboard replay ph")
    assert zsh.stdout == """_arguments '*: :(("phone\\\\:CA1"))'\n"""
    files = shop.run(_SWITCHBOARD_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="switchboard replay hist")
    assert files.stdout == "_files\n"
    none = shop.run(
        _SWITCHBOARD_COMPLETE="complete_fish", _TYPER_COMPLETE_FISH_ACTION="is-args", _TYPER_COMPLETE_ARGS="switchboard replay hist"
    )
    assert (none.returncode, none.stdout) == (1, ""), "fish offers files then"


def test_bash_is_given_what_follows_the_colon(shop: Shop) -> None:
    shop.record("phone:CA1", PIN)
    shop.record("phone:CA2", PIN)
    shop.record("slack:T1:C1", PIN)
    assert in_bash(shop, "switchboard", "sess") == ["sessions"]
    assert in_bash(shop, "switchboard", "sessions", "show", "ph") == ["phone:CA1", "phone:CA2"]
    assert in_bash(shop, "switchboard", "sessions", "show", "phone", ":") == ["CA1", "CA2"]
    assert in_bash(shop, "switchboard", "sessions", "show", "phone", ":", "CA2") == ["CA2"]
    assert in_bash(shop, "switchboard", "sessions", "show", "slack", ":", "T1", ":", "C") == ["C1"]
    assert in_bash(shop, "switchboard", "sessions", "show", "phone:C") == ["phone:CA1", "phone:CA2"], "where colons do not split words"


def test_the_store_of_the_data_directory_is_asked_but_never_started(tmp_path: Path) -> None:
    alone = Shop(tmp_path / "a folder", None)
    (alone.folder / ".switchboard").mkdir()
    assert asked(alone, "switchboard sessions show ") == []
    assert list((alone.folder / ".switchboard").iterdir()) == []


def test_settings_name_the_store(shop: Shop, valkey: redis.Redis) -> None:
    shop.record("phone:CA1", PIN)
    url, shop.url = shop.url, None
    (shop.folder / "other.toml").write_text(f'[store]\nurl = "{url}"\n[lines]\n"phone:*" = "a.module:that_is_never_imported"\n')
    assert asked(shop, "switchboard sessions show --config other.toml ") == ["phone:CA1"]
    assert asked(shop, "switchboard sessions show --config gone.toml ") == []
    (shop.folder / "other.toml").write_text("nonsense")
    assert asked(shop, "switchboard sessions show --config other.toml ") == []


def test_a_store_that_is_down_or_silent_offers_nothing_and_holds_nobody(shop: Shop) -> None:
    assert asked(shop, "switchboard sessions show ", REDIS_URL="redis://127.0.0.1:1/0") == []
    assert asked(shop, "switchboard sessions show ", REDIS_URL="nonsense") == []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert asked(shop, "switchboard sessions show ", REDIS_URL=f"redis://127.0.0.1:{port}/0") == []


def test_an_error_at_the_tab_key_is_not_told(shop: Shop) -> None:
    installed = shop.folder / "installed" / "bell-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: bell\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[switchboard.commands]\nring = bell:gone\n")
    broken = {"PYTHONPATH": str(installed.parent), "_SWITCHBOARD_COMPLETE": "complete_bash"}
    done = shop.run(COMP_WORDS="switchboard\nring\n", COMP_CWORD="2", **broken)
    assert (done.stdout.strip(), done.stderr) == ("", "")
    assert shop.run(_SWITCHBOARD_COMPLETE="nonsense").stderr == ""
