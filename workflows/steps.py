"""The steps of a conversation, and the one trap through which they leave it.

`trap` is the only function that ever yields: everything an author awaits is a real `async def` on top of it. So mypy types every await
and knows a forgotten one, and the run that drives the coroutine sees nothing but steps.
"""

import types
from collections.abc import Coroutine, Generator
from typing import TYPE_CHECKING, Any

import msgspec

from workflows.events import Prompt

if TYPE_CHECKING:
    from workflows.effects import Effect
    from workflows.workflow import Workflow


class Errand(msgspec.Struct, frozen=True):
    """A workflow that runs in a session of its own: its id (`<gen>/<step>` of its start), its session's key, its name and its workflow."""

    id: str
    key: str
    name: str
    workflow: str


class Step(msgspec.Struct, frozen=True):
    """What a conversation waits for."""


class ListenStep(Step, frozen=True, gc=False):
    """The next input of one of `types`; `prompt` says how the caller can speak, and how long that is waited for."""

    types: frozenset[str]
    prompt: Prompt = Prompt()


class CallStep(Step, frozen=True):
    """An effect's value. `stream`: its text is passed to the caller while it comes."""

    effect: "Effect[..., Any]"
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    stream: bool = False


class SleepStep(Step, frozen=True):
    """A moment, in ms since the epoch."""

    until: int


class FirstStep(Step, frozen=True):
    """The first of several branches to finish."""

    branches: tuple[Coroutine[Any, Any, Any], ...]


class GatherStep(Step, frozen=True):
    """All of several branches."""

    branches: tuple[Coroutine[Any, Any, Any], ...]


class StartStep(Step, frozen=True):
    """An errand, begun."""

    workflow: "Workflow[..., Any]"
    args: dict[str, Any]
    name: str


class CancelStep(Step, frozen=True):
    """An errand, called off."""

    errand: Errand


class StatusStep(Step, frozen=True):
    """How an errand is doing."""

    errand: Errand


class RestartStep(Step, frozen=True):
    """A new generation of this session; never resumed."""

    workflow: "Workflow[..., Any]"
    args: dict[str, Any]


@types.coroutine
def trap(step: Step) -> Generator[Step, Any, Any]:
    """Hand a step to the run and come back with what became of it."""
    return (yield step)
