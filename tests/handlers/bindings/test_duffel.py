"""Fares from Duffel, against the stand-in on a socket, and against servers that answer what they should not."""

import contextlib
import json
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import formatdate

import pytest
from pydantic import SecretStr
from support.models import RawServer

from handlers.bindings import duffel as module
from handlers.bindings.duffel import LATER_SECONDS, LIMIT_SECONDS, LONGEST_WAIT, DuffelFares, until_reset
from handlers.bindings.duffel_wire import LONGEST_FLIGHT
from handlers.bindings.fares import find_fares
from handlers.effects import Effects
from telephony.simulators.duffel import NO_FLIGHTS, DuffelEndpoint, serving
from telephony.simulators.model.faults import script
from workflows.effects import Retry
from workflows.errors import EffectError, TerminalError, TransientError
from workflows.fares import Trip
from workflows.fares import find_fares as declared
from workflows.steps import CallStep

TOKEN = "duffel_test_nobody-may-see-this"
DAY = datetime.now(UTC).date() + timedelta(days=30)
TRIP = Trip("LHR", "JFK", DAY)
CREATED = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nConnection: close\r\n"


@dataclass
class FareSettings:
    duffel_access_token: SecretStr | None = None
    duffel_api_url: str | None = None


@contextlib.asynccontextmanager
async def duffel(faults="", token=TOKEN, **more):
    """The stand-in, and a client of it."""
    endpoint = DuffelEndpoint(TOKEN, script(faults), **more)
    async with serving(endpoint) as url, DuffelFares(SecretStr(token), url) as fares:
        endpoint.url = url
        yield endpoint, fares


async def fails(fares, error, trip=TRIP, currency="EUR"):
    with pytest.raises(EffectError) as raised:
        await fares.cheapest(trip, currency)
    assert type(raised.value) is error
    assert TOKEN not in str(raised.value)
    return raised.value


# -- offers --------------------------------------------------------------------------------------------------------------------------------


async def test_the_cheapest_offer_is_quoted_with_its_flight_and_says_that_it_is_of_test_mode():
    async with duffel() as (endpoint, fares):
        quote = await fares.cheapest(TRIP, "EUR")
        assert await endpoint._fares.cheapest(TRIP, "EUR") is not None
    assert quote.currency == "EUR"
    assert 60 <= quote.price <= 900, "not one of the dearer offers"
    assert quote.source == "Duffel's test mode, not for sale"
    assert quote.flight.startswith("Duffel Airways ZZ")


async def test_what_is_asked_for_is_one_adult_in_economy_both_ways():
    async with duffel() as (endpoint, fares):
        one = await fares.cheapest(TRIP, "EUR")
        both = await fares.cheapest(Trip("LHR", "JFK", DAY, DAY + timedelta(days=7)), "EUR")
    assert " and ZZ" in both.flight
    assert both.price > one.price
    assert endpoint.requests[1] == {
        "slices": [
            {"origin": "LHR", "destination": "JFK", "departure_date": DAY.isoformat()},
            {"origin": "JFK", "destination": "LHR", "departure_date": (DAY + timedelta(days=7)).isoformat()},
        ],
        "passengers": [{"type": "adult"}],
        "cabin_class": "economy",
    }
    assert endpoint.queries[1] == {"return_offers": "true", "supplier_timeout": "20000"}


async def test_without_offers_there_is_no_quote():
    async with duffel("empty") as (_, fares):
        assert await fares.cheapest(TRIP, "EUR") is None
        assert await fares.cheapest(Trip(*NO_FLIGHTS, DAY), "EUR") is None


async def test_a_day_that_is_over_everywhere_is_not_asked_for():
    async with duffel() as (endpoint, fares):
        assert await fares.cheapest(Trip("LHR", "JFK", datetime.now(UTC).date() - timedelta(days=2)), "EUR") is None
    assert endpoint.requests == []


async def test_a_day_that_is_over_in_utc_alone_is_asked_for():
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    async with duffel() as (endpoint, _), DuffelFares(SecretStr(TOKEN), endpoint.url, tomorrow.timestamp) as fares:
        assert await fares.cheapest(Trip("SFO", "JFK", datetime.now(UTC).date()), "EUR") is not None


