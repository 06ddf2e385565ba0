"""Slack's side of the wire: events, pressed buttons and slash commands, signed and sent, again and again if need be."""

import json
import time
import uuid
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp

from telephony.errors import UnreachableError
from telephony.simulators.slack_workspace import APP, BOT, SlackWorkspace
from telephony.slack_signature import sign

_DEADLINE = aiohttp.ClientTimeout(total=10, connect=5)

Json = dict[str, Any]


class SlackSender:
    """Sends what happens in a workspace to the server at `base_url`, as the holder of the signing secret."""

    def __init__(self, base_url: str, secret: str, workspace: SlackWorkspace) -> None:
        self.base_url = base_url.rstrip("/")
        self.workspace = workspace
        self._secret = secret
        self._client: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._client = aiohttp.ClientSession(timeout=_DEADLINE)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._client is not None
        await self._client.close()

    # -- payloads --------------------------------------------------------------------------------------------------------------------------

    def message(self, message: Json, **more: Any) -> Json:
        """The event of a message that somebody wrote."""
        direct = message["channel"].startswith("D")
        return self._event(message | {"channel_type": "im" if direct else "channel", "event_ts": message["ts"]} | more)

    def mention(self, message: Json) -> Json:
        """The twin of that event when the app is mentioned."""
        return self._event(
            {name: value for name, value in message.items() if name != "team"} | {"type": "app_mention", "event_ts": message["ts"]}
        )

    def edit(self, message: Json, text: str) -> Json:
        """The event of an edit."""
        changed = {
            "type": "message",
            "subtype": "message_changed",
            "channel": message["channel"],
            "hidden": True,
            "ts": self.workspace.ts(),
        }
        return self._event(
            changed | {"message": message | {"text": text, "edited": {"user": message["user"]}}, "previous_message": message}
        )

    def _event(self, event: Json) -> Json:
        authorization = {"team_id": self.workspace.team, "user_id": BOT, "is_bot": True}
        return {
            "type": "event_callback", "team_id": self.workspace.team, "api_app_id": APP, "event": event, "event_time": int(time.time()),
            "event_id": f"Ev{uuid.uuid4().hex[:10]}", "authorizations": [authorization],
        }  # fmt: skip

    def press(self, message: Json, index: int, user: str) -> Json:
        """The interaction of a person who presses a button of a message, counted from 0; raises `LookupError` if it has none."""
        buttons = [(each, block) for block in message.get("blocks", ()) if block["type"] == "actions" for each in block["elements"]]
        button, block = buttons[index]
        container = {"type": "message", "message_ts": message["ts"], "channel_id": message["channel"]}
        if "thread_ts" in message:
            container["thread_ts"] = message["thread_ts"]
        shown = {name: value for name, value in message.items() if name not in ("metadata", "channel")}
        return {
            "type": "block_actions", "team": {"id": self.workspace.team, "domain": "simulated"}, "user": {"id": user, "username": "ada"},
            "api_app_id": APP, "container": container, "channel": {"id": message["channel"]}, "message": shown,
            "actions": [button | {"type": "button", "block_id": block["block_id"], "action_ts": self.workspace.ts()}],
        }  # fmt: skip

    def command(self, text: str, user: str, channel: str) -> dict[str, str]:
        """The fields of a slash command."""
        return {
            "command": "/switchboard", "text": text, "team_id": self.workspace.team, "user_id": user, "channel_id": channel,
            "trigger_id": f"{time.time_ns()}.{uuid.uuid4().hex}", "api_app_id": APP,
        }  # fmt: skip

    # -- sending ---------------------------------------------------------------------------------------------------------------------------

    async def send(self, payload: Json, *, retry: int = 0) -> int:
        """Post an event; gives the status. Raises `UnreachableError`."""
        headers = {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": "http_timeout"} if retry else {}
        status, _ = await self.post("/slack/events", json.dumps(payload).encode(), "application/json", headers)
        return status

    async def send_press(self, payload: Json) -> int:
        """Post an interaction; gives the status. Raises `UnreachableError`."""
        body = urlencode({"payload": json.dumps(payload)}).encode()
        return (await self.post("/slack/interactivity", body, "application/x-www-form-urlencoded"))[0]

    async def send_command(self, fields: dict[str, str]) -> tuple[int, str]:
        """Post a slash command; gives the status and what is shown to who gave it. Raises `UnreachableError`."""
        status, text = await self.post("/slack/commands", urlencode(fields).encode(), "application/x-www-form-urlencoded")
        return status, str(json.loads(text)["text"]) if status == HTTPStatus.OK and text else text

    async def deliver(self, payload: Json) -> int:
        """Post an event as Slack does: again, at most three times, while it is not taken; gives the last status.

        Raises `UnreachableError` when nobody is there in the end.
        """
        status = 0
        for retry in range(4):
            try:
                status = await self.send(payload, retry=retry)
            except UnreachableError:
                status = 0
            if 0 < status < HTTPStatus.INTERNAL_SERVER_ERROR:
                return status
        return status or await self.send(payload, retry=3)

    async def post(self, path: str, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """Sign and post a body; gives the status and what is said. Raises `UnreachableError`."""
        assert self._client is not None, "entered before it sends"
        timestamp = str(int(time.time()))
        signature = {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": sign(self._secret, timestamp, body)}
        try:
            async with self._client.post(
                self.base_url + path, data=body, headers={"Content-Type": content_type, **signature, **(headers or {})}
            ) as response:
                return response.status, await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UnreachableError(f"{self.base_url} does not answer: {str(error) or type(error).__name__}") from None
