"""The wire format of Chat Completions, as far as the offline demo model speaks it.

See https://platform.openai.com/docs/api-reference/chat and, for the pieces of a stream, .../chat-streaming.
"""

import json
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

NAME = "offline-demo-model"
"""What the model calls itself on the wire."""

PIECES = re.compile(r"\s*\S+|\s+$")
"""A text is streamed word by word,"""

ARGUMENT_PIECE = 16
"""and the arguments of a call so many characters at a time."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A tool to be called; the arguments are text, as on the wire."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model answers."""

    text: str = ""
    calls: tuple[Call, ...] = ()

    @property
    def finish_reason(self) -> str:
        """Why it stopped."""
        return "tool_calls" if self.calls else "stop"


def completion(reply: Reply, usage: Json) -> Json:
    """Give the answer in one piece."""
    message: Json = {"role": "assistant", "content": reply.text or None, "refusal": None}
    if reply.calls:
        message["tool_calls"] = [_call(call) for call in reply.calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
    return {**_head("chat.completion"), "choices": [choice], "usage": usage}


def chunks(reply: Reply, usage: Json | None) -> Iterator[Json]:
    """Give the answer as the chunks of a stream; the last one has the usage, if it is asked for."""
    head = _head("chat.completion.chunk") | ({} if usage is None else {"usage": None})

    def chunk(delta: Json, finish_reason: str | None = None) -> Json:
        return {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]}

    yield chunk({"role": "assistant", "content": "" if reply.text else None, "refusal": None})
    for piece in PIECES.findall(reply.text):
        yield chunk({"content": piece})
    for index, call in enumerate(reply.calls):
        first = _call(call)
        first["function"]["arguments"] = ""
        yield chunk({"tool_calls": [{"index": index, **first}]})
        for start in range(0, len(call.arguments), ARGUMENT_PIECE):
            piece = call.arguments[start : start + ARGUMENT_PIECE]
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, reply.finish_reason)
    if usage is not None:
        yield {**head, "choices": [], "usage": usage}


def event(data: Json) -> bytes:
    """Write a chunk as a server-sent event."""
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
"""What ends a stream."""


def usage_of(messages: list[Json], reply: Reply) -> Json:
    """Make up what would be charged: a token for about four characters."""
    prompt = len(json.dumps(messages, ensure_ascii=False)) // 4
    answer = max(1, (len(reply.text) + sum(len(call.name) + len(call.arguments) for call in reply.calls)) // 4)
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def error(message: str, kind: str, code: str | None = None, param: str | None = None) -> Json:
    """Write an error."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _head(kind: str) -> Json:
    return {"id": f"chatcmpl-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()), "model": NAME}


def _call(call: Call) -> Json:
    return {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
