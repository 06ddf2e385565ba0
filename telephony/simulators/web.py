"""A user of the web API, as a browser's page would be one: it goes on where it was when the server goes away and comes back.

It keeps the rules of `docs/web.md`: a key for each message, the same when it is sent again, and the last event's id when it reads on.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import aiohttp

from telephony.errors import RefusedError, UnreachableError

_DEADLINE = aiohttp.ClientTimeout(total=90, connect=5)
_SILENCE = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=45)
"""Of a stream: three heartbeats."""

_RETRY_PAUSE = 0.25


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event: `reply`, `notice`, `partial`, `tasks`, `listening` or `ended`, with its id if it has one."""

    kind: str
    id: str | None
    data: Any


class WebUser:
    """Somebody at the server of `base_url`; in the session `id`, if there is one already.

    `patience`: seconds for which a server that is not there, or says 503, is tried again.

    Attributes:
        last: the id of the event seen last.
        caught_up: set when all is seen that was said before the reading began.
    """

    def __init__(self, base_url: str, id_: str | None = None, *, patience: float = 0.0) -> None:
        self.base_url = base_url.rstrip("/")
        self.id = id_
        self.patience = patience
        self.last: str | None = None
        self.caught_up = asyncio.Event()
        self._client: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._client = aiohttp.ClientSession()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._http.close()

    async def open(self, line: str | None = None, timezone: str | None = None) -> dict[str, Any]:
        """Begin a session; gives the answer to it. Raises as `say` does."""
        wish = {name: value for name, value in (("line", line), ("timezone", timezone)) if value is not None}
        answer = await self._send("/web/sessions", wish)
        self.id = answer["id"]
        return answer

    async def say(self, text: str) -> dict[str, Any]:
        """Send a message, once, however often that takes; gives the answer.

        Raises `UnreachableError` when the server is away for longer than the patience, `RefusedError` when it does not take the message.
        """
        return await self._send(f"/web/sessions/{self.id}/messages", {"text": text})

    async def events(self) -> AsyncIterator[Event]:
        """All that is said, behind what was seen, until the session has ended. Raises as `say` does."""
        away = time.monotonic()
        while True:
            try:
                headers = {} if self.last is None else {"Last-Event-ID": self.last}
                async with self._http.get(f"{self.base_url}/web/sessions/{self.id}/events", headers=headers, timeout=_SILENCE) as response:
                    if response.status == HTTPStatus.NO_CONTENT:
                        return
                    if response.status == HTTPStatus.OK:
                        async for event in self._parsed(response.content):
                            away = time.monotonic()
                            self.last = event.id or self.last
                            yield event
                            if event.kind == "ended":
                                return
                        away = time.monotonic()
                    elif response.status != HTTPStatus.SERVICE_UNAVAILABLE:
                        raise await _refused(response)
            except (aiohttp.ClientError, TimeoutError) as error:
                if time.monotonic() - away > self.patience:
                    raise self._lost(error) from error
            await asyncio.sleep(_RETRY_PAUSE)

    async def _send(self, path: str, body: dict[str, str]) -> dict[str, Any]:
        """Send a request until it is answered: always the same one, so it is one turn."""
        headers = {"Idempotency-Key": secrets.token_urlsafe(24), "Content-Type": "application/json"}
        until = time.monotonic() + self.patience
        while True:
            try:
                async with self._http.post(self.base_url + path, data=json.dumps(body), headers=headers, timeout=_DEADLINE) as response:
                    if response.status in (HTTPStatus.OK, HTTPStatus.CREATED):
                        answer: dict[str, Any] = await response.json()
                        return answer
                    if response.status not in (HTTPStatus.ACCEPTED, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.CONFLICT):
                        raise await _refused(response)
                    if response.status == HTTPStatus.SERVICE_UNAVAILABLE and time.monotonic() > until:
                        raise await _refused(response)
            except (aiohttp.ClientError, TimeoutError) as error:
                if time.monotonic() > until:
                    raise self._lost(error) from error
            await asyncio.sleep(_RETRY_PAUSE)

    async def _parsed(self, content: aiohttp.StreamReader) -> AsyncIterator[Event]:
        """The events of a stream, up to its end; what broke off in the middle is none."""
        fields: dict[str, str] = {}
        while line := await content.readline():
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if text.startswith(":"):
                self.caught_up.set()
            elif text:
                name, _, value = text.partition(":")
                fields[name] = value.removeprefix(" ")
            else:
                if "event" in fields and "data" in fields:
                    yield Event(fields["event"], fields.get("id"), json.loads(fields["data"]))
                fields = {}

    @property
    def _http(self) -> aiohttp.ClientSession:
        assert self._client is not None, "entered before it sends"
        return self._client

    def _lost(self, error: Exception) -> UnreachableError:
        return UnreachableError(f"{self.base_url} does not answer: {str(error) or type(error).__name__}")


async def _refused(response: aiohttp.ClientResponse) -> RefusedError:
    """What the server says about a request that it does not take."""
    text = await response.text("utf-8", "replace")
    try:
        why = str(json.loads(text)["error"])
    except (ValueError, LookupError, TypeError):
        why = f"{response.status} {text[:200].strip()}"
    return RefusedError(response.status, why)
