"""Which stores a server starts on, and what it says of the others: the command, as it is run, and `doctor`."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from support.cluster import Cluster, cluster, wait_for
from support.ports import free_ports
from support.server import SWITCHBOARD
from support.valkey import Valkey

from handlers.errors import FormatError, HandlerError, StoreError
from switchboard.doctor import examine
from switchboard.histories import stored_histories
from switchboard.settings import ENVIRONMENT, load
from switchboard.store import opened_store


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory, and an environment that sets nothing."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "switchboard.toml").write_text("[lines]\n")
    return tmp_path


@pytest.fixture(scope="module")
def single() -> Iterator[tuple[int, redis.Redis]]:
    """A server at a port, with a password."""
    port = free_ports(1)[0]
    server = Valkey("--bind", "127.0.0.1", "--port", str(port), "--requirepass", "hemlis", "--maxmemory-policy", "noeviction")
    try:
        server.start()
        with redis.Redis(port=port, password="hemlis") as client:
            yield port, client
    finally:
        server.remove()


@pytest.fixture(scope="module")
def formed() -> Iterator[Cluster]:
    with cluster(replicas=0, node_timeout=5_000) as formed:
        yield formed


async def start(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    async with opened_store(load()):
        pass


async def found(capsys: pytest.CaptureFixture[str], *, well: bool) -> list[dict[str, Any]]:
    assert await examine(None, None, as_json=True) == well
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("url", "change", "kind", "remedy"),
    [
        ("redis://:hemlis@127.0.0.1:{}", "CONFIG SET maxmemory-policy allkeys-lru", StoreError, "set its maxmemory-policy to noeviction"),
        ("redis://:hemlis@127.0.0.1:{}", "REPLICAOF 127.0.0.1 1", StoreError, "it is a read-only replica: name the primary in REDIS_URL"),
        ("redis://:mistaken@127.0.0.1:{}", "", StoreError, "correct the user or the password in REDIS_URL"),
        ("redis://127.0.0.1:{}", "", StoreError, "put its password into REDIS_URL"),
        ("redis+cluster://:hemlis@127.0.0.1:{}", "", StoreError, "it is no cluster: let REDIS_URL begin with redis://"),
        ("redis://:hemlis@127.0.0.1:{}", "HSET sb:meta format 2 partitions 256", FormatError, "name another database in REDIS_URL, or run"),
        ("redis://:hemlis@127.0.0.1:{}", "HSET sb:meta format 1 partitions 64", FormatError, "name another database in REDIS_URL, or run"),
    ],
)
async def test_a_store_that_is_not_fit_is_refused_with_the_remedy_and_without_the_password(
    single: tuple[int, redis.Redis], monkeypatch: pytest.MonkeyPatch, *, url: str, change: str, kind: type[HandlerError], remedy: str
) -> None:
    port, client = single
    client.flushall()
    if change:
        client.execute_command(*change.split())
    try:
        with pytest.raises(kind) as error:
            await start(url.format(port), monkeypatch)
    finally:
        client.config_set("maxmemory-policy", "noeviction")
        client.execute_command("REPLICAOF", "NO", "ONE")
    assert remedy in str(error.value)
    assert "hemlis" not in str(error.value)
    assert "mistaken" not in str(error.value)


async def test_a_node_of_a_cluster_as_a_single_server_is_refused_whichever_it_is(formed: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for node in formed.nodes:
        with pytest.raises(StoreError, match=r"it is one node of a cluster: let REDIS_URL begin with redis\+cluster://"):
            await start(f"redis://127.0.0.1:{node.port}", monkeypatch)
    await start(formed.url, monkeypatch)


def test_the_command_says_it_in_one_sentence_and_ends(single: tuple[int, redis.Redis], folder: Path) -> None:
    environment = {**os.environ, "REDIS_URL": f"redis+cluster://:hemlis@127.0.0.1:{single[0]}"}
    done = subprocess.run([SWITCHBOARD, "serve", "--port", "0"], env=environment, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 2
    told = " ".join((done.stdout + done.stderr).split())
    assert "it is no cluster: let REDIS_URL begin with redis:// (with TLS, rediss://)." in told
    assert "Traceback" not in told
    assert "hemlis" not in told


async def test_a_server_that_waits_for_replicas_is_ready_only_when_they_are_there_and_the_doctor_says_so(
    single: tuple[int, redis.Redis], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port, client = single
    client.flushall()
    (folder / "switchboard.toml").write_text("[lines]\n[store]\nreplicas = 1\nreplicas_timeout = 1\n")
    monkeypatch.setenv("REDIS_URL", f"redis://:hemlis@127.0.0.1:{port}")
    async with opened_store(load()) as history:
        with pytest.raises(StoreError, match=r"only 0 of 1 replicas .*: see to its replicas, or lower \[store\] replicas"):
            await history.load("readiness")  # what /readyz asks
        async with stored_histories(load()) as looked_at:
            assert await looked_at.load("readiness") == ()
        replicas = next(each for each in await found(capsys, well=False) if each["check"] == "replicas")
        assert (replicas["status"], replicas["remedy"]) == ("bad", "start them, or lower [store] replicas")

        follower = Valkey("--replicaof", f"127.0.0.1 {port}", "--masterauth", "hemlis")
        try:
            follower.start()
            wait_for(lambda: bool(client.set("any", "") and client.wait(1, 1_000) == 1), "the replica does not follow")
            assert await history.load("readiness") == ()
            replicas = next(each for each in await found(capsys, well=True) if each["check"] == "replicas")
            assert (replicas["status"], replicas["text"]) == ("ok", "1 follow, and every answer waits for 1")
        finally:
            follower.remove()


async def test_the_doctor_looks_at_every_node_of_a_cluster(
    formed: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", formed.url)
    findings = await found(capsys, well=True)
    for check in ("store", "eviction", "durability", "clock"):
        texts = [each["text"] for each in findings if each["check"] == check]
        assert len(texts) == 3
        assert all(any(f"127.0.0.1:{node.port}" in text for text in texts) for node in formed.nodes)
