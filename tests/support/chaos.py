"""Servers and their Valkey, killed at random under mixed load: calls, chats that ask a model, errands.

Real processes behind a balancer that knows nothing of them, a real Valkey that syncs every write, a model that counts what it is asked. The
seed decides who is killed and when; who was in the middle of what then is the machine's affair. Callers insist as vendors do: the same
input with the same id, until it is acknowledged. At the end everything is held to the promises: see `Campaign.check`.

`python -m support.chaos SEED KILLS` plays one campaign, and tells how it went.
"""

import asyncio
import contextlib
import re
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import redis
from support.balancer import Balancer
from support.crashing import Doomed, doomed, eventually
from support.models import model_server
from support.valkey import Valkey
from support.web_house import WebClient

from switchboard import server
from switchboard.settings import Settings
from telephony.errors import UnreachableError
from telephony.simulators.events import Said
from telephony.simulators.phone import Phone
from workflows.events import Fired, Heard, Memo, Opened, decode
from workflows.registry import Registry
from workflows.run import Run

SERVERS = 3
CHATTERS = 5
CALLERS = 4
WORDS = 6
"""Inputs of a session at most, its opening aside."""

REMINDER_SECONDS = 3
PATIENCE_SECONDS = 90.0
"""How long one input may take until it is acknowledged: far more than any outage lasts. A session that takes longer is stuck."""

ACCOUNT, TOKEN = "AC" + "1" * 32, "the token of the chaos"


def serve(settings: dict[str, Any], _: object, __: float, told: Any) -> None:
    """What each process runs: `switchboard serve`, but for the command line."""
    server.run(Settings.model_validate(settings, context=Registry()), told.send)


@dataclass(slots=True)
class Tally:
    """What the callers know: inputs that were sent, and those that were acknowledged, by session and text; reminders asked for."""

    sent: set[tuple[str, str]] = field(default_factory=set)
    acknowledged: set[tuple[str, str]] = field(default_factory=set)
    reminders: set[tuple[str, str]] = field(default_factory=set)
    sessions: int = 0


class Client(WebClient):
    """One whose answers may be none of the API's."""

    async def request(self, method: str, path: str, **more: Any) -> Any:
        try:
            return await super().request(method, path, **more)
        except ValueError as error:
            raise AssertionError(f"{method} {path}: no JSON: {error.doc!r}") from error


