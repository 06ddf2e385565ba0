"""What goes wrong, and what time does by itself: leases run out, late calls land, processes die, the store forgets."""

from collections.abc import Iterator
from functools import partial

from model.handler import FRESH, Handler, Sweep
from model.nodes import crash
from model.stage import Move, Stage
from model.store import Boot, Stored
from model.world import World


class Troubles:
    """The moves of nobody."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def moves(self, world: World) -> Iterator[Move]:
        """What can befall the world now."""
        for i, write in enumerate(world.network):
            yield Move(f"a call of {write.boot} lands", True, partial(self._land, world, i))
        for node, row in enumerate(world.handlers):
            if world.faults.crash and any(handler != FRESH for handler in row):
                yield Move(f"{world.boot(node)} CRASHES", False, partial(crash, world.spend("crash"), node))
        for session, stored in enumerate(world.stored):
            yield from self._store_moves(world, session, stored)

    def _land(self, world: World, i: int) -> World:
        write = world.network[i]
        return self.stage.apply(world._replace(network=world.network[:i] + world.network[i + 1 :]), write)[0]

    def _store_moves(self, world: World, session: int, stored: Stored) -> Iterator[Move]:
        name = f"errand {session}" if session else "the session"
        faults = world.faults
        if stored.owner and not stored.overdue:
            left = self._left(world, session, stored.owner)
            if left or faults.expiry:
                ran_out = (world if left else world.spend("expiry")).with_stored(session, stored._replace(overdue=True))
                label = f"the lease of {name} runs out" if left else f"the lease of {name} RUNS OUT EARLY"
                yield Move(label, left, lambda: ran_out)
        if faults.failover:
            for i, earlier in enumerate(world.earlier[session]):
                yield Move(f"FAILOVER of {name} by {i + 1}", False, partial(self._fail_over, world, session, earlier))
        if faults.forget and stored.history and not session:
            forgotten = world.spend("forget").with_stored(session, Stored(due=stored.due))
            yield Move(f"{name} is FORGOTTEN", False, lambda: forgotten)
        if faults.lifetime and stored.expires and self._long_quiet(world):
            expired = world.spend("lifetime").with_stored(session, stored._replace(history=(), expires=False))
            yield Move(f"{name} EXPIRES", False, lambda: expired)
        if faults.lost_due and stored.due and world.inbox:
            lost = world.spend("lost_due").with_stored(session, stored._replace(due=frozenset()))
            yield Move(f"{name} LOSES ITS ALARMS", False, lambda: lost)

    def _fail_over(self, world: World, session: int, earlier: Stored) -> World:
        return world.spend("failover").with_stored(session, earlier)._replace(earlier=((),) * len(world.stored))

    def _left(self, world: World, session: int, owner: Boot) -> bool:
        """Whether nobody renews a lease any more."""
        handler = world.handlers[owner.node][session]
        picked_up = any(isinstance(task, Sweep) for task in handler.tasks)
        return world.boot(owner.node) != owner or not (handler.leads or handler.pending or picked_up)

    def _long_quiet(self, world: World) -> bool:
        """A ttl is far longer than anything that is under way: what is in hand has been done, or its process has died."""
        return not world.network and all(handler == _idle(handler) for row in world.handlers for handler in row)


def _idle(handler: Handler) -> Handler:
    return FRESH._replace(history=handler.history, noticed=handler.noticed)
