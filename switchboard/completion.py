"""What the shell offers at the Tab key: commands and options, and the keys of sessions where a store is at hand.

The person at the keyboard waits, so nothing here starts a store, imports a workflow, says a word, or takes longer than a moment.
"""

import contextlib
import io
import os
import sys
import threading
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

VARIABLE: Final = "_SWITCHBOARD_COMPLETE"
"""Set by the shell when it asks for completions."""

PATIENCE_SECONDS: Final = 0.5
"""How long the store may take."""

_MOST: Final = 1_000
"""Session keys looked at; whoever has more has to know the key."""


def answer(ask: Callable[[], object]) -> None:
    """Answer the shell with what `ask` writes, and end the process at once, whatever still waits for a store. Errors are not told."""
    colon = _join_words_at_colons() if os.environ[VARIABLE] == "complete_bash" else ""
    written, code = io.StringIO(), 1
    try:
        with contextlib.redirect_stdout(written), contextlib.redirect_stderr(io.StringIO()):
            ask()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - a traceback in the middle of a command line helps nobody
        code = 1
    sys.stdout.write("".join(line.removeprefix(colon) for line in written.getvalue().splitlines(keepends=True)))
    sys.stdout.flush()
    os._exit(code)


def _join_words_at_colons() -> str:
    """Make `phone`, `:` and `CA` one word again, and give what of it bash keeps by itself: all up to the last colon.

    Readline splits words at colons (COMP_WORDBREAKS, bash(1)), and replaces only the last piece.
    """
    words = os.environ.get("COMP_WORDS", "").split("\n")
    current = int(os.environ.get("COMP_CWORD", "0"))
    joined: list[str] = []
    place = cut = 0
    for number, word in enumerate(words):
        if joined and (word == ":" or joined[-1].endswith(":")):
            joined[-1] += word
        else:
            joined.append(word)
        if number == current:
            place = len(joined) - 1
            cut = joined[-1].rfind(":") + 1 if word == ":" or joined[-1] != word else 0
    os.environ |= {"COMP_WORDS": "\n".join(joined), "COMP_CWORD": str(place)}
    return joined[place][:cut] if joined else ""


def sessions(parameters: Mapping[str, Any]) -> list[str]:
    """The keys of sessions in the store that `parameters` (--config, --data), file and environment name; none if it does not answer."""
    import asyncio  # noqa: PLC0415 - completing a command needs none of this
    import logging  # noqa: PLC0415 - the same

    from handlers.redis_history import RedisHistory  # noqa: PLC0415 - the same
    from switchboard import logs  # noqa: PLC0415 - the same

    logs.configure(logging.CRITICAL)
    found: list[str] = []

    async def ask() -> None:
        history = RedisHistory(_url(parameters), "completion")
        try:
            found.extend(await history.sessions(_MOST))
        finally:
            await history.close()

    def run() -> None:
        with contextlib.suppress(Exception):  # no store, no settings, no keys
            asyncio.run(ask())

    thread = threading.Thread(target=run, daemon=True)  # a name that cannot be looked up would hold the loop's own end
    thread.start()
    thread.join(PATIENCE_SECONDS)
    return sorted(key for key in found if key.isprintable() and " " not in key)


def _url(parameters: Mapping[str, Any]) -> str:
    """Where the store is, by a look at the settings without a check of them."""
    from switchboard.supervisor import SOCKET  # noqa: PLC0415 - see above

    path = Path(parameters.get("config") or "switchboard.toml")
    file = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    url = os.environ.get("REDIS_URL") or file.get("store", {}).get("url")
    data = Path(parameters.get("data") or file.get("data", ".switchboard"))
    return str(url or "unix://" + quote(os.fsencode((data / SOCKET).absolute())))
