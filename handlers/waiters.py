"""Who waits for what a session says: endpoints that asked with an input, and those that collect the rest of a turn."""

from handlers.journal import Journal, find_answer
from handlers.messages import Collect, Inbound
from handlers.reply import ReplyTo
from workflows.run import Run
from workflows.turns import Answer

NO_TURN = -1
"""The number of a turn that is none: the input was not taken."""


class Waiters:
    """The reply-tos of one handler. Each is answered once; one whose endpoint has given up is dropped."""

    __slots__ = ("_asked", "_collects")

    def __init__(self) -> None:
        self._asked: dict[str, list[ReplyTo[Answer]]] = {}
        self._collects: list[Collect] = []

    def __bool__(self) -> bool:
        """Whether anybody still waits."""
        if self._asked:
            self._asked = {
                id_: waiting for id_, replies in self._asked.items() if (waiting := [each for each in replies if not each.abandoned])
            }
        if self._collects:
            self._collects = [each for each in self._collects if not each.reply_to.abandoned]
        return bool(self._asked or self._collects)

    def add(self, inbound: Inbound) -> None:
        """Wait for the answer to an input, if anybody does."""
        if inbound.reply_to is not None and not inbound.stored_suffices:
            self._asked.setdefault(inbound.id, []).append(inbound.reply_to)

    def remove(self, inbound: Inbound) -> None:
        """The input is not on record after all."""
        replies = self._asked.get(inbound.id, [])
        if inbound.reply_to in replies:
            replies.remove(inbound.reply_to)
            if not replies:
                del self._asked[inbound.id]

    def collect(self, collect: Collect) -> None:
        """Wait for the rest of a turn."""
        self._collects.append(collect)

    def show(self, run: Run) -> None:
        """Answer whoever waits for a turn that is complete."""
        for id_ in [id_ for id_ in self._asked if id_ in run.turns.ids]:
            turn = run.turns.last.get(id_)
            if turn is not None and turn.end is None:
                continue
            answer = Answer(NO_TURN, (), "handled") if turn is None else run.turns.answer(turn)
            for reply in self._asked.pop(id_):
                reply.answer(answer)

    async def show_rest(self, journal: Journal) -> None:
        """Answer whoever collects: at once what there is, or when the session is quiescent and has something to say."""
        for collect in self._collects[:]:
            run = journal.run
            answer = None if run is None else find_answer(run, collect.turn, collect.offset, whole=False)
            if answer is None or run is None:
                answer = (await journal.recall(collect.turn) if run is not None else None) or Answer(NO_TURN, (), "handled", ended=True)
            else:
                done = run.failure is not None or (run.quiescent and bool(answer.said or run.prompt is not None or run.ended))
                if collect.wait and not done:
                    continue
                state = "failed" if run.failure is not None else "answered" if run.quiescent else "running"
                answer = Answer(answer.turn, answer.said, state, run.prompt, run.ended, answer.offset)  # type: ignore[arg-type]  # of State
            self._collects.remove(collect)
            collect.reply_to.answer(answer)

    def fail(self, error: Exception) -> None:
        """Tell all that there will be no answer."""
        for reply in [reply for replies in self._asked.values() for reply in replies] + [each.reply_to for each in self._collects]:
            reply.fail(error)
        self._asked.clear()
        self._collects.clear()
