"""Twilio's side of the wire: webhooks with the fields of a call, signed and sent."""

import asyncio
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from telephony.errors import UnreachableError
from telephony.twilio_signature import sign

_DEADLINE = aiohttp.ClientTimeout(total=15, connect=5)
_RETRY_PAUSE = 0.25


@dataclass(frozen=True, slots=True)
class Request:
    """One webhook. Sent twice it is the same one: same fields, same signature, same `I-Twilio-Idempotency-Token`."""

    url: str
    pairs: tuple[tuple[str, str], ...]
    method: str = "POST"
    token: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered."""

    status: int
    content_type: str
    text: str


class Webhooks:
    """Sends requests as the holder of an auth token.

    `patience`: how often a request is sent in all while the server is not there or says 503, four times a second. `door` is where a server
    is reached that knows itself by the address `public`.
    """

    def __init__(self, auth_token: str, patience: int, *, public: str = "", door: str = "") -> None:
        self._auth_token = auth_token
        self._public, self._door = public, door
        self.patience = patience
        self._client: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._client = aiohttp.ClientSession(timeout=_DEADLINE)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._client is not None:
            await self._client.close()

    async def send(self, request: Request) -> Answer:
        """Send a webhook, signed as Twilio signs it.

        Raises `UnreachableError` when there was no server, or it broke off, at every try, and `TimeoutError` after 15 seconds,
        which is when Twilio gives a request up.
        """
        for attempt in range(1, self.patience + 1):
            try:
                answer = await self._send(request)
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
                if attempt == self.patience:
                    raise UnreachableError(f"{request.url} did not answer in {attempt} tries: {error}") from error
            else:
                if answer.status != HTTPStatus.SERVICE_UNAVAILABLE or attempt == self.patience:
                    return answer
            await asyncio.sleep(_RETRY_PAUSE)
        raise AssertionError("patience is at least one try")

    async def _send(self, request: Request) -> Answer:
        assert self._client is not None, "entered before it sends"
        headers = {"User-Agent": "TwilioProxy/1.1", "I-Twilio-Idempotency-Token": request.token}
        if request.method == "GET":
            url = request.url + ("&" if "?" in request.url else "?") + urlencode(request.pairs)
            body, headers["X-Twilio-Signature"] = None, sign(self._auth_token, url)
        else:
            url, body = request.url, urlencode(request.pairs).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
            headers["X-Twilio-Signature"] = sign(self._auth_token, url, request.pairs)
        target = URL(self._door + url.removeprefix(self._public) if self._door else url, encoded=True)
        async with self._client.request(request.method, target, data=body, headers=headers, allow_redirects=False) as response:
            return Answer(response.status, response.content_type, await response.text("utf-8", "replace"))


def call_form(parties: dict[str, str], sid: str, status: str) -> dict[str, str]:
    """Fill in the 25 fields that every request about a call has.

    `parties`: From, Caller, To, Called and AccountSid. Source: https://www.twilio.com/docs/voice/twiml, "Twilio's request to your
    application".
    """
    form = parties | {"CallSid": sid, "CallStatus": status, "Direction": "inbound", "ApiVersion": "2010-04-01"}
    for party in ("From", "Caller", "To", "Called"):
        for part, value in _place(parties[party]).items():
            form[party + part] = value
    return form


def now() -> str:
    """Tell the time as the callbacks do."""
    return format_datetime(datetime.now(UTC))


def _place(number: str) -> dict[str, str]:
    """Where Twilio thinks a number is: North American ones have a place, and `anonymous` or `client:` callers none."""
    if number.startswith("+1"):
        return {"City": "SAN FRANCISCO", "State": "CA", "Zip": "94105", "Country": "US"}
    return {"City": "", "State": "", "Zip": "", "Country": ""}
