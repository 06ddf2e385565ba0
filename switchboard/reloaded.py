"""One of the servers of `serve --reload`: what `reload` runs as a process of its own, as ``python -P -m switchboard.reloaded``.

Its standard input is a socket to `reload`: by it come the options and, later, questions about conversations, a line of JSON each; what is
said goes back the same way. Its end means that nobody is there any more who would replace this server, or end it.
"""

import asyncio
import contextlib
import json
import logging
import socket
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO, Final

from handlers.errors import HandlerError
from switchboard import logs, server
from switchboard.errors import SwitchboardError
from switchboard.histories import load_whole
from switchboard.plugins import plugins
from switchboard.replay import Replay, replay
from switchboard.settings import Settings, load
from switchboard.store import opened_store
from switchboard.supervised import end, take_stdin, tell
from switchboard.workdir import join_path
from workflows.errors import WorkflowError
from workflows.registry import Registry

MOST: Final = 2_000
"""How many sessions are looked at: it takes about a millisecond each, and people wait for it."""


def main() -> None:
    """Serve as the options tell, until SIGTERM or the supervisor's end."""
    supervisor = take_stdin()
    link = supervisor.makefile("rb")
    logs.configure(logging.INFO)
    logging.getLogger("switchboard.server").setLevel(logging.WARNING)  # that it stops is nothing to tell: the next one serves
    try:
        join_path()
        options = json.loads(link.readline())
        config, data = (None if options[name] is None else Path(options[name]) for name in ("config", "data"))
        settings = load(config, host=options["host"], port=options["port"], data=data)
        threading.Thread(target=_answer_all, args=(supervisor, link, settings), daemon=True).start()
        at = [settings.server.host, settings.server.port]
        server.run(
            settings,
            lambda url: tell(supervisor, url=url, public=settings.server.public_url, at=at),
            listener=socket.socket(fileno=options["listener"]),
        )
    except (SwitchboardError, HandlerError, WorkflowError) as error:
        tell(supervisor, error=str(error))
        sys.exit(2)


def _answer_all(supervisor: socket.socket, link: BinaryIO, settings: Settings) -> None:
    """Answer in a thread, which does not hold up those who are served; when nobody asks any more, end the server."""
    try:
        with contextlib.suppress(OSError):
            for line in link:
                question = json.loads(line)
                try:
                    answer = asyncio.run(_answer(question, settings))
                except (SwitchboardError, HandlerError) as error:
                    answer = {question["ask"]: [], "problem": str(error)}
                except Exception as error:  # noqa: BLE001 - the code that is looked at is half written: whatever it raises is one answer's end
                    answer = {question["ask"]: [], "problem": f"{type(error).__name__}: {error}"}
                tell(supervisor, **answer)
    finally:
        end()


async def _answer(question: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Which sessions are `alive` with the code here; or which of those named are `lost` with it, why, and what their people meet."""
    registry = Registry()
    async with opened_store(settings) as history:
        if question["ask"] == "alive":
            sessions = await history.sessions(MOST + 1)
            alive = [each for each in sessions[:MOST] if replay(each, await load_whole(history, each), registry).state == "running"]
            few = {"problem": f"there are more than {MOST:,} sessions, and no more were looked at"} if len(sessions) > MOST else {}
            return {"alive": alive, **few}
        lost: list[dict[str, str]] = []
        for session in question["sessions"]:
            seen = replay(session, await load_whole(history, session), registry)
            if why := _why_lost(seen):
                lost.append({"session": session, "why": why, "meets": _meets(seen)})
        return {"lost": lost}


def _why_lost(seen: Replay) -> str:
    """Why the code here cannot go on with a session; empty if it can."""
    match seen.state:
        case "diverged" if seen.divergence is not None:
            return str(seen.divergence)
        case "failed" if seen.failure is not None:
            return f"the workflow fails at event {seen.failed_at} with {seen.failure.kind}: {seen.failure.text}. Mend it, and it goes on."
        case "quarantined" if seen.moments:
            return seen.problem
        case _:
            return ""


def _meets(seen: Replay) -> str:
    """What people meet in it meanwhile."""
    channel = seen.opened.channel if seen.opened is not None else ""
    for name, found in plugins("switchboard.channels"):
        if name == channel:
            return str(found.when_lost)
    return "The conversation that started it waits until it goes on."


if __name__ == "__main__":
    main()
