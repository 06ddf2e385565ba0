"""The errands that the assistant runs: a reminder, and a watch over the price of a flight.

Each is a session of its own, so calling one off (at once, silently) and starting it exactly once are the business of the talk.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated

import msgspec

from workflows.errors import StepFailed, TerminalError
from workflows.fares import Quote, Trip, find_fares
from workflows.talk import Talk
from workflows.workflow import workflow

LOOK_EVERY_HOURS = 6.0

Hours = Annotated[float, msgspec.Meta(gt=0)]

MOST_FAILURES = 4
"""Looks that may fail one after another before a watch gives up: a day's, by default."""


class Due(msgspec.Struct, frozen=True):
    """What a reminder shows of itself."""

    at: datetime


class Look(msgspec.Struct, frozen=True):
    """What a watch shows of itself: when it last saw the fares, what the lowest was, and why later looks failed, if they did."""

    at: datetime | None = None
    quote: Quote | None = None
    trouble: str = ""


@workflow(name="reminder")
async def reminder(talk: Talk, description: str, at: datetime) -> str:
    """Wait for a moment, and tell what for."""
    talk.note(Due(at))
    await talk.sleep(at)
    return description


@workflow(name="flight_watch")
async def flight_watch(talk: Talk, trip: Trip, max_price: Decimal, currency: str, hours: Hours = LOOK_EVERY_HOURS) -> Quote | None:
    """Look for fares every `hours` until one is low enough, or the day of departure is over (None).

    A look that fails is made up for by the next one; what cannot get better, and too many in a row, end the watch.
    """
    look, failures = Look(), 0
    while talk.now.date() <= trip.departure:
        try:
            quote = await talk.call(find_fares, trip, currency)
        except StepFailed as error:
            failures += 1
            if error.kind == TerminalError.__name__ or failures == MOST_FAILURES:
                raise
            look = Look(look.at, look.quote, error.reason)
        else:
            failures = 0
            if quote is not None and quote.currency == currency and quote.price <= max_price:
                return quote
            look = Look(talk.now, quote)
        talk.note(look)
        await talk.sleep(timedelta(hours=hours))
    return None
