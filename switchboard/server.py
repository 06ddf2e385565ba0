"""The server: puts the house together, listens, and takes it down again."""

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, nullcontext

from aiohttp import web

from handlers.alarms import Alarms
from handlers.counters import Counters
from handlers.effects import Effects
from handlers.errors import HandlerError
from handlers.handler import Handler, House
from handlers.history import History
from handlers.messages import Message
from handlers.right_of_way import RightOfWay
from switchboard import logs
from switchboard.board import Board
from switchboard.channel import Channel, Exchange, Page, Pushing, Running
from switchboard.drain import drain
from switchboard.errors import ServerError
from switchboard.guard import Limits
from switchboard.metrics import Metrics
from switchboard.plugins import Body, opened_bindings, opened_services, plugins
from switchboard.runner import GuardedRunner
from switchboard.settings import Settings
from switchboard.store import opened_store
from switchboard.sweeper import Sweeper
from workflows.registry import Registry

logger = logging.getLogger(__name__)

HAND_OVER_SECONDS = 1.0
"""How long the store may take to hear what others shall go on with; else they see it when our leases run out."""

LOOK_SECONDS = 0.02
"""How often we look meanwhile whether handlers that wait for the store are done."""

CUT_OFF_SECONDS = 0.5
"""How long a request may take that is still running when all is over."""


class Posting:
    """The port through which handlers reach the switchboard, which is made after them."""

    def __init__(self) -> None:
        self.post: Callable[[Message], None] = self._too_early

    @staticmethod
    def _too_early(message: Message) -> None:
        raise RuntimeError(f"{type(message).__name__} came before there was a switchboard")


class Server:
    """One node, put together: a history, what is bound to effects, a switchboard, a sweeper and the channels."""

    def __init__(self, settings: Settings, history: History, bindings: Mapping[str, Body] | None = None) -> None:
        posting = Posting()
        alarms = Alarms(history, posting)
        self.counters = Counters()
        way = RightOfWay()
        self.house = House(
            history,
            Registry(),
            Effects(bindings, counters=self.counters, way=way),
            posting,
            alarms,
            settings.sessions.idle.total_seconds(),
            round(settings.store.ttl.total_seconds() * 1000),
            most_live=settings.limits.live_sessions,
            counters=self.counters,
            way=way,
        )
        self.board = Board(self.house)
        posting.post = self.board.post
        self.limits = Limits(
            header_seconds=settings.server.header_timeout.total_seconds(),
            body_seconds=settings.server.body_timeout.total_seconds(),
            idle_seconds=settings.server.idle_timeout.total_seconds(),
            max_body=settings.server.max_body,
            max_connections=settings.server.max_connections,
        )
        self.exchange = Exchange(settings, self.limits, self.house)
        self.sweeper = Sweeper(self.house)
        self._closed = False
        self.app = web.Application(client_max_size=settings.server.max_body)
        self.metrics = Metrics(settings, self.house, self.board, self.exchange)
        self.for_machines = web.Application()
        machines = {"/healthz": self._health, "/readyz": self._readiness, "/metrics": self.metrics.endpoint}
        for app in (self.app, self.for_machines):
            app.add_routes([web.get(path, endpoint) for path, endpoint in machines.items()])
        self.app.on_shutdown.append(self._end_streams)
        for channel in _channels(self.exchange):
            self.app.add_routes(channel.routes())
            if isinstance(channel, Pushing):
                self.house.messengers[channel.name] = channel.messenger
            if isinstance(channel, Running):
                self.app.cleanup_ctx.append(channel.running)
        for page in _pages(self.exchange):
            self.app.add_routes(page.routes())
        self.app.cleanup_ctx.append(self._running)

    async def _health(self, _: web.Request) -> web.Response:
        """The process lives."""
        return web.json_response({"status": "ok", "live": self.board.live})

    async def _readiness(self, _: web.Request) -> web.Response:
        """The store answers, and we mean to stay."""
        if self.exchange.leaving.is_set():
            reason = "the server stops: ask another one"
            return web.json_response({"status": "stopping", "reason": reason}, status=503, headers={"Retry-After": "1"})
        try:
            await self.house.history.load("readiness")
        except HandlerError as error:
            return web.json_response({"status": "unavailable", "reason": str(error)}, status=503, headers={"Retry-After": "1"})
        return web.json_response({"status": "ready"})

    async def _end_streams(self, _: web.Application) -> None:
        """They would never end by themselves, and the drain would wait for them."""
        self.house.followers.close()

    async def _running(self, _: web.Application) -> AsyncIterator[None]:
        """Begun last and ended first: handlers post by what the channels keep open."""
        self.metrics.lag.start()
        yield
        self.metrics.lag.stop()
        await self.close()

    async def drain(self, runner: GuardedRunner) -> None:
        """Be ready no more, leave the sweeping to others, and finish what was begun; `close` hands over what is not."""
        self.exchange.leaving.set()
        runner.leave()
        await self.sweeper.stop()
        await asyncio.gather(self._hand_over([]), drain(self.house, self.board, self.exchange, runner))

    async def close(self) -> None:
        """Take the house down, and hand over what is outstanding."""
        if self._closed:
            return
        self._closed = True
        await self.sweeper.stop()
        self.house.alarms.close()
        handlers = self.board.handlers()
        led = {handler.session for handler in handlers if handler.leads}
        self.board.stop()
        await asyncio.sleep(0)  # what was under way is cancelled
        busy = [handler for handler in handlers if not handler.stopped]
        await self._hand_over(led - {handler.session for handler in busy}, busy)

    async def _hand_over(self, sessions: Collection[str], busy: Collection[Handler] = ()) -> None:
        """Let others go on with these sessions, and with those of busy handlers as soon as they have left.

        They wait for the store, and go on with what it answers before they hear that they are to leave: till then they need their leases.
        """
        late = len(sessions) + len(busy)
        try:
            async with asyncio.timeout(HAND_OVER_SECONDS):
                await self.house.history.hand_over(sessions)
                late = len(busy)
                while not all(handler.stopped for handler in busy):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(LOOK_SECONDS)
                if busy:
                    await self.house.history.hand_over([handler.session for handler in busy])
        except (HandlerError, TimeoutError) as error:
            if late:
                why = error if isinstance(error, HandlerError) else "the store does not answer in time"
                logger.warning("%d sessions are handed over late, when their leases run out: %s", late, why)


