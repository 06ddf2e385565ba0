"""How an input gets into a session's history: appended, with an opening before it, or not at all."""

import logging

from handlers.counters import Counters
from handlers.errands import is_start, notice_id
from handlers.errors import BusyError, HandlerError, ReusedKeyError, StoreError
from handlers.house import House
from handlers.journal import TRIES, Journal
from handlers.messages import Inbound, Opening
from handlers.waiters import NO_TURN, Waiters
from handlers.work import Work
from workflows.events import Carried, Heard, Left, Memo, Opened, Prompt
from workflows.run import Run
from workflows.turns import Answer, State

logger = logging.getLogger(__name__)

WORDLESS = ("", "returned")
"""The types of input that open a session without a word: who comes to where nobody was has not come back."""


class Intake:
    """Takes the inputs of one session in. Whoever asked with one is among the `waiters` afterwards, or has been refused."""

    __slots__ = ("_counters", "_house", "_journal", "_waiters", "_work")

    def __init__(self, house: House, journal: Journal, work: Work, waiters: Waiters) -> None:
        self._counters: Counters = house.counters
        self._house = house
        self._journal = journal
        self._work = work
        self._waiters = waiters

    async def take(self, inbound: Inbound) -> None:
        """Bring an input on record, or say why not. Raises `StoreError` when it cannot be told which."""
        journal = self._journal
        if inbound.fresh and journal.state == "unknown":
            journal.assume_absent()
        elif journal.run is None:  # what was absent or broken a while ago need not be so now
            await journal.load()
        for _ in range(TRIES):
            if await self._try(inbound):
                return
            self._counters["conflicts"] += 1
            self._work.prune(journal.run, journal.lives)
        raise StoreError(f"{journal.session} changes faster than an input can be appended ({TRIES} tries); send it again")

    async def _try(self, inbound: Inbound) -> bool:
        """One attempt; False: others were faster, and the journal is fresh."""
        journal = self._journal
        run = journal.run
        opening = inbound.opening if inbound.type != "left" else None
        if run is not None and inbound.id in run.turns:
            return await self._repeat(inbound)
        if run is not None and inbound.key and (why := _objection(run, inbound)) is not None:
            return await self._object(inbound, why)
        if journal.state == "absent":
            if opening is None:
                _refuse(inbound, "handled", ended=True)
                return True
            return await self._open(inbound, opening)
        if run is None or run.ended or run.failure is not None:
            if opening is not None and inbound.reopens:
                return await self._reopen(inbound, opening)
        elif is_start(inbound) or not self._takes(run, inbound):
            return await self._turn_away(inbound)
        else:
            return await self._append(inbound)
        return await self._turn_away(inbound)

    def _takes(self, run: Run, inbound: Inbound) -> bool:
        """Whether it is for this life of the session, and this moment of it.

        No second opening, no end of an old connection, no answer to a question that was passed, no notice that nobody waits for.
        """
        if inbound.type == "left":
            return inbound.payload.get("via") in (None, self._journal.via)
        if inbound.upon is not None and (run.prompt is None or inbound.upon != run.turns.said_last):
            return False
        if inbound.type != "errand":
            return bool(inbound.type)
        known = run.errands.get(str(inbound.payload["errand"]))
        # A notice that came before its start (a failover took that away) would be dropped, and be a repeated one when it is waited for.
        return known is not None and inbound.id == notice_id(known.key)  # else a failover led to another errand at the same step

    # -- on record -------------------------------------------------------------------------------------------------------------------------

    async def _append(self, inbound: Inbound) -> bool:
        journal = self._journal
        event: Left | Heard
        if inbound.type == "errand" and not await self._record_start(inbound):
            return False
        if inbound.type == "left":
            event = journal.event(Left, inbound.id, str(inbound.payload.get("reason", "")))
        else:
            event = journal.event(Heard, inbound.id, inbound.type, inbound.payload)
        return await journal.append(event) and self._taken(inbound)

    async def _record_start(self, inbound: Inbound) -> bool:
        """A notice shows that its errand was started: if that is not on record yet, it comes first. False: look at the input anew.

        Else the errand, once told, might expire, and whoever resumes this session would start it a second time.
        """
        run = self._journal.run
        assert run is not None
        gen, _, id_ = str(inbound.payload["errand"]).partition("/")
        step = run.calls.get(id_)
        if step is None or step.kind != "start" or gen != str(run.opened.gen):
            return True
        return await self._journal.append(self._journal.event(Memo, step.id, step.name, step.hash)) and not run.ended

    async def _open(self, inbound: Inbound, opening: Opening) -> bool:
        words = (inbound.id, inbound.type, inbound.payload) if inbound.type not in WORDLESS else None
        return await self._journal.open(self._opened(opening, inbound.id), words) and self._taken(inbound)

    async def _reopen(self, inbound: Inbound, opening: Opening) -> bool:
        """Begin a new generation where the last one ended, failed or cannot be read (those are kept aside).

        While that has something to send the input waits: with its generation, nobody would know of it any more.
        """
        journal = self._journal
        run, old = journal.run, journal.opened
        if run is not None and run.unsent:
            if journal.left_alone:
                return await self._turn_away(inbound)
            self._waiters.park(inbound)
            return True
        opened = self._opened(
            opening,
            inbound.id,
            after=max(old.gen if old is not None else 0, run.now if run is not None else 0),
            base=(old.base if old is not None else 0) + journal.length,
            carried=_carried(run, self._house.history.now()),
        )
        queued = [Heard(opened.at, 0, 0, inbound.id, inbound.type, inbound.payload)] if inbound.type not in WORDLESS else []
        broken = run is None or run.failure is not None
        return await journal.restart(opened, queued, keep_old=broken) and self._taken(inbound)

    def _opened(self, opening: Opening, id_: str, *, after: int = 0, base: int = 0, carried: tuple[Carried, ...] = ()) -> Opened:
        now = max(self._house.history.now(), after + 1)
        try:
            patches = self._house.registry.get(opening.workflow).patches
        except Exception:  # noqa: BLE001 - an import of the author's may raise anything; the run meets the same and tells it
            patches = ()
        return Opened(
            now,
            0,
            0,
            id_,
            now,
            opening.workflow,
            patches,
            opening.channel,
            opening.line,
            opening.caller,
            opening.locale,
            opening.time_zone,
            self._house.rng.randbytes(8),
            opening.args,
            opening.parent,
            base,
            carried,
            facts=opening.facts,
        )

    def _taken(self, inbound: Inbound) -> bool:
        self._counters["turns"] += 1
        return self._answered(inbound)

    def _answered(self, inbound: Inbound) -> bool:
        """It is on record, as acknowledged: whoever asked with it is told, or waits."""
        run = self._journal.run
        turn = None if run is None else run.turns.last.get(inbound.id)
        if inbound.reply_to is None:
            pass
        elif inbound.stored_suffices:
            _acknowledge(inbound, None if run is None else run.prompt)
        elif run is not None and turn is not None and turn.end is not None:
            inbound.reply_to.answer(run.turns.answer(turn))
        else:
            self._waiters.add(inbound)
        return True

    # -- not on record, or not again -------------------------------------------------------------------------------------------------------

    async def _repeat(self, inbound: Inbound) -> bool:
        """It is on record: its answer is given from a confirmed tail."""
        self._counters["duplicates"] += 1
        if not await self._confirm(inbound):
            return False
        return self._answered(inbound)

    async def _object(self, inbound: Inbound, why: HandlerError) -> bool:
        """It is refused for what is on record, or is not yet: from a confirmed tail only."""
        if not await self._journal.claim():
            return False
        if inbound.reply_to is not None:
            inbound.reply_to.fail(why)
        return True

    async def _turn_away(self, inbound: Inbound) -> bool:
        """It will not be stored, which is said from a confirmed tail only."""
        if self._journal.run is not None and not await self._confirm(inbound):
            return False
        run = self._journal.run
        if is_start(inbound):
            _acknowledge(inbound)
        elif run is None or run.failure is not None:
            _refuse(inbound, "failed", ended=run is None)
        else:
            _refuse(inbound, "ended" if run.ended else "handled", ended=run.ended)
        return True

    async def _confirm(self, inbound: Inbound) -> bool:
        run = self._journal.run
        if run is not None and run.ended and is_start(inbound):
            self._work.ask_for_notice()
        return await self._journal.claim()


def _objection(run: Run, inbound: Inbound) -> HandlerError | None:
    """Why an input with a key is not taken: the key stands for another input, or the line hears one at a time."""
    if any(id_.startswith(inbound.key) for id_ in run.turns.ids):
        return ReusedKeyError(f"{run.session}: this key came with another input before")
    if run.turns.open and run.opened.facts.get("busy") == "reject":
        return BusyError(f"{run.session}: the input before is not answered yet")
    return None


def _carried(run: Run | None, now: int) -> tuple[Carried, ...]:
    """What a reopened session knows of its former life: the ids, so that nothing is applied twice, and the last answers."""
    if run is None:
        return ()
    carried = run.turns.carry(now)
    return tuple(Carried(each.id, each.at, "handled") if each.state == "queued" else each for each in carried)


def _refuse(inbound: Inbound, state: State, *, ended: bool) -> None:
    if inbound.reply_to is not None:
        inbound.reply_to.answer(Answer(NO_TURN, (), state, ended=ended))


def _acknowledge(inbound: Inbound, prompt: Prompt | None = None) -> None:
    if inbound.reply_to is not None:
        inbound.reply_to.answer(Answer(NO_TURN, (), "running", prompt))
