"""What a web session says, as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

An event's id is its output's place in the history, so a reader who was cut off goes on behind the last one that it saw, at whatever
replica. What has no id (words that stream, the task list, what is listened for) is sent anew as it stands, and counts for nothing.
"""

import asyncio
import re
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from handlers.errands import is_notice
from handlers.messages import News
from switchboard.channel import Exchange
from switchboard.follow import Following, Piece
from telephony import web_wire as wire
from telephony.errors import RefusedError
from workflows.events import Prompt
from workflows.listen import Transfer
from workflows.turns import Spoken

HEARTBEAT = 15.0
"""Seconds between comments on a stream that has nothing to tell: proxies cut off what is silent for a minute."""

AT_ONCE = 20
"""Events that are written before the reader has taken them: a long history waits for its reader as it was, not as bytes."""

RETRY_MS = 1_000
"""How soon a browser tries again when a stream breaks off."""

_PLACE = re.compile(r"(\d{1,15})\.(\d{1,7})")
_TYPE = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}


class Events:
    """Streams of events: one for each reader, who gets what is new when they have taken what was there."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def stream(self, request: web.Request, session: str, headers: dict[str, str]) -> web.StreamResponse:
        """Tell a session's events until it has ended, the reader has left, or the server stops."""
        after = _after(request)
        with self._exchange.follow(session, after) as following:
            news = await following.read()
            if news.state == "absent":
                raise wire.unknown()
            if news.state == "broken":
                why = "The conversation cannot go on until its code is mended: try again later."
                raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, why, {"Retry-After": "60"})
            if news.state == "ended" and not news.spoken and after is not None:
                return web.Response(status=HTTPStatus.NO_CONTENT, headers=headers)  # which tells a browser not to come back
            response = web.StreamResponse(headers=headers | _TYPE)
            try:
                await response.prepare(request)
                await response.write(b"retry: %d\n\n" % RETRY_MS)
                await _tell(response, following, news)
                await response.write_eof()
            except ConnectionError:  # the reader has left, which costs nothing
                pass
            return response


async def _tell(response: web.StreamResponse, following: Following, news: News | None) -> None:
    """Write what is new until there is no more to come."""
    loop = asyncio.get_running_loop()
    beat = 0.0  # the first comment comes at once, behind what there was: so a reader knows that this is all for now
    tasks = b"null"
    listening = b""  # not told yet
    while True:
        events = [_words(each) for each in following.words()]
        over = following.closed
        if news is not None:
            heard = msgspec.json.encode(_listening(news.prompt))
            if heard != listening and news.state == "live":  # first: who reads a question knows already how it is answered, secretly or not
                listening = heard
                events.append(_event("listening", msgspec.Raw(heard)))
            events += [_said(each) for each in news.spoken]
            noted = encoded(news.note)
            if noted != tasks:
                tasks = noted
                events.append(_event("tasks", msgspec.Raw(noted)))
            if news.state in ("ended", "absent"):
                events.append(_event("ended", {}, following.after or (0, 0)))
                over = True
        if (not events and loop.time() >= beat) or not beat:
            events.append(b":\n\n")
            beat = loop.time() + HEARTBEAT
        for start in range(0, len(events), AT_ONCE):
            await response.write(b"".join(events[start : start + AT_ONCE]))
            beat = loop.time() + HEARTBEAT
        if over:
            return
        news = await following.next(beat)


def _words(piece: Piece) -> bytes:
    return _event("partial", {"step": piece.step, "first": piece.first, "text": wire.plain(piece.text)})


def _said(spoken: Spoken) -> bytes:
    position, ordinal, output = spoken.said
    kind = "notice" if is_notice(spoken.id) else "reply"
    return _event(kind, {"turn": spoken.turn, **wire.reply(output)}, (position, ordinal))


def _listening(prompt: Prompt | None) -> dict[str, Any] | None:
    """What the user can say now, as answers to messages tell it; nobody listens while a transfer is declined."""
    return None if prompt is None or isinstance(prompt.listen, Transfer) else wire.listening(prompt)


def _event(kind: str, data: Any, place: tuple[int, int] | None = None) -> bytes:
    id_ = b"" if place is None else b"id: %d.%d\n" % place
    return b"%sevent: %s\ndata: %s\n\n" % (id_, kind.encode(), msgspec.json.encode(data))


def encoded(note: Any) -> bytes:
    """What a workflow noted, if it can be told: keys of a history's map may be anything, those of JSON may not."""
    try:
        return msgspec.json.encode(note)
    except TypeError:
        return b"null"


def _after(request: web.Request) -> tuple[int, int] | None:
    """The last event that a reader saw: a browser's own header, else `after` in the address, for a first connection."""
    given = request.headers.get("Last-Event-ID") or request.query.get("after")
    if not given:
        return None
    found = _PLACE.fullmatch(given)
    if found is None:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "The Last-Event-ID is none of ours: send the id of the last event, or none.")
    return int(found[1]), int(found[2])
