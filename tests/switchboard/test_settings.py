"""Settings, from real files and the real environment."""

import sys
import traceback
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from switchboard.errors import SettingsError
from switchboard.secrets import development
from switchboard.settings import ENVIRONMENT, Settings, load

TILL = """
from workflows import Talk, workflow

@workflow
async def sell(talk: Talk, prices: dict[str, int], greeting: str = "Hello") -> None:
    talk.say(greeting)

@workflow
async def close(talk: Talk) -> None:
    talk.say("We are closed")

nothing = 5
"""

SECRETS = [name for name in ENVIRONMENT if name.endswith(("_TOKEN", "_KEY", "_SECRET"))]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with the module `till` in it, and an environment that sets nothing."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "till.py").write_text(TILL)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def settings(text: str) -> Settings:
    Path("switchboard.toml").write_text(text)
    return load()


def refused(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        settings(text)
    return str(caught.value)


# -- what there is ------------------------------------------------------------------------------------------------------------------------


def test_without_a_file_everything_has_a_default() -> None:
    found = load()
    assert {address: line.workflow for address, line in found.lines.items()} == {
        "alexa:*": "bedtime", "phone:*": "santa", "slack:*": "assistant", "web:*": "assistant",
    }  # fmt: skip
    assert (found.server.host, found.server.port, found.server.public_url) == ("127.0.0.1", 8080, None)
    assert found.server.max_body == 65_536
    assert (found.store.url, found.store.fsync, found.store.ttl) == (None, "everysec", timedelta(days=30))
    assert found.sessions.idle == timedelta(seconds=30)
    assert found.data == Path(".switchboard")


def test_a_line_is_a_name_or_a_table() -> None:
    found = settings("""
        [lines]
        "phone:*" = "till:close"
        [lines."phone:+15550100"]
        workflow = "till:sell"
        timezone = "Europe/Helsinki"
        locale = "fi-FI"
        voice = "Polly.Suvi"
        busy = "reject"
        args = { prices = { tea = 2 } }
    """)
    plain, table = found.lines["phone:*"], found.lines["phone:+15550100"]
    assert (plain.workflow, plain.args, plain.locale, plain.timezone, plain.voice, plain.busy) == (
        "till:close",
        {},
        "en-GB",
        "UTC",
        None,
        "queue",
    )
    assert (table.locale, table.timezone, table.voice, table.busy) == ("fi-FI", "Europe/Helsinki", "Polly.Suvi", "reject")
    assert table.args == {"prices": {"tea": 2}, "greeting": "Hello"}


def test_arguments_become_what_the_workflow_takes_as_plain_values() -> None:
    found = settings('lines = { "phone:*" = { workflow = "till:sell", args = { prices = { tea = "2" } } } }')
    assert found.lines["phone:*"].args["prices"] == {"tea": 2}


def test_no_lines_at_all_is_the_default_and_an_empty_table_is_none() -> None:
    assert "phone:*" in settings("[server]\nport = 1").lines
    assert settings("[lines]").lines == {}


def test_the_file_sets_every_table() -> None:
    found = settings("""
        data = "elsewhere"
        [lines]
        [server]
        host = "0.0.0.0"
        port = 9000
        public_url = "https://calls.example.com/base/"
        trusted_proxies = ["10.0.0.0/8", "2001:db8::/32", "127.0.0.1"]
        max_body = 2048
        max_connections = 5
        header_timeout = "5s"
        body_timeout = 2.5
        idle_timeout = "2m"
        [store]
        url = "redis://cache:6380/2"
        fsync = "always"
        ttl = "12h"
        [sessions]
        idle = 90
    """)
    server = found.server
    assert (server.host, server.port, server.public_url) == ("0.0.0.0", 9000, "https://calls.example.com/base")
    assert server.trusted_proxies == [ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"), ip_network("127.0.0.1")]
    assert (server.max_body, server.max_connections) == (2048, 5)
    assert (server.header_timeout, server.body_timeout, server.idle_timeout) == (
        timedelta(seconds=5),
        timedelta(seconds=2.5),
        timedelta(minutes=2),
    )
    assert (found.store.url, found.store.fsync, found.store.ttl) == ("redis://cache:6380/2", "always", timedelta(hours=12))
    assert found.sessions.idle == timedelta(seconds=90)
    assert found.data == Path("elsewhere")


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("switchboard.toml").write_text(
        'data = "a"\nlines = {}\n[server]\npublic_url = "http://file"\nport = 1\n[store]\nurl = "redis://file"\n'
    )
    monkeypatch.setenv("PUBLIC_URL", "https://environment")
    monkeypatch.setenv("REDIS_URL", "redis://environment")
    found = load(port=2, data=Path("b"))
    assert (found.server.public_url, found.store.url) == ("https://environment", "redis://environment")
    assert (found.server.port, found.data) == (2, Path("b"))


def test_an_empty_variable_sets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, "")
    assert settings("lines = {}\n[store]\nurl = 'redis://file'").store.url == "redis://file"


def test_variables_of_the_shell_that_are_called_like_our_tables_set_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LINES", "SERVER", "STORE", "SESSIONS", "DATA", "HOST", "PORT"):
        monkeypatch.setenv(name, "50")
    assert settings("lines = {}").data == Path(".switchboard")


def test_vendors_credentials_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        if name not in {"PUBLIC_URL", "REDIS_URL"}:
            monkeypatch.setenv(name, f"value of {name}")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8090/v1/")
    monkeypatch.setenv("SLACK_API_URL", "http://127.0.0.1:8091/api/")
    monkeypatch.setenv("DUFFEL_API_URL", "http://127.0.0.1:8092")
    found = settings("lines = {}")
    assert found.openai_base_url == "http://127.0.0.1:8090/v1"
    assert found.twilio_account_sid == "value of TWILIO_ACCOUNT_SID"
    assert found.twilio_auth_token.get_secret_value() == "value of TWILIO_AUTH_TOKEN"
    assert found.slack_signing_secret is not None
    assert found.slack_signing_secret.get_secret_value() == "value of SLACK_SIGNING_SECRET"
    assert (found.slack_api_url, found.openai_model) == ("http://127.0.0.1:8091/api", "value of OPENAI_MODEL")
    assert found.duffel_access_token is not None
    assert found.duffel_access_token.get_secret_value() == "value of DUFFEL_ACCESS_TOKEN"
    assert found.duffel_api_url == "http://127.0.0.1:8092"


@pytest.mark.parametrize(
    "url",
    ["api.example.com/v1", "ftp://api.example.com", "https://", "http://[::1", "http://x:99999/v1", "http://x/v1?key=hemlis", "http://ä/"],
)
def test_an_address_of_the_model_that_is_none_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(SettingsError, match=r"openai_base_url \(from OPENAI_BASE_URL\): write a URL that begins with http") as caught:
        settings("lines = {}")
    assert "hemlis" not in str(caught.value)


def test_a_login_in_the_address_of_the_model_is_in_no_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://me:hemlis@models.example.com/v1")
    assert "hemlis" not in repr(settings("lines = {}"))


def test_without_credentials_the_secrets_of_the_data_directory_hold() -> None:
    found = settings("lines = {}\ndata = 'd'")
    assert not Path("d").exists(), "nothing is made before it is needed"
    token = found.twilio_auth_token.get_secret_value()
    assert (found.twilio_account_sid, token) == (development(Path("d")).twilio_account_sid, development(Path("d")).twilio_auth_token)


# -- what is refused ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prot = 1", "prot: there is no such setting"),
        ("[sever]\nport = 1", "sever: there is no such setting (did you mean server?)"),
        ("[server]\nprot = 1", "[server] prot: there is no such setting (did you mean port?)"),
        ("[server]\nport = 65536", "[server] port: it should be less than or equal to 65535"),
        ("[server]\nport = '80'", "[server] port: it should be a valid integer"),
        ("server = 5", "server: write a table"),
        ("data = 5", "data: write a path"),
        ("[server]\npublic_url = 'calls.example.com'", "[server] public_url: write the URL by which the world reaches this server"),
        ("[server]\npublic_url = 'https://a.b/?c'", "[server] public_url: write the URL"),
        ("[server]\npublic_url = 'https://a b'", "[server] public_url: write the URL"),
        ("[server]\npublic_url = 'https://a:b'", "[server] public_url: write the URL"),
        ("[server]\ntrusted_proxies = ['10.0.0.1/8']", "[server] trusted_proxies.0: value is not a valid IPv4 or IPv6 network"),
        ("[server]\nheader_timeout = '10'", "[server] header_timeout: '10' is no duration: write a number of seconds, or \"30s\""),
        ("[server]\nidle_timeout = 0", "[server] idle_timeout: 0 is no duration"),
        ("[store]\nreplicas = 1", "[store] replicas: the embedded Valkey has none: name a store that has, in [store] url or REDIS_URL"),
        ("[store]\nurl = 'redis://h'\nreplicas = -1", "[store] replicas: it should be greater than or equal to 0"),
        ("[store]\nreplicas_timeout = 2", "[store] replicas_timeout: write at least 0.001 and at most 1.5 seconds"),
        ("[store]\nurl = 'redis+cluster://h/1'", "[store] url: REDIS_URL names a database, but a cluster has only one"),
        ("[store]\nttl = '2 weeks'", "[store] ttl: '2 weeks' is no duration"),
        ("[store]\nttl = true", "[store] ttl: True is no duration"),
        ("[store]\nttl = inf", "[store] ttl: inf is no duration"),
        ("[store]\nttl = nan", "[store] ttl: nan is no duration"),
        ("[store]\nttl = '5m'", "[store] ttl: a history must outlive any call"),
        ("[sessions]\nidle = -1", "[sessions] idle: -1 is no duration"),
        ("[store]\nfsync = 'no'", "[store] fsync: it should be 'everysec' or 'always'"),
        ("[store]\nurl = 'http://x'", "[store] url: REDIS_URL must begin with redis://"),
        ('[lines]\n"fax:*" = "santa"', "[lines] \"fax:*\": there is no channel 'fax'. Known are alexa, phone, slack, web"),
        ('[lines]\nphone = "till:close"', '[lines] "phone": write a channel and an address, such as "alexa:*"'),
        ('[lines]\n"phone:*" = 5', '[lines] "phone:*": write the name of a workflow, or a table'),
        ('[lines]\n"phone:*" = {}', '[lines] "phone:*": workflow: it is missing'),
        ('[lines]\n"phone:*" = "nobody"', '[lines] "phone:*": workflow: no workflow is called nobody. Known are'),
        ('[lines]\n"phone:*" = "till:gone"', '[lines] "phone:*": workflow: till:gone: there is no gone in till'),
        ('[lines]\n"phone:*" = "nowhere:gone"', '[lines] "phone:*": workflow: nowhere:gone: there is no module nowhere'),
        ('[lines]\n"phone:*" = "till:nothing"', '[lines] "phone:*": workflow: till:nothing: nothing of till is no workflow'),
        (
            '[lines]\n"phone:*" = { workflow = "till:close", timezone = "Europe/Helsinky" }',
            "[lines] \"phone:*\": timezone: 'Europe/Helsinky' is no time zone: write an IANA name such as Europe/Helsinki (did you mean",
        ),
        ('[lines]\n"phone:*" = { workflow = "till:close", timezone = "Europe" }', "timezone: 'Europe' is no time zone"),
        ('[lines]\n"phone:*" = { workflow = "till:close", timezone = "../etc" }', "timezone: '../etc' is no time zone"),
        (
            '[lines]\n"phone:*" = { workflow = "till:close", locale = "en_GB" }',
            "locale: 'en_GB' is no language: write a BCP 47 tag such as en-GB",
        ),
        ('[lines]\n"phone:*" = { workflow = "till:close", busy = "drop" }', "busy: it should be 'queue' or 'reject'"),
        ('[lines]\n"phone:*" = { workflow = "till:close", tz = "UTC" }', '[lines] "phone:*": tz: there is no such setting'),
        (
            '[lines]\n"phone:*" = { workflow = "till:close", args = { a = 1 } }',
            "\"phone:*\": args: till:close: got an unexpected keyword argument 'a'",
        ),
        ('[lines]\n"phone:*" = "till:sell"', "\"phone:*\": args: till:sell: missing a required argument: 'prices'"),
        (
            '[lines]\n"phone:*" = { workflow = "till:sell", args = { prices = { tea = "much" } } }',
            '[lines] "phone:*": args.prices[...]: till:sell: Expected `int`, got `str`. It takes prices: dict[str, int]',
        ),
    ],
)
def test_a_wrong_setting_is_named_by_its_path_with_what_to_write(text: str, told: str) -> None:
    assert told in refused(text if "[lines]" in text else f"lines = {{}}\n{text}")


