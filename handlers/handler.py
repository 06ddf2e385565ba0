"""The actor that hosts one session.

All appends of a session happen here, one after the other; slow effects run beside, so that a hang-up is heard while a model thinks. The
rules are those of `docs/format.md`: feed on trust, append, and only then show.
"""

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from handlers import errands
from handlers.actors import AsyncioActor
from handlers.alarms import Alarms
from handlers.counters import Counters
from handlers.effects import Effects, Outcome
from handlers.errands import Post
from handlers.errors import GoneError, HandlerError, StoreError
from handlers.history import LEASE_MS, Alarm, History
from handlers.journal import WATCH, Journal
from handlers.messages import (
    Collect,
    Done,
    Due,
    Evict,
    Gone,
    Idle,
    Inbound,
    Message,
    Notified,
    Opening,
    Resume,
    Status,
    Tick,
)
from handlers.reply import ReplyTo
from handlers.waiters import NO_TURN, Waiters
from workflows.events import Fired, Heard, Left, Memo, Opened
from workflows.registry import Registry
from workflows.run import Open, Run
from workflows.steps import CallStep, CancelStep, StartStep, StatusStep
from workflows.turns import Answer, State

logger = logging.getLogger(__name__)

TRIES = 8
"""How often an input is appended anew after others were faster; more than that and the channel is asked to come again."""

TAKE_OVERS = 5
"""Take-overs without progress after which a session is left alone: it may be what kills the process."""

POLL_SECONDS = (0.05, 0.25)
"""How often we look whether another node has finished a turn: at first, and at most."""

AGAIN_SECONDS = 0.4
"""How long a result waits for a store that is down."""

RENEW_SECONDS = LEASE_MS / 3000


@dataclass(slots=True)
class House:
    """What all handlers of a node share.

    `idle`: seconds without a word before a handler leaves memory. `ttl_ms`: how long a history is kept after its last promise.
    """

    history: History
    registry: Registry
    effects: Effects
    post: Post
    alarms: Alarms
    idle: float = 30.0
    ttl_ms: int = 30 * 86_400_000
    rng: Random = field(default_factory=Random)
    counters: Counters = field(default_factory=Counters)


