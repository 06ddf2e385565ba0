"""Model servers on a socket: the offline demo model, and one that sends the bytes it is told to, piece by piece."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field

from pydantic import SecretStr

from telephony.simulators.model.endpoint import ModelEndpoint, serving
from telephony.simulators.model.faults import script

KEY = "sk-a-key-that-nobody-may-see"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


@dataclass
class ModelSettings:
    """What the binding needs of the settings."""

    openai_base_url: str | None = None
    openai_api_key: SecretStr | None = field(default_factory=lambda: SecretStr(KEY))
    openai_model: str | None = None


@contextlib.asynccontextmanager
async def model_server(faults=""):
    """The offline demo model with a script of faults; `url` is its base URL."""
    endpoint = ModelEndpoint(script(faults))
    async with serving(endpoint) as url:
        endpoint.url = url
        yield endpoint


class RawServer:
    """Answers every request with `pieces`, each a write of its own; `...` says nothing more until the client has left.

    `requests` are (head, body) of what was asked; `asked` is set when there is one, `left` when a client closes the connection.
    """

    def __init__(self, *pieces):
        self.pieces = pieces
        self.requests = []
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        self._serving = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader, writer):
        self._serving.append(asyncio.current_task())
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length:"))
            self.requests.append((head, json.loads(await reader.readexactly(length))))
            self.asked.set()
            for piece in self.pieces:
                if piece is ...:
                    await reader.read()
                    self.left.set()
                else:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)


def sse(*chunks, done=True):
    """The body of a stream."""
    events = [b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n" for chunk in chunks]
    return b"".join(events) + (b"data: [DONE]\n\n" if done else b"")


def chunk(delta=None, finish_reason=None, **more):
    choices = [{"index": 0, "delta": delta or {}, "finish_reason": finish_reason}] if delta is not None or finish_reason else []
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more}


def piece(index=None, id_=None, name=None, arguments=None):
    """A piece of a call."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    call = {key: value for key, value in (("index", index), ("id", id_), ("function", function or None)) if value is not None}
    return chunk({"tool_calls": [call]})
