"""The phone's scenarios through Alexa's doors, with the session sent out of memory, or the server killed, before every input."""

import pytest
from scenarios.scenarios import MERRY, PUTTING, QUEUES, SANTA, WELCOME, Scenario
from support.alexa_doors import AlexaDoor, AlexaKillDoor, on_alexa

SCENARIOS = [
    *filter(None, [on_alexa(scenario) for scenario in SANTA if scenario.day is None]),
    Scenario("a caller who comes back", (("call", (WELCOME,)), ("press 1", (QUEUES,)), ("hang up", ()), ("call", (WELCOME,)), ("press 5", (MERRY,)))),
    Scenario("a second launch in the middle", (("call", (WELCOME,)), ("press 1", (QUEUES,)), ("call", (QUEUES,)), ("say nonsense", (QUEUES,))), over=False),
    Scenario("the last words again", (("call", (WELCOME,)), ("press 1", (QUEUES,)), ("say repeat", (QUEUES,))), over=False),
    Scenario("stop", (("call", (WELCOME,)), ("press 1", (QUEUES,)), ("say stop", ()), ("call", (WELCOME,))), over=False),
]  # fmt: skip


def play(door, scenario):
    try:
        for step, expected in scenario.steps:
            assert door.play(step) == list(expected), f"upon {step!r}"
        assert door.over is scenario.over
    finally:
        door.close()


def test_most_of_the_phones_scenarios_are_played():
    assert sum(on_alexa(scenario) is not None for scenario in SANTA) >= 10
    assert any(PUTTING in said for scenario in SCENARIOS for _, said in scenario.steps)


@pytest.mark.parametrize("evicting", [True, False], ids=["evicting", "staying"])
@pytest.mark.parametrize("scenario", [pytest.param(scenario, id=scenario.name) for scenario in SCENARIOS])
def test_santa_on_alexa(valkey_url, valkey, scenario, evicting):
    play(AlexaDoor(scenario, evicting=evicting, store_url=valkey_url), scenario)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("scenario", [pytest.param(scenario, id=scenario.name) for scenario in SCENARIOS])
def test_santa_on_alexa_with_the_server_killed_before_every_input(scenario):
    play(AlexaKillDoor(scenario, evicting=True), scenario)
