"""Servers in this process that share a store and a simulated Slack, and somebody who writes there."""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import aiohttp
from support.phone_house import PhoneHouse

from telephony import slack_intake
from telephony.simulators import slack_sender
from telephony.simulators.slack_sender import SlackSender
from telephony.simulators.slack_workspace import BOT, GENERAL, SlackWorkspace, serving

SECRET = "a signing secret that nobody knows"
TOKEN = "xoxb-a-token-that-nobody-knows"
ADA, BOB = "U0ADA", "U0BOB"
DIRECT = "D0ADA"

boots = itertools.count(1, 1000)


class SlackHouse(PhoneHouse):
    """A node; several may share a store and a Slack. `pauses` are what its messenger would have waited."""

    def __init__(self, store_url: str, workflow: str, api: str, **settings: Any) -> None:
        lines = settings.pop("lines", {"slack:*": {"workflow": workflow, **settings.pop("line", {})}})
        values = {"slack_signing_secret": SECRET, "slack_bot_token": TOKEN, "slack_api_url": api, **settings}
        super().__init__(store_url, workflow, lines=lines, **values)
        self.boots = next(boots)
        self.pauses: list[float] = []

    async def start(self) -> None:
        await super().start()
        await self.api.me()
        self.server.sweeper.start()
        self.messenger._lanes.sleep = self._nap

    async def _nap(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(min(seconds, 0.01))

    @property
    def api(self) -> Any:
        return self.messenger._posts._api

    @property
    def messenger(self) -> Any:
        return self.server.house.messengers["slack"]


@dataclass
class Kit:
    """A workspace, the nodes that serve it, and a sender for each node."""

    workspace: SlackWorkspace
    houses: list[SlackHouse]
    senders: list[SlackSender]
    seen: list[tuple[str, str]] = field(default_factory=list)
    whispers: list[str] = field(default_factory=list)

    @property
    def house(self) -> SlackHouse:
        return self.houses[0]

    @property
    def sender(self) -> SlackSender:
        return self.senders[0]

    async def say(self, text: str, channel: str = DIRECT, thread: str | None = None, user: str = ADA) -> dict[str, Any]:
        """Write a message, and have its event taken."""
        message = self.workspace.write(channel, user, text, thread)
        assert await self.sender.send(self.sender.message(message)) == 200
        return message

    async def mention(self, text: str, thread: str | None = None) -> dict[str, Any]:
        """Mention the app in #general; gives the message."""
        message = self.workspace.write(GENERAL, ADA, f"<@{BOT}> {text}".rstrip(), thread)
        assert await self.sender.send(self.sender.mention(message)) == 200
        return message

    def texts(self, channel: str = DIRECT, thread: str | None = None) -> list[str]:
        """What the app says there now, without placeholders."""
        return [text_of(each) for each in self.workspace.said(channel, thread) if not key_of(each).endswith("/expected")]

    async def until_said(self, *texts: str, channel: str = DIRECT, thread: str | None = None) -> None:
        """Wait until the app says exactly this, in this order."""
        await until(lambda: self.texts(channel, thread) == list(texts), lambda: (self.texts(channel, thread), list(texts)))

    async def rest(self, valkey: Any) -> None:
        """Wait until nothing is outstanding."""
        await until(lambda: not any(valkey.zcard(key) for key in valkey.keys("sb:*:pending")), lambda: "something is pending for ever")


async def until(met: Callable[[], Any], told: Callable[[], Any] = lambda: "it never came to that") -> None:
    """Wait until something holds; `told` says what holds instead."""
    try:
        async with asyncio.timeout(30):
            while not met():  # noqa: ASYNC110 - what is waited for happens in servers and in their store
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(told()) from None


def text_of(message: dict[str, Any]) -> str:
    blocks = [each["text"]["text"] for each in message.get("blocks") or () if each["type"] == "section"]
    return "\n".join(blocks) if blocks else message["text"]


def key_of(message: dict[str, Any]) -> str:
    return (message.get("metadata") or {}).get("event_payload", {}).get("key", "")


def buttons(message: dict[str, Any]) -> list[str]:
    return [each["text"]["text"] for block in message.get("blocks") or () if block["type"] == "actions" for each in block["elements"]]


def contexts(message: dict[str, Any]) -> list[str]:
    return [each["text"] for block in message.get("blocks") or () if block["type"] == "context" for each in block["elements"]]


@contextlib.asynccontextmanager
async def slack_kit(store_url: str, workflow: str, nodes: int = 1, **settings: Any):
    """A workspace and its servers; whatever is said to one comes out of the same store. Nobody loses patience on a busy machine."""
    workspace = SlackWorkspace(TOKEN, app_token=settings.pop("app_token", ""))
    workspace.direct(ADA)
    async with contextlib.AsyncExitStack() as stack:
        for name in ("STORE_SECONDS", "API_SECONDS"):
            stack.enter_context(mock.patch.object(slack_intake, name, 60.0))
        stack.enter_context(mock.patch.object(slack_sender, "_DEADLINE", aiohttp.ClientTimeout(total=90)))
        api = await stack.enter_async_context(serving(workspace))
        kit = Kit(workspace, [], [])
        workspace.changed = lambda message, what: (
            kit.whispers.append(message["text"]) if what == "whispered" else kit.seen.append((what, text_of(message)))
        )
        for _ in range(nodes):
            house = SlackHouse(store_url, workflow, api, **settings)
            await house.start()
            stack.push_async_callback(house.stop)
            kit.houses.append(house)
            kit.senders.append(await stack.enter_async_context(SlackSender(house.url, SECRET, workspace)))
        yield kit


def stored(valkey: Any) -> list[bytes]:
    """The sessions that there are."""
    return sorted(key.split(b":h:", 1)[1] for key in valkey.keys("sb:*:h:*"))


def body(payload: Any) -> bytes:
    return json.dumps(payload).encode()


def now() -> str:
    return str(int(time.time()))