async def test_a_day_that_duffel_says_is_over_is_without_a_quote():
    now = datetime(2026, 11, 23, 3, tzinfo=UTC)
    head = b"HTTP/1.1 422 X\r\nConnection: close\r\n\r\n"
    async with RawServer(head, b"") as server, DuffelFares(SecretStr(TOKEN), server.url.removesuffix("/v1"), now.timestamp) as fares:
        assert await fares.cheapest(Trip("SFO", "JFK", date(2026, 11, 22)), "EUR") is None
        assert len(server.requests) == 1
        await fails(fares, TerminalError, Trip("SFO", "JFK", date(2026, 11, 23)))


async def test_offers_in_another_currency_are_no_offers_and_do_not_end_a_watch():
    async with duffel(currency="GBP") as (endpoint, fares):
        assert await fares.cheapest(TRIP, "EUR") is None
        assert (await fares.cheapest(TRIP, "GBP")).currency == "GBP"
        endpoint.currency = "EUR"
        assert (await fares.cheapest(TRIP, "EUR")).currency == "EUR"


async def test_an_offer_that_is_sold_names_duffel_alone():
    offer = b'{"total_amount": "77.10", "total_currency": "EUR", "live_mode": true, "owner": {"name": "Finnair"}, "slices": []}'
    async with raw(b'{"data": {"offers": [' + offer + b"]}}") as fares:
        quote = await fares.cheapest(TRIP, "EUR")
    assert (quote.price, quote.source, quote.flight) == (Decimal("77.10"), "Duffel", "Finnair")


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-Infinity", "-1.00", "0.00", "a lot"])
async def test_an_amount_that_is_none_is_no_offer(amount):
    offer = '{"total_amount": "%s", "total_currency": "EUR", "owner": {"name": "Finnair"}}'
    async with raw(f'{{"data": {{"offers": [{offer % amount}, {offer % "80.00"}]}}}}'.encode()) as fares:
        assert (await fares.cheapest(TRIP, "EUR")).price == 80


@pytest.mark.parametrize(
    "bad", ["7", "null", "{}", '{"total_amount": "1.00"}', '{"total_amount": "1", "total_currency": "EUR", "owner": 7}']
)
async def test_an_offer_that_is_malformed_is_passed_over(bad):
    good = '{"total_amount": "80.00", "total_currency": "EUR", "owner": {"name": null, "iata_code": null}}'
    async with raw(f'{{"data": {{"offers": [{bad}, {good}]}}}}'.encode()) as fares:
        quote = await fares.cheapest(TRIP, "EUR")
    assert (quote.price, quote.flight) == (80, "")


async def test_the_name_of_an_airline_is_recorded_in_plain_characters_and_not_at_any_length():
    name = "\u202eFinn\u200bair\u001b[31m\n" + "x" * 100_000
    segment = {"marketing_carrier": {"iata_code": "AY"}, "marketing_carrier_flight_number": "1" * 5_000}
    offer = {"total_amount": "80.00", "total_currency": "EUR", "owner": {"name": name}, "slices": [{"segments": [segment]}]}
    async with raw(json.dumps({"data": {"offers": [offer]}}).encode()) as fares:
        flight = (await fares.cheapest(TRIP, "EUR")).flight
    assert flight.startswith("Finnair[31m x")
    assert " AY111" in flight
    assert len(flight) == LONGEST_FLIGHT
    assert flight.isprintable()


# -- errors --------------------------------------------------------------------------------------------------------------------------------


async def test_a_token_that_duffel_does_not_know_fails_at_once_and_is_named():
    async with duffel(token="duffel_test_wrong") as (_, fares):
        error = await fails(fares, TerminalError)
    assert "status 401: Access token not found" in str(error)
    assert str(error).endswith("Check DUFFEL_ACCESS_TOKEN")
    assert "wrong" not in str(error)


async def test_a_place_that_is_none_fails_at_once_in_duffels_own_words():
    async with duffel() as (_, fares):
        error = await fails(fares, TerminalError, Trip("LHR", "QQQ", DAY))
    assert "status 422: Linked record not found: Field 'destination' has the code QQQ" in str(error)
    assert "(request " in str(error)


@pytest.mark.parametrize("status", [400, 403, 404, 406, 422])
async def test_what_is_wrong_with_a_request_will_not_pass(status):
    async with duffel(str(status)) as (_, fares):
        assert f"status {status}" in str(await fails(fares, TerminalError))


@pytest.mark.parametrize("status", [503, 504])
async def test_what_is_wrong_with_the_server_may_pass(status):
    async with duffel(str(status)) as (_, fares):
        assert (await fails(fares, TransientError)).retry_after is None
        assert await fares.cheapest(TRIP, "EUR") is not None


