"""Turns a second, latency and CPU a turn under load."""

from collections.abc import Sequence
from functools import partial
from statistics import median, quantiles

from benchmarks.calls import TURNS, call, constant_answer, menu_answer
from benchmarks.load import drive
from benchmarks.process import Process
from benchmarks.rounds import Figures, interleaved

ANSWERS = {"bare": constant_answer, "handmade": menu_answer, "product": menu_answer}

CALLS = {1: 100, 8: 300, 64: 500}
"""Calls of one round, by concurrency: half a second to a second."""

WARM_UP = 100


def measure(servers: Sequence[Process], concurrency: int, share: float = 1.0) -> dict[str, Figures]:
    """The figures of each server at one concurrency; `share` of the usual calls."""
    calls = max(round(CALLS[concurrency] * share), concurrency)
    return interleaved({server.name: partial(load, server, concurrency, calls) for server in servers})


def warm(servers: Sequence[Process]) -> None:
    """Let caches fill and code settle."""
    for server in servers:
        load(server, 8, WARM_UP)


def load(server: Process, concurrency: int, calls: int) -> dict[str, float]:
    """One load: turns a second; ms of the median and the slowest hundredth; us of CPU a turn, the server's and the client's own."""
    sessions = [call(server.address, ANSWERS[server.name]) for _ in range(calls)]
    before = server.ask("usage")["cpu"]
    seconds, turns, client_cpu = drive(server.address, concurrency, sessions)
    cpu = server.ask("usage")["cpu"] - before
    assert len(turns) == calls * TURNS
    return {
        "turns_per_s": len(turns) / seconds,
        "p50_ms": median(turns) * 1e3,
        "p99_ms": quantiles(turns, n=100)[98] * 1e3,
        "cpu_us": cpu / len(turns) * 1e6,
        "client_cpu_us": client_cpu / len(turns) * 1e6,
    }
