"""The doors through which scenarios are played. Each can send the session out of memory before every input; the last one kills the server.

A door plays one call: `play(step)` gives the texts heard upon it, `over` tells whether the call has ended.
"""

import asyncio
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec
from scenarios.scenarios import ELVES, Scenario
from support.bare_run import BareRun, text_of
from support.house import Town
from support.phone_house import phone_house
from support.server import ServerProcess
from support.virtual_time import START

from handlers.handler import Handler
from handlers.messages import Evict, Inbound, Opening
from handlers.reply import ReplyTo
from telephony.simulators.events import Said
from workflows.listen import Message, Transfer
from workflows.santa import santa

ARGS = {"queues": {int(key): number for key, number in ELVES.items()}}
FACTS = {"owns_timeouts": True}
SESSION = "phone:CA1"


class Door(Protocol):
    """One way in."""

    def __init__(self, scenario: Scenario, *, evicting: bool) -> None: ...

    def play(self, step: str) -> list[str]: ...

    @property
    def over(self) -> bool: ...

    def close(self) -> None: ...


def moment(scenario: Scenario) -> datetime:
    """When the call begins, in UTC, which is the line's zone at the doors whose clock can be set."""
    day = datetime(2026, 1, 1, scenario.hour, 30, tzinfo=UTC)
    return day + timedelta(days=(scenario.day or 60) - 1)


def zone(scenario: Scenario) -> str:
    """A time zone in which it is the scenario's hour now, and for the next minute."""
    left = 3600 - time.time() % 3600
    if left < 60:
        time.sleep(left)
    ahead = (scenario.hour - datetime.now(UTC).hour + 11) % 24 - 11
    return f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"


def heard(step: str, prompt: Any) -> tuple[str, dict[str, Any]]:
    """What a channel makes of a caller's step."""
    kind, _, what = step.partition(" ")
    if isinstance(prompt, Message) and kind == "say":
        return "recorded", {"url": "https://example.com/r", "seconds": len(what)}
    match kind:
        case "press":
            return "pressed", {"digits": what}
        case "say":
            return "said", {"text": what}
        case "wait":
            return "silence", {}
        case _:
            return "left", {"reason": "completed"}


class BareRunDoor:
    """The run itself, replayed from its stored elements before every event."""

    def __init__(self, scenario: Scenario, *, evicting: bool) -> None:
        self._scenario = scenario
        self._evicting = evicting

    def play(self, step: str) -> list[str]:
        if step == "call":
            at = round(moment(self._scenario).timestamp() * 1000)
            self._bare = BareRun(santa, args=ARGS, channel="phone", at=at, facts=FACTS, evict=self._evicting)
            said = list(self._bare.said)
        else:
            type_, payload = heard(step, self._listen)
            said = self._bare.leave() if type_ == "left" else self._bare.hear(type_, payload)
        while isinstance(self._listen, Transfer):
            said += self._bare.hear("transferred", {"outcome": self._scenario.dials.get(self._listen.number, "completed")})
        return said

    @property
    def _listen(self) -> Any:
        prompt = self._bare.run.prompt
        return None if prompt is None else prompt.listen

    @property
    def over(self) -> bool:
        return self._bare.run.ended

    def close(self) -> None:
        self._bare.run.close()


class SwitchboardDoor:
    """The switchboard, its handlers and a store in memory, in virtual time."""

    def __init__(self, scenario: Scenario, *, evicting: bool) -> None:
        self._scenario = scenario
        self._evicting = evicting
        self._town = Town([santa])
        self._town.world.time = moment(scenario).timestamp() - START
        self._node = self._town.node("a.1")
        self._turn = 0
        self._prompt: Any = None
        self.over = False

    def play(self, step: str) -> list[str]:
        if step == "call":
            opening = Opening("santa", ARGS, "phone", time_zone="UTC", facts=FACTS)
            return self._said(Inbound(SESSION, "start", opening=opening, fresh=True))
        type_, payload = heard(step, self._prompt)
        said = self._said(Inbound(SESSION, f"{self._turn}", type_, payload))
        while isinstance(self._prompt, Transfer):
            outcome = self._scenario.dials.get(self._prompt.number, "completed")
            said += self._said(Inbound(SESSION, f"{self._turn}", "transferred", {"outcome": outcome}))
        return said

    def _said(self, inbound: Inbound) -> list[str]:
        if self._evicting:
            self._evict()
        answer = self._answer(inbound)
        self._turn = answer.turn
        self._prompt = None if answer.prompt is None else answer.prompt.listen
        self.over = answer.ended
        return [text_of(output) for _, _, output in answer.said]

    def _evict(self) -> None:
        self._node.evict()

    def _answer(self, inbound: Inbound) -> Any:
        return self._node.finish(self._node.send(lambda reply: msgspec.structs.replace(inbound, reply_to=reply)))

    def close(self) -> None:
        self._town.close()


