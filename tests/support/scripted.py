"""A scripted model: stands for `think`, and looks at every prompt as a strict server would."""

import json
import re
from collections.abc import Callable
from typing import Any

from workflows.think import ChatMessage, Thought, ToolCall, ToolSpec, Usage

Line = Thought | BaseException | str


class Model:
    """Answers with the lines of its script, one after another; when it has none left, with what `otherwise` makes of the prompt.

    Attributes:
        prompts: what it was asked. `digests`: how often for a digest.
    """

    def __init__(self, *script: Line, otherwise: Callable[[list[ChatMessage]], Line] = lambda _: "I see.") -> None:
        self.script = list(script)
        self.otherwise = otherwise
        self.prompts: list[list[ChatMessage]] = []
        self.digests = 0

    def __call__(self, messages: list[ChatMessage], tools: list[ToolSpec]) -> Thought:
        check(messages)
        if messages[0]["content"].startswith("Condense"):
            assert tools == []
            self.digests += 1
            line = self.condense(messages)
        else:
            self.prompts.append([dict(message) for message in messages])
            line = self.script.pop(0) if self.script else self.otherwise(messages)
        if isinstance(line, BaseException):
            raise line
        return Thought(line, usage=Usage(len(messages), 1)) if isinstance(line, str) else line

    def condense(self, messages: list[ChatMessage]) -> Line:
        return f"Digest {self.digests}."


def calls(*tools: tuple[str, Any], text: str = "") -> Thought:
    """An answer that calls tools; arguments that are no text are written as JSON."""
    return Thought(
        text,
        tuple(ToolCall(f"id{i}", name, args if isinstance(args, str) else json.dumps(args)) for i, (name, args) in enumerate(tools)),
        Usage(100, 10),
    )


def check(messages: list[ChatMessage]) -> None:
    """Whether a server of Chat Completions would take these messages; the rules are the union of what several servers insist on."""
    assert messages[0]["role"] == "system"
    rest = messages[1:]
    assert rest[0]["role"] == "user"
    assert not [each for each in rest if each["role"] == "system"]
    before = "system"
    wanted: list[str] = []
    for message in rest:
        role = message["role"]
        if wanted:
            assert role == "tool", "a call goes without its result"
            assert message["tool_call_id"] == wanted.pop(0)
        elif role == "tool":
            raise AssertionError("a result without a call")
        elif role == "assistant":
            assert before in ("user", "tool")
            if tools := message.get("tool_calls"):
                wanted = [call["id"] for call in tools]
                assert len(set(wanted)) == len(wanted)
                assert all(0 < len(id_) <= 64 for id_ in wanted)
                for call in tools:
                    assert call["type"] == "function"
                    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", call["function"]["name"])
                    assert isinstance(json.loads(call["function"]["arguments"]), dict)
            else:
                assert message["content"], "nothing was said"
        else:
            assert role == "user"
            assert before in ("system", "assistant")
        if role in ("user", "tool"):
            assert isinstance(message["content"], str)
            assert message["content"]
        before = role
    assert not wanted, "a call goes without its result"
    assert before in ("user", "tool")
