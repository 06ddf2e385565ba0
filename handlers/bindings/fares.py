"""The binding of `find_fares`, and the sources of fares that it may ask."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from math import sin, tau
from typing import Protocol

from workflows.errors import TerminalError
from workflows.fares import Quote, Trip

IATA_LENGTH = 3

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
            if len(place) != IATA_LENGTH or not place.isascii() or not place.isalpha():
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


SOURCE: FareSource = SimulatedFares()


async def find_fares(trip: Trip, currency: str) -> Quote | None:
    """Ask the source; see `workflows.fares.find_fares`."""
    return await SOURCE.cheapest(trip, currency)
