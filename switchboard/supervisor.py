"""Keeps one Valkey for the servers that share a data directory, and ends it after the last of them.

A server runs this file by its path, as ``python -I -S supervisor.py <valkey-server>``, with the data directory
as working directory. It stays small because it imports little, and out of reach of Ctrl-C because it is in a
session of its own. Names are relative: so a long path meets no limit, and a moved directory is still the same.

Who lives is told by locks (flock), which the kernel drops with their owner, even after ``kill -9``. The locks of
the supervisor and of Valkey hold their owner's pid, for people.
"""

import os
import signal
import sys
import threading
import time
from contextlib import suppress

if sys.platform != "win32":  # Windows has no flock; there `embedded` stops before it needs one
    import fcntl

SOCKET = "valkey.sock"
LOG = "valkey.log"

USERS = "valkey-users.lock"
"""Shared by all servers; taken whole by a supervisor from the moment it ends Valkey."""

ALWAYS = "valkey-always.lock"
"""Shared by the servers that asked for an fsync at every write: a wish that ends with its owner."""

SUPERVISOR = "valkey-supervisor.lock"
"""Held by the one supervisor while it lives."""

VALKEY = "valkey.lock"
"""Held by Valkey itself, which inherits it, so that never two of them write to one append-only file."""

BUSY = 3
"""The exit code that says: another supervisor is here."""

_LOOKS = 50
_LOOK = 0.002
"""How often, and how many seconds apart, a taken supervisor's lock is tried. Servers that look whether
a supervisor lives hold it for a moment; that must not pass for a supervisor."""

_GRACE = 30
"""Seconds that Valkey may take to end. What it was told is with the kernel before it answers, so a kill loses none."""

_IGNORED = (signal.SIGINT, signal.SIGTERM) + ((signal.SIGHUP,) if sys.platform != "win32" else ())
"""A terminal's or an init's wish to end is for the servers; the supervisor follows when they are gone."""

_OPTIONS = (
    ("port", "0"),
    ("unixsocket", SOCKET),
    ("unixsocketperm", "700"),
    ("dir", "."),
    ("logfile", LOG),
    ("save", ""),
    ("appendonly", "yes"),
    ("aof-load-truncated", "yes"),
    ("maxmemory-policy", "noeviction"),
)


def open_lock(path: str | os.PathLike[str]) -> int:
    """Open a lock file, made if missing, for its owner only; return the descriptor."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def share(lock: int) -> bool:
    """Try to hold a lock together with others, without waiting; True when it is held."""
    return _flock(lock, fcntl.LOCK_SH)


def seize(lock: int) -> bool:
    """Try to hold a lock alone, without waiting; True when it is held. A share held before is lost either way."""
    return _flock(lock, fcntl.LOCK_EX)


def release(lock: int) -> None:
    """Give a lock back."""
    fcntl.flock(lock, fcntl.LOCK_UN)


def _flock(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_pid(lock: int) -> None:
    with suppress(OSError):  # a full disk; nothing but people reads it
        os.pwrite(lock, b"%10d\n" % os.getpid(), 0)


def _only_supervisor() -> int | None:
    """Take the supervisor's lock; None when another one has it."""
    lock = open_lock(SUPERVISOR)
    for _ in range(_LOOKS):
        if seize(lock):
            return lock
        time.sleep(_LOOK)
    return None


def _fsync() -> str:
    """Look whether a server here wants every write synced."""
    lock = open_lock(ALWAYS)
    wanted = not seize(lock)
    os.close(lock)
    return "always" if wanted else "everysec"


def _drop_zeros() -> None:
    """Cut zeros off the end of the history, where a power cut may leave them: ext4 can grow a file before its bytes are there.

    Valkey mends a command that is torn at the end, but refuses zeros. They are part of no whole command, which ends in a line feed.
    """
    with suppress(FileNotFoundError):
        for entry in os.scandir("appendonlydir"):
            if entry.name.endswith(".incr.aof"):
                with open(entry.path, "r+b") as file:  # noqa: PTH123  # pathlib is heavy
                    size = end = file.seek(0, os.SEEK_END)
                    while end:
                        start = max(0, end - 4096)
                        file.seek(start)
                        end = start + len(file.read(end - start).rstrip(b"\0"))
                        if end > start:
                            break
                    if end < size:
                        file.truncate(end)
                        os.write(2, f"{size - end} zeros cut off the end of {entry.path}\n".encode())


def _start(binary: str, lock: int) -> int:
    """Start Valkey as the heir of its lock; return its pid."""
    _drop_zeros()
    options = (*_OPTIONS, ("appendfsync", _fsync()))
    command = [binary, *(word for name, value in options for word in ("--" + name, value))]
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            _write_pid(lock)
            os.set_inheritable(lock, True)
            for number in _IGNORED:
                signal.signal(number, signal.SIG_DFL)
            os.execv(binary, command)  # noqa: S606  # no shell is wanted: every word is ours
        except OSError as error:
            os.write(2, f"{binary} cannot be run: {error.strerror}\n".encode())
        finally:
            os._exit(127)
    return pid


def _end_with_valkey(child: int | None) -> None:
    """Wait until no Valkey lives here, then end this process: servers that are left start anew."""
    lock = open_lock(VALKEY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    if child is not None:
        with suppress(ChildProcessError):  # where the server was started with SIGCHLD ignored
            os.waitpid(child, 0)
    os.close(lock)  # before the supervisor's own lock goes, so that a successor finds both free
    os._exit(0)


def _stop(child: int | None) -> None:
    """Have Valkey flush and end; the thread that waits for that ends this process."""
    if child is None:
        import socket  # noqa: PLC0415  # 0.6 MB that only the heir of a killed supervisor needs

        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(SOCKET)
            connection.sendall(b"SHUTDOWN\r\n")
            time.sleep(_GRACE)
    else:
        for number in (signal.SIGTERM, signal.SIGKILL):
            os.kill(child, number)
            time.sleep(_GRACE)


def main(binary: str) -> None:
    """Start a Valkey, or adopt the one that a killed supervisor left; end it when no server is left."""
    os.umask(0o077)
    own = _only_supervisor()
    if own is None:
        sys.exit(BUSY)
    if os.fork():
        os._exit(0)  # the server waits for this one only; the other is no child of its and leaves no zombie
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    _write_pid(own)
    lock = open_lock(VALKEY)
    child = _start(binary, lock) if seize(lock) else None
    os.close(lock)  # from here on, only Valkey holds it
    threading.Thread(target=_end_with_valkey, args=(child,), daemon=True).start()
    fcntl.flock(open_lock(USERS), fcntl.LOCK_EX)
    _stop(child)


if __name__ == "__main__":
    main(sys.argv[1])
