"""Slack: direct messages, mentions and the threads under them, buttons and slash commands, by HTTP or by socket.

Whatever comes goes one way: signature, filter, one input for the session of its thread, on record; and only then does Slack get its 200,
within the three seconds that it waits. What is said is posted afterwards by the `messenger`. Contract: rows SL1 to SL11 of
`docs/channels.md`; https://docs.slack.dev/apis/events-api.
"""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from handlers.errors import HandlerError, OverloadError, UnstorableError
from switchboard.channel import Exchange
from switchboard.guard import read_body
from switchboard.written import Written
from telephony import form
from telephony import slack_wire as wire
from telephony.errors import FormError, RefusedError, SlackError
from telephony.slack_api import SlackApi
from telephony.slack_intake import Refusal, SlackIntake
from telephony.slack_signature import signed
from telephony.slack_socket import listening

logger = logging.getLogger(__name__)

MOST_BODY = 512 * 1024
"""Bytes of a request: a message of 40,000 characters comes twice in an event, as text and as blocks."""

NO_RETRY = {"X-Slack-No-Retry": "1"}
"""With a refusal: it will be refused again."""

FORGED = Refusal(
    "forged",
    "refused a request to %.200r: its X-Slack-Signature does not fit, or is old. If it came from Slack, set SLACK_SIGNING_SECRET as the "
    "app's Basic Information has it, and this machine's clock.",
)

Endpoint = Callable[[bytes], Awaitable[web.StreamResponse]]


class Slack:
    """The channel of one Slack workspace."""

    name = "slack"
    when_lost = "The next message begins a new conversation."

    def __init__(self, exchange: Exchange) -> None:
        settings = exchange.settings
        self._settings = settings
        self._limits = msgspec.structs.replace(exchange.limits, max_body=max(exchange.limits.max_body, MOST_BODY))
        self._api = SlackApi(settings.slack_url, lambda: settings.slack_token.get_secret_value())  # noqa: PLW0108 - not yet
        self._leaving = exchange.leaving
        self._intake = SlackIntake(exchange, self._api)
        self.messenger = self._intake.messenger

    def routes(self) -> Iterable[web.RouteDef]:
        """What Slack posts to."""
        yield web.post("/slack/events", self._checked(self._events))
        yield web.post("/slack/interactivity", self._checked(self._interactivity))
        yield web.post("/slack/commands", self._checked(self._commands))

    async def running(self, _: web.Application) -> AsyncIterator[None]:
        """The connections to Slack, as long as the server runs; the socket among them if there is a token for it."""
        async with AsyncExitStack() as stack:
            await self._api.open()
            stack.push_async_callback(self._api.close)
            stack.push_async_callback(self.messenger.close)
            stack.push_async_callback(self._intake.close)
            if self._settings.slack_bot_token is not None:
                self._intake.prepare()
            if self._settings.slack_app_token is not None:
                token = self._settings.slack_app_token.get_secret_value()
                await stack.enter_async_context(listening(self._api, token, self._by_socket, self._leaving))
            yield

    # -- by HTTP ---------------------------------------------------------------------------------------------------------------------------

    async def _events(self, body: bytes) -> web.StreamResponse:
        payload = wire.decode(body)
        challenge = wire.read(payload, wire.Envelope).challenge
        if payload["type"] == "url_verification":
            return web.Response(text=challenge)
        await self._intake.event(payload)
        return _taken()

    async def _interactivity(self, body: bytes) -> web.StreamResponse:
        await self._intake.interaction(wire.decode(_fields(body).get("payload", "")))
        return _taken()

    async def _commands(self, body: bytes) -> web.StreamResponse:
        fields = _fields(body)
        if fields.get("ssl_check") == "1":
            return _taken()
        return web.json_response({"response_type": "ephemeral", "text": await self._intake.command(fields)})

    def _checked(self, endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def checked(request: web.Request) -> web.StreamResponse:
            body = await read_body(request, self._limits)
            headers, secret = request.headers, self._settings.slack_secret.get_secret_value()
            if not signed(secret, headers.get("X-Slack-Request-Timestamp"), body, headers.get("X-Slack-Signature"), time.time()):
                self._intake.note(FORGED, request.raw_path)
                return web.Response(status=HTTPStatus.UNAUTHORIZED, text="The signature does not fit.\n")
            try:
                return await endpoint(body)
            except RefusedError as error:
                return web.Response(status=error.status, text=f"{error}\n", headers=NO_RETRY)
            except UnstorableError as error:
                return web.Response(status=HTTPStatus.BAD_REQUEST, text=f"{error}\n", headers=NO_RETRY)
            except (HandlerError, SlackError) as error:
                if not isinstance(error, OverloadError):
                    logger.warning("Slack is asked to send it again: %s", error)
                return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text="Send it again.\n", headers={"Retry-After": "2"})

        return checked

    # -- by socket -------------------------------------------------------------------------------------------------------------------------

    async def _by_socket(self, kind: str, payload: dict[str, Any]) -> dict[str, Any] | None:
        """Take what came by the socket; gives what is to be said with its acknowledgement. Raises when Slack has to send it again."""
        try:
            match kind:
                case "events_api":
                    await self._intake.event(payload)
                case "interactive":
                    await self._intake.interaction(payload)
                case "slash_commands":
                    return {"response_type": "ephemeral", "text": await self._intake.command(payload)}
        except (RefusedError, UnstorableError) as error:
            logger.warning("what Slack sent by the socket is not taken: %s", error)
        return None


def _fields(body: bytes) -> dict[str, str]:
    try:
        return dict(form.parse(body))
    except FormError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, str(error)) from None


def _taken() -> web.StreamResponse:
    """What Slack is told of an event that is on record, or is none of ours."""
    return Written(b"", "text/plain")
