"""What a handler makes of news: a task, a load, a heartbeat, a reply."""

from typing import Any

from model.events import Event
from model.handler import Effect, Handler, Inbound, Settled, Sweep, Task
from model.run import Run
from model.session import Session
from model.store import Boot, Reply, Write


def take(session: Session, handler: Handler, task: Task, boot: Boot) -> Settled:
    """A task arrives; what the handler knows may be old."""
    if task in handler.tasks or task in handler.waiting:
        return Settled(handler)
    handler = handler._replace(tasks=(*handler.tasks, task))
    if handler.history is None or handler.pending:
        return Settled(handler)
    return settle(session, handler, boot, fresh=False)


def load(session: Session, handler: Handler, history: tuple[Event, ...], boot: Boot) -> Settled:
    """The whole history was read. If it does not extend what was known, that belonged to another life."""
    known = handler.history
    if known is not None and history[: len(known)] != known:
        handler = _forget(session, handler)
    return settle(session, handler._replace(history=history, leads=False, led_from=0, pending=None), boot, fresh=True)


def refresh(session: Session, handler: Handler, history: tuple[Event, ...], boot: Boot, *, mine: bool) -> Settled:
    """A heartbeat showed whether the lease is still ours, and what others have appended."""
    known = handler.history or ()
    if not mine or history[: len(known)] != known:
        return load(session, handler, history, boot)
    return settle(session, handler._replace(history=history), boot, fresh=True)


def receive(session: Session, handler: Handler, write: Write, reply: Reply) -> Settled:
    """The store's reply to a call."""
    left_alone = session.rules.limited_takeovers and reply.attempts > session.limit
    leads = reply.owner == write.boot and not left_alone
    tasks, waiting, effects = handler.tasks, handler.waiting, handler.effects
    if reply.status != "conflict":
        history = write.events if write.replaces else write.base + write.events
        # After `again` nobody knows who has led meanwhile.
        led_from = len(history) if reply.status == "again" else 0 if write.replaces else len(write.base)
        recorded = {(event.kind == "sent", event.name) for event in write.events}
        effects = tuple(effect for effect in effects if (effect.want.kind == "deliver", effect.want.step) not in recorded)
        tasks = tuple(task for task in tasks if task != write.task and not isinstance(task, Sweep))
        if isinstance(write.task, Inbound) and write.task not in waiting:
            waiting = (*waiting, write.task)
    else:
        base = write.base
        if base and session.rules.overlap_check and reply.slice[:1] != base[-1:]:
            return Settled(_forget(session, handler))
        if not (session.rules.closed_on_conflict or write.replaces):
            base += write.events
        history = base + reply.slice[1:] if base else reply.slice
        led_from = len(history)
    if not leads:
        tasks = tuple(task for task in tasks if not isinstance(task, Sweep))
    if handler.leads and not write.replaces:
        led_from = handler.led_from
    handler = handler._replace(
        history=history,
        tasks=tasks,
        waiting=waiting,
        effects=effects,
        leads=leads,
        led_from=led_from if leads and session.core.pushes else 0,
        pending=None,
    )
    return settle(session, handler, write.boot, fresh=True, left_alone=left_alone)


def settle(session: Session, handler: Handler, boot: Boot, *, fresh: bool, left_alone: bool = False) -> Settled:
    """Sort the tasks, answer who can be answered, drop what nobody wants, start what is wanted.

    `fresh`: the history is the store's at this moment. `left_alone`: nobody goes on with the session.
    """
    run = session.run(handler)
    sure = fresh or not session.rules.confirmed_answers
    tasks: list[Task] = []
    waiting = list(handler.waiting)
    answers: list[tuple[str, Any]] = []
    confirmed: list[Inbound] = []
    noticed = handler.noticed
    for task in handler.tasks:
        place = session.place(task, handler) if isinstance(task, Inbound) else ""
        if isinstance(task, Inbound) and place == "recorded":
            waiting.append(task)
        elif not isinstance(task, Inbound) or place == "append" or not sure:
            tasks.append(task)
        elif place == "notice":
            tasks.append(Sweep("asked"))
            noticed = False
        elif task.internal:
            confirmed.append(task)
        else:
            answers.append((task.id, place))
    still: list[Inbound] = []
    for inbound in waiting:
        if inbound.id not in run.ids:
            (tasks if session.rules.append_again else still).append(inbound)
        elif sure and inbound.internal:
            confirmed.append(inbound)
        elif sure and inbound.id in run.answers:
            answers.append((inbound.id, run.answers[inbound.id]))
        elif left_alone:
            answers.append((inbound.id, "left alone"))
        else:
            still.append(inbound)
    handler = handler._replace(
        tasks=tuple(dict.fromkeys(tasks)),
        waiting=tuple(dict.fromkeys(still)),
        noticed=noticed,
        effects=_effects(session, run, handler, boot),
    )
    return Settled(handler, tuple(answers), tuple(confirmed))


def _effects(session: Session, run: Run, handler: Handler, boot: Boot) -> tuple[Effect, ...]:
    rules = session.rules
    effects = [effect for effect in handler.effects if not rules.still_wanted or session.wanted(effect.want, run)]
    if not handler.leads:
        return tuple(effect for effect in effects if effect.want.kind != "deliver" or effect.stage == "held" or not rules.leader_posts)
    running = {effect.want for effect in effects}
    for want in sorted(want for want in run.owed - running if want.kind != "restart"):
        stage = "running"
        if want.kind == "deliver":
            ours = int(want.step.partition(".")[0]) >= handler.led_from
            stage = "post" if ours or not rules.look_before_posting else "look"
        effects.append(Effect(want, f"{boot}@{want.gen}", stage))
    return tuple(effects)


def _forget(session: Session, handler: Handler) -> Handler:
    """Everything goes but what is still to be done for others."""
    effects = () if session.rules.lives_apart else handler.effects
    return handler._replace(history=None, effects=effects, leads=False, led_from=0, noticed=False, pending=None)
