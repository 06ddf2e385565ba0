"""Fares of flights, as conversations know them. A declaration; see `workflows.think`."""

from datetime import date
from decimal import Decimal

import msgspec

from workflows.effects import Retry, effect


class Trip(msgspec.Struct, frozen=True):
    """Where to fly and when: places as IATA codes of airports or cities, local days; `return_` is that of the way back, if there is one."""

    origin: str
    destination: str
    departure: date
    return_: date | None = None


class Quote(msgspec.Struct, frozen=True):
    """A fare on offer. `source` names who quotes it, and says so if the fare is simulated; `flight` names carrier and flight, if known."""

    price: Decimal
    currency: str
    source: str
    flight: str = ""

    def __str__(self) -> str:
        flight = f" with {self.flight}" if self.flight else ""
        return f"{self.price:.2f} {self.currency}{flight} (source: {self.source})"


@effect(retry=Retry(attempts=4, budget=120.0), timeout=60.0)
async def find_fares(trip: Trip, currency: str) -> Quote | None:
    """Look for the cheapest fare for one adult, in a currency (ISO 4217) that the quote has to be in; None if none is on offer.

    Raises `TerminalError` for what no later look can mend: a place that is none, a currency that the source does not quote in.
    """
