"""The tasks of a web session: its errands that run, and how each says that it is doing, asked of its own session at that moment."""

import asyncio
from typing import Any

import msgspec

from switchboard.channel import Exchange
from telephony import web_wire as wire
from telephony.web_events import encoded
from workflows.events import CarriedErrand

PATIENCE = 5.0
"""Seconds for all of them; what has not answered by then is `unknown`."""

MOST = 100
"""Errands that are asked: each is brought into memory for it."""

NOW = (10**15, 0)
"""Behind everything that was ever said."""


async def tasks(exchange: Exchange, session: str) -> list[dict[str, Any]]:
    """What runs, oldest first. Raises `RefusedError` when there is no such session, `HandlerError` when the store does not answer."""
    with exchange.follow(session, NOW) as following:
        news = await following.read()
    if news.state == "absent":
        raise wire.unknown()
    return await asyncio.gather(*[_told(exchange, errand) for errand in news.errands[:MOST]])


async def _told(exchange: Exchange, errand: CarriedErrand) -> dict[str, Any]:
    status = await exchange.status(errand.key, PATIENCE)
    return {
        "name": wire.plain(errand.name),
        "workflow": errand.workflow,
        "state": status["state"],
        "note": msgspec.Raw(encoded(status["note"])),
    }
