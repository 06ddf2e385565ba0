"""Slack: direct messages, mentions and the threads under them, buttons and slash commands, by HTTP or by socket.

Whatever comes goes one way: signature, filter, one input for the session of its thread, on record; and only then does Slack get its 200,
within the three seconds that it waits. What is said is posted afterwards by the `messenger`. Slack sends an event again, up to four times
and to whatever replica, and some events as twins; all copies of one message have one dedupe id, so they are one turn. Contract: rows SL1
to SL11 of `docs/channels.md`; https://docs.slack.dev/apis/events-api.
"""

import asyncio
import logging
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from handlers.errors import HandlerError, ReusedKeyError, StoreError, UnstorableError
from handlers.messages import Inbound, Opening
from switchboard.channel import Exchange, opening
from switchboard.guard import read_body
from telephony import form, slack_blocks
from telephony import slack_wire as wire
from telephony.errors import FormError, RefusedError, SlackError, SlackRefusedError
from telephony.slack_api import SlackApi
from telephony.slack_messenger import SlackMessenger
from telephony.slack_signature import signed
from telephony.slack_socket import listening
from workflows.listen import Transfer
from workflows.turns import Answer

logger = logging.getLogger(__name__)

STORE_SECONDS = 2.2
"""How long an input may take to get on record. Slack waits for three seconds, and sends it again if it hears nothing good."""

API_SECONDS = 2.0
"""How long a request waits for what only Slack's API can tell: who we are, which channel is somebody's direct message."""

MOST_BODY = 512 * 1024
"""Bytes of a request: a message of 40,000 characters comes twice in an event, as text and as blocks."""

QUIET_SECONDS = 60.0
"""How long nothing more is logged about forged requests: a stranger shall not write the log."""

TRANSFER = "transfer."
TRANSFERS = 5
"""How many hand-overs in a row are declined."""

MOST_DIRECT = 10_000
"""Direct messages whose channels are remembered."""

FACTS: dict[str, object] = {"pushes": True, "can_deliver": True}

NO_RETRY = {"X-Slack-No-Retry": "1"}
"""With a refusal: it will be refused again."""


class Refusal(NamedTuple):
    """Why something is refused: the name of its counter, and what the log says."""

    name: str
    words: str


FORGED = Refusal(
    "forged",
    "refused a request to %.200r: its X-Slack-Signature does not fit, or is old. If it came from Slack, set SLACK_SIGNING_SECRET as the "
    "app's Basic Information has it, and this machine's clock.",
)
FOREIGN = Refusal(
    "foreign",
    "refused what came from the workspace %.40r: SLACK_BOT_TOKEN is of %.40r. One server serves one workspace: uninstall the app in the "
    "other one, or set that one's token.",
)

IN_DIRECT_MESSAGES = "I answer in our direct messages."
UNREACHABLE = "I cannot open our direct messages just now. Please write to me there."

_TRIGGER = re.compile(r"[A-Za-z0-9._-]{1,100}")

Endpoint = Callable[[bytes], Awaitable[web.Response]]


