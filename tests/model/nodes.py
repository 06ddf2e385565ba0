"""What nodes do: take deliveries in, call the store, run effects, tell other sessions, sweep."""

from collections.abc import Iterator
from functools import partial

from model import draft as drafting
from model import settle
from model.events import WATCH, Alarm
from model.handler import FRESH, Draft, Effect, Fire, Handler, Inbound, Sweep
from model.stage import Move, Stage
from model.store import Boot, Stored, Write
from model.world import Post, World


class Nodes:
    """The moves of all nodes."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def moves(self, world: World) -> Iterator[Move]:
        """What they can do now."""
        for i, (node, inbound) in enumerate(world.inbox):
            yield Move(f"{inbound.id} arrives at {world.boot(node)}", True, partial(self._deliver, world, i))
        for node in range(len(world.lives)):
            for session in range(len(world.stored)):
                yield from self._handler_moves(world, node, session)
                yield from self._sweeps(world, node, session)

    def _deliver(self, world: World, i: int) -> World:
        node, inbound = world.inbox[i]
        world = world._replace(inbox=world.inbox[:i] + world.inbox[i + 1 :])
        return self.stage.hand_in(world, node, 0, inbound)

    # -- a handler at work

    def _handler_moves(self, world: World, node: int, session: int) -> Iterator[Move]:
        handler, stored = world.handlers[node][session], world.stored[session]
        name = f"{world.boot(node)}{f' (errand {session})' if session else ''}"
        here = (world, node, session)
        if handler.pending:
            yield Move(f"{name} calls again", True, partial(self._send, *here, handler.pending))
            yield Move(f"{name} gives the call up", True, partial(self.stage.load, *here))
            return
        if handler.history is None:
            if handler.tasks or handler.waiting:
                yield Move(f"{name} loads", True, partial(self.stage.load, *here))
            return
        for draft in drafting.drafts(self.stage.sessions[session], handler):
            if not draft.polls or self._may_learn(handler, stored, session):
                yield from self._calls(world, node, session, draft, f"{name} {draft.label}")
        for target, inbound in drafting.messages(self.stage.sessions[session], handler):
            there = world.handlers[node][target]
            if inbound not in there.tasks and inbound not in there.waiting:
                yield Move(f"{name} sends {inbound.id}", True, partial(self._tell, *here, target, inbound))
        for effect in handler.effects:
            if effect.want.kind == "kill":
                yield Move(f"{name} dies of its effect", True, partial(crash, world, node))
            elif effect.stage in ("look", "post"):
                yield Move(f"{name} {effect.stage}s {effect.want.step}", True, partial(self._push, *here, effect))
        for task in handler.tasks:
            if isinstance(task, Fire) and self._clears(task, handler, stored, session):
                yield Move(f"{name} drops an alarm", True, partial(self._clear, *here, task))
        if handler.leads and (stored.overdue or stored.owner != world.boot(node) or stored.history != handler.history):
            yield Move(f"{name} renews", True, partial(self._renew, *here))

    def _may_learn(self, handler: Handler, stored: Stored, session: int) -> bool:
        """Whether a poll could change anything; if not it is left out, for the sake of the search."""
        free = (stored.owner is None or stored.overdue) and not handler.leads
        return stored.history != handler.history or free or drafting.unconfirmed(self.stage.sessions[session], handler)

    def _calls(self, world: World, node: int, session: int, draft: Draft, label: str) -> Iterator[Move]:
        """A call of the store, and what may go wrong with it. A crash behind it is the crash of its caller."""
        handler = world.handlers[node][session]
        events = self.stage.named(world, session, draft)
        write = drafting.write(self.stage.sessions[session], handler, world.boot(node), draft, events)
        yield Move(label, True, partial(self._send, world, node, session, write))
        pending = handler._replace(pending=write)
        if world.faults.lost_reply:
            unheard = world.spend("lost_reply").with_handler(node, session, pending)
            yield Move(f"{label}, REPLY LOST", False, lambda: self.stage.apply(unheard, write)[0])
        if world.faults.delay:
            late = world.spend("delay").with_handler(node, session, pending)
            yield Move(f"{label}, DELAYED", False, lambda: late._replace(network=(*late.network, write)))

    def _send(self, world: World, node: int, session: int, write: Write) -> World:
        if not self.stage.rules.append_first:
            self._show_first(world, write)
        world, reply = self.stage.apply(world, write)
        settled = settle.receive(self.stage.sessions[session], world.handlers[node][session], write, reply)
        return self.stage.place(world, node, session, settled)

    def _show_first(self, world: World, write: Write) -> None:
        """What would leave before the append: the fed run's answer and delivery."""
        session, promises = write.session, self.stage.promises
        run = self.stage.sessions[session].core.fold(write.events if write.replaces else write.base + write.events)
        if isinstance(write.task, Inbound) and write.task.id in run.answers:
            promises.answer(world.stored[session], session, write.task.id, run.answers[write.task.id])
        if delivery := run.owes("deliver"):
            promises.post(world, session, Post(run.gen, delivery.step, delivery.target), shown=False)

    def _tell(self, world: World, node: int, session: int, target: int, inbound: Inbound) -> World:
        """A message for another session goes to its handler on the same node."""
        if inbound.kind == "ask":
            handler = world.handlers[node][session]
            tasks = tuple(task for task in handler.tasks if not (isinstance(task, Fire) and task.alarm.step == WATCH))
            world = world.with_handler(node, session, handler._replace(tasks=tasks))
        return self.stage.hand_in(world, node, target, inbound)

    def _push(self, world: World, node: int, session: int, effect: Effect) -> World:
        """Look an output up at the channel, or post it."""
        post = Post(effect.want.gen, effect.want.step, effect.want.target)
        compared = slice(None if self.stage.rules.compared_posts else 2)
        shown = any(each[compared] == post[compared] for each in world.posts)
        stage = "held" if shown else "post"
        if effect.stage == "post":
            self.stage.promises.post(world, session, post, shown=shown)
            world = world._replace(posts=(*world.posts, post))
            stage = "held"
        handler = world.handlers[node][session]
        effects = tuple(each._replace(stage=stage) if each == effect else each for each in handler.effects)
        return world.with_handler(node, session, handler._replace(effects=effects))

    def _clears(self, task: Fire, handler: Handler, stored: Stored, session: int) -> bool:
        """Whether an entry is dropped by itself: that of a session without a history, in one script."""
        if not self.stage.rules.exact_stale_alarms:
            return task.alarm not in self.stage.sessions[session].run(handler).due
        return not stored.history and not handler.history

    def _clear(self, world: World, node: int, session: int, task: Fire) -> World:
        handler, stored = world.handlers[node][session], world.stored[session]
        handler = handler._replace(tasks=tuple(each for each in handler.tasks if each != task))
        world = world.with_handler(node, session, handler)
        return self.stage.change(world, session, stored._replace(due=stored.due - {task.alarm}))

    def _renew(self, world: World, node: int, session: int) -> World:
        boot = world.boot(node)
        stored = self.stage.scripts.renew(world.stored[session], boot)
        world = self.stage.change(world, session, stored)
        handler = world.handlers[node][session]
        settled = settle.refresh(self.stage.sessions[session], handler, stored.history, boot, mine=stored.owner == boot)
        return self.stage.place(world, node, session, settled)

    # -- sweeping

    def _sweeps(self, world: World, node: int, session: int) -> Iterator[Move]:
        stored, tasks = world.stored[session], world.handlers[node][session].tasks
        name = f"{world.boot(node)} finds {f'errand {session}' if session else 'the session'}"
        if stored.owner and stored.overdue and Sweep() not in tasks and self.stage.rules.sweeper:
            yield Move(f"{name} overdue", True, partial(self._peek, world, node, session))
        for alarm in sorted(stored.due):
            if Fire(alarm) not in tasks and self._worth_firing(world, session, alarm):
                yield Move(f"{name} due ({alarm.step})", True, partial(self._peek_due, world, node, session, alarm))

    def _peek(self, world: World, node: int, session: int) -> World:
        """Take an overdue session over. Past its limit it is left alone and reported, not even loaded."""
        rules, stored = self.stage.rules, world.stored[session]
        taken = self.stage.scripts.peek(stored, world.boot(node))
        if taken.attempts <= self.stage.limit or not rules.limited_takeovers:
            return self.stage.hand_in(self.stage.change(world, session, taken), node, session, Sweep())
        if rules.reported_at_limit:
            world = world._replace(reported=world.reported | {session})
        if not rules.pending_at_limit:
            return world.with_stored(session, stored._replace(owner=None, overdue=False, attempts=0))
        if stored.attempts > self.stage.limit:
            return world  # the lease that is taken runs out again, so that all is as before but for the report
        handler = world.handlers[node][session]
        world = world.with_handler(node, session, handler._replace(leads=False, led_from=0))
        return self.stage.change(world, session, taken)

    def _peek_due(self, world: World, node: int, session: int, alarm: Alarm) -> World:
        if not self.stage.rules.visible_alarms:
            stored = world.stored[session]
            world = self.stage.change(world, session, stored._replace(due=stored.due - {alarm}))
        return self.stage.hand_in(world, node, session, Fire(alarm))

    def _worth_firing(self, world: World, session: int, alarm: Alarm) -> bool:
        """A parent's slow entry counts only when asking again would help, for the sake of the search."""
        run = self.stage.promises.fold(session, world.stored[session])
        if alarm.step != WATCH or alarm not in run.due:
            return True
        if not self.stage.rules.watched_errands:
            return False
        errands = [(child, world.stored[child]) for child in run.awaits]
        return any(
            not stored.history or (stored.owner is None and self.stage.promises.fold(child, stored).ended) for child, stored in errands
        )


def crash(world: World, node: int) -> World:
    """A process dies. Its successor's boot is none that anything still names."""
    named = {stored.owner for states in (world.stored, *world.earlier) for stored in states}
    named |= {write.boot for write in world.network}
    life = world.lives[node]
    if Boot(node, life) in named:
        life = min(life for life in range(len(named) + 1) if Boot(node, life) not in named)
    row = (FRESH,) * len(world.stored)
    return world._replace(
        handlers=(*world.handlers[:node], row, *world.handlers[node + 1 :]),
        lives=(*world.lives[:node], life, *world.lives[node + 1 :]),
    )
