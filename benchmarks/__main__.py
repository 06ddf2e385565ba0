"""`make bench`: measure, print one table, and leave the raw figures and a picture in `docs/`.

With `--full`: 100,000 live sessions as well, longer loads, and all of them with both fsync settings; about half an hour.
"""

import argparse
import json
import os
import platform
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import redis
from rich.console import Console

from benchmarks import concurrency, eviction, plot, sizes, table
from benchmarks.figures import rows
from benchmarks.process import outcome, process
from benchmarks.rounds import Figures, interleaved

DOCS = Path("docs")
SPLIT_OF = 2_000
BUSY = 0.5


def measure(console: Console, *, full: bool) -> dict[str, Any]:
    """All figures of a run, raw."""
    share = 3.0 if full else 1.0
    run: dict[str, Any] = {"machine": _machine(), "load": {}, "crowds": {}}
    with process("store", "everysec") as store:
        url = store.hello["url"]
        console.log("a turn under load")
        run["load"]["everysec"] = concurrency.measure(url, ("bare", "handmade", "product"), concurrency.CALLS, share)
        with process("handmade", url) as handmade, process("product", url) as product:
            for server in (handmade, product):
                concurrency.load(server, 8, concurrency.WARM_UP)
            console.log("the first turn of evicted sessions")
            run["evicted"] = eviction.measure(handmade, product, url)
            run["sizes"] = sizes.measure(handmade, product, url)
        console.log("parts of a turn")
        run["parts"] = outcome("parts", url)
    with process("store", "always") as store:
        console.log("a turn under load, fsync always")
        counts = concurrency.CALLS if full else (1, 64)
        run["load"]["always"] = concurrency.measure(store.hello["url"], ("handmade", "product"), counts, share if full else 0.5)
    with process("store", "everysec") as store:
        for count in (1_000, 10_000, 100_000) if full else (1_000, 10_000):
            console.log(f"{count:,} live sessions")
            run["crowds"][str(count)] = _crowds(store.hello["url"], count)
        run["memory"] = outcome("crowd", store.hello["url"], str(SPLIT_OF), "split")
    return run


def _crowds(url: str, count: int) -> dict[str, Figures]:
    def crowd() -> Any:
        with redis.Redis.from_url(url) as store:
            store.flushall()
        return outcome("crowd", url, str(count), "whole")

    return interleaved({"product": crowd, "tasks": partial(outcome, "tasks", str(count))})


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count(),
        "busy": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--full", action="store_true", help="100,000 sessions, longer loads, both fsync settings throughout")
    full = parser.parse_args().full
    console = Console(width=None if sys.stdout.isatty() else 150)
    if (busy := os.getloadavg()[0]) > BUSY:
        console.log(f"[red]others use this machine (load {busy:.1f}): the figures will be rough[/red]")
    began = time.monotonic()
    run = measure(console, full=full)
    run["seconds"] = round(time.monotonic() - began)
    table.show(rows(run), console)
    (DOCS / "performance.json").write_text(json.dumps(run, indent=1) + "\n")
    (DOCS / "performance.svg").write_text(plot.draw(run))
    console.log(f"raw figures in {DOCS / 'performance.json'}, a picture in {DOCS / 'performance.svg'}; {run['seconds']} s")


if __name__ == "__main__":
    main()
