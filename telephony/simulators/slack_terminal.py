"""The face of the simulated Slack: what a person there sees, and what they type."""

import asyncio
import sys
from collections import deque
from http import HTTPStatus
from typing import Any

from rich.console import Console
from rich.text import Text

from telephony.errors import UnreachableError
from telephony.simulators.lines import lines
from telephony.simulators.slack_faults import Fault
from telephony.simulators.slack_sender import SlackSender
from telephony.simulators.slack_workspace import BOT, GENERAL, Json, SlackWorkspace, serving

USER = "U0ADA"
USUAL_PORT = 8091

ANSWER_SECONDS = 30.0
"""How long a script waits for the answer to a line; `QUIET_SECONDS` without news and it is taken for whole."""

QUIET_SECONDS = 2.0

_err = Console(stderr=True, highlight=False)


def run(url: str, port: int, secret: str, token: str, faults: list[Fault]) -> int:
    """Serve a workspace and talk in it until the input ends; gives the exit status."""
    try:
        return asyncio.run(_talk(url, port, secret, token, faults))
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        _tell(f"cannot listen on 127.0.0.1:{port}: {error.strerror or error}. Choose another port with --port.")
        return 2


async def _talk(url: str, port: int, secret: str, token: str, faults: list[Fault]) -> int:
    workspace = SlackWorkspace(token)
    workspace.faults["chat.postMessage"] = deque(faults)
    async with serving(workspace, port=port) as api, SlackSender(url, secret, workspace) as sender:
        if port != USUAL_PORT:
            _tell(f"The simulated Slack listens at {api}. To use it: SLACK_API_URL={api} switchboard serve")
        person = Person(workspace, sender)
        return await person.talk()


class Person:
    """Somebody at a terminal: reads what comes, and types."""

    def __init__(self, workspace: SlackWorkspace, sender: SlackSender) -> None:
        self._workspace = workspace
        self._sender = sender
        self._typed = sys.stdin.isatty()
        self._channel = workspace.direct(USER)
        self._thread: str | None = None
        self._last: Json | None = None
        self._asked: Json | None = None
        self._news = asyncio.Event()
        self._answered = False
        self._out = Console(highlight=False)
        workspace.changed = self._show

    async def talk(self) -> int:
        """Until the input ends."""
        sent = False
        async for line in lines():
            if not line.strip():
                continue
            if not self._typed:
                self._out.print(Text(f"> {line}", "dim"), soft_wrap=True)
            self._answered = False
            try:
                status = await self._do(line.strip())
            except UnreachableError:
                _tell(f"No server at {self._sender.base_url}. Start one with: make run (or switchboard serve)")
                return 1 if sent else 2
            except (LookupError, ValueError):
                _tell("There is no such button.")
                continue
            sent = True
            if status != HTTPStatus.OK:
                _tell(f"The server said {status}.")
                if not self._typed:
                    return 1
            elif not self._typed and not line.startswith((":channel", ":dm")):
                await self._until_quiet(answered=not line.startswith(":again"))
        return 0

    async def _do(self, line: str) -> int:
        """What was typed, done; gives the server's status."""
        sender, word = self._sender, line.split(maxsplit=1)
        match word:
            case [":channel"]:
                self._channel, self._thread = GENERAL, None
            case [":dm"]:
                self._channel, self._thread = self._workspace.direct(USER), None
            case [":press", number]:
                return await sender.send_press(sender.press(self._asked or {}, int(number) - 1, USER))
            case [":again"]:
                return await sender.send(self._last, retry=1) if self._last is not None else HTTPStatus.OK
            case _ if line.startswith("/"):
                status, words = await sender.send_command(sender.command(line.partition(" ")[2], USER, self._channel))
                self._out.print(Text(f"[only you see: {words}]", "dim"), soft_wrap=True)
                return status
            case _:
                return await self._say(line)
        return HTTPStatus.OK

    async def _say(self, text: str) -> int:
        """Write; a mention in the channel comes as twins, as in Slack."""
        mentions = self._channel == GENERAL and self._thread is None
        message = self._workspace.write(self._channel, USER, f"<@{BOT}> {text}" if mentions else text, self._thread)
        if mentions:
            self._thread = message["ts"]
            await self._sender.deliver(self._sender.mention(message))
        self._last = self._sender.message(message)
        return await self._sender.deliver(self._last)

    async def _until_quiet(self, *, answered: bool) -> None:
        """Wait until nothing more comes, and if need be for an answer before."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while answered and not self._answered:
                    self._news.clear()
                    await self._news.wait()
            while True:
                self._news.clear()
                await asyncio.wait_for(self._news.wait(), QUIET_SECONDS)
        except TimeoutError:
            pass

    def _show(self, message: Json, what: str) -> None:
        """Something has changed in the workspace."""
        if message["user"] != BOT:
            return
        self._news.set()
        buttons = [each for block in message.get("blocks") or () if block["type"] == "actions" for each in block["elements"]]
        if buttons:
            self._asked = message
        waits = str(((message.get("metadata") or {}).get("event_payload") or {}).get("key", "")).endswith("/expected")
        self._answered = self._answered or (not waits and what != "deleted")
        where = "" if message["channel"].startswith("D") else " in the thread" if message.get("thread_ts") else " in #general"
        mark = {"posted": "", "updated": " (in place of the last)", "deleted": " (deleted)", "whispered": " (only you see)"}[what]
        lines = [_text(block) for block in message.get("blocks") or () if block["type"] in ("section", "context")] or [message["text"]]
        self._out.print(Text(f"[app{where}{mark}]", "dim"))
        for line in lines if what != "deleted" else ():
            self._out.print(Text(_printable(line), "dim" if waits else "bold"), soft_wrap=True)
        if buttons:
            self._out.print(Text(" ".join(f"[{number} {each['text']['text']}]" for number, each in enumerate(buttons, 1)), "cyan"))


def _text(block: dict[str, Any]) -> str:
    return str(block["text"]["text"]) if block["type"] == "section" else " ".join([str(each["text"]) for each in block["elements"]])


def _tell(problem: str) -> None:
    _err.print(Text(_printable(problem), style="red"), soft_wrap=True)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)
