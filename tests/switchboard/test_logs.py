"""What is logged: for people at a terminal, JSON elsewhere, with session and turn, and without anything that nobody may see."""

import contextlib
import io
import json
import logging
import signal

import pytest
import structlog
from pydantic import SecretStr
from support.crashing import eventually
from support.server import ServerProcess
from support.valkey import Valkey
from support.web_house import WebClient

from handlers.tracebacks import without_values
from switchboard import logs
from switchboard.hidden import Hidden, secrets_of
from switchboard.settings import Settings, StoreSettings

pytestmark = pytest.mark.timeout(300)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@contextlib.contextmanager
def logging_to(stream, level=logging.INFO):
    """Logging as a server has it, and afterwards as it was."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, was = list(root.handlers), root.level
    try:
        logs.configure(level, stream)
        yield stream
    finally:
        root.handlers, logs._hidden = handlers, Hidden()
        root.setLevel(was)
        structlog.configure(**before)


@pytest.fixture
def written():
    with logging_to(io.StringIO()) as stream:
        yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_time_level_words_session_turn_and_logger_in_this_order(written):
    logging.getLogger("a.module").warning("met %d of %s", 3, "them", extra={"turn": 7, "session": "phone:CA1", "else": "x"})
    [line] = written()
    assert list(line)[:5] == ["at", "level", "event", "session", "turn"]
    assert line.pop("at").endswith("Z")
    assert line == {"level": "warning", "event": "met 3 of them", "session": "phone:CA1", "turn": 7, "logger": "a.module", "else": "x"}


def test_structlogs_own_lines_look_the_same(written):
    structlog.get_logger("a.module").warning("met some", why="\u00fcberall")
    [line] = written()
    assert (line["level"], line["event"], line["why"], line["logger"]) == ("warning", "met some", "\u00fcberall", "a.module")


def fail(words):
    """Log an exception that says this."""
    try:
        int(words)
    except ValueError:
        logging.getLogger("a").exception("failed")


def test_a_traceback_is_one_line_with_its_error(written):
    fail("so it goes")
    [line] = written()
    assert line["exception"].endswith("'so it goes'")


def test_at_a_terminal_it_is_for_people():
    with logging_to(Terminal()) as stream:
        logging.getLogger("a.module").warning("met %s", "them", extra={"session": "phone:CA1"})
    assert "met them" in stream.getvalue()
    assert "phone:CA1" in stream.getvalue()
    assert "{" not in stream.getvalue()


def test_what_is_bound_to_the_context_is_on_its_lines_and_what_a_line_says_itself_wins(written):
    with structlog.contextvars.bound_contextvars(session="outer", turn=1):
        logging.getLogger("an.author").info("inside")
        logging.getLogger("a").info("of another", extra={"session": "other", "turn": 2})
    assert [(line["session"], line["turn"]) for line in written()] == [("outer", 1), ("other", 2)]


def test_below_the_level_nothing_is_rendered(written):
    class Never:
        def __str__(self):
            raise AssertionError("nobody asked")

    logging.getLogger(logs.TURNS).info("%s", Never())
    logging.getLogger("a").debug("%s", Never())
    assert written() == []


def test_logging_may_be_configured_twice(written):
    logs.configure(logging.INFO, io.StringIO())
    logging.getLogger("a").warning("once")
    assert written() == []


SECRETS = Settings(
    auth_token=SecretStr('twilio\'s "own" tok\u00e9n\\'),
    openai_api_key=SecretStr("sk-1234567890"),
    openai_base_url="https://me:pass%40word@models.example.org/v1",
    metrics_token=SecretStr("abc"),
    store=StoreSettings(url="rediss://user:store-password@example.org:6379/0"),
    slack_bot_token=SecretStr("xoxb-1"),
    slack_signing_secret=SecretStr("slack-signing"),
)


@pytest.mark.parametrize("terminal", [False, True])
def test_no_value_of_a_setting_that_is_a_secret_is_shown_however_it_is_written(terminal):
    secrets = list(secrets_of(SECRETS))
    assert {"sk-1234567890", "pass@word", "pass%40word", "store-password", "xoxb-1"} < set(secrets)
    with logging_to(Terminal() if terminal else io.StringIO()) as stream:
        logs.hide(secrets)
        for secret in secrets:
            if len(secret) > 3:
                logging.getLogger("a").warning("got %s, and %r", secret, secret, extra={"session": secret, "more": [secret]})
                structlog.get_logger().warning("got it", value={"deep": secret})
                fail(secret)
        text = stream.getvalue()
    assert "(hidden)" in text
    for secret in secrets:
        if len(secret) > 3:
            assert secret not in text
            assert json.dumps(secret)[1:-1] not in text
    assert "own" not in text, "nor a part of one that had to be escaped"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abcdefgh.ijkl-mn", "Authorization: Bearer (hidden)"),
        ('{"authorization": "Basic dXNlcjpwYXNz", "x": 1}', '{"authorization": "Basic (hidden)", "x": 1}'),
        ("('Authorization', 'abc123')", "('Authorization', '(hidden)')"),
        ("sent bearer eyJhbGciOi.J9", "sent bearer (hidden)"),
        ("the bearer of news", "the bearer of news"),
        ("from +12025550199 to '+358401234567'", "from +…0199 to '+…4567'"),
        ("From=%2B12025550199&To=x", "From=%2B…0199&To=x"),
        ("1+2000 = 2001, 3 + 12345678", "1+2000 = 2001, 3 + 12345678"),
        ("web:abcdefGHIJ_-0123456789abcdefghij failed", "web:abcdef… failed"),
        ("GET /web/sessions/abcdefGHIJ_-0123456789abcdefghij/events", "GET /web/sessions/abcdef…/events"),
        ("web:*, web:shop", "web:*, web:shop"),
        ("phone:CA0123456789abcdef0123456789abcdef", "phone:CA0123456789abcdef0123456789abcdef"),
    ],
)
def test_what_no_line_shows(text, shown):
    assert Hidden().hide(text) == shown


def test_at_a_terminal_colours_do_not_show_it():
    id_ = "abcdefGHIJ_-0123456789abcdefghij"
    with logging_to(Terminal()) as stream:
        more = {"session": f"web:{id_}", "authorization": "open sesame", "header": "Bearer abcdefgh.ijkl-mn", "url": f"/web/sessions/{id_}"}
        logging.getLogger("a").warning("web:%s failed", id_, extra=more)
    text = stream.getvalue()
    assert "\x1b[" in text
    assert text.count("abcdef…") == 3
    for secret in (id_[6:], "open", "ijkl"):
        assert secret not in text


def test_secrets_that_are_too_short_hide_no_words():
    hidden = Hidden()
    hidden.add(["a", "the"])
    assert hidden.hide("the cat sat on a mat") == "the cat sat on a mat"


def test_a_bugs_traceback_keeps_its_lines_and_shows_no_digit_of_what_it_says():
    pin = "4711"
    try:
        try:
            int(f"{pin} x")
        except ValueError as error:
            raise RuntimeError(f"no PIN {pin}\n  but {pin}") from error
    except RuntimeError as error:
        import traceback

        text = "".join(traceback.format_exception(error))
    assert pin in text
    shown = without_values(text)
    assert pin not in shown
    assert "RuntimeError: no PIN ####" in shown
    assert [line for line in shown.splitlines() if line.startswith("  File ")] == [line for line in text.splitlines() if "  File " in line]


BANK = """
import logging

