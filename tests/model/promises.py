"""What must hold: at every step, whenever something leaves, and at rest."""

from typing import Any

from model.events import child_of, kind_of
from model.handler import FRESH, Handler
from model.run import Run
from model.session import Session
from model.store import Stored
from model.world import Faults, Post, World


class Violation(Exception):
    """A promise is broken."""


class Promises:
    """The checks. They go by what the store holds, not by what the handlers believe.

    `faults` are those that may happen at all: a store that loses writes may lose what was acknowledged.
    """

    def __init__(self, sessions: tuple[Session, ...], faults: Faults, limit: int) -> None:
        self.sessions = sessions
        self.limit = limit
        self.lossy = bool(faults.failover or faults.forget)
        self.leases_hold = not (faults.expiry or faults.failover or faults.lost_reply or faults.delay)
        self.posts_once = not (faults.expiry or faults.failover)

    def fold(self, session: int, stored: Stored) -> Run:
        """The run of what is stored."""
        return self.sessions[session].core.fold(stored.history)

    # -- a script changes what is stored

    def step(self, world: World, session: int, new: Stored) -> None:
        """What is acknowledged stays; the indexes say what the history says; attempts are counted; nothing owed may expire."""
        old = world.stored[session]
        before, after = self.fold(session, old), self.fold(session, new)
        if after.problem:
            raise Violation(after.problem)
        if not after.due <= new.due:
            raise Violation("an alarm that the history wants is not in the due index")
        if new.expires and (after.owed or after.due):
            raise Violation("a history with something outstanding may expire")
        if old.history != new.history:
            self._kept(before, after)
        self._counted(old, new, before, after)
        if session:
            self._errand(self.fold(0, world.stored[0]), session, old, new)

    def _kept(self, before: Run, after: Run) -> None:
        if not before.ids <= after.ids:
            raise Violation(f"{min(before.ids - after.ids)} was acknowledged and is no longer on record")
        for id_, answer in before.answers.items():
            if after.answers.get(id_) != answer:
                raise Violation(f"the answer to {id_} was {answer} and is now {after.answers.get(id_)}")
        if before.gen == after.gen:
            return
        if delivery := before.owes("deliver"):
            raise Violation(f"{delivery.target} was never delivered: its generation is gone")
        if before.left and not before.ended and before.left not in (after.left, *after.queue):
            raise Violation("a restart forgot that the caller has left")
        if not before.ended and not before.errands.keys() <= after.errands.keys():
            raise Violation("a restart forgot an errand")

    def _counted(self, old: Stored, new: Stored, before: Run, after: Run) -> None:
        taken = new.owner not in (None, old.owner) and old.owner is not None
        since = 0 if before.owed - after.owed else old.attempts
        expected = 0 if new.owner is None else min(since + taken, self.limit + 1)
        if new.attempts != expected:
            raise Violation(f"{new.attempts} take-overs are counted and there were {expected} since the last progress")

    def _errand(self, parent: Run, child: int, old: Stored, new: Stored) -> None:
        if self.lossy:
            return
        told = any(id_.startswith(f"errand/{child}/") for id_ in parent.ids)
        if new.history and not old.history and (child in parent.errands or told):
            raise Violation(f"errand {child} was started a second time")
        run = self.fold(child, new)
        if new.expires and run.ended and not run.cancelled and child in parent.awaits and not parent.ended:
            raise Violation(f"errand {child} may expire before its parent has the result")

    # -- something leaves, or starts

    def answer(self, stored: Stored, session: int, id_: str, answer: Any) -> None:
        """Every answer is the one on record at that moment; an input is refused rightly."""
        run = self.fold(session, stored)
        if answer == "left alone":
            if stored.attempts <= self.limit:
                raise Violation(f"{id_} was told that its session is left alone, which it is not")
        elif answer == "late":
            if id_ in run.ids:
                raise Violation(f"{id_} was called late and is on record")
        elif answer != run.answers.get(id_, "ended" if run.ended and id_ not in run.ids else None):
            raise Violation(f"{id_} was answered {answer}, on record is {run.answers.get(id_)}")

    def post(self, world: World, session: int, post: Post, *, shown: bool) -> None:
        """Every post's cause is on record, and a channel that is asked first shows nothing twice while leases hold."""
        run = self.fold(session, world.stored[session])
        if not self.lossy and (run.gen < post.gen or (run.gen == post.gen and run.outputs.get(post.output) != post.text)):
            raise Violation(f"{post.text} was posted before its cause was on record")
        if shown and self.posts_once:
            raise Violation(f"{post.text} was posted twice")

    def started(self, world: World, node: int, session: int, handler: Handler) -> None:
        """No effect runs twice at once while leases hold, and none is begun for a session that is left alone."""
        before = {effect.want for effect in world.handlers[node][session].effects}
        new = {effect.want for effect in handler.effects} - before
        if new and world.stored[session].attempts > self.limit:
            raise Violation("an effect was started for a session that is to be left alone")
        for other, row in enumerate(world.handlers):
            if self.leases_hold and other != node and not new.isdisjoint(effect.want for effect in row[session].effects):
                raise Violation("an effect runs on two nodes at once")

    # -- nothing more happens by itself

    def rest(self, world: World) -> None:
        """Nobody waits, nothing is owed and in no index, every errand's parent knows, every output is shown."""
        for session, stored in enumerate(world.stored):
            self._rest(world, session, stored)
        for row in world.handlers:
            for handler in row:
                idle = FRESH._replace(history=handler.history, noticed=handler.noticed)
                if handler != idle:
                    raise Violation(f"a handler is stuck with {handler.tasks or handler.waiting or handler.effects}")
        parent = self.fold(0, world.stored[0])
        unheard = {child_of(event.value) for event in parent.queue if kind_of(event) in parent.listens & {"errand"}}
        if unheard & parent.errands.keys() - parent.called_off:
            raise Violation("an errand's result is on record, and is never handed out to who listens for it")
        for child, state in parent.errands.items():
            self._rest_errand(child, state, parent, world.stored[child])

    def _rest(self, world: World, session: int, stored: Stored) -> None:
        run = self.fold(session, stored)
        if not stored.history:
            if stored.owner or stored.due:
                raise Violation("an index names a session without a history")
            return
        if stored.owner:
            if stored.attempts <= self.limit:
                raise Violation("a session is pending for ever")
            if session not in world.reported:
                raise Violation("a session is left alone and nobody is told")
            return
        if run.owed:
            raise Violation(f"session {session} owes {', '.join(f'{want.kind} {want.step}' for want in sorted(run.owed))}; no index has it")
        if stored.due != run.due:
            raise Violation(f"the due index has {sorted(stored.due)}, the history wants {sorted(run.due)}")
        if not stored.expires and not run.due and not (session and not run.ended):
            raise Violation(f"session {session} is over and done with, and never expires")
        shown = {tuple(post) for post in world.posts}
        if self.sessions[session].core.pushes and any((run.gen, *output) not in shown for output in run.outputs.items()):
            raise Violation("an output was never delivered")

    def _rest_errand(self, child: int, state: str, parent: Run, stored: Stored) -> None:
        run = self.fold(child, stored)
        if state == "cancelled" and stored.history and not run.ended:
            raise Violation(f"errand {child} was cancelled and still runs")
        if state == "running" and not parent.ended:
            if not stored.history:
                raise Violation(f"errand {child} is on record as started and does not exist: its parent waits for ever")
            if run.ended:
                raise Violation(f"errand {child} has ended and its parent was never told")
