"""The working directory as a place to import workflows from: last on the path, so that nothing in it takes our packages' places."""

import importlib.util
import sys
from pathlib import Path
from typing import Final

from switchboard.errors import ShadowError

OURS: Final = ("workflows", "handlers", "switchboard", "telephony")

_HOME: Final = Path(__file__).resolve().parents[1]


def join_path() -> None:
    """Put the working directory last on the path, so that `mybot:greet` is found there.

    Raises `ShadowError` when a folder before it (by PYTHONPATH, say) has taken the place of one of our packages.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    for name in OURS:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or Path(spec.origin).resolve().parents[1] != _HOME:
            place = "nowhere" if spec is None or spec.origin is None else Path(spec.origin).parent
            raise ShadowError(
                f"Switchboard's own package {name} is hidden: Python finds it at {place}, and ours is in {_HOME}. "
                "Rename what hides it, or take its folder off PYTHONPATH."
            )


def hidden_folders() -> list[Path]:
    """What our packages hide in the working directory: folders and modules of the user's with one of our four names."""
    here = Path.cwd()
    if here.resolve() == _HOME:
        return []
    found = [here / name for name in OURS if any((here / name).glob("*.py"))]
    return found + [file for name in OURS if (file := here / f"{name}.py").is_file()]
