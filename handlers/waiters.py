"""Who waits for what a session says: endpoints that asked with an input, and those that collect the rest of a turn."""

import msgspec

from handlers.journal import Journal
from handlers.messages import Collect, Inbound
from handlers.recall import find_answer
from workflows.run import Run
from workflows.turns import Answer, State

NO_TURN = -1
"""The number of a turn that is none: the input was not taken."""


class Waiters:
    """The reply-tos of one handler. Each is answered once; one whose endpoint has given up is dropped."""

    __slots__ = ("_asked", "_collects", "_parked")

    def __init__(self) -> None:
        self._asked: tuple[Inbound, ...] = ()  # no lists: most sessions have nobody waiting, and empty lists add up
        self._collects: tuple[Collect, ...] = ()
        self._parked: tuple[Inbound, ...] = ()

    def __bool__(self) -> bool:
        """Whether anybody still waits."""
        if self._asked:
            self._asked = tuple([each for each in self._asked if _waits(each)])
        if self._collects:
            self._collects = tuple([each for each in self._collects if _waits(each)])
        return bool(self._asked or self._collects or self._parked)

    def add(self, inbound: Inbound) -> None:
        """Wait for the answer to an input, if anybody does."""
        if inbound.reply_to is not None and not inbound.stored_suffices:
            self._asked += (inbound,)

    def collect(self, collect: Collect) -> None:
        """Wait for the rest of a turn."""
        self._collects += (collect,)

    def park(self, inbound: Inbound) -> None:
        """Keep an input that would begin a new generation until the last words of the old one are sent."""
        self._parked += (inbound,)

    def take_parked(self, journal: Journal) -> tuple[Inbound, ...]:
        """The inputs that need not wait any longer for what the session has to send; nobody keeps them here any more."""
        run = journal.run
        if run is not None and run.unsent and not journal.left_alone:
            return ()
        parked, self._parked = self._parked, ()
        return parked

    async def show(self, journal: Journal) -> None:
        """Answer whoever can be answered, from what is acknowledged."""
        run = journal.run
        for id_ in dict.fromkeys([each.id for each in self._asked]):
            turn = None if run is None else run.turns.last.get(id_)
            if run is None or turn is None or turn.end is None:
                answer = await _slow_answer(journal, id_)
            else:
                answer = run.turns.answer(turn)
            if answer is not None:
                for inbound in self._take(id_):
                    _answer(inbound, answer)
        for collect in self._collects:
            answer = await _rest(journal, collect)
            if answer is not None:
                self._collects = tuple([each for each in self._collects if each is not collect])
                _answer(collect, answer)

    def take_lost(self, run: Run | None) -> list[Inbound]:
        """The inputs that were on record and are no longer; nobody waits for them here any more."""
        lost = [each.id for each in self._asked if run is None or each.id not in run.turns]
        return [inbound for id_ in dict.fromkeys(lost) for inbound in self._take(id_)]

    def fail(self, error: Exception) -> None:
        """Tell all that there will be no answer."""
        everybody: tuple[Inbound | Collect, ...] = (*self._asked, *self._parked, *self._collects)
        self._asked = self._parked = self._collects = ()
        for each in everybody:
            if each.reply_to is not None and not each.reply_to.answered:
                each.reply_to.fail(error)

    def _take(self, id_: str) -> list[Inbound]:
        """All who wait for the answer to this input; they are answered by whoever takes them."""
        taken = [each for each in self._asked if each.id == id_]
        self._asked = tuple([each for each in self._asked if each.id != id_])
        return taken


async def _slow_answer(journal: Journal, id_: str) -> Answer | None:
    """The answer to an input that is not simply one of the last; None: not yet."""
    run = journal.run
    if run is None:
        return Answer(NO_TURN, (), "failed", ended=True) if journal.broken else None
    if id_ not in run.turns:
        return None
    turn = run.turns.last.get(id_)
    if turn is not None:
        return msgspec.structs.replace(run.turns.answer(turn), state="failed") if journal.left_alone else None
    if any(each.id == id_ and each.state == "handled" for each in run.opened.carried):
        return Answer(NO_TURN, (), "handled")
    return await journal.recall(id_) or Answer(NO_TURN, (), "handled")


async def _rest(journal: Journal, collect: Collect) -> Answer | None:
    """What a collector hears; None: nothing yet."""
    run = journal.run
    if run is None:
        return Answer(NO_TURN, (), "failed" if journal.broken else "handled", ended=True)
    answer = find_answer(run, collect.turn, collect.offset, whole=False)
    if answer is None:
        if collect.turn is None:
            return Answer(NO_TURN, (), "handled", run.prompt, run.ended)
        found = await journal.recall(collect.turn, collect.offset)
        return found or Answer(NO_TURN, (), "handled", run.prompt, run.ended)
    failed = run.failure is not None or journal.left_alone
    done = failed or (run.quiescent and bool(answer.said or run.prompt is not None or run.ended))
    if collect.wait and not done:
        return None
    state: State = "failed" if failed else "answered" if run.quiescent else "running"
    return Answer(answer.turn, answer.said, state, run.prompt, run.ended, answer.offset)


def _waits(message: Inbound | Collect) -> bool:
    return message.reply_to is not None and not message.reply_to.abandoned


def _answer(message: Inbound | Collect, answer: Answer) -> None:
    assert message.reply_to is not None
    message.reply_to.answer(answer)
