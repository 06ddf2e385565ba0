"""What other distributions bring to the server, by entry points, and the protocols of what is open as long as the server is.

- An effect (`switchboard.effects`, by the effect's name) is either an `async def`, bound as it stands, or takes the settings and gives an
  async context manager whose value is what is bound: a class that keeps a client, closed with the server.
- A service (`switchboard.services`) takes the settings and gives an async context manager, too; its value is the settings as they are with
  it. So a stand-in for a vendor tells the bindings, which are opened after it, where it is to be reached.
"""

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.metadata import entry_points
from typing import Any, Protocol

from switchboard.errors import PluginError
from switchboard.settings import Settings

Body = Callable[..., Awaitable[Any]]
"""What is called for an effect: with its arguments, and with `emit=` if it has such a parameter and the call is streamed."""


class Service(Protocol):
    """Something that runs beside the server."""

    def __call__(self, settings: Settings, /) -> AbstractAsyncContextManager[Settings]:
        """Open it."""
        ...


class Binding(Protocol):
    """The body of an effect that has to be opened and closed."""

    def __call__(self, settings: Settings, /) -> AbstractAsyncContextManager[Body]:
        """Open it."""
        ...


def plugins(group: str) -> Iterator[tuple[str, Any]]:
    """What is named in a group of entry points. Raises `PluginError` when one cannot be loaded."""
    for point in entry_points(group=group):
        try:
            found = point.load()
        except Exception as error:
            raise PluginError(
                f"{point.name} of {group} cannot be loaded ({point.value}): {type(error).__name__}: {error}. "
                "Mend or uninstall the distribution that brings it."
            ) from error
        yield point.name, found


@asynccontextmanager
async def opened_services(settings: Settings) -> AsyncGenerator[Settings]:
    """Run all services; gives the settings as they are with them."""
    async with AsyncExitStack() as opened:
        for _, service in plugins("switchboard.services"):
            settings = await opened.enter_async_context(service(settings))
        yield settings


@asynccontextmanager
async def opened_bindings(settings: Settings) -> AsyncGenerator[Mapping[str, Body]]:
    """Open all that is bound to effects, by their names."""
    async with AsyncExitStack() as opened:
        bodies: dict[str, Body] = {}
        for name, found in plugins("switchboard.effects"):
            bodies[name] = found if inspect.iscoroutinefunction(found) else await opened.enter_async_context(found(settings))
        yield bodies
