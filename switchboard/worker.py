"""One of several workers: what `workers` runs as a process of its own, as ``python -m switchboard.worker``.

Its standard input is a socket to its supervisor: the settings come in by it, and its end means that the supervisor is gone.
"""

import logging
import pickle
import socket
import sys
import threading

from handlers.errors import HandlerError
from switchboard import logs, server
from switchboard.errors import SwitchboardError
from switchboard.supervised import end, take_stdin, tell
from switchboard.workdir import join_path
from workflows.errors import WorkflowError


def main() -> None:
    """Serve as the supervisor's settings tell, until SIGTERM or the supervisor's end."""
    supervisor = take_stdin()
    logs.configure(logging.INFO)
    try:
        join_path()
        settings = pickle.load(supervisor.makefile("rb"))  # noqa: S301  # it comes from our own parent
        threading.Thread(target=_follow, args=(supervisor,), daemon=True).start()
        server.run(settings, lambda url: tell(supervisor, url=url), one_of_several=True)
    except (SwitchboardError, HandlerError, WorkflowError) as error:
        tell(supervisor, error=str(error))
        sys.exit(2)


def _follow(supervisor: socket.socket) -> None:
    """Wait in a thread, which a loop that is stuck does not stop, for the supervisor's end, and follow it."""
    supervisor.recv(1)
    end()


if __name__ == "__main__":
    main()
