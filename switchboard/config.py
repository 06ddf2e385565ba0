"""The command `config show`: every setting, its value, and where that came from, as a settings file that could be used as it is."""

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr
from rich.text import Text

from switchboard import show
from switchboard.settings import ENVIRONMENT, FILE, Settings, load

_COLUMN: Final = 44
"""Where comments begin, if the value leaves room."""

_UNITS: Final = {86_400: "d", 3_600: "h", 60: "m", 1: "s"}

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")

Place = tuple[str, ...]


def show_config(config: Path | None, data: Path | None) -> None:
    """Write all settings as TOML, each with its origin in a comment. Raises `SettingsError` when one is wrong."""
    settings = load(config, data=data)
    path = config or FILE
    origins = {place: f"{path}:{line}" for place, line in lines_of(path.read_text(encoding="utf-8") if path.is_file() else "").items()}
    origins |= {place: variable for variable, place in ENVIRONMENT.items() if os.environ.get(variable)}
    if data is not None:
        origins["data",] = "--data"
    console = show.console()
    for line in _written(settings, origins):
        console.print(line)


def lines_of(text: str) -> dict[Place, int]:
    """The line on which each setting of a TOML document begins, counted from 1.

    The document is read piece by piece: a piece ends where the parser is content, and belongs to the last table's header.
    """
    places: dict[Place, int] = {}
    header, tables, begun = "", set[Place](), 1
    piece: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not piece:
            begun = number
        piece.append(line)
        try:
            found = tomllib.loads("\n".join([header, *piece, ""]))
        except tomllib.TOMLDecodeError:
            continue
        if line.lstrip().startswith("[") and len(piece) == 1:
            header, tables = line, set(_places(found))
        else:
            for place in _places(found):
                if place not in tables:
                    places.setdefault(place, begun)
        piece.clear()
    return places


def _places(table: Mapping[str, Any], above: Place = ()) -> Iterator[Place]:
    for name, value in table.items():
        place = (*above, name)
        yield place
        if isinstance(value, dict):
            yield from _places(value, place)
        elif len(place) == 2 and above == ("lines",):  # noqa: PLR2004 - the short form of a line names its workflow
            yield (*place, "workflow")


def _written(settings: Settings, origins: Mapping[Place, str]) -> Iterator[Text]:
    tables: list[tuple[Place, BaseModel]] = []
    yield Text("# What belongs into the file; secrets are not shown.", "dim")
    alone = {place[0]: variable for variable, place in ENVIRONMENT.items() if len(place) == 1}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            tables.append(((name,), value))
        elif isinstance(value, dict):
            tables += [((name, key), each) for key, each in value.items()]
        elif name not in alone:
            yield _setting((name,), value, origins)
    for place, table in tables:
        yield Text()
        yield Text(f"[{'.'.join([place[0], *map(_key, place[1:])])}]", "bold")
        for name in type(table).model_fields:
            yield _setting((*place, name), getattr(table, name), origins)
    yield Text()
    yield Text("# What comes from the environment alone:", "dim")
    for name, variable in alone.items():
        yield _variable(variable, getattr(settings, name))


def _setting(place: Place, value: Any, origins: Mapping[Place, str]) -> Text:
    origin = origins.get(place, "default")
    if value is None:
        return Text(f"# {place[-1]} is not set", "dim")
    if place == ("store", "url"):
        value = _without_login(value)
    line = f"{place[-1]} = {_toml(value)}"
    return Text.assemble(line.ljust(_COLUMN), (f"  # {origin}", "dim"))


def _variable(variable: str, value: Any) -> Text:
    if value is None:
        return Text(f"# {variable} is not set", "dim")
    if isinstance(value, SecretStr):
        return Text(f"# {variable} = (set, not shown)")
    return Text(f"# {variable} = {_string(_without_login(value) if variable.endswith('_URL') else value)}")


def _toml(value: Any) -> str:
    """A value as TOML; what is None inside a table is left out, which means the same."""
    match value:
        case bool():
            return str(value).lower()
        case timedelta():
            seconds = value.total_seconds()
            size = next((size for size in _UNITS if seconds % size == 0), 1)
            return _string(f"{seconds / size:.6f}".rstrip("0").rstrip(".") + _UNITS[size])
        case int() | float():
            return str(value)
        case list() | tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            inside = ", ".join(f"{_key(str(name))} = {_toml(each)}" for name, each in value.items() if each is not None)
            return f"{{ {inside} }}" if inside else "{}"
        case _:
            return _string(str(value))


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    _, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f":***@{host}").geturl() if at else url


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


def _string(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
