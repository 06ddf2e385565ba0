"""What a replay has found, for people: of one history its differences, of many a table by workflow and each kind of difference."""

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import ndiff
from typing import Final

from rich.table import Table
from rich.text import Text

from switchboard import show
from switchboard.replay import Replay
from switchboard.tally import Reworded, Tally
from switchboard.verdicts import OUTCOMES, Outcome, Rewording, Verdict, reword

_COLOURS: Final = {"same": "green", "reworded": "yellow", "diverged": "red", "failed": "red", "quarantined": "red"}
_EXAMPLES: Final = 3
"""Kinds of other words that are told of each step."""

_SIGNS: Final = {"-": "red", "+": "green"}


def tell_one(seen: Replay) -> None:
    """Write what became of one history."""
    console = show.console()
    name = show.clean(seen.session)
    for moment in seen.moments:
        if moment.reworded:
            rewording = reword(moment)
            console.print(f"{name}: after event {moment.position} something else would be said than was:", style="yellow")
            console.print(f"  {show.clean(rewording.place)}")
            for line in difference(rewording):
                console.print(line)
    match seen.state:
        case "failed":
            assert seen.failure is not None
            console.print(f"{name}: the workflow fails at event {seen.failed_at}:", style="red")
            console.print(show.clean_lines(seen.failure.traceback))
        case "diverged" | "quarantined":
            console.print(f"{name}: {seen.state}", style="red")
            for text in show.difference(seen):
                console.print(text)
        case state:
            events = show.count(len(seen.moments), "event")
            console.print(f"{name}: {events} replayed, every step as on record; it is {state}.", style="green")


def tell_many(tally: Tally) -> None:
    """Write what became of many histories."""
    console = show.console()
    if tally.workflows:
        table = Table("WORKFLOW", box=None, pad_edge=False, header_style="bold")
        for outcome in OUTCOMES:
            table.add_column(outcome.upper(), justify="right")
        for name, counts in sorted(tally.workflows.items()):
            numbers = [Text(str(counts[outcome]), _COLOURS[outcome] if counts[outcome] else "dim") for outcome in OUTCOMES]
            table.add_row(Text(show.clean(name)), *numbers)
        console.print(table)
        console.print()
    for trouble in tally.sorted_troubles():
        example = trouble.example
        _tell_kind(example.workflow, example.outcome, trouble.count, f"{example.name}{at(example.position)}", in_words(example))
    left = tally.more + _tell_rewordings(tally.sorted_rewordings())
    if left:
        console.print(f"Something else is said {show.count(left, 'more time')} at these steps: see --json.\n", style="yellow")
    found = "every step as on record"
    if tally.differing:
        found = f"{tally.differing:,} {'differs' if tally.differing == 1 else 'differ'} from what is on record"
    if tally.reworded:
        found += f", {tally.reworded:,} would say something else"
    more = " `switchboard replay` with one of them tells more." if tally.differing or tally.reworded else ""
    style = "red" if tally.differing else "yellow" if tally.reworded else "green"
    console.print(f"{show.count(tally.histories, 'history', 'histories')} replayed: {found}.{more}", style=style)


def at(position: int | None) -> str:
    """Where in a history, if it is known."""
    return f" at event {position}" if position is not None else ""


def in_words(verdict: Verdict) -> Iterator[Text]:
    """What is wrong with a history that differs, from both sides."""
    if verdict.outcome == "diverged":
        yield Text(f"  on record  {show.clean(verdict.recorded)}")
        yield Text(f"  wanted     {show.clean(verdict.wanted)}")
    else:
        yield Text(f"  why        {show.clean(verdict.recorded)}")
        if verdict.wanted:
            yield Text(f"  where      {show.clean(verdict.wanted)}")


def other_words(rewording: Rewording) -> Iterator[Text]:
    """What would be said differently, between which steps, from both sides."""
    yield Text(f"  where      {show.clean(rewording.place)}")
    yield from difference(rewording)


def difference(rewording: Rewording) -> Iterator[Text]:
    """What would be said differently, a line for each output: gone, new, or there as before."""
    if rewording.then is None:
        for each in rewording.now or ("nothing",):
            yield Text(f"  now {each}")
        return
    for line in _lines(rewording.then, rewording.now):
        yield Text(f"  {line}", _SIGNS.get(line[0], ""))


def _lines(then: Sequence[str], now: Sequence[str]) -> Iterator[str]:
    return (line for line in ndiff(then, now) if not line.startswith("?"))


def _tell_rewordings(rewordings: Sequence[Reworded]) -> int:
    """Tell the commonest at each step, since names and numbers in what is said make ever more; gives how often there are others."""
    told = Counter[tuple[str, str]]()
    left = 0
    for each in rewordings:
        words = each.example
        told[each.workflow, words.step] += 1
        if told[each.workflow, words.step] <= _EXAMPLES:
            _tell_kind(each.workflow, "reworded", each.count, f"{each.name}{at(words.position)}", other_words(words))
        else:
            left += each.count
    return left


def _tell_kind(workflow: str, outcome: Outcome, count: int, example: str, lines: Iterator[Text]) -> None:
    console = show.console()
    console.print(Text.assemble((show.clean(workflow), "bold"), " ", (outcome, _COLOURS[outcome]), f" {show.count(count, 'time')}"))
    console.print(f"  example    {show.clean(example)}")
    for line in lines:
        console.print(line)
    console.print()
