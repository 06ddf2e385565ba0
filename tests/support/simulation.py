"""Callers, two or three nodes, and everything that can go wrong: the seed decides what, when and how often.

`make simulation SEED=…` plays one seed and tells what happened in it.
"""

import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import msgspec
from support.butler import IMPATIENT, VERBS, butler, task
from support.house import Node, Town, opening
from support.virtual_time import Stuck
from support.witness import WatchedLine, Witness

from handlers.errors import HandlerError, StoreError
from handlers.history import partition_of
from handlers.journal import TAKE_OVERS
from handlers.messages import Collect, Inbound, Message
from handlers.reply import ReplyTo
from workflows import idempotency_key
from workflows.events import AnyEvent, Heard, Left, Opened
from workflows.registry import Registry
from workflows.run import Run
from workflows.turns import Answer, Said

WORKFLOWS = (butler, task)

TROUBLED_SECONDS = 30.0
"""How long everything goes wrong; after that nothing does, and all must come to a good end."""

TROUBLES = ("kill", "down", "clock", "effects", "drain", "freeze")
LOSSES = ("forget", "night")

CALM_SECONDS = 120.0
"""How long that end may take: leases run out, sweeps come round, handlers leave memory."""

DAY_MS = 86_400_000


class WatchedTown(Town):
    """A town whose store is watched."""

    def __init__(self, witness: Witness, *, seed: int, idle: float) -> None:
        super().__init__(WORKFLOWS, seed=seed, idle=idle)
        self.witness = witness
        witness.town = self

    def line(self, name: str) -> WatchedLine:
        return WatchedLine(self.witness, name)


class WatchedReply(ReplyTo[Any]):
    """A reply-to that tells when it is answered."""

    __slots__ = ("_told",)

    def __init__(self, told: Callable[[Any], None]) -> None:
        super().__init__()
        self._told = told

    def answer(self, value: Any) -> None:
        if not self.abandoned:
            self._told(value)
        super().answer(value)


@dataclass
class Caller:
    """One caller: what was said by which id, and what was answered.

    `connection`: the one by which they speak, on a channel where a session outlives them. `reopens`: a word after the end begins anew.
    """

    session: str
    reopens: bool = False
    connection: int | None = None
    daring: bool = False
    inputs: dict[str, Inbound] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)


