"""A whole server in this process, on a real store and a real port, with phones that call it."""

import contextlib
import tempfile

from aiohttp import web
from support.ports import free_ports

from handlers.redis_history import RedisHistory
from switchboard.runner import GuardedRunner
from switchboard.server import Server
from switchboard.settings import Settings
from telephony.simulators.phone import Phone
from workflows.registry import Registry

ACCOUNT = "AC" + "1" * 32
TOKEN = "a token that nobody knows"


class PhoneHouse:
    """`url` is where it listens; `server` is replaced by `reboot`, as if the process had been started anew.

    `bindings`: what is bound to effects that have no body.
    """

    bindings = None

    def __init__(self, store_url, workflow, **settings):
        lines = {"phone:*": {"workflow": workflow, **settings.pop("line", {})}}
        values = {"lines": lines, "account_sid": ACCOUNT, "auth_token": TOKEN, "data": tempfile.gettempdir(), **settings}
        self.settings = Settings.model_validate(values, context=Registry())
        self.store_url = store_url
        self.boots = 0
        self.port = free_ports(1)[0]

    async def start(self):
        self.boots += 1
        self.history = RedisHistory(self.store_url, f"test.{self.boots}")
        await self.history.open()
        self.server = Server(self.settings, self.history, self.bindings)
        self.runner = GuardedRunner(self.server.app, self.server.limits, self.server.counters, shutdown_timeout=1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.url = f"http://127.0.0.1:{self.port}"

    async def stop(self):
        await self.runner.cleanup()
        await self.server.close()
        await self.history.close()

    async def reboot(self):
        await self.stop()
        await self.start()

    def evict(self):
        """Send every session out of memory."""
        self.server.board.evict_all()

    @property
    def counters(self):
        return self.server.counters

    def phone(self, **options):
        return Phone(self.url, options.pop("token", TOKEN), options.pop("account", ACCOUNT), **options)


@contextlib.asynccontextmanager
async def phone_house(store_url, workflow, **settings):
    house = PhoneHouse(store_url, workflow, **settings)
    await house.start()
    try:
        yield house
    finally:
        await house.stop()
