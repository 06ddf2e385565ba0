"""Alexa's own API on a port of this machine: what a skill may ask of it while it answers.

Source: https://developer.amazon.com/docs/smapi/alexa-settings-api-reference.html, …/alexa-reminders-api-reference.html, and
https://developer.amazon.com/docs/custom-skills/send-the-user-a-progressive-response.html.
"""

import secrets
from types import TracebackType
from typing import Any, Self

from aiohttp import web


class AlexaCloud:
    """Attributes: `spoken` and `reminders`, what skills have sent; `consents`: whether reminders are allowed; `url`, its address."""

    def __init__(self, time_zone: str, *, consents: bool) -> None:
        self.time_zone = time_zone
        self.consents = consents
        self.token = secrets.token_urlsafe(24)
        self.spoken: list[str] = []
        self.reminders: list[dict[str, Any]] = []
        self.asked_for_zone = 0
        self.url = ""
        app = web.Application()
        app.add_routes([
            web.post("/v1/directives", self._speak),
            web.post("/v1/alerts/reminders", self._remind),
            web.get("/v2/devices/{device}/settings/System.timeZone", self._zone),
        ])  # fmt: skip
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._runner.cleanup()

    async def _speak(self, request: web.Request) -> web.Response:
        self._check(request)
        body = await request.json()
        if body["directive"]["type"] != "VoicePlayer.Speak" or not body["header"]["requestId"]:
            return web.json_response({"code": "INVALID_REQUEST"}, status=400)
        self.spoken.append(body["directive"]["speech"])
        return web.Response(status=204)

    async def _remind(self, request: web.Request) -> web.Response:
        self._check(request)
        if not self.consents:
            return web.json_response({"code": "UNAUTHORIZED", "message": "The user has not consented."}, status=401)
        reminder = await request.json()
        trigger = reminder["trigger"]
        if trigger["type"] != "SCHEDULED_RELATIVE" or not 0 < trigger["offsetInSeconds"] < 86_400 * 365:
            return web.json_response({"code": "INVALID_TRIGGER"}, status=400)
        self.reminders.append(reminder)
        return web.json_response({"alertToken": secrets.token_hex(16), "status": "ON"}, status=201)

    async def _zone(self, request: web.Request) -> web.Response:
        self._check(request)
        self.asked_for_zone += 1
        return web.json_response(self.time_zone)

    def _check(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            raise web.HTTPForbidden
