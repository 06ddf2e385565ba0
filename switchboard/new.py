"""The command `new`: a project of one's own, whose tests pass and which answers the phone as it stands."""

import importlib.util
import keyword
import re
import shlex
import shutil
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from string import Template
from typing import Final

import typer

from switchboard.errors import NewError
from switchboard.workdir import OURS

FILES: Final = {
    "{name}.py": ("workflow.py.txt", "the conversation"),
    "test_{name}.py": ("test_workflow.py.txt", "its tests, in which Rehearsal plays the caller"),
    "switchboard.toml": ("switchboard.toml.txt", "which workflow answers at which line"),
    "README.md": ("README.md.txt", "how to go on"),
    "pytest.ini": ("pytest.ini.txt", "how the tests are run"),
    ".gitignore": ("gitignore.txt", "what is for no repository"),
}
"""The files of a project: the template of each, and what it is for."""

_STARTER: Final = Path(__file__).with_name("starter")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


def new(name: str) -> None:
    """Make a project in a folder of its name, and tell how to go on. Raises `NewError`."""
    check_name(name)
    folder = Path.cwd() / name
    make(folder)
    made = {file.format(name=name): purpose for file, (_, purpose) in FILES.items()}
    width = max(map(len, made))
    python, switchboard = _command("python"), _command("switchboard")
    pytest = "" if importlib.util.find_spec("pytest") else f"{python} -m pip install pytest && "
    typer.echo(
        "\n".join([
            f"Made {folder}:",
            *(f"  {file:<{width}}  {purpose}" for file, purpose in made.items()),
            "Next, to run its tests and then the server, which is started anew when you change a file:",
            f"  cd {shlex.quote(name)} && {pytest}{python} -m pytest",
            f"  {switchboard} serve --reload",
        ])
    )  # fmt: skip


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a folder and of the module in it; raises `NewError`, with a remedy."""
    if not _NAME.fullmatch(name):
        better = re.sub(r"\W+|^[\d_]+", "_", name.lower(), flags=re.ASCII).strip("_")
        usable = _NAME.fullmatch(better) and _taken(better) is None
        raise NewError(
            f"{name!r} cannot be the name of a module: it takes small letters a to z, digits and _, and begins with a letter."
            + (f" Try: {better}" if usable else "")
        )
    why = _taken(name)
    if why is not None:
        raise NewError(f"{why}. Choose another name.")


def _taken(name: str) -> str | None:
    """Whose a name is already, or None if it is free."""
    if name in OURS:
        return f"{name} is the name of one of Switchboard's own packages, which would hide yours"
    if keyword.iskeyword(name):
        return f"{name} is a word of Python's own"
    if name == "conftest" or name.startswith("test_"):
        return f"pytest would take {name}.py for a file of its own"
    if name in sys.stdlib_module_names or _is_installed(name):
        return f"Python has a module {name} already, which would hide yours"
    return None


def make(folder: Path) -> None:
    """Write the files of a project into a new folder, which is named like it. Raises `NewError` and leaves nothing behind."""
    try:
        folder.mkdir()
    except FileExistsError:
        raise NewError(f"{folder} is there already. Choose another name, or move it away.") from None
    except OSError as error:
        raise NewError(f"{folder} cannot be made: {error.strerror}. Run this in a folder where you may write.") from None
    try:
        for file, (template, _) in FILES.items():
            text = Template((_STARTER / template).read_text(encoding="utf-8")).substitute(name=folder.name)
            (folder / file.format(name=folder.name)).write_text(text, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise NewError(f"{folder} cannot be filled: {error.strerror}. Nothing was left behind.") from None


def _is_installed(name: str) -> bool:
    """Whether Python finds such a module elsewhere than in the working directory."""
    here = Path.cwd()
    spec = PathFinder.find_spec(name, [place for place in sys.path if place and Path(place).resolve() != here])
    return spec is not None and spec.origin is not None  # a folder without code, which has no origin, hides nothing


def _command(name: str) -> str:
    """How a program of this environment is called: by its name where the shell finds this very one, else by its path."""
    path = Path(sys.executable).with_name(name)
    return name if shutil.which(name) == str(path) else shlex.quote(str(path))
