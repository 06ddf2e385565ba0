"""A history without the secrets that were keyed into it, which can still be replayed.

A secret is replaced by as many zeros (by a question mark, if it was not understood or nobody took it), and what was computed from it is
computed anew: the checksums of words and the hashes of arguments, from which a PIN could be guessed. What differed from the code before
differs from it still. Where the conversation itself depends on the secret, the history ends: zeros would lead it elsewhere. It also ends
with the first event that the code in front of us does not repeat, since nobody can tell what is a secret after that.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from switchboard.replay import Moment, replay
from workflows.errors import NondeterminismError, NotUnderstood, UndecodableError
from workflows.events import HEAD, AnyEvent, Heard, Memo, Opened, encode, uid_of
from workflows.inputs import Heard as Spoken
from workflows.inputs import read
from workflows.listen import AnyListen
from workflows.registry import Registry
from workflows.run import Run

_UNHEARD: Final = "?"
"""What stands for an input that was not understood, or that nobody took."""

_DEPENDS: Final = "what follows depends on what is hidden"


@dataclass(frozen=True, slots=True)
class Redacted:
    """A history without secrets. `hidden`: positions of the inputs replaced. `left_out`: how many events are cut off, and `why`."""

    elements: tuple[bytes, ...]
    hidden: tuple[int, ...] = ()
    left_out: int = 0
    why: str = ""


def redact(session: str, elements: list[bytes], registry: Registry) -> Redacted:
    """Hide what the listens of the code in front of us took as a secret, and what may have been one."""
    moments = replay(session, elements, registry).moments
    opened = moments[0].event
    if not isinstance(opened, Opened):
        return Redacted((elements[0][:HEAD],), left_out=len(elements) - 1, why="it does not begin with an opening")
    twin = _Twin(session, opened, registry)
    try:
        kept = [elements[0]]
        hidden: list[int] = []
        for moment in moments[1:]:
            if twin.stop:
                break
            element = twin.follow(moment)
            if element is not None:
                kept.append(element)
                if moment.hidden:
                    hidden.append(moment.position)
        left_out = len(elements) - len(kept)
        return Redacted(tuple(kept), tuple(hidden), left_out, twin.stop if left_out else "")
    finally:
        twin.close()


class _Twin:
    """The run of a history, and beside it the run of the same history without its secrets. `stop`: why it goes no further."""

    def __init__(self, session: str, opened: Opened, registry: Registry) -> None:
        self._open = Run(session, opened, registry)
        self._blind = Run(session, opened, registry)
        self._differs = False
        self.stop = ""
        self._look()

    def follow(self, moment: Moment) -> bytes | None:
        """The next element without a secret; None if there cannot be one."""
        if moment.event is None:
            self.stop = f"event {moment.position} cannot be read"
            return moment.element[:HEAD]
        event = self._rewritten(moment)
        try:
            self._open.feed(moment.event)
        except (NondeterminismError, UndecodableError):
            self.stop = f"the code here does not repeat event {moment.position}"
        else:
            try:
                self._blind.feed(event)
            except (NondeterminismError, UndecodableError):
                self.stop = _DEPENDS
                return None
            if self._blind.failure is not None and self._open.failure is None:
                self.stop = _DEPENDS
                return None
            self._look()
        return moment.element if event is moment.event else encode(event, uid_of(moment.element))

    def close(self) -> None:
        """Let the runs go."""
        self._open.close()
        self._blind.close()

    def _look(self) -> None:
        if self._open.failure is not None:
            self.stop = "the workflow fails"
        elif (self._open.shape(), self._open.ended) != (self._blind.shape(), self._blind.ended):
            self.stop = _DEPENDS

    def _rewritten(self, moment: Moment) -> AnyEvent:
        event = moment.event
        assert event is not None
        if self._differs:
            event = msgspec.structs.replace(event, words=_like(event.words, self._open.words(), self._blind.words()))
        if isinstance(event, Memo) and self._differs:
            ours, theirs = self._open.calls.get(event.step), self._blind.calls.get(event.step)
            if ours is None or theirs is None or ours.hash != event.hash:
                event = msgspec.structs.replace(event, hash=bytes(len(event.hash)))
            else:
                event = msgspec.structs.replace(event, hash=theirs.hash)
        if moment.hidden and isinstance(event, Heard):
            self._differs = True
            event = _without_secret(event, moment.listen)
        return event


def _like(recorded: int, ours: int, theirs: int) -> int:
    """A checksum that fits the blind run if the recorded one fits the open run."""
    return theirs if recorded == ours else theirs ^ 1


def _without_secret(heard: Heard, listen: AnyListen | None) -> Heard:
    stand_in = _UNHEARD
    if listen is not None:
        spoken = read(heard.type, heard.payload)
        assert isinstance(spoken, Spoken)
        with suppress(NotUnderstood):
            stand_in = "0" * len(str(listen.parse(spoken)))
    changes: dict[str, Any]
    match heard.type:
        case "pressed":
            changes = {"digits": stand_in}
        case "intent":
            changes = {"name": "", "slots": {}, "text": stand_in}
        case _:
            changes = {"text": stand_in}
    return msgspec.structs.replace(heard, payload=heard.payload | changes)
