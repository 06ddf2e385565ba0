"""An Alexa without an account: signed requests to a running server, and what is heard upon them.

    async with Echo("http://127.0.0.1:8080", development(data)) as echo:
        assert (await echo.launch()).text == "Boys, get ready for bed! Are they on their way?"
        heard = await echo.say("yes")

It keeps what Alexa keeps: a session from an invocation to its end, its attributes from answer to answer, and an eye on the rules: an answer
that Alexa would refuse raises `RefusedError`. What is said is made an intent by the skill's interaction model, word by word.
"""

import asyncio
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from xml.etree import ElementTree as ET

import aiohttp
import msgspec

from telephony.alexa_development import SKILL, Development
from telephony.alexa_model import interaction_model
from telephony.alexa_wire import LIMIT, NO, REPEAT, WORDS, YES
from telephony.errors import NobodyListensError, RefusedError, UnreachableError
from telephony.simulators.alexa_cloud import AlexaCloud
from workflows.listen import NO as NO_WORDS
from workflows.listen import YES as YES_WORDS
from workflows.listen import plain

_DEADLINE = aiohttp.ClientTimeout(total=10, connect=5)
_RETRY_PAUSE = 0.25
_MOST_SPEECH = 8_000

_BUILT_IN = {
    "stop": "AMAZON.StopIntent", "cancel": "AMAZON.CancelIntent", "exit": "AMAZON.StopIntent", "go home": "AMAZON.NavigateHomeIntent",
    "help": "AMAZON.HelpIntent", "repeat": REPEAT, "say that again": REPEAT,
    **dict.fromkeys(YES_WORDS - {"1"}, YES), **dict.fromkeys(NO_WORDS - {"2"}, NO),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer: its words, what Alexa would speak, the question again, the card, whether it ended the session, and the whole."""

    text: str
    ssml: str | None
    reprompt: str | None
    card: Mapping[str, Any] | None
    ends: bool
    whole: Mapping[str, Any] = field(repr=False)


class Echo:
    """Somebody's device. `patience`: how often a request is sent in all while the server is not there or says 503, four times a second.

    Attributes:
        listens: whether Alexa waits for the user.
        attributes: what Alexa keeps for the skill while its session lasts.
        last: the last request, as it was sent.
    """

    def __init__(
        self,
        base_url: str,
        development: Development,
        *,
        skill: str = SKILL,
        user: str = "simulated",
        locale: str = "en-GB",
        time_zone: str = "UTC",
        consents: bool = False,
        model: Mapping[str, Any] | None = None,
        patience: int = 2,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.cloud = AlexaCloud(time_zone, consents=consents)
        self.listens = False
        self.attributes: dict[str, Any] = {}
        self.last: tuple[bytes, dict[str, str]] | None = None
        self._development = development
        self._skill = skill
        self._user = f"amzn1.ask.account.{user}"
        self._locale = locale
        self._model = model or interaction_model("my conversation", [])
        self._patience = patience
        self._session = ""
        self._client: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        await self.cloud.__aenter__()
        self._client = aiohttp.ClientSession(timeout=_DEADLINE)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._client is not None:
            await self._client.close()
        await self.cloud.__aexit__(kind, error, trace)

    async def launch(self) -> Heard:
        """Alexa, open the skill. A session that is open is left behind."""
        return await self._ask({"type": "LaunchRequest"}, new=True)

    async def say(self, text: str) -> Heard:
        """Say something while Alexa listens; while she does not, ask the skill in one breath."""
        return await self.intent(*understood(text, self._model))

    async def intent(self, name: str, slots: Mapping[str, str] | None = None) -> Heard:
        """Say what Alexa takes for this intent."""
        filled = {slot: {"name": slot, "value": value, "confirmationStatus": "NONE"} for slot, value in (slots or {}).items()}
        intent = {"name": name, "confirmationStatus": "NONE"} | ({"slots": filled} if filled else {})
        return await self._ask({"type": "IntentRequest", "intent": intent}, new=not self.listens)

    async def end(self, reason: str = "USER_INITIATED") -> None:
        """Say nothing any more (`EXCEEDED_MAX_REPROMPTS`), or leave: Alexa tells the skill."""
        if not self.listens:
            raise NobodyListensError("there is no session to end")
        await self._send(self.request({"type": "SessionEndedRequest", "reason": reason}, new=False))
        self.listens, self.attributes = False, {}

    async def repeat(self) -> Heard:
        """Send the last request a second time, as it was, and give the answer. The session does not notice."""
        assert self.last is not None, "nothing was sent yet"
        return _heard(await self._deliver(*self.last))

    def request(self, what: Mapping[str, Any], *, new: bool) -> dict[str, Any]:
        """A whole request, of this session or a new one, now."""
        if new:
            self._session, self.attributes = f"amzn1.echo-api.session.{uuid.uuid4()}", {}
        application, user = {"applicationId": self._skill}, {"userId": self._user}
        return {
            "version": "1.0",
            "session": {
                "new": new, "sessionId": self._session, "application": application, "attributes": self.attributes, "user": user,
            },
            "context": {
                "System": {
                    "application": application, "user": user, "device": {"deviceId": "amzn1.ask.device.simulated"},
                    "apiEndpoint": self.cloud.url, "apiAccessToken": self.cloud.token,
                }
            },
            "request": {
                "requestId": f"amzn1.echo-api.request.{uuid.uuid4()}", "locale": self._locale,
                "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), **what,
            },
        }  # fmt: skip

    async def _ask(self, what: Mapping[str, Any], *, new: bool) -> Heard:
        heard = _heard(await self._send(self.request(what, new=new)))
        self.listens = not heard.ends
        self.attributes = dict(heard.whole.get("sessionAttributes") or {})
        return heard

    async def _send(self, envelope: Mapping[str, Any]) -> bytes:
        body = msgspec.json.encode(envelope)
        self.last = body, {"Content-Type": "application/json;charset=UTF-8", **self._development.sign(body)}
        return await self._deliver(*self.last)

    async def _deliver(self, body: bytes, headers: dict[str, str]) -> bytes:
        """The answer's body. Raises `UnreachableError` when there is none, `RefusedError` when it is not one that Alexa takes."""
        assert self._client is not None, "entered before it sends"
        for attempt in range(1, self._patience + 1):
            try:
                async with self._client.post(f"{self.base_url}/alexa", data=body, headers=headers, allow_redirects=False) as response:
                    answer = await response.read()
                    if response.status == HTTPStatus.OK:
                        return answer
                    if response.status != HTTPStatus.SERVICE_UNAVAILABLE or attempt == self._patience:
                        raise RefusedError(response.status, answer.decode("utf-8", "replace")[:200].strip())
            except (aiohttp.ClientError, TimeoutError) as error:
                if attempt == self._patience:
                    raise UnreachableError(f"{self.base_url} does not answer: {str(error) or type(error).__name__}") from error
            await asyncio.sleep(_RETRY_PAUSE)
        raise AssertionError("patience is at least one try")


def understood(text: str, model: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The intent that the skill's model makes of what was said, and what fills its slots; else the catch-all."""
    said = plain(text)
    language = model["interactionModel"]["languageModel"]
    values = {each["name"]: {plain(name) for value in each["values"] for name in _names(value)} for each in language["types"]}
    for intent in language["intents"]:
        if intent["name"] == WORDS:
            continue
        types = {slot["name"]: slot["type"] for slot in intent.get("slots", ())}
        for sample in intent["samples"]:
            pattern = "".join(
                [f"(?P<{part[1:-1]}>.+)" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{\w+\})", sample)]
            )
            found = re.fullmatch(pattern, said)
            if found is not None and all(_fits(value, types[slot], values) for slot, value in found.groupdict().items()):
                return intent["name"], found.groupdict()
    if said in _BUILT_IN:
        return _BUILT_IN[said], {}
    return WORDS, {"words": text}


def _names(value: Mapping[str, Any]) -> list[str]:
    return [value["name"]["value"], *value["name"].get("synonyms", ())]


def _fits(value: str, type_: str, values: Mapping[str, set[str]]) -> bool:
    match type_:
        case "AMAZON.NUMBER":
            return value.isdecimal()
        case "Anything":
            return True
        case _:
            return type_ not in values or value in values[type_]


def _heard(answer: bytes) -> Heard:
    """Read an answer as Alexa does. Raises `RefusedError` for what she would not speak."""
    whole = msgspec.json.decode(answer)
    told = whole["response"]
    ssml, reprompt = _speech(told), _speech(told.get("reprompt") or {})
    text = "" if ssml is None else _text(ssml)
    if len(answer) > LIMIT:
        raise RefusedError(HTTPStatus.OK, f"the answer has {len(answer):,} bytes; Alexa takes {LIMIT:,}")
    return Heard(text, ssml, reprompt, told.get("card"), told.get("shouldEndSession", True), whole)


def _speech(told: Mapping[str, Any]) -> str | None:
    speech = told.get("outputSpeech")
    if speech is None:
        return None
    ssml = str(speech["ssml"])
    if len(ssml) > _MOST_SPEECH:
        raise RefusedError(HTTPStatus.OK, f"the speech has {len(ssml):,} characters; Alexa takes {_MOST_SPEECH:,}")
    return ssml


def _text(ssml: str) -> str:
    try:
        root = ET.fromstring(ssml.replace("amazon:", "amazon-"))  # noqa: S314 - the answer of the server that is tried out
    except ET.ParseError as error:
        raise RefusedError(HTTPStatus.OK, f"the speech is not well-formed: {error}") from None
    return " ".join(" ".join(root.itertext()).split())
