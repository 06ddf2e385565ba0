"""Fares from Duffel: an offer request for one adult in economy, and the cheapest of the offers that come back.

The protocol: https://duffel.com/docs/api/offer-requests; what goes wrong: https://duffel.com/docs/api/overview/errors and .../rate-limits.
With a token that begins with `duffel_test_` the offers are those of sandboxes, which nobody sells. Duffel has no choice of currency: an
airline quotes in its own, or in that of the account.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from pydantic import SecretStr

from handlers.bindings.duffel_wire import UNREADABLE, Offer, Problem, bare, flight_of, read_answer, read_problems, readable
from workflows.errors import TerminalError, TransientError
from workflows.fares import Quote, Trip

URL = "https://api.duffel.com"
VERSION = "v2"
"""Of the API; it is named in every request."""

SUPPLIERS_SECONDS = 20.0
"""How long Duffel waits for the airlines: its default, so that a slow one costs its own offers alone,"""

WHOLE_SECONDS = 45.0
"""and a request as a whole: less than the time-out of the effect, so that we know who was slow."""

LARGEST = 64 * 1024 * 1024
"""Bytes of an answer; busy routes have thousands of offers."""

LATER_SECONDS = 3_600.0
"""Longer than the budget of the effect: nothing is tried again at once, and the next look may well succeed."""

LIMIT_SECONDS = 60.0
"""How long a window of Duffel's limit is, for an answer of 429 that does not say,"""

LONGEST_WAIT = 300.0
"""and the longest that it is believed to be, in seconds, whatever an answer says."""

NO_RETRY = frozenset({HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.BAD_GATEWAY})
"""Duffel asks not to repeat these."""

REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS})
"""Statuses below 500 that may pass."""

LONGEST_REASON = 300
"""Characters of Duffel's own words that are passed on."""

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""Hosts that no proxy of the environment could reach for us."""


class DuffelFares:
    """Asks Duffel; one client for all sessions, to be opened and closed.

    When Duffel says that the limit is used up, nobody asks again before it is renewed. `clock` gives seconds since 1970.
    """

    def __init__(self, token: SecretStr, url: str | None = None, clock: Callable[[], float] = time.time) -> None:
        self._token = token
        self._url = (url or URL).rstrip("/")
        self._clock = clock
        self._renewed = 0.0
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=WHOLE_SECONDS, connect=10.0),
            headers={"Accept": "application/json", "Duffel-Version": VERSION, "Authorization": f"Bearer {self._token.get_secret_value()}"},
            proxy=_proxy(self._url),
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._session is not None:
            await self._session.close()

    async def cheapest(self, trip: Trip, currency: str) -> Quote | None:
        """See `workflows.fares.find_fares`."""
        today = datetime.fromtimestamp(self._clock(), UTC).date()
        if trip.departure < today - timedelta(days=1):
            return None
        try:
            offers = await self._ask(trip)
        except TerminalError:
            if trip.departure < today:
                return None  # the day is over in UTC, and not in the Americas; Duffel knows where the airport is, and refuses what is over
            raise
        fitting = [
            offer for offer in offers if offer.total_currency == currency and offer.total_amount.is_finite() and offer.total_amount > 0
        ]
        if not fitting:
            return None  # in another currency alone: who quotes in which differs by airline and day, so a later look may find one
        best = min(fitting, key=lambda offer: offer.total_amount)
        return Quote(best.total_amount, currency, "Duffel" if best.live_mode else "Duffel's test mode, not for sale", flight_of(best))

    async def _ask(self, trip: Trip) -> list[Offer]:
        if (wait := self._renewed - self._clock()) > 0:
            raise TransientError("the limit of requests to Duffel is used up", wait)
        assert self._session is not None
        ways = [(trip.origin, trip.destination, trip.departure)]
        if trip.return_ is not None:
            ways.append((trip.destination, trip.origin, trip.return_))
        slices = [{"origin": here, "destination": there, "departure_date": day.isoformat()} for here, there, day in ways]
        wanted = {"data": {"slices": slices, "passengers": [{"type": "adult"}], "cabin_class": "economy"}}
        query = {"return_offers": "true", "supplier_timeout": str(round(SUPPLIERS_SECONDS * 1000))}
        try:
            async with self._session.post(f"{self._url}/air/offer_requests", params=query, json=wanted, allow_redirects=False) as response:
                body = await _read(response)
                status, headers = response.status, response.headers
        except TimeoutError:
            raise TransientError("Duffel said nothing for too long") from None
        except aiohttp.ClientError as error:
            raise TransientError(f"Duffel cannot be reached, or the connection broke: {type(error).__name__}") from None
        self._heed(status, headers)
        if status not in (HTTPStatus.OK, HTTPStatus.CREATED):
            raise self._told(status, headers, body)
        try:
            return readable(read_answer(body).data.offers)
        except UNREADABLE as error:
            raise TransientError(f"Duffel sent what is no answer: {str(error)[:LONGEST_REASON]}") from None

    def _heed(self, status: int, headers: Mapping[str, str]) -> None:
        """Take down when we may ask again, if that was the last request of its time, or one too many."""
        wait = until_reset(headers, self._clock())
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            self._renewed = self._clock() + (LIMIT_SECONDS if wait is None else wait)
        elif headers.get("ratelimit-remaining", "").strip() == "0" and wait is not None:
            self._renewed = self._clock() + wait

    def _told(self, status: int, headers: Mapping[str, str], body: bytes) -> TerminalError | TransientError:
        """An error in words that may be recorded, and whether it may pass."""
        try:
            problem = next(iter(read_problems(body).errors), Problem())
        except UNREADABLE:
            problem = Problem()
        words = bare(f"{problem.title}: {problem.message}").strip(": ").replace(self._token.get_secret_value(), "(hidden)")
        text = f"Duffel answered with status {status}{f': {words[:LONGEST_REASON]}' if words else ''}".rstrip(".")
        if request := headers.get("x-request-id"):
            text += f" (request {bare(request)[:64]})"
        match status:
            case HTTPStatus.TOO_MANY_REQUESTS:
                return TransientError(text, max(0.0, self._renewed - self._clock()))
            case _ if status in REFUSED:
                return TerminalError(f"{text}. Check DUFFEL_ACCESS_TOKEN")
            case _ if status in NO_RETRY:
                return TransientError(text, LATER_SECONDS)
            case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in PASSING or problem.type == "airline_error":
                return TransientError(text)
            case _:
                return TerminalError(text)


def until_reset(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until Duffel's limit is renewed, by its own clock if it tells the time; None if it does not say, at most `LONGEST_WAIT`.

    `ratelimit-reset` is a date, as in HTTP or in ISO 8601; `now` is in seconds since 1970.
    """
    reset = _moment(headers.get("ratelimit-reset"))
    if reset is None:
        return None
    here = _moment(headers.get("date"))
    return min(LONGEST_WAIT, max(0.0, reset - (now if here is None else here)))


def _moment(text: str | None) -> float | None:
    """A date of a header in seconds since 1970."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            at = read(text or "")
        except (ValueError, OverflowError):
            continue
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    return None


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for an address.

    aiohttp's `trust_env` would look into a `.netrc`, too, and refuse every request for which it finds a login beside our token.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    return None if host in LOOPBACK or proxy_bypass(host) else getproxies().get(parts.scheme)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The whole body. Raises `TransientError` when it has no end."""
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > LARGEST:
            raise TransientError(f"the answer of Duffel has more than {LARGEST // 1024 // 1024} MB")
        pieces.append(piece)
    return b"".join(pieces)
