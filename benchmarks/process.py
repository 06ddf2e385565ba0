"""A measured process, from the outside."""

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


class Process:
    """A module of this folder, run as a process of its own. `hello` is what it told first: where it listens, or what it measured."""

    def __init__(self, module: str, *args: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.{module}", *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.name = module
        self.hello = self._hear()

    @property
    def address(self) -> str:
        """Where it listens, host:port."""
        return self.hello["address"]

    def ask(self, question: str) -> Any:
        """Ask its `Control`."""
        assert self._process.stdin is not None
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self._hear()

    def end(self) -> None:
        """Hang up, which ends it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _hear(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"benchmarks.{self.name} ended without an answer; what it wrote above tells why")
        return json.loads(line)


@contextmanager
def process(module: str, *args: str) -> Generator[Process, None, None]:
    """Run a module of this folder for a while."""
    running = Process(module, *args)
    try:
        yield running
    finally:
        running.end()


def outcome(module: str, *args: str) -> Any:
    """Run a module of this folder to its end; what it measured."""
    with process(module, *args) as running:
        return running.hello
