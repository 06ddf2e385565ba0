"""Development secrets."""

import re
import stat
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from switchboard.errors import SettingsError
from switchboard.secrets import FILE, development


def test_secrets_are_made_once_and_then_read(tmp_path: Path) -> None:
    made = development(tmp_path)
    assert re.fullmatch("AC[0-9a-f]{32}", made.twilio_account_sid)
    assert re.fullmatch("[0-9a-f]{32}", made.twilio_auth_token)
    assert development(tmp_path) == made


def test_two_data_directories_have_different_secrets(tmp_path: Path) -> None:
    one, other = development(tmp_path / "one"), development(tmp_path / "other")
    assert one.twilio_auth_token != other.twilio_auth_token
    assert one.twilio_account_sid != other.twilio_account_sid


def test_the_file_is_toml_that_only_its_owner_can_read(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    made = development(data)
    stored = tomllib.loads((data / FILE).read_text())
    assert stored == {"twilio_account_sid": made.twilio_account_sid, "twilio_auth_token": made.twilio_auth_token}
    assert stat.S_IMODE((data / FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


def test_servers_that_start_together_agree_on_one_secret(tmp_path: Path) -> None:
    code = "from pathlib import Path; from switchboard.secrets import development; print(development(Path()).twilio_auth_token)"
    servers = [subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    tokens = {server.communicate()[0].strip() for server in servers}
    assert tokens == {development(tmp_path).twilio_auth_token}
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_threads_that_race_agree_on_one_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        for attempt in range(50):
            data = tmp_path / str(attempt)
            made = [each.result() for each in [threads.submit(development, data) for _ in range(4)]]
            assert len({each.twilio_auth_token for each in made}) == 1
            assert [path.name for path in data.iterdir()] == [FILE]


@pytest.mark.parametrize(
    "text", ["", "twilio_account_sid = 'AC1'", "twilio_account_sid = 'AC1'\ntwilio_auth_token = 5", "no toml", "\0\xff"]
)
def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text, encoding="latin-1")
    with pytest.raises(SettingsError, match=r"secrets\.toml are damaged.*Delete the file"):
        development(tmp_path)
    assert (tmp_path / FILE).read_text(encoding="latin-1") == text


def test_a_directory_that_cannot_be_made_is_told_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"cannot be used.*--data"):
        development(tmp_path / "file" / "data")


def test_the_token_is_not_shown(tmp_path: Path) -> None:
    made = development(tmp_path)
    assert made.twilio_auth_token not in repr(made)
