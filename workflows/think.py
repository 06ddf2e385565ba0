"""The language model, as conversations know it: what it is asked, and what it answers.

A declaration: which model answers is decided where the server starts (entry point `switchboard.effects`). Messages and tools are those of
Chat Completions, which every compatible server speaks.
"""

from typing import Any

import msgspec

from workflows.effects import Retry, effect

ChatMessage = dict[str, Any]
"""A message of Chat Completions: `role`, `content`, and what belongs to calls of tools."""

ToolSpec = dict[str, Any]
"""A tool in the words of Chat Completions: `{"type": "function", "function": {name, description, parameters}}`."""


class ToolCall(msgspec.Struct, frozen=True, gc=False):
    """A tool that the model wants called; `arguments` is the text it wrote, which should be a JSON object but need not be."""

    id: str
    name: str
    arguments: str


class Usage(msgspec.Struct, frozen=True, rename={"prompt_tokens": "in", "completion_tokens": "out"}, gc=False):
    """The tokens that an answer was charged for; short names, since they stand in every memo."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Thought(msgspec.Struct, frozen=True, omit_defaults=True):
    """A whole answer of the model: what it says, the tools it wants called, and what it was charged for (None: nobody knows).

    The usage is recorded beside the value (see `charged`), so it never comes to a conversation.
    """

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = None


@effect(retry=Retry(attempts=3, budget=24.0), timeout=60.0)
async def think(messages: list[ChatMessage], tools: list[ToolSpec]) -> Thought:  # type: ignore[empty-body]  # a declaration
    """Ask the model for the next message of a conversation; without tools none may be offered to it.

    What is bound may take `emit` as well, for the words of the text while they come. An answer that breaks off is a failure, never a
    `Thought`. Raises `TransientError` for what may pass (with what Retry-After says), `TerminalError` for what will not. The budget is the
    web's patience, less a second: who has no answer by then at least knows that the model can't be reached.
    """


def charged(value: Any) -> tuple[Any, dict[str, int] | None]:
    """A value of an effect without its `usage`, if it has one, and that, as it stands in a memo."""
    match value:
        case msgspec.Struct(usage=Usage() as usage):  # type: ignore[misc]  # a struct of whoever declares the effect
            return msgspec.structs.replace(value, usage=None), msgspec.to_builtins(usage)
    return value, None
