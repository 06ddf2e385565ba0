"""What a replay before a deploy costs: `python -m benchmarks.replay`, about a minute.

10,000 sessions of six turns in one store (or as many as are given as an argument), replayed by the command, with one process and with two.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import redis

from benchmarks.calls import TURNS
from benchmarks.eviction import stored_key
from benchmarks.histories import history
from benchmarks.process import process

COUNT = 10_000
JOBS = (1, 2)
LAUNCHER = """
import os, subprocess, sys, time
begun = time.perf_counter()
running = subprocess.Popen(sys.argv[1:])
_, status, used = os.wait4(running.pid, 0)
assert status == 0
print(time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""
"""A small process: what is started from a large one is told to have been as large."""

SWITCHBOARD = Path(sys.executable).with_name("switchboard")


def fill(url: str, count: int) -> None:
    """Put that many sessions into the store; the menu does not look at the session's key."""
    elements = asyncio.run(history(TURNS))
    with redis.Redis.from_url(url) as store, store.pipeline(transaction=False) as pipe:
        for number in range(count):
            pipe.rpush(stored_key(f"phone:CA{number:032x}"), *elements)
        pipe.execute()


def replay(url: str, jobs: int, folder: str) -> dict[str, float]:
    """Replay all of them; seconds, CPU seconds of all processes, and the memory of the largest, MB."""
    command = [SWITCHBOARD, "replay", "--all", "--jobs", str(jobs)]
    environment = os.environ | {"REDIS_URL": url, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER, *command], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    *_, told, figures = done.stdout.splitlines()
    assert told.endswith("every step as on record."), done.stdout
    return dict(zip(("seconds", "cpu_s", "memory_mb"), map(float, figures.split()), strict=True))


def main() -> None:
    count = int(sys.argv[1]) if sys.argv[1:] else COUNT
    with process("store", "everysec") as store, tempfile.TemporaryDirectory() as folder:
        fill(store.hello["url"], count)
        for jobs in JOBS:
            figures = replay(store.hello["url"], jobs, folder)
            print(
                f"{count:,} sessions, {jobs} {'process' if jobs == 1 else 'processes'}:",
                *[f"{name} {value:.1f}" for name, value in figures.items()],
            )


if __name__ == "__main__":
    main()
