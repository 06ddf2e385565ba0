"""The turns of a run: which outputs answer which inbound.

An output belongs to the inbound consumed last. The answer to an inbound is what was said from its consumption until the next inbound is
consumed or the run is quiescent. An inbound that the first quiescence at or after its arrival finds unconsumed is answered "kept", for
good. All of it follows from the history alone, so every replica gives the same answer at any time.
"""

from typing import Literal

import msgspec

from workflows.events import Carried, Prompt
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


class Turn:
    """One inbound on its way through a run; `start` and `end` bound its answer in the log of outputs."""

    __slots__ = ("at", "consumed", "end", "ended", "id", "number", "prompt", "secret", "start", "state")

    def __init__(self, id_: str, number: int, at: int, start: int) -> None:
        self.id = id_
        self.number = number
        self.at = at
        self.start = start
        self.end: int | None = None
        self.state: State = "running"
        self.prompt: Prompt | None = None
        self.ended = False
        self.consumed = False
        self.secret = False


class Turns:
    """All turns that a run remembers, and the log of what was said in them.

    Attributes:
        ids: every dedupe id on record, with the time of its arrival, ms.
        last: the last turns by dedupe id, oldest first.
        current: the turn consumed last.
    """

    __slots__ = ("_base", "_log", "_most", "_open", "current", "ids", "last")

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.last: dict[str, Turn] = {}
        self.current: Turn | None = None
        self._open: list[Turn] = []
        self._log: list[Said] = []
        self._base = 0
        self._most = KEPT_TURNS

    def arrive(self, id_: str, number: int, at: int) -> Turn:
        """An inbound is on record.

        The words that came with an opening carry its id and belong to its turn; what a restart carried in the queue comes again.
        """
        turn = self.last.get(id_)
        if turn is None:
            turn = self.last[id_] = Turn(id_, number, at, self._end)
            self.ids[id_] = at
        elif turn is self.current and turn.state == "answered":
            turn.end, turn.state = None, "running"
        elif turn.end is not None or turn in self._open:
            return turn
        self._open.append(turn)
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
            self._close(before, "answered", prompt, ended=False)
            self._open.remove(before)
        turn.consumed = True
        if turn.end is None:
            turn.start = self._end

    def welcome(self, turn: Turn) -> None:
        """The caller came back unheard: the answer is what was said since they did."""
        start = turn.start
        self.consume(turn)
        turn.start = start

    def drop(self, turn: Turn) -> None:
        """The run has no use for the inbound: it is answered with nothing."""
        if turn.end is None:
            self._close(turn, "answered", None, ended=False)
            self._open.remove(turn)
        turn.consumed = True

    def say(self, said: Said) -> None:
        """Something was said."""
        self._log.append(said)

    def settle(self, prompt: Prompt | None, *, ended: bool, failed: bool) -> None:
        """The run is quiescent: every open turn gets its answer."""
        for turn in self._open:
            state: State = "failed" if failed else "answered" if turn.consumed else "ended" if ended else "kept"
            self._close(turn, state, prompt, ended=ended)
        self._open.clear()
        if len(self.last) > self._most:
            self._trim()

    @property
    def open(self) -> bool:
        """Whether anybody is still to be answered."""
        return bool(self._open)

    def answer(self, turn: Turn, offset: int = 0, *, whole: bool = True) -> Answer:
        """The answer to a turn from `offset` on; not `whole`: with all that was said since, in whatever later turn."""
        start = max(turn.start + offset, self._base)
        end = turn.end if whole and turn.end is not None else self._end
        said = tuple(self._log[start - self._base : max(end - self._base, 0)])
        return Answer(turn.number, said, turn.state, turn.prompt, turn.ended, start - turn.start)

    def carry(self, now: int) -> list[Carried]:
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
        return carried

    def resume(self, carried: Carried) -> None:
        """Take a dedupe id over from the generation before."""
        self.ids[carried.id] = carried.at
        if carried.state == "handled":
            return
        turn = self.last[carried.id] = Turn(carried.id, carried.turn, carried.at, self._end)
        turn.consumed = carried.state != "queued"
        turn.prompt = carried.prompt
        self._log.extend(carried.outputs or ())
        if carried.state == "done" or carried.kept:
            turn.end = self._end
            turn.state = "kept" if carried.kept else "answered"
        elif carried.state == "open":
            self._open.append(turn)
            self.current = turn

    @property
    def _end(self) -> int:
        return self._base + len(self._log)

    def _close(self, turn: Turn, state: State, prompt: Prompt | None, *, ended: bool) -> None:
        turn.end = self._end
        turn.state = state
        turn.prompt = prompt
        turn.ended = ended
        if not turn.consumed:  # whatever was said while it waited was said to others
            turn.start = turn.end

    def _trim(self) -> None:
        """Forget the oldest answers, but not what waits to be consumed; only now and then, since that may be long."""
        answered = [turn for turn in self.last.values() if turn.consumed and turn.end is not None and turn is not self.current]
        for turn in answered[:-KEPT_TURNS]:
            del self.last[turn.id]
        self._most = len(self.last) + KEPT_TURNS
        kept = answered[-KEPT_TURNS:] if self.current is None else [*answered[-KEPT_TURNS:], self.current]
        start = max(min([turn.start for turn in kept], default=self._end), self._base)
        del self._log[: start - self._base]
        self._base = start
