"""One connection to a server of the store.

Replies come in the order of the commands, so a call is a place in a queue and a future: no task, lock or timer of its own. What is asked
for in one tick of the event loop leaves in one write.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from handlers.errors import StoreError
from handlers.resp import Refusal, Replies, pack

COMMAND_TIMEOUT: Final = 2.0
"""Seconds until an unanswered command fails, and its connection with it: whose reply comes next could not be told any more."""

CHUNK: Final = 16
"""Commands that leave together at most: the store works on the first of a crowd while we prepare the next."""


class Owner(Protocol):
    """Whose connection it is. `round_trips` counts the writes."""

    round_trips: int

    def told(self, why: str) -> str:
        """Put a reason into a sentence that names the server."""
        ...

    def broken(self, wire: "Wire", error: Exception | None) -> str:
        """Why the connection broke, and what to do about it; without an error, the other side has closed it."""
        ...

    def lose(self, wire: "Wire", why: str) -> str:
        """The connection ends; gives the reason as a sentence, for all who wait on it."""
        ...


class Wire(asyncio.Protocol):
    """One connection, from its making to its loss."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._replies = Replies()
        self._unsent: list[tuple[bytes, asyncio.Future[Any]]] = []
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.ended = ""
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def send(self, command: bytes, key: bytes = b"") -> asyncio.Future[Any]:  # noqa: ARG002 - see `ReplicatedWire`
        """Put a packed command about `key` into this tick's write. The future is its reply, or a `StoreError`."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.ended:
            future.set_exception(StoreError(self.ended))
            return future
        if not self._unsent:
            self._loop.call_soon(self._write)
        self._unsent.append((command, future))
        if len(self._unsent) >= CHUNK:
            self._write()
        return future

    @property
    def waited(self) -> float:
        """For how long the oldest command that left has had no answer, seconds."""
        return self._loop.time() - self._waiting[0][0] if self._waiting else 0.0

    async def ask(self, *commands: bytes) -> list[Any]:
        """Send several commands in one write and return their replies and refusals."""
        return await asyncio.gather(*map(self.send, commands))

    def _write(self) -> None:
        if not self._unsent:
            return
        now = self._loop.time()
        cast("asyncio.Transport", self._transport).write(b"".join([command for command, _ in self._unsent]))
        self._owner.round_trips += 1
        self._waiting.extend([(now, future) for _, future in self._unsent])
        self._unsent.clear()
        if self._timer is None:
            self._timer = self._loop.call_at(now + COMMAND_TIMEOUT, self._look)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`: replies, in the order of their commands."""
        try:
            for reply in self._replies.feed(data):
                _, future = self._waiting.popleft()
                if not future.done():  # its caller was cancelled
                    future.set_result(reply)
        except (ValueError, IndexError):
            self.end("what answers there does not speak the Redis protocol: correct REDIS_URL")

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.end(self._owner.broken(self, exc))
        self.gone.set()

    def end(self, why: str) -> None:
        """Drop the connection and tell everybody who waits; the first reason counts."""
        if self.ended:
            return
        self.ended = self._owner.lose(self, why)
        if self._timer is not None:
            self._timer.cancel()
        waiting = [*(future for _, future in self._waiting), *(future for _, future in self._unsent)]
        self._waiting.clear()
        self._unsent.clear()
        for future in waiting:
            if not future.done():
                future.set_exception(StoreError(self.ended))
        if self._transport is not None:
            self._transport.abort()

    def _look(self) -> None:
        """Is the oldest command's time up? If our own loop stood still, replies in the socket were read before timers."""
        self._timer = None
        if self._waiting:
            late = self._waiting[0][0] + COMMAND_TIMEOUT
            if self._loop.time() < late:
                self._timer = self._loop.call_at(late, self._look)
            else:
                self.end(f"no answer within {COMMAND_TIMEOUT:g} s: it is overloaded, stopped or out of reach")


@dataclass(frozen=True, slots=True)
class Replication:
    """How many replicas must have what a reply rests on before it is given, and how long they may take, ms."""

    replicas: int
    timeout_ms: int


