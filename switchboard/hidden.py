"""What no line of the log shows, wherever it comes from: in a message, in a traceback, from a library.

It is looked for in the line as it is written, so that nothing has to remember to leave it out:

- the values of settings that are secrets, logins in addresses included;
- what stands behind `Authorization`, `Bearer` and `Basic`;
- of telephone numbers, all but the last four digits;
- of a web session's id, which lets whoever has it speak there, all but the first six characters.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from switchboard.settings import Settings

HIDDEN: Final = "(hidden)"

SHORTEST: Final = 4
"""Characters of a secret that is looked for: any shorter one would hide ordinary words."""

_BEGIN: Final = r"(?:\b|(?<=\x1b\[\dm)|(?<=\x1b\[\d\dm))"
"""Where a word begins: a terminal's colour, which may stand before it, ends in a letter."""

_COLOURS: Final = r"(?:\x1b\[\d+m)*"

_KINDS: Final = (
    (
        rf"(?P<authorization>{_BEGIN}authorization\b{_COLOURS}[\"']?\s*[:=,]\s*{_COLOURS}[\"']?(?:(?:bearer|basic|token)\s+)?)"
        r"[^\s\"',;)}\]\x1b]+"
    ),
    rf"(?P<scheme>{_BEGIN}(?:bearer|basic)\s+)[\w.~+/=-]{{8,}}",
    r"(?P<plus>\+|%2B)\d{3,11}(?P<end>\d{4})(?!\d)",
    rf"(?P<web>{_BEGIN}web:|/web/sessions/)(?P<id>[\w-]{{6}})[\w-]{{26}}(?![\w-])",
)


class Hidden:
    """What is looked for, and put out of sight."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._pattern = self._compiled()

    def add(self, secrets: Iterable[str]) -> None:
        """Hide these, too."""
        for secret in secrets:
            if len(secret) >= SHORTEST:
                self._secrets |= {twice for once in _spellings(secret) for twice in _spellings(once)}
        self._pattern = self._compiled()

    def hide(self, text: str) -> str:
        """A text without them."""
        return self._pattern.sub(_covered, text)

    def _compiled(self) -> re.Pattern[str]:
        secrets = "|".join(re.escape(each) for each in sorted(self._secrets, key=len, reverse=True))
        return re.compile("|".join([*([f"(?P<secret>{secrets})"] if secrets else []), *_KINDS]), re.IGNORECASE)


def _spellings(text: str) -> set[str]:
    """A text as it may stand in a line: as it is, in JSON, and as Python shows it."""
    return {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1]}


def _covered(found: re.Match[str]) -> str:
    match found.lastgroup:
        case "end":
            return f"{found['plus']}…{found['end']}"
        case "id":
            return f"{found['web']}{found['id']}…"
        case "authorization" | "scheme":
            return f"{found[found.lastgroup]}{HIDDEN}"
        case _:
            return HIDDEN


def secrets_of(settings: Settings) -> Iterator[str]:
    """The values of settings that nobody may see; may raise `SettingsError`, as a server would that needs them."""
    for name in type(settings).model_fields:
        match getattr(settings, name):
            case SecretStr() as secret:
                yield secret.get_secret_value()
            case str() as text if "@" in text:
                yield from _logins(text)
            case _:
                pass
    yield from _logins(settings.store.url or "")
    yield from (secret.get_secret_value() for secret in (settings.twilio_auth_token, settings.slack_secret, settings.slack_token))


def _logins(url: str) -> Iterator[str]:
    password = urlsplit(url).password
    if password:
        yield from (password, unquote(password))
