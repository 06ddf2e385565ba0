"""What must hold of a simulation at rest, when nothing has gone wrong for a while and everybody has come to an end."""

from collections import Counter
from typing import TYPE_CHECKING

from support.butler import WORKFLOWS
from support.callers import Caller

from workflows.events import AnyEvent, Heard, Left, Opened
from workflows.registry import Registry
from workflows.run import Run
from workflows.turns import Said

if TYPE_CHECKING:
    from support.simulation import Simulation


def check(play: "Simulation") -> None:
    """Hold what is on record at the end to the promises."""
    _check_rest(play)
    written = play.town.written
    for session, events in written.items():
        stored = play.town.events(session)
        if not play.lossy and stored != events[max(i for i, event in enumerate(events) if isinstance(event, Opened)) :]:
            play.witness.blame(session, "what was written is not what is stored")
        if [event.at for event in stored] != sorted(event.at for event in stored):
            play.witness.blame(session, "time went back")
    for caller in play.callers:
        _check_caller(play, caller, play.town.events(caller.session) if play.lossy else written[caller.session])
    _check_calls(play)
    play.witness.posts.check_rest()


def _check_rest(play: "Simulation") -> None:
    """Nothing is outstanding, nobody waits, whatever is over may expire."""
    for _ in range(10):  # the slow entries of lost lives come, and are found unwanted
        if play.lossy and play.town.due:
            play.town.skip_to_due()
            play.town.wait(60.0)
    if play.town.pending or play.town.due:
        play.witness.blame("the indexes", f"hold {play.town.pending} and {play.town.due} at rest")
    for node in play.nodes:
        if node.live:
            play.witness.blame(node.name, f"keeps {node.live} sessions in memory that nobody talks to")
    for session, run in play.witness.runs.items():
        if play.town.store.histories[session].until is None and (run.ended or run.opened.parent is None):
            play.witness.blame(session, "it is over and done with, and never expires")
        if run.opened.parent is not None and not run.ended and not play.lossy:
            play.witness.blame(session, "an errand never ends")


def _check_caller(play: "Simulation", caller: Caller, events: list[AnyEvent]) -> None:
    """Each input was applied once, in one order, and done in that order."""
    heard = [event for event in (events if play.lossy else _fresh(events)) if isinstance(event, Heard) and event.type == "said"]
    ids = [event.id for event in heard]
    for id_, inbound in caller.inputs.items():
        applied = inbound.type and caller.answers[id_].state not in ("ended", "handled") and not play.lossy
        if ids.count(id_) > 1 or (applied and id_ not in ids):
            play.witness.blame(caller.session, f"{id_} was applied {ids.count(id_)} times")
    done, unheard = _replay(caller.session, events)
    wanted = [f"Did {event.payload['text']}." for event in heard if event.id not in unheard]
    left = any(isinstance(event, Left) for event in events)  # who leaves does not hear the end of an order
    if not _is_within(done, wanted) if left else done != (wanted[: len(done)] if play.lossy else wanted):
        play.witness.blame(caller.session, f"it did {done}, and heard {wanted}")


def _check_calls(play: "Simulation") -> None:
    """A call was made once, and again only after something that allows it."""
    for key, count in Counter(call.key for call in play.witness.calls).items():
        session = key.rsplit("/", 2)[0]
        if count > 1 + play.witness.upsets[session]:
            play.witness.blame(session, f"{key} was called {count} times")


def _fresh(events: list[AnyEvent]) -> list[AnyEvent]:
    """Without the inputs that a restart queued again."""
    queued: set[str] = set()
    found = []
    for event in events:
        if isinstance(event, Opened):
            queued = {each.id for each in event.carried if each.state == "queued"}
        if isinstance(event, Heard | Left) and event.id in queued:
            queued.discard(event.id)
        else:
            found.append(event)
    return found


def _replay(session: str, events: list[AnyEvent]) -> tuple[list[str], set[str]]:
    """What was done, by a strict replay of all generations, and the inputs that were not taken up when one ended."""
    registry = Registry(WORKFLOWS)
    said: list[Said] = []
    unheard: set[str] = set()
    run: Run | None = None
    for event in (*events, None):
        if run is not None and (event is None or isinstance(event, Opened)):
            unheard |= {id_ for id_, turn in run.turns.last.items() if run.ended and not turn.consumed}
            run.close()
        if isinstance(event, Opened):
            run = Run(session, event, registry, strict=True)
            said += run.said
        elif event is not None:
            assert run is not None
            run.feed(event)
            said += run.said
    return [output.text for _, _, output in said if output.text.startswith("Did ")], unheard


def _is_within(some: list[str], all_: list[str]) -> bool:
    """Whether all of some are among all, in the same order."""
    rest = iter(all_)
    return all(each in rest for each in some)
