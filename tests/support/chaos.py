"""Several callers and several nodes in a world where everything goes wrong that can: the seed decides what, when and how often."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from support.house import Node, Town, opening
from support.virtual_time import Stuck
from support.workflows import Outside, chore, look_up, note_down

from handlers.errors import HandlerError
from handlers.messages import Collect, Inbound
from workflows import CallerLeft, ErrandDone, Talk, Words, workflow
from workflows.events import Heard, Left, Memo, Opened
from workflows.registry import Registry
from workflows.run import Run
from workflows.turns import Answer

TROUBLED_SECONDS = 40.0
"""How long everything goes wrong; after that nothing does, and all must come to a good end."""


@workflow(name="butler")
async def butler(talk: Talk, life: int = 1) -> None:
    """Does what it is told, one order after the other; what it says is a function of the orders alone."""
    try:
        while True:
            verb, _, what = (await talk.ask(f"Yes ({life})?", Words())).partition(" ")
            if verb == "look":
                talk.say(f"{what} is {await talk.call(look_up, what)}.")
            elif verb == "nap":
                await talk.sleep(timedelta(seconds=float(what)))
                talk.say(f"Slept {what}.")
            elif verb == "chore":
                await talk.start(chore, what, 0.7, name=what)
                done = await talk.next(ErrandDone)
                talk.say(f"{done.name}: {done.value}.")
            elif verb == "drop":
                errand = await talk.start(chore, what, 50.0, name=what)
                await talk.cancel(errand)
                talk.say(f"Dropped {what}.")
            elif verb == "race":

                async def eye(word: str = what) -> None:
                    await talk.call(look_up, word)

                async def clock() -> None:
                    await talk.sleep(timedelta(seconds=0.4))

                await talk.first(eye(), clock())
                talk.say(f"Raced {what}.")
            elif verb == "burn":
                talk.say("I burn.")
                await talk.restart(butler, life + 1)
            elif verb == "bye":
                talk.say("Bye.")
                return
            else:
                talk.say(f"You said {verb}.")
    except CallerLeft:
        await talk.call(note_down, "left")
        raise


def expected(order: str) -> list[str]:
    """What the butler says upon an order, before it asks for the next one."""
    verb, _, what = order.partition(" ")
    match verb:
        case "look":
            return [f"{what} is {len(what)}."]
        case "nap":
            return [f"Slept {what}."]
        case "chore":
            return [f"{what}: {what} is {len(what)}."]
        case "drop":
            return [f"Dropped {what}."]
        case "race":
            return [f"Raced {what}."]
        case "burn":
            return ["I burn."]
        case "bye":
            return ["Bye."]
        case _:
            return [f"You said {verb}."]


@dataclass
class Caller:
    """One caller and what came of the calls: the orders in the order given, and the answers by id."""

    session: str
    orders: dict[str, str] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    burnt: int = 0
    left: bool = False
    done: bool = False


class Chaos:
    """One seed's world. `run` plays it; `check` holds it to the promises."""

    troubles = ("kill", "kill", "down", "clock", "effects", "nothing")

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.outside = Outside()
        self.outside.seconds = self.rng.choice([0.0, 0.3, 1.0])
        self.town = Town((butler, chore), self.outside.bodies, seed=seed, idle=self.rng.choice([0.05, 0.5, 5.0]))
        self.nodes = [self._node(index) for index in range(self.rng.choice([2, 3]))]
        self.callers = [Caller(f"web:{number}") for number in range(self.rng.randint(1, 3))]
        self.kills = 0
        self._boots = len(self.nodes)
        self._calm = False
        self._severity = self.rng.choice([0.0, 0.01, 0.03, 0.1])
        self._outside_world = self.town.world.process("outside")

    def _node(self, number: int) -> Node:
        node = self.town.node(f"n.{number}")
        node.line.delay = self._delay
        node.line.mishap = self._mishap
        return node

    # -- troubles ----------------------------------------------------------------------------------------------------------------------

    def _delay(self) -> float:
        if self._calm or self.rng.random() < 0.5:
            return 0.0
        return self.rng.random() * (0.5 if self.rng.random() < self._severity else 0.005)

    def _mishap(self) -> Any:
        if self._calm or self.rng.random() >= self._severity:
            return ""
        return self.rng.choice(["call lost", "reply lost", "late"])

    async def _troubles(self) -> None:
        while self.town.world.time < TROUBLED_SECONDS:
            await asyncio.sleep(self.rng.uniform(0.0, 3.0))
            index = self.rng.randrange(len(self.nodes))
            node = self.nodes[index]
            match self.rng.choice(self.troubles):
                case "kill":
                    node.kill()
                    self.kills += 1
                    await asyncio.sleep(self.rng.uniform(0.0, 3.0))
                    self.nodes[index] = self._node(self._boots)
                    self._boots += 1
                case "down":
                    node.line.down = True
                    await asyncio.sleep(self.rng.choice([0.1, 1.0, 7.0]))
                    node.line.down = False
                case "clock":
                    self.town.world.skew += self.rng.uniform(-2.0, 4.0)
                case "effects":
                    self.outside.seconds = self.rng.choice([0.0, 0.3, 1.0, 8.0])
                case "failover":
                    backup = self.town.backup()
                    await asyncio.sleep(self.rng.choice([0.05, 0.5, 3.0]))
                    self.town.fail_over(
                        backup, *self.rng.choice([[], self.rng.sample(self.town.sessions(), 1) if self.town.sessions() else []])
                    )
                case "forget":
                    for caller in self.rng.sample(self.callers, 1):
                        node.process.spawn(_forget(node, caller.session))
                case _:
                    pass
        self._calm = True
        self.outside.seconds = 0.1

    # -- callers -----------------------------------------------------------------------------------------------------------------------

    async def _call(self, caller: Caller) -> None:
        rng = self.rng
        await asyncio.sleep(rng.random())
        await self._say(caller, "open", "")
        for number in range(rng.randint(3, 15)):
            what = rng.choice(["cat", "horse", "ox", "zebra"]) + str(number)
            verb = rng.choice(["hello", "look", "look", "nap", "chore", "chore", "drop", "race", "burn"])
            await self._say(caller, str(number), f"{verb} {rng.choice(['0.2', '3.0']) if verb == 'nap' else what}")
            caller.burnt += verb == "burn"
            if rng.random() < 0.15:
                break
            if rng.random() < 0.8:
                await self._listen(caller, str(number))
            if rng.random() < 0.3:
                await self._repeat(caller, rng.choice(list(caller.orders)))
            await asyncio.sleep(rng.choice([0.0, 0.0, 0.2, 2.0]))
        if rng.random() < 0.3:
            caller.left = True
            await self._insist(caller, lambda reply: Inbound(caller.session, "bye", "left", {"reason": "hangup"}, reply_to=reply))
        else:
            await self._say(caller, "bye", "bye")
        caller.done = True

    async def _say(self, caller: Caller, id_: str, order: str) -> None:
        caller.orders[id_] = order
        caller.answers[id_] = await self._order(caller, id_, order)

    async def _order(self, caller: Caller, id_: str, order: str) -> Answer:
        begin = opening(butler) if not order else None
        type_, payload = ("said", {"text": order}) if order else ("", {})
        return await self._insist(
            caller,
            lambda reply: Inbound(caller.session, id_, type_, payload, begin, not order, reply_to=reply),
            doubles=self.rng.random() < 0.2,
        )

    async def _repeat(self, caller: Caller, id_: str) -> None:
        """The channel delivers once more what was acknowledged long ago."""
        answer = await self._order(caller, id_, caller.orders[id_])
        before = caller.answers[id_]
        assert answer == before or (answer.state == "handled" and caller.burnt), (id_, before, answer)

    async def _repeat_all(self) -> None:
        """At the end, every channel delivers everything once more."""
        for caller in self.callers:
            for id_ in caller.orders:
                await self._repeat(caller, id_)

    async def _listen(self, caller: Caller, id_: str) -> None:
        """Hear the rest of a turn."""
        offset = len(caller.answers[id_].said)
        while not caller.answers[id_].ended:
            answer = await self._insist(caller, lambda reply, offset=offset: Collect(caller.session, id_, offset, reply))
            if answer.prompt is not None or answer.ended or answer.state == "handled":
                return
            offset += len(answer.said)

    async def _insist(self, caller: Caller, message: Any, *, doubles: bool = False) -> Any:
        """Bring it to some node, again and again until it is acknowledged; `doubles`: to both at once."""
        while True:
            node = self.rng.choice(self.nodes)
            if node.dead:
                await asyncio.sleep(0.05)
                continue
            endpoint = node.send(message, self.rng.choice([0.5, 10.0, 10.0]))
            if doubles and not self.nodes[0].dead:
                self.nodes[0].send(message, 10.0)
            while not endpoint.done() and not node.dead:  # noqa: ASYNC110 - the endpoint belongs to another loop, which may die
                await asyncio.sleep(0.01)
            if endpoint.done():
                try:
                    return endpoint.result()
                except (HandlerError, TimeoutError):
                    pass
            await asyncio.sleep(self.rng.uniform(0.0, 0.5))

    # -- the play ----------------------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Let everything go wrong, and then let it come to its end."""
        tasks = [self._outside_world.spawn(self._troubles()), *(self._outside_world.spawn(self._call(caller)) for caller in self.callers)]
        self._finish(tasks)
        for task in tasks:
            task.result()
        self.town.wait(90.0)
        again = self._outside_world.spawn(self._repeat_all())
        self._finish([again])
        again.result()
        self.town.wait(90.0)

    def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        self.town.world.run(lambda: all(task.done() for task in tasks), patience=600.0)

    def check(self) -> None:
        """Hold what is on record, and what was heard, to the promises."""
        written = self.town.written
        for caller in self.callers:
            self._check_caller(caller, written[caller.session])
        self._check_calls(written)
        for session, events in written.items():
            self._check_history(session, events)
            if session.startswith("errand:"):
                assert sum(isinstance(event, Opened) for event in events) == 1, f"{session} was started twice"
        assert self.town.pending == []
        assert self.town.due == {}
        assert sum(node.house.counters["left_alone"] for node in self.town.nodes) == 0

    def _check_caller(self, caller: Caller, events: list[Any]) -> None:
        assert caller.done
        heard = [event for event in fresh(events) if isinstance(event, Heard) and event.type == "said"]
        counts = Counter(event.id for event in heard)
        acknowledged = [id_ for id_, order in caller.orders.items() if order]
        for id_ in acknowledged:
            if caller.answers[id_].state in ("ended", "handled"):
                continue  # it came when the session was over
            assert counts[id_] == 1, f"{caller.session}: {id_} was applied {counts[id_]} times"
        assert sum(isinstance(event, Left) for event in fresh(events)) <= 1
        said = transcript(caller.session, events)
        wanted = [line for event in heard for line in expected(event.payload["text"])]
        spoken = [line for line in said if not line.startswith("Yes (")]
        assert spoken == wanted[: len(spoken)], f"{caller.session}: said {spoken}, wanted {wanted}"
        if not caller.left:
            assert spoken == wanted, f"{caller.session}: said {spoken}, wanted {wanted}"

    def _check_calls(self, written: dict[str, list[Any]]) -> None:
        memos = Counter()
        gens: dict[str, int] = {}
        for session, events in written.items():
            for event in events:
                if isinstance(event, Opened):
                    gens[session] = event.gen
                elif isinstance(event, Memo):
                    memos[f"{session}/{gens[session]}/{event.step}"] += 1
        assert set(memos.values()) <= {1}, memos
        dropped = {order.partition(" ")[2] for caller in self.callers for order in caller.orders.values() if order.startswith("drop ")}
        worked = {order.partition(" ")[2] for caller in self.callers for order in caller.orders.values() if not order.startswith("drop ")}
        assert not (dropped - worked) & set(self.outside.words), "an errand that was called off went on"
        calls = Counter(key for key, _ in self.outside.calls)
        for key, count in calls.items():
            session = key.rsplit("/", 2)[0]
            most = 1 + self.town.takeovers[session]
            assert count <= most, f"{key} was called {count} times in {most} lives"
        assert len(set(self.outside.calls)) == len(calls), "one key stood for two calls"

    def _check_history(self, session: str, events: list[Any]) -> None:
        """One total order, which a strict replay reproduces."""
        last = max(index for index, event in enumerate(events) if isinstance(event, Opened))
        stored = self.town.events(session)
        assert stored == events[last:], f"{session}: what was written is not what is stored"
        times = [event.at for event in stored]
        assert times == sorted(times)


