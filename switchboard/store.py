"""The store that the settings name: a Redis or Valkey, or the Valkey that comes with the server."""

import os
import secrets
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from handlers.redis_history import RedisHistory
from handlers.redis_wire import Replication
from switchboard.embedded import embedded_valkey
from switchboard.settings import Settings


@asynccontextmanager
async def opened_store(settings: Settings, *, serving: bool = True) -> AsyncGenerator[RedisHistory, None]:
    """The stored histories, as a node of its own sees them. Raises `EmbeddedError`, `StoreError` or `FormatError`.

    Who is `serving` waits for replicas, if the settings say so; who looks after a store does not, for they may be what is missing.
    """
    async with AsyncExitStack() as held:
        url = settings.store.url
        if url is None:
            url = await held.enter_async_context(embedded_valkey(settings.data, settings.store.fsync))
        replication = None
        if serving and settings.store.replicas:
            replication = Replication(settings.store.replicas, round(settings.store.replicas_timeout.total_seconds() * 1000))
        history = RedisHistory(url, new_boot(), replication)
        held.push_async_callback(history.close)
        await history.open()
        yield history


def new_boot() -> str:
    """A name for this start of a process, as a node of the store: nobody else ever has it."""
    return f"{socket.gethostname()}-{os.getpid()}.{secrets.token_hex(6)}"
