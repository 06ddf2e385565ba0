"""One of several workers: what `workers` runs as a process of its own, as ``python -m switchboard.worker``.

Its standard input is a socket to its supervisor: the settings come in by it, and its end means that the supervisor is gone.
"""

import contextlib
import json
import logging
import os
import pickle
import signal
import socket
import sys
import threading
import time
from typing import Final

from handlers.errors import HandlerError
from switchboard import logs, server
from switchboard.errors import SwitchboardError
from switchboard.workdir import join_path
from workflows.errors import WorkflowError

_GRACE: Final = 15.0
"""Seconds that a worker without a supervisor may take to end."""


def main() -> None:
    """Serve as the supervisor's settings tell, until SIGTERM or the supervisor's end."""
    supervisor = _take_stdin()
    logs.configure(logging.INFO)
    try:
        join_path()
        settings = pickle.load(supervisor.makefile("rb"))  # noqa: S301  # it comes from our own parent
        threading.Thread(target=_follow, args=(supervisor,), daemon=True).start()
        server.run(settings, lambda url: _tell(supervisor, url=url), one_of_several=True)
    except (SwitchboardError, HandlerError, WorkflowError) as error:
        _tell(supervisor, error=str(error))
        sys.exit(2)


def _take_stdin() -> socket.socket:
    """Have the socket for us alone: a workflow's effects and its child processes find nothing to read."""
    supervisor = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return supervisor


def _tell(supervisor: socket.socket, **words: str) -> None:
    with contextlib.suppress(OSError):  # it is gone: `_follow` sees to that
        supervisor.sendall(json.dumps(words).encode() + b"\n")


def _follow(supervisor: socket.socket) -> None:
    """Wait in a thread, which a loop that is stuck does not stop, for the supervisor's end, and follow it."""
    supervisor.recv(1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)


if __name__ == "__main__":
    main()
