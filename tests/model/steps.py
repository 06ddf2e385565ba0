"""What a toy conversation can say and await. A conversation is a generator that yields these and is sent the results."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

LEFT = "left"
"""What a listen hears when the caller has left."""


@dataclass(frozen=True, slots=True)
class Say:
    """An output."""

    text: object


@dataclass(frozen=True, slots=True)
class Listen:
    """The next input of a kind: `said`; `errand`, an errand's result; `return`, the word of a caller who had left."""

    kind: str = "said"


@dataclass(frozen=True, slots=True)
class Call:
    """An effect. Whoever runs one of kind `kill` dies of it."""

    kind: str = "call"


@dataclass(frozen=True, slots=True)
class Sleep:
    """An alarm."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start the errand that lives in session `child`."""

    child: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel it."""

    child: int


@dataclass(frozen=True, slots=True)
class Restart:
    """Begin a new generation."""


@dataclass(frozen=True, slots=True)
class First:
    """Whichever branch is done first; the result is its number and value."""

    branches: tuple["Step", ...]


@dataclass(frozen=True, slots=True)
class Gather:
    """All branches; the result is a tuple of theirs."""

    branches: tuple["Step", ...]


Leaf = Listen | Call | Sleep | Start | Cancel | Restart
Step = Leaf | First | Gather
Talk = Generator[Step | Say, Any, None]
Conversation = Callable[[int], Talk]
