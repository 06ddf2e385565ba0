"""Stored histories, as commands read them: whole, and without a server."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from handlers.history import PAGE, History
from switchboard import show
from switchboard.errors import SettingsError, UnknownSessionError
from switchboard.settings import Settings
from switchboard.store import opened_store


@asynccontextmanager
async def stored_histories(settings: Settings) -> AsyncGenerator[History, None]:
    """The stored histories. Where there are none yet, no store is started to hold them."""
    if settings.store.url is None and not settings.data.is_dir():
        raise SettingsError(
            f"There is no data directory {settings.data.absolute()}. Run this where the server runs, or name its directory with --data, "
            "or its store with REDIS_URL."
        )
    async with opened_store(settings, serving=False) as history:
        yield history


async def load_whole(history: History, session: str) -> list[bytes]:
    """A whole history, of one life of its session; empty if there is none.

    Each page begins with the last element of the page before: if that is another one by now, the session has begun a new life, and
    is read anew.
    """
    elements: list[bytes] = []
    while True:
        page = await history.load(session, max(len(elements) - 1, 0))
        if elements and page[:1] != (elements[-1],):
            elements.clear()
            continue
        elements += page[1:] if elements else page
        if len(page) < PAGE:
            return elements


async def find(history: History, session: str) -> list[bytes]:
    """A whole history that has to be there; raises `UnknownSessionError`."""
    elements = await load_whole(history, session)
    if not elements:
        raise UnknownSessionError(f"There is no session {show.clean(session)}. `switchboard sessions ls` tells which there are.")
    return elements
