"""Who calls in a simulation: they give orders, repeat themselves, lose patience, come by another line, hang up, or dare what kills."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from support.butler import IMPATIENT, VERBS, butler
from support.house import Node, opening

from handlers.errors import HandlerError
from handlers.history import partition_of
from handlers.journal import TAKE_OVERS
from handlers.messages import Collect, Inbound, Message
from handlers.reply import ReplyTo
from workflows.outgoing import PUSHES
from workflows.turns import Answer

if TYPE_CHECKING:
    from support.simulation import Simulation


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


class Caller:
    """One caller: what was said by which id, and what was answered.

    `connection`: the one by which they speak, on a channel where a session outlives them. `reopens`: a word after the end begins anew.
    `pushes`: what is said to them is posted.
    """

    def __init__(
        self, play: "Simulation", session: str, *, reopens: bool, connection: int | None, daring: bool, pushes: bool = False
    ) -> None:
        self.play = play
        self.session = session
        self.reopens = reopens
        self.connection = connection
        self.daring = daring
        self.pushes = pushes
        self.inputs: dict[str, Inbound] = {}
        self.answers: dict[str, Answer] = {}

    async def call(self) -> None:
        """Open the session, give orders, and take leave."""
        rng = self.play.rng
        await asyncio.sleep(rng.random())
        await self._say("open", "")
        for number in range(rng.randint(2, 9)):
            id_ = str(number)
            await self._order(id_)
            if rng.random() < (0.6 if self.play.lossy else 0.3):
                await self.repeat(rng.choice([id_, *self.inputs] if rng.random() < 0.5 else [id_]))
            await asyncio.sleep(rng.choice([0.0, 0.0, 0.2, 2.0]))
        if self.daring:
            await self._dare()
        if rng.random() < 0.3:
            await self._leave()
        else:
            await self._say("bye", "bye")
        self.play.talking -= 1

    async def _order(self, id_: str) -> None:
        """Give an order, and hear what is said to it, or have no patience."""
        rng = self.play.rng
        reconnects = self.connection is not None and rng.random() < 0.3
        if reconnects:
            if rng.random() < 0.3:
                await self._leave()
            self.connection += 1
        elif self.reopens and rng.random() < 0.1:
            await self._say(id_, "bye")
            return
        verb = rng.choice(("look", "nap", "wait", "burn") if self.daring else VERBS + IMPATIENT)
        what = rng.choice(["0.2", "3.0"]) if verb in ("nap", "doze") else rng.choice(["cat", "ox"])
        await self._say(id_, f"{verb} {what}")
        if reconnects and rng.random() < 0.7:
            await self._insist(self._leaving(self.connection - 1))  # the end of the old connection is late
        if rng.random() < 0.7:
            await self._listen(id_)

    async def _say(self, id_: str, text: str) -> None:
        """Say something, or open the session without a word."""
        payload: dict[str, Any] = {"text": text} if text else {}
        facts = {}
        if self.connection is not None:
            facts["via"] = self.connection
            payload |= facts if text else {}
        begin = opening(butler, facts=facts | {PUSHES: True} if self.pushes else facts) if self.reopens or not text else None
        type_ = "said" if text else ""
        self.inputs[id_] = Inbound(self.session, id_, type_, payload, begin, fresh=not text, reopens=self.reopens and bool(text))
        self.answers[id_] = await self._insist(self.inputs[id_])

    def _leaving(self, connection: int | None) -> Inbound:
        via = {} if connection is None else {"via": connection}
        return Inbound(self.session, f"left {connection or ''}", "left", {"reason": "hangup", **via})

    async def _leave(self) -> None:
        await self._insist(self._leaving(self.connection))

    async def repeat(self, id_: str) -> None:
        """The channel delivers once more what was acknowledged long ago."""
        await self._insist(self.inputs[id_])

    async def _dare(self) -> None:
        """A deed that kills whoever does it; at last the session is left alone, until another word takes it away from that."""
        await self._say("dare", "dare")
        index = self.play.town.store.partitions[partition_of(self.session)]
        while index.owner.get(self.session, ("", 0))[1] <= TAKE_OVERS:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(1.0)
        await asyncio.sleep(20.0)
        if not any(node.house.counters["left_alone"] for node in self.play.town.nodes):
            self.play.witness.blame(self.session, "it is left alone, and nobody is told")
        await self._say("undared", "hello")

    async def _listen(self, id_: str) -> None:
        """Hear the rest of a turn."""
        offset = len(self.answers[id_].said)
        while not self.answers[id_].ended:
            answer = await self._reach(lambda reply, offset=offset: Collect(self.session, id_, offset, reply), lambda answer: None, 10.0)
            if answer is not None and (answer.prompt is not None or answer.ended or answer.state in ("handled", "failed")):
                return
            offset += len(answer.said) if answer is not None else 0

    async def _insist(self, inbound: Inbound) -> Answer:
        """Bring an input to some node, again and again until it is acknowledged; sometimes to two at once."""
        while True:
            if self.play.rng.random() < 0.2:
                self._send(self.play.rng.choice(self.play.nodes), *self._post(inbound), 10.0)
            answer = await self.try_once(inbound, self.play.rng.choice([0.5, 10.0, None, None]))
            if answer is not None:
                return answer
            await asyncio.sleep(self.play.rng.uniform(0.0, 0.5))

    async def try_once(self, inbound: Inbound, patience: float | None) -> Answer | None:
        """Bring an input to some node, once."""
        return await self._reach(*self._post(inbound), patience)

    def _post(self, inbound: Inbound) -> tuple[Callable[[ReplyTo[Any]], Message], Callable[[Answer], None]]:
        """What is sent, and who is told of the answer."""
        lives = self.play.witness.lives[self.session]
        return (
            lambda reply: msgspec.structs.replace(inbound, reply_to=reply),
            lambda answer: self.play.witness.answered(self.session, inbound.id, answer, lives),
        )

    async def _reach(self, message: Any, told: Any, patience: float | None) -> Any:
        """One attempt at one node; None if nothing came of it."""
        node = self.play.rng.choice(self.play.nodes)
        endpoint = self._send(node, message, told, patience)
        if endpoint is None:
            await asyncio.sleep(0.05)
            return None
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        endpoint.add_done_callback(lambda _: resolve(done))
        self.play.waiting[node].append(done)
        late = None if patience is None else self.play.outside.call_later(patience + 1.0, resolve, done)
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


def resolve(waiting: asyncio.Future[None]) -> None:
    """Wake who waits, unless somebody has done so."""
    if not waiting.done():
        waiting.set_result(None)
