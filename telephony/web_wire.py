"""The web channel's wire format: JSON requests, read with suspicion, and what is answered.

Whatever a client sends that is not what is asked for is a `RefusedError`, which says what to do instead.
"""

import html
import re
import unicodedata
from base64 import urlsafe_b64encode
from hashlib import blake2b
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec

from telephony.errors import RefusedError
from workflows.events import Prompt
from workflows.listen import Choice, Digits, Intents, Message, Transfer, Words, YesNo
from workflows.outputs import Output, Play, Say, Ssml
from workflows.turns import Answer, Said

MOST_TEXT = 8_000
"""Characters of a message."""

MOST_KEY = 255

CREATING_KEY = 22
"""Characters of the key that creates a session, at least: it yields the capability, so it has to be as hard to guess (128 bits)."""

MOST_WAIT = 60.0

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?(?:$|[,;\s])", re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
_SPOKEN_TO: dict[type, str] = {Words: "words", YesNo: "yes_no", Intents: "intents", Message: "message", Transfer: "transfer"}

T = TypeVar("T")


class Wish(msgspec.Struct, frozen=True):
    """The body of a request for a session: which of the web's lines, and where the user's clock hangs."""

    line: str | None = None
    timezone: str | None = None


class Sent(msgspec.Struct, frozen=True):
    """The body of a message."""

    text: str


# -- reading -------------------------------------------------------------------------------------------------------------------------------


def read(body: bytes, kind: type[T]) -> T:
    """Read a body as one JSON object."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"The body does not fit: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "The body is no JSON in UTF-8: send an object.") from None


def text_of(sent: Sent) -> str:
    """The words of a message, without the control characters that nobody can have meant."""
    if len(sent.text) > MOST_TEXT:
        raise RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The text has more than {MOST_TEXT:,} characters: send less, or in several messages."
        )
    text = "".join([each for each in sent.text if each in "\n\t" or unicodedata.category(each) != "Cc"])
    if not text.strip():
        raise RefusedError(HTTPStatus.BAD_REQUEST, "The text is empty: send what the user says.")
    return text


def key_of(values: list[str], least: int = 1) -> str:
    """The Idempotency-Key of a request, if it has one; empty if not."""
    if not values:
        return ""
    key = values[0]
    if len(values) > 1 or not (least <= len(key) <= MOST_KEY and key.isascii() and key.isprintable()):
        raise RefusedError(
            HTTPStatus.BAD_REQUEST, f"Send one Idempotency-Key of {least} to {MOST_KEY} ASCII characters, random ones, such as a UUID."
        )
    return key


def wait_of(preferences: str, usual: float) -> float:
    """How many seconds a client would wait for the answer (RFC 7240, `Prefer: wait=10`)."""
    found = _WAIT.search(preferences)
    return usual if found is None else min(float(found[1]), MOST_WAIT)


def digest(*parts: str, size: int) -> str:
    """A hash of texts, `size` bytes of it (a multiple of 3), as URL-safe characters."""
    hashed = blake2b("\0".join(parts).encode(), digest_size=size, person=b"switchboard web")
    return urlsafe_b64encode(hashed.digest()).decode()


def unknown() -> RefusedError:
    """The refusal of an id that is none, or no longer: whoever guesses learns nothing else."""
    return RefusedError(HTTPStatus.NOT_FOUND, "There is no such session: create one with POST /web/sessions.")


# -- writing -------------------------------------------------------------------------------------------------------------------------------


def shown(answer: Answer) -> dict[str, Any]:
    """An answer as clients see it."""
    return {
        "turn": answer.turn if answer.turn >= 0 else None,
        "status": answer.state,
        "replies": [{"id": place(said), **reply(said[2])} for said in answer.said],
        "listening": None if answer.prompt is None or answer.ended else listening(answer.prompt),
        "ended": answer.ended,
    }


def place(said: Said) -> str:
    """The number of an output: its position in the history and its ordinal there, which only ever grow."""
    return f"{said[0]}.{said[1]}"


def reply(output: Output) -> dict[str, str]:
    """An output as text; markup for voices is read without it, and a recording is shown by its address."""
    match output:
        case Say(text=text):
            return {"text": text}
        case Ssml(markup=markup):
            return {"text": " ".join(html.unescape(_TAG.sub(" ", markup)).split())}
        case Play(url=url):
            return {"text": url, "audio": url}


def listening(prompt: Prompt) -> dict[str, Any]:
    """What the user can answer with."""
    shown: dict[str, Any]
    match prompt.listen:
        case Choice() as choice:
            shown = {"kind": "choice", "options": [{"key": plain(key), "name": plain(name)} for key, name in choice.labels()]}
        case Digits(n=n, secret=secret):
            shown = {"kind": "digits", "n": n, "secret": secret}
        case other:
            shown = {"kind": _SPOKEN_TO.get(type(other), "any")}
    return shown if prompt.timeout is None else shown | {"seconds": prompt.timeout}


def plain(text: str) -> str:
    """A text that can be encoded: what is said always can, but labels and streamed words are as somebody wrote them."""
    return text.encode("utf-8", "replace").decode()
