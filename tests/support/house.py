"""Houses on one store in memory, as processes of a world in virtual time: nodes that can be talked to, stopped, killed and replaced."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from random import Random
from typing import Any

from support.faults import Line
from support.virtual_time import START, World

from handlers.alarms import AHEAD_MS, Alarms
from handlers.deliveries import Messenger
from handlers.effects import Effects
from handlers.errors import StoreError
from handlers.handler import House
from handlers.history import partition_of
from handlers.memory_history import MemoryStore
from handlers.messages import Collect, Inbound, Message, Opening, Resume, Status
from handlers.reply import ReplyTo
from switchboard.board import Board
from switchboard.sweeper import PERIOD_SECONDS, Sweeper
from workflows.events import AnyEvent, decode
from workflows.registry import Registry
from workflows.turns import Answer

SESSION = "web:1"
IDLE = 30.0
BEGIN_MS = int(START * 1000)

Bodies = Mapping[str, Callable[..., Awaitable[Any]]]


class Node:
    """One process: a house, its board, and its line to the store."""

    def __init__(
        self, town: "Town", name: str, workflows: Iterable[Any], bodies: Bodies, idle: float, *, messengers: Mapping[str, Messenger]
    ) -> None:
        self.town = town
        self.name = name
        self.process = town.world.process(name)
        self.line = town.line(name)
        rng = Random(f"{town.seed}/{name}")
        alarms = Alarms(self.line, self)
        self.house = House(self.line, Registry(workflows), Effects(bodies, rng), self, alarms, idle, rng=rng, messengers=dict(messengers))
        self.board: Board = self.process.call(Board, self.house)
        self.sweeper = Sweeper(self.house)
        if town.sweeps:
            self.process.spawn(self._sweep())

    def post(self, message: Message) -> None:
        self.board.post(message)

    @property
    def dead(self) -> bool:
        return self.process.dead

    def kill(self) -> None:
        """The process is gone, as after `kill -9`."""
        self.town.world.kill(self.process)

    # -- talking to it -----------------------------------------------------------------------------------------------------------------

    def send(self, message_with: Callable[[ReplyTo[Any]], Message], patience: float | None = None) -> asyncio.Task[Any]:
        """Post a message with a reply-to; an endpoint waits for it, at most `patience` seconds."""
        reply: ReplyTo[Any] = self.process.call(ReplyTo)
        self.process.call(self.post, message_with(reply))
        endpoint = self.process.spawn(reply.get(patience))
        endpoint.add_done_callback(lambda task: task.cancelled() or task.exception())  # a test may not care for it
        return endpoint

    def tell(
        self, id_: str, text: str | None = None, *, patience: float | None = None, session: str = SESSION, **more: Any
    ) -> asyncio.Task[Answer]:
        """Post an input: words if there is a text, else what `type` and `payload` say."""
        fields = {"type": "said", "payload": {"text": text}} | more if text is not None else more
        return self.send(lambda reply: Inbound(session, id_, reply_to=reply, **fields), patience)

    def say(self, id_: str, text: str | None = None, **more: Any) -> Answer:
        """The answer to an input."""
        return self.finish(self.tell(id_, text, **more))

    def open(self, workflow: Any, id_: str = "open", *, session: str = SESSION, fresh: bool = True, **more: Any) -> Answer:
        """The answer to an opening."""
        return self.say(id_, session=session, opening=opening(workflow, **more), fresh=fresh)

    def collect(
        self, turn: int | str, offset: int = 0, *, session: str = SESSION, wait: bool = True, patience: float | None = None
    ) -> Answer:
        return self.finish(self.send(lambda reply: Collect(session, turn, offset, reply, wait), patience))

    def status(self, session: str = SESSION) -> dict[str, Any]:
        return self.finish(self.send(lambda reply: Status(session, reply)))

    def finish(self, task: asyncio.Task[Any]) -> Any:
        """The outcome of an endpoint's wait."""
        self.town.world.run(lambda: task.done() or self.dead)
        assert task.done(), f"{self.name} died"
        return task.result()

    def resume(self, session: str = SESSION, attempts: int = 1) -> None:
        self.process.call(self.post, Resume(session, attempts))

    # -- looking after it --------------------------------------------------------------------------------------------------------------

    @property
    def live(self) -> int:
        return self.board.live

    def evict(self) -> None:
        """Send every handler away, whatever it does."""
        self.process.call(self.board.evict_all)
        self.town.settle()

    def forget(self, session: str = SESSION) -> bool:
        task = self.process.spawn(self.line.forget(session))
        return bool(self.finish(task))

    def sweep(self, *sessions: str) -> None:
        """Sweep the partitions of all sessions that are in an index, or of these."""
        for partition in sorted({partition_of(session) for session in sessions or self.town.indexed()}):
            task = self.process.spawn(self.sweeper.look(partition))
            self.town.world.run(lambda task=task: task.done() or self.dead)  # type: ignore[misc]  # bound at once

    async def _sweep(self) -> None:
        """As the sweeper does, but only where there is something to be found."""
        while True:
            for partition in self.town.overdue():
                with suppress(StoreError):
                    await self.sweeper.look(partition)
            await asyncio.sleep(PERIOD_SECONDS * self.house.rng.uniform(0.9, 1.1))

    @contextmanager
    def counting(self) -> Any:
        """Counts the calls to the store that are made meanwhile, the sweeper's aside."""
        calls: list[str] = []
        before = len(self.line.calls)
        yield calls
        calls.extend(call for call in self.line.calls[before:] if call != "peek")