class HandlerDoor(SwitchboardDoor):
    """The handler alone; what it says to its switchboard, nobody hears."""

    def __init__(self, scenario: Scenario, *, evicting: bool) -> None:
        super().__init__(scenario, evicting=evicting)
        self._handler: Any = None

    def _evict(self) -> None:
        if self._handler is not None:
            self._node.process.call(self._handler.deliver, Evict())
            self._town.settle()
            self._handler = None

    def _answer(self, inbound: Inbound) -> Any:
        process = self._node.process
        if self._handler is None:
            self._handler = process.call(Handler, SESSION, 1, self._node.house)
        reply: ReplyTo[Any] = process.call(ReplyTo)
        process.call(self._handler.deliver, msgspec.structs.replace(inbound, reply_to=reply))
        return self._node.finish(process.spawn(reply.get()))


class HttpDoor:
    """Signed webhooks into a whole server in this process, on a real Valkey."""

    def __init__(self, scenario: Scenario, *, evicting: bool, store_url: str = "") -> None:
        self._scenario = scenario
        self._evicting = evicting
        self._store_url = store_url
        self._runner = asyncio.Runner()
        self._call: Any = None
        self._runner.run(self._open())

    async def _open(self) -> None:
        line = {"args": {"queues": ELVES}, "timezone": zone(self._scenario)}
        self._held = phone_house(self._store_url, "santa", line=line)
        self._house = await self._held.__aenter__()
        self._phone = self._house.phone(from_="+12025550199", to="+15550100", speed=100)
        await self._phone.__aenter__()

    def play(self, step: str) -> list[str]:
        return self._runner.run(self._play(step))

    async def _play(self, step: str) -> list[str]:
        kind, _, what = step.partition(" ")
        if self._evicting:
            self._evict()
        match kind:
            case "call":
                self._call = self._phone.call(self._scenario.dials)
                events = await self._call.start()
            case "press":
                events = await self._call.press(what)
            case "say":
                events = await self._call.say(what)
            case "wait":
                events = await self._call.stay_silent()
            case _:
                events = await self._call.hang_up()
        return [event.text for event in events if isinstance(event, Said)]

    def _evict(self) -> None:
        self._house.evict()

    @property
    def over(self) -> bool:
        return self._call.ended is not None

    def close(self) -> None:
        self._runner.run(self._close())
        self._runner.close()

    async def _close(self) -> None:
        await self._phone.__aexit__(None, None, None)
        await self._held.__aexit__(None, None, None)


class KillDoor(HttpDoor):
    """A server process with its embedded Valkey, killed with `kill -9` before every input."""

    async def _open(self) -> None:
        self._folders = ExitStack()
        folder = Path(self._folders.enter_context(tempfile.TemporaryDirectory(prefix="sb")))
        queues = ", ".join(f'{key} = "{number}"' for key, number in ELVES.items())
        line = f'{{ workflow = "santa", timezone = "{zone(self._scenario)}", args = {{ queues = {{ {queues} }} }} }}'
        self._server = ServerProcess(folder / "a house", f'[lines]\n"phone:*" = {line}\n').start()
        self._phone = self._server.phone()
        await self._phone.__aenter__()

    def _evict(self) -> None:
        self._server.kill()
        self._server.start()

    async def _close(self) -> None:
        await self._phone.__aexit__(None, None, None)
        self._server.end()
        self._folders.close()
