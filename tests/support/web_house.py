"""A server in this process with lines of the web, and a client that sends what it is told to send."""

import asyncio
import contextlib
import io
import itertools
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from support.phone_house import PhoneHouse

boots = itertools.count(1, 100)


@dataclass
class Reply:
    status: int
    json: Any
    headers: Any


@dataclass
class Event:
    kind: str
    id: str | None
    data: Any


@dataclass
class Stream:
    """The events of a session, as they come; `listening` is apart: each change of what is listened for."""

    response: aiohttp.ClientResponse
    events: list[Event] = field(default_factory=list)
    comments: int = 0
    listening: list[Any] = field(default_factory=list)

    async def next(self) -> Event:
        """The next other event; `EOFError` when the stream has ended."""
        fields: dict[str, str] = {}
        while True:
            line = (await self.response.content.readline()).decode()
            if not line:
                raise EOFError
            if line == "\n":
                if fields.get("event") == "listening":
                    assert "id" not in fields
                    self.listening.append(json.loads(fields["data"]))
                elif "event" in fields:
                    event = Event(fields["event"], fields.get("id"), json.loads(fields["data"]))
                    self.events.append(event)
                    return event
                fields = {}
            elif line.startswith(":"):
                self.comments += 1
            else:
                name, _, value = line.rstrip("\n").partition(": ")
                fields[name] = value

    async def until(self, kind: str, text: str | None = None) -> list[Event]:
        """The events up to one of that kind (that says this), included."""
        events = []
        while True:
            events.append(await asyncio.wait_for(self.next(), 20))
            if events[-1].kind == kind and text in (None, events[-1].data.get("text")):
                return events


class WebClient:
    """Speaks to the servers at `url`."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http

    async def request(self, method: str, path: str, *, body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
        async with self.http.request(
            method, self.url + path, data=None if body is None else io.BytesIO(body), headers=headers or {}
        ) as response:
            text = await response.text()
            return Reply(response.status, json.loads(text) if text else None, response.headers)

    async def create(
        self, *, key: str | None = None, wait: float | None = None, headers: dict[str, str] | None = None, **wish: Any
    ) -> Reply:
        heads = _headers(key, wait) | (headers or {})
        return await self.request("POST", "/web/sessions", body=json.dumps(wish).encode() if wish else None, headers=heads)

    async def say(
        self, id_: str, text: str, *, key: str | None = None, wait: float | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        heads = _headers(key or str(uuid.uuid4()), wait) | (headers or {})
        return await self.request(
            "POST", f"/web/sessions/{id_}/messages", body=json.dumps({"text": text}, ensure_ascii=False).encode(), headers=heads
        )

    @contextlib.asynccontextmanager
    async def events(
        self, id_: str, after: str | None = None, *, status: int = 200, query: str = "", headers: dict[str, str] | None = None
    ):
        heads = ({} if after is None else {"Last-Event-ID": after}) | (headers or {})
        async with self.http.get(
            f"{self.url}/web/sessions/{id_}/events{query}", headers=heads, timeout=aiohttp.ClientTimeout()
        ) as response:
            assert response.status == status, await response.text()
            yield Stream(response)


def _headers(key: str | None, wait: float | None) -> dict[str, str]:
    return ({} if key is None else {"Idempotency-Key": key}) | ({} if wait is None else {"Prefer": f"wait={wait}"})


def texts(reply: Reply) -> list[str]:
    return [each["text"] for each in reply.json["replies"]]


class WebHouse(PhoneHouse):
    """A node; several may share a store."""

    def __init__(self, store_url: str, workflow: str, **settings: Any) -> None:
        lines = settings.pop("lines", {"web:*": {"workflow": workflow, **settings.pop("line", {})}})
        super().__init__(store_url, workflow, lines=lines, **settings)
        self.boots = next(boots)


@contextlib.asynccontextmanager
async def web_house(store_url: str, workflow: str, **settings: Any):
    """A house and a client in it."""
    house = WebHouse(store_url, workflow, **settings)
    await house.start()
    try:
        async with aiohttp.ClientSession() as http:
            yield house, WebClient(house.url, http)
    finally:
        await house.stop()
