"""A chat's face: what a person, or a program that reads JSON, sees of a web session."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rich.console import Console
from rich.text import Text

from telephony.errors import RefusedError, UnreachableError
from telephony.simulators.lines import lines
from telephony.simulators.web import Event, WebUser

_PATIENCE = 60.0
"""Seconds to wait for a server that went away in the middle of a chat: time to start it again."""

_PROMPT = "> "


class Face(Protocol):
    """Shows what happens."""

    def began(self, id_: str) -> None:
        """There is a session."""
        ...

    def awaits(self, listening: dict[str, Any] | None) -> None:
        """It is the user's turn."""
        ...

    def said(self, text: str) -> None:
        """The user has said something."""
        ...

    def happened(self, event: Event) -> None:
        """The server tells something."""
        ...


def run(url: str, line: str | None, timezone: str | None, session: str | None, *, as_json: bool) -> int:
    """Chat until the session or the input ends; gives the exit status."""
    face: Face = JsonFace() if as_json else Terminal(typed=sys.stdin.isatty())
    try:
        return asyncio.run(_chat(url, line, timezone or _zone_here(), session, face))
    except KeyboardInterrupt:
        return 0


async def _chat(url: str, line: str | None, timezone: str | None, session: str | None, face: Face) -> int:
    async with WebUser(url, session) as user:
        opened: dict[str, Any] | None = None
        try:
            if session is None:
                opened = await user.open(line, timezone)
        except UnreachableError:
            _tell(f"No server at {url}. Start one with: make run (or switchboard serve)")
            return 2
        except RefusedError as error:
            _tell(str(error))
            return 1
        user.patience = _PATIENCE
        face.began(user.id or "")
        chat = Chat(user, face)
        status = await chat.go_on(opened)
        if not chat.ended and not isinstance(face, JsonFace):
            _tell(f"Go on with: switchboard chat --session {user.id}" + ("" if url == "http://127.0.0.1:8080" else f" --url {url}"))
        return status


class Chat:
    """One chat: the events, as they come, and the messages, one after the other."""

    def __init__(self, user: WebUser, face: Face) -> None:
        self.ended = False
        self._user = user
        self._face = face
        self._seen = asyncio.Event()

    async def go_on(self, opened: dict[str, Any] | None) -> int:
        """Until the session or the input ends, whichever comes first; `opened` is the answer to the opening, if that was ours."""
        reader, writer = asyncio.create_task(self._read()), asyncio.create_task(self._write(opened))
        try:
            await asyncio.wait([reader, writer], return_when=asyncio.FIRST_COMPLETED)
            for task in (writer, reader):
                if task.done():
                    task.result()
        except (RefusedError, UnreachableError) as error:
            _tell(str(error))
            return 1
        finally:
            reader.cancel()
            writer.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
        return 0

    async def _read(self) -> None:
        async for event in self._user.events():
            if event.kind != "listening":  # which is told with the answers
                self._face.happened(event)
            self._seen.set()
        self.ended = True

    async def _write(self, opened: dict[str, Any] | None) -> None:
        await self._user.caught_up.wait()
        await self._until_seen(opened)
        async for text in lines():
            if text.strip():
                self._face.said(text)
                await self._until_seen(await self._user.say(text))
            else:
                self._face.awaits(None)

    async def _until_seen(self, answer: dict[str, Any] | None) -> None:
        """Wait until the events have told what an answer holds: what is shown is shown once, and in order."""
        while answer and answer["replies"] and (self._user.last is None or _place(self._user.last) < _place(answer["replies"][-1]["id"])):
            self._seen.clear()
            await self._seen.wait()
        if answer and answer["ended"]:
            await asyncio.Event().wait()  # until the events have told so, too
        self._face.awaits(answer["listening"] if answer else None)


class JsonFace:
    """Writes an object a line, its `event` the kind."""

    def began(self, id_: str) -> None:
        """See `Face`."""
        _write_json("session", {"id": id_})

    def awaits(self, listening: dict[str, Any] | None) -> None:
        """See `Face`."""
        _write_json("listening", {"listening": listening})

    def said(self, text: str) -> None:
        """See `Face`."""
        _write_json("said", {"text": text})

    def happened(self, event: Event) -> None:
        """See `Face`."""
        data = {"tasks": event.data} if event.kind == "tasks" else event.data
        _write_json(event.kind, data if event.id is None else {"id": event.id, **data})


class Terminal:
    """Shows a person what happens. Words are written as they stream; the whole completes or replaces them."""

    def __init__(self, *, typed: bool) -> None:
        self._typed = typed
        self._waiting = False
        self._streamed = ""
        self._out = Console(highlight=False)

    def began(self, id_: str) -> None:
        """See `Face`."""
        self._line(f"[session {id_}]", "dim")

    def awaits(self, listening: dict[str, Any] | None) -> None:
        """See `Face`."""
        if listening is not None and listening["kind"] == "choice":
            self._line("[" + ", ".join(f"{each['key']} {each['name']}" for each in listening["options"]) + "]", "dim")
        self._waiting = True
        self._prompt()

    def said(self, text: str) -> None:
        """See `Face`."""
        self._waiting = False
        if not self._typed:
            self._line(_PROMPT + text, "dim")

    def happened(self, event: Event) -> None:
        """See `Face`."""
        match event.kind:
            case "partial":
                if event.data["first"]:
                    self._clear()
                self._streamed += event.data["text"]
                self._out.print(Text(_printable(event.data["text"]), style="bold"), end="", soft_wrap=True)
                return
            case "reply" | "notice":
                text = event.data["text"]
                if self._streamed and text.startswith(self._streamed):
                    self._out.print(Text(_printable(text[len(self._streamed) :]), style="bold"), soft_wrap=True)
                    self._streamed = ""
                else:
                    self._clear()
                    self._line(text, "bold" if event.kind == "reply" else "bold yellow")
            case "tasks" if event.data:
                self._clear()
                self._line("[tasks: " + ", ".join(_task(each) for each in event.data) + "]", "dim")
            case "ended":
                self._clear()
                self._waiting = False
                self._line("[the conversation is over]", "dim")
        self._prompt()

    def _line(self, text: str, style: str) -> None:
        if self._waiting and self._typed:
            self._out.print("\r", end="")  # over the prompt
        self._out.print(Text(_printable(text), style=style), soft_wrap=True)

    def _clear(self) -> None:
        """Leave the line of words that were streamed and are void."""
        if self._streamed or (self._waiting and self._typed):
            self._out.print()
        self._streamed = ""

    def _prompt(self) -> None:
        if self._waiting and self._typed:
            self._out.print(_PROMPT, end="")


def _zone_here() -> str | None:
    """This computer's time zone by its IANA name, where that can be told; else the line's own is taken."""
    name = os.environ.get("TZ", "").lstrip(":")
    if not name:
        try:
            name = str(Path("/etc/localtime").readlink()).partition("zoneinfo/")[2]
        except OSError:
            return None
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _place(id_: str) -> tuple[int, ...]:
    return tuple(map(int, id_.split(".")))


def _task(task: Any) -> str:
    return str(task.get("name", task)) if isinstance(task, dict) else str(task)


def _write_json(kind: str, data: dict[str, Any]) -> None:
    print(json.dumps({"event": kind, **data}), flush=True)  # noqa: T201 - this is the command's output


def _tell(problem: str) -> None:
    Console(highlight=False, stderr=True).print(Text(_printable(problem), style="red"), soft_wrap=True)


def _printable(text: str) -> str:
    """Keep a server's control characters from the terminal; its lines may be lines."""
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)
