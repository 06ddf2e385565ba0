"""The server of the offline demo model: `POST /v1/chat/completions`, whole or streamed, and `GET /v1/models`.

Any key and any model's name will do: there is one model, and it says what it is.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from aiohttp import web

from telephony.simulators.model import wire
from telephony.simulators.model.faults import Fault
from telephony.simulators.model.rules import answer
from telephony.simulators.stand_in import served

LARGEST = 4 * 1024 * 1024
"""Bytes of a request."""

FOR_EVER = 3_600.0
"""Seconds; nobody who asks has the patience."""

STATUS_ERRORS = {
    401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    404: ("The model does not exist.", "invalid_request_error", "model_not_found"),
    429: ("Rate limit reached.", "requests", "rate_limit_exceeded"),
}


class ModelEndpoint:
    """The model as a web application, `app`.

    Attributes:
        requests: how many completions were asked for.
        faults: what the next requests get, one after another.
        pace: seconds between two pieces of a stream.
    """

    def __init__(self, faults: Iterable[Fault] = (), pace: float = 0.0) -> None:
        self.requests = 0
        self.faults = deque(faults)
        self.pace = pace
        self.app = web.Application(client_max_size=LARGEST)
        self.app.add_routes([
            web.post("/v1/chat/completions", self._complete),
            web.get("/v1/models", self._models),
            web.get("/healthz", self._health),
        ])  # fmt: skip

    async def _health(self, _: web.Request) -> web.Response:
        """How many completions were asked for: each would have cost something elsewhere."""
        return web.json_response({"status": "ok", "requests": self.requests})

    async def _models(self, _: web.Request) -> web.Response:
        model = {"id": wire.NAME, "object": "model", "created": 0, "owned_by": "switchboard"}
        return web.json_response({"object": "list", "data": [model]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        fault = self.faults.popleft() if self.faults else Fault("ok")
        body = await _read(request)
        if fault.status is not None:
            return _failure(fault.status, fault.seconds)
        match fault.kind:
            case "reset":
                return _dropped(request)
            case "hang":
                await asyncio.sleep(FOR_EVER)
            case "slow":
                await asyncio.sleep(fault.seconds or 1.0)
        reply = await asyncio.to_thread(answer, body["messages"], body.get("tools") or [])  # the lists it looks into take a while to read
        if fault.kind == "empty":
            reply = wire.Reply()
        elif fault.kind == "malformed":
            name = reply.calls[0].name if reply.calls else "create_reminder"
            reply = wire.Reply(calls=(wire.Call(name, '{"description": "call Ada", "at": '),))
        usage = wire.usage_of(body["messages"], reply)
        if not body.get("stream"):
            return web.json_response(wire.completion(reply, usage)) if fault.kind != "cut" else _dropped(request)
        wanted = (body.get("stream_options") or {}).get("include_usage")
        return await self._stream(request, fault.kind, list(wire.chunks(reply, usage if wanted else None)))

    async def _stream(self, request: web.Request, fault: str, chunks: list[wire.Json]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"})
        await response.prepare(request)
        broken = fault in ("stall", "cut", "end", "error", "garbage")
        for chunk in chunks[: max(1, len(chunks) // 2)] if broken else chunks:
            await response.write(wire.event(chunk))
            if self.pace:
                await asyncio.sleep(self.pace)
        match fault:
            case "stall":
                await asyncio.sleep(FOR_EVER)
            case "cut":
                return _dropped(request)
            case "error":
                await response.write(wire.event(wire.error("The server had an error while processing your request.", "server_error")))
            case "garbage":
                await response.write(b"data: {half a chunk\n\n")
            case "end":
                pass
            case _:
                await response.write(wire.DONE)
        await response.write_eof()
        return response


async def _read(request: web.Request) -> dict[str, Any]:
    """The request, as far as it has to be right; raises a 400 that says what is wrong with it."""
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise _refused("We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise _refused("The body must be a JSON object.")
    messages, tools = body.get("messages"), body.get("tools")
    if not (
        isinstance(messages, list) and messages and all(isinstance(each, dict) and isinstance(each.get("role"), str) for each in messages)
    ):
        raise _refused("'messages' must be a list of messages with a 'role', with at least one of them.", "messages")
    named = isinstance(tools, list) and [isinstance(each, dict) and isinstance(each.get("function"), dict) for each in tools]
    if tools is not None and not (named and all(named)):
        raise _refused("'tools' must be a list of tools, with at least one of them.", "tools")
    if not isinstance(body.get("stream_options") or {}, dict):
        raise _refused("'stream_options' must be an object.", "stream_options")
    return body


def _refused(message: str, param: str | None = None) -> web.HTTPBadRequest:
    text = json.dumps(wire.error(message, "invalid_request_error", param=param))
    return web.HTTPBadRequest(text=text, content_type="application/json")


def _failure(status: int, retry_after: float | None) -> web.Response:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Error"
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    message, kind, code = STATUS_ERRORS.get(status, (f"{phrase}.", kind, None))
    headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    return web.json_response(wire.error(message, kind, code), status=status, headers=headers)


def _dropped(request: web.Request) -> web.StreamResponse:
    """Close the connection as it is; what is returned goes nowhere."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def serving(endpoint: ModelEndpoint, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[str, None]:
    """Serve the model; gives its base URL, as OPENAI_BASE_URL takes it. Raises `OSError` when the port is taken."""
    async with served(endpoint.app, host, port) as address:
        yield f"{address}/v1"