class Campaign:
    """One store, some servers, callers, and so many kills."""

    def __init__(self, folder: Path, seed: int, kills: int) -> None:
        self.folder = folder
        self.rng = Random(seed)
        self.kills = kills
        self.killed: Counter[str] = Counter()
        self.tally = Tally()
        self.over = False
        self.asked = 0
        self.thoughts = 0
        self.slowest = 0.0

    async def play(self) -> None:
        """Let it all happen, and check."""
        valkey = Valkey("--maxmemory-policy", "noeviction", persistent=True)
        try:
            await asyncio.to_thread(valkey.start)
            async with model_server() as model, Balancer() as balancer:
                settings = self._settings(valkey.url, model.url)
                async with asyncio.TaskGroup() as tasks:
                    self.balancer = balancer
                    self._ended = asyncio.Event()
                    self._servers: list[Doomed | None] = [None] * SERVERS
                    keepers = [tasks.create_task(self._keep(number, settings)) for number in range(SERVERS)]
                    await eventually(lambda: len(balancer.addresses) == SERVERS, 120)
                    crowd = [tasks.create_task(self._chatter(number)) for number in range(CHATTERS)]
                    crowd += [tasks.create_task(self._caller(number)) for number in range(CALLERS)]
                    await self._kill(valkey)
                    self.over = True
                    await asyncio.gather(*crowd)
                    with redis.Redis.from_url(valkey.url) as store:
                        await self._rest(store)
                        self.asked = model.requests
                        self.check({key.decode().split(":h:")[1]: store.lrange(key, 0, -1) for key in store.scan_iter("sb:*:h:*")})
                    self._ended.set()
                    await asyncio.gather(*keepers)
        finally:
            valkey.remove()

    async def _rest(self, store: redis.Redis) -> None:
        """Wait until nothing is owed any more."""
        try:
            await eventually(lambda: not any(store.scan_iter("sb:*:pending")) and not any(store.scan_iter("sb:*:due")), PATIENCE_SECONDS)
        except TimeoutError:
            stuck = {key: store.zrange(key, 0, -1) for kind in ("pending", "due") for key in store.scan_iter(f"sb:*:{kind}")}
            raise AssertionError(f"stuck: {stuck}") from None

    def _settings(self, store: str, model: str) -> dict[str, Any]:
        return {
            "lines": {"web:*": "assistant", "phone:*": "support.conversations:echo"}, "server": {"port": 0}, "store": {"url": store},
            "openai_base_url": model, "data": str(self.folder), "sessions": {"idle": "1s"}, "account_sid": ACCOUNT, "auth_token": TOKEN,
        }  # fmt: skip

    # -- who is killed -------------------------------------------------------------------------------------------------------------------

    async def _keep(self, number: int, settings: dict[str, Any]) -> None:
        """See to it that there is a server of this number: another one starts where one was killed, or found no store."""
        while not self._ended.is_set():
            async with doomed(settings, self.folder / "moments", serve=serve) as process:
                try:
                    await process.listening()
                except EOFError:
                    continue
                self._servers[number] = process
                address = process.url.removeprefix("http://")
                self.balancer.addresses.append(address)
                while process.alive and not self._ended.is_set():  # noqa: ASYNC110 - nobody tells of a death
                    await asyncio.sleep(0.02)
                self._servers[number] = None
                self.balancer.addresses.remove(address)

    async def _kill(self, valkey: Valkey) -> None:
        """Kill servers, one or two at once, and in one of four cases the store, which is away for so long that leases may run out.

        Never before all are there again: else a slow machine has nobody who lives for long enough to get anywhere, and sessions that are
        taken over again and again are left alone, as they have to be.
        """
        rng = self.rng
        while self.killed.total() < self.kills:
            await asyncio.sleep(rng.uniform(0.1, 1.5))
            await eventually(lambda: len(self.balancer.addresses) == SERVERS, 120)
            if rng.random() < 0.75:
                for number in rng.sample(range(SERVERS), rng.choice([1, 1, 2])):
                    if (process := self._servers[number]) is not None:
                        process.kill()
                        self.killed["servers"] += 1
            else:
                valkey.kill()
                self.killed["stores"] += 1
                await asyncio.sleep(rng.choice([0.0, 0.5, 6.0]))
                await asyncio.to_thread(valkey.start)

    # -- who talks -----------------------------------------------------------------------------------------------------------------------

    async def _chatter(self, number: int) -> None:
        """One chat after the other: each message gets its answer, and those of the last one the same when it is sent again."""
        rng = Random(f"{number} {self.rng.random()}")
        chat = 0
        while not self.over:
            chat += 1
            name = f"chat-{number}-{chat}"
            id_ = (await self._insist(lambda web, name=name: web.create(key=f"a key that nobody guesses {name}")))["id"]
            for word in range(rng.randint(2, WORDS)):
                key = f"{name}-{word}"
                reminds = rng.random() < 0.3
                text = f"remind me to water {key} in {REMINDER_SECONDS} seconds" if reminds else f"status of {key}"
                self.tally.sent.add((f"web:{id_}", text))
                say = lambda web, id_=id_, text=text, key=key: web.say(id_, text, key=key, wait=20)  # noqa: E731
                answer = await self._insist(say)
                self.tally.acknowledged.add((f"web:{id_}", text))
                if reminds:
                    self.tally.reminders.add((f"web:{id_}", key))
                if rng.random() < 0.3:
                    assert await self._insist(say) == answer, f"{text}: another answer to the same message"
                await asyncio.sleep(rng.choice([0.0, 0.0, 0.2, 2.0]))
            self.tally.sessions += 1

    async def _insist(self, send: Any) -> Any:
        """Send a request until it is answered, by a connection of its own each time."""
        begun = time.monotonic()
        while True:
            reply = None
            with contextlib.suppress(aiohttp.ClientError, ConnectionError):
                async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(40)) as http:
                    reply = await send(Client(self.balancer.url, http))
            if reply is not None and reply.status in (200, 201):
                self.slowest = max(self.slowest, time.monotonic() - begun)
                return reply.json
            assert reply is None or reply.status in (202, 503), f"{reply.status} {reply.json}"
            assert time.monotonic() < begun + PATIENCE_SECONDS, f"stuck: {reply}"
            await asyncio.sleep(0.1)

    async def _caller(self, number: int) -> None:
        """One call after the other: each word is said again until it is taken."""
        rng = Random(f"{number} {self.rng.random()}")
        count = 0
        while not self.over:
            async with Phone(self.balancer.url, TOKEN, ACCOUNT, "+12025550199", "+15550100", patience=400, speed=1) as phone:
                call = phone.call()
                session = f"phone:{call.sid}"
                await self._step(call.start())
                for _ in range(rng.randint(2, WORDS)):
                    count += 1
                    word = f"word-{number}-{count}"
                    self.tally.sent.add((session, word))
                    begun = time.monotonic()
                    heard: list[str] = []
                    while f"You said {word}." not in heard:
                        assert call.ended is None, f"{session} was hung up: {call.trace}"
                        assert time.monotonic() < begun + PATIENCE_SECONDS, f"{session} is stuck: {heard}"
                        heard += await self._step(call.say(word))
                    self.tally.acknowledged.add((session, word))
                    self.slowest = max(self.slowest, time.monotonic() - begun)
                    await asyncio.sleep(rng.choice([0.0, 0.1, 1.0]))
                await self._step(call.hang_up())
            self.tally.sessions += 1

    async def _step(self, step: Any) -> list[str]:
        with contextlib.suppress(UnreachableError):  # it can be taken again
            return [event.text for event in await step if isinstance(event, Said)]
        return []

    # -- what must hold ------------------------------------------------------------------------------------------------------------------

    def check(self, histories: dict[str, list[bytes]]) -> None:
        """No acknowledged input is lost, none applied twice, nothing waits, and the model was asked once but for those who died."""
        heard: Counter[tuple[str, str]] = Counter()
        notices: Counter[str] = Counter()
        errands: Counter[tuple[str, str]] = Counter()
        for session, elements in histories.items():
            events = [decode(element) for element in elements]
            self._replay(session, events)
            assert isinstance(events[0], Opened)
            self.thoughts += sum(isinstance(event, Memo) and event.name == "think" for event in events)
            for event in events:
                if isinstance(event, Heard) and event.type == "said":
                    heard[session, event.payload["text"]] += 1
                elif isinstance(event, Heard) and event.type == "errand":
                    notices[event.id] += 1
            if events[0].parent is not None:
                assert sum(isinstance(event, Fired) for event in events) == 1, f"{session} did not fire once"
                errands[events[0].parent[0], re.search(r"chat-\d+-\d+-\d+", events[0].args["description"])[0]] += 1
        twice = [each for each, count in heard.items() if count > 1]
        assert not twice, f"applied twice: {twice}"
        lost = self.tally.acknowledged - heard.keys()
        assert not lost, f"acknowledged and lost: {lost}"
        assert heard.keys() <= self.tally.sent, "what nobody said is on record"
        assert errands.keys() == self.tally.reminders, "a reminder was lost, or nobody asked for it"
        assert set(errands.values()) <= {1}, f"started twice: {errands}"
        assert set(notices.values()) <= {1}, f"told twice: {notices}"
        assert len(notices) == len(errands), "a reminder was not told"
        assert self.thoughts <= self.asked <= self.thoughts + self.killed.total(), f"{self.asked} calls for {self.thoughts} answers"

    def _replay(self, session: str, events: list[Any]) -> None:
        run = Run(session, events[0], Registry(), strict=True)
        for event in events[1:]:
            assert event.words == run.words(), session
            run.feed(event)
        run.close()

    def __str__(self) -> str:
        return (
            f"{self.killed['servers']} servers and {self.killed['stores']} stores killed; {self.tally.sessions} sessions, "
            f"{len(self.tally.acknowledged)} inputs acknowledged, {len(self.tally.reminders)} reminders told, "
            f"{self.asked} calls of the model for {self.thoughts} answers; the slowest input took {self.slowest:.1f} s"
        )


async def played(folder: Path, seed: int, kills: int) -> Campaign:
    """Play a campaign; what breaks names the seed, and how to play it again."""
    campaign = Campaign(folder, seed, kills)
    try:
        await campaign.play()
    except BaseException as error:
        again = f"seed {seed}, after {campaign.killed.total()} kills; again with: make chaos SEED={seed} KILLS={kills}"
        raise AssertionError(f"{again}\n{campaign}") from error
    return campaign


def main() -> None:
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else Random().randrange(10**9)
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(f"seed {seed}: {asyncio.run(played(Path(folder), seed, kills))}\n")


if __name__ == "__main__":
    main()
