"""A clerk whose words are posted on a wall, and the office where that happens: what tests of deliveries share."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from support.house import SESSION, Node, Town
from support.wall import Wall, WallMessenger

from workflows import Choice, Retry, Talk, Words, effect, workflow
from workflows.events import Sent


@effect(timeout=3600.0, retry=Retry(attempts=1))
async def think(word: str) -> str: ...


@dataclass
class Poem:
    text: str


@effect(timeout=3600.0, retry=Retry(attempts=1))
async def recite(emit: Callable[[str], None]) -> Poem:
    pieces = ["Once", " upon", " a time."]
    for piece in pieces:
        await asyncio.sleep(1.0)
        emit(piece)
    return Poem("".join(pieces))


@workflow(name="clerk")
async def clerk(talk: Talk, life: int = 1) -> None:
    """Answers at once, after a while, later, in two parts or not at all; goes on in another life; leaves."""
    word = await talk.ask(f"Life {life}.", Words())
    while word != "bye":
        match word:
            case "think":
                talk.say(await talk.call(think, word))
            case "tell":
                await talk.speak(recite)
            case "tell more":
                talk.say("Let me see.")
                await talk.speak(recite)
            case "twice":
                talk.say("One.")
                talk.say("Two.")
            case "silence":
                await talk.call(think, word)
            case "later":
                await talk.sleep(timedelta(hours=1))
                talk.say("Now.")
            case "soon":
                await talk.sleep(timedelta(seconds=1))
                talk.say("Soon.")
            case "choose":
                word = await talk.ask("Which?", Choice({"a": "A", "b": "B"}))
                talk.say(f"You chose {word}.")
            case "again":
                talk.say("Again.")
                await talk.restart(clerk, life + 1)
            case "bug":
                talk.say("Well,")
                raise RuntimeError("a bug")
            case "crash":
                raise RuntimeError("a bug")
            case "short":
                await talk.first(talk.call(think, word), talk.sleep(timedelta(seconds=3)))
            case "aside":
                talk.say((await talk.first(talk.call(think, word), talk.listen(Words())))[1])
            case _:
                talk.say(f"You said {word}.")
        word = await talk.listen(Words())
    talk.say("Bye.")


@workflow(name="clerk")
async def mended(talk: Talk) -> None:
    """The clerk, with its bug mended."""
    word = await talk.ask("Life 1.", Words())
    talk.say(f"You said {word}, didn't you?")
    await talk.listen(Words())


class Office:
    """A town whose nodes post on one wall."""

    def __init__(self) -> None:
        self.wall = Wall()
        self.seconds = 1.0
        self.thoughts = 0
        self.town = Town([clerk], {"think": self._think})
        self.messengers: dict[str, WallMessenger] = {}

    async def _think(self, word: str) -> str:
        self.thoughts += 1
        await asyncio.sleep(self.seconds)
        return f"I thought about {word}."

    def node(self, name: str, workflows: Any = None) -> Node:
        messenger = self.messengers[name] = WallMessenger(self.wall, self.town.world, name)
        messenger.delay = lambda: 0.1
        return self.town.node(name, workflows, messengers={"wall": messenger})

    def open(self, node: Node) -> None:
        node.open(clerk, channel="wall", facts={"pushes": True})
        self.town.wait(5.0)

    @property
    def said(self) -> list[str]:
        return self.wall.texts(SESSION)

    def receipts(self) -> list[tuple[tuple[int, int], dict[str, Any]]]:
        return [(event.output, event.receipt) for event in self.town.events() if isinstance(event, Sent)]
