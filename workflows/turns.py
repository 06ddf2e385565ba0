"""The turns of a run: which outputs answer which inbound.

An output belongs to the inbound consumed last. The answer to an inbound is what was said from its consumption until the next inbound is
consumed or the run is quiescent. An inbound that the first quiescence at or after its arrival finds unconsumed is answered "kept", for
good. All of it follows from the history alone, so every replica gives the same answer at any time.
"""

from bisect import bisect
from typing import Literal

import msgspec

from workflows.events import Carried, Prompt
from workflows.outgoing import Outgoing, Unsent
from workflows.outputs import Output

KEPT_TURNS = 16
"""Answers kept beside a run, at least; older ones are found by replaying."""

CARRIED_IDS = 256
CARRIED_MS = 3_600_000

State = Literal["running", "answered", "kept", "ended", "failed", "handled"]

Said = tuple[int, int, Output]
"""An output with its number: position in the history, ordinal."""


class Answer(msgspec.Struct, frozen=True):
    """What an inbound was answered.

    `turn` is its number. `said` are the outputs from `offset` on (counted from the turn's first). `state`: `running` (more will come),
    `answered`, `kept` (it waits, nothing was said to it), `ended` (it came after the end), `failed` (the workflow has a bug) or
    `handled` (known from before a restart; its answer is gone). `prompt` is what the caller speaks to next, None if nobody listens;
    `ended` tells that the session was over then.
    """

    turn: int
    said: tuple[Said, ...]
    state: State
    prompt: Prompt | None = None
    ended: bool = False
    offset: int = 0


class Spoken(msgspec.Struct, frozen=True):
    """An output as a reader of the whole session sees it, with the number and the dedupe id of the turn that it belongs to."""

    said: Said
    turn: int
    id: str


class Turn(msgspec.Struct, eq=False, gc=False):
    """One inbound on its way through a run; `start` and `end` bound its answer in the log of outputs."""

    id: str
    number: int
    at: int
    start: int
    end: int | None = None
    state: State = "running"
    prompt: Prompt | None = None
    ended: bool = False
    consumed: bool = False


