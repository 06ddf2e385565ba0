"""What the servers have in common that another process of ours has started: their standard input is a socket to it.

A line of JSON is one message. The socket's end means that the supervisor is gone, and that nobody is left to end the server but itself.
"""

import contextlib
import json
import os
import signal
import socket
import time
from typing import Any, Final

_GRACE: Final = 15.0
"""Seconds that a server without a supervisor may take to end."""


def take_stdin() -> socket.socket:
    """Have the socket for us alone: a workflow's effects and its child processes find nothing to read."""
    supervisor = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return supervisor


def tell(supervisor: socket.socket, **words: Any) -> None:
    """Say something to the supervisor; if it is gone, in vain."""
    with contextlib.suppress(OSError):
        supervisor.sendall(json.dumps(words).encode() + b"\n")


def end() -> None:
    """End, as the supervisor has: in order, or else after a while at once. For a thread, which a loop that is stuck does not stop."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)
