"""The actor that hosts one session.

All appends of a session happen here, one after the other; slow effects run beside, so that a hang-up is heard while a model thinks. The
rules are those of `docs/format.md`: feed on trust, append, and only then show.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import msgspec

from handlers.actors import AsyncioActor
from handlers.due import DueEntries
from handlers.errands import awaited
from handlers.errors import GoneError, StoreError, UnstorableError
from handlers.history import LEASE_MS
from handlers.house import House
from handlers.intake import Intake
from handlers.journal import TAKE_OVERS, TRIES, Journal
from handlers.messages import (
    Again,
    Collect,
    Done,
    Due,
    Evict,
    Free,
    Gone,
    Idle,
    Inbound,
    News,
    Notified,
    Posted,
    Quiet,
    Read,
    Resume,
    Status,
    Tick,
)
from handlers.outbox import key_of
from handlers.reply import ReplyTo
from handlers.waiters import Waiters
from handlers.work import Work, want_of
from workflows.events import Memo, Sent
from workflows.run import Run

__all__ = ["Handler", "House"]

logger = logging.getLogger(__name__)

POLL_SECONDS = (0.05, 0.25)
"""How often we look whether another node has finished a turn: at first, and at most."""

REST_SECONDS = 1.0
"""How often, at most, we look when nobody works on the session: what happens next most likely comes through here."""

AGAIN_SECONDS = 0.4
"""How long a result waits for a store that is down."""

RENEW_SECONDS = LEASE_MS / 3000

TICK = Tick()


class Handler(AsyncioActor):
    """Hosts one session, for one life in memory (an incarnation).

    Attributes:
        quiet_since: when it was last forwarded something, in seconds of the loop's clock.
    """

    def __init__(self, session: str, incarnation: int, house: House) -> None:
        super().__init__()
        self.session = session
        self.incarnation = incarnation
        self._house = house
        self._work = Work(house)
        self._journal = Journal(session, house, self._work)
        self._due = DueEntries(house, self._journal, self._work)
        self._waiters = Waiters()
        self.quiet_since = self._loop.time()
        self._count = 0
        self._poll = POLL_SECONDS[0]
        self._reported = False

    @property
    def about(self) -> dict[str, Any]:
        """See `AsyncioActor`."""
        return self._journal.about

    @property
    def leads(self) -> bool:
        """Whether this node holds the session's lease, as far as it knows."""
        return self._journal.mine

    def on_receive(self, message: Any) -> Coroutine[Any, Any, None] | None:
        """Handle one message; whatever needs the store goes on as a coroutine."""
        match message:
            case Inbound() | Collect() | Read() | Status() | Resume() | Due():
                self._count += 1
                self.quiet_since = self._loop.time()
                self._poll = POLL_SECONDS[0]
            case Quiet():
                self._offer_to_leave()
                return None
            case Evict():
                self._die(None)
                return None
        return self._receive(message)

    def on_timer(self) -> None:
        """It is time to look around, as soon as what is in the inbox is done."""
        self.deliver(TICK)

    def on_death(self, error: BaseException | None, left: list[Any]) -> None:
        """Leave nobody waiting and nothing running."""
        why = GoneError(f"the handler of {self.session} has left memory{f' ({error!r})' if error else ''}; ask again")
        self._work.cancel()
        self._waiters.fail(why)
        for message in left:
            _fail(message, why)
        self._journal.drop()
        if error is not None:  # else the switchboard sent it away
            self._house.post.post(Gone(self.session, self.incarnation))

    # -- messages --------------------------------------------------------------------------------------------------------------------------

    async def _receive(self, message: Any) -> None:
        try:
            await self._handle(message)
        except StoreError as error:
            self._store_failed(message, error)
        except UnstorableError as error:
            _fail(message, error)
        except (Exception, asyncio.CancelledError):  # this is our end; `on_death` tells those who wait, but knows nothing of this message
            _fail(message, GoneError(f"the handler of {self.session} met an error; see the log, and ask again"))
            raise
        if self._journal.state == "absent":
            self._journal.drop()  # that there is nothing is no lasting knowledge
            self._offer_to_leave()  # at once: else whoever makes up names fills the memory

    async def _handle(self, message: Any) -> None:
        match message:
            case Inbound():
                await self._take(message)
            case Tick():
                await self._look_around()
            case Done():
                await self._remember(message)
            case Posted():
                await self._note_receipt(message)
            case Free():
                if self._journal.state == "unknown":  # to settle on nothing would drop what effects have come to
                    await self._journal.load()
                await self._settle()
            case Due():
                await self._due.fire(message)
                await self._settle()
            case Collect():
                self._waiters.collect(message)
                await self._refresh()
            case Read():
                await self._tell_news(message)
            case Resume():
                await self._resume(message)
            case Status():
                await self._tell_status(message)
            case Notified():
                self._work.notified(message)
                await self._refresh()
            case Again(inbound=inbound):
                await self._take(inbound)
            case _:
                raise TypeError(f"a handler knows no {type(message).__name__}")

    async def _take(self, inbound: Inbound) -> None:
        """Bring an input on record, and answer it if that can be done at once."""
        await Intake(self._house, self._journal, self._work, self._waiters).take(inbound)
        if inbound.stored_suffices:
            await asyncio.sleep(0)  # whoever waits for no more than this is told before we go on
        await self._settle()

    async def _remember(self, done: Done) -> None:
        """Record an effect's outcome, if exactly that is still wanted, in the life of the session that wanted it."""
        journal = self._journal
        if journal.state == "unknown":
            await journal.load()
        self._work.prune(journal.run, journal.lives)
        known, lives = self._work.done(done), journal.lives
        for _ in range(TRIES):
            run = journal.run
            step = run.calls.get(done.step) if run is not None and known and lives == journal.lives else None
            if run is None or step is None or (run.opened.gen, step.id, step.name, step.hash) != want_of(done):
                self._house.counters.drop(done.outcome.usage)
                break
            outcome = done.outcome
            if await journal.append(journal.event(Memo, done.step, done.name, done.hash, outcome.value, outcome.error, outcome.usage)):
                break
            self._house.counters["conflicts"] += 1
        else:
            raise StoreError(f"{self.session} changes faster than a result can be appended")
        await self._settle()

    async def _note_receipt(self, posted: Posted) -> None:
        """Record that an output was posted, if exactly that is the next to be sent."""
        journal = self._journal
        if journal.state == "unknown":
            await journal.load()
        self._work.posted(posted)
        for _ in range(TRIES):
            run = journal.run
            if run is None or not run.unsent or key_of(run, run.unsent[0]) != posted.key:
                self._house.counters["dropped"] += 1
                break
            if await journal.append(journal.event(Sent, posted.output, posted.receipt)):
                self._house.counters["deliveries"] += 1
                break
            self._house.counters["conflicts"] += 1
        else:
            raise StoreError(f"{self.session} changes faster than a receipt can be appended")
        await self._settle()

    async def _resume(self, resume: Resume) -> None:
        """Go on with what another node, or a former life of this one, left undone."""
        if resume.attempts > TAKE_OVERS:
            self._report()
            return
        if self._journal.run is None:
            await self._journal.load()
        if self._journal.state == "absent":
            await self._journal.release_nothing()
        if self._journal.run is not None:
            self._work.look_back(self._journal.run)
        await self._settle(confirm=True)

    def _report(self) -> None:
        """The session is left alone, and not even loaded: once an incarnation is often enough to say so."""
        if not self._reported:
            self._reported = True
            self._house.counters["left_alone"] += 1
            logger.error(
                "the session was taken over more than %d times without progress and is left alone: it may be what kills the process. "
                "See `switchboard sessions show %s`.",
                TAKE_OVERS, self.session, extra=self.about,
            )  # fmt: skip

    async def _tell_news(self, read: Read) -> None:
        journal = self._journal
        if read.confirm or journal.run is None:
            await self._refresh()
        run = journal.run
        if run is None:
            read.reply_to.answer(News((), "broken" if journal.broken else "absent", None, journal.length, journal.tail, 0))
            return
        spoken = run.turns.since(read.after)
        if spoken is None:
            spoken = await journal.recall_since(read.after)
        position = run.opened.base + run.length - 1
        errands = tuple(awaited(run))
        news = News(tuple(spoken), "ended" if run.ended else "live", run.note, journal.length, journal.tail, position, errands, run.prompt)
        read.reply_to.answer(news)

    async def _tell_status(self, status: Status) -> None:
        await self._refresh()
        journal, run = self._journal, self._journal.run
        if run is None:
            state = "failed" if journal.broken else "unknown"
        elif run.failure is not None:
            state = "failed"
        else:
            state = "ended" if run.ended else "running"
        status.reply_to.answer({"state": state, "note": None if run is None else run.note})

    # -- after every change ----------------------------------------------------------------------------------------------------------------

    async def _refresh(self) -> None:
        """Know the session as it is in the store at this moment, and settle."""
        if self._journal.run is None:
            await self._journal.load()
            await self._settle()
        else:
            await self._settle(confirm=True)

    async def _settle(self, *, confirm: bool = False) -> None:
        """Show what may be shown, start what is wanted, and see to the lease."""
        journal, work = self._journal, self._work
        confirm = confirm or (journal.mine and work.in_doubt)
        while (run := journal.run) is not None:
            needed = work.lease(run)
            if confirm or (journal.mine and not needed) or (needed and journal.owner is None):
                confirm = not await journal.claim()
            elif run.restart is not None and journal.mine and not journal.left_alone and not work.owes_words(run):
                await self._restart(run)
            else:
                break
        work.prune(run, journal.lives)
        if run is not None:
            self._due.set_timers(run)
            if journal.left_alone:
                self._report()
                work.apologise(run, self)
            elif journal.mine:
                work.start(run, self)
            else:
                work.leave()
        if self._waiters:
            await self._waiters.show(journal)
            for inbound in (*self._waiters.take_lost(run), *self._waiters.take_parked(journal)):
                self.deliver(Again(inbound))
        if self.session in self._house.followers:
            self._house.followers.changed(self.session, journal.length, journal.tail)
        self._wake_in_time()

    async def _restart(self, run: Run) -> None:
        assert run.restart is not None
        step, old = run.restart.step, run.opened
        now = max(self._house.history.now(), run.now, old.gen + 1)
        via = {} if self._journal.via is None else {"via": self._journal.via}
        opened = msgspec.structs.replace(
            old, at=now, shape=0, words=0, id="", gen=now, workflow=step.workflow.name, patches=step.workflow.patches,
            seed=self._house.rng.randbytes(8), args=step.args, base=old.base + self._journal.length, carried=run.turns.carry(now),
            errands=tuple(errand for errand in run.errands.values() if errand.state in ("running", "cancelled")),
            facts=old.facts | via,
        )  # fmt: skip
        await self._journal.restart(opened, run.queued, keep_old=False)  # a caller who has left is among what is queued

    # -- time ------------------------------------------------------------------------------------------------------------------------------

    async def _look_around(self) -> None:
        """Bring in what is held, renew the lease, look whether another node has finished."""
        journal, work = self._journal, self._work
        while work.held:
            message = work.held[0]
            await self._handle(message)
            work.release(message)
        if journal.mine and work and not journal.left_alone:
            asked_at = self._loop.time()
            renewal = await self._house.history.renew(self.session)
            if renewal.mine:
                work.lead(asked_at, renewal.length, sure=True, taken_over=True)
            else:
                work.step_down()
                self._house.counters["lease_losses"] += 1
            if renewal.mine and (renewal.length, renewal.tail) == (journal.length, journal.tail):
                self._wake_in_time()
            else:
                await self._settle(confirm=True)
        elif journal.state == "unknown" and work:  # the store was down: take the lease back before another node does this work again
            await self._journal.load()
            await self._settle(confirm=True)
        elif self._waiters:
            self._poll = min(self._poll * 1.5, REST_SECONDS if journal.owner is None else POLL_SECONDS[1])
            await self._refresh()

    def _wake_in_time(self) -> None:
        journal, work = self._journal, self._work
        if work.held:
            self.wake_within(AGAIN_SECONDS)
        elif journal.mine and work and not journal.left_alone:
            self.wake_within(RENEW_SECONDS)
        elif self._waiters:
            self.wake_within(self._poll)

    def _offer_to_leave(self) -> None:
        """Tell the switchboard that there is nothing to do, if that is so: no word waits either, nor a result of a former life."""
        journal, work = self._journal, self._work
        if not (self._waiting or work or work.held or self._waiters) and (not journal.mine or journal.left_alone):
            self._house.post.post(Idle(self.session, self.incarnation, self._count))

    # -- trouble ---------------------------------------------------------------------------------------------------------------------------

    def _store_failed(self, message: Any, error: StoreError) -> None:
        """The store did not answer: whoever waits is told, results are kept, and what we knew is forgotten."""
        self._house.counters["store_errors"] += 1
        self._journal.drop()
        self._waiters.fail(error)
        _fail(message, error)
        if isinstance(message, Done | Due | Resume | Notified | Posted):
            self._work.hold(message)
        self.wake_within(AGAIN_SECONDS)
        self._offer_to_leave()  # it knows nothing any more: a crowd that comes again and again would fill the memory


def _fail(message: Any, error: Exception) -> None:
    """Tell whoever sent a message why there will be no answer."""
    reply: ReplyTo[Any] | None = getattr(message.inbound if isinstance(message, Again) else message, "reply_to", None)
    if reply is not None and not reply.answered:
        reply.fail(error)
