"""The chat page at `/`: a browser's way to the web channel, whose API it uses as everybody else does (`docs/web.md`)."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from switchboard.channel import Exchange
from telephony import page_files

NO_LINE: Final = 'No line answers on this page: add "web:*" to [lines] in switchboard.toml, and start the server again.'

SUGGESTIONS: Final[dict[str, dict[str, Any]]] = {
    "assistant": {
        "examples": [
            "Remind me to stretch in 10 minutes",
            "Wake me up tomorrow at 7",
            "Watch flights from London to New York on 24 December for at most 400 EUR",
            "What can you do?",
        ],
        "cancel": "cancel {name}",
        "status": "status of {name}",
    }
}
"""What one may say to a workflow that we ship, and how its tasks are asked after; to others a page suggests nothing."""


class Page:
    """The page, its files, and what it asks about its line."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def routes(self) -> Iterable[web.RouteDef]:
        """The page, what it is made of, and its line."""
        yield web.get("/", page_files.document("chat.html"))
        yield from page_files.routes()
        yield web.get("/page/line", self._line)

    async def _line(self, _: web.Request) -> web.Response:
        """What may be said on the line of the page, `web:*`; 404 with the remedy if there is none."""
        line = self._exchange.line("web", "")
        if line is None:
            return _json({"error": NO_LINE}, HTTPStatus.NOT_FOUND)
        return _json(SUGGESTIONS.get(line.workflow, {"examples": [], "cancel": None, "status": None}))


def _json(value: Any, status: int = HTTPStatus.OK) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json", headers={"Cache-Control": "no-store"}
    )