class Town:
    """A store, and the nodes that share it."""

    def __init__(
        self, workflows: Iterable[Any], bodies: Bodies | None = None, *, seed: int | None = None, idle: float = IDLE, sweeps: bool = True
    ) -> None:
        self.seed = seed
        self.sweeps = sweeps
        self.world = World(seed)
        self.store = MemoryStore()
        self.nodes: list[Node] = []
        self.log: list[tuple[str, AnyEvent]] = []
        self._workflows = list(workflows)
        self._bodies = bodies or {}
        self._idle = idle

    def line(self, name: str) -> Line:
        """A way to the store."""
        return Line(self.store, name, self.world, self.log)

    def node(
        self,
        name: str,
        workflows: Iterable[Any] | None = None,
        bodies: Bodies | None = None,
        messengers: Mapping[str, Messenger] | None = None,
    ) -> Node:
        workflows = self._workflows if workflows is None else workflows
        node = Node(self, name, workflows, self._bodies | (bodies or {}), self._idle, messengers=messengers or {})
        self.nodes.append(node)
        return node

    def settle(self) -> None:
        """Let happen whatever happens at once."""
        self.world.wait(0.0)

    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    def close(self) -> None:
        """End the world; nothing may have been raised where nobody caught it."""
        errors = self.world.errors
        self.world.close()
        assert not errors, errors

    def skip_to_due(self) -> None:
        """Set the clock forward to just before the next entry of the due index, if there is any."""
        self.world.skew += max(min(self.due.values(), default=0.0) - self.world.now() - 10_000, 0.0) / 1000

    # -- what is stored ----------------------------------------------------------------------------------------------------------------

    def sessions(self) -> list[str]:
        return list(self.store.histories)

    def indexed(self) -> set[str]:
        """The sessions that are in an index."""
        return {*self.pending, *(member.rpartition(" ")[0] for member in self.due)}

    def overdue(self) -> list[int]:
        """The partitions in which a sweep finds something."""
        now = self.world.now()
        return [
            number
            for number, index in sorted(self.store.partitions.items())
            if any(at < now for at in index.pending.values()) or any(at <= now + AHEAD_MS for at in index.due.values())
        ]

    def events(self, session: str = SESSION) -> list[AnyEvent]:
        stored = self.store.histories.get(session)
        return [decode(element) for element in stored.elements] if stored else []

    def kinds(self, session: str = SESSION) -> list[str]:
        return [type(event).__name__.lower() for event in self.events(session)]

    @property
    def written(self) -> dict[str, list[AnyEvent]]:
        """Everything that ever came on record, by session; of a generation that was replaced, too."""
        written: dict[str, list[AnyEvent]] = {}
        for session, event in self.log:
            written.setdefault(session, []).append(event)
        return written

    @property
    def takeovers(self) -> Counter[str]:
        """How often each session's work became another node's."""
        return sum((node.line.takeovers for node in self.nodes), Counter())

    @property
    def pending(self) -> list[str]:
        return sorted(session for index in self.store.partitions.values() for session in index.pending)

    @property
    def due(self) -> dict[str, float]:
        return {member: at for index in self.store.partitions.values() for member, at in index.due.items()}

    def backup(self) -> MemoryStore:
        return deepcopy(self.store)

    def fail_over(self, backup: MemoryStore, *sessions: str) -> None:
        """The store comes back as it was: what was written since is lost, for all sessions or for the partitions of some."""
        partitions = {partition_of(session) for session in sessions}
        for lists, old in ((self.store.histories, backup.histories), (self.store.old, backup.old)):
            for name in {*lists, *old}:
                if not partitions or partition_of(name.rpartition("/")[0] if lists is self.store.old else name) in partitions:
                    lists.pop(name, None)
                    if name in old:
                        lists[name] = deepcopy(old[name])
        for number in {*self.store.partitions, *backup.partitions}:
            if not partitions or number in partitions:
                self.store.partitions[number] = deepcopy(backup.partitions[number])


def opening(workflow: Any, args: dict[str, Any] | None = None, **more: Any) -> Opening:
    return Opening(workflow.name, args or {}, more.pop("channel", "web"), **more)


def texts(answer: Answer) -> list[str]:
    """What was said, as plain texts."""
    return [output.text for _, _, output in answer.said]
