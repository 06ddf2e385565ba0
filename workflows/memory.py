"""What the model remembers of a conversation: messages of Chat Completions, and a digest of those that were let go.

Whatever happens, every message that calls tools is followed by the results of all of them, for no compatible server takes anything else.
Nothing here is stored: a replay builds it anew, in a few steps an event. Only a restart takes it along, which is how the place where the
memory was cut comes to be on record.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from workflows.think import ChatMessage, ToolCall
from workflows.tools import arguments_of

BUDGET = 8_000
"""Tokens from which on the memory is condensed; with instructions, tools and an answer it fits into any window of 16,000."""

KEPT = 2_000
"""Tokens of the newest turns that are kept as they are."""

BYTES_A_TOKEN = 3
"""English has about four bytes a token, other languages about three: so the estimate is rather too high than too low."""

TOKENS_A_MESSAGE = 8

MOST_BYTES = 6_000
"""Of a single text; more is cut."""

DIGEST_BYTES = 3_000

LONGEST_ID = 64

CONDENSE = (
    "Condense the following conversation between a user and an assistant into at most 300 words, for the assistant to go on from: names, "
    "facts, wishes, decisions, tasks and what is still open. Leave out what is settled and of no more use. Answer with the summary alone."
)


class Past(msgspec.Struct, frozen=True):
    """What is remembered, as a restart takes it along."""

    digest: str = ""
    messages: list[ChatMessage] = []


class Memory:
    """The model's memory of one conversation.

    Attributes:
        tokens: an estimate of what its messages take.
    """

    __slots__ = ("_digest", "_messages", "tokens")

    def __init__(self, past: Past) -> None:
        self._digest = past.digest
        self._messages = list(past.messages)
        self.tokens = sum(map(estimate, self._messages))

    @property
    def past(self) -> Past:
        """It as a value, for a restart."""
        return Past(self._digest, self._messages)

    @property
    def awaits_answer(self) -> bool:
        """Whether the user has the last word."""
        return bool(self._messages) and self._messages[-1]["role"] == "user"

    @property
    def is_full(self) -> bool:
        """Whether it is time to condense it."""
        return self.tokens > BUDGET

    @property
    def overflows(self) -> bool:
        """Whether it cannot wait any longer for a digest."""
        return self.tokens > 2 * BUDGET

    def prompt(self, instructions: str) -> list[ChatMessage]:
        """What the model is asked with."""
        if self._digest:
            instructions = f"{instructions}\n\nEarlier in this conversation, in short:\n{self._digest}"
        return [{"role": "system", "content": instructions}, *self._messages]

    # -- what happens ----------------------------------------------------------------------------------------------------------------------

    def hear(self, text: str) -> None:
        """The user said something."""
        self._add({"role": "user", "content": clip(text, MOST_BYTES)})

    def answer(self, text: str) -> None:
        """The assistant's last word to it."""
        self._add({"role": "assistant", "content": clip(text, MOST_BYTES)})

    def notice(self, text: str) -> None:
        """The assistant spoke up by itself. The user's part is made up: many servers take nothing but turns about."""
        self._add({"role": "user", "content": "(A task of mine has ended.)"})
        self.answer(text)

    def act(self, text: str, calls: Sequence[ToolCall], results: Sequence[str]) -> None:
        """The model called tools (and may have said something), with these results: one step, so that no call is ever without its own."""
        shown = _shown(calls)
        self._add({"role": "assistant", "content": clip(text, MOST_BYTES) or None, "tool_calls": shown})
        for call, result in zip(shown, results, strict=True):
            self._add({"role": "tool", "tool_call_id": call["id"], "content": clip(result, MOST_BYTES)})

    # -- condensing ------------------------------------------------------------------------------------------------------------------------

    def condensing(self) -> list[ChatMessage]:
        """What the model is asked for a digest with: the former digest, and the messages that are to go."""
        lines = [f"Before: {self._digest}"] if self._digest else []
        lines += [line for message in self._messages[: self._cut()] for line in _lines(message)]
        return [{"role": "system", "content": CONDENSE}, {"role": "user", "content": "\n".join(lines)}]

    def forget(self, digest: str | None) -> None:
        """Let the old messages go, for this digest or, failing that, for the former one."""
        if digest is not None:
            self._digest = clip(digest, DIGEST_BYTES)
        del self._messages[: self._cut()]
        self.tokens = sum(map(estimate, self._messages))

    def _cut(self) -> int:
        """Where the newest whole turns begin that fit into what is kept; a turn begins with its user, so calls keep their results."""
        cut, tokens = len(self._messages), 0
        for index in range(len(self._messages) - 1, -1, -1):
            tokens += estimate(self._messages[index])
            if tokens > KEPT:
                break
            if self._messages[index]["role"] == "user":
                cut = index
        return cut

    def _add(self, message: ChatMessage) -> None:
        self._messages.append(message)
        self.tokens += estimate(message)


def estimate(message: ChatMessage) -> int:
    """About how many tokens a message takes."""
    size = len((message["content"] or "").encode())
    for call in message.get("tool_calls", ()):
        size += len(call["function"]["arguments"].encode()) + len(call["function"]["name"])
    return TOKENS_A_MESSAGE + size // BYTES_A_TOKEN


def clip(text: str, most: int) -> str:
    """Cut a text that has more bytes than that, and show it."""
    if len(text) * 4 <= most or len(data := text.encode()) <= most:
        return text
    return data[:most].decode(errors="ignore") + "…"


def _shown(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    """Calls as the model is shown them later: what servers refuse in a message (broken JSON, odd names, ids that clash) is mended."""
    ids = [call.id for call in calls]
    if len({*ids}) < len(ids) or not all(0 < len(id_) <= LONGEST_ID for id_ in ids):
        ids = [f"call{number:05}" for number in range(len(ids))]
    return [
        {
            "id": id_,
            "type": "function",
            "function": {
                "name": re.sub(r"[^A-Za-z0-9_-]", "_", call.name)[:64] or "unknown",
                "arguments": "{}" if arguments_of(call) is None else call.arguments or "{}",
            },
        }
        for id_, call in zip(ids, calls, strict=True)
    ]


def _lines(message: ChatMessage) -> Iterator[str]:
    """A message for the model that condenses it."""
    for call in message.get("tool_calls", ()):
        yield f"assistant calls {call['function']['name']} {call['function']['arguments']}"
    if message["content"]:
        yield f"{message['role']}: {message['content']}"
