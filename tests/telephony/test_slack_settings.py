"""Slack's settings: credentials that belong together, development's own where there are none, and the manifest of the app."""

import re
from pathlib import Path

import pytest
from support.slack_house import SECRET, TOKEN

from switchboard import settings
from switchboard.errors import SettingsError
from switchboard.secrets import development
from switchboard.settings import SIMULATED_SLACK, SLACK
from telephony.slack import Slack

MANIFEST = (Path(__file__).parents[2] / "docs" / "slack-manifest.yaml").read_text(encoding="utf-8")
NAMES = ("SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET", "SLACK_APP_TOKEN", "SLACK_API_URL")


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_without_credentials_there_is_the_simulated_slack_with_secrets_of_the_data_directory(tmp_path):
    found = settings.load(data=tmp_path / "data")
    again = settings.load(data=tmp_path / "data")
    other = settings.load(data=tmp_path / "other")
    assert found.slack_url == SIMULATED_SLACK
    assert found.slack_secret == again.slack_secret != other.slack_secret
    assert found.slack_token == again.slack_token != other.slack_token
    secrets = development(tmp_path / "data")
    assert found.slack_secret.get_secret_value() == secrets.slack_signing_secret
    assert found.slack_token.get_secret_value() == secrets.slack_bot_token
    assert secrets.slack_signing_secret not in (tmp_path / "data" / "secrets.toml").read_text()
    assert secrets.slack_bot_token not in repr(secrets)
    assert len({secrets.slack_signing_secret, secrets.slack_bot_token, secrets.twilio_auth_token}) == 3


def test_an_old_data_directory_has_secrets_for_slack_too(tmp_path):
    (tmp_path / "secrets.toml").write_text(f'twilio_account_sid = "AC{"1" * 32}"\ntwilio_auth_token = "{"2" * 32}"\n')
    assert len(settings.load(data=tmp_path).slack_secret.get_secret_value()) == 32


def test_credentials_are_slacks_own(monkeypatch):
    monkeypatch.setenv("SLACK_BOT_TOKEN", TOKEN)
    monkeypatch.setenv("SLACK_SIGNING_SECRET", SECRET)
    found = settings.load()
    assert (found.slack_url, found.slack_secret.get_secret_value(), found.slack_token.get_secret_value()) == (SLACK, SECRET, TOKEN)
    assert SECRET not in repr(found)
    assert TOKEN not in repr(found)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["SLACK_BOT_TOKEN"], "SLACK_BOT_TOKEN stands alone"),
        (["SLACK_SIGNING_SECRET"], "SLACK_SIGNING_SECRET is of no use without SLACK_BOT_TOKEN"),
        (["SLACK_APP_TOKEN"], "SLACK_APP_TOKEN is of no use without SLACK_BOT_TOKEN"),
    ],
)
def test_credentials_that_belong_together_are_missed(monkeypatch, given, problem):
    for name in given:
        monkeypatch.setenv(name, "a secret value")
    with pytest.raises(SettingsError, match=problem) as caught:
        settings.load()
    assert "a secret value" not in str(caught.value)


@pytest.mark.parametrize("url", ["slack.com/api", "ftp://slack.com/api/", "https://", "https://slack.com:x/api/"])
def test_an_address_of_the_api_that_is_none_is_refused(monkeypatch, url):
    monkeypatch.setenv("SLACK_API_URL", url)
    with pytest.raises(SettingsError, match="SLACK_API_URL"):
        settings.load()


def test_the_manifest_names_the_addresses_that_there_are():
    paths = set(re.findall(r"https://bot\.example\.com(/\S+)", MANIFEST))
    assert paths == {"/slack/events", "/slack/interactivity", "/slack/commands"}
    source = Path(Slack.__module__.replace(".", "/") + ".py")
    assert all(path in (Path(__file__).parents[2] / source).read_text() for path in paths)
