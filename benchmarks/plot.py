"""The figures as a picture: bars, written as SVG by hand."""

from collections.abc import Mapping, Sequence
from html import escape
from statistics import median
from typing import Any

from benchmarks.figures import parts

WIDTH = 760
LEFT, RIGHT = 250, 640
ROW, BAR = 17, 12
COLOURS = {"product": "#c0392b", "handmade": "#7f8c8d", "bare": "#bdc3c7"}
NAMES = {"product": "Switchboard", "handmade": "(b) by hand", "bare": "(a) bare aiohttp"}


class Picture:
    """Panels of horizontal bars, one below the other."""

    def __init__(self) -> None:
        self._y = 24
        self._shapes: list[str] = []

    def panel(self, title: str, bars: Sequence[tuple[str, str, float, str]]) -> None:
        """A panel; each bar has a label, a colour, a length and what is written behind it."""
        self._text(10, title, "bold")
        self._y += 8
        longest = max(length for _, _, length, _ in bars)
        for label, colour, length, note in bars:
            self._y += ROW
            width = max(length / longest * (RIGHT - LEFT), 1)
            self._shapes.append(f'<rect x="{LEFT}" y="{self._y - BAR + 2}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>')
            self._text(LEFT - 8, label, anchor="end")
            self._text(LEFT + width + 6, note)
        self._y += 34

    def svg(self) -> str:
        """The whole picture."""
        shapes = "\n".join(self._shapes)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self._y}" viewBox="0 0 {WIDTH} {self._y}" '
            f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n{shapes}\n</svg>\n'
        )

    def _text(self, x: float, text: str, weight: str = "normal", anchor: str = "start") -> None:
        self._shapes.append(f'<text x="{x:.1f}" y="{self._y}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>')


def draw(run: Mapping[str, Any]) -> str:
    """The picture of a run."""
    picture = Picture()
    for title, figure, unit in (("Turns a second", "turns_per_s", ""), ("CPU of a turn", "cpu_us", " us")):
        bars = []
        for concurrency, servers in run["load"]["everysec"].items():
            for server in ("bare", "handmade", "product"):
                value = median(servers[server][figure])
                bars.append((f"{concurrency} at once: {NAMES[server]}", COLOURS[server], value, f"{value:,.0f}{unit}"))
        picture.panel(title, bars)
    ours = COLOURS["product"]
    measured = [(part, us) for part, us, _ in parts(run) if "alone" not in part]
    picture.panel("A turn by part, us of CPU", [(part.partition(";")[0], ours, max(us, 0), f"{us:.0f}") for part, us in measured])
    evicted = {name: median(figures["turn_ms"]) for name, figures in run["evicted"].items() if name != "handmade"}
    labels = {name: "a live session" if name == "live" else f"evicted, {int(name):,} turns" for name in evicted}
    picture.panel("First turn, ms", [(labels[name], ours, ms, f"{ms:.2g}" if ms < 10 else f"{ms:.0f}") for name, ms in evicted.items()])
    return picture.svg()