@pytest.mark.parametrize("status", [500, 502])
async def test_what_duffel_asks_not_to_repeat_is_left_to_the_next_look(status):
    async with duffel(str(status)) as (_, fares):
        assert (await fails(fares, TransientError)).retry_after == LATER_SECONDS
    assert declared.retry.budget < LATER_SECONDS


async def test_nobody_asks_before_the_limit_is_renewed():
    now = time.time()
    async with duffel("429:30") as (endpoint, _), DuffelFares(SecretStr(TOKEN), endpoint.url, lambda: now) as fares:
        first = await fails(fares, TransientError)
        assert 29 <= first.retry_after <= 32
        second = await fails(fares, TransientError)
        assert second.retry_after == pytest.approx(first.retry_after)
        assert "limit" in str(second)
        assert endpoint.requests == []
        now += second.retry_after + 0.001
        assert await fares.cheapest(TRIP, "EUR") is not None


async def test_the_last_request_of_a_window_is_answered_and_the_next_one_waits():
    async with duffel(limit=2) as (endpoint, fares):
        for _ in range(2):
            assert await fares.cheapest(TRIP, "EUR") is not None
        assert 0 < (await fails(fares, TransientError)).retry_after <= 62
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize(
    ("reset", "seconds"), [(b"", LIMIT_SECONDS), (b"ratelimit-reset: Fri, 31 Dec 2100 00:00:00 GMT\r\n", LONGEST_WAIT)]
)
async def test_a_limit_that_is_used_up_is_remembered_whatever_is_said_of_its_end_and_not_for_ever(reset, seconds):
    now = time.time()
    head = b"HTTP/1.1 429 X\r\nConnection: close\r\n" + reset + b"\r\n"
    async with RawServer(head, b"") as server, DuffelFares(SecretStr(TOKEN), server.url.removesuffix("/v1"), lambda: now) as fares:
        assert (await fails(fares, TransientError)).retry_after == pytest.approx(seconds)
        assert "is used up" in str(await fails(fares, TransientError)), "without asking"
        now += seconds + 0.001
        assert "status 429" in str(await fails(fares, TransientError))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"ratelimit-reset": formatdate(1_000_030, usegmt=True), "date": formatdate(1_000_010, usegmt=True)}, 20),
        ({"ratelimit-reset": formatdate(1_000_030, usegmt=True)}, 30),
        ({"ratelimit-reset": "1970-01-12T13:47:10Z"}, 30),
        ({"ratelimit-reset": formatdate(900_000, usegmt=True)}, 0),
        ({"ratelimit-reset": "Fri, 31 Dec 2100 00:00:00 GMT"}, LONGEST_WAIT),
        ({"ratelimit-reset": "soon"}, None),
        ({}, None),
    ],
)
def test_when_the_limit_is_renewed_is_told_by_duffels_clock(headers, seconds):
    assert until_reset(headers, 1_000_000) == seconds


@pytest.mark.parametrize("fault", ["reset", "cut"])
async def test_a_connection_that_breaks_may_pass(fault):
    async with duffel(fault) as (_, fares):
        assert "cannot be reached" in str(await fails(fares, TransientError))


async def test_a_server_that_is_not_there_may_come_back():
    async with DuffelFares(SecretStr(TOKEN), "http://127.0.0.1:9") as fares:
        assert "cannot be reached" in str(await fails(fares, TransientError))


@pytest.mark.parametrize("fault", ["hang", "stall"])
async def test_an_answer_that_does_not_come_is_given_up(fault, monkeypatch):
    monkeypatch.setattr(module, "WHOLE_SECONDS", 0.3)
    async with duffel(fault) as (_, fares):
        assert str(await fails(fares, TransientError)) == "Duffel said nothing for too long"


@contextlib.asynccontextmanager
async def raw(body, head=CREATED):
    """A client of a server that answers with these bytes."""
    async with RawServer(head + b"\r\n", body) as server, DuffelFares(SecretStr(TOKEN), server.url.removesuffix("/v1")) as fares:
        yield fares


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"data": {}}',
        b'{"data": {"offers": null}}',
        b'{"data": {"offers": [{"total_amount": "a lot", "total_currency": "EUR", "owner": {}}]}}',
        b'{"data": {"offers": [{"total_amount": "1.00"}]}}',
        b'{"data": {"offers": [' + b"[" * 5_000,
    ],
)
async def test_what_is_no_answer_may_pass(body):
    async with raw(body) as fares:
        assert "sent what is no answer" in str(await fails(fares, TransientError))


