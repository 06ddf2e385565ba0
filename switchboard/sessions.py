"""The commands `sessions ls`, `show`, `forget` and `resume`: what is stored, seen with the code in front of us."""

import sys

import typer
from rich.table import Table
from rich.text import Text

from handlers.history import partition_of
from handlers.journal import TAKE_OVERS
from switchboard import show
from switchboard.errors import ErrandError, SettingsError
from switchboard.histories import find, load_whole, stored_histories
from switchboard.replay import Replay, replay
from switchboard.settings import Settings
from switchboard.upkeep import try_again
from workflows.registry import Registry


async def list_all(settings: Settings, limit: int, *, as_json: bool) -> None:
    """Tell what sessions there are, at most `limit`, the last active first."""
    found: list[Replay] = []
    registry = Registry()
    async with stored_histories(settings) as history:
        sessions = await history.sessions(limit + 1)
        for session in sessions[:limit]:
            elements = await load_whole(history, session)
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
    async with stored_histories(settings) as history:
        elements = await find(history, session)
    seen = replay(session, elements, Registry())
    if as_json:
        show.write_json(show.as_value(seen))
    else:
        for line in show.in_words(seen):
            show.console().print(line)


async def forget(settings: Settings, session: str, *, sure: bool) -> None:
    """Drop a session's history for good, after a question unless `sure`."""
    async with stored_histories(settings) as history:
        elements = await find(history, session)
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


async def resume(settings: Settings, session: str) -> None:
    """Let servers go on with a session that they leave alone. It is not replayed here: the replay may be what kills."""
    async with stored_histories(settings) as history:
        await find(history, session)
        attempts = (await history.indexes(partition_of(session))).owner.get(session, ("", 0))[1]
        if attempts <= TAKE_OVERS:
            show.console().print(f"{show.clean(session)} is not left alone: nothing is to be done.")
        elif await try_again(history, session):
            show.console().print(f"{show.clean(session)} is gone on with by the next server that sweeps, within seconds where one runs.")
        else:
            show.console().print(f"{show.clean(session)} has changed meanwhile. See `switchboard doctor`, and say it again if need be.")
