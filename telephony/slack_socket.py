"""Slack's Socket Mode: the same payloads as by HTTP, over a connection that we open (SL11).

What came is acknowledged when it is on record, by the id of its envelope; what is not acknowledged Slack sends again, here or to another
replica's socket. There is no signature: whoever holds the app-level token is Slack's own. The client, `slack_sdk`'s, opens a new
connection when Slack announces the end of the old one, or nothing is heard of it. https://docs.slack.dev/apis/events-api/using-socket-mode
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from handlers.errors import HandlerError
from telephony.errors import SlackError, SlackRefusedError
from telephony.slack_api import SlackApi

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.05

AGAIN_SECONDS = 10.0
"""Between two tries to open the first connection; the client sees to the later ones."""

Take = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any] | None]]
"""Takes a payload of a kind and gives what is said with the acknowledgement; raises when Slack has to send it again."""


@asynccontextmanager
async def listening(api: SlackApi, app_token: str, take: Take, leaving: asyncio.Event) -> AsyncGenerator[None]:
    """Listen until this is left; from when `leaving` is set on, take nothing more, and hang up when what came is acknowledged."""
    client = SocketModeClient(app_token, logger, api.client)
    taking = 0

    async def listen(_: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        nonlocal taking
        if leaving.is_set():
            return  # who is not acknowledged is sent to another server
        taking += 1
        try:
            words = await take(request.type, request.payload)
            await client.send_socket_mode_response(SocketModeResponse(request.envelope_id, words))
        except (HandlerError, SlackError) as error:
            logger.warning("Slack will send by the socket again: %s", error)
        finally:
            taking -= 1

    async def leave() -> None:
        await leaving.wait()
        connecting.cancel()
        client.auto_reconnect_enabled = False
        while taking:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(LOOK_SECONDS)
        await client.disconnect()  # type: ignore[no-untyped-call]

    client.socket_mode_request_listeners.append(listen)
    connecting = asyncio.create_task(_connect(client, api, app_token))
    hanging_up = asyncio.create_task(leave())
    try:
        yield
    finally:
        connecting.cancel()
        hanging_up.cancel()
        await client.close()  # type: ignore[no-untyped-call]
        tasks = [
            each
            for each in (connecting, hanging_up, client.message_processor, client.current_session_monitor, client.message_receiver)
            if each
        ]
        await asyncio.gather(*tasks, return_exceptions=True)


async def _connect(client: SocketModeClient, api: SlackApi, app_token: str) -> None:
    """Open the first connection, however long that takes; what is wrong with the token is told with the remedy."""
    while True:
        try:
            opened = await api.call(lambda web: web.apps_connections_open(app_token=app_token))
            client.wss_uri = str(opened["url"])
            break
        except SlackRefusedError as error:
            words = (
                "Socket Mode: Slack refuses SLACK_APP_TOKEN (%s). Set one with the scope connections:write, of an app with Socket Mode on."
            )
            logger.error(words, error.code)  # noqa: TRY400 - a traceback would say nothing more
        except (SlackError, KeyError) as error:
            logger.warning("Socket Mode: no connection yet: %s", error)
        await asyncio.sleep(AGAIN_SECONDS)
    await client.connect()  # type: ignore[no-untyped-call]
