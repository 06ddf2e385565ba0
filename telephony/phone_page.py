"""The phone in a browser, at `/phone`: a keypad and a handset for a call to one of this server's own lines.

The page is a face; the call itself is `page_call`'s, which carries TwiML out here and sends the server its own, genuinely signed webhooks.
"""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus

from aiohttp import web

from switchboard.channel import Exchange
from switchboard.guard import read_body
from telephony import form, page_files
from telephony.errors import FormError
from telephony.page_call import PageCall
from telephony.phone_door import ELSEWHERE, FOREIGN, Door

GUESS_SECONDS = 1.0
"""How long a wrong token waits for its answer."""

HEARTBEAT = 20.0
"""Seconds between two looks whether the browser is still there; in a call where nothing happens, proxies see traffic, too."""

LONGEST = 8_192
"""Bytes of what a page may say at once."""


class PhonePage:
    """The page, its door, and the sockets of its calls."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._door = Door(exchange.settings)
        self._page = page_files.document("phone.html")

    def routes(self) -> Iterable[web.RouteDef]:
        """The page, the token that opens it, and a socket a call."""
        yield web.get("/phone", self._show)
        yield web.post("/phone", self._unlock)
        yield web.get("/phone/call", self._call, allow_head=False)

    async def _show(self, request: web.Request) -> web.StreamResponse:
        return await self._page(request) if self._door.is_open(request) else self._closed()

    async def _unlock(self, request: web.Request) -> web.StreamResponse:
        """Take the token, which a form brings, and come back with a cookie in its place."""
        body = await read_body(request, self._exchange.limits)
        if not self._door.is_own(request):
            raise web.HTTPForbidden(text=FOREIGN)
        try:
            token = dict(form.parse(body)).get("token", "")
        except FormError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        response = web.Response(status=HTTPStatus.SEE_OTHER, headers={**page_files.HEADERS, "Location": "phone"})
        if self._door.admit(request, response, token):
            return response
        await asyncio.sleep(GUESS_SECONDS)
        return self._closed()

    def _closed(self) -> web.Response:
        if not self._door.has_token:
            return web.Response(text=ELSEWHERE, status=HTTPStatus.FORBIDDEN, headers=page_files.HEADERS)
        door = page_files.page_files()["phone-door.html"]
        headers = {
            **page_files.HEADERS,
            "Content-Security-Policy": page_files.POLICY.replace("form-action 'none'", "form-action 'self'"),
            "Content-Type": door.type,
            "Referrer-Policy": "same-origin",  # without a referrer a browser's form does not tell its origin either
        }
        return web.Response(body=door.body, status=HTTPStatus.FORBIDDEN, headers=headers)

    async def _call(self, request: web.Request) -> web.StreamResponse:
        if not self._door.is_own(request):
            raise web.HTTPForbidden(text=FOREIGN)
        if not self._door.is_open(request):
            raise web.HTTPForbidden(text=ELSEWHERE)
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=LONGEST)
        if not socket.can_prepare(request):
            raise web.HTTPUpgradeRequired(text="A call is a WebSocket: open the page at /phone.\n")
        await socket.prepare(request)
        assert request.transport is not None, "it is open: it has just been written to"
        host, port = request.transport.get_extra_info("sockname")[:2]
        await PageCall(self._exchange, socket, f"http://{f'[{host}]' if ':' in host else host}:{port}").run()
        return socket
