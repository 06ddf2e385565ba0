"""A local stand-in for Duffel: `POST /air/offer_requests`, as its documentation has it, with fares that nobody sells.

Headers, bodies, errors, limits and the routes of Duffel's test mode: https://duffel.com/docs/api/offer-requests and
https://duffel.com/docs/api/overview/errors, .../rate-limits, .../test-your-integration.
"""

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from email.utils import formatdate
from typing import Any

from aiohttp import web

from handlers.bindings.airports import CODE, code_of
from handlers.bindings.duffel import VERSION
from handlers.bindings.fares import SimulatedFares
from telephony.simulators.model.faults import Fault
from telephony.simulators.stand_in import served
from workflows.fares import Trip

Json = dict[str, Any]

LIMIT = 60
"""Requests in a window of so many"""

WINDOW_SECONDS = 60.0

FOR_EVER = 3_600.0
"""Seconds; nobody who asks has the patience."""

NO_FLIGHTS = ("PVD", "RAI")
"""The route on which test mode has no offers,"""

NO_END = ("STN", "LHR")
"""and the one on which it gives no answer in time."""

CABINS = frozenset({"first", "business", "premium_economy", "economy"})

DEARER = ("1.35", "1", "2.1", "1.08")
"""What the offers of a request cost, as multiples of the cheapest; they come in no order."""

ERRORS: dict[int, tuple[str, str, str, str]] = {
    400: ("invalid_request_error", "missing_version_header", "Missing version header", "The 'Duffel-Version' header needs to be set."),
    401: ("authentication_error", "access_token_not_found", "Access token not found", "The access token you are using is not known."),
    403: ("authentication_error", "insufficient_permissions", "Insufficient permissions", "The token may not search for flights."),
    429: ("rate_limit_error", "rate_limit_exceeded", "Rate limit exceeded", "You made too many requests."),
    500: ("api_error", "internal_server_error", "Internal server error", "Something went wrong on our side."),
    502: ("api_error", "bad_gateway", "Bad gateway", "Something went wrong on our side."),
    503: ("api_error", "unavailable", "Unavailable", "We are not available for a moment."),
    504: ("api_error", "gateway_timeout", "Gateway timeout", "It took too long."),
}
"""For each status its type and code, for programs, and its title and message."""


class DuffelEndpoint:
    """Duffel as a web application, `app`, which knows one access token.

    Attributes:
        requests: the offer requests that were asked for, as bodies; `queries` are what stood behind their addresses.
        faults: what the next requests get, one after another (`telephony.simulators.model.faults`).
        currency: what its airlines quote in.
        limit: how many requests a window of a minute has.
    """

    def __init__(self, token: str, faults: Iterable[Fault] = (), currency: str = "EUR", limit: int = LIMIT) -> None:
        self.requests: list[Json] = []
        self.queries: list[dict[str, str]] = []
        self.faults = deque(faults)
        self.currency = currency
        self.limit = limit
        self._token = token
        self._fares = SimulatedFares()
        self._window = (0.0, 0)
        self.app = web.Application()
        self.app.add_routes([web.post("/air/offer_requests", self._create)])

    async def _create(self, request: web.Request) -> web.StreamResponse:
        limits, exhausted = self._count()
        fault = self.faults.popleft() if self.faults else Fault("ok")
        if fault.status is not None:
            reset = {} if fault.seconds is None else _limits(self.limit, 0, time.time() + fault.seconds)
            return _failure(fault.status, limits | reset)
        if exhausted:
            return _failure(429, limits)
        match fault.kind:
            case "reset" | "cut":
                assert request.transport is not None
                request.transport.abort()
            case "hang" | "stall":
                await asyncio.sleep(FOR_EVER)
            case "slow":
                await asyncio.sleep(fault.seconds or 1.0)
            case "garbage":
                return web.Response(status=201, text='{"data": {"offers": [', content_type="application/json", headers=limits)
            case "malformed":
                return web.json_response({"data": {"offers": [{"total_amount": "a lot"}]}}, status=201, headers=limits)
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            return _failure(401, limits)
        if request.headers.get("Duffel-Version") != VERSION:
            return _failure(400, limits)
        body = await _json(request)
        if (problem := _problem(body)) is not None:
            return _failure(422, limits, ("validation_error", *problem))
        self.requests.append(body["data"])
        self.queries.append(dict(request.query))
        if _route(body["data"]) == NO_END:
            await asyncio.sleep(FOR_EVER)
        empty = fault.kind == "empty" or _route(body["data"]) == NO_FLIGHTS or request.query.get("return_offers", "true") != "true"
        offers = [] if empty else await self._offers(body["data"])
        return web.json_response({"data": _created(body["data"]) | {"offers": offers}}, status=201, headers=limits)

    def _count(self) -> tuple[dict[str, str], bool]:
        """Count a request; gives the headers that say how many are left, and whether there were none."""
        begun, used = self._window
        if time.time() >= begun + WINDOW_SECONDS:
            begun, used = time.time(), 0
        self._window = (begun, used + 1)
        return _limits(self.limit, max(0, self.limit - used - 1), begun + WINDOW_SECONDS), used >= self.limit

    async def _offers(self, wanted: Json) -> list[Json]:
        ways = wanted["slices"]
        days = [date.fromisoformat(way["departure_date"]) for way in ways]
        trip = Trip(ways[0]["origin"], ways[0]["destination"], days[0], days[1] if days[1:] else None)
        quote = await self._fares.cheapest(trip, self.currency)
        return [] if quote is None else [_offer(wanted, quote.price * Decimal(times), self.currency) for times in DEARER]


