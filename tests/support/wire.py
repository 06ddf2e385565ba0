"""HTTP/1.1 by hand: requests that no client library would send, many at once over one connection, and an answer to each."""

import asyncio
import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

PATIENCE = 60.0
"""Seconds for the answers to all that was sent at once: the server gives its endpoints ten each at most."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wire:
    """A request as it is sent. The length of the body is told unless `headers` say how it ends; a Host is theirs to tell."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""
    version: bytes = b"HTTP/1.1"

    def __bytes__(self) -> bytes:
        names = {name.lower() for name, _ in self.headers}
        told = not self.body or b"content-length" in names or b"transfer-encoding" in names
        headers = self.headers if told else (*self.headers, (b"Content-Length", b"%d" % len(self.body)))
        lines = [b"%b %b %b" % (self.method, self.target, self.version), *[b"%b: %b" % header for header in headers]]
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body


def chunked(body: bytes, sizes: Sequence[int]) -> bytes:
    """The body in chunks of these sizes, and one with the rest."""
    pieces, at = [], 0
    for size in (*sizes, len(body)):
        if piece := body[at : at + size]:
            pieces.append(b"%x\r\n%b\r\n" % (len(piece), piece))
        at += size
    return b"".join(pieces) + b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said: `closes` if it announced that the connection ends here."""

    status: int
    head: bytes
    body: bytes
    closes: bool


class BrokenOffError(Exception):
    """The server closed the connection, or was silent, where it owed an answer to `request`."""

    def __init__(self, request: bytes, how: str) -> None:
        super().__init__(f"{how}, and left this unanswered: {request[:2000]!r}")


class Pipeline:
    """A connection that is kept as long as the server keeps it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._buffer = b""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def ask(self, requests: Sequence[bytes]) -> list[Answer]:
        """Send all at once and give the answers in their order.

        What was sent behind a request at which the server closes the connection is sent again over a new one, as HTTP has it. Raises
        `BrokenOffError` when it closes the connection without having said so.
        """
        answers: list[Answer] = []
        while len(answers) < len(requests):
            rest = requests[len(answers) :]
            writer = self._writer or await self._connect()
            writer.write(b"".join(rest))
            for request in rest:
                answer = await self._answer(request)
                answers.append(answer)
                if answer.closes:
                    await self._close()
                    break
        return answers

    async def _connect(self) -> asyncio.StreamWriter:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._buffer = b""
        return self._writer

    async def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
            self._writer = None

    async def _answer(self, request: bytes) -> Answer:
        head, status = b"", 100
        while status < 200:  # those are interim answers
            while (end := self._buffer.find(b"\r\n\r\n")) < 0:
                await self._read(request)
            head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
            status = int(head[9:12])
        length = _LENGTH.search(head)
        size = int(length[1]) if length and not request.startswith(b"HEAD ") else 0
        while len(self._buffer) < size:
            await self._read(request)
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        return Answer(status, head, body, bool(_CLOSE.search(head)) or head.startswith(b"HTTP/1.0"))

    async def _read(self, request: bytes) -> None:
        assert self._reader is not None, "it was connected to send the request"
        try:
            piece = await asyncio.wait_for(self._reader.read(1 << 18), PATIENCE)
        except (OSError, TimeoutError) as error:
            raise BrokenOffError(request, f"the server broke off ({error!r})") from None
        if not piece:
            raise BrokenOffError(request, "the server closed the connection without having said so")
        self._buffer += piece
