"""The client: raw bytes on keep-alive connections, written beforehand, each answer checked to the byte.

A closed loop: each connection carries one call after the other and sends a turn when the one before is answered.
"""

import asyncio
import gc
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import uvloop

from benchmarks.calls import Exchange


class Load(NamedTuple):
    """What a load led to: seconds in all, seconds of each turn, and the CPU seconds of the client itself."""

    seconds: float
    turns: list[float]
    client_cpu: float


class WrongAnswerError(Exception):
    """An answer was not the one that had to come."""


class _Connection(asyncio.Protocol):
    def __init__(self, work: Iterator[Exchange], turns: list[float]) -> None:
        self._work = work
        self._turns = turns
        self._answer = b""
        self._data = b""
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(WrongAnswerError(f"the connection was lost: {exc}"))

    def send(self) -> None:
        exchange = next(self._work, None)
        if exchange is None:
            self.done.set_result(None)
            self._transport.close()
            return
        request, self._answer = exchange
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        data = self._data + data
        head, _, body = data.partition(b"\r\n\r\n")
        if body == self._answer and head.startswith(b"HTTP/1.1 200 "):
            self._turns.append(time.perf_counter() - self._sent)
            self._data = b""
            self.send()
        elif len(body) < len(self._answer) and head.startswith(b"HTTP/1.1 200 "):
            self._data = data
        else:
            self.done.set_exception(WrongAnswerError(f"{data!r}\ncame, but this had to come: {self._answer!r}"))
            self._transport.close()


async def _drive(address: str, concurrency: int, sessions: Sequence[Sequence[Exchange]], pause: float) -> Load:
    loop = asyncio.get_running_loop()
    host, port = address.split(":")
    turns: list[float] = []
    waiting = iter(sessions)
    connections = []
    for _ in range(concurrency):
        work = (exchange for session in waiting for exchange in session)
        _, connection = await loop.create_connection(lambda work=work: _Connection(work, turns), host, int(port))
        connections.append(connection)
    await asyncio.sleep(pause)
    cpu, start = time.process_time(), time.perf_counter()
    for connection in connections:
        connection.send()
    await asyncio.gather(*[connection.done for connection in connections])
    load = Load(time.perf_counter() - start, turns, time.process_time() - cpu)
    await asyncio.sleep(pause)
    return load


def drive(address: str, concurrency: int, sessions: Sequence[Sequence[Exchange]], pause: float = 0.0) -> Load:
    """Carry the sessions through, `concurrency` at a time; `pause`: seconds of rest before the first and after the last turn."""
    gc.collect()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_drive(address, concurrency, sessions, pause))
    finally:
        gc.enable()