def _channels(exchange: Exchange) -> list[Channel]:
    return [found(exchange) for _, found in plugins("switchboard.channels")]


def _pages(exchange: Exchange) -> list[Page]:
    return [found(exchange) for _, found in plugins("switchboard.pages")]


async def serve(
    settings: Settings,
    listening: Callable[[str], None],
    stop: asyncio.Event,
    *,
    one_of_several: bool = False,
    listener: socket.socket | None = None,
) -> None:
    """Serve until `stop` is set; `listening` is told the address. Raises `ServerError` when the port is taken.

    `one_of_several`: other workers share the port, and their supervisor has opened the services (see `workers`). `listener`: the port,
    opened already (see `reload`).
    """
    services = nullcontext(settings) if one_of_several else opened_services(settings)
    async with opened_store(settings) as history, services as served, opened_bindings(served) as bindings:
        server = Server(served, history, bindings)
        runner = GuardedRunner(server.app, server.limits, server.counters, shutdown_timeout=CUT_OFF_SECONDS)
        await runner.setup()
        try:
            host, port = settings.server.host, settings.server.port
            site: web.BaseSite = web.TCPSite(runner, host, port, backlog=1024, reuse_address=True, reuse_port=one_of_several)
            if listener is not None:
                site = web.SockSite(runner, listener, backlog=1024)
            try:
                await site.start()
            except OSError as error:
                raise ServerError.cannot_listen(host, port, error) from None
            async with _listening_for_metrics(server, settings, share=listener is not None):
                server.sweeper.start()
                _calm_collector()
                listening(f"http://{host}:{runner.addresses[0][1]}")
                await stop.wait()
                await server.drain(runner)
        finally:
            await runner.cleanup()
            await server.close()


@asynccontextmanager
async def _listening_for_metrics(server: Server, settings: Settings, *, share: bool) -> AsyncIterator[None]:
    """Serve machines, and nobody else, at a port that is this process's alone: at the common one, the kernel chooses who is asked.

    `share`: with the server that this one replaces, which still listens there.
    """
    host, port = settings.server.host, settings.server.metrics_port
    if port is None:
        yield
        return
    runner = GuardedRunner(server.for_machines, server.limits, server.counters, shutdown_timeout=CUT_OFF_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, reuse_address=True, reuse_port=share).start()
        except OSError as error:
            why = f"cannot listen on {host}:{port} for metrics: {error.strerror or error}. Choose another metrics_port under [server]."
            raise ServerError(why) from None
        yield
    finally:
        await runner.cleanup()


def _calm_collector() -> None:
    """What is there now stays; and with 100,000 live sessions a full collection takes a second, so it is made rare.

    The young generations are small, and so is the pause of each of their collections: an acknowledgement may be waiting.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(500, 2, 200_000)


def run(
    settings: Settings, listening: Callable[[str], None], *, one_of_several: bool = False, listener: socket.socket | None = None
) -> None:
    """Serve in this process until it is told to stop (SIGINT, SIGTERM); see `serve`.

    A second signal ends it at once, unless another process of ours has started it: that one has SIGKILL for this, and its SIGTERM may come
    beside one that all processes of a service get.
    """
    logs.heed(settings)
    supervised = one_of_several or listener is not None
    try:
        import uvloop  # noqa: PLC0415 - not on every platform

        factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    except ImportError:
        factory = None

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def told(number: signal.Signals) -> None:
            if stop.is_set() and not supervised:
                os._exit(128 + number)  # as after a crash: others go on when our leases have run out
            if not stop.is_set():
                again = "" if supervised else "; once more ends it at once"
                logger.info("stopping: what was begun is finished or handed over within ten seconds%s", again)
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, told, number)
        await serve(settings, listening, stop, one_of_several=one_of_several, listener=listener)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
