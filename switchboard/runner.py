"""Runs an application behind the guard, and takes leave of its clients when it is to stop."""

import asyncio
import contextlib
import logging
import os
import resource
import socket
from collections.abc import Iterable

import msgspec
from aiohttp import web

from handlers.counters import Counters
from switchboard.guard import GuardedConnection, GuardedServer, Limits, endpoints_of

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 0.2
"""How long a connection that was taken in last may take to say what it came for."""

LOOK_SECONDS = 0.02
"""How often a server that leaves looks whether anybody is still there."""

MOST_WAITING = 1_024
"""Connections that the kernel keeps for a listening socket until they are taken in."""

SPARE_FILES = 512
"""Descriptors for the rest: the store, the effects' own connections, the listening sockets."""


class GuardedRunner(web.AppRunner):
    """Runs an application behind the guard; used as `web.AppRunner` is. There is no access log.

    `shutdown_timeout` (seconds) is what running requests have to finish when it is cleaned up; then they are cancelled.
    Counts `connections_refused`, `connections_timed_out` and `requests_malformed`.
    """

    __slots__ = ("_counters", "_limits")

    def __init__(self, app: web.Application, limits: Limits, counters: Counters, *, shutdown_timeout: float) -> None:
        super().__init__(app, shutdown_timeout=shutdown_timeout)
        self._limits = limits
        self._counters = counters

    def leave(self) -> None:
        """End every connection with its next answer, so that whoever keeps one goes elsewhere and loses no request when we close it."""
        assert isinstance(self.server, GuardedServer), "it is set up"
        self.server.leaving = True

    async def farewell(self, seconds: float) -> None:
        """Serve whoever comes for `seconds` more, or until nobody is connected; then listen no more.

        Requests that run when this returns go on; there will be no others.
        """
        self.leave()
        server = self.server
        assert server is not None, "it is set up"
        until = asyncio.get_running_loop().time() + seconds
        while server.connections and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(LOOK_SECONDS)
        await self._stop_listening(server)
        if server.connections:
            await asyncio.sleep(SETTLE_SECONDS)
        for each in server.connections:
            assert isinstance(each, GuardedConnection), "the server makes no others"
            each.end()

    async def _stop_listening(self, server: web.Server) -> None:
        """Close the listening sockets, and take in whom the kernel has accepted meanwhile: it would reset them."""
        listening = [socket.socket(fileno=os.dup(each.fileno())) for site in self.sites for each in _sockets(site)]
        for site in self.sites:
            await site.stop()
        waiting: list[socket.socket] = []
        for listener in listening:
            listener.setblocking(False)
            with listener, contextlib.suppress(OSError):  # nobody waits any more
                waiting.extend(listener.accept()[0] for _ in range(MOST_WAITING))
        for each in waiting:
            await asyncio.get_running_loop().connect_accepted_socket(server, each)

    @property
    def running(self) -> int:
        """How many requests are being answered."""
        return sum(each.running for each in self.server.connections if isinstance(each, GuardedConnection)) if self.server else 0

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        limits = msgspec.structs.replace(self._limits, max_connections=_affordable(self._limits.max_connections))
        return GuardedServer(plain, endpoints_of(self.app), limits, self._counters)


def _affordable(connections: int) -> int:
    """How many of the connections the process can have; its limit of open files is raised for them, as far as it may.

    Past that limit asyncio cannot even refuse: it logs an error for each attempt, and the store's connections fail with it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        try:
            raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
        except (OSError, ValueError):  # macOS has a limit that it does not tell
            pass
        possible = max(soft - SPARE_FILES, soft // 2)
        if possible < connections:
            logger.warning(
                "at most %d connections, not %d: the limit of open files is %d. Raise it with ulimit -n.", possible, connections, soft
            )
            return possible
    return connections


def _sockets(site: web.BaseSite) -> Iterable[socket.socket]:
    """The sockets at which a site listens."""
    return getattr(site._server, "sockets", ())  # noqa: SLF001 - the runner's `addresses` do the same
