"""The way of one node to a store in memory, and everything that can go wrong on it."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from support.virtual_time import World

from handlers.errors import StoreError
from handlers.history import Append, Overdue, Renewal, Reply, Restart
from handlers.memory_history import MemoryHistory, MemoryStore, Partition
from workflows.events import AnyEvent, decode

T = TypeVar("T")

Fault = Literal["", "call lost", "reply lost", "late"]
"""The call never reaches the store; it does, but its reply is lost; it is given up and reaches the store afterwards."""


class Line(MemoryHistory):
    """A node's line to the store. Each call takes one turn of the loop there and one back, or `delay()` seconds each way.

    `calls` are the kinds of calls made; `faults` what befalls the next ones, in order, `mishap()` what befalls all
    others; `late` how many seconds the late ones are late; `down`: all are lost. What comes on record is added to `written`; `takeovers` are how often a session became this node's. `before` and `after` are
    called with a call's number when it is about to reach the store and when its reply is about to leave.
    """

    def __init__(self, store: MemoryStore, boot: str, world: World, written: list[tuple[str, AnyEvent]]) -> None:
        super().__init__(store, boot, lambda: world.now() + self.clock_error)
        self.world = world
        self.clock_error = 0
        self.calls: list[str] = []
        self.commands: list[Append | Restart] = []
        self.takeovers: Counter[str] = Counter()
        self._written = written
        self.faults: deque[Fault] = deque()
        self.mishap: Callable[[], Fault] = lambda: ""
        self.late: Callable[[], float] = lambda: 0.3
        self.down = False
        self.delay: Callable[[], float] | None = None
        self.before: Callable[[int], None] = lambda number: None
        self.after: Callable[[int], None] = lambda number: None
        self._network = world.network

    async def carry(self, script: Callable[[], T]) -> T:
        number = len(self.calls) - 1
        fault: Fault = "call lost" if self.down else self.faults.popleft() if self.faults else self.mishap()
        await self._travel()
        if fault == "late":
            self._network.call(self._network.call_later, self.late(), script)
        if fault in ("call lost", "late"):
            raise StoreError(f"call {number} was lost")
        self.before(number)
        await self._dying()
        result = script()
        self.after(number)
        await self._dying()
        await self._travel()
        if fault == "reply lost" or self.down:
            raise StoreError(f"the reply to call {number} was lost")
        return result

    async def _travel(self) -> None:
        await asyncio.sleep(self.delay() if self.delay else 0)

    async def _dying(self) -> None:
        """A process that a hook has killed goes no further."""
        loop: Any = asyncio.get_running_loop()
        if getattr(loop, "dead", False):
            await loop.create_future()

    def _write(self, command: Append | Restart) -> Reply:
        reply = super()._write(command)
        if reply.status == "ok":
            self._written.extend((command.session, decode(element)) for element in command.events)
        return reply

    def _lease(self, indexes: Partition, session: str, now: int, **flags: bool) -> None:
        before = indexes.owner.get(session)
        super()._lease(indexes, session, now, **flags)
        self._count_takeover(session, before, indexes)

    def _peek(self, indexes: Partition, limit: int, ahead_ms: int) -> Overdue:
        before = dict(indexes.owner)
        found = super()._peek(indexes, limit, ahead_ms)
        for session, _ in found.pending:
            self._count_takeover(session, before.get(session), indexes)
        return found

    def _count_takeover(self, session: str, before: tuple[str, int] | None, indexes: Partition) -> None:
        after = indexes.owner.get(session)
        if before and after and before[0] != after[0]:
            self.takeovers[session] += 1

    def count(self) -> Counter[str]:
        return Counter(self.calls)

    async def load(self, session: str, start: int = 0) -> tuple[bytes, ...]:
        self.calls.append("load")
        return await super().load(session, start)

    async def append(self, command: Append) -> Reply:
        self.calls.append("append" if command.events else "claim")
        self.commands.append(command)
        return await super().append(command)

    async def restart(self, command: Restart) -> Reply:
        self.calls.append("restart")
        self.commands.append(command)
        return await super().restart(command)

    async def renew(self, session: str) -> Renewal:
        self.calls.append("renew")
        return await super().renew(session)

    async def peek(self, partition: int, limit: int, ahead_ms: int, *, count: int = 1, claimed: bool = False) -> Overdue:
        self.calls.append("peek")
        return await super().peek(partition, limit, ahead_ms, count=count, claimed=claimed)

    async def clear_due(self, session: str, gen: int, step: str) -> bool:
        self.calls.append("clear_due")
        return await super().clear_due(session, gen, step)

    async def forget(self, session: str) -> bool:
        self.calls.append("forget")
        return await super().forget(session)
