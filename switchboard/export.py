"""The command `sessions export`: histories as files, to be kept and replayed elsewhere, without the secrets that callers keyed in."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from switchboard import history_files, show
from switchboard.errors import HistoryFileError
from switchboard.histories import find, load_whole, stored_histories
from switchboard.history_files import Recorded
from switchboard.progress import progress
from switchboard.redaction import Redacted, redact
from switchboard.replay import replay
from switchboard.settings import Settings
from workflows.registry import Registry

FOLDER: Final = Path("histories")
"""Where files go unless told otherwise."""


async def export(settings: Settings, sessions: Sequence[str], output: Path) -> None:
    """Write the sessions named, each into a file of its own: into the folder `output`, or the one session into the file `output`.

    Raises `UnknownSessionError` and `HistoryFileError`.
    """
    to_file = output.suffix == history_files.SUFFIX and not output.is_dir()  # noqa: ASYNC240 - a command does one thing at a time
    if to_file and len(sessions) > 1:
        raise HistoryFileError(f"{output} is a file, and {len(sessions)} sessions need one each: name a folder with --output.")
    registry = Registry()
    async with stored_histories(settings) as history:
        for session in sessions:
            path = output if to_file else output / history_files.name_of(session)
            elements = await find(history, session)
            redacted = _write(path, session, elements, registry)
            show.console().print(f"{show.clean(session)}: {_told(redacted)}, in {path}")


async def export_all(settings: Settings, output: Path) -> None:
    """Write every session in the store into a file of its own. One that vanishes meanwhile is no trouble. Raises `HistoryFileError`."""
    registry, console = Registry(), show.console()
    written = hidden = cut = 0
    async with stored_histories(settings) as history:
        sessions = await history.sessions(sys.maxsize)
        with progress("Exporting", len(sessions)) as step:
            for session in sessions:
                elements = await load_whole(history, session)
                if elements:
                    redacted = _write(output / history_files.name_of(session), session, elements, registry)
                    written += 1
                    hidden += bool(redacted.hidden)
                    cut += bool(redacted.left_out)
                step()
    console.print(f"{show.count(written, 'history', 'histories')} in {output}, {hidden:,} with hidden inputs.")
    if cut:
        console.print(
            f"{cut:,} of them {'ends' if cut == 1 else 'end'} early: at what depends on a secret, or at what the code here does not repeat."
        )


def _write(path: Path, session: str, elements: list[bytes], registry: Registry) -> Redacted:
    redacted = redact(session, elements, registry)
    led_to = replay(session, redacted.elements, registry, strict=True).led_to
    if redacted.left_out:  # who was there may have been told something else upon the last one
        led_to = (*led_to[:-1], None)
    history_files.write(path, Recorded(session, redacted.elements, redacted.hidden, redacted.left_out, led_to))
    return redacted


def _told(redacted: Redacted) -> str:
    parts = [show.count(len(redacted.elements), "event")]
    if redacted.hidden:
        parts.append(f"the input at {', '.join(map(str, redacted.hidden))} hidden")
    if redacted.left_out:
        parts.append(f"the last {redacted.left_out} left out ({show.clean(redacted.why)})")
    return ", ".join(parts)
