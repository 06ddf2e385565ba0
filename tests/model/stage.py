"""How one thing that happens changes a world, with the promises checked as it does."""

from collections.abc import Callable
from typing import NamedTuple

from model import settle
from model.events import Event, child_of
from model.handler import Draft, Handler, Inbound, Settled, Task
from model.promises import Promises, Violation
from model.rules import Rules
from model.session import Session
from model.store import Reply, Scripts, Stored, Write
from model.world import Faults, World


class Move(NamedTuple):
    """Something that can happen. `progress` is False for a fault."""

    label: str
    progress: bool
    make: Callable[[], World]


class Stage:
    """A system's sessions and scripts. `depth`: how many writes of a session a failover loses at most."""

    def __init__(self, sessions: tuple[Session, ...], rules: Rules, faults: Faults, *, depth: int, limit: int) -> None:
        self.sessions = sessions
        self.rules = rules
        self.faults = faults
        self.depth = depth
        self.limit = limit
        self.scripts = Scripts(rules, limit)
        self.promises = Promises(sessions, faults, limit)

    def change(self, world: World, session: int, new: Stored) -> World:
        """A script changes what is stored of a session."""
        old = world.stored[session]
        if new == old:
            return world
        self.promises.step(world, session, new)
        if world.faults.failover:
            earlier = list(world.earlier)
            earlier[session] = (old, *earlier[session])[: self.depth]
            world = world._replace(earlier=tuple(earlier))
        return world.with_stored(session, new)

    def apply(self, world: World, write: Write) -> tuple[World, Reply]:
        """A call reaches the store."""
        stored = world.stored[write.session]
        after, reply = self.scripts.write(stored, write)
        if reply.status == "ok" and write.events and stored.history != write.base:
            raise Violation("a stale view wrote")
        return self.change(world, write.session, after), reply

    def place(self, world: World, node: int, session: int, settled: Settled) -> World:
        """Put a settled handler in its place: its answers leave, its confirmations reach the askers on the same node."""
        for id_, answer in settled.answers:
            self.promises.answer(world.stored[session], session, id_, answer)
        self.promises.started(world, node, session, settled.handler)
        world = world.with_handler(node, session, settled.handler)
        for inbound in settled.confirmed:
            asker = child_of(inbound.via) if inbound.kind == "errand" else 0
            world = world.with_handler(node, asker, _told(world.handlers[node][asker], inbound, session))
        return world

    def hand_in(self, world: World, node: int, session: int, task: Task) -> World:
        """A handler gets a task; one that knows nothing yet loads its history."""
        settled = settle.take(self.sessions[session], world.handlers[node][session], task, world.boot(node))
        world = self.place(world, node, session, settled)
        if settled.handler.history is None and not settled.handler.pending:
            world = self.load(world, node, session)
        return world

    def load(self, world: World, node: int, session: int) -> World:
        """A handler reads the whole history."""
        handler, history = world.handlers[node][session], world.stored[session].history
        return self.place(world, node, session, settle.load(self.sessions[session], handler, history, world.boot(node)))

    def named(self, world: World, session: int, draft: Draft) -> tuple[Event, ...]:
        """A draft's events with their uids: none is equal to any event that is still known somewhere."""
        if not draft.events:
            return ()
        known = _known(world)
        events = []
        for event in draft.events:
            if event.kind == "opened" and not draft.replaces and not session:
                # The gen of an opening is its time: greater than that of any life before.
                lives = self.faults.forget + self.faults.lifetime - world.faults.forget - world.faults.lifetime
                event = event._replace(value=event.value._replace(gen=100 * lives))  # noqa: PLW2901 - the same event, dated
            while event in known and (self.rules.fresh_uids or event.kind != "heard"):
                event = event._replace(nonce=event.nonce + 1)  # noqa: PLW2901 - the same event, told apart
            events.append(event)
        return tuple(events)


def _told(handler: Handler, inbound: Inbound, session: int) -> Handler:
    """What an asker knows when its message has been taken in."""
    if inbound.kind == "errand":
        return handler._replace(noticed=True)
    kind = {"open": "start", "cancel": "cancel"}.get(inbound.kind)
    effects = tuple(
        effect._replace(stage="held") if (effect.want.kind, effect.want.target) == (kind, session) else effect for effect in handler.effects
    )
    return handler._replace(effects=effects)


def _known(world: World) -> set[Event]:
    histories = [stored.history for stored in world.stored]
    histories += [stored.history for states in world.earlier for stored in states]
    for row in world.handlers:
        for handler in row:
            histories.append(handler.history or ())
            if handler.pending:
                histories.append(handler.pending.events)
    for write in world.network:
        histories += [write.base, write.events]
    return {event for history in histories for event in history}
