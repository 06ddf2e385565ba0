"""The command `replay`: recorded histories, from the store or from files, against the code in front of us. Nothing is touched."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

from switchboard import history_files, show
from switchboard.histories import find, load_whole, stored_histories
from switchboard.progress import progress
from switchboard.replay import Replay, replay
from switchboard.settings import Settings
from switchboard.verdicts import OUTCOMES, Tally, Trouble, judge
from workflows.registry import Registry

_COLOURS = {"same": "green", "reworded": "yellow", "diverged": "red", "failed": "red", "quarantined": "red"}


@dataclass(frozen=True, slots=True)
class _Named:
    """A history, and what people know it by."""

    name: str
    session: str
    elements: Sequence[bytes]


async def replay_named(names: Sequence[str], settings: Callable[[], Settings], *, as_json: bool) -> bool:
    """Replay sessions by key, files, and folders of files; True if all is as on record, whatever is said on the way.

    One history is told in detail, of several a summary is given. `settings` are asked for only if there is a session to be found.
    """
    files, sessions = _told_apart(names)
    stored = await _stored(sessions, settings()) if sessions else []
    if len(files) + len(stored) == 1:
        found = stored or list(_in_file(files[0]))
        if len(found) == 1:
            return _replay_one(found[0], as_json=as_json)
    tally, registry = Tally(), Registry()
    sources: list[Iterable[_Named]] = [*([each] for each in stored), *map(_in_file, files)]
    with progress("Replaying", len(sources)) as step:
        for source in sources:
            for each in source:
                tally.add(judge(each.name, each.session, each.elements, registry))
            step()
    return _sum_up(tally, as_json=as_json)


async def replay_all(settings: Settings, *, as_json: bool) -> bool:
    """Replay every session in the store; True if all is as on record. One that changes or vanishes meanwhile is no trouble."""
    tally, registry = Tally(), Registry()
    async with stored_histories(settings) as history:
        sessions = await history.sessions(sys.maxsize)
        with progress("Replaying", len(sessions)) as step:
            for session in sessions:
                elements = await load_whole(history, session)
                if elements:
                    tally.add(judge(session, session, elements, registry))
                step()
    return _sum_up(tally, as_json=as_json)


def _told_apart(names: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The files, also those in folders, and the sessions."""
    files: list[Path] = []
    sessions: list[str] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            files += history_files.files_in(path)
        elif path.is_file() or path.suffix == history_files.SUFFIX:
            files.append(path)
        else:
            sessions.append(name)
    return files, sessions


async def _stored(sessions: list[str], settings: Settings) -> list[_Named]:
    async with stored_histories(settings) as history:
        return [_Named(session, session, await find(history, session)) for session in sessions]


def _in_file(path: Path) -> Iterator[_Named]:
    recorded = history_files.read(path)
    for number, each in enumerate(recorded, 1):
        yield _Named(f"{path}{f', history {number}' if len(recorded) > 1 else ''}", each.session, each.elements)


# -- several ------------------------------------------------------------------------------------------------------------------------------


def _sum_up(tally: Tally, *, as_json: bool) -> bool:
    if as_json:
        show.write_json(tally.as_value())
        return not tally.differing
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
        _tell_trouble(trouble)
    few = f"{tally.differing} {'differs' if tally.differing == 1 else 'differ'} from what is on record"
    end = f"{few}. `switchboard replay` with one of them tells more." if tally.differing else "every step as on record."
    console.print(f"{show.count(tally.histories, 'history', 'histories')} replayed: {end}", style="red" if tally.differing else "green")
    return not tally.differing


def _tell_trouble(trouble: Trouble) -> None:
    console, example = show.console(), trouble.example
    at = f" at event {example.position}" if example.position is not None else ""
    console.print(
        Text.assemble((show.clean(example.workflow), "bold"), " ", (example.outcome, "red"), f" {show.count(trouble.count, 'time')}")
    )
    console.print(f"  example    {show.clean(example.name)}{at}")
    if example.outcome == "diverged":
        console.print(f"  on record  {show.clean(example.recorded)}")
        console.print(f"  wanted     {show.clean(example.wanted)}")
    else:
        console.print(f"  why        {show.clean(example.recorded)}")
        if example.wanted:
            console.print(f"  where      {show.clean(example.wanted)}")
    console.print()


# -- one ----------------------------------------------------------------------------------------------------------------------------------


def _replay_one(named: _Named, *, as_json: bool) -> bool:
    seen = replay(named.session, named.elements, Registry(), strict=True)
    if as_json:
        reworded = [
            {"position": each.position, "now": [show.said_as_value(output) for output in each.said]}
            for each in seen.moments
            if each.reworded
        ]
        summary = {"session": named.session, "state": seen.state, "events": len(named.elements), "reworded": reworded}
        show.write_json(summary | show.trouble_as_value(seen))
    else:
        _tell(seen)
    return seen.state in {"running", "ended"}


def _tell(seen: Replay) -> None:
    console = show.console()
    name = show.clean(seen.session)
    for moment in seen.moments:
        if moment.reworded:
            console.print(f"{name}: after event {moment.position} something else would be said than was:", style="yellow")
            for output in moment.said:
                console.print(f"  now {show.said_in_words(output)}")
            if not moment.said:
                console.print("  now nothing")
    match seen.state:
        case "failed":
            assert seen.failure is not None
            console.print(f"{name}: the workflow fails at event {seen.failed_at}:", style="red")
            console.print(show.clean_lines(seen.failure.traceback))
        case "diverged" | "quarantined":
            console.print(f"{name}: {seen.state}", style="red")
            for line in show.difference(seen):
                console.print(line)
        case state:
            console.print(
                f"{name}: {show.count(len(seen.moments), 'event')} replayed, every step as on record; it is {state}.", style="green"
            )
