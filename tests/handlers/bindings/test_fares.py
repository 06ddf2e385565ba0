"""Simulated fares: plausible, the same for the same question at the same moment, and never to be taken for real ones."""

from datetime import UTC, date, datetime, timedelta

import pytest

from handlers.bindings.fares import RATES, SimulatedFares, find_fares
from handlers.effects import Effects
from switchboard.settings import Settings
from workflows.errors import TerminalError
from workflows.fares import Trip
from workflows.fares import find_fares as declared
from workflows.steps import CallStep

NOON = 1_795_521_600.0  # 24 November 2026
TRIP = Trip("LHR", "JFK", date(2026, 12, 24))


@pytest.fixture
def fares():
    return SimulatedFares(lambda: NOON)


@pytest.mark.parametrize("currency", RATES)
async def test_every_quote_says_that_it_is_simulated(fares, currency):
    quote = await fares.cheapest(TRIP, currency)
    assert quote.currency == currency
    assert "simulated" in quote.source
    assert "simulated" in str(quote)


async def test_the_same_question_gets_the_same_answer(fares):
    assert await fares.cheapest(TRIP, "EUR") == await fares.cheapest(Trip("lhr", "jfk", TRIP.departure), "EUR")
    assert await fares.cheapest(TRIP, "EUR") != await fares.cheapest(Trip("JFK", "LHR", TRIP.departure), "EUR")


async def test_prices_are_plausible_and_the_way_back_costs_as_much(fares):
    for day in range(200):
        trip = Trip("HEL", "LON", TRIP.departure + timedelta(days=day))
        one = await fares.cheapest(trip, "EUR")
        assert 60 <= one.price <= 900
        both = await fares.cheapest(Trip("HEL", "LON", trip.departure, trip.departure), "EUR")
        assert both.price == 2 * one.price


async def test_a_price_goes_up_and_down_within_a_day():
    prices = [(await SimulatedFares(lambda hour=hour: NOON + hour * 3_600).cheapest(TRIP, "EUR")).price for hour in range(24)]
    assert max(prices) > min(prices) * 11 / 10


async def test_a_flight_that_has_left_is_not_on_offer(fares):
    assert await fares.cheapest(Trip("LHR", "JFK", date(2026, 11, 23)), "EUR") is None
    assert await fares.cheapest(Trip("LHR", "JFK", date(2026, 11, 24)), "EUR") is not None


@pytest.mark.parametrize(
    ("trip", "currency", "why"),
    [
        (Trip("London", "JFK", TRIP.departure), "EUR", "London is no IATA code"),
        (Trip("LHR", "ÄÖÜ", TRIP.departure), "EUR", "no IATA code"),
        (Trip("LHR", "lhr", TRIP.departure), "EUR", "ends elsewhere"),
        (TRIP, "XXX", "no fares in XXX; there are in EUR, USD"),
    ],
)
async def test_what_no_later_look_can_mend_fails_for_good(fares, trip, currency, why):
    with pytest.raises(TerminalError, match=why):
        await fares.cheapest(trip, currency)


async def test_without_a_token_the_effect_that_is_declared_has_simulated_fares():
    trip = Trip("LHR", "JFK", datetime.now(UTC).date() + timedelta(days=30))
    async with find_fares(Settings()) as body:
        outcome = await Effects({"find_fares": body}).perform(CallStep(declared, (trip, "EUR"), {}), "k")
    assert outcome.error is None
    assert "simulated" in declared.read(outcome.value).source