class ReplicatedWire(Wire):
    """A connection whose replies are given only when enough replicas have all that they rest on.

    Behind the commands of a write goes one WAIT. It blocks the connection in the store, so what comes meanwhile is held back here and
    leaves together. WAIT looks back to the last write of its own connection, but a reply may rest on somebody else's (a retry that finds
    its input on record, a history that is loaded): so a write of our own goes before it, a mark in any partition that this server has.

    A server of a cluster may refuse a mark in a slot that is moved. Then every partition that was ever asked for here is marked.
    """

    def __init__(self, owner: Owner, replication: Replication) -> None:
        super().__init__(owner)
        self._replication = replication
        self._wait = pack(b"WAIT", b"%d" % replication.replicas, b"%d" % replication.timeout_ms)
        self._tags: dict[bytes, None] = {}
        self._confirming = False
        self._own = 0
        self._nobody: asyncio.Future[Any] = self._loop.create_future()
        self._nobody.cancel()
        self._replied: list[tuple[asyncio.Future[Any], Any]] = []

    def send(self, command: bytes, key: bytes = b"") -> asyncio.Future[Any]:
        """See `Wire`. What is about no partition's key shows nothing of a history and needs no replica."""
        if b"}" in key:
            self._tags[key[: key.index(b"}") + 1]] = None
            self._confirming = True
        return super().send(command)

    def _write(self) -> None:
        if self._waiting or not self._unsent:
            return
        if self._confirming:
            self._confirming = False
            self._add_own(pack(b"SET", next(iter(self._tags)) + b":wait", b"", b"PX", b"60000"), self._wait)
        super()._write()

    def _add_own(self, *commands: bytes) -> None:
        self._unsent += [(command, self._nobody) for command in commands]
        self._own = len(commands)

    def _mark_all(self) -> None:
        """Confirm once more what was replied: one mark that is taken is enough for WAIT.

        Behind ASKING, a slot on its way to this server takes one. It has a key of its own, for a short time: MIGRATE fails when a key that
        it brings is there already.
        """
        held_back, self._unsent = self._unsent, []
        refused = next(iter(self._tags))
        self._tags[refused] = self._tags.pop(refused)  # the last choice from now on
        marks: list[bytes] = []
        for tag in self._tags:
            marks += [pack(b"ASKING"), pack(b"SET", tag + b":asked", b"", b"PX", b"1000")]
        self._add_own(*marks, self._wait)
        super()._write()
        self._unsent = held_back

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`: replies, in the order of their commands."""
        try:
            for reply in self._replies.feed(data):
                _, future = self._waiting.popleft()
                self._replied.append((future, reply))
        except (ValueError, IndexError):
            self.end("what answers there does not speak the Redis protocol: correct REDIS_URL")
        else:
            if not self._waiting:
                self._show()

    def end(self, why: str) -> None:
        """See `Wire`: replies that are not confirmed are none."""
        self._waiting.extendleft([(0.0, future) for future, _ in self._replied])
        self._replied.clear()
        super().end(why)

    def _show(self) -> None:
        """All replies of a write are here: give them to those who wait, and let the next write leave."""
        replied, self._replied = self._replied, []
        why = ""
        if self._own and replied:
            *marks, had = [reply for _, reply in replied[-self._own :]]
            del replied[-self._own :]
            self._own = 0
            if len(marks) == 1 and _of_moved_slot(marks[0]) and not all(isinstance(reply, Refusal) for _, reply in replied):
                self._replied = replied
                self._mark_all()
                return
            why = self._objection(marks[0] if len(marks) == 1 else self._best(marks[1::2]), had)
        for future, reply in replied:
            if future.done():
                continue
            if why and not isinstance(reply, Refusal):
                future.set_exception(StoreError(why))
            else:
                future.set_result(reply)
        self._write()

    def _best(self, marks: list[Any]) -> Any:
        """The reply to a mark that was taken, if one was; it is the first choice from now on."""
        for tag, mark in zip(self._tags, marks, strict=False):  # others may have been asked for meanwhile
            if not isinstance(mark, Refusal):
                self._tags = {tag: None} | self._tags
                return mark
        return marks[0]

    def _objection(self, mark: Any, had: Any) -> str:
        for reply in (mark, had):
            if isinstance(reply, Refusal):
                remedy = "let its user run SET and WAIT" if reply.kind == "NOPERM" else "see to that first"
                if _of_moved_slot(reply):
                    remedy = "a slot is being moved, and it goes on by itself when that is done"
                return self._owner.told(f"it does not tell whether its replicas have it ({reply.text}): {remedy}")
        if had >= self._replication.replicas:
            return ""
        return self._owner.told(
            f"only {had} of {self._replication.replicas} replicas had it within {self._replication.timeout_ms / 1000:g} s: "
            "see to its replicas, or lower [store] replicas"
        )


def _of_moved_slot(reply: Any) -> bool:
    return isinstance(reply, Refusal) and reply.kind in {"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"}
