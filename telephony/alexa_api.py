"""Alexa's own API, as far as a request lets us call it: the device's time zone, words before the answer, and reminders.

Each request brings the address and a token. The address is Amazon's, or, when the request came from the simulated Alexa, this machine's.
"""

import asyncio
import logging
from collections import OrderedDict
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import aiohttp
import msgspec

from telephony.alexa_development import is_loopback
from telephony.alexa_fetch import public_authorities

logger = logging.getLogger(__name__)

HOSTS = frozenset({"api.amazonalexa.com", "api.eu.amazonalexa.com", "api.fe.amazonalexa.com", "api.fe.amazon.com"})

ZONE_SECONDS = 1.0
SPEAK_SECONDS = 3.0
REMIND_SECONDS = 4.0

KEPT = 4_096
"""Sessions whose last token is kept, and devices whose time zone is."""

_MOST_BYTES = 64 * 1024


class Api(msgspec.Struct, frozen=True):
    """Where Alexa's API is for one request. The token is a secret and not shown."""

    endpoint: str
    token: str

    def __repr__(self) -> str:
        return f"Api({self.endpoint!r})"

    async def call(self, method: str, path: str, seconds: float, body: Any = None) -> tuple[int, Any]:
        """The status and the JSON of a call (None if it is none). Raises `OSError` or `TimeoutError` when there is no answer in time."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds)) as http,
                http.request(
                    method,
                    self.endpoint + path,
                    data=None if body is None else msgspec.json.encode(body),
                    headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
                    allow_redirects=False,
                    ssl=public_authorities(),
                ) as response,
            ):
                text = await response.content.read(_MOST_BYTES)
                try:
                    return response.status, msgspec.json.decode(text)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    return response.status, None
        except (aiohttp.ClientError, ValueError) as error:
            raise OSError(f"Alexa's API cannot be reached: {str(error) or type(error).__name__}") from None

    async def speak(self, request_id: str, text: str) -> None:
        """Have words said before the answer comes (AX7). Raises as `call` does."""
        body = {"header": {"requestId": request_id}, "directive": {"type": "VoicePlayer.Speak", "speech": text}}
        await self.call("POST", "/v1/directives", SPEAK_SECONDS, body)

    async def time_zone(self, device: str) -> str | None:
        """Where the device's clock hangs, an IANA name; None if Alexa does not tell."""
        try:
            _, zone = await self.call("GET", f"/v2/devices/{quote(device, safe='')}/settings/System.timeZone", ZONE_SECONDS)
            return ZoneInfo(zone).key if isinstance(zone, str) else None
        except (OSError, TimeoutError, ZoneInfoNotFoundError, ValueError):
            return None


def api_of(endpoint: str, token: str, *, simulated: bool) -> Api | None:
    """The API that a request names; None when it names none, or one that its sender has no business to name."""
    if not token or not token.isascii() or not token.isprintable():
        return None
    address = _address(endpoint, simulated)
    return None if address is None else Api(address, token)


@lru_cache(maxsize=256)
def _address(endpoint: str, simulated: bool) -> str | None:
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname or ""
    ours = (parts.scheme == "https" and host in HOSTS and port in (None, 443)) or (
        simulated and parts.scheme == "http" and is_loopback(host)
    )
    if not ours or parts.username is not None or parts.path.strip("/"):
        return None
    return f"{parts.scheme}://{parts.netloc}"


class Reassurance:
    """Has the user told, if it takes until `at` (by the loop's clock), that there will be an answer (AX7)."""

    __slots__ = ("_api", "_late", "_request_id", "_task", "_text")

    def __init__(self, api: Api | None, request_id: str, text: str, at: float) -> None:
        self._api = api
        self._request_id = request_id
        self._text = text
        self._task: asyncio.Task[None] | None = None
        self._late = asyncio.get_running_loop().call_at(at, self._begin)

    def end(self) -> None:
        """The answer is there."""
        self._late.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._speak())

    async def _speak(self) -> None:
        if self._api is not None:
            try:
                await self._api.speak(self._request_id, self._text)
            except (OSError, TimeoutError) as error:
                logger.info("alexa: no words before the answer: %s", error)


class Kept(OrderedDict[str, Any]):
    """The last values by name; those that were not set for long make room."""

    def keep(self, name: str, value: Any) -> None:
        """Remember a value."""
        self[name] = value
        self.move_to_end(name)
        if len(self) > KEPT:
            self.popitem(last=False)


TOKENS = Kept()
"""By session, the API as its last request named it. It is never recorded: an effect finds it here, in the process that took the request."""
