"""What follows for one session from its run alone: what it owes, what keeps it, and what becomes of an inbound."""

from dataclasses import dataclass

from model.core import Core
from model.events import Want, child_of
from model.handler import Handler, Inbound
from model.rules import Rules
from model.run import Run


@dataclass(frozen=True, slots=True)
class Session:
    """`number` 0 is the conversation, the others are its errands. `reopens`: after the end, an input opens a new generation."""

    number: int
    core: Core
    rules: Rules
    limit: int
    reopens: bool = False

    def run(self, handler: Handler) -> Run:
        """The run of what a handler knows."""
        assert handler.history is not None
        return self.core.fold(handler.history)

    def owes_notice(self, run: Run, *, noticed: bool) -> bool:
        """Whether the parent has yet to hear how this errand ended."""
        return self.number > 0 and run.ended and not run.cancelled and not noticed

    def pends(self, run: Run, *, noticed: bool) -> bool:
        """Whether somebody has to hold the lease."""
        if any(want.kind != "deliver" for want in run.owed) or (run.owed and self.rules.pends_for_delivery):
            return True
        return self.rules.pends_for_notice and self.owes_notice(run, noticed=noticed)

    def keeps(self, run: Run, *, noticed: bool) -> bool:
        """Whether the history may not expire."""
        rules = self.rules
        pending = bool(run.owed) or self.owes_notice(run, noticed=noticed)
        waits = bool(run.awaits) and not (run.ended and rules.ended_lets_go)
        errand = waits or (self.number > 0 and not run.ended)
        return (rules.pending_keeps and pending) or (rules.alarms_keep and bool(run.alarms)) or (rules.errands_keep and errand)

    def undelivered(self, run: Run) -> bool:
        """Whether the generation has to stay for the sake of an output."""
        return run.owes("deliver") is not None and self.rules.delivered_before_replaced

    def wanted(self, want: Want, run: Run) -> bool:
        """Whether the run still wants exactly this."""
        if self.rules.lives_apart:
            return want in run.owed
        return any(want[1:] == other[1:] for other in run.owed)

    def place(self, inbound: Inbound, handler: Handler) -> str:
        """What becomes of an inbound: `recorded` (it is), `append`, `notice` (the parent asks for it again), or a refusal in a word."""
        run, absent, rules = self.run(handler), not handler.history, self.rules
        if inbound.id in run.ids and inbound.kind != "open" and rules.dedupe:
            return "recorded"
        match inbound.kind:
            case "open":
                return "append" if absent or not rules.started_once else "opened"
            case "ask":
                owes = self.owes_notice(run, noticed=handler.leads and handler.noticed)
                return "append" if absent else "notice" if owes else "asked"
            case "cancel":
                return "told" if (absent or run.ended) and rules.absent_is_told else "append"
            case "errand":
                known = run.gen == inbound.gen or child_of(inbound.via) in run.errands or not rules.told_generation
                return "told" if (absent or run.ended or not known) and rules.absent_is_told else "append"
            case "left":
                closes = run.via == inbound.via or not rules.named_connection
                return "ended" if absent or run.ended else "append" if closes else "late"
            case _:
                return "ended" if run.ended and not self.reopens else "append"