class Simulation:
    """One seed's world. `run` plays it, and raises what was broken."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        self.lossy = rng.random() < 0.4
        self.daring = not self.lossy and rng.random() < 0.1
        self.witness = Witness(WORKFLOWS, lossy=self.lossy)
        self.town = WatchedTown(self.witness, seed=seed, idle=rng.choice([0.05, 0.5, 5.0]))
        self.world = self.town.world
        self.outside = self.world.process("outside")
        self.seconds = rng.choice([0.3, 1.0] if self.lossy else [0.0, 0.3, 1.0])
        self.callers = [self._caller(number) for number in range(1 if self.daring else rng.randint(1, 2))]
        self._calm = False
        self._talking = len(self.callers)
        self._severity = rng.choice([0.0, 0.01, 0.03, 0.1, 0.2])
        self._slow = rng.choice([0.0, 0.02, 0.1])
        self._boots = 0
        self._ended: dict[Node, list[asyncio.Future[None]]] = {}
        self.nodes = [self._node() for _ in range(rng.choice([2, 3]))]

    def _caller(self, number: int) -> Caller:
        style = "plain" if self.daring else self.rng.choice(["plain", "plain", "reopens", "connected"])
        return Caller(
            f"web:{number}",
            reopens=style != "plain",
            connection=1 if style == "connected" else None,
            daring=self.daring and not number,
        )

    def _node(self) -> Node:
        """A process begins."""
        self._boots += 1
        holder: list[Node] = []
        node = self.town.node(
            f"n.{self._boots}", bodies={"consult": partial(self._consult, holder), "explode": partial(self._explode, holder)}
        )
        holder.append(node)
        self._ended[node] = []
        node.line.delay, node.line.mishap, node.line.late = self._delay, self._mishap, lambda: self.rng.choice([0.05, 0.5, 8.0])
        return node

    # -- effects ---------------------------------------------------------------------------------------------------------------------------

    async def _consult(self, holder: list[Node], word: str) -> int:
        number = self.witness.began(idempotency_key.get(), word, holder[0])
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.witness.calls[number].running = False
        return number

    async def _explode(self, holder: list[Node], word: str) -> int:
        self.witness.began(idempotency_key.get(), word, holder[0])
        self._kill(holder[0])
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    # -- troubles --------------------------------------------------------------------------------------------------------------------------

    def _delay(self) -> float:
        if self._calm or self.rng.random() < 0.5:
            return 0.0
        return self.rng.random() * (self.rng.choice([0.5, 8.0]) if self.rng.random() < self._slow else 0.005)

    def _mishap(self) -> Any:
        if self._calm or self.rng.random() >= self._severity:
            return ""
        return self.rng.choice(["call lost", "reply lost", "late"])

    def _kill(self, node: Node) -> None:
        """A process ends in the middle of whatever it does, and another one begins in its place some time."""
        if not node.dead:
            node.kill()
            for waiting in self._ended.pop(node):
                _resolve(waiting)
            self.outside.call(self.outside.call_later, 0.0 if self._calm else self.rng.uniform(0.0, 3.0), self._replace, node)

    def _replace(self, node: Node) -> None:
        self.nodes[self.nodes.index(node)] = self._node()

    async def _troubles(self) -> None:
        kinds = [*TROUBLES, *(LOSSES if self.lossy else ())]
        kinds = self.rng.sample(kinds, self.rng.randint(1, len(kinds)))  # a few at a time find more than always all
        if self.lossy:
            kinds += ["failover", "failover"]
        while self.world.time < TROUBLED_SECONDS and self._talking:
            await asyncio.sleep(self.rng.uniform(0.0, 1.0 if self.lossy else 2.0))
            await self._trouble(self.rng.choice(kinds), self.rng.choice(self.nodes))
        self._calm = True
        self.seconds = 0.1
        if not self.daring:
            self._absolve()

    def _absolve(self) -> None:
        """Somebody looks at the sessions that were taken over again and again by bad luck, and lets them go on."""
        for index in self.town.store.partitions.values():
            index.owner.update({session: (owner, 0) for session, (owner, _) in index.owner.items()})

    async def _trouble(self, kind: str, node: Node) -> None:
        rng = self.rng
        self.witness.tell(node.name, f"TROUBLE: {kind}")
        match kind:
            case "kill":
                self._kill(node)
            case "down":
                node.line.down = True
                await asyncio.sleep(rng.choice([0.1, 1.0, 7.0]))
                node.line.down = False
            case "clock":
                self.world.skew += rng.uniform(-2.0, 4.0)
            case "effects":
                self.seconds = rng.choice([0.0, 0.3, 1.0, 4.0])
            case "drain":
                if not node.dead:
                    node.process.call(node.board.stop)
                await asyncio.sleep(rng.uniform(0.0, 2.0))
                self._kill(node)
            case "freeze":
                self.world.freeze(node.process)
                await asyncio.sleep(rng.choice([0.5, 3.0, 9.0]))
                self.world.thaw(node.process)
            case "failover":
                backup = self.town.backup()
                await asyncio.sleep(rng.choice([0.02, 0.1, 0.5, 3.0]))
                self._fail_over(backup)
                caller = rng.choice(self.callers)
                if caller.inputs:  # who is told now what was lost?
                    await self._try(caller, caller.inputs[list(caller.inputs)[-1]], 1.0)
            case "forget":
                node.process.spawn(_forget(node, rng.choice(self.callers).session))
            case "night":
                for each in list(self.nodes):
                    self._kill(each)
                self.world.skew += 31 * DAY_MS / 1000
                for session in self.town.sessions():
                    self.witness.look(session)

    def _fail_over(self, backup: Any) -> None:
        """The store comes back as it was a while ago, all of it or one partition."""
        sessions = self.rng.choice([[], self.rng.sample(sorted(self.town.sessions()), 1) if self.town.sessions() else []])
        touched = {partition_of(session) for session in sessions}
        known = {*self.town.sessions(), *backup.histories}
        self.town.fail_over(backup, *sessions)
        for session in sorted(known):
            if not touched or partition_of(session) in touched:
                self.witness.lost(session)

    # -- callers ---------------------------------------------------------------------------------------------------------------------------

    async def _call(self, caller: Caller) -> None:
        rng = self.rng
        await asyncio.sleep(rng.random())
        await self._say(caller, "open", "")
        for number in range(rng.randint(2, 9)):
            id_ = str(number)
            await self._order(caller, id_)
            if rng.random() < (0.6 if self.lossy else 0.3):
                await self._repeat(caller, rng.choice([id_, *caller.inputs] if rng.random() < 0.5 else [id_]))
            await asyncio.sleep(rng.choice([0.0, 0.0, 0.2, 2.0]))
        if caller.daring:
            await self._dare(caller)
        if rng.random() < 0.3:
            await self._leave(caller)
        else:
            await self._say(caller, "bye", "bye")
        self._talking -= 1

    async def _order(self, caller: Caller, id_: str) -> None:
        """Give an order, and hear what is said to it, or have no patience."""
        rng = self.rng
        reconnects = caller.connection is not None and rng.random() < 0.3
        if reconnects:
            if rng.random() < 0.3:
                await self._leave(caller)
            caller.connection += 1
        elif caller.reopens and rng.random() < 0.1:
            await self._say(caller, id_, "bye")
            return
        verb = rng.choice(("look", "nap", "wait", "burn") if self.daring else VERBS + IMPATIENT)
        what = rng.choice(["0.2", "3.0"]) if verb in ("nap", "doze") else rng.choice(["cat", "ox"])
        await self._say(caller, id_, f"{verb} {what}")
        if reconnects and rng.random() < 0.7:
            await self._insist(caller, self._leaving(caller, caller.connection - 1))  # the end of the old connection is late
        if rng.random() < 0.7:
            await self._listen(caller, id_)

    async def _say(self, caller: Caller, id_: str, text: str) -> None:
        payload: dict[str, Any] = {"text": text} if text else {}
        facts = {}
        if caller.connection is not None:
            facts["via"] = caller.connection
            payload |= facts if text else {}
        begin = opening(butler, facts=facts) if caller.reopens or not text else None
        type_ = "said" if text else ""
        caller.inputs[id_] = Inbound(caller.session, id_, type_, payload, begin, fresh=not text, reopens=caller.reopens and bool(text))
        caller.answers[id_] = await self._insist(caller, caller.inputs[id_])

    def _leaving(self, caller: Caller, connection: int | None) -> Inbound:
        via = {} if connection is None else {"via": connection}
        return Inbound(caller.session, f"left {connection or ''}", "left", {"reason": "hangup", **via})

    async def _leave(self, caller: Caller) -> None:
        await self._insist(caller, self._leaving(caller, caller.connection))

    async def _repeat(self, caller: Caller, id_: str) -> None:
        """The channel delivers once more what was acknowledged long ago."""
        await self._insist(caller, caller.inputs[id_])

    async def _dare(self, caller: Caller) -> None:
        """A deed that kills whoever does it; at last the session is left alone, until another word takes it away from that."""
        await self._say(caller, "dare", "dare")
        index = self.town.store.partitions[partition_of(caller.session)]
        while index.owner.get(caller.session, ("", 0))[1] <= TAKE_OVERS:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(1.0)
        await asyncio.sleep(20.0)
        if not any(node.house.counters["left_alone"] for node in self.town.nodes):
            self.witness.blame(caller.session, "it is left alone, and nobody is told")
        await self._say(caller, "undared", "hello")

    async def _repeat_all(self) -> None:
        """At the end, every channel delivers everything once more."""
        for caller in self.callers:
            for id_ in caller.inputs:
                await self._repeat(caller, id_)

    async def _listen(self, caller: Caller, id_: str) -> None:
        """Hear the rest of a turn."""
        offset = len(caller.answers[id_].said)
        while not caller.answers[id_].ended:
            answer = await self._reach(lambda reply, offset=offset: Collect(caller.session, id_, offset, reply), lambda answer: None, 10.0)
            if answer is not None and (answer.prompt is not None or answer.ended or answer.state in ("handled", "failed")):
                return
            offset += len(answer.said) if answer is not None else 0

    async def _insist(self, caller: Caller, inbound: Inbound) -> Answer:
        """Bring an input to some node, again and again until it is acknowledged; sometimes to two at once."""
        while True:
            if self.rng.random() < 0.2:
                self._send(self.rng.choice(self.nodes), *self._post(caller, inbound), 10.0)
            answer = await self._try(caller, inbound, self.rng.choice([0.5, 10.0, None, None]))
            if answer is not None:
                return answer
            await asyncio.sleep(self.rng.uniform(0.0, 0.5))

    async def _try(self, caller: Caller, inbound: Inbound, patience: float | None) -> Answer | None:
        """Bring an input to some node, once."""
        return await self._reach(*self._post(caller, inbound), patience)

    def _post(self, caller: Caller, inbound: Inbound) -> tuple[Callable[[ReplyTo[Any]], Message], Callable[[Answer], None]]:
        """What is sent, and who is told of the answer."""
        lives = self.witness.lives[caller.session]
        return (
            lambda reply: msgspec.structs.replace(inbound, reply_to=reply),
            lambda answer: self.witness.answered(caller.session, inbound.id, answer, lives),
        )

    async def _reach(self, message: Any, told: Any, patience: float | None) -> Any:
        """One attempt at one node; None if nothing came of it."""
        node = self.rng.choice(self.nodes)
        endpoint = self._send(node, message, told, patience)
        if endpoint is None:
            await asyncio.sleep(0.05)
            return None
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        endpoint.add_done_callback(lambda _: _resolve(done))
        self._ended[node].append(done)
        late = None if patience is None else self.outside.call_later(patience + 1.0, _resolve, done)
        await done
        if late is not None:
            late.cancel()
        if not endpoint.done():
            return None
        try:
            return endpoint.result()
        except (HandlerError, TimeoutError):
            return None

    def _send(self, node: Node, message: Any, told: Any, patience: float | None) -> asyncio.Task[Any] | None:
        if node.dead:
            return None
        reply: WatchedReply = node.process.call(WatchedReply, told)
        node.process.call(node.post, message(reply))
        endpoint = node.process.spawn(reply.get(patience))
        endpoint.add_done_callback(lambda task: task.cancelled() or task.exception())
        return endpoint

    # -- the play --------------------------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Let everything go wrong, let it come to its end, and hold that to the promises."""
        errors = _Errors()
        try:
            self._finish(self._troubles(), *(self._call(caller) for caller in self.callers))
            self.town.wait(CALM_SECONDS)
            self._finish(self._repeat_all())
            self.town.wait(CALM_SECONDS)
            if not self.witness.broken:
                self._check()
            for error in errors.records[:1]:
                self.witness.blame("the log", error)
        finally:
            errors.close()
            self.world.close()
        if self.world.errors:
            self.witness.blame("the nodes", f"raised {self.world.errors}")

    def _finish(self, *plays: Any) -> None:
        tasks = [self.outside.spawn(play) for play in plays]
        broken = self.witness.broken
        for _ in range(10 if self.lossy else 1):
            try:
                self.world.run(lambda: broken or all(task.done() for task in tasks), patience=300.0)
            except Stuck:
                self.town.skip_to_due()  # a slow watch may have to find out what is missing
            else:
                break
        else:
            self.witness.blame("the callers", "wait for an answer that never comes")
        for each in tasks:
            if each.done():
                each.result()

    # -- at rest ---------------------------------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        """Hold what is on record at the end to the promises."""
        self._check_rest()
        written = self.town.written
        for session, events in written.items():
            stored = self.town.events(session)
            if not self.lossy and stored != events[max(i for i, event in enumerate(events) if isinstance(event, Opened)) :]:
                self.witness.blame(session, "what was written is not what is stored")
            if [event.at for event in stored] != sorted(event.at for event in stored):
                self.witness.blame(session, "time went back")
        for caller in self.callers:
            self._check_caller(caller, self.town.events(caller.session) if self.lossy else written[caller.session])
        self._check_calls()

    def _check_rest(self) -> None:
        """Nothing is outstanding, nobody waits, whatever is over may expire."""
        for _ in range(10):  # the slow entries of lost lives come, and are found unwanted
            if self.lossy and self.town.due:
                self.town.skip_to_due()
                self.town.wait(30.0)
        if self.town.pending or self.town.due:
            self.witness.blame("the indexes", f"hold {self.town.pending} and {self.town.due} at rest")
        for node in self.nodes:
            if node.live:
                self.witness.blame(node.name, f"keeps {node.live} sessions in memory that nobody talks to")
        for session, run in self.witness.runs.items():
            if self.town.store.histories[session].until is None and (run.ended or run.opened.parent is None):
                self.witness.blame(session, "it is over and done with, and never expires")
            if run.opened.parent is not None and not run.ended and not self.lossy:
                self.witness.blame(session, "an errand never ends")

    def _check_caller(self, caller: Caller, events: list[AnyEvent]) -> None:
        """Each input was applied once, in one order, and done in that order."""
        heard = [event for event in (events if self.lossy else _fresh(events)) if isinstance(event, Heard) and event.type == "said"]
        ids = [event.id for event in heard]
        for id_, inbound in caller.inputs.items():
            applied = inbound.type and caller.answers[id_].state not in ("ended", "handled") and not self.lossy
            if ids.count(id_) > 1 or (applied and id_ not in ids):
                self.witness.blame(caller.session, f"{id_} was applied {ids.count(id_)} times")
        done, unheard = _replay(caller.session, events)
        wanted = [f"Did {event.payload['text']}." for event in heard if event.id not in unheard]
        left = any(isinstance(event, Left) for event in events)  # who leaves does not hear the end of an order
        if not _is_within(done, wanted) if left else done != (wanted[: len(done)] if self.lossy else wanted):
            self.witness.blame(caller.session, f"it did {done}, and heard {wanted}")

    def _check_calls(self) -> None:
        """A call was made once, and again only after something that allows it."""
        for key, count in Counter(call.key for call in self.witness.calls).items():
            session = key.rsplit("/", 2)[0]
            if count > 1 + self.witness.upsets[session]:
                self.witness.blame(session, f"{key} was called {count} times")


