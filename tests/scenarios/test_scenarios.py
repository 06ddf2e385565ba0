"""Every scenario through every door, with the session sent out of memory before every input, and without."""

import pytest
from scenarios.doors import BareRunDoor, HandlerDoor, HttpDoor, KillDoor, SwitchboardDoor
from scenarios.scenarios import SANTA

NOW = [scenario for scenario in SANTA if scenario.day is None]
"""Those that a door with a real clock can play."""


def play(door, scenario):
    try:
        for step, expected in scenario.steps:
            assert door.play(step) == list(expected), f"upon {step!r}"
        assert door.over is scenario.over
    finally:
        door.close()


def named(scenarios):
    return [pytest.param(scenario, id=scenario.name) for scenario in scenarios]


@pytest.mark.parametrize("evicting", [True, False], ids=["evicting", "staying"])
@pytest.mark.parametrize("door", [BareRunDoor, HandlerDoor, SwitchboardDoor])
@pytest.mark.parametrize("scenario", named(SANTA))
def test_santa_in_this_process(door, scenario, evicting):
    play(door(scenario, evicting=evicting), scenario)


@pytest.mark.parametrize("evicting", [True, False], ids=["evicting", "staying"])
@pytest.mark.parametrize("scenario", named(NOW))
def test_santa_over_http(valkey_url, valkey, scenario, evicting):
    play(HttpDoor(scenario, evicting=evicting, store_url=valkey_url), scenario)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("scenario", named(NOW))
def test_santa_with_the_server_killed_before_every_input(scenario):
    play(KillDoor(scenario, evicting=True), scenario)
