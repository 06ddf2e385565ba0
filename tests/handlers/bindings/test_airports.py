"""Airports and cities by what people call them."""

from pathlib import Path

import pytest

from handlers.bindings.airports import LARGE, code_of, plain, well_known


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("San Francisco", "SFO"),
        ("new york", "NYC"),
        ("London", "LON"),
        ("Heathrow", "LHR"),
        ("lhr", "LHR"),
        ("LON", "LON"),
        ("Zürich", "ZRH"),
        ("Málaga", "AGP"),
        ("Tromsø", "TOS"),
        ("St. Petersburg", "LED"),
        ("Venice", "VCE"),
        ("Naples", "NAP"),
        ("Vancouver", "YVR"),
        ("Orlando", "MCO"),
        ("Melbourne", "MEL"),
        ("Sydney", "SYD"),
        ("Birmingham", "BHX"),
        ("Berlin", "BER"),
        ("Frankfurt", "FRA"),
        ("Montreal", "YMQ"),
        ("  Helsinki ", "HEL"),
    ],
)
def test_a_place_is_known_by_name_and_by_code(name: str, code: str) -> None:
    assert code_of(name) == code


def test_the_cities_of_the_world_are_where_people_fly_to() -> None:
    lines = Path(__file__).with_name("cities.txt").read_text("utf-8").splitlines()
    cities = dict(line.rsplit(" ", 1) for line in lines)
    assert len(cities) > 600
    assert {name: code_of(name) for name in cities} == cities


@pytest.mark.parametrize("name", ["", "   ", "Xyzzyville", "QQQ", "\u0000", "🛫", "a" * 10_000])
def test_what_is_no_place_has_no_code(name: str) -> None:
    assert code_of(name) is None


@pytest.mark.parametrize("name", ["Peru", "Jordan", "Lebanon", "Virginia"])
def test_a_country_is_no_town_that_is_called_after_it(name: str) -> None:
    assert code_of(name) is None


def test_every_large_airport_is_one_by_its_own_code() -> None:
    assert all(code_of(code) == code for code in LARGE)


def test_well_known_names_are_plain_and_no_words_of_every_day() -> None:
    assert {"london", "san francisco", "helsinki"} <= well_known()
    assert not {"nice", "split", "la", "normal", "metro"} & well_known()
    assert all(plain(name) == name for name in well_known())
