"""The doors of Alexa: the phone's scenarios, spoken to a device; the second one kills the server before every input."""

import asyncio
import re
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from scenarios.doors import zone
from scenarios.scenarios import BUSY, ELVES, PUTTING, Scenario
from support.alexa_house import alexa_house
from support.server import ServerProcess

from telephony.alexa_development import development
from telephony.simulators.alexa import Echo


def on_alexa(scenario: Scenario) -> Scenario | None:
    """The scenario as it goes on Alexa, where nobody can be put through; None where it needs a silence, which is none of her inputs."""
    if any(step == "wait" for step, _ in scenario.steps):
        return None
    steps = tuple((step, (*said, BUSY) if said[-1:] == (PUTTING,) else said) for step, said in scenario.steps)
    return replace(scenario, steps=steps)


class AlexaDoor:
    """A device, and a whole server in this process, on a real Valkey."""

    def __init__(self, scenario: Scenario, *, evicting: bool, store_url: str = "") -> None:
        self._scenario = scenario
        self._evicting = evicting
        self._store_url = store_url
        self._runner = asyncio.Runner()
        self._runner.run(self._open())

    async def _open(self) -> None:
        options = {"time_zone": zone(self._scenario)}
        self._held = alexa_house(self._store_url, "santa", line={"args": {"queues": ELVES}}, echo=options)
        self._house, self._echo = await self._held.__aenter__()

    def play(self, step: str) -> list[str]:
        return self._runner.run(self._play(step))

    async def _play(self, step: str) -> list[str]:
        kind, _, what = step.partition(" ")
        if self._evicting:
            self._evict()
        match kind:
            case "call":
                heard = await self._echo.launch()
            case "press":
                heard = await self._echo.intent("DigitsIntent", {"digits": what})
            case "say":
                heard = await self._echo.say(what)
            case _:
                await self._echo.end()
                return []
        return re.findall(r"<p>(.*?)</p>", heard.ssml or "")

    def _evict(self) -> None:
        self._house.evict()

    @property
    def over(self) -> bool:
        return not self._echo.listens

    def close(self) -> None:
        self._runner.run(self._close())
        self._runner.close()

    async def _close(self) -> None:
        await self._held.__aexit__(None, None, None)


class AlexaKillDoor(AlexaDoor):
    """A server process with its embedded Valkey, killed with `kill -9` before every input."""

    async def _open(self) -> None:
        self._folders = ExitStack()
        folder = Path(self._folders.enter_context(tempfile.TemporaryDirectory(prefix="sb"))) / "a house"
        queues = ", ".join(f'{key} = "{number}"' for key, number in ELVES.items())
        line = f'{{ workflow = "santa", args = {{ queues = {{ {queues} }} }} }}'
        self._server = ServerProcess(folder, f'[lines]\n"alexa:*" = {line}\n').start()
        self._echo = Echo(self._server.url, development(folder / self._server.data), time_zone=zone(self._scenario), patience=40)
        await self._echo.__aenter__()

    def _evict(self) -> None:
        self._server.kill()
        self._server.start()

    async def _close(self) -> None:
        await self._echo.__aexit__(None, None, None)
        self._server.end()
        self._folders.close()
