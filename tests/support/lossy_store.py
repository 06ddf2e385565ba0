"""A way to a store on which one reply is lost, and the connection with it: the command was carried out, and nobody is told."""

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Self

from handlers.resp import Replies

CHUNK = 1 << 16


class LossyStore:
    """Passes on what servers ask the store at the socket `path`, in its database `db`; listens at `url`.

    Reply number `fatal`, counted from 1 over all connections, is lost; 0 loses none. `replies` counts them.
    """

    def __init__(self, path: Path, db: int, fatal: int = 0) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="vk"))
        self._path = path
        self._fatal = fatal
        self._serving: set[asyncio.Task[None]] = set()
        self.replies = 0
        self.url = f"unix://{self._folder / 's'}?db={db}"

    @property
    def lost(self) -> bool:
        """Whether the reply was lost by now."""
        return 0 < self._fatal <= self.replies

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._accept, self._folder / "s")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        shutil.rmtree(self._folder)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        with contextlib.suppress(asyncio.CancelledError, OSError):  # cancelled by us alone, at the end
            from_store, to_store = await asyncio.open_unix_connection(self._path)
            asking = asyncio.create_task(_pass_on(reader, to_store))
            try:
                await self._answer(from_store, writer)
            finally:
                asking.cancel()
                to_store.close()
        writer.close()
        self._serving.discard(task)

    async def _answer(self, from_store: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass replies on until one is to be lost."""
        cutter = Replies()
        while data := await from_store.read(CHUNK):
            kept = 0
            for end in range(1, len(data) + 1):
                if cutter.feed(data[end - 1 : end]):
                    self.replies += 1
                    if self.replies == self._fatal:
                        writer.write(data[:kept])
                        await writer.drain()
                        return
                    kept = end
            writer.write(data)
            await writer.drain()


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(CHUNK):
        sink.write(data)
        await sink.drain()