class Slack:
    """The channel of one Slack workspace."""

    name = "slack"

    def __init__(self, exchange: Exchange) -> None:
        settings = exchange.settings
        self._exchange = exchange
        self._app_token = settings.slack_app_token
        self._limits = msgspec.structs.replace(exchange.limits, max_body=max(exchange.limits.max_body, MOST_BODY))
        self._api = SlackApi(settings.slack_url, lambda: settings.slack_token.get_secret_value())  # noqa: PLW0108 - not yet
        self._direct: OrderedDict[str, str] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._quiet_until: dict[str, float] = {}
        self.messenger = SlackMessenger(self._api, declined=self._decline)

    def routes(self) -> Iterable[web.RouteDef]:
        """What Slack posts to."""
        yield web.post("/slack/events", self._checked(self._events))
        yield web.post("/slack/interactivity", self._checked(self._interactivity))
        yield web.post("/slack/commands", self._checked(self._commands))

    async def running(self, _: web.Application) -> AsyncIterator[None]:
        """The connections to Slack, as long as the server runs; the socket among them if there is a token for it."""
        async with AsyncExitStack() as stack:
            await self._api.open()
            stack.push_async_callback(self._close)
            if self._app_token is not None:
                await stack.enter_async_context(listening(self._api.client, self._app_token.get_secret_value(), self._by_socket))
            yield

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.messenger.close()
        await self._api.close()

    # -- by HTTP ---------------------------------------------------------------------------------------------------------------------------

    async def _events(self, body: bytes) -> web.Response:
        payload = wire.decode(body)
        challenge = wire.read(payload, wire.Envelope).challenge
        if payload["type"] == "url_verification":
            return web.Response(text=challenge)
        await self._event(payload)
        return web.Response()

    async def _interactivity(self, body: bytes) -> web.Response:
        await self._interaction(wire.decode(_fields(body).get("payload", "")))
        return web.Response()

    async def _commands(self, body: bytes) -> web.Response:
        fields = _fields(body)
        if fields.get("ssl_check") == "1":
            return web.Response()
        return web.json_response({"response_type": "ephemeral", "text": await self._command(fields)})

    def _checked(self, endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def checked(request: web.Request) -> web.Response:
            body = await read_body(request, self._limits)
            headers, secret = request.headers, self._exchange.settings.slack_secret.get_secret_value()
            if not signed(secret, headers.get("X-Slack-Request-Timestamp"), body, headers.get("X-Slack-Signature"), time.time()):
                self._note(FORGED, request.raw_path)
                return web.Response(status=HTTPStatus.UNAUTHORIZED, text="The signature does not fit.\n")
            try:
                return await endpoint(body)
            except RefusedError as error:
                return web.Response(status=error.status, text=f"{error}\n", headers=NO_RETRY)
            except UnstorableError as error:
                return web.Response(status=HTTPStatus.BAD_REQUEST, text=f"{error}\n", headers=NO_RETRY)
            except (HandlerError, SlackError) as error:
                logger.warning("Slack is asked to send it again: %s", error)
                return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text="Send it again.\n")

        return checked

    # -- by socket -------------------------------------------------------------------------------------------------------------------------

    async def _by_socket(self, kind: str, payload: dict[str, Any]) -> dict[str, Any] | None:
        """Take what came by the socket; gives what is to be said with its acknowledgement. Raises when Slack has to send it again."""
        try:
            match kind:
                case "events_api":
                    await self._event(payload)
                case "interactive":
                    await self._interaction(payload)
                case "slash_commands":
                    return {"response_type": "ephemeral", "text": await self._command(payload)}
        except (RefusedError, UnstorableError) as error:
            logger.warning("what Slack sent by the socket is not taken: %s", error)
        return None

    # -- what comes ------------------------------------------------------------------------------------------------------------------------

    async def _event(self, payload: Any) -> None:
        envelope = wire.read(payload, wire.Envelope)
        if envelope.type != "event_callback":
            return
        said = wire.utterance(envelope.event, await self._me(envelope.team_id))
        if said is not None:
            await self._take(said)

    async def _take(self, said: wire.Utterance) -> None:
        text = "\n".join([*filter(None, [said.text]), *(f"[file: {name}]" for name in said.files)])
        begin = self._opening(said.channel, said.thread, said.user)
        if begin is None or not (text or said.opens):
            return
        payload: dict[str, Any] = {"text": text, "user": said.user} | ({"files": list(said.files)} if said.files else {})
        inbound = Inbound(
            said.session, said.id, *(("said", payload) if text else ("", {})), opening=begin if said.opens else None,
            fresh=said.ts == said.thread, reopens=said.opens, stored_suffices=True,
        )  # fmt: skip
        answer = await self._send(inbound)
        if not said.opens and answer.state in ("ended", "failed"):  # there was a conversation here, so this is for us
            await self._send(msgspec.structs.replace(inbound, opening=begin, reopens=True))

    async def _interaction(self, payload: Any) -> None:
        interaction = wire.read(payload, wire.Interaction)
        me = await self._me("" if interaction.team is None else interaction.team.id)
        press = wire.press(interaction, me)
        if press is None:
            return
        question = f"{me.team}/{press.channel}/press/{press.question}/"
        inbound = Inbound(
            press.session, f"{question}{press.index}", "pressed", {"digits": press.value, "user": press.user},
            stored_suffices=True, key=question, upon=press.place,
        )  # fmt: skip
        try:
            taken = (await self._send(inbound)).state == "running"
        except ReusedKeyError:  # another of its buttons was pressed before, and its message will say so soon
            return
        shown = slack_blocks.used(press) if taken else slack_blocks.passed(press)
        self._run(self.messenger.replace(press.channel, press.ts, shown, press.key))
        if not taken:
            self._run(self.messenger.whisper(press.channel, press.thread, press.user, slack_blocks.PASSED))

    async def _command(self, fields: Any) -> str:
        """A slash command speaks to us in the direct message; gives what is to be shown where it was given."""
        command = wire.read(fields, wire.Command)
        me = await self._me(command.team_id)
        if not _TRIGGER.fullmatch(command.trigger_id) or not wire.is_id(command.user_id):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "This is no command as Slack sends them.")
        try:
            channel = await self._direct_message(command.user_id)
        except (SlackError, TimeoutError) as error:
            logger.warning("a slash command cannot be taken, since the direct message cannot be opened: %s", error)
            return UNREACHABLE
        text = wire.plain(command.text, me.user)
        begin = self._opening(channel, None, command.user_id)
        if begin is not None:
            payload = {"text": text, "user": command.user_id}
            await self._send(
                Inbound(
                    wire.session_key(me.team, channel, None), f"{me.team}/{channel}/command/{command.trigger_id}",
                    *(("said", payload) if text else ("", {})), opening=begin, reopens=True, stored_suffices=True,
                )
            )  # fmt: skip
        return IN_DIRECT_MESSAGES

    # -- sessions --------------------------------------------------------------------------------------------------------------------------

    def _opening(self, channel: str, thread: str | None, user: str) -> Opening | None:
        line = self._exchange.line("slack", channel)
        if line is None:
            logger.warning("no line for slack:%s: add it to [lines], or a slack:* line", channel)
            return None
        return opening(line, "slack", channel, user, FACTS | {"channel": channel} | ({"thread": thread} if thread else {}))

    async def _send(self, inbound: Inbound) -> Answer:
        answer = await self._exchange.send(inbound, STORE_SECONDS)
        if answer is None:
            raise StoreError(f"{inbound.session}: nobody knows after {STORE_SECONDS:g} s whether an input is on record")
        if answer.prompt is not None and isinstance(answer.prompt.listen, Transfer):
            self._decline(inbound.session, inbound.id)
        return answer

    def _decline(self, session: str, turn: str) -> None:
        """There is nobody to hand over to, as a turn wants: the workflow shall hear that, and not wait for ever."""
        id_ = f"{TRANSFER}{turn}"
        if id_.count(TRANSFER) <= TRANSFERS:
            self._run(self._send(Inbound(session, id_, "transferred", {"outcome": "failed"}, stored_suffices=True)))

    # -- Slack ---------------------------------------------------------------------------------------------------------------------------

    async def _me(self, team: str) -> wire.Me:
        """Who we are, if this is for us; raises `RefusedError` for another team's, `SlackError` when Slack does not tell."""
        try:
            async with asyncio.timeout(API_SECONDS):
                me = await self._api.me()
        except TimeoutError:
            raise SlackError("auth.test is not answered yet, so nobody knows which workspace is ours") from None
        if team != me.team:
            self._note(FOREIGN, team, me.team)
            raise RefusedError(HTTPStatus.FORBIDDEN, "This is another workspace's.")
        return me

    async def _direct_message(self, user: str) -> str:
        found = self._direct.get(user)
        if found is None:
            async with asyncio.timeout(API_SECONDS):
                said = await self._api.call(lambda client: client.conversations_open(users=user))
            found = self._direct[user] = str(said["channel"]["id"])
            if len(self._direct) > MOST_DIRECT:
                self._direct.popitem(last=False)
        return found

    def _run(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something that nobody waits for."""

        async def run() -> None:
            try:
                await work
            except (SlackRefusedError, HandlerError) as error:
                logger.warning("%s", error)

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _note(self, refusal: Refusal, *values: object) -> None:
        count = self._exchange.counters
        count[refusal.name] += 1
        now = time.monotonic()
        if now >= self._quiet_until.get(refusal.name, 0.0):
            self._quiet_until[refusal.name] = now + QUIET_SECONDS
            logger.warning(refusal.words, *values)
            logger.warning("%d were refused so far; nothing more is said of them for %d seconds", count[refusal.name], QUIET_SECONDS)


def _fields(body: bytes) -> dict[str, str]:
    try:
        return dict(form.parse(body))
    except FormError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, str(error)) from None
