"""Crowds that talk to nodes on one store as providers do: what is not acknowledged is sent again, to any node, until it is."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace

from support.house import opening
from support.workflows import echo

from handlers.alarms import Alarms
from handlers.effects import Effects
from handlers.errors import GoneError, StoreError
from handlers.handler import House
from handlers.messages import Inbound
from handlers.redis_history import RedisHistory
from handlers.redis_wire import Replication
from handlers.reply import ReplyTo
from switchboard.board import Board
from switchboard.sweeper import Sweeper
from workflows.events import Heard, decode
from workflows.registry import Registry
from workflows.turns import Answer


class StoreNode:
    """One node: a house on a real store, its board and its sweeper."""

    def __init__(self, url: str, boot: str, replication: Replication | None = None) -> None:
        self.history = RedisHistory(url, boot, replication)
        posting = SimpleNamespace()
        self.house = House(self.history, Registry([echo]), Effects(), posting, Alarms(self.history, posting))
        self.board = Board(self.house)
        posting.post = self.board.post
        self.sweeper = Sweeper(self.house)

    async def start(self) -> None:
        await self.history.open()
        self.sweeper.start()

    async def stop(self) -> None:
        await self.sweeper.stop()
        self.house.alarms.close()
        self.board.stop()
        await asyncio.sleep(0.01)
        await self.history.close()

    async def say(self, session: str, id_: str, text: str | None) -> Answer:
        """The answer to an input; without a text, to an opening."""
        reply: ReplyTo[Answer] = ReplyTo()
        words = {} if text is None else {"type": "said", "payload": {"text": text}}
        self.board.post(Inbound(session, id_, opening=opening(echo) if text is None else None, reply_to=reply, **words))
        return await reply.get(20)


@dataclass
class Crowd:
    """Sessions, each with one caller who says one thing after another.

    `acknowledged`: the inputs of each session that were answered rightly, in order. `strange`: answers that were not right. `moments`:
    when each session's answers came, monotonic. `refused`: how often an input had to be sent again. `lost`: what was acknowledged and
    is not on record.
    """

    nodes: list[StoreNode]
    sessions: list[str]
    pause: float = 0.1
    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    moments: dict[str, list[float]] = field(default_factory=dict)
    strange: list[tuple[str, str, Answer]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    lost: list[tuple[str, str]] = field(default_factory=list)
    stopped: bool = False

    async def run(self) -> None:
        await asyncio.gather(*map(self._talk, self.sessions))

    async def talked(self, sessions: list[str], since: float, count: int = 1) -> None:
        """Wait until each of these sessions has had so many answers since a moment."""
        async with asyncio.timeout(90):
            while any(sum(at > since for at in self.moments.get(session, ())) < count for session in sessions):  # noqa: ASYNC110 - many events
                await asyncio.sleep(0.01)

    async def on_record(self) -> dict[str, Counter[str]]:
        """How often each input of each session is on record."""
        found = {}
        for session in self.sessions:
            elements: list[bytes] = []
            while page := await self.nodes[0].history.load(session, len(elements)):
                elements += page
            found[session] = Counter(event.id for event in map(decode, elements) if isinstance(event, Heard))
        return found

    async def _talk(self, session: str) -> None:
        self.acknowledged[session], self.moments[session] = [], []
        await self._until_answered(session, "open", None, ["Yes?"])
        number = 0
        while not self.stopped:
            number += 1
            await self._until_answered(session, f"m{number}", f"word {number}", [f"You said word {number}.", "Yes?"])
            await asyncio.sleep(self.pause * random.uniform(0.5, 1.5))

    async def _until_answered(self, session: str, id_: str, text: str | None, right: list[str]) -> None:
        while True:
            try:
                answer = await random.choice(self.nodes).say(session, id_, text)
            except (StoreError, GoneError, TimeoutError):
                self.refused[session] += 1
                await asyncio.sleep(0.1)
                continue
            if [output.text for _, _, output in answer.said] == right:
                self.moments[session].append(time.monotonic())
                if text is not None:
                    self.acknowledged[session].append(id_)
            else:
                self.strange.append((session, id_, answer))
            return
