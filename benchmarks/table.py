"""The figures as text."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Row


def show(rows: Sequence[Row], console: Console) -> None:
    """Print one table."""
    table = Table(title="Switchboard beside (b), written by hand without replay, and (a), a bare aiohttp endpoint", title_justify="left")
    table.add_column("")
    for name in ("ours", "(b)", "(a)", "x (b)", "x (a)"):
        table.add_column(name, justify="right")
    table.add_column("bar")
    group = ""
    for row in rows:
        if row.group != group:
            group = row.group
            table.add_section()
            table.add_row(f"[bold]{group}[/bold]")
        numbers = [_number(each) for each in (row.ours, row.hand, row.bare)] + [_ratio(each) for each in (row.of_hand, row.of_bare)]
        verdict = "" if row.met is None else " [green]met[/green]" if row.met else " [red]missed[/red]"
        table.add_row(f"  {row.name}", *numbers, row.bar + verdict)
    console.print(table)
    console.print("Medians of five rounds, in each of which every contender had its turn; x: how many times as good, more is better.")


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 1 else f"{value:.2f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