class LossyChaos(Chaos):
    """A store that may come back without its last writes, and people who forget sessions: nothing is lost twice, and nobody is stuck."""

    troubles = (*Chaos.troubles, "failover", "failover", "forget")

    async def _repeat(self, caller: Caller, id_: str) -> None:
        await self._order(caller, id_, caller.orders[id_])

    def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        """A slow watch may have to find out what is missing."""
        for _ in range(10):
            with suppress(Stuck):
                return super()._finish(tasks)
            self.town.skip_to_due()
        return super()._finish(tasks)

    def check(self) -> None:
        """Hold what is on record at the end to what can be promised then."""
        for session in self.town.sessions():
            events = self.town.events(session)
            counts = Counter(event.id for event in events if isinstance(event, Heard | Left))
            assert set(counts.values()) <= {1}, f"{session}: {counts}"
            said = transcript(session, events)
            if not session.startswith("errand:"):
                self._check_transcript(said, events)
        assert self.town.pending == []
        for _ in range(20):  # the slow entries of lost lives come, and are found unwanted
            if self.town.due:
                self.town.skip_to_due()
                self.town.wait(30.0)
        assert self.town.due == {}

    def _check_transcript(self, said: list[str], events: list[Any]) -> None:
        opened = events[0]
        before = sum(len(each.outputs or ()) for each in opened.carried if each.state == "open")
        wanted = [line for event in events if isinstance(event, Heard) and event.type == "said" for line in expected(event.payload["text"])]
        spoken = [line for line in said if not line.startswith("Yes (")]
        assert before >= 0
        assert spoken == wanted[: len(spoken)], f"said {spoken}, wanted {wanted}"


async def _forget(node: Node, session: str) -> None:
    with suppress(HandlerError):
        await node.line.forget(session)


def fresh(events: list[Any]) -> list[Any]:
    """Without the inputs that a restart queued again."""
    queued: set[str] = set()
    found = []
    for event in events:
        if isinstance(event, Opened):
            queued = {each.id for each in event.carried if each.state == "queued"}
        if isinstance(event, Heard | Left) and event.id in queued:
            queued.discard(event.id)
            continue
        found.append(event)
    return found


def transcript(session: str, events: list[Any]) -> list[str]:
    """All that was said in all generations, by a strict replay."""
    registry = Registry((butler, chore))
    said: list[str] = []
    run: Run | None = None
    for event in events:
        if isinstance(event, Opened):
            if run is not None:
                run.close()
            run = Run(session, event, registry, strict=True)
            said += [output.text for _, _, output in run.progress.said]
        else:
            assert run is not None
            said += [output.text for _, _, output in run.feed(event).said]
    if run is not None:
        run.close()
    return said
