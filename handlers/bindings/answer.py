"""An answer of Chat Completions, put together from the pieces of its stream.

The protocol: https://platform.openai.com/docs/api-reference/chat-streaming. Compatible servers differ in small things: which piece carries
the usage, whether an id is repeated, whether calls are numbered.
"""

from collections.abc import Callable
from typing import Any

from workflows.errors import TransientError
from workflows.think import Thought, ToolCall, Usage

MOST_CHARACTERS = 200_000
"""Of an answer; a model that says more has lost its way, and would fill the memory."""

MOST_CALLS = 64
"""Calls of tools in an answer that are kept; more are as good as none."""


class _Call:
    """A call whose pieces are coming in."""

    __slots__ = ("arguments", "id", "index", "name")

    def __init__(self, index: int | None, id_: str) -> None:
        self.index = index
        self.id = id_
        self.name = ""
        self.arguments: list[str] = []


class Answer:
    """An answer on its way in; `emit` is given the words of its text while they come.

    Attributes:
        finished: whether the model has said that this is all; what may still come is the usage.
    """

    __slots__ = ("_calls", "_emit", "_room", "_text", "_usage", "finished")

    def __init__(self, emit: Callable[[str], None]) -> None:
        self.finished = False
        self._emit = emit
        self._text: list[str] = []
        self._calls: list[_Call] = []
        self._usage: Usage | None = None
        self._room = MOST_CHARACTERS

    def take(self, chunk: Any) -> None:
        """Take in the next `chat.completion.chunk`, as JSON, to whose types no server is held.

        Raises `TransientError` when the answer has no end, and whatever Python raises where it has another shape.
        """
        for choice in chunk.get("choices") or ():
            if choice.get("index"):  # we ask for one answer; some servers number it not at all
                continue
            if (delta := choice.get("delta")) is not None:
                self._say(_text(delta.get("content")) or _text(delta.get("refusal")))
                for piece in delta.get("tool_calls") or ():
                    self._call(piece)
            self.finished |= bool(choice.get("finish_reason"))
        match chunk.get("usage"):
            case {"prompt_tokens": int(prompt), "completion_tokens": int(completion)}:
                self._usage = Usage(prompt, completion)

    def thought(self) -> Thought:
        """The whole answer. Raises `TransientError` when the stream ended before the model did."""
        if not self.finished:
            raise TransientError("the answer broke off: the stream ended without a finish_reason")
        calls = tuple(ToolCall(call.id, call.name, "".join(call.arguments)) for call in self._calls)
        return Thought("".join(self._text), calls, self._usage)

    def _say(self, text: str) -> None:
        if text:
            self._take_room(text)
            self._text.append(text)
            self._emit(text)

    def _call(self, piece: Any) -> None:
        """A piece belongs to the call of its index; where servers do not count, a new id begins a new call."""
        index, id_ = piece.get("index"), _text(piece.get("id"))
        known = [call for call in self._calls if call.index == index] if index is not None else self._calls
        call = known[-1] if known else None
        if call is None or (id_ and call.id and id_ != call.id):
            if len(self._calls) >= MOST_CALLS:
                return
            call = _Call(index, id_)
            self._calls.append(call)
        call.id = call.id or id_
        if (function := piece.get("function")) is not None:
            call.name = call.name or _text(function.get("name"))
            if text := _text(function.get("arguments")):
                self._take_room(text)
                call.arguments.append(text)

    def _take_room(self, text: str) -> None:
        self._room -= len(text)
        if self._room < 0:
            raise TransientError(f"the answer has more than {MOST_CHARACTERS:,} characters")


def _text(value: object) -> str:
    """A text that may be missing. Raises `TypeError` where something else stands in its place."""
    match value:
        case None:
            return ""
        case str():
            return value
    raise TypeError(f"a text was expected, there is {type(value).__name__}")
