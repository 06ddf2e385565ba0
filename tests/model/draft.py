"""What a handler may do next, going by what it knows alone: messages to other sessions, and calls of the store."""

from model.events import WATCH, Alarm, Carried, Event, Opening, child_of
from model.handler import Draft, Effect, Fire, Handler, Inbound, Sweep
from model.run import Run
from model.session import Session
from model.steps import LEFT
from model.store import Boot, Write


def messages(session: Session, handler: Handler) -> list[tuple[int, Inbound]]:
    """What is to be told to which session."""
    run = session.run(handler)
    told = []
    for effect in handler.effects:
        kind, child = effect.want.kind, effect.want.target
        if effect.stage == "running" and kind == "start":
            told.append((child, Inbound(f"errand/{child}/open", "open", gen=run.gen)))
        elif effect.stage == "running" and kind == "cancel":
            told.append((child, Inbound(f"errand/{child}/cancel", "cancel", "cancel")))
    if Fire(Alarm(run.gen, WATCH)) in handler.tasks and Alarm(run.gen, WATCH) in run.due:
        told += [(child, Inbound(f"errand/{child}/ask", "ask", gen=run.gen)) for child in sorted(run.awaits)]
    if session.owes_notice(run, noticed=handler.noticed) and (handler.leads or not session.rules.pends_for_notice):
        id_ = f"errand/{session.number if session.rules.named_notices else 0}/done"
        told.append((0, Inbound(id_, "errand", f"errand/{session.number}/{run.parent_gen}", run.parent_gen)))
    return told


def unconfirmed(session: Session, handler: Handler) -> bool:
    """Whether somebody could be answered if the tail were confirmed."""
    run = session.run(handler)
    refused = any(isinstance(task, Inbound) and session.place(task, handler) != "append" for task in handler.tasks)
    return refused or any(inbound.internal or inbound.id in run.answers for inbound in handler.waiting)


def drafts(session: Session, handler: Handler) -> list[Draft]:
    """The calls that may be made."""
    run = session.run(handler)
    calls = [draft for effect in handler.effects if (draft := _outcome(session, effect))]
    polls = bool(handler.waiting)
    inputs = [task for task in handler.tasks if isinstance(task, Inbound)]
    for inbound in inputs:
        draft = _input(session, run, handler, inbound) if session.place(inbound, handler) == "append" else None
        if draft:
            calls.append(draft)
            break
        polls = True
    for task in handler.tasks:
        if isinstance(task, Fire) and task.alarm in run.alarms:
            calls.append(Draft(f"fires {task.alarm.step}", (Event("fired", task.alarm.step),), task))
        elif isinstance(task, Fire) and task.alarm not in run.due and handler.history:
            calls.append(Draft("clears an alarm", (), task))
        polls |= isinstance(task, Fire) and not handler.history
    pends = session.pends(run, noticed=handler.noticed)
    if any(isinstance(task, Sweep) for task in handler.tasks):
        calls.append(Draft("claims"))
    elif handler.leads and not pends:
        calls.append(Draft("releases"))
    elif polls:
        calls.append(Draft("polls", polls=True))
    if handler.leads and run.owes("restart") and not session.undelivered(run):
        calls.append(_restart(session, run))
    return calls


def _outcome(session: Session, effect: Effect) -> Draft | None:
    """The call that records what an effect has come to; None while it has come to nothing."""
    want, held = effect.want, effect.stage == "held"
    if want.kind == "deliver" and held:
        return Draft(f"notes the receipt of {want.step}", (Event("sent", want.step, effect.value),))
    if want.kind == "call":
        return Draft(f"memoises {want.step}", (Event("memo", want.step, effect.value),))
    untold = want.kind == "cancel" and not session.rules.told_before_memo
    if want.kind in ("start", "cancel") and (held or untold):
        return Draft(f"memoises the {want.kind} {want.step}", (Event("memo", want.step, "ok"),))
    return None


def _input(session: Session, run: Run, handler: Handler, inbound: Inbound) -> Draft | None:
    """The call that stores an inbound; None while it must wait."""
    label = f"appends {inbound.id}"
    if inbound.kind in ("open", "ask"):
        return Draft(label, (Event("opened", inbound.id, Opening(parent_gen=inbound.gen)),), inbound)
    heard = Event("left" if inbound.kind == LEFT else "heard", inbound.id, inbound.via)
    if not handler.history and inbound.kind == "said":
        return Draft(label, (Event("opened", "", Opening(via=inbound.via)), heard), inbound)
    if run.ended and inbound.kind == "said":
        if session.undelivered(run):
            return None
        carried = _carried(session, run) if session.rules.reopening_carries_ids else ()
        opened = Event("opened", "", Opening(run.gen + 1, inbound.via, carried=carried))
        return Draft(f"REOPENS for {inbound.id}", (opened, heard), inbound, replaces=True)
    if inbound.kind == "errand" and session.rules.start_before_notice:
        started = (want for want in sorted(run.owed) if (want.kind, want.target) == ("start", child_of(inbound.via)))
        if start := next(started, None):
            return Draft(f"memoises the start {start.step}, as its result shows", (Event("memo", start.step, "ok"),))
    return Draft(label, (heard,), inbound)


def _restart(session: Session, run: Run) -> Draft:
    rules = session.rules
    carried = _carried(session, run) if rules.carried_ids else ()
    errands = tuple(sorted(run.errands.items())) if rules.carried_errands else ()
    opened = Event("opened", "", Opening(run.gen + 1, run.via, carried, errands))
    queue = run.queue if rules.carried_queue else ()
    if run.left and rules.carried_left:
        queue = (run.left, *queue)
    return Draft("RESTARTS", (opened, *queue), replaces=True)


def _carried(session: Session, run: Run) -> tuple[Carried, ...]:
    if session.rules.carried_answers:
        return run.carried
    return tuple(each._replace(outputs=None) if each.state == "done" else each for each in run.carried)


def write(session: Session, handler: Handler, boot: Boot, draft: Draft, events: tuple[Event, ...]) -> Write:
    """The bytes of a call; `events` are the draft's with their uids. The run is fed first, on trust, to know what they change."""
    base = handler.history
    assert base is not None
    before = session.core.fold(base)
    after = session.core.fold(events if draft.replaces else base + events)
    cleared = before.due - after.due
    if isinstance(draft.task, Fire) and not events:
        cleared |= {draft.task.alarm}
    release = not session.pends(after, noticed=handler.noticed)
    if not session.rules.pends_for_all and any(event.kind == "memo" for event in events):
        release = True
    return Write(
        session=session.number,
        boot=boot,
        base=base,
        events=events,
        replaces=draft.replaces,
        alarms_set=after.due,
        alarms_cleared=cleared,
        release=release,
        progress=bool(before.owed - after.owed),
        expires=not session.keeps(after, noticed=handler.noticed),
        task=draft.task,
    )