from workflows import Digits, Talk, Words, effect, workflow

log = logging.getLogger("bank")


@effect
async def look_up(name: str) -> str:
    log.warning("looking up %s at +12025550199", name)
    return name.upper()


@workflow
async def bank(talk: Talk) -> None:
    talk.say(await talk.call(look_up, await talk.ask("Who is it?", Words())))
    pin = await talk.ask("Your PIN?", Digits(4, secret=True))
    raise RuntimeError(f"{pin} is no PIN")
"""


async def test_a_server_writes_json_with_session_and_turn_and_without_secrets(tmp_path):
    store = Valkey("--maxmemory-policy", "noeviction")
    store.start()
    server = ServerProcess(
        tmp_path / "house", '[lines]\n"web:*" = "bank:bank"\n[sessions]\nidle = "0.2s"\n[logs]\nturns = true\n', REDIS_URL=store.url
    )
    (server.folder / "bank.py").write_text(BANK)
    try:
        import aiohttp

        server.start()
        async with aiohttp.ClientSession() as http:
            web = WebClient(server.url, http)
            id_ = (await web.create()).json["id"]
            await web.say(id_, "ada")
            await web.say(id_, "4711")
            await eventually(lambda: _live(http, server.url))
            await web.say(id_, "hello?")  # the session is loaded again, and found to have failed
            store.freeze()
            assert (await web.say(id_, "anybody?")).status == 503
            store.thaw()
        server.end(signal.SIGTERM)
        text = server.output()
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        session = f"web:{id_[:6]}…"
        turns = [line for line in lines if line["logger"] == "switchboard.turns"]
        assert [(line["session"], line["turn"], line["state"]) for line in turns[:3]] == [
            (session, 0, "answered"),
            (session, 1, "answered"),
            (session, 3, "failed"),
        ]
        [author] = [line for line in lines if line["logger"] == "bank"]
        assert (author["session"], author["turn"], author["event"]) == (session, 1, "looking up ada at +…0199")
        failed = [line for line in lines if "has failed" in line["event"]]
        assert {(line["session"], line["turn"]) for line in failed} == {(session, 3)}
        assert "RuntimeError: #### is no PIN" in failed[0]["event"]
        [refused] = [line for line in lines if line["logger"] == "telephony.web"]
        assert refused["session"] == session
        assert id_ not in text
        assert "4711" not in text
        assert "12025550199" not in text
    finally:
        store.thaw()
        server.end()
        store.remove()


async def _live(http, url):
    async with http.get(f"{url}/healthz") as response:
        return (await response.json())["live"] == 0
