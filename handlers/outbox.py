"""What one session has to send, and the one call of its channel's messenger that is under way.

Things are sent in the order in which they were said; how that stays true when nodes die or lose the lead is rule 12 of `docs/format.md`.
Placeholders are no part of it and nowhere on record: who takes a session over looks for what may stand there.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from zlib import crc32

import msgspec

from handlers.actors import AsyncioActor
from handlers.deliveries import Delivery, Expected, Messenger, bounded
from handlers.effects import Emit
from handlers.history import LEASE_MS
from handlers.house import House
from handlers.messages import Free, Posted
from handlers.placeholders import Placeholder, Placeholders, expected_for, place_of, worked_on
from workflows.outgoing import APOLOGY, Unsent
from workflows.run import Run

logger = logging.getLogger(__name__)

AGAIN_SECONDS = (0.5, 30.0)
"""How long until something is posted again that a messenger has failed at: at first, and at most."""

FREE = Free()

_encode = msgspec.msgpack.Encoder().encode


class Outbox:
    """The deliveries and placeholders of one handler, in a session whose channel pushes.

    Attributes:
        suspicious: another node, or a former life of this one, has led before us, and may have left placeholders.

    `_led_from`: the first event of the generation (by index) from which on we have led without a break. `_until`: when our lease runs
    out if it is not renewed, in seconds of the loop's clock; None: we do not lead. `_posting`: the key of what is being posted.
    """

    __slots__ = ("_apologised", "_house", "_led_from", "_placeholders", "_posting", "_reported", "_task", "_timer", "_until", "suspicious")

    def __init__(self, house: House) -> None:
        self._house = house
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._posting = ""
        self._led_from = 0
        self._until: float | None = None
        self._placeholders = Placeholders(house.messengers)
        self._reported = False
        self._apologised = ""
        self.suspicious = False

    def __bool__(self) -> bool:
        """Whether something is under way."""
        return self._task is not None

    # -- who leads -------------------------------------------------------------------------------------------------------------------------

    def lead(self, asked_at: float, since: int, *, sure: bool, taken_over: bool) -> None:
        """See `handlers.journal.Needs`."""
        if not sure or self._until is None or self.in_doubt:
            self.step_down()
            self._led_from = since
            self.suspicious = self.suspicious or taken_over
        self._led_from = min(self._led_from, since)  # a new generation is all ours
        self._until = asked_at + LEASE_MS / 1000

    def step_down(self) -> None:
        """We do not lead, or may not have led for a while: nothing more is posted."""
        self._until = None
        self.stop()
        self._placeholders.doubt()

    @property
    def in_doubt(self) -> bool:
        """Whether the lease that was ours has run out, as far as we know."""
        return self._until is not None and asyncio.get_running_loop().time() >= self._until

    # -- what there is to do ---------------------------------------------------------------------------------------------------------------

    def owes(self, run: Run) -> bool:
        """Whether something has to be posted, or a placeholder to go."""
        if self.suspicious:
            self.suspicious = False
            self._placeholders.look_back(run)
        return bool(run.unsent) or self._placeholders.in_vain(run) is not None

    def foresee(self, run: Run) -> None:
        """An event is about to be fed, or another generation to begin."""
        if self._until is None and (run.calls or run.restart is not None or run.unsent or run.ended):
            self._placeholders.look_back(run)  # somebody leads, or has led; it may be us soon
        self._placeholders.foresee(run)

    def start(self, run: Run, handler: AsyncioActor, held: set[str]) -> None:
        """Begin what is next, if we lead and nothing is under way; `held` are the keys of the posts whose receipts wait to be recorded."""
        first = run.unsent[0] if run.unsent else None
        key = "" if first is None else key_of(run, first)
        if self._posting not in ("", key):
            self.stop()  # another node has recorded its receipt
        if self._task is not None or self._until is None or not (first is not None or run.calls or self._placeholders):
            return
        messenger = self._house.messengers.get(run.opened.channel)
        if messenger is None:
            if first is not None:
                self._report(run)
        elif (vain := self._placeholders.in_vain(run)) is not None:
            self._begin("", self._give_up(messenger, vain, handler), handler)
        elif first is not None:
            if key not in held:
                self._begin(key, self._post(messenger, run, first, handler), handler)
        elif (turn := worked_on(run)) is not None:
            expected = expected_for(run, turn)
            if not self._placeholders.suspect(expected).ours:
                look = turn.number - run.opened.base < self._led_from
                self._begin("", self._expect(messenger, expected, handler, look=look), handler)

    def apologise(self, run: Run, handler: AsyncioActor) -> None:
        """The session is left alone: nobody works on its turn any more, and whoever waits for it is told so, once."""
        turn, messenger = worked_on(run), self._house.messengers.get(run.opened.channel)
        if turn is None or messenger is None or self._task is not None or self._until is None or self._apologised == turn.id:
            return
        self._apologised = turn.id
        self._begin("", self._give_up(messenger, Placeholder(expected_for(run, turn), ours=False), handler, failed=True), handler)

    def posted(self, posted: Posted) -> None:
        """Something was posted: it stands where the placeholder of the turn that it answers stood."""
        if self._posting == posted.key:
            self.stop()
        self._placeholders.replace(posted.turn)

    def forget(self) -> None:
        """Nothing is outstanding any more, or it is another node's business."""
        self.stop()
        self._placeholders.clear()

    def stop(self) -> None:
        """Whatever is under way is not to go on."""
        if self._task is not None:
            self._task.cancel()
        self._task, self._posting = None, ""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def speaking(self, run: Run, begin: Callable[[], Emit]) -> Callable[[], Emit]:
        """How an effect of the run emits its words: as `begin` says, and to where the placeholder of its turn stands."""
        turn, messenger = worked_on(run), self._house.messengers.get(run.opened.channel)
        if turn is None or messenger is None:
            return begin
        expected = expected_for(run, turn)

        def begin_both() -> Emit:
            emit, said = begin(), ""

            def speak(words: str) -> None:
                nonlocal said
                emit(words)
                said += words
                if self._until is not None and expected in self._placeholders:
                    messenger.speak(expected, said)

            return speak

        return begin_both

    # -- doing it --------------------------------------------------------------------------------------------------------------------------

    def _begin(self, posting: str, work: Coroutine[Any, Any, None], handler: AsyncioActor) -> None:
        self._posting = posting
        self._task = asyncio.create_task(work)
        self._watch(handler)

    def _watch(self, handler: AsyncioActor) -> None:
        """Stop what is under way when the lease runs out, however long the store takes to tell."""
        assert self._until is not None
        if self.in_doubt:
            self.stop()
            handler.deliver(FREE)
        else:
            self._timer = asyncio.get_running_loop().call_at(self._until, self._watch, handler)

    async def _post(self, messenger: Messenger, run: Run, unsent: Unsent, handler: AsyncioActor) -> None:
        """Post an output until that has come to a receipt."""
        delivery = _delivery(run, unsent)
        look = unsent.number[0] - run.opened.base < self._led_from or self._placeholders.is_strange(unsent.turn)
        for attempt in count():
            await self._house.way.clear()
            if self.in_doubt:  # this process has stood still: the timer comes later
                return
            try:
                receipt = await messenger.post(delivery, look=look)
            except Exception:
                words = "a messenger has failed to post %s; it will be asked again"
                logger.exception(words, delivery.key, extra=_about(run, unsent.turn))
                look = True
                await asyncio.sleep(min(AGAIN_SECONDS[0] * 2.0 ** min(attempt, 60), AGAIN_SECONDS[1]))
            else:
                receipt = bounded(receipt) | ({APOLOGY: True} if unsent.apology else {})
                handler.deliver(Posted(delivery.key, unsent.number, unsent.turn if unsent.answers else "", receipt))
                return

    async def _expect(self, messenger: Messenger, expected: Expected, handler: AsyncioActor, *, look: bool) -> None:
        await self._house.way.clear()
        if self.in_doubt:
            return
        with _logged(expected):
            await messenger.expect(expected, look=look)
        self._placeholders.put(expected)
        self._done(handler)

    async def _give_up(self, messenger: Messenger, placeholder: Placeholder, handler: AsyncioActor, *, failed: bool = False) -> None:
        await self._house.way.clear()
        if self.in_doubt:
            return
        with _logged(placeholder.expected):
            await messenger.give_up(placeholder.expected, failed=failed, look=not placeholder.ours)
        self._placeholders.remove(placeholder.expected)
        self._done(handler)

    def _done(self, handler: AsyncioActor) -> None:
        self._task = None
        self.stop()
        handler.deliver(FREE)

    def _report(self, run: Run) -> None:
        if not self._reported:
            self._reported = True
            logger.error(
                "the session has something to send by the channel %s, which is not here or cannot post: nobody sees what is said there. "
                "Install or configure the channel; what waits is sent then (`switchboard doctor` names what was given up meanwhile).",
                run.opened.channel, extra=_about(run, run.unsent[0].turn),
            )  # fmt: skip


@contextmanager
def _logged(expected: Expected) -> Iterator[None]:
    """A placeholder is a nicety: whatever goes wrong with it, the session goes on."""
    try:
        yield
    except Exception:
        logger.exception("a messenger has failed at the placeholder %s", expected.key, extra={"session": expected.place.session})


def _about(run: Run, turn: str) -> dict[str, Any]:
    """What a line of the log about an output says."""
    known = run.turns.last.get(turn)
    return {"session": run.session, "turn": None if known is None else known.number}


def key_of(run: Run, unsent: Unsent) -> str:
    """The key of a delivery: the same words at the same place in the same life of a session."""
    position, ordinal = unsent.number
    return f"{run.session}/{run.opened.gen}/{position}.{ordinal}/{crc32(_encode(unsent.output)):08x}"


def _delivery(run: Run, unsent: Unsent) -> Delivery:
    prompt = unsent.prompt if unsent.prompt == run.prompt else None  # else it has been answered since
    return Delivery(place_of(run), *unsent.number, unsent.output, unsent.turn, unsent.answers, prompt, key_of(run, unsent))
