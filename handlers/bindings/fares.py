"""The binding of `find_fares`, and the sources of fares that it may ask."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from math import sin, tau
from typing import Protocol

from pydantic import SecretStr

from handlers.bindings.airports import CODE, code_of, is_code
from handlers.bindings.duffel import DuffelFares
from workflows.errors import TerminalError
from workflows.fares import Quote, Trip

RATES = {"EUR": "1", "USD": "1.08", "GBP": "0.86", "CHF": "0.95", "SEK": "11.4", "NOK": "11.7", "DKK": "7.46", "PLN": "4.3", "JPY": "163"}
"""What a euro is worth in the simulation; no rates of any day."""


class FareSource(Protocol):
    """Somebody who knows fares."""

    async def cheapest(self, trip: Trip, currency: str) -> Quote | None:
        """See `workflows.fares.find_fares`; `Quote.source` tells who quotes, and that it is simulated, if it is."""
        ...


class SimulatedFares:
    """Fares that nobody sells. They differ by trip, and go up and down by a fifth within a day, so that a watch has something to see."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    async def cheapest(self, trip: Trip, currency: str) -> Quote | None:
        """A fare between 60 and 900 euros for a trip in one direction; None for one in the past."""
        for place in (trip.origin, trip.destination):
            if CODE.fullmatch(place) is None:
                raise TerminalError(f"{place} is no IATA code of an airport or a city")
        if trip.origin.upper() == trip.destination.upper():
            raise TerminalError("a flight ends elsewhere than it begins")
        if currency not in RATES:
            raise TerminalError(f"there are no fares in {currency}; there are in {', '.join(RATES)}")
        now = self._clock()
        if trip.departure < datetime.fromtimestamp(now, UTC).date():
            return None
        draw = int.from_bytes(
            blake2b(f"{trip.origin.upper()} {trip.destination.upper()} {trip.departure}".encode(), digest_size=4).digest()
        )
        euros = 75 + draw % 675 + 0.2 * (75 + draw % 675) * sin(tau * (now / 86_400 + draw / 2**32))
        ways = 1 if trip.return_ is None else 2
        price = (Decimal(f"{euros:.2f}") * ways * Decimal(RATES[currency])).quantize(Decimal("0.01"))
        return Quote(price, currency, "simulated fares, not for sale")


class FareSettings(Protocol):
    """What this binding needs of the settings."""

    @property
    def duffel_access_token(self) -> SecretStr | None:
        """What opens Duffel's API; without it the fares are simulated."""
        ...

    @property
    def duffel_api_url(self) -> str | None:
        """Where that API is, if not at Duffel."""
        ...


@asynccontextmanager
async def find_fares(settings: FareSettings) -> AsyncGenerator[Callable[[Trip, str], Awaitable[Quote | None]]]:
    """Open the source of fares that the settings name; gives what is bound to `workflows.fares.find_fares`."""
    async with AsyncExitStack() as opened:
        source: FareSource = SimulatedFares()
        if settings.duffel_access_token is not None:
            source = await opened.enter_async_context(DuffelFares(settings.duffel_access_token, settings.duffel_api_url))

        async def look(trip: Trip, currency: str) -> Quote | None:
            origin, destination = await _code(trip.origin), await _code(trip.destination)
            if origin == destination:
                raise TerminalError("a flight ends elsewhere than it begins")
            return await source.cheapest(Trip(origin, destination, trip.departure, trip.return_), currency.upper())

        yield look


async def _code(place: str) -> str:
    """The IATA code of a place, which models may give by its name. Raises `TerminalError` when nobody knows it."""
    if is_code(place.strip()):
        return place.strip().upper()  # whether there is such a place is known to the source
    code = await asyncio.to_thread(code_of, place)  # the list takes a while to read
    if code is None:
        raise TerminalError(f"there is no airport or city {place}. Give the IATA code, such as LHR")
    return code
