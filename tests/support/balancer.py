"""A balancer that knows nothing: each connection goes to any of the servers there are, or is dropped."""

import asyncio
import contextlib
import random
from typing import Self

CHUNK = 1 << 16


class Balancer:
    """Listens at `url`; `addresses` are the servers, `host:port`, and may change at any time."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        with contextlib.suppress(asyncio.CancelledError):  # of ours, at the end; the reader's machinery would complain
            await self._deal(reader, writer)
        self._serving.discard(task)
        writer.close()

    async def _deal(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for address in random.sample(self.addresses, len(self.addresses)):
            host, _, port = address.rpartition(":")
            with contextlib.suppress(OSError):
                await self._carry(reader, writer, *await asyncio.open_connection(host, int(port)))
                return

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, from_server: asyncio.StreamReader, to_server: asyncio.StreamWriter
    ) -> None:
        """Pass on what either side says until one of them is gone."""
        ways = [asyncio.create_task(_pass_on(*way)) for way in ((reader, to_server), (from_server, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            to_server.close()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(CHUNK):
        sink.write(data)
        await sink.drain()
