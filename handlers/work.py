"""What a session wants done outside its history, and what of it is being done here: effects, errands, the notice of its end, deliveries."""

import asyncio
from typing import Literal

import msgspec
from structlog.contextvars import bind_contextvars

from handlers import errands
from handlers.actors import AsyncioActor
from handlers.effects import Outcome
from handlers.house import House
from handlers.messages import Done, Message, Notified, Posted
from handlers.outbox import Outbox
from workflows.run import Open, Run
from workflows.steps import CallStep, CancelStep, StartStep, StatusStep

Want = tuple[int, str, str, bytes]
"""What a result is good for: generation, step, name and hash of the arguments."""


class Work:
    """The tasks of one handler. Whatever they come to is told to it as a message.

    `notice` is about an errand that has ended: its parent is `owed` the result, has been `told`, or cannot take it for now, so that it is
    `put off` until the slow due entry. `asked`: the parent wants to hear even that it was called off.
    """

    __slots__ = ("_house", "_life", "_notice", "_outbox", "_running", "asked", "held", "notice")

    def __init__(self, house: House) -> None:
        self.held: tuple[Message, ...] = ()
        self.notice: Literal["owed", "told", "put off"] = "owed"
        self.asked = False
        self._house = house
        self._life = 0
        self._running: dict[Want, asyncio.Task[None]] | None = None  # most sessions rest, and empty tables add up
        self._notice: asyncio.Task[None] | None = None
        self._outbox: Outbox | None = None  # only where the channel pushes

    def __bool__(self) -> bool:
        """Whether anything is being done."""
        return bool(self._running or self._notice is not None or self._outbox)

    # -- what the journal asks -------------------------------------------------------------------------------------------------------------

    def lease(self, run: Run) -> bool:
        """See `Needs`."""
        if run.turns.outgoing is not None and self.owes_words(run):
            return True
        if run.failure is not None:
            return False
        return bool(run.calls) or run.restart is not None or (run.ended and self.notice == "owed" and self.owes_notice(run))

    def watch(self, run: Run) -> bool:
        """See `Needs`."""
        if run.failure is not None:
            return False
        if run.ended:
            return self.notice == "put off" and self.owes_notice(run)
        return bool(run.errands) and any(True for _ in errands.awaited(run))

    def foresee(self, run: Run) -> None:
        """See `Needs`."""
        if (outbox := self._outbox_of(run)) is not None:
            outbox.foresee(run)

    def lead(self, asked_at: float, since: int, *, sure: bool, taken_over: bool) -> None:
        """See `Needs`."""
        if self._outbox is not None:
            self._outbox.lead(asked_at, since, sure=sure, taken_over=taken_over)

    def step_down(self) -> None:
        """See `Needs`."""
        if self._outbox is not None:
            self._outbox.step_down()

    def owes_words(self, run: Run) -> bool:
        """Whether something that it said has to be sent, or a placeholder has to go."""
        return (outbox := self._outbox_of(run)) is not None and outbox.owes(run)

    def owes_notice(self, run: Run) -> bool:
        """Whether it is an errand that has ended and whose parent cares."""
        return run.ended and run.opened.parent is not None and (self.asked or not run.cancelled)

    # -- doing -----------------------------------------------------------------------------------------------------------------------------

    def start(self, run: Run, handler: AsyncioActor) -> None:
        """Begin what is wanted and not being done; what has come to a result that waits to be recorded is not done again."""
        if run.calls:
            held = {want_of(done) for done in self.held if isinstance(done, Done)}
            for step in run.calls.values():
                want = (run.opened.gen, step.id, step.name, step.hash)
                if self._running is None:
                    self._running = {}
                if want not in self._running and want not in held:
                    self._house.counters["effects"] += 1
                    self._running[want] = asyncio.create_task(self._perform(run, step, want, handler))
        if self._notice is None and self.notice == "owed" and self.owes_notice(run):
            self._notice = asyncio.create_task(self._notify(run, handler))
        if (outbox := self._outbox_of(run)) is not None:
            outbox.start(run, handler, {posted.key for posted in self.held if isinstance(posted, Posted)})

    def apologise(self, run: Run, handler: AsyncioActor) -> None:
        """The session is left alone."""
        if self._outbox is not None:
            self._outbox.apologise(run, handler)

    def look_back(self, run: Run) -> None:
        """A former life of this node may have had the session before."""
        if (outbox := self._outbox_of(run)) is not None:
            outbox.suspicious = True

    def leave(self) -> None:
        """Another node leads, or nothing is outstanding."""
        if self._outbox is not None:
            self._outbox.forget()

    @property
    def in_doubt(self) -> bool:
        """Whether our lease may have run out, so that nothing is posted."""
        return self._outbox is not None and self._outbox.in_doubt

    def posted(self, posted: Posted) -> None:
        """An output was posted."""
        if self._outbox is not None:
            self._outbox.posted(posted)

    def ask_for_notice(self) -> None:
        """The parent starts this errand once more: it may have lost the notice, or a life in which it called it off."""
        self.notice, self.asked = "owed", True

    def done(self, done: Done) -> bool:
        """A result has arrived; False: it is of a former life of the session."""
        known = done.life == self._life and self._running is not None and self._running.pop(want_of(done), None) is not None
        return known or any(each is done for each in self.held)

    def hold(self, message: Message) -> None:
        """Keep a message until the store answers again."""
        if not any(each is message for each in self.held):
            self.held += (message,)

    def release(self, message: Message) -> None:
        """A message that was held is settled."""
        self.held = tuple([each for each in self.held if each is not message])

    def notified(self, notified: Notified) -> None:
        """The parent has the notice, or cannot take it for now."""
        if notified.life == self._life:
            self.notice = "told" if notified.taken else "put off"
            self._notice = None

    def prune(self, run: Run | None, lives: int) -> None:
        """Stop what nobody wants any more: a branch lost, or all of it belongs to another life of the session."""
        if lives != self._life:
            self._life = lives
            self.cancel()
            self.notice, self.asked = "owed", False
            self.held = tuple([message for message in self.held if not isinstance(message, Done)])
        if self._running:
            calls = {} if run is None else run.calls
            gen = 0 if run is None else run.opened.gen
            wanted = {(gen, step.id, step.name, step.hash) for step in calls.values()}
            for want in self._running.keys() - wanted:
                self._running.pop(want).cancel()

    def cancel(self) -> None:
        """Stop everything."""
        for task in (self._running or {}).values():
            task.cancel()
        self._running = None
        if self._notice is not None:
            self._notice.cancel()
            self._notice = None
        if self._outbox is not None:
            self._outbox.stop()

    def _outbox_of(self, run: Run) -> Outbox | None:
        if self._outbox is None and run.turns.outgoing is not None:
            self._outbox = Outbox(self._house)
        return self._outbox

    async def _perform(self, run: Run, step: Open, want: Want, handler: AsyncioActor) -> None:
        """Do what a step wants and come back with the outcome."""
        house, life, turn = self._house, self._life, run.turns.current
        bind_contextvars(session=run.session, turn=None if turn is None else turn.number, step=step.id)  # for whatever logs from here on
        outcome = Outcome()
        match step.step:
            case CallStep(stream=True) as call:
                with house.followers.speaking(run.session, f"{run.opened.gen}/{step.id}") as begin:
                    outbox = self._outbox_of(run)
                    both = begin if outbox is None else outbox.speaking(run, begin)
                    outcome = await house.effects.perform(call, run.address(step.id), both)
            case CallStep() as call:
                outcome = await house.effects.perform(call, run.address(step.id))
            case StartStep():
                await errands.start(house.post, house.rng, run, step)
            case CancelStep(errand=errand):
                await errands.cancel(house.post, house.rng, errand)
            case StatusStep(errand=errand):
                status = await errands.ask_status(house.post, house.rng, errand)
                outcome = Outcome(msgspec.Raw(msgspec.msgpack.encode(status)))
        handler.deliver(Done(life, *want, outcome))

    async def _notify(self, run: Run, handler: AsyncioActor) -> None:
        life = self._life
        taken = await errands.notify(self._house.post, self._house.rng, run)
        handler.deliver(Notified(life, taken))


def want_of(done: Done) -> Want:
    """What a result is good for."""
    return done.gen, done.step, done.name, done.hash
