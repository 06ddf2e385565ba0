"""Ports of the loopback for servers that tests start, kill and start again."""

import contextlib
import random
import socket
from collections.abc import Sequence


def free_ports(count: int) -> Sequence[int]:
    """Ports that nobody uses, and that nobody is given who takes any: a server that was killed finds its own again.

    The kernel gives outgoing connections, and listeners at port 0, what is above them (net.ipv4.ip_local_port_range, from 32768 on).
    """
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            port = random.randrange(15_000, 32_000)
            with contextlib.suppress(OSError):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
                found.append(port)
    return found
