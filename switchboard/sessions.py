"""The commands `sessions ls`, `sessions show`, `sessions forget` and `replay`: what is stored, seen with the code in front of us."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import typer
from rich.table import Table
from rich.text import Text

from handlers.history import PAGE, History
from switchboard import show
from switchboard.errors import ErrandError, SettingsError, UnknownSessionError
from switchboard.replay import Replay, replay
from switchboard.settings import Settings
from switchboard.store import opened_store
from workflows.registry import Registry


@asynccontextmanager
async def _histories(settings: Settings) -> AsyncGenerator[History, None]:
    """The stored histories. Where there are none yet, no store is started to hold them."""
    if settings.store.url is None and not settings.data.is_dir():
        raise SettingsError(
            f"There is no data directory {settings.data.absolute()}. Run this where the server runs, or name its directory with --data, "
            "or its store with REDIS_URL."
        )
    async with opened_store(settings) as history:
        yield history


async def _load(history: History, session: str) -> list[bytes]:
    """A whole history, page by page."""
    elements: list[bytes] = []
    while True:
        page = await history.load(session, len(elements))
        elements += page
        if len(page) < PAGE:
            return elements


async def _find(history: History, session: str) -> list[bytes]:
    elements = await _load(history, session)
    if not elements:
        raise UnknownSessionError(f"There is no session {show.clean(session)}. `switchboard sessions ls` tells which there are.")
    return elements


async def list_all(settings: Settings, limit: int, *, as_json: bool) -> None:
    """Tell what sessions there are, at most `limit`, the last active first."""
    found: list[Replay] = []
    registry = Registry()
    async with _histories(settings) as history:
        sessions = await history.sessions(limit + 1)
        for session in sessions[:limit]:
            elements = await _load(history, session)
            if elements:  # it may have ended its days since
                found.append(replay(session, elements, registry))
    found.sort(key=_last, reverse=True)
    if as_json:
        show.write_json([_summary(each) for each in found])
    else:
        table = Table("SESSION", "WORKFLOW", "EVENTS", "OPENED", "LAST EVENT", "STATE", box=None, pad_edge=False, header_style="bold")
        for each in found:
            summary = _summary(each)
            cells = [show.clean(str(summary[name] or "?")) for name in ("session", "workflow", "events", "opened", "last_event")]
            table.add_row(*map(Text, cells), show.state_text(each.state))
        show.console().print(table)
    if len(sessions) > limit:
        sys.stderr.write(f"There are more than {limit} sessions; --limit shows more.\n")


def _last(seen: Replay) -> int:
    return max((moment.event.at for moment in seen.moments if moment.event is not None), default=0)


def _summary(seen: Replay) -> dict[str, str | int | None]:
    opened = seen.opened
    return {
        "session": seen.session,
        "workflow": opened.workflow if opened is not None else None,
        "events": len(seen.moments),
        "opened": show.time_of(opened.gen, opened).isoformat(" ", "seconds") if opened is not None else None,
        "last_event": show.time_of(_last(seen), opened).isoformat(" ", "seconds"),
        "state": seen.state,
    }


async def show_one(settings: Settings, session: str, *, as_json: bool) -> None:
    """Tell all that is on record of a session."""
    async with _histories(settings) as history:
        elements = await _find(history, session)
    seen = replay(session, elements, Registry())
    if as_json:
        show.write_json(show.as_value(seen))
    else:
        for line in show.in_words(seen):
            show.console().print(line)


async def forget(settings: Settings, session: str, *, sure: bool) -> None:
    """Drop a session's history for good, after a question unless `sure`."""
    async with _histories(settings) as history:
        elements = await _find(history, session)
        seen = replay(session, elements, Registry())
        if seen.opened is not None and seen.opened.parent is not None and seen.state != "ended":
            raise ErrandError(
                f"{show.clean(session)} is an errand that has not ended: its parent, {show.clean(seen.opened.parent[0])}, waits for it "
                "and would start it anew. End it there, or forget the parent first."
            )
        if not sure:
            if not sys.stdin.isatty():
                raise SettingsError("Nobody is there to be asked whether to forget it: say so with --yes.")
            if not typer.confirm(f"Forget {show.clean(session)} and its {len(elements)} events for good?"):
                return
        await history.forget(session)
    show.console().print(f"{show.clean(session)} is forgotten.")


async def replay_one(settings: Settings, session: str, *, as_json: bool) -> bool:
    """Hold a recorded history against the code; True if it is repeated to the end, whatever it says on the way."""
    async with _histories(settings) as history:
        elements = await _find(history, session)
    seen = replay(session, elements, Registry(), strict=True)
    if as_json:
        reworded = [
            {"position": each.position, "now": [show.said_as_value(output) for output in each.said]}
            for each in seen.moments
            if each.reworded
        ]
        summary = {"session": session, "state": seen.state, "events": len(elements), "reworded": reworded}
        show.write_json(summary | show.trouble_as_value(seen))
    else:
        _tell_replay(seen)
    return seen.state in {"running", "ended"}


def _tell_replay(seen: Replay) -> None:
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
            console.print(f"{name}: {len(seen.moments)} events replayed, every step as on record; it is {state}.", style="green")
