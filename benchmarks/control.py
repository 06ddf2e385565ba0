"""The measured process's end of the line to the one that measures: questions on stdin, answers on stdout, one JSON value a line."""

import asyncio
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

TICK_SECONDS = 0.001


class Lag:
    """How long the loop is kept from others: a timer that should run each millisecond tells how much later it ran.

    On a machine that others use as well, a process waits now and then for no fault of its own. So the CPU time that this thread used
    between two runs of the timer is told, too: what the loop itself did in one go, at most a millisecond more.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self._due = self._used = 0.0
        self.lag = self.stall = 0.0

    def start(self) -> None:
        """Begin anew."""
        if self._handle is not None:
            self._handle.cancel()
        self.lag = self.stall = 0.0
        self._arm()

    def stop(self, prefix: str = "") -> dict[str, float]:
        """The largest lag and the largest stall (of CPU time) since the start, ms; what is late now counts."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
            self._note()
        return {f"{prefix}lag_ms": self.lag * 1e3, f"{prefix}stall_ms": self.stall * 1e3}

    def _arm(self) -> None:
        self._due, self._used = time.perf_counter() + TICK_SECONDS, time.thread_time()
        self._handle = self._loop.call_later(TICK_SECONDS, self._look)

    def _look(self) -> None:
        self._note()
        self._arm()

    def _note(self) -> None:
        self.lag = max(self.lag, time.perf_counter() - self._due)
        self.stall = max(self.stall, time.thread_time() - self._used)


class Control:
    """Answers for the process it runs in. `stop` is set when the other end is gone."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.questions: dict[str, Callable[[], Any]] = {"usage": usage, "lag": self._lag, "collect": gc.collect}
        self._probe = Lag()
        self._buffer = b""
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._read)

    def tell(self, value: Any) -> None:
        """Say something unasked: where the process listens."""
        print(json.dumps(value), flush=True)

    def _read(self) -> None:
        data = os.read(sys.stdin.fileno(), 65_536)
        if not data:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self.stop.set()
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self.tell(self.questions[line.decode()]())

    def _lag(self) -> dict[str, float]:
        """The largest lag and stall since the last time this was asked; the probe runs on from now."""
        largest = self._probe.stop()
        self._probe.start()
        return largest


def usage() -> dict[str, float]:
    """CPU seconds, user and system, and resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"cpu": time.process_time(), "rss": pages * resource.getpagesize()}


def run(main: Callable[[], Any]) -> None:
    """Run a measured process on the loop that the product uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