def _resolve(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


async def _forget(node: Node, session: str) -> None:
    with suppress(StoreError):
        await node.line.forget(session)


def _fresh(events: list[AnyEvent]) -> list[AnyEvent]:
    """Without the inputs that a restart queued again."""
    queued: set[str] = set()
    found = []
    for event in events:
        if isinstance(event, Opened):
            queued = {each.id for each in event.carried if each.state == "queued"}
        if isinstance(event, Heard | Left) and event.id in queued:
            queued.discard(event.id)
        else:
            found.append(event)
    return found


def _replay(session: str, events: list[AnyEvent]) -> tuple[list[str], set[str]]:
    """What was done, by a strict replay of all generations, and the inputs that were not taken up when one ended."""
    registry = Registry(WORKFLOWS)
    said: list[Said] = []
    unheard: set[str] = set()
    run: Run | None = None
    for event in (*events, None):
        if run is not None and (event is None or isinstance(event, Opened)):
            unheard |= {id_ for id_, turn in run.turns.last.items() if run.ended and not turn.consumed}
            run.close()
        if isinstance(event, Opened):
            run = Run(session, event, registry, strict=True)
            said += run.progress.said
        elif event is not None:
            assert run is not None
            run.feed(event)
            said += run.progress.said
    return [output.text for _, _, output in said if output.text.startswith("Did ")], unheard


def _is_within(some: list[str], all_: list[str]) -> bool:
    """Whether all of some are among all, in the same order."""
    rest = iter(all_)
    return all(each in rest for each in some)


class _Errors(logging.Handler):
    """The errors that were logged while a simulation was played; that a session is left alone is none."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []
        self._root = logging.getLogger()
        self._root.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if "is left alone" not in record.getMessage():
            error = record.exc_info[1] if record.exc_info else ""
            self.records.append(f"{record.getMessage()} {error!r}")

    def close(self) -> None:
        self._root.removeHandler(self)
        super().close()


class BrokenPromise(AssertionError):
    """A promise was broken; the text says by which seed, and how to see it again."""


def play(seed: int, tell: Callable[[str], None] | None = None) -> Simulation:
    """Play one seed; `tell` gets what happens in it, line by line. Raises `BrokenPromise`."""
    simulation = Simulation(seed)
    if tell is not None:
        simulation.witness.tell = lambda session, what: tell(f"{simulation.world.time:9.3f} s  {session}: {what}")
    try:
        simulation.run()
    except Exception as error:
        raise BrokenPromise(f"seed {seed}: {error!r}. See it with `make simulation SEED={seed}`.") from error
    if simulation.witness.broken:
        raise BrokenPromise(f"seed {seed}: {simulation.witness.broken[0]}. See it with `make simulation SEED={seed}`.")
    return simulation


def play_all(first: int, count: int) -> None:
    """Play seeds one after the other. Raises `BrokenPromise`."""
    for seed in range(first, first + count):
        play(seed)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    play(int(sys.argv[1]), tell=lambda line: sys.stdout.write(f"{line}\n"))
    sys.stdout.write("All promises hold.\n")
