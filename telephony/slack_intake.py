"""What people in Slack do, brought to their sessions: one input each, however often and wherever Slack delivers it.

Slack sends an event again, up to four times and to whatever replica, and a mention as twins; all copies of one message have one dedupe id.
Everything here raises `RefusedError` for what will never be taken, and `HandlerError` or `SlackError` when Slack has to send it again.
"""

import asyncio
import logging
import re
import time
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

from handlers.errors import HandlerError, ReusedKeyError, StoreError, TooOftenError
from handlers.messages import Inbound, Opening
from switchboard.channel import Exchange, opening
from switchboard.fields import Rate
from switchboard.rates import Rates
from telephony import slack_blocks
from telephony import slack_wire as wire
from telephony.errors import RefusedError, SlackError
from telephony.slack_api import SlackApi
from telephony.slack_messenger import SlackMessenger
from telephony.slack_typed import plain
from workflows.listen import Transfer
from workflows.turns import Answer

logger = logging.getLogger(__name__)

STORE_SECONDS = 2.2
"""How long an input may take to get on record. Slack waits for three seconds, and sends it again if it hears nothing good."""

API_SECONDS = 2.0
"""How long a request waits for what only Slack's API can tell: who we are, which channel is somebody's direct message."""

QUIET_SECONDS = 60.0
"""How long nothing more is logged about refused requests: a stranger shall not write the log."""

TRANSFER = "transfer."
TRANSFERS = 5
"""How many hand-overs in a row are declined."""

FACTS: dict[str, object] = {"pushes": True, "can_deliver": True}

TOLD = Rate(1, 60.0, "1/1m")
"""How often somebody is told that they are too quick."""

TOO_OFTEN = "That was a lot at once, and I have not taken the last of it. Please wait a little, and send it again."
IN_DIRECT_MESSAGES = "I answer in our direct messages."
UNREACHABLE = "I cannot open our direct messages just now. Please write to me there."

_TRIGGER = re.compile(r"[A-Za-z0-9._-]{1,100}")


class Refusal(NamedTuple):
    """Why something is refused: the name of its counter, and what the log says."""

    name: str
    words: str


FOREIGN = Refusal(
    "foreign",
    "refused what came from the workspace %.40r: SLACK_BOT_TOKEN is of %.40r. One server serves one workspace: uninstall the app in the "
    "other one, or set that one's token.",
)


class SlackIntake:
    """Takes events, interactions and commands in, as they were decoded. `messenger` is that of the channel."""

    def __init__(self, exchange: Exchange, api: SlackApi) -> None:
        self._exchange = exchange
        self._api = api
        self._tasks: set[asyncio.Task[None]] = set()
        self._quiet_until: dict[str, float] = {}
        self._told = Rates(TOLD)
        self.messenger = SlackMessenger(api, self._decline)

    def prepare(self) -> None:
        """Find out who we are before anybody speaks to us; that Slack does not let us in is told at once."""
        self._run(self._api.me())

    async def close(self) -> None:
        """Do nothing more of what nobody waits for."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def event(self, payload: Any) -> None:
        """Take an event: what was said, if it is for us."""
        envelope = wire.read(payload, wire.Envelope)
        if envelope.type != "event_callback":
            return
        said = wire.utterance(envelope.event, await self._me(envelope.team))
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
        try:
            answer = await self._send(inbound, said.user)
        except TooOftenError:
            if not said.opens:  # it may be between other people: Slack shall send it again, which it does after a minute, and after five
                raise
            self._slow_down(said.channel, said.thread, said.user)
            return
        if not said.opens and answer.state in ("ended", "failed"):  # there was a conversation here, so this is for us
            await self._send(msgspec.structs.replace(inbound, opening=begin, reopens=True))

    async def interaction(self, payload: Any) -> None:
        """Take a pressed button."""
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
            taken = (await self._send(inbound, press.user)).state == "running"
        except TooOftenError:
            self._slow_down(press.channel, press.thread, press.user)
            return
        except ReusedKeyError:  # another of its buttons was pressed before, and its message will say so soon
            return
        shown = slack_blocks.used(press) if taken else slack_blocks.passed(press)
        self._run(self.messenger.replace(press.channel, press.ts, shown, press.key))
        if not taken:
            self._run(self.messenger.whisper(press.channel, press.thread, press.user, slack_blocks.PASSED))

    async def command(self, fields: Any) -> str:
        """Take a slash command, which speaks to us in the direct message; gives what is to be shown where it was given."""
        command = wire.read(fields, wire.Command)
        me = await self._me(command.team_id)
        if not _TRIGGER.fullmatch(command.trigger_id) or not wire.is_id(command.user_id):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "This is no command as Slack sends them.")
        try:
            async with asyncio.timeout(API_SECONDS):
                channel = await self._api.direct_message(command.user_id)
        except (SlackError, TimeoutError) as error:
            logger.warning("a slash command cannot be taken, since the direct message cannot be opened: %s", error)
            return UNREACHABLE
        text = plain(command.text, me.user)
        begin = self._opening(channel, None, command.user_id)
        if begin is not None:
            payload = {"text": text, "user": command.user_id}
            inbound = Inbound(
                wire.session_key(me.team, channel, None), f"{me.team}/{channel}/command/{command.trigger_id}",
                *(("said", payload) if text else ("", {})), opening=begin, reopens=True, stored_suffices=True,
            )  # fmt: skip
            try:
                await self._send(inbound, command.user_id)
            except TooOftenError:
                return TOO_OFTEN
        return IN_DIRECT_MESSAGES

    def note(self, refusal: Refusal, *values: object) -> None:
        """Count what is refused, and log it, but not every time."""
        count = self._exchange.counters
        count[refusal.name] += 1
        now = time.monotonic()
        if now >= self._quiet_until.get(refusal.name, 0.0):
            self._quiet_until[refusal.name] = now + QUIET_SECONDS
            logger.warning(refusal.words, *values)
            logger.warning("%d were refused so far; nothing more is said of them for %d seconds", count[refusal.name], QUIET_SECONDS)

    # -- sessions --------------------------------------------------------------------------------------------------------------------------

    def _opening(self, channel: str, thread: str | None, user: str) -> Opening | None:
        line = self._exchange.line("slack", channel)
        if line is None:
            logger.warning("no line for slack:%s: add it to [lines], or a slack:* line", channel)
            return None
        return opening(line, "slack", channel, user, FACTS | {"channel": channel} | ({"thread": thread} if thread else {}))

    def _slow_down(self, channel: str, thread: str | None, user: str) -> None:
        """Tell somebody, but not every time, that what they did was not taken: Slack is told that all is well, or it would turn us off."""
        if not self._told.wait(user, object()):
            self._run(self.messenger.whisper(channel, thread, user, TOO_OFTEN))

    async def _send(self, inbound: Inbound, user: str = "") -> Answer:
        answer = await self._exchange.send(inbound, STORE_SECONDS, f"slack:{user}" if user else "")
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
            self.note(FOREIGN, team, me.team)
            raise RefusedError(HTTPStatus.FORBIDDEN, "This is another workspace's.")
        return me

    def _run(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something that nobody waits for."""

        async def run() -> None:
            try:
                await work
            except (SlackError, HandlerError) as error:
                logger.warning("%s", error)

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
