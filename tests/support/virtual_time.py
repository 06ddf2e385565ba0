"""Several processes on one thread and on one clock that jumps: what takes three weeks takes a millisecond, and always the same way.

A `Process` is an event loop that is stepped one callback at a time. A `World` steps its processes in turn (in an order drawn from a seed,
if it has one) and moves the clock to the next timer when none of them has anything to do now. A process that is killed is simply never
stepped again, as after `kill -9`: no `finally`, no `except`, no goodbye.
"""

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextlib import suppress
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")

MOST_STEPS = 50_000
"""Steps without time passing; a world that takes more goes round in a circle."""

START = 1_800_000_000.0
"""Seconds since the epoch when a world begins."""


class Stuck(AssertionError):
    """What was waited for never happens."""


class Process(asyncio.BaseEventLoop):
    """An event loop without a selector: nothing here waits for the outside."""

    def __init__(self, world: "World", name: str) -> None:
        super().__init__()
        self.world = world
        self.name = name
        self.dead = False
        self.steps = 0
        self.errors: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.errors.append(context))

    def time(self) -> float:
        return self.world.time

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Run a plain function as a callback of this loop would be."""
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            return function(*args)
        finally:
            asyncio._set_running_loop(before)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self.call(self.create_task, coroutine)

    @property
    def ready(self) -> bool:
        while self._ready and self._ready[0]._cancelled:
            self._ready.popleft()
        return bool(self._ready)

    def step(self) -> None:
        """Run one callback: with tasks, what stands between two awaits."""
        self.steps += 1
        self.call(self._ready.popleft()._run)

    @property
    def next_timer(self) -> float | None:
        while self._scheduled and self._scheduled[0]._cancelled:
            self._timer_cancelled_count -= 1
            heapq.heappop(self._scheduled)._scheduled = False
        return self._scheduled[0]._when if self._scheduled else None

    def ring(self) -> None:
        """Make the timers ready whose time has come."""
        while (when := self.next_timer) is not None and when <= self.time():
            timer = heapq.heappop(self._scheduled)
            timer._scheduled = False
            self._ready.append(timer)

    def _write_to_self(self) -> None:
        """There is no selector to be woken."""

    def bury(self) -> None:
        """Clear away, at the end of a test, what nobody will ever step again."""
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False
            with suppress(RuntimeError):  # it stood within a generator, which cannot be closed from inside
                self.call(task.get_coro().close)
        self.close()


class World:
    """The processes and their clock. With a `seed`, which of them goes on next is drawn; else they take turns."""

    def __init__(self, seed: int | None = None) -> None:
        self.time = 0.0
        self.skew = 0.0
        self.before_step: Callable[[], None] = lambda: None
        self._rng = None if seed is None else Random(seed)
        self._processes: list[Process] = []
        self._all: list[Process] = []
        self._network: Process | None = None
        self._still = 0

    @property
    def network(self) -> Process:
        """What carries on when whoever called is gone."""
        if self._network is None:
            self._network = self.process("network")
        return self._network

    def now(self) -> int:
        """The wall clock, ms since the epoch; it may be set, by `skew` seconds."""
        return int((START + self.time + self.skew) * 1000)

    def process(self, name: str) -> Process:
        process = Process(self, name)
        self._processes.append(process)
        self._all.append(process)
        return process

    def kill(self, process: Process) -> None:
        """End a process in the middle of whatever it does."""
        if not process.dead:
            process.dead = True
            if process in self._processes:
                self._processes.remove(process)

    def freeze(self, process: Process) -> None:
        """Let a process stand still while time goes on, as a machine does that is short of memory."""
        if process in self._processes:
            self._processes.remove(process)

    def thaw(self, process: Process) -> None:
        """Let it go on; all its timers may have come meanwhile."""
        if not process.dead and process not in self._processes:
            self._processes.append(process)

    def step(self) -> bool:
        """Let one process run one callback, or time jump to the next timer; False if nothing will ever happen again."""
        self.before_step()
        ready = [process for process in self._processes if process._ready and process.ready]
        if not ready:
            timers = [when for process in self._processes if (when := process.next_timer) is not None]
            if not timers:
                return False
            self.time = max(self.time, min(timers))
            self._still = 0
            for process in self._processes:
                process.ring()
            return True
        self._still += 1
        if self._still > MOST_STEPS:
            raise Stuck(f"at {self.time:.3f} s: {MOST_STEPS:,} steps, and no time has passed")
        if self._rng is None:  # take turns
            process = ready[0]
            self._processes.remove(process)
            self._processes.append(process)
        else:
            process = ready[0] if len(ready) == 1 else self._rng.choice(ready)
        process.step()
        return True

    def run(self, until: Callable[[], bool], patience: float = 3600.0) -> None:
        """Go on until something holds; raises `Stuck` when it never will, or not within `patience` seconds of this world's time."""
        limit = self.time + patience
        while not until():
            if self.time > limit or not self.step():
                raise Stuck(f"after {self.time:.3f} s: {until}")

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        end = self.time + seconds
        while self._happens_before(end):
            self.step()
        self.time = end

    def _happens_before(self, end: float) -> bool:
        if any(process.ready for process in self._processes):
            return True
        return any((when := process.next_timer) is not None and when <= end for process in self._processes)

    @property
    def errors(self) -> list[dict[str, Any]]:
        """What was raised where nobody caught it, in processes that live."""
        return [error for process in self._all if not process.dead for error in process.errors]

    def close(self) -> None:
        for process in self._all:
            process.bury()
