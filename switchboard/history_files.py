"""Histories as files: what `sessions export` writes, `replay` reads, and our golden histories are kept in.

A file is a JSON list of histories, `{"session": …, "elements": […]}`, the elements in hex, one a line, as they are stored
(`docs/format.md`). `hidden` names the positions of the inputs that were replaced, `left_out` says how many events were cut off. `led_to`
tells, one event a line, what the code that wrote the file made of it (null: it did not repeat it): what it said,
where that is what is on record, what else people saw of it, and what it waited for then. What else may be there is skipped.
"""

import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from switchboard.errors import HistoryFileError
from switchboard.replay import LedTo
from switchboard.show import said_as_value
from workflows.outputs import Output, Play, Say, Ssml

SUFFIX: Final = ".json"

_LONGEST: Final = 200
"""Characters of a file's name that come from the key; file systems take 255 bytes."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A history apart from its store.

    `hidden`: positions of the inputs that were replaced. `left_out`: how many events are missing. `led_to`: what the events led to with the
    code that wrote it down; empty where nobody did.
    """

    session: str
    elements: tuple[bytes, ...]
    hidden: tuple[int, ...] = ()
    left_out: int = 0
    led_to: tuple[LedTo | None, ...] = ()


class _Output(msgspec.Struct):
    say: str | None = None
    ssml: str | None = None
    play: str | None = None
    voice: str | None = None
    language: str | None = None

    def read(self) -> Output:
        if self.ssml is not None:
            return Ssml(self.ssml)
        if self.play is not None:
            return Play(self.play)
        return Say(self.say or "", self.voice, self.language)


class _Row(msgspec.Struct):
    waits: tuple[str, ...]
    said: list[_Output] | None = None
    shows: tuple[str, ...] = ()

    def read(self) -> LedTo:
        return LedTo(self.waits, None if self.said is None else tuple(each.read() for each in self.said), self.shows)


class _Entry(msgspec.Struct):
    session: str
    elements: list[str]
    hidden: tuple[int, ...] = ()
    left_out: int = 0
    led_to: list[_Row | None] = []

    def read(self) -> Recorded:
        led_to = tuple(None if row is None else row.read() for row in self.led_to)
        return Recorded(self.session, tuple(map(bytes.fromhex, self.elements)), self.hidden, self.left_out, led_to)


_decode = msgspec.json.Decoder(list[_Entry]).decode


def read(path: Path) -> list[Recorded]:
    """The histories in a file; raises `HistoryFileError`."""
    try:
        return [entry.read() for entry in _decode(path.read_bytes())]
    except FileNotFoundError:
        raise HistoryFileError(f"There is no file {path}. `switchboard sessions export` writes such files.") from None
    except OSError as error:
        raise HistoryFileError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:  # no JSON, another shape, or no hex
        raise HistoryFileError(f"{path} holds no histories ({error}). `switchboard sessions export` writes files that do.") from None


def write(path: Path, *histories: Recorded) -> None:
    """Write a file whole or not at all, for its owner only: it holds what callers said. Raises `HistoryFileError`."""
    text = "[" + ",\n".join(map(_text, histories)) + "]\n"
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


def _text(recorded: Recorded) -> str:
    fields = [f'"session": {json.dumps(recorded.session)}', f'"elements": {_lines(element.hex() for element in recorded.elements)}']
    if recorded.hidden:
        fields.append(f'"hidden": {json.dumps(recorded.hidden)}')
    if recorded.left_out:
        fields.append(f'"left_out": {recorded.left_out}')
    if recorded.led_to:
        fields.append(f'"led_to": {_lines(map(_row, recorded.led_to))}')
    return f"{{{', '.join(fields)}}}"


def _row(led_to: LedTo | None) -> dict[str, Any] | None:
    if led_to is None:
        return None
    row: dict[str, Any] = {} if led_to.said is None else {"said": list(map(said_as_value, led_to.said))}
    if led_to.shows:
        row["shows"] = led_to.shows
    return row | {"waits": led_to.waits}


def _lines(values: Iterable[Any]) -> str:
    """A list with a value a line, so that changes can be seen."""
    return "[\n" + ",\n".join(json.dumps(value, ensure_ascii=False) for value in values) + "\n]"


def name_of(session: str) -> str:
    """A file's name for a session: its key, with `=` for a colon and `%xx` for what file systems dislike, so that no two share one."""
    name = quote(session, safe="").replace("~", "%7E").replace("%3A", "=")
    if len(name) > _LONGEST:
        name = f"{name[:_LONGEST]}~{sha256(session.encode()).hexdigest()[:16]}"
    return name + SUFFIX


def files_in(folder: Path) -> list[Path]:
    """The files of histories in a folder and below it, by name; raises `HistoryFileError` if there are none."""
    found = sorted(path for path in folder.rglob(f"*{SUFFIX}") if not path.name.startswith("."))
    if not found:
        raise HistoryFileError(f"There are no histories (*{SUFFIX}) in {folder}. `switchboard sessions export` writes some.")
    return found
