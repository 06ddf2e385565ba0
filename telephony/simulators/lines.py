"""What a person or a script types, line by line, while other things go on."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress


async def lines() -> AsyncIterator[str]:
    """The lines of the standard input: by a thread, since a terminal's reading cannot be awaited."""
    loop = asyncio.get_running_loop()
    found: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        """Not by `sys.stdin`, whose lock a thread that waits would hold when Python ends."""
        rest = b""
        with suppress(RuntimeError):  # it is over, and its loop closed
            while piece := os.read(sys.stdin.fileno(), 4096):
                *whole, rest = (rest + piece).split(b"\n")
                for line in whole:
                    loop.call_soon_threadsafe(found.put_nowait, line.decode("utf-8", "replace"))
            if rest:
                loop.call_soon_threadsafe(found.put_nowait, rest.decode("utf-8", "replace"))
            loop.call_soon_threadsafe(found.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    while (line := await found.get()) is not None:
        yield line
