"""Conversations that say everything back, for pages that are attacked; lines name them as `support.mockers:<name>`."""

import msgspec

from workflows import Choice, Heard, Talk, effect, workflow


class Text(msgspec.Struct, frozen=True):
    text: str


@effect
async def rave(words: str, emit=None) -> Text:
    """In a dozen pieces, so that markup is half there at times."""
    size = max(len(words) // 12, 1)
    for start in range(0, len(words), size):
        emit(words[start : start + size])
    return Text(words)


@workflow
async def mocker(talk: Talk) -> None:
    """Says what it hears, and makes tasks of it."""
    talk.say("Hello!")
    while True:
        words = (await talk.next(Heard)).text
        talk.note([{"name": words, "kind": words, "about": words, "due": words}, words, {"name": {"no": "text"}}, None, 7])
        talk.say(words)


@workflow
async def raver(talk: Talk) -> None:
    """Streams what it hears."""
    talk.say("Hello!")
    while True:
        await talk.speak(rave, (await talk.next(Heard)).text)


@workflow
async def waiter(talk: Talk) -> None:
    """Offers what it hears."""
    talk.say("Hello!")
    while True:
        words = (await talk.next(Heard)).text
        await talk.ask("Which?", Choice({"1": words, "2": "none of it"}))
