"""Alexa's wire format: requests, read with tolerance for what is missing or new, and responses.

Source: https://developer.amazon.com/docs/custom-skills/request-and-response-json-reference.html.
"""

import re
from typing import Any

import msgspec

from telephony.errors import MalformedError

LIMIT = 24_000
"""Bytes of a whole answer (AX8)."""

YES, NO = "AMAZON.YesIntent", "AMAZON.NoIntent"
REPEAT, FALLBACK = "AMAZON.RepeatIntent", "AMAZON.FallbackIntent"
ENDS = frozenset({"AMAZON.StopIntent", "AMAZON.CancelIntent", "AMAZON.NavigateHomeIntent"})

WORDS, CHOICE, DIGITS = "WordsIntent", "ChoiceIntent", "DigitsIntent"
"""Our own intents: free text by its catch-all slot, one of the options of a `Choice`, and a number; see `telephony/alexa_model.py`."""

REMINDERS = "alexa::alerts:reminders:skill:readwrite"

_USER = re.compile(r"[A-Za-z0-9._~-]{1,400}")
_ID = re.compile(r"[!-~]{1,400}")
_LOCALE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    """A part of a request; what is not listed is skipped."""


class Application(_Part, frozen=True):
    """Which skill is meant."""

    application_id: str = ""


class User(_Part, frozen=True):
    """Who speaks, as this skill knows them."""

    user_id: str = ""


class Session(_Part, frozen=True):
    """Alexa's session: from an invocation to its end."""

    new: bool = False
    session_id: str = ""
    application: Application | None = None
    attributes: dict[str, Any] | None = None
    user: User | None = None


class Device(_Part, frozen=True):
    """What the user speaks to."""

    device_id: str = ""


class System(_Part, frozen=True):
    """Where Alexa's own API is for this request, and the token for it, which is a secret."""

    application: Application | None = None
    user: User | None = None
    device: Device | None = None
    api_endpoint: str = ""
    api_access_token: str = ""


class Context(_Part, frozen=True):
    """What is true of the device at this moment."""

    system: System | None = msgspec.field(name="System", default=None)


class Status(_Part, frozen=True):
    """Whether an authority knew a value."""

    code: str = ""


class Known(_Part, frozen=True):
    """A value of a slot type."""

    name: str = ""


class KnownValue(_Part, frozen=True):
    """It comes wrapped."""

    value: Known = Known()


class Authority(_Part, frozen=True):
    """What one slot type made of a value."""

    status: Status | None = None
    values: list[KnownValue] | None = None


class Resolutions(_Part, frozen=True):
    """What the slot types made of a value."""

    resolutions_per_authority: list[Authority] | None = None


class Slot(_Part, frozen=True):
    """A part of what was said, as it was said, and as the interaction model knows it."""

    value: str | None = None
    resolutions: Resolutions | None = None

    @property
    def meant(self) -> str:
        """The value's own name where it was said by a synonym; else what was said."""
        for each in (self.resolutions and self.resolutions.resolutions_per_authority) or ():
            if each.status is not None and each.status.code == "ER_SUCCESS_MATCH" and each.values:
                return each.values[0].value.name or self.value or ""
        return self.value or ""


class Intent(_Part, frozen=True):
    """What Alexa made of what was said."""

    name: str
    slots: dict[str, Slot] | None = None


class Request(_Part, frozen=True):
    """What happened. `reason` and `error` are those of a session's end, `cause` that of an exception."""

    type: str
    request_id: str = ""
    locale: str | None = None
    intent: Intent | None = None
    reason: str | None = None
    error: Any = None
    cause: Any = None


class Envelope(_Part, frozen=True):
    """A whole request."""

    request: Request
    session: Session | None = None
    context: Context | None = None

    @property
    def system(self) -> System:
        """What stands under context.System, if anything does."""
        return (self.context and self.context.system) or System()

    @property
    def skills(self) -> set[str]:
        """Every skill that it says it is for; one, in all that come from Alexa."""
        named = (None if self.session is None else self.session.application, self.system.application)
        return {each.application_id for each in named if each is not None}

    @property
    def user(self) -> str:
        """Who speaks. Raises `MalformedError` when nobody can be told by it."""
        named = (self.session and self.session.user) or self.system.user
        if named is None or not _USER.fullmatch(named.user_id):
            raise MalformedError("the request names no user")
        return named.user_id

    @property
    def id(self) -> str:
        """Its name, by which it is known when it comes again. Raises `MalformedError` when it has none."""
        if not _ID.fullmatch(self.request.request_id):
            raise MalformedError("the request has no requestId")
        return self.request.request_id.removeprefix("amzn1.echo-api.request.")

    @property
    def connection(self) -> str | None:
        """The name of Alexa's session, without what is the same in all of them."""
        return (self.session and self.session.session_id.removeprefix("amzn1.echo-api.session.")) or None

    @property
    def locale(self) -> str | None:
        """The language that is spoken, if it is told."""
        given = self.request.locale
        return given if given is not None and _LOCALE.fullmatch(given) else None


_decode = msgspec.json.Decoder(Envelope).decode


def read(body: bytes) -> Envelope:
    """Read a request. Raises `MalformedError` for what has another shape."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"the body is no request: {error}") from None


def heard(intent: Intent) -> tuple[str, dict[str, Any]]:
    """The type of an input and its payload: the intent's name, its slots, and what was said in words, for listens that know no intents.

    What was said is what fills the slots; of an intent without any, the words in its name: `AMAZON.YesIntent` is "yes". Our own
    intents are nothing but words.
    """
    slots = {name: meant for name, slot in (intent.slots or {}).items() if (meant := slot.meant)}
    text = " ".join(slots.values()) if intent.slots else spelled(intent.name)
    if intent.name in (WORDS, CHOICE, DIGITS):
        return "said", {"text": text}
    return "intent", {"name": intent.name, "text": text} | ({"slots": slots} if slots else {})


def spelled(name: str) -> str:
    """The words in the name of an intent."""
    bare = name.removeprefix("AMAZON.").removesuffix("Intent")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", bare).replace("_", " ").lower()


# -- answers -------------------------------------------------------------------------------------------------------------------------------


def response(
    *,
    ssml: str | None = None,
    reprompt: str | None = None,
    card: dict[str, Any] | None = None,
    attributes: dict[str, Any] | None = None,
    ends: bool | None = None,
) -> bytes:
    """Write an answer. With nothing it is the empty one; `ends`: whether Alexa's session is over with it."""
    told: dict[str, Any] = {}
    if ssml is not None:
        told["outputSpeech"] = {"type": "SSML", "ssml": ssml}
    if reprompt is not None:
        told["reprompt"] = {"outputSpeech": {"type": "SSML", "ssml": reprompt}}
    if card is not None:
        told["card"] = card
    if ends is not None:
        told["shouldEndSession"] = ends
    return msgspec.json.encode({"version": "1.0", "sessionAttributes": attributes or {}, "response": told})
