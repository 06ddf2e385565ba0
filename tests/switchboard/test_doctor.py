"""The doctor, on real stores, files and settings."""

import json
from pathlib import Path
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs
from support.shop import record

from handlers.history import Append, partition_of
from handlers.journal import TAKE_OVERS
from handlers.redis_history import RedisHistory
from switchboard.doctor import examine
from switchboard.secrets import development
from switchboard.settings import ENVIRONMENT
from workflows.registry import Registry


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory, and an environment that sets nothing."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "a folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "switchboard.toml").write_text("[lines]\n")
    return folder


@pytest.fixture
def outside(valkey: redis.Redis, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> redis.Redis:
    """A store that is named by REDIS_URL."""
    monkeypatch.setenv("REDIS_URL", valkey_url)
    return valkey


def contents(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def found(capsys: pytest.CaptureFixture[str], *, well: bool = True, data: Path | None = None) -> dict[str, Any]:
    """What the doctor finds, by check."""
    assert await examine(None, data, as_json=True) == well
    findings = {each["check"]: each for each in json.loads(capsys.readouterr().out)}
    assert well == all(each["status"] != "bad" for each in findings.values())
    return findings


async def test_a_healthy_place_has_nothing_bad_and_is_left_as_it_is(
    outside: redis.Redis, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = await found(capsys)
    assert list(findings) == [
        "platform",
        "settings",
        "line",
        "credentials",
        "data directory",
        "store",
        "eviction",
        "durability",
        "clock",
        "sessions",
    ]
    assert contents(folder) == ["switchboard.toml"]


async def test_the_embedded_store_is_started_and_left(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (await found(capsys))["durability"]["text"].endswith("(appendfsync everysec)")
    (folder / "switchboard.toml").write_text('lines = {}\n[store]\nfsync = "always"')
    assert (await found(capsys))["durability"]["text"].endswith("(appendfsync always)")


async def test_wrong_settings_are_bad_and_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "switchboard.toml").write_text("lines = {}\n[server]\nprot = 1")
    assert "[server] prot: there is no such setting (did you mean port?)" in (await found(capsys, well=False))["settings"]["text"]


async def test_a_place_where_nothing_is_answered_is_told(outside: redis.Redis, capsys: pytest.CaptureFixture[str]) -> None:
    assert (await found(capsys))["line"]["status"] == "warn"


async def test_a_store_that_is_not_there_is_bad_and_its_password_not_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:hemlis@127.0.0.1:1/0")
    store = (await found(capsys, well=False))["store"]
    assert store["text"].startswith("The store at redis://127.0.0.1:1: no connection")
    assert "hemlis" not in str(store)


async def test_a_store_without_a_log_is_told(outside: redis.Redis, capsys: pytest.CaptureFixture[str]) -> None:
    durability = (await found(capsys))["durability"]
    assert (durability["status"], durability["remedy"]) == ("warn", "set appendonly to yes")


async def test_a_store_that_drops_keys_is_bad(outside: redis.Redis, capsys: pytest.CaptureFixture[str]) -> None:
    outside.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert "maxmemory-policy" in (await found(capsys, well=False))["store"]["text"]
    finally:
        outside.config_set("maxmemory-policy", "noeviction")


async def test_a_store_that_hides_its_settings_is_told(
    outside: redis.Redis, valkey_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.acl_setuser("managed", enabled=True, passwords=["+hemlis"], keys=["*"], commands=["+@all", "-config"])
    try:
        monkeypatch.setenv("REDIS_URL", valkey_url.replace("unix://", "unix://managed:hemlis@"))
        with capture_logs():
            findings = await found(capsys)
    finally:
        outside.acl_deluser("managed")
    assert (findings["eviction"]["status"], findings["durability"]["status"]) == ("warn", "warn")
    assert "hemlis" not in str(findings)


async def test_a_store_of_another_format_is_bad(outside: redis.Redis, capsys: pytest.CaptureFixture[str]) -> None:
    outside.hset("sb:meta", mapping={"format": 2, "partitions": 256})
    assert "format" in (await found(capsys, well=False))["store"]["text"]


async def test_secrets_that_others_can_read_are_bad(outside: redis.Redis, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    development(folder / ".switchboard")
    assert (await found(capsys))["credentials"]["status"] == "ok"
    (folder / ".switchboard" / "secrets.toml").chmod(0o644)
    assert (await found(capsys, well=False))["credentials"]["remedy"].startswith("chmod 600 ")


async def test_damaged_secrets_are_bad(outside: redis.Redis, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / ".switchboard").mkdir(mode=0o700)
    (folder / ".switchboard" / "secrets.toml").touch(mode=0o600)
    assert "are damaged" in (await found(capsys, well=False))["credentials"]["text"]


async def test_credentials_without_a_public_url_are_told(
    outside: redis.Redis, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", "AC1")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "hemlis")
    findings = await found(capsys)
    assert findings["public URL"]["status"] == "warn"
    assert "hemlis" not in str(findings)
    monkeypatch.setenv("PUBLIC_URL", "https://calls.example.com")
    assert "public URL" not in await found(capsys)


async def test_a_data_path_that_is_a_file_is_bad(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "file").touch()
    findings = await found(capsys, well=False, data=Path("file"))
    assert (findings["data directory"]["status"], findings["store"]["status"]) == ("bad", "bad")


async def test_a_data_directory_that_others_can_look_into_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / ".switchboard").mkdir(mode=0o755)
    assert (await found(capsys))["data directory"]["status"] == "warn"


async def test_a_folder_that_our_package_hides_is_named(outside: redis.Redis, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "handlers").mkdir()
    assert "working directory" not in await found(capsys), "a folder without code hides nothing"
    (folder / "handlers" / "mine.py").touch()
    (folder / "workflows.py").touch()
    assert await examine(None, None, as_json=False)
    told = capsys.readouterr().out
    assert f"warn working directory: {folder / 'handlers'} is hidden by Switchboard's own package of that name" in told
    assert f"{folder / 'workflows.py'} is hidden" in told


# -- sessions -----------------------------------------------------------------------------------------------------------------------------


async def opened(url: str, *sessions: str, **changes: Any) -> None:
    """Store an opening of each session."""
    history = RedisHistory(url, "test.1")
    await history.open()
    for session in sessions:
        element = record(Registry(), session, workflow="santa")[0]
        reply = await history.append(Append(session, 0, b"", (element,), **changes))
        assert reply.status == "ok"
    await history.close()


def key(session: str, kind: str) -> str:
    return f"sb:{{{partition_of(session)}}}:{kind}"


async def test_sessions_are_counted_and_sound_ones_are_nothing_to_tell(
    outside: redis.Redis, valkey_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await opened(valkey_url, "phone:1", "phone:2", keep_until=9_999_999_999_999)
    findings = await found(capsys)
    assert findings["sessions"]["text"] == "2 stored"
    assert [name for name, each in findings.items() if each["status"] == "warn"] == ["line", "durability"]


async def test_faults_are_told_with_the_remedy_and_mended_on_request(
    outside: redis.Redis, valkey_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await opened(valkey_url, *(f"phone:{number}" for number in range(5)))
    outside.zadd(key("phone:gone", "due"), {"phone:gone 7/1": 9_999_999_999_999})
    outside.hset(key("phone:gone", "owner"), "phone:gone", "z.1 0")
    before = {name: outside.dump(name) for name in outside.scan_iter("sb:*")}
    findings = await found(capsys)
    kept = findings["kept for ever"]
    assert kept["text"].startswith("5 sessions (phone:")
    assert kept["text"].endswith(", …) with nothing outstanding but no expiry")
    assert kept["remedy"] == "switchboard doctor --repair mends it"
    assert findings["stray alarms"]["text"] == "1 session (phone:gone) without a history but with alarms in the index"
    assert "stray leases" in findings
    assert {name: outside.dump(name) for name in outside.scan_iter("sb:*")} == before

    assert await examine(None, None, repair=True, as_json=False)
    told = capsys.readouterr().out
    assert "warn kept for ever: 5 sessions" in told
    assert "ok   kept for ever: 5 of 5 mended: the next server that sweeps has them expire\n" in told
    assert "ok   stray alarms: 1 of 1 mended: the entries are dropped\n" in told
    assert not outside.exists(key("phone:gone", "due"))
    assert not outside.hexists(key("phone:gone", "owner"), "phone:gone")
    assert outside.zscore(key("phone:1", "pending"), "phone:1") is not None

    again = await found(capsys)
    assert not {"kept for ever", "stray alarms", "stray leases"} & set(again)


async def test_sessions_that_are_left_alone_are_told_with_the_way_out(
    outside: redis.Redis, valkey_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await opened(valkey_url, "phone:it's", release=False)
    outside.hset(key("phone:it's", "owner"), "phone:it's", f"z.1 {TAKE_OVERS + 1}")
    alone = (await found(capsys))["left alone"]
    assert (alone["status"], alone["remedy"]) == ("warn", """mend that, then: switchboard sessions resume 'phone:it'"'"'s'""")
    assert alone["text"].startswith("1 session (phone:it's) taken over more than 5 times")
    await examine(None, None, repair=True, as_json=True)
    assert outside.hget(key("phone:it's", "owner"), "phone:it's") == b"z.1 6"


async def test_work_without_a_server_and_histories_without_their_code_are_told(
    outside: redis.Redis, valkey_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await opened(valkey_url, "phone:1", release=False)
    outside.zadd(key("phone:1", "pending"), {"phone:1": 1_000})
    await opened(valkey_url, "phone:2")
    outside.rpush(key("phone:2", "h:phone:2"), b"\x02 damaged")
    findings = await found(capsys)
    assert findings["overdue"]["text"].startswith("1 session (phone:1) with work or an alarm that no server has seen to for ")
    assert findings["broken"]["text"] == "1 session (phone:2) with something outstanding that the code here cannot carry on"
    assert findings["broken"]["remedy"] == "see why: switchboard replay phone:2"


async def test_a_store_that_forgot_its_format_says_it_again(
    outside: redis.Redis, valkey_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await opened(valkey_url, "phone:1")
    assert "format" not in await found(capsys)
    outside.hdel("sb:meta", "partitions")
    assert (await found(capsys))["format"]["status"] == "warn"
    assert outside.hgetall("sb:meta") == {b"format": b"1", b"partitions": b"256"}
    assert "format" not in await found(capsys)