class Handler(AsyncioActor):
    """Hosts one session, for one life in memory (an incarnation)."""

    def __init__(self, session: str, incarnation: int, house: House) -> None:
        super().__init__()
        self.session = session
        self.incarnation = incarnation
        self._house = house
        self._journal = Journal(session, house.history, house.registry, house.rng, house.ttl_ms)
        self._count = 0
        self._waiters = Waiters()
        self._running: dict[str, tuple[Open, int, asyncio.Task[None]]] = {}
        self._held: list[Done] = []
        self._notice: asyncio.Task[None] | None = None
        self._notified = False
        self._left_alone = False
        self._quiet_since = self._loop.time()
        self._poll = POLL_SECONDS[0]
        self._timed: set[tuple[int, str]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def on_start(self) -> None:
        """Begin to be idle."""
        self._rearm(self._house.idle)

    def on_receive(self, message: Any) -> Awaitable[None] | None:
        """Handle one message; whatever needs the store goes on as a coroutine."""
        match message:
            case Tick():
                return self._tick()
            case Evict():
                self._die(None)
                return None
            case Inbound() | Collect() | Status() | Resume() | Due():
                self._count += 1
                self._quiet_since = self._loop.time()
        return self._receive(message)

    def on_death(self, error: BaseException | None, left: list[Any]) -> None:
        """Leave nobody waiting and nothing running."""
        why = GoneError(f"the handler of {self.session} has left memory{f' ({error})' if error else ''}; ask again")
        if self._timer is not None:
            self._timer.cancel()
        for _, _, task in self._running.values():
            task.cancel()
        if self._notice is not None:
            self._notice.cancel()
        self._waiters.fail(why)
        for message in left:
            _fail(getattr(message, "reply_to", None), why)
        self._running.clear()
        self._journal.drop()
        self._house.post.post(Gone(self.session, self.incarnation))

    # -- messages --------------------------------------------------------------------------------------------------------------------------

    async def _receive(self, message: Any) -> None:
        try:
            match message:
                case Inbound():
                    await self._hear(message)
                case Done():
                    await self._remember(message)
                case Due():
                    await self._fire(message)
                case Collect():
                    await self._collect(message)
                case Resume():
                    await self._resume(message)
                case Status():
                    await self._tell_status(message)
                case Notified():
                    self._notified, self._notice = True, None
                    await self._settle(confirm=True)
                case _:
                    raise TypeError(f"a handler knows no {type(message).__name__}")
        except StoreError as error:
            self._store_failed(message, error)
        except HandlerError as error:
            _fail(getattr(message, "reply_to", None), error)

    async def _hear(self, inbound: Inbound) -> None:
        journal = self._journal
        self._left_alone = False
        if journal.state == "unknown":
            if inbound.fresh:
                journal.assume_absent()
            else:
                await self._load()
        for _ in range(TRIES):
            run = journal.run
            if journal.state == "absent":
                if inbound.opening is None:
                    _refuse(inbound, "handled", ended=True)
                    journal.drop()  # that there is nothing is no lasting knowledge
                    return
                if await self._open(inbound, inbound.opening):
                    break
            elif run is None:
                if not inbound.reopens or inbound.opening is None:
                    _refuse(inbound, "failed", ended=True)
                    return
                if await self._reopen(inbound, inbound.opening):
                    break
            elif inbound.id in run.turns.ids:
                self._house.counters["duplicates"] += 1
                if await journal.claim(busy=self._busy):
                    await self._answer_duplicate(inbound)
                    break
            elif (run.ended or run.failure is not None) and inbound.reopens and inbound.opening is not None:
                if await self._reopen(inbound, inbound.opening):
                    break
            elif run.ended or run.failure is not None or not self._takes(run, inbound):
                if await journal.claim(busy=self._busy):
                    _refuse(inbound, "ended" if run.ended else "failed" if run.failure is not None else "handled", ended=run.ended)
                    break
            else:
                self._waiters.add(inbound)
                event = (
                    journal.event(Left, inbound.id, str(inbound.payload.get("reason", "")))
                    if inbound.type == "left"
                    else journal.event(Heard, inbound.id, inbound.type, inbound.payload)
                )
                if await journal.append(event, busy=self._busy):
                    self._house.counters["turns"] += 1
                    _acknowledge(inbound)
                    break
                self._waiters.remove(inbound)
            self._house.counters["conflicts"] += 1
            self._drop_stale_results()
        else:
            raise StoreError(f"{self.session} changes faster than an input can be appended ({TRIES} tries); send it again")
        await self._settle()

    def _takes(self, run: Run, inbound: Inbound) -> bool:
        """Whether an input is for this life of the session: no second opening, no notice that nobody waits for."""
        if inbound.type != "errand":
            return bool(inbound.type)
        errand = str(inbound.payload["errand"])
        if errand in run.errands or errand.partition("/")[0] == str(run.opened.gen):
            return True
        logger.warning("%s: nobody waits for the result of errand %s", self.session, errand)
        return False

    async def _open(self, inbound: Inbound, opening: Opening) -> bool:
        self._waiters.add(inbound)
        words = (inbound.id, inbound.type, inbound.payload) if inbound.type else None
        done = await self._journal.open(self._opened(opening, inbound.id), words, busy=self._busy)
        if done:
            self._house.counters["turns"] += 1
            _acknowledge(inbound)
        else:
            self._waiters.remove(inbound)
        return done

    async def _reopen(self, inbound: Inbound, opening: Opening) -> bool:
        """Begin a new generation where the last one ended, failed or cannot be read (those are kept aside)."""
        journal, run = self._journal, self._journal.run
        broken = run is None or run.failure is not None
        gen = run.opened.gen if run is not None else 0
        base = (run.opened.base if run is not None else 0) + journal.length
        opened = self._opened(opening, inbound.id, after=gen, base=base)
        queued = [Heard(opened.at, 0, 0, inbound.id, inbound.type, inbound.payload)] if inbound.type else []
        self._waiters.add(inbound)
        done = await journal.restart(opened, queued, keep_old=broken, busy=self._busy)
        if done:
            self._house.counters["turns"] += 1
            _acknowledge(inbound)
        else:
            self._waiters.remove(inbound)
        return done

    def _opened(self, opening: Opening, id_: str, *, after: int = 0, base: int = 0) -> Opened:
        now = max(self._house.history.now(), after + 1)
        return Opened(
            now,
            0,
            0,
            id_,
            now,
            opening.workflow,
            list(self._house.registry.get(opening.workflow).patches),
            opening.channel,
            opening.line,
            opening.caller,
            opening.locale,
            opening.time_zone,
            self._house.rng.randbytes(8),
            opening.args,
            opening.parent,
            base,
            facts=opening.facts,
        )

    async def _remember(self, done: Done) -> None:
        """Record an effect's outcome, if exactly that is still wanted."""
        journal = self._journal
        if journal.state == "unknown":
            await self._load()
        for _ in range(TRIES):
            run = journal.run
            step = run.calls.get(done.step) if run is not None else None
            if run is None or step is None or (run.opened.gen, step.name, step.hash) != (done.gen, done.name, done.hash):
                self._house.counters["dropped"] += 1
                self._running.pop(done.step, None)
                break
            outcome = done.outcome
            memo = journal.event(Memo, done.step, done.name, done.hash, outcome.value, outcome.error, outcome.usage)
            self._running.pop(done.step, None)
            if await journal.append(memo, busy=self._busy):
                break
            self._house.counters["conflicts"] += 1
            self._drop_stale_results()
        else:
            raise StoreError(f"{self.session} changes faster than a result can be appended")
        await self._settle()

    async def _fire(self, due: Due) -> None:
        """Feed every alarm that is due, in due order; clear the index of what is not wanted."""
        journal = self._journal
        if journal.state == "unknown":
            await self._load()
        if journal.state == "absent":
            if await self._house.history.clear_due(self.session, due.gen, due.step):
                return
            await self._load()
        for _ in range(TRIES):
            run = journal.run
            if run is None or run.failure is not None:
                return
            now = self._house.history.now()
            gen = run.opened.gen
            if due.step == WATCH and gen == due.gen:
                self._watch_errands(run)
                return
            ready = sorted((at, step) for step, at in run.alarms.items() if at <= now)
            if ready:
                lateness = now - ready[0][0]
                if await journal.append(journal.event(Fired, ready[0][1]), busy=self._busy):
                    self._house.counters["alarms"] += 1
                    self._house.counters["lateness_ms"] += lateness
                    break
            elif gen == due.gen and due.step in run.alarms:
                self._house.alarms.set(self.session, Alarm(gen, due.step, run.alarms[due.step]))
                return
            elif await journal.claim(busy=self._busy, drop_alarm=(due.gen, due.step)):
                break
            self._drop_stale_results()
        await self._settle()

    async def _resume(self, resume: Resume) -> None:
        """Go on with what another node, or a former life of this one, left undone."""
        if resume.attempts > TAKE_OVERS:
            logger.error(
                "%s was taken over %d times without progress and is left alone: it may be what kills the process. "
                "See `switchboard sessions show %s`; its next input tries again.",
                self.session, resume.attempts, self.session,
            )  # fmt: skip
            self._left_alone = True
            self._house.counters["left_alone"] += 1
        await self._load()
        await self._settle(confirm=True)

    async def _collect(self, collect: Collect) -> None:
        if self._journal.state == "unknown":
            await self._load()
        self._waiters.collect(collect)
        await self._settle()

    async def _tell_status(self, status: Status) -> None:
        if self._journal.state == "unknown":
            await self._load()
        run = self._journal.run
        if run is None:
            state = "unknown"
        elif run.failure is not None:
            state = "failed"
        else:
            state = "ended" if run.ended else "running"
        status.reply_to.answer({"state": state, "note": None if run is None else run.note})

    # -- after every change ----------------------------------------------------------------------------------------------------------------

    async def _settle(self, *, confirm: bool = False) -> None:
        """Show what may be shown, start what is wanted, and see to the lease."""
        journal = self._journal
        run = journal.run
        while run is not None and confirm:
            confirm = not await journal.claim(busy=self._busy)
            run = journal.run
        while run is not None and run.restart is not None and journal.mine:
            await self._restart(run)
            run = journal.run
        self._drop_stale_results()
        if run is not None:
            self._waiters.show(run)
            self._set_alarms(run)
            if journal.mine:
                self._start_wanted(run)
                if not self._busy(run):
                    await journal.claim(busy=self._busy)
        await self._waiters.show_rest(journal)
        if journal.mine and (self._running or self._notice is not None):
            self._rearm(RENEW_SECONDS)
        elif self._waiters:
            self._poll = POLL_SECONDS[0]
            self._rearm(self._poll)
        else:
            self._rearm(self._house.idle)

    def _busy(self, run: Run) -> bool:
        """Whether work is outstanding, so that somebody has to hold the lease."""
        if run.failure is not None or self._left_alone:
            return False
        ended_errand = run.ended and not run.cancelled and run.opened.parent is not None and not self._notified
        return bool(run.calls) or run.restart is not None or ended_errand

    def _set_alarms(self, run: Run) -> None:
        if not run.alarms and not self._timed:
            return
        wanted = {(run.opened.gen, step): at for step, at in run.alarms.items()}
        for gen, step in self._timed - wanted.keys():
            self._house.alarms.clear(self.session, gen, step)
        for (gen, step), at in wanted.items():
            self._house.alarms.set(self.session, Alarm(gen, step, at))
        self._timed = set(wanted)

    def _start_wanted(self, run: Run) -> None:
        held = {(done.gen, done.step) for done in self._held}
        for step in run.calls.values():
            if step.id not in self._running and (run.opened.gen, step.id) not in held:
                work = self._loop.create_task(self._perform(run, step))
                self._running[step.id] = (step, run.opened.gen, work)
        if run.ended and not run.cancelled and run.opened.parent is not None and not self._notified and self._notice is None:
            self._notice = self._loop.create_task(self._notify(run))

    def _drop_stale_results(self) -> None:
        """Stop the effects that nobody wants any more: another life of this session, or a branch that lost."""
        run = self._journal.run
        for id_, (step, gen, task) in list(self._running.items()):
            wanted = run.calls.get(id_) if run is not None else None
            if wanted is None or run is None or (run.opened.gen, wanted.name, wanted.hash) != (gen, step.name, step.hash):
                if task is not asyncio.current_task():
                    task.cancel()
                del self._running[id_]

    async def _restart(self, run: Run) -> None:
        assert run.restart is not None
        step = run.restart.step
        old = run.opened
        now = max(self._house.history.now(), run.now, old.gen + 1)
        errands = [errand for errand in run.errands.values() if errand.state in ("running", "cancelled")]
        opened = msgspec.structs.replace(
            old, at=now, shape=0, words=0, id="", gen=now, workflow=step.workflow.name, patches=list(step.workflow.patches),
            seed=self._house.rng.randbytes(8), args=step.args, base=old.base + self._journal.length, carried=run.turns.carry(now),
            errands=errands,
        )  # fmt: skip
        await self._journal.restart(opened, run.queued, keep_old=False, busy=self._busy)

    # -- effects ---------------------------------------------------------------------------------------------------------------------------

    async def _perform(self, run: Run, step: Open) -> None:
        """Do what a step wants, outside the drain, and come back with the outcome as a message."""
        gen = run.opened.gen
        self._house.counters["effects"] += 1
        match step.step:
            case CallStep() as call:
                outcome = await self._house.effects.perform(call, run.address(step.id), lambda _: None)
            case StartStep() as start:
                await errands.start(self._house.post, self._house.rng, run, step.id, start)
                outcome = Outcome()
            case CancelStep(errand=errand):
                await errands.cancel(self._house.post, self._house.rng, errand)
                outcome = Outcome()
            case StatusStep(errand=errand):
                status = await errands.ask_status(self._house.post, self._house.rng, errand)
                outcome = Outcome(msgspec.Raw(msgspec.msgpack.encode(status)))
            case _:
                raise TypeError(f"a handler cannot perform {step.kind}")
        self._tell_self(Done(gen, step.id, step.name, step.hash, outcome))

    async def _notify(self, run: Run) -> None:
        await errands.notify(self._house.post, self._house.rng, run)
        self._tell_self(Notified())

    def _watch_errands(self, run: Run) -> None:
        """Ask ended errands for their notices again: a failover may have lost one shard's tail."""
        for errand in run.errands.values():
            if errand.state == "running":
                self._house.post.post(Resume(errand.key))

    async def _answer_duplicate(self, inbound: Inbound) -> None:
        run = self._journal.run
        assert run is not None
        if inbound.stored_suffices:
            _acknowledge(inbound)
        elif inbound.id in run.turns.last:
            self._waiters.add(inbound)
        elif inbound.reply_to is not None:
            carried = any(each.id == inbound.id for each in run.opened.carried)
            recalled = None if carried else await self._journal.recall(inbound.id)
            inbound.reply_to.answer(recalled if recalled is not None else Answer(NO_TURN, (), "handled"))

    # -- time ------------------------------------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        try:
            await self._look_around()
        except StoreError as error:
            self._store_failed(None, error)

    async def _look_around(self) -> None:
        """Bring in held results, renew the lease, look whether another node has finished; with nothing to do, offer to leave."""
        journal = self._journal
        while self._held:
            await self._remember(self._held[0])
            del self._held[0]
        if journal.mine and (self._running or self._notice is not None):
            renewal = await self._house.history.renew(self.session)
            if not renewal.mine:
                self._house.counters["lease_losses"] += 1
            if not renewal.mine or (renewal.length, renewal.tail) != (journal.length, journal.tail):
                await self._settle(confirm=True)
            self._rearm(RENEW_SECONDS)
        elif self._waiters:
            waited = min(self._poll * 1.5, POLL_SECONDS[1])
            if journal.state == "unknown":
                await self._load()
            await self._settle(confirm=True)
            self._poll = waited
        else:
            self._offer_to_leave()

    def _offer_to_leave(self) -> None:
        quiet = self._loop.time() - self._quiet_since
        if quiet < self._house.idle:
            self._rearm(self._house.idle - quiet)
        elif not (self._running or self._waiters or self._held or self._notice is not None or self._journal.mine):
            self._house.post.post(Idle(self.session, self.incarnation, self._count))
            self._rearm(self._house.idle)
        else:
            self._rearm(self._house.idle)

    def _rearm(self, seconds: float) -> None:
        """See that a tick comes within `seconds`; a timer that comes sooner is left, and looks again then."""
        at = self._loop.time() + seconds
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._tell_self(Tick())

    def _tell_self(self, message: Message) -> None:
        if not self.actor_stopped.is_set():
            self._actor_ref.tell(message)

    # -- trouble ---------------------------------------------------------------------------------------------------------------------------

    async def _load(self) -> None:
        self._house.counters["rehydrations"] += 1
        await self._journal.load()
        if self._journal.state in ("diverged", "quarantined"):
            logger.error("%s is %s: %s", self.session, self._journal.state, self._journal.problem)
        elif self._journal.run is not None and self._journal.run.failure is not None:
            logger.error("%s has failed: %s", self.session, self._journal.run.failure.traceback)

    def _store_failed(self, message: Any, error: StoreError) -> None:
        """The store did not answer: whoever waits is told, results are kept, and what we knew is forgotten."""
        self._house.counters["store_errors"] += 1
        self._journal.drop()
        if isinstance(message, Done):
            self._held.append(message)
        _fail(getattr(message, "reply_to", None), error)
        self._waiters.fail(error)
        if isinstance(message, Notified):
            self._notified = False
        self._rearm(AGAIN_SECONDS)


def _refuse(inbound: Inbound, state: State, *, ended: bool) -> None:
    if inbound.reply_to is not None:
        inbound.reply_to.answer(Answer(NO_TURN, (), state, ended=ended))


def _acknowledge(inbound: Inbound) -> None:
    if inbound.stored_suffices and inbound.reply_to is not None:
        inbound.reply_to.answer(Answer(NO_TURN, (), "running"))


def _fail(reply: ReplyTo[Any] | None, error: Exception) -> None:
    if reply is not None and not reply.answered:
        reply.fail(error)
