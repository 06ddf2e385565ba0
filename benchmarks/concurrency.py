"""Turns a second, latency and CPU a turn under load.

Each round has processes of its own: where a process has its memory, and the seed of its hashes, are good or bad luck for all its life, and
make a tenth of its speed.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from statistics import median, quantiles

from benchmarks.calls import TURNS, call, constant_answer, menu_answer
from benchmarks.load import drive
from benchmarks.process import Process, process
from benchmarks.rounds import ROUNDS, Figures

ANSWERS = {"bare": constant_answer, "handmade": menu_answer, "product": menu_answer}

CALLS = {1: 100, 8: 300, 64: 500}
"""Calls of one round, by concurrency: half a second to a second."""

WARM_UP = 100


def measure(url: str, servers: Sequence[str], counts: Iterable[int], share: float = 1.0) -> dict[str, dict[str, Figures]]:
    """The figures of each server by concurrency; `share` of the usual calls."""
    measured: dict[str, dict[str, Figures]] = {str(count): {name: {} for name in servers} for count in counts}
    for number in range(ROUNDS):
        with ExitStack() as stack:
            running = [stack.enter_context(process(name, url)) for name in servers]
            for server in running:
                load(server, 8, WARM_UP)
            for count, figures in measured.items():
                calls = max(round(CALLS[int(count)] * share), int(count))
                for server in running[:: -1 if number % 2 else 1]:
                    for figure, value in load(server, int(count), calls).items():
                        figures[server.name].setdefault(figure, []).append(value)
    return measured


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
