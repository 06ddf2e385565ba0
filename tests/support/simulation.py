"""Callers, two or three nodes, and everything that can go wrong: the seed decides what, when and how often.

`make simulation SEED=…` plays one seed and tells what happened in it; with `PUSHES=1`, in a world where what is said is posted on a wall.
"""

import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

from support import at_rest
from support.butler import WORKFLOWS
from support.callers import Caller, resolve
from support.house import Node, Town
from support.virtual_time import Stuck
from support.wall import WallMessenger
from support.witness import WatchedLine, Witness

from handlers.errors import StoreError
from handlers.history import partition_of
from workflows import idempotency_key

TROUBLED_SECONDS = 30.0
"""How long everything goes wrong; after that nothing does, and all must come to a good end."""

CALM_SECONDS = 120.0
"""How long that end may take: leases run out, sweeps come round, handlers leave memory."""

TROUBLES = ("kill", "down", "clock", "effects", "drain", "freeze")
"""What happens beside lost, late and slow calls of the store,"""

LOSSES = ("forget", "night")
"""and, beside failovers, where the store may lose what it has acknowledged."""

DAY_MS = 86_400_000


class WatchedTown(Town):
    """A town whose store is watched."""

    def __init__(self, witness: Witness, *, seed: int, idle: float) -> None:
        super().__init__(WORKFLOWS, seed=seed, idle=idle)
        self.witness = witness
        witness.town = self

    def line(self, name: str) -> WatchedLine:
        return WatchedLine(self.witness, name)


class Simulation:
    """One seed's world. `run` plays it, and raises what was broken."""

    def __init__(self, seed: int, *, pushes: bool = False) -> None:
        self.rng = rng = Random(seed)
        self.pushes = pushes
        self.lossy = rng.random() < 0.4
        self.daring = not self.lossy and rng.random() < 0.1
        self.witness = Witness(WORKFLOWS, lossy=self.lossy)
        self.town = WatchedTown(self.witness, seed=seed, idle=rng.choice([0.05, 0.5, 5.0]))
        self.world = self.town.world
        self.outside = self.world.process("outside")
        self.seconds = rng.choice([0.3, 1.0] if self.lossy else [0.0, 0.3, 1.0])
        self.callers = [self._caller(number) for number in range(1 if self.daring else rng.randint(1, 2))]
        self._calm = False
        self.talking = len(self.callers)
        self._severity = rng.choice([0.0, 0.01, 0.03, 0.1, 0.2])
        self._slow = rng.choice([0.0, 0.02, 0.1])
        self._boots = 0
        self.waiting: dict[Node, list[asyncio.Future[None]]] = {}
        self.nodes = [self._node() for _ in range(rng.choice([2, 3]))]

    def _caller(self, number: int) -> Caller:
        style = "plain" if self.daring else self.rng.choice(["plain", "plain", "reopens", "connected"])
        return Caller(
            self,
            f"web:{number}",
            reopens=style != "plain",
            connection=1 if style == "connected" else None,
            daring=self.daring and not number,
            pushes=self.pushes,
        )

    def _node(self) -> Node:
        """A process begins."""
        self._boots += 1
        holder: list[Node] = []
        messengers = {"web": self._messenger(f"n.{self._boots}")} if self.pushes else {}
        node = self.town.node(
            f"n.{self._boots}",
            bodies={"consult": partial(self._consult, holder), "explode": partial(self._explode, holder)},
            messengers=messengers,
        )
        holder.append(node)
        self.waiting[node] = []
        node.line.delay, node.line.mishap, node.line.late = self._delay, self._mishap, lambda: self.rng.choice([0.05, 0.5, 8.0])
        return node

    def _messenger(self, name: str) -> WallMessenger:
        """A process's way to where things are posted; that has its own troubles."""
        messenger = WallMessenger(self.witness.posts.wall, self.world, name)
        messenger.delay, messenger.mishap, messenger.busy = self._delay, self._mishap_at_wall, self._busy
        messenger.begin = partial(self.witness.posts.leave, name)
        return messenger

    def _mishap_at_wall(self) -> Any:
        if self._calm or self.rng.random() >= self._severity:
            return ""
        return self.rng.choice(["call lost", "reply lost"])

    def _busy(self) -> float:
        return 0.0 if self._calm or self.rng.random() < 0.8 else self.rng.choice([0.3, 2.0, 9.0])

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
            for waiting in self.waiting.pop(node):
                resolve(waiting)
            self.outside.call(self.outside.call_later, 0.0 if self._calm else self.rng.uniform(0.0, 3.0), self._replace, node)

    def _replace(self, node: Node) -> None:
        self.nodes[self.nodes.index(node)] = self._node()

    async def _troubles(self) -> None:
        kinds = [*TROUBLES, *(LOSSES if self.lossy else ())]
        kinds = self.rng.sample(kinds, self.rng.randint(1, len(kinds)))  # a few at a time find more than always all
        if self.lossy:
            kinds += ["failover", "failover"]
        while self.world.time < TROUBLED_SECONDS and self.talking:
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
                self.witness.posts.clock_was_set = True
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
                self.witness.posts.thawed[node.name] = self.world.time
            case "failover":
                backup = self.town.backup()
                await asyncio.sleep(rng.choice([0.02, 0.1, 0.5, 3.0]))
                self._fail_over(backup)
                caller = rng.choice(self.callers)
                if caller.inputs:  # who is told now what was lost?
                    await caller.try_once(caller.inputs[list(caller.inputs)[-1]], 1.0)
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

    # -- the play --------------------------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Let everything go wrong, let it come to its end, and hold that to the promises."""
        errors = _Errors()
        try:
            self._finish(self._troubles(), *(caller.call() for caller in self.callers))
            self.town.wait(CALM_SECONDS)
            self._finish(self._repeat_all())
            self.town.wait(CALM_SECONDS)
            if not self.witness.broken:
                at_rest.check(self)
            for error in errors.records[:1]:
                self.witness.blame("the log", error)
        finally:
            errors.close()
            self.world.close()
        if self.world.errors:
            self.witness.blame("the nodes", f"raised {self.world.errors}")

    async def _repeat_all(self) -> None:
        """At the end, every channel delivers everything once more."""
        for caller in self.callers:
            for id_ in caller.inputs:
                await caller.repeat(id_)

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


async def _forget(node: Node, session: str) -> None:
    with suppress(StoreError):
        await node.line.forget(session)


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


def play(seed: int, tell: Callable[[str], None] | None = None, *, pushes: bool = False) -> Simulation:
    """Play one seed; `pushes`: what is said is posted. `tell` gets what happens in it, line by line. Raises `BrokenPromise`."""
    simulation = Simulation(seed, pushes=pushes)
    how = f"`make simulation SEED={seed}{' PUSHES=1' if pushes else ''}`"
    if tell is not None:
        simulation.witness.tell = lambda session, what: tell(f"{simulation.world.time:9.3f} s  {session}: {what}")
    try:
        simulation.run()
    except Exception as error:
        raise BrokenPromise(f"seed {seed}: {error!r}. See it with {how}.") from error
    if simulation.witness.broken:
        raise BrokenPromise(f"seed {seed}: {simulation.witness.broken[0]}. See it with {how}.")
    return simulation


def play_all(first: int, count: int, *, pushes: bool = False) -> None:
    """Play seeds one after the other. Raises `BrokenPromise`."""
    for seed in range(first, first + count):
        play(seed, pushes=pushes)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    play(int(sys.argv[1]), tell=lambda line: sys.stdout.write(f"{line}\n"), pushes=len(sys.argv) > 2)
    sys.stdout.write("All promises hold.\n")
