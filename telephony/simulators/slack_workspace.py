"""A stand-in for a Slack workspace: the Web API that an app calls, with its limits and errors, and what was posted by it.

It answers as the methods' pages say (https://docs.slack.dev/reference/methods), as far as the server uses them, and refuses what Slack
would.
"""

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

from telephony.simulators.slack_faults import Fault
from telephony.simulators.slack_rules import MOST_TEXT, MOST_UPDATE, page, problem
from telephony.simulators.stand_in import served

FOR_EVER = 3_600.0
"""Seconds; nobody who asks has the patience."""

APP = "A0SWITCHBOARD"
BOT = "U0SWITCHBOARD"
GENERAL = "C0GENERAL"

Json = dict[str, Any]


class SlackWorkspace:
    """One workspace with one app in it, as a web application, `app`.

    Attributes:
        channels: what stands in each channel and direct message, oldest first: messages as Slack gives them.
        calls: the methods called, each with its arguments, refused ones included.
        faults: what the next calls of a method get, one after another; those of `*` are any method's.
        mishap: is asked what all other calls get, by their method.
        pace: seconds that have to be between two posts in a channel, if the limit is to be kept.
        changed: is called with each message that was posted, updated or deleted, and which of these it was.
        sockets: the open connections of Socket Mode. `acks` are the envelopes that were acknowledged, with what was said with it.
    """

    def __init__(self, token: str, team: str = "T0SIMULATED", *, app_token: str = "") -> None:
        self.team = team
        self.token = token
        self.app_token = app_token
        self.channels: dict[str, list[Json]] = {GENERAL: []}
        self.calls: list[tuple[str, Json]] = []
        self.faults: dict[str, deque[Fault]] = {}
        self.mishap: Callable[[str], Fault] = lambda _method: Fault("ok")
        self.pace = 0.0
        self.changed: Callable[[Json, str], None] = lambda _message, _what: None
        self.sockets: list[web.WebSocketResponse] = []
        self.acks: dict[str, Json] = {}
        self._free_at: dict[str, float] = {}
        self._ts = 0.0
        self._acked = asyncio.Condition()
        self._methods: dict[str, Callable[[Json], Json]] = {
            "auth.test": self._auth_test,
            "chat.postMessage": self._post,
            "chat.postEphemeral": self._whisper,
            "chat.update": self._update,
            "chat.delete": self._delete,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
            "conversations.open": self._open,
        }
        self.app = web.Application()
        self.app.add_routes([web.route("*", "/api/{method}", self._call), web.get("/socket", self._socket)])

    @property
    def counts(self) -> Counter[str]:
        """How often each method was called."""
        return Counter(method for method, _ in self.calls)

    def ts(self) -> str:
        """The time of a new message: Slack's, unlike any other's."""
        self._ts = max(time.time(), self._ts + 0.000_001)
        return f"{self._ts:.6f}"

    def direct(self, user: str) -> str:
        """The channel of the direct messages between a person and the app."""
        channel = f"D{user[1:]}"
        self.channels.setdefault(channel, [])
        return channel

    def write(self, channel: str, user: str, text: str, thread: str | None = None) -> Json:
        """A person writes a message."""
        message: Json = {"type": "message", "user": user, "text": text, "ts": self.ts(), "team": self.team}
        return self._add(channel, message, thread)

    def forget(self) -> None:
        """Delete all messages, and what is known of calls."""
        self.channels = {channel: [] for channel in self.channels}
        self.calls.clear()

    def said(self, channel: str, thread: str | None = None) -> list[Json]:
        """What the app has posted there: in the thread, or outside of all threads."""
        return [each for each in self.channels.get(channel, []) if each["user"] == BOT and each.get("thread_ts") == thread]

    # -- the Web API -----------------------------------------------------------------------------------------------------------------------

    async def _call(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        args: Json = dict(request.query)
        if request.content_type == "application/json":
            args |= json.loads(await request.read() or b"{}")
        else:
            args |= {name: str(value) for name, value in (await request.post()).items()}
        self.calls.append((method, args))
        waiting = self.faults.get(method) or self.faults.get("*")
        fault = waiting.popleft() if waiting else self.mishap(method)
        match fault.kind:
            case "status":
                return _failure(fault)
            case "error":
                return web.json_response({"ok": False, "error": fault.error})
            case "reset":
                return _dropped(request)
            case "hang":
                await asyncio.sleep(FOR_EVER)
            case "garbage":
                return web.Response(text="<html>upstream connect error</html>", content_type="text/html")
            case "slow":
                await asyncio.sleep(fault.seconds or 1.0)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        answer = await self._answer(method, args, token, request)
        if fault.kind == "lost":
            return _dropped(request)
        if answer.get("error") == "ratelimited":
            return web.json_response(answer, status=429, headers={"Retry-After": str(answer.pop("seconds"))})
        return web.json_response(answer)

    async def _answer(self, method: str, args: Json, token: str, request: web.Request) -> Json:
        if method == "apps.connections.open":
            if not self.app_token or token != self.app_token:
                return _error("invalid_auth")
            return {"ok": True, "url": f"ws://{request.host}/socket"}
        if token != self.token:
            return _error("invalid_auth")
        found = self._methods.get(method)
        return _error("unknown_method") if found is None else found(args)

    def _auth_test(self, _: Json) -> Json:
        return {"ok": True, "team": "Simulated", "team_id": self.team, "user": "switchboard", "user_id": BOT, "bot_id": "B0SWITCHBOARD"}

    def _post(self, args: Json) -> Json:
        channel = str(args.get("channel"))
        if channel not in self.channels:
            return _error("channel_not_found")
        if why := problem(args, MOST_TEXT):
            return _error(why)
        now = time.monotonic()
        if self.pace and now < self._free_at.get(channel, 0.0):
            return {"ok": False, "error": "ratelimited", "seconds": max(1, round(self._free_at[channel] - now))}
        self._free_at[channel] = now + self.pace
        thread = args.get("thread_ts")
        message: Json = {
            "type": "message",
            "user": BOT,
            "bot_id": "B0SWITCHBOARD",
            "app_id": APP,
            "ts": self.ts(),
            "text": args.get("text", ""),
        }
        message |= {name: args[name] for name in ("blocks", "metadata") if args.get(name)}
        self._add(channel, message, thread)
        return {"ok": True, "channel": channel, "ts": message["ts"], "message": message}

    def _whisper(self, args: Json) -> Json:
        channel = str(args.get("channel"))
        if channel not in self.channels:
            return _error("channel_not_found")
        self.changed({"channel": channel, "user": BOT, "text": args.get("text", ""), "to": args.get("user")}, "whispered")
        return {"ok": True, "message_ts": self.ts()}

    def _update(self, args: Json) -> Json:
        message = self._at(args)
        if message is None:
            return _error("message_not_found")
        if message["user"] != BOT:
            return _error("cant_update_message")
        if why := problem(args, MOST_UPDATE):
            return _error(why)
        message["text"] = args.get("text", "")
        message["blocks"] = args.get("blocks") or []
        if args.get("metadata"):
            message["metadata"] = args["metadata"]
        self.changed(message, "updated")
        return {"ok": True, "channel": args["channel"], "ts": message["ts"], "text": message["text"]}

    def _delete(self, args: Json) -> Json:
        message = self._at(args)
        if message is None:
            return _error("message_not_found")
        if message["user"] != BOT:
            return _error("cant_delete_message")
        self.channels[args["channel"]].remove(message)
        self.changed(message, "deleted")
        return {"ok": True, "channel": args["channel"], "ts": args["ts"]}

    def _history(self, args: Json) -> Json:
        if args.get("channel") not in self.channels:
            return _error("channel_not_found")
        return page([each for each in reversed(self.channels[args["channel"]]) if each.get("thread_ts") in (None, each["ts"])], args)

    def _replies(self, args: Json) -> Json:
        if args.get("channel") not in self.channels:
            return _error("channel_not_found")
        found = [each for each in self.channels[args["channel"]] if args["ts"] in (each["ts"], each.get("thread_ts"))]
        return page(found, args) if found else _error("thread_not_found")

    def _open(self, args: Json) -> Json:
        return {"ok": True, "channel": {"id": self.direct(str(args["users"]))}}

    def _add(self, channel: str, message: Json, thread: str | None) -> Json:
        message["channel"] = channel
        if thread is not None:
            message["thread_ts"] = thread
        self.channels[channel].append(message)
        self.changed(message, "posted")
        return message

    def _at(self, args: Json) -> Json | None:
        return next((each for each in self.channels.get(str(args.get("channel")), []) if each["ts"] == args.get("ts")), None)

    # -- Socket Mode -----------------------------------------------------------------------------------------------------------------------

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "num_connections": len(self.sockets) + 1, "connection_info": {"app_id": APP}})
        self.sockets.append(socket)
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    ack = json.loads(message.data)
                    async with self._acked:
                        self.acks[ack["envelope_id"]] = ack.get("payload") or {}
                        self._acked.notify_all()
        finally:
            self.sockets.remove(socket)
        return socket

    async def push(self, kind: str, payload: Json, envelope: str, *, seconds: float = 3.0) -> bool:
        """Send a payload by the newest socket; tells whether it was acknowledged within the time that Slack waits."""
        await self.sockets[-1].send_json({"type": kind, "envelope_id": envelope, "payload": payload, "accepts_response_payload": True})
        try:
            async with asyncio.timeout(seconds), self._acked:
                await self._acked.wait_for(lambda: envelope in self.acks)
        except TimeoutError:
            return False
        return True


def _error(code: str) -> Json:
    return {"ok": False, "error": code}


def _failure(fault: Fault) -> web.Response:
    headers = {} if fault.seconds is None else {"Retry-After": f"{fault.seconds:g}"}
    if fault.status == 429:  # noqa: PLR2004 - Too Many Requests
        return web.json_response(_error("ratelimited"), status=fault.status, headers=headers)
    return web.Response(status=fault.status, text="Internal Server Error", headers=headers)


def _dropped(request: web.Request) -> web.StreamResponse:
    """Close the connection as it is; what is returned goes nowhere."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def serving(workspace: SlackWorkspace, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[str, None]:
    """Serve a workspace; gives the URL of its Web API, as SLACK_API_URL takes it. Raises `OSError` when the port is taken."""
    async with served(workspace.app, host, port) as address:
        try:
            yield f"{address}/api/"
        finally:
            for socket in list(workspace.sockets):
                await socket.close()
