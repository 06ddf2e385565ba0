"""TLS and rights, as docs/store.md tells: a real server with TLS, and users who may do no more than is said there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import structlog
from support import tls
from support.cluster import Cluster, cluster
from support.ports import free_ports
from support.store_calls import element, everything, opened
from support.tls import Tls
from support.valkey import Valkey

from handlers.errors import StoreError
from handlers.history import Append
from handlers.redis_history import RedisHistory
from handlers.redis_wire import Replication

needs_tls = pytest.mark.skipif(tls.server_with_tls() is None, reason=tls.NONE)

PAGE = (Path(__file__).parents[2] / "docs" / "store.md").read_text("utf-8")
LEAST = re.findall(r"^user switchboard on (.*)$", PAGE, re.MULTILINE)[0].split()
FOR_A_CLUSTER, FOR_WAIT, FOR_A_LOOK, _ = [row.replace("\\", "").split() for row in re.findall(r"^\| `(\+.*?)` \|", PAGE, re.MULTILINE)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return tls.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure(files: Tls) -> Iterator[int]:
    """The port of a server that speaks TLS and wants a password."""
    port = free_ports(1)[0]
    server = Valkey(
        "--tls-port", str(port), "--bind", "127.0.0.1", "--maxmemory-policy", "noeviction", "--requirepass", "s3cret", *files.options(), binary=files.binary
    )  # fmt: skip
    try:
        server.start()
        yield port
    finally:
        server.remove()


@pytest.fixture
def trusting(files: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(files.authority))


@needs_tls
@pytest.mark.usefixtures("trusting")
async def test_every_call_works_by_tls_with_a_password(secure: int) -> None:
    history = RedisHistory(f"rediss://:s3cret@127.0.0.1:{secure}", "a.1")
    await history.open()
    await everything(history)
    await history.close()
    with pytest.raises(StoreError, match=r"WRONGPASS.*correct the user or the password in REDIS_URL"):
        await opened(f"rediss://:mistaken@127.0.0.1:{secure}")


@needs_tls
async def test_a_certificate_that_nobody_vouches_for_is_told_with_the_remedy(secure: int) -> None:
    with pytest.raises(StoreError, match=r"it cannot be trusted \(.*\): name the certificate of its authority in SSL_CERT_FILE"):
        await opened(f"rediss://:s3cret@127.0.0.1:{secure}")


@needs_tls
@pytest.mark.usefixtures("trusting")
async def test_a_certificate_for_another_name_is_refused(secure: int) -> None:
    with pytest.raises(StoreError, match=r"it cannot be trusted \(.*'localhost'.*\)"):
        await opened(f"rediss://:s3cret@localhost:{secure}")


@needs_tls
async def test_an_address_without_tls_to_a_server_that_wants_it_is_told(secure: int) -> None:
    with pytest.raises(StoreError, match=r"the connection was lost .*rediss://"):
        await opened(f"redis://:s3cret@127.0.0.1:{secure}")


@needs_tls
@pytest.mark.usefixtures("trusting")
async def test_a_server_that_wants_a_certificate_of_ours_is_told(files: Tls) -> None:
    port = free_ports(1)[0]
    server = Valkey("--tls-port", str(port), "--bind", "127.0.0.1", *files.options(clients="yes"), binary=files.binary)
    try:
        server.start()
        with pytest.raises(StoreError, match=r"set its tls-auth-clients to no"):
            await opened(f"rediss://127.0.0.1:{port}")
    finally:
        server.remove()


@needs_tls
@pytest.mark.usefixtures("trusting")
async def test_every_call_works_by_tls_in_a_cluster_with_the_least_rights(files: Tls) -> None:
    """And on a Redis: all the others run on Valkey."""
    with cluster(*files.options(), tls=True, node_timeout=2_000, binary=files.binary) as formed:
        grant(formed, LEAST + FOR_A_CLUSTER + FOR_WAIT)
        history = RedisHistory(
            formed.url.replace("redis+cluster://", "rediss+cluster://switchboard:change-this@"), "a.1", Replication(1, 1_500)
        )
        await history.open()
        for i in range(8):
            await everything(history, f"web:{i}")
        await history.close()


def grant(formed: Cluster, rights: list[str]) -> None:
    for node in formed.nodes:
        node.client.execute_command("ACL SETUSER", "switchboard", "reset", "on", *rights)


# Rights


@pytest.fixture(scope="module")
def guarded() -> Iterator[Valkey]:
    server = Valkey("--maxmemory-policy", "noeviction")
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def client(guarded: Valkey) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(guarded.path)) as client:
        yield client


def let_in(guarded: Valkey, client: redis.Redis, *rights: str) -> str:
    """Let a user in who may do just that, to an empty store; gives his address."""
    client.flushall()
    client.execute_command("ACL SETUSER", "switchboard", "reset", "on", *rights)
    return guarded.url.replace("unix://", "unix://switchboard:change-this@")


async def live(url: str, client: redis.Redis) -> None:
    """All that two servers do, a store that loses the scripts included."""
    first, second = RedisHistory(url, "a.1"), RedisHistory(url, "b.1")
    try:
        await first.open()
        client.script_flush()
        await everything(first)
        event = element()
        await first.append(Append("web:1", 0, b"", (event,), release=False))
        assert not (await second.append(Append("web:1", 1, event[1:9], (element(),)))).mine
    finally:
        await first.close()
        await second.close()


async def test_the_least_rights_are_enough_and_what_is_hidden_is_told(guarded: Valkey, client: redis.Redis) -> None:
    for rights, told in ((LEAST, 1), (LEAST + FOR_A_LOOK, 0)):
        with structlog.testing.capture_logs() as logs:
            await live(let_in(guarded, client, *rights), client)
        assert ["maxmemory-policy" in log["event"] for log in logs][:1] == [True] * told


async def test_none_of_the_least_rights_can_be_spared(guarded: Valkey, client: redis.Redis) -> None:
    spared: list[str] = []
    told: dict[str, str] = {}
    for right in LEAST:
        if right.startswith("+"):
            try:
                await live(let_in(guarded, client, *[each for each in LEAST if each != right]), client)
            except StoreError as error:
                told[right] = str(error)
            else:
                spared.append(right)
    assert spared == []
    assert [right for right, why in told.items() if not re.search("NOPERM|ACL failure", why)] == []
