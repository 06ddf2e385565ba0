"""A real Valkey Cluster for tests: three primaries with a replica each, on free ports of the loopback, to be killed and started again."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis
from support.ports import free_ports
from support.valkey import Valkey

PRIMARIES = 3
SLOTS = 16_384
PATIENCE = 60.0


class Node(Valkey):
    """One server of a cluster."""

    def __init__(self, port: int, bus: int, *options: str, tls: bool = False, binary: Path | None = None) -> None:
        self.port, self.bus = port, bus
        listen = ("--tls-port", str(port), "--tls-cluster", "yes", "--tls-replication", "yes") if tls else ("--port", str(port))
        super().__init__(
            "--bind", "127.0.0.1", *listen, "--cluster-enabled", "yes", "--cluster-port", str(bus),
            "--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0", *options, binary=binary,
        )  # fmt: skip
        self.client = redis.Redis(unix_socket_path=str(self.path), socket_timeout=PATIENCE)
        self.id = b""

    @property
    def runs(self) -> bool:
        return self._process is not None

    @property
    def healthy(self) -> bool:
        """Whether it thinks that the whole cluster serves."""
        return bool(self.cluster("INFO")["cluster_state"] == "ok")

    @property
    def primary(self) -> bool:
        return bool(self.client.info("replication")["role"] == "master")

    def cluster(self, *command: object) -> Any:
        return self.client.execute_command(f"CLUSTER {command[0]}", *command[1:])

    def remove(self) -> None:
        self.client.close()
        super().remove()


class Cluster:
    """`node_timeout`: milliseconds until the others give up a node that is silent. `replicas`: how many each primary has."""

    def __init__(self, *options: str, node_timeout: int = 1_000, replicas: int = 1, tls: bool = False, binary: Path | None = None) -> None:
        ports = free_ports(2 * PRIMARIES * (1 + replicas))
        options = ("--cluster-node-timeout", str(node_timeout), "--cluster-replica-validity-factor", "0", *options)
        pairs = zip(ports[::2], ports[1::2], strict=True)
        self.nodes = [Node(port, bus, *options, tls=tls, binary=binary) for port, bus in pairs]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        for i, node in enumerate(self.nodes):
            node.id = node.cluster("MYID")
            node.cluster("SET-CONFIG-EPOCH", i + 1)
        for i, node in enumerate(self.nodes):
            for other in self.nodes[:i]:
                node.cluster("MEET", "127.0.0.1", other.port, other.bus)
        bounds = [SLOTS * i // PRIMARIES for i in range(PRIMARIES + 1)]
        for i in range(PRIMARIES):
            self.nodes[i].cluster("ADDSLOTSRANGE", bounds[i], bounds[i + 1] - 1)
        wait_for(lambda: all(self._knows_all(node) for node in self.nodes), "the nodes did not meet")
        for i, node in enumerate(self.nodes[PRIMARIES:]):
            node.cluster("REPLICATE", self.nodes[i % PRIMARIES].id)
        self.wait()

    def wait(self) -> None:
        """Wait until all that run serve, follow and know of each other."""

        def settled() -> bool:
            running = [node for node in self.nodes if node.runs]
            replicas = [node for node in running if not node.primary]
            return (
                all(node.healthy for node in running)
                and all(node.client.info("replication")["master_link_status"] == "up" for node in replicas)
                and all(len(known_to(node)) == len(running) for node in running)
            )

        wait_for(settled, "the cluster did not settle")

    def primaries(self) -> list[Node]:
        """The nodes that serve at present, in the order of their slots."""
        place = {node.id: node for node in self.nodes}
        alive = next(node for node in self.nodes if node.runs)
        return [place[server[2]] for _, _, server, *_ in sorted(alive.client.execute_command("CLUSTER SLOTS"))]

    def shares_of(self, primary: Node) -> list[tuple[int, int]]:
        """The first and the last slots of the ranges that a primary has."""
        return [(first, last) for first, last, server, *_ in primary.client.execute_command("CLUSTER SLOTS") if server[2] == primary.id]

    def primary_of(self, slot: int) -> Node:
        return next(node for node in self.primaries() if any(first <= slot <= last for first, last in self.shares_of(node)))

    def replica_of(self, primary: Node) -> Node:
        """A node that follows a primary."""
        followers = [
            node for node in self.nodes if node.runs and not node.primary and node.client.info("replication")["master_port"] == primary.port
        ]
        return followers[0]

    def wait_for_successor(self, replica: Node) -> float:
        """Wait until a replica has taken over and the cluster serves again, by asking the replica itself; gives that moment, monotonic."""
        wait_for(lambda: replica.primary and replica.healthy, "nobody took over")
        return time.monotonic()

    def remove(self) -> None:
        for node in self.nodes:
            node.remove()

    def _knows_all(self, node: Node) -> bool:
        known = node.cluster("NODES")
        return len(known) == len(self.nodes) and not any("handshake" in each["flags"] for each in known.values())


@contextlib.contextmanager
def cluster(*options: str, **more: Any) -> Iterator[Cluster]:
    """A cluster that serves. Another process may take a port between our look and the start: then others are tried."""
    for attempt in range(3):
        formed = Cluster(*options, **more)
        try:
            try:
                formed.start()
            except AssertionError as error:
                if attempt == 2 or "in use" not in str(error):
                    raise
                continue
            yield formed
        finally:
            formed.remove()
        return


def known_to(node: Node) -> set[bytes]:
    """The ids of all primaries and replicas that a node would send others to."""
    return {server[2] for _, _, *servers in node.client.execute_command("CLUSTER SLOTS") for server in servers}


def wait_for(condition: Callable[[], bool], complaint: str) -> None:
    late = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(redis.RedisError, KeyError):
            if condition():
                return
        assert time.monotonic() < late, complaint
        time.sleep(0.02)
