"""Histories as files: what `sessions export` writes, `replay` reads, and our golden histories are kept in.

A file is a JSON list of histories, `{"session": …, "elements": […]}`, the elements in hex, one a line, as they are stored
(`docs/format.md`). `hidden` names the positions of the inputs that were replaced, `left_out` says how many events were cut off; what else
may be there is skipped.
"""

import json
import os
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from switchboard.errors import HistoryFileError

SUFFIX: Final = ".json"

_LONGEST: Final = 200
"""Characters of a file's name that come from the key; file systems take 255 bytes."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A history apart from its store. `hidden`: positions of the inputs that were replaced. `left_out`: how many events are missing."""

    session: str
    elements: tuple[bytes, ...]
    hidden: tuple[int, ...] = ()
    left_out: int = 0


class _Entry(msgspec.Struct):
    session: str
    elements: list[str]
    hidden: list[int] = []
    left_out: int = 0


_decode = msgspec.json.Decoder(list[_Entry]).decode


def read(path: Path) -> list[Recorded]:
    """The histories in a file; raises `HistoryFileError`."""
    try:
        return [
            Recorded(entry.session, tuple(map(bytes.fromhex, entry.elements)), tuple(entry.hidden), entry.left_out)
            for entry in _decode(path.read_bytes())
        ]
    except FileNotFoundError:
        raise HistoryFileError(f"There is no file {path}. `switchboard sessions export` writes such files.") from None
    except OSError as error:
        raise HistoryFileError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:  # no JSON, another shape, or no hex
        raise HistoryFileError(f"{path} holds no histories ({error}). `switchboard sessions export` writes files that do.") from None


def write(path: Path, recorded: Recorded) -> None:
    """Write a file whole or not at all, for its owner only: it holds what callers said. Raises `HistoryFileError`."""
    entry = {"hidden": list(recorded.hidden)} if recorded.hidden else {}
    more = {"left_out": recorded.left_out} if recorded.left_out else {}
    elements = ",\n".join(f'"{element.hex()}"' for element in recorded.elements)
    rest = "".join(f', "{name}": {json.dumps(value)}' for name, value in (entry | more).items())
    text = f'[{{"session": {json.dumps(recorded.session)}, "elements": [\n{elements}\n]{rest}}}]\n'
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".history-", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink()
            raise
    except OSError as error:
        raise HistoryFileError(f"{path} cannot be written: {error.strerror}. Choose another place with --output.") from None


def name_of(session: str) -> str:
    """A file's name for a session: its key, with `=` for a colon and `%xx` for what file systems dislike, so that no two share one."""
    name = quote(session, safe="").replace("~", "%7E").replace("%3A", "=")
    if len(name) > _LONGEST:
        name = f"{name[:_LONGEST]}~{sha256(session.encode()).hexdigest()[:16]}"
    return name + SUFFIX


def files_in(folder: Path) -> list[Path]:
    """The files of histories in a folder, by name; raises `HistoryFileError` if there are none."""
    found = sorted(path for path in folder.iterdir() if path.suffix == SUFFIX and not path.name.startswith("."))
    if not found:
        raise HistoryFileError(f"There are no histories (*{SUFFIX}) in {folder}. `switchboard sessions export` writes some.")
    return found