async def test_an_answer_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 1_000_000)
    async with raw(b" " * 2_000_000) as fares:
        assert "more than 0 MB" in str(await fails(fares, TransientError))


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"errors": []}', b'{"errors": [{"title": 7}]}', b'{"errors": "x"}', b'{"errors": ' + b"[" * 5_000]
)
async def test_an_error_without_words_is_told_by_its_status(body):
    async with raw(body, b"HTTP/1.1 418 Teapot\r\nConnection: close\r\n") as fares:
        assert str(await fails(fares, TerminalError)) == "Duffel answered with status 418"


async def test_a_server_that_repeats_the_token_does_not_get_it_on_record():
    body = b'{"errors": [{"type": "airline_error", "title": "Oh", "message": "bad ' + TOKEN.encode() + b'"}]}'
    async with raw(body, b"HTTP/1.1 422 X\r\nConnection: close\r\n") as fares:
        assert "bad (hidden)" in str(await fails(fares, TransientError))


async def test_the_words_of_an_error_are_recorded_in_plain_characters():
    body = json.dumps({"errors": [{"title": "Bad\u202e", "message": "\u001b[31m\r\nday\u0000"}]}).encode()
    async with raw(body, b"HTTP/1.1 422 X\r\nConnection: close\r\n") as fares:
        assert str(await fails(fares, TerminalError)) == "Duffel answered with status 422: Bad: [31m day"


async def test_a_redirect_is_not_followed_for_the_token_is_for_duffel_alone():
    async with raw(b"", b"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:9/\r\nConnection: close\r\n") as fares:
        assert "status 307" in str(await fails(fares, TerminalError))


async def test_a_proxy_of_the_environment_is_used_and_a_netrc_is_nothing_to_us(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("default login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with duffel() as (endpoint, _):
        monkeypatch.setenv("http_proxy", endpoint.url)
        async with DuffelFares(SecretStr(TOKEN), "http://duffel.invalid") as fares:
            assert await fares.cheapest(TRIP, "EUR") is not None
        monkeypatch.setenv("no_proxy", "duffel.invalid")
        async with DuffelFares(SecretStr(TOKEN), "http://duffel.invalid") as fares:
            assert "cannot be reached" in str(await fails(fares, TransientError))
    assert len(endpoint.requests) == 1


# -- the effect ----------------------------------------------------------------------------------------------------------------------------


async def perform(settings, trip):
    async with find_fares(settings) as body:
        return await Effects({"find_fares": body}).perform(CallStep(declared, (trip, "EUR"), {}), "k")


async def test_the_effect_tries_again_and_has_its_quote():
    endpoint = DuffelEndpoint(TOKEN, script("503,garbage,429:1"))
    async with serving(endpoint) as url:
        outcome = await perform(FareSettings(SecretStr(TOKEN), url), TRIP)
    assert outcome.error is None
    assert declared.read(outcome.value).source == "Duffel's test mode, not for sale"
    assert len(endpoint.requests) == 1


async def test_the_effect_gives_up_when_its_attempts_are_spent():
    endpoint = DuffelEndpoint(TOKEN, script("503*4"))
    async with serving(endpoint) as url:
        outcome = await perform(FareSettings(SecretStr(TOKEN), url), TRIP)
    assert outcome.error is not None
    assert outcome.error[0] == "TransientError"
    assert not endpoint.faults
    assert declared.retry == Retry(attempts=4, budget=120.0)


async def test_places_are_named_by_name_too():
    endpoint = DuffelEndpoint(TOKEN)
    async with serving(endpoint) as url:
        settings = FareSettings(SecretStr(TOKEN), url)
        assert (await perform(settings, Trip("San Francisco", "new york", DAY))).error is None
        outcome = await perform(settings, Trip("Xyzzyville", "JFK", DAY))
        same = await perform(settings, Trip("London", "lon", DAY))
        assert (await perform(settings, Trip("Goa", "GOA", DAY))).error is None
    assert [(way["origin"], way["destination"]) for way in endpoint.requests[0]["slices"]] == [("SFO", "NYC")]
    assert [(way["origin"], way["destination"]) for way in endpoint.requests[1]["slices"]] == [("GOI", "GOA")], "Genoa is GOA"
    assert outcome.error == ("TerminalError", "there is no airport or city Xyzzyville. Give the IATA code, such as LHR", True)
    assert same.error == ("TerminalError", "a flight ends elsewhere than it begins", True)
    assert len(endpoint.requests) == 2
