"""The errands of the assistant, as a parent meets them: a reminder, and a watch over the price of a flight."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from workflows import ErrandDone, Heard, Talk, TerminalError, workflow
from workflows.errands import Due, Look, flight_watch, reminder
from workflows.events import Fired, Memo
from workflows.events import Heard as HeardEvent
from workflows.fares import Quote, Trip, find_fares
from workflows.testing import Rehearsal

HOUR = timedelta(hours=1)
NINE = datetime(2026, 11, 24, 9, tzinfo=UTC)
TRIP = Trip("LHR", "JFK", date(2026, 12, 24))


def fare(price: str, currency: str = "EUR") -> Quote:
    return Quote(Decimal(price), currency, "simulated fares", "XX 1")


@workflow(name="parent")
async def parent(talk: Talk, hours: float = 6.0) -> None:
    """Start, ask and cancel by word; tell what comes back."""
    errand = None
    while True:
        match await talk.next(Heard, ErrandDone):
            case Heard(text="remind"):
                errand = await talk.start(reminder, "call Ada", NINE, name="ada")
            case Heard(text="watch"):
                errand = await talk.start(flight_watch, TRIP, Decimal(300), "EUR", hours, name="jfk")
            case Heard(text="cancel") if errand is not None:
                await talk.cancel(errand)
                talk.say("cancelled")
            case Heard(text="how") if errand is not None:
                status = await talk.status(errand)
                talk.say(f"{status.state} {status.note}")
            case ErrandDone(name=name, value=value, error=error):
                talk.say(f"{name}: {value} {error}")


def ring(**options: Any) -> Rehearsal:
    return Rehearsal(parent, at="2026-11-23T18:00", channel="web", **options)


def notices(call: Rehearsal) -> list[dict[str, Any]]:
    return [event.payload for event in call.history if isinstance(event, HeardEvent) and event.type == "errand"]


def test_a_reminder_comes_when_it_is_due_and_once() -> None:
    call = ring()
    call.say("remind")
    assert call.pass_time(15 * HOUR - timedelta(seconds=1)) == []
    assert call.pass_time(timedelta(seconds=1)) == ["ada: call Ada None"]
    assert call.pass_time(1000 * HOUR) == []
    assert len(notices(call)) == 1
    assert [type(event) for event in call.errands[0].history[1:]] == [Fired]


def test_a_reminder_shows_when_it_is_due() -> None:
    call = ring()
    call.say("remind")
    assert msgspec.convert(call.errands[0].note, Due).at == NINE


def test_a_reminder_for_the_second_half_past_one_comes_then() -> None:
    @workflow
    async def autumn(talk: Talk) -> None:
        await talk.start(reminder, "x", talk.now.replace(hour=1, minute=30, fold=1))
        talk.say((await talk.next(ErrandDone)).value)

    call = Rehearsal(autumn, at="2026-10-25T00:00", channel="web", time_zone="Europe/London")
    assert call.pass_time(2 * HOUR) == []
    assert call.pass_time(HOUR) == ["x"]


def test_a_reminder_that_is_cancelled_is_silent_at_once() -> None:
    call = ring()
    call.say("remind")
    assert call.say("cancel") == ["cancelled"]
    assert call.errands[0].cancelled
    assert call.pass_time(1000 * HOUR) == []
    assert notices(call) == []


def test_after_a_cancel_the_same_can_be_started_again() -> None:
    call = ring()
    call.say("remind")
    call.say("cancel")
    call.say("remind")
    assert [errand.cancelled for errand in call.errands] == [True, False]
    assert call.errands[0].opened.id != call.errands[1].opened.id
    assert call.pass_time(15 * HOUR) == ["ada: call Ada None"]
    assert [notice["errand"] for notice in notices(call)] == [call.errands[1].opened.parent[1]]  # type: ignore[index]  # errands have parents


def test_a_watch_looks_every_six_hours_and_ends_with_the_quote() -> None:
    looks: list[tuple[Trip, str]] = []
    fares = iter([fare("412"), None, fare("299.5")])

    def look(trip: Trip, currency: str) -> Quote | None:
        looks.append((trip, currency))
        return next(fares)

    call = ring(effects={find_fares: look})
    call.say("watch")
    assert looks == [(TRIP, "EUR")]
    assert call.pass_time(6 * HOUR - timedelta(seconds=1)) == []
    assert len(looks) == 1
    assert call.pass_time(timedelta(seconds=1)) == []
    assert len(looks) == 2
    assert call.pass_time(6 * HOUR) == [f"jfk: {fare('299.5')} None"]
    assert call.pass_time(1000 * HOUR) == []
    assert len(looks) == 3


def test_how_often_a_watch_looks_is_configurable() -> None:
    call = ring(effects={find_fares: fare("412")}, args={"hours": 0.5})
    call.say("watch")
    call.pass_time(2 * HOUR)
    assert len([event for event in call.errands[0].history if isinstance(event, Memo)]) == 5


def test_a_watch_shows_the_last_price_and_when_it_was_seen() -> None:
    call = ring(effects={find_fares: fare("412")})
    call.say("watch")
    call.pass_time(7 * HOUR)
    assert msgspec.convert(call.errands[0].note, Look) == Look(datetime(2026, 11, 24, tzinfo=UTC), fare("412"))


def test_the_price_has_to_be_in_the_currency_that_was_asked_for() -> None:
    call = ring(effects={find_fares: fare("250", "GBP")})
    call.say("watch")
    assert not call.errands[0].ended


def test_a_watch_ends_when_the_day_of_departure_is_over() -> None:
    call = ring(effects={find_fares: fare("412")})
    call.say("watch")
    assert call.pass_time(timedelta(days=31)) == []
    assert call.pass_time(timedelta(days=1)) == ["jfk: None None"]


def test_a_look_that_fails_is_made_up_for_by_the_next() -> None:
    call = ring(effects={find_fares: fare("412")})
    call.say("watch")
    for _ in range(2):
        for _ in range(3):
            call.fail(find_fares, OSError("no luck"))
            assert call.pass_time(6 * HOUR) == []
        look = msgspec.convert(call.errands[0].note, Look)
        assert (look.quote, look.trouble) == (fare("412"), "no luck")
        call.pass_time(6 * HOUR)
        assert msgspec.convert(call.errands[0].note, Look).trouble == ""


def test_a_watch_that_fails_too_often_tells_why() -> None:
    call = ring(effects={find_fares: OSError("no luck")})
    call.say("watch")
    assert call.pass_time(17 * HOUR) == []
    assert call.pass_time(HOUR) == ["jfk: None StepFailed: find_fares failed: OSError: no luck"]


def test_a_watch_that_cannot_succeed_tells_why_at_once() -> None:
    call = ring(effects={find_fares: TerminalError("there is no airport XXX")})
    assert call.say("watch") == ["jfk: None StepFailed: find_fares failed: TerminalError: there is no airport XXX"]


def test_a_watch_that_is_cancelled_while_it_looks_is_silent() -> None:
    call = ring(effects={find_fares: ...})
    call.say("watch")
    assert call.say("cancel") == ["cancelled"]
    assert call.finish(find_fares, fare("1")) == []
    assert call.errands[0].cancelled
    assert notices(call) == []


@pytest.mark.parametrize("word", ["remind", "watch"])
def test_an_errand_tells_how_it_is_doing(word: str) -> None:
    call = ring(effects={find_fares: fare("412")})
    call.say(word)
    assert str(call.say("how")[0]).startswith("running {'at': '2026-11-2")


def test_a_quote_says_its_source() -> None:
    assert str(fare("299.5")) == "299.50 EUR with XX 1 (source: simulated fares)"
    assert str(Quote(Decimal(1), "EUR", "y")) == "1.00 EUR (source: y)"
