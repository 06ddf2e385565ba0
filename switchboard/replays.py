"""The command `replay`: recorded histories, from the store or from files, against the code in front of us. The store is not touched."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

from handlers.history import History
from switchboard import history_files, show
from switchboard.accept import accept
from switchboard.histories import find, load_whole, stored_histories
from switchboard.history_files import Recorded
from switchboard.progress import progress
from switchboard.replay import Replay, replay
from switchboard.replay_jobs import Source, named, tally_of
from switchboard.replay_report import tell_many, tell_one
from switchboard.settings import Settings
from switchboard.tally import Tally
from switchboard.verdicts import reword
from workflows.outputs import Output
from workflows.registry import Registry

_AT_ONCE: Final = 16
"""Histories that are asked for at once: the store answers them in one go."""


async def replay_named(names: Sequence[str], settings: Callable[[], Settings], *, jobs: int, words: bool, as_json: bool) -> bool:
    """Replay sessions by key, files, and folders of files; True if all is as on record, with `words` also what is said on the way.

    One history is told in detail, of several a summary is given. `settings` are asked for only if there is a session to be found.
    """
    files, sessions = _told_apart(names)
    stored = await _stored(sessions, settings()) if sessions else []
    sources: list[Source] = [*stored, *files]
    if len(sources) == 1:
        found = [recorded for _, recorded in named(sources[0])]
        if len(found) == 1:
            return _replay_one(found[0], words=words, as_json=as_json)

    async def each() -> AsyncIterator[Source]:
        for source in sources:
            yield source

    with progress("Replaying", len(sources)) as step:
        tally = await tally_of(each(), len(sources), jobs, step)
    return _sum_up(tally, words=words, as_json=as_json)


async def replay_all(settings: Settings, *, jobs: int, words: bool, as_json: bool) -> bool:
    """Replay every session in the store; see `replay_named`. One that changes or vanishes meanwhile is no trouble."""
    async with stored_histories(settings) as history:
        sessions = await history.sessions(sys.maxsize)
        with progress("Replaying", len(sessions)) as step:
            tally = await tally_of(_loaded(history, sessions), len(sessions), jobs, step)
    return _sum_up(tally, words=words, as_json=as_json)


def accept_words(names: Sequence[str]) -> None:
    """Take what would be said now over into files, and into those of folders."""
    files, _ = _told_apart(names)
    registry = Registry()
    taken = sum(accept(path, registry) for path in files)
    sys.stderr.write(f"{show.count(taken, 'history', 'histories')} took over what would be said now.\n")


async def _loaded(history: History, sessions: Sequence[str]) -> AsyncIterator[Source]:
    for start in range(0, len(sessions), _AT_ONCE):
        keys = sessions[start : start + _AT_ONCE]
        for session, elements in zip(keys, await asyncio.gather(*[load_whole(history, key) for key in keys]), strict=True):
            if elements:
                yield Recorded(session, tuple(elements))


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


async def _stored(sessions: list[str], settings: Settings) -> list[Recorded]:
    async with stored_histories(settings) as history:
        return [Recorded(session, tuple(await find(history, session))) for session in sessions]


def _sum_up(tally: Tally, *, words: bool, as_json: bool) -> bool:
    if as_json:
        show.write_json(tally.as_value())
    else:
        tell_many(tally)
    return not tally.differing and not (words and tally.reworded)


def _replay_one(recorded: Recorded, *, words: bool, as_json: bool) -> bool:
    seen = replay(recorded.session, recorded.elements, Registry(), strict=True, led_to=recorded.led_to)
    if as_json:
        summary = {"session": seen.session, "state": seen.state, "events": len(seen.moments), "reworded": _reworded_as_value(seen)}
        show.write_json(summary | show.trouble_as_value(seen))
    else:
        tell_one(seen)
    return seen.state in {"running", "ended"} and not (words and any(moment.reworded for moment in seen.moments))


def _reworded_as_value(seen: Replay) -> list[dict[str, object]]:
    return [
        {"position": moment.position, "place": reword(moment).place}
        | _as_value("then", None if moment.then is None else moment.then.said or (), moment.then.shows if moment.then is not None else ())
        | _as_value("now", moment.said, moment.shows if moment.then is not None else ())
        for moment in seen.moments
        if moment.reworded
    ]


def _as_value(when: str, said: Sequence[Output] | None, shows: Sequence[str]) -> dict[str, object]:
    if said is None:
        return {when: None}
    return {when: [*map(show.said_as_value, said), *({"shows": each} for each in shows)]}