def test_all_that_is_wrong_is_told_at_once() -> None:
    told = refused("""
        [lines]
        "phone:1" = "nobody"
        "phone:2" = { workflow = "till:close", timezone = "Mars" }
        [server]
        port = -1
        colour = "red"
    """)
    assert told.splitlines()[0] == "switchboard.toml: 4 settings are wrong."
    assert len(told.splitlines()) == 5
    for part in ('"phone:1": workflow', '"phone:2": timezone', "[server] port", "[server] colour"):
        assert part in told


def test_what_is_wrong_in_the_environment_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLIC_URL", "nonsense")
    assert "[server] public_url (from PUBLIC_URL): write the URL" in refused("lines = {}")


@pytest.mark.parametrize("alone", ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"])
def test_half_of_the_phone_s_credentials_is_refused(alone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(alone, "hemlis")
    told = refused("lines = {}")
    assert f"{alone} stands alone" in told
    assert "hemlis" not in told


@pytest.mark.parametrize("name", ["twilio_auth_token", "TWILIO_AUTH_TOKEN", "auth_token", "openai_api_key"])
def test_credentials_in_the_file_are_refused_unseen(name: str) -> None:
    told = refused(f"lines = {{}}\n{name} = 'hemlis'")
    assert f"{name}: it comes from the environment alone" in told
    assert "hemlis" not in told


def test_a_module_that_cannot_be_imported_is_named_with_its_line(folder: Path) -> None:
    (folder / "broken.py").write_text("import sys\n\n1 / 0\n")
    assert f"broken:greet cannot be imported: ZeroDivisionError: division by zero (at {folder}/broken.py:3)" in refused(
        '[lines]\n"phone:*" = "broken:greet"'
    )
    (folder / "unread.py").write_text("x = 1\ndef greet(:\n")
    assert f"(at {folder}/unread.py:2)" in refused('[lines]\n"phone:*" = "unread:greet"')


def test_a_workflow_that_reads_the_clock_is_refused_with_line_and_remedy(folder: Path) -> None:
    (folder / "clock.py").write_text(
        "import time\nfrom workflows import Talk, workflow\n\n@workflow\nasync def greet(talk: Talk) -> None:\n    talk.say(str(time.time()))\n"
    )
    told = refused('[lines]\n"phone:*" = "clock:greet"')
    assert '[lines] "phone:*": workflow' in told
    assert "clock.py" in told
    assert "talk.now" in told


def test_a_file_that_is_not_there_is_refused_only_if_it_was_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"There is no file .*other\.toml: correct --config"):
        load(tmp_path / "other.toml")


def test_a_file_that_is_no_toml_is_named_with_the_place() -> None:
    assert "switchboard.toml is no TOML" in refused("[lines\n")
    assert "line 1" in refused("[lines\n")
    Path("switchboard.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"switchboard\.toml is no TOML"):
        load()


# -- secrets ------------------------------------------------------------------------------------------------------------------------------


def test_secrets_are_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "hemlis" * 3)
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", "AC1")
    monkeypatch.setenv("REDIS_URL", "redis://:hemlis@cache:6379/0")
    found = settings("lines = {}")
    assert found.store.url == "redis://:hemlis@cache:6379/0"
    for shown in (repr(found), str(found), repr(found.store), f"{found.twilio_auth_token}"):
        assert "hemlis" not in shown


@pytest.mark.parametrize(
    "url", ["redis://:hemlis@x:port", "http://:hemlis@x", "redis://:hemlis@x/0?a=b", "redis+cluster://:hemlis@x/1", "hemlis"]
)
def test_a_password_in_a_wrong_url_is_not_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    with pytest.raises(SettingsError) as caught:
        load()
    assert "hemlis" not in "".join(traceback.format_exception(caught.value))


def test_a_password_is_not_told_either_when_settings_are_made_in_code() -> None:
    with pytest.raises(ValueError, match="must begin with redis://") as caught:
        Settings.model_validate({"lines": {}, "store": {"url": "http://:hemlis@x"}})
    assert "hemlis" not in str(caught.value)


def test_settings_cannot_be_changed() -> None:
    found = settings("lines = {}")
    with pytest.raises(ValueError, match="frozen"):
        found.server.port = 1