def _route(wanted: Json) -> tuple[str, str]:
    return wanted["slices"][0]["origin"], wanted["slices"][0]["destination"]


def _limits(limit: int, remaining: int, reset: float) -> dict[str, str]:
    return {"ratelimit-limit": str(limit), "ratelimit-remaining": str(remaining), "ratelimit-reset": formatdate(reset + 0.999, usegmt=True)}


async def _json(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError):
        return None


def _problem(body: Any) -> tuple[str, str, str] | None:
    """The code, title and message of what is wrong with a request."""
    match body:
        case {"data": {"slices": [_, *_] as ways, "passengers": [_, *_], "cabin_class": str(cabin)}} if cabin in CABINS:
            return next((problem for way in ways if (problem := _wrong(way)) is not None), None)
        case {"data": dict()}:
            return "validation_required", "Required field", "Fields 'slices', 'passengers' and 'cabin_class' can't be blank."
        case _:
            return "validation_required", "Required field", "Field 'data' can't be blank."


def _wrong(way: Any) -> tuple[str, str, str] | None:
    match way:
        case {"origin": str(origin), "destination": str(destination), "departure_date": str(day)}:
            for name, place in (("origin", origin), ("destination", destination)):
                if CODE.fullmatch(place) is None or code_of(place) is None:
                    return "not_found", "Linked record not found", f"Field '{name}' has the code {place} that is of no airport or city."
            try:
                departure = date.fromisoformat(day)
            except ValueError:
                return "validation_format", "Invalid format", "Field 'departure_date' must be a date in ISO 8601."
            if departure < datetime.now(UTC).date():
                return "validation_date", "Invalid date", "Field 'departure_date' must be after today."
            return None
        case _:
            return "validation_required", "Required field", "A slice needs 'origin', 'destination' and 'departure_date'."


def _created(wanted: Json) -> Json:
    """An offer request as it is given back."""
    ways = [
        {"origin": _place(way["origin"]), "destination": _place(way["destination"]), "departure_date": way["departure_date"]}
        for way in wanted["slices"]
    ]
    return {
        "id": f"orq_{secrets.token_hex(11)}", "live_mode": False, "created_at": datetime.now(UTC).isoformat(),
        "cabin_class": wanted["cabin_class"], "slices": ways,
        "passengers": [each | {"id": f"pas_{secrets.token_hex(11)}"} for each in wanted["passengers"]],
    }  # fmt: skip


def _offer(wanted: Json, price: Decimal, currency: str) -> Json:
    airline = {"id": f"arl_{secrets.token_hex(11)}", "name": "Duffel Airways", "iata_code": "ZZ"}
    amount = price.quantize(Decimal("0.01"))
    slices = [
        {
            "id": f"sli_{secrets.token_hex(11)}", "origin": _place(way["origin"]), "destination": _place(way["destination"]),
            "segments": [
                {
                    "id": f"seg_{secrets.token_hex(11)}", "origin": _place(way["origin"]), "destination": _place(way["destination"]),
                    "departing_at": f"{way['departure_date']}T10:00:00", "arriving_at": f"{way['departure_date']}T12:00:00",
                    "marketing_carrier": airline, "marketing_carrier_flight_number": str(1000 + int(amount) % 9000),
                    "operating_carrier": airline, "operating_carrier_flight_number": None,
                }
            ],
        }
        for way in wanted["slices"]
    ]  # fmt: skip
    return {
        "id": f"off_{secrets.token_hex(11)}", "live_mode": False, "owner": airline, "slices": slices,
        "total_amount": str(amount), "total_currency": currency, "base_amount": str(amount), "base_currency": currency,
        "tax_amount": "0.00", "tax_currency": currency,
    }  # fmt: skip


def _place(code: str) -> Json:
    return {"iata_code": code, "type": "airport", "name": code}


def _failure(status: int, headers: dict[str, str], error: tuple[str, str, str, str] | None = None) -> web.Response:
    kind, code, title, message = error or ERRORS.get(status, ("invalid_request_error", "unknown", "Error", "Something is wrong."))
    request = secrets.token_hex(10)
    problem = {
        "type": kind, "code": code, "title": title, "message": message, "source": None,
        "documentation_url": "https://duffel.com/docs/api/overview/errors",
    }  # fmt: skip
    body = {"meta": {"status": status, "request_id": request}, "errors": [problem]}
    return web.json_response(body, status=status, headers={"x-request-id": request, **headers})


@asynccontextmanager
async def serving(endpoint: DuffelEndpoint, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[str, None]:
    """Serve the stand-in; gives its address, as DUFFEL_API_URL takes it. Raises `OSError` when the port is taken."""
    async with served(endpoint.app, host, port) as address:
        yield address