class Turns:
    """All turns that a run remembers, and the log of what was said in them.

    Attributes:
        last: the last turns by dedupe id, oldest first.
        current: the turn consumed last.
        open: those still to be answered.
        count: how many outputs were said so far. `before`: how many of them before the last event.
        outgoing: those that have to be sent, where the channel pushes.
    """

    __slots__ = ("_forgotten", "_log", "_most", "before", "count", "current", "last", "open", "outgoing")

    def __init__(self) -> None:
        self.last: dict[str, Turn] = {}
        self.current: Turn | None = None
        self.open: list[Turn] | tuple[()] = ()
        self.count = 0
        self.outgoing: Outgoing | None = None
        self._forgotten: dict[str, int] | None = None
        self._log: list[Said] = []
        self.before = 0
        self._most = KEPT_TURNS

    def __contains__(self, id_: str) -> bool:
        """Whether an inbound of that dedupe id is on record."""
        return id_ in self.last or (self._forgotten is not None and id_ in self._forgotten)

    @property
    def ids(self) -> dict[str, int]:
        """Every dedupe id on record, with the time of its arrival, ms; those that still have their turns come last."""
        return {**(self._forgotten or {}), **{id_: turn.at for id_, turn in self.last.items()}}

    def arrive(self, id_: str, number: int, at: int) -> Turn:
        """An inbound is on record.

        The words that came with an opening carry its id and belong to its turn; what a restart carried in the queue comes again.
        """
        turn = self.last.get(id_)
        if turn is None:
            turn = self.last[id_] = Turn(id_, number, at, self.count)
        elif turn is self.current and turn.state == "answered":
            turn.end, turn.state = None, "running"
        elif turn.end is not None or turn in self.open:
            return turn
        if self.open:
            self.open.append(turn)
        else:
            self.open = [turn]
        return turn

    @property
    def unanswered(self) -> bool:
        """Whether the turn consumed last is open still."""
        return self.current is not None and self.current.end is None

    def consume(self, turn: Turn, prompt: Prompt | None = None) -> None:
        """The run takes the inbound up; whatever was said before belongs to the turn before, which ends with `prompt`."""
        if turn is self.current:
            return
        before, self.current = self.current, turn
        if before is not None and before.end is None:
            self._answer_early(before, prompt)
        turn.consumed = True
        if turn.end is None:
            turn.start = self.count

    def welcome(self, turn: Turn) -> None:
        """The caller came back unheard: the answer is what was said since they did."""
        start = turn.start
        self.consume(turn)
        turn.start = start

    def drop(self, turn: Turn) -> None:
        """The run has no use for the inbound: it is answered with nothing."""
        if turn.end is None:
            self._answer_early(turn, None)
        turn.consumed = True

    def say(self, position: int, output: Output) -> None:
        """Something was said upon the event at that position."""
        ordinal = self.count - self.before
        self._log.append((position, ordinal, output))
        self.count += 1
        if self.outgoing is not None:
            turn = self.current.id if self.current is not None else ""
            self.outgoing.unsent.append(Unsent((position, ordinal), output, turn, self.unanswered))

    def apologise(self, position: int, output: Output) -> None:
        """The same, but not by the workflow, which has a bug."""
        self.say(position, output)
        if self.outgoing is not None:
            self.outgoing.unsent[-1].apology = True

    @property
    def said(self) -> list[Said]:
        """What was said upon the last event."""
        return self._log[self.before - self._base :]

    @property
    def said_last(self) -> tuple[int, int] | None:
        """The number of the last output."""
        return self._log[-1][:2] if self._log else None

    def settle(self, prompt: Prompt | None, unheard: State, *, ended: bool) -> None:
        """The run is quiescent: every open turn gets its answer.

        `unheard`: what becomes of a turn that nothing has listened for, `kept`, `ended` or `failed`, which every turn has then.
        """
        for turn in self.open:
            turn.end, turn.prompt, turn.ended = self.count, prompt, ended
            if turn.consumed:
                turn.state = "answered" if unheard != "failed" else unheard
            else:  # whatever was said while it waited was said to others
                turn.state, turn.start = unheard, self.count
        self.open = ()
        if len(self.last) > self._most:
            self._trim()

    def answer(self, turn: Turn, offset: int = 0, *, whole: bool = True) -> Answer:
        """The answer to a turn from `offset` on; not `whole`: with all that was said since, in whatever later turn."""
        base = self._base
        start = max(turn.start + offset, base)
        end = turn.end if whole and turn.end is not None else self.count
        said = tuple(self._log[start - base : max(end - base, 0)])
        return Answer(turn.number, said, turn.state, turn.prompt, turn.ended, start - turn.start)

    def since(self, after: tuple[int, int] | None) -> list[Spoken] | None:
        """What was said behind an output (position, ordinal; None: from the beginning); None if that is not remembered any more."""
        log = self._log
        if self._base and (after is None or not log or log[0][:2] > after):
            return None
        new = [(index, said) for index, said in enumerate(log, self._base) if after is None or said[:2] > after]
        if not new:
            return []
        turns = sorted((turn.start, turn.number, turn.id) for turn in self.last.values() if turn.consumed)
        spoken: list[Spoken] = []
        for index, said in new:
            _, number, id_ = turns[max(bisect(turns, index, key=lambda turn: turn[0]) - 1, 0)] if turns else (0, said[0], "")
            spoken.append(Spoken(said, number, id_))
        return spoken

    def carry(self, now: int) -> tuple[Carried, ...]:
        """What a restart takes along: the ids of the last hour, the last answers, and where the open turns stand."""
        answered = [turn.id for turn in self.last.values() if turn.consumed and turn.end is not None]
        handled = set(answered[:-KEPT_TURNS])
        carried: list[Carried] = []
        for id_, at in list(self.ids.items())[-CARRIED_IDS:]:
            turn = self.last.get(id_)
            if turn is None or id_ in handled:
                if at > now - CARRIED_MS:
                    carried.append(Carried(id_, at, "handled"))
                continue
            state = "queued" if not turn.consumed else "open" if turn.end is None else "done"
            outputs = list(self.answer(turn).said) if turn.consumed else None
            carried.append(Carried(id_, at, state, turn.number, outputs, turn.prompt, turn.state == "kept"))
        return tuple(carried)

    def resume(self, carried: Carried) -> None:
        """Take a dedupe id over from the generation before."""
        if carried.state == "handled":
            self._forgotten = self._forgotten or {}
            self._forgotten[carried.id] = carried.at
            return
        turn = self.last[carried.id] = Turn(carried.id, carried.turn, carried.at, self.count)
        turn.consumed = carried.state != "queued"
        turn.prompt = carried.prompt
        self._log.extend(carried.outputs or ())
        self.count = self.before = len(self._log)
        if carried.state == "done" or carried.kept:
            turn.end = self.count
            turn.state = "kept" if carried.kept else "answered"
        elif carried.state == "open":
            self.open = [*self.open, turn]
            self.current = turn

    @property
    def _base(self) -> int:
        """How many outputs have been forgotten."""
        return self.count - len(self._log)

    def _answer_early(self, turn: Turn, prompt: Prompt | None) -> None:
        """An open turn gets its answer before the run is quiescent."""
        assert self.open
        turn.end, turn.prompt, turn.state = self.count, prompt, "answered"
        if not turn.consumed:
            turn.start = self.count
        self.open.remove(turn)

    def _trim(self) -> None:
        """Forget the oldest answers, but not what waits to be consumed; only now and then, since that may be long."""
        forgotten = self._forgotten = self._forgotten or {}
        answered = [turn for turn in self.last.values() if turn.consumed and turn.end is not None and turn is not self.current]
        for turn in answered[:-KEPT_TURNS]:
            del self.last[turn.id]
            forgotten[turn.id] = turn.at
        self._most = len(self.last) + KEPT_TURNS
        start = min([self.before, *[turn.start for turn in self.last.values() if turn.consumed]])
        del self._log[: max(start - self._base, 0)]
