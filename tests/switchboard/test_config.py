"""The command `config show`."""

import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.commands import Shop

from switchboard.config import _toml, lines_of, show_config
from switchboard.settings import ENVIRONMENT, load

FULL = """\
# a comment with [brackets]
data = "my data"

[lines]
"phone:+15550100" = { workflow = "santa", timezone = "Europe/Helsinki", args = { queues = { 1 = "+15550111" } } }
"phone:+15550101" = "santa"

[lines."phone:*"]
workflow = "santa"
voice = "Polly.Amy"

[server]
port = 9090
trusted_proxies = [
  "10.0.0.0/8",  # inside
]
public_url = '''https://calls.example.com'''

[store]
ttl = "1.5d"
fsync = "always"

[sessions]
idle = 1.5
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory, and an environment that sets nothing."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "my folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def shown(capsys: pytest.CaptureFixture[str], data: Path | None = None) -> dict[str, str]:
    """What is written: the end of each line by its beginning."""
    show_config(None, data)
    text = capsys.readouterr().out
    tomllib.loads(text)
    table, lines = "", {}
    for line in text.splitlines():
        if line.startswith("["):
            table = line
        elif not line.startswith("#"):
            setting, _, origin = line.partition("  # ")
            lines[f"{table} {setting.strip()}".strip()] = origin
    return lines


def test_every_setting_has_its_value_and_its_origin(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "switchboard.toml").write_text(FULL)
    monkeypatch.setenv("PUBLIC_URL", "https://env.example.com")
    lines = shown(capsys)
    for setting, origin in {
        'data = "my data"': "switchboard.toml:2",
        '[lines."phone:+15550100"] workflow = "santa"': "switchboard.toml:5",
        '[lines."phone:+15550100"] args = { queues = { 1 = "+15550111" } }': "switchboard.toml:5",
        '[lines."phone:+15550100"] locale = "en-GB"': "default",
        '[lines."phone:+15550101"] workflow = "santa"': "switchboard.toml:6",
        '[lines."phone:*"] voice = "Polly.Amy"': "switchboard.toml:10",
        '[server] host = "127.0.0.1"': "default",
        "[server] port = 9090": "switchboard.toml:13",
        '[server] trusted_proxies = ["10.0.0.0/8"]': "switchboard.toml:14",
        '[server] public_url = "https://env.example.com"': "PUBLIC_URL",
        '[store] ttl = "36h"': "switchboard.toml:20",
        '[sessions] idle = "1.5s"': "switchboard.toml:24",
    }.items():
        assert lines[setting] == origin, setting


def test_what_is_shown_is_a_settings_file_that_says_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "switchboard.toml").write_text(FULL)
    before = load()
    show_config(None, None)
    (folder / "switchboard.toml").write_text(capsys.readouterr().out)
    assert load() == before


def test_without_a_file_everything_is_the_default(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys)
    assert set(lines.values()) == {"", "default"}
    assert '[lines."phone:*"] workflow = "santa"' in lines
    assert shown(capsys, Path("elsewhere"))['data = "elsewhere"'] == "--data"
    assert list(folder.iterdir()) == []


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, "hemlis")
    monkeypatch.setenv("PUBLIC_URL", "https://env.example.com")
    monkeypatch.setenv("PHONE_PAGE_TOKEN", "hemlis hemlis hemlis")
    monkeypatch.setenv("DUFFEL_API_URL", "https://me:hemlis@fares.example.com")
    for url, told in {
        "redis://user:hemlis@db.example.com:6379/2": "redis://:***@db.example.com:6379/2",
        "unix://:hemlis@/run/valkey?db=3": "unix://:***@/run/valkey?db=3",
        "rediss://db.example.com": "rediss://db.example.com",
    }.items():
        monkeypatch.setenv("REDIS_URL", url)
        for name in ("TWILIO_ACCOUNT_SID", "ALEXA_SKILL_ID", "OPENAI_MODEL"):
            monkeypatch.setenv(name, "public")
        monkeypatch.setenv("OPENAI_BASE_URL", "https://me:hemlis@models.example.com/v1")
        monkeypatch.setenv("SLACK_API_URL", "https://me:hemlis@slack.example.com/api/")
        show_config(None, None)
        text = capsys.readouterr().out
        assert "hemlis" not in text
        assert '# SLACK_API_URL = "https://:***@slack.example.com/api"\n' in text
        assert f'url = "{told}"' in text
        assert "# TWILIO_AUTH_TOKEN = (set, not shown)\n" in text
        assert '# OPENAI_MODEL = "public"\n' in text
        assert '# OPENAI_BASE_URL = "https://:***@models.example.com/v1"\n' in text


def test_a_setting_that_is_not_set_is_a_comment(capsys: pytest.CaptureFixture[str]) -> None:
    show_config(None, None)
    text = capsys.readouterr().out
    assert "# url is not set\n" in text
    assert "# TWILIO_AUTH_TOKEN is not set\n" in text


def test_wrong_settings_are_told_as_everywhere(shop: Shop) -> None:
    (shop.folder / "switchboard.toml").write_text("[server]\nprot = 1\n")
    done = shop.run("config", "show")
    assert (done.returncode, done.stdout) == (2, "")
    assert "[server] prot: there is no such setting (did you mean port?)" in done.stderr


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("", {}),
        ("a.b = 1", {("a",): 1, ("a", "b"): 1}),
        ("\n[t]\n\n# x\nx = 1\r\n[u.v]\ny = 2", {("t", "x"): 5, ("u", "v", "y"): 7}),
        ('[t]\nx = """\n[no]\ny = 1\n"""\nz = 1', {("t", "x"): 2, ("t", "z"): 6}),
        ("[t]\nx = [\n# [no]\n1,\n]\n[t.'q r']\ny = { z = 1 }", {("t", "x"): 2, ("t", "q r", "y"): 7, ("t", "q r", "y", "z"): 7}),
    ],
)  # fmt: skip
def test_the_lines_of_settings_are_found(text: str, places: dict[tuple[str, ...], int]) -> None:
    assert lines_of(text) == places


@given(st.recursive(st.text() | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.floats(allow_nan=False), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_any_value_is_written_as_toml(value: object) -> None:
    if _is_text(value):
        assert tomllib.loads(f"x = {_toml(value)}") == {"x": value}


def _is_text(value: object) -> bool:
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return "\\ud" not in str(value)


@pytest.mark.parametrize(
    ("seconds", "told"), [(30, '"30s"'), (90, '"90s"'), (120, '"2m"'), (7_200, '"2h"'), (86_400 * 30, '"30d"'), (0.25, '"0.25s"'), (1e-6, '"0.000001s"'), (1_234_567, '"1234567s"')]
)  # fmt: skip
def test_a_duration_is_written_in_its_largest_unit(seconds: float, told: str) -> None:
    assert _toml(timedelta(seconds=seconds)) == told
