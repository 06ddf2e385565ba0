"""The figures of a run as rows of one table: ours, its yardstick, how many times as good ours is, and the bar."""

from collections.abc import Mapping
from statistics import median
from typing import Any, NamedTuple

from benchmarks.rounds import Figures, ratio

UNITS = {"turns_per_s": "turns/s", "p50_ms": "p50, ms", "p99_ms": "p99, ms", "cpu_us": "CPU a turn, us"}


class Row(NamedTuple):
    """A figure: medians of the rounds; `of_hand` and `of_bare` are medians of the rounds' ratios, above 1 where ours is the better one."""

    group: str
    name: str
    ours: float
    hand: float | None = None
    bare: float | None = None
    of_hand: float | None = None
    of_bare: float | None = None
    bar: str = ""
    met: bool | None = None


def rows(run: Mapping[str, Any]) -> list[Row]:
    """All rows of a run, in the order in which they are read."""
    found: list[Row] = []
    for fsync in ("everysec", "always"):
        for concurrency, servers in run["load"][fsync].items():
            found += _load(f"{concurrency} at once, fsync {fsync}", int(concurrency), servers)
    found += _evicted(run["evicted"])
    found += _sizes(run["sizes"])
    for count, crowds in run["crowds"].items():
        found += _crowd(int(count), crowds)
    return found + _parts(run)


def _load(group: str, concurrency: int, servers: Mapping[str, Figures]) -> list[Row]:
    ours, hand, bare = servers["product"], servers["handmade"], servers.get("bare")
    found = []
    for name, unit in UNITS.items():
        of_hand = ratio(*_better_first(name, ours, hand))
        of_bare = ratio(*_better_first(name, ours, bare)) if bare else None
        bar, met = "", None
        if concurrency > 1 and bare and name in ("turns_per_s", "cpu_us"):
            bar = ">= 1.00 of (b), >= 0.35 of (a)"
            met = of_hand >= 1 and of_bare is not None and of_bare >= 0.35
        found.append(
            Row(group, unit, median(ours[name]), median(hand[name]), median(bare[name]) if bare else None, of_hand, of_bare, bar, met)
        )
    return found


def _better_first(name: str, ours: Figures, theirs: Figures) -> tuple[list[float], list[float]]:
    """Numerators and denominators such that more is better."""
    return (ours[name], theirs[name]) if name == "turns_per_s" else (theirs[name], ours[name])


def _evicted(evicted: Mapping[str, Figures]) -> list[Row]:
    hand, group = evicted["handmade"], "First turn of an evicted session; (b): any turn"
    bars = {"1000": 10.0, "10000": 100.0}
    found = []
    for name, figures in evicted.items():
        if name != "handmade":
            label = "a live one, ms" if name == "live" else f"of {int(name):,} turns, ms"
            found.append(_cost(group, label, figures["turn_ms"], hand["turn_ms"], bars.get(name)))
    longest = list(evicted)[-1]
    stall, idle = evicted[longest]["stall_ms"], evicted["live"]["stall_ms"]
    found.append(_cost(group, f"longest stall of the loop, {int(longest):,} turns, ms", stall, idle, 5.0))
    return found


def _sizes(sizes: Mapping[str, Mapping[str, float]]) -> list[Row]:
    ours, hand = sizes["product"], sizes["handmade"]
    labels = {"turn_10": ("a turn, at turn 10", 80.0), "turn_1000": ("a turn, at turn 1,000", 80.0)}
    labels["session"] = ("a six-turn session (MEMORY USAGE)", 800.0)
    return [_cost("Bytes in the store", label, [ours[name]], [hand[name]], bar) for name, (label, bar) in labels.items()]


def _crowd(count: int, crowds: Mapping[str, Figures]) -> list[Row]:
    ours, tasks = crowds["product"], crowds["tasks"]
    group = f"{count:,} live sessions; (b): as many tasks, each waiting on a queue"
    most = count == 100_000
    labels = {
        "live_bytes": ("bytes each (RSS)", 4_500.0),
        "come_stall_ms": ("longest stall as they come, ms of CPU", 20.0),
        "come_lag_ms": ("largest lag as they come, ms", 20.0),
        "leave_s": ("all evicted, s", 6.0 if most else None),
        **({"leave_cpu_us": ("CPU of an eviction, us", None)} if count >= 10_000 else {}),  # of fewer, the probe's own counts
        "leave_stall_ms": ("longest stall as they leave, ms of CPU", None),
        "leave_lag_ms": ("largest lag as they leave, ms", None),
    }
    return [_cost(group, label, ours[name], tasks[name], bar) for name, (label, bar) in labels.items()]


def _parts(run: Mapping[str, Any]) -> list[Row]:
    return [
        Row("A turn by part, us of CPU; (b): what else one would use", name, us, other, of_hand=None if other is None else other / us)
        for name, us, other in parts(run)
    ]


def parts(run: Mapping[str, Any]) -> list[tuple[str, float, float | None]]:
    """The parts of a turn among 64: name, us of CPU, and those of what else one would use. What is not measured by itself is the rest."""
    ours: dict[str, float] = {}
    others: dict[str, tuple[str, float]] = {}
    for part, contenders in run["parts"].items():
        for name, figures in contenders.items():
            if name == "product":
                ours[part] = median(figures["cpu_us"])
            else:
                others[part] = (name, median(figures["cpu_us"]))
    ours["actors"] -= ours["run"] + ours["codec"]  # which are timed with them
    alone = ours.pop("store client, alone")
    load = run["load"]["everysec"]["64"]
    rest = median(load["product"]["cpu_us"]) - sum(ours.values())
    bare = median(load["bare"]["cpu_us"]) - others["form"][1]
    found: list[tuple[str, float, float | None]] = [("HTTP, sockets, endpoint (the rest); (b): aiohttp", rest, bare)]
    found += [(f"{part}; (b): {others[part][0]}", us, others[part][1]) for part, us in sorted(ours.items(), key=lambda each: -each[1])]
    found.append(("store client, alone; (b): redis-py", alone, others["store client, alone"][1]))
    return found


def _cost(group: str, name: str, ours: list[float], hand: list[float], most: float | None) -> Row:
    """A figure of which less is better."""
    ours_median = median(ours)
    bar = "" if most is None else f"<= {most:,g}"
    return Row(group, name, ours_median, median(hand), None, ratio(hand, ours), None, bar, None if most is None else ours_median <= most)
