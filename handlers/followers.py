"""Who follows sessions on this node, and the words that are streaming here.

A follower is no part of the handler, which may leave memory while thousands listen to nothing: it is told here that the session's history
has grown, and comes for the news. Words that stream are kept for as long as their effect runs, so that whoever comes late has them from the
first one on, and a reader who is slow holds nothing up.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")

MOST_WORDS = 65_536
"""Characters of an effect's words that are kept; the rest is seen when the whole is on record."""


class Follower(Protocol):
    """Somebody who follows one session. Neither method may raise, or take long."""

    def changed(self, length: int, tail: bytes) -> None:
        """The history is known to end like this now."""
        ...

    def wake(self) -> None:
        """There are new words, or it is time to go."""
        ...


class Words:
    """What one attempt of an effect has streamed so far, in pieces. `step`: which effect of which generation it is."""

    __slots__ = ("pieces", "size", "step")

    def __init__(self, step: str) -> None:
        self.step = step
        self.pieces: list[str] = []
        self.size = 0


class Followers:
    """All followers of a node, by session.

    Attributes:
        closed: the server stops, and so does every follower.
    """

    def __init__(self) -> None:
        self.closed = False
        self._followers: dict[str, tuple[Follower, ...]] = {}
        self._words: dict[str, tuple[Words, ...]] = {}

    def __contains__(self, session: str) -> bool:
        """Whether anybody here follows a session."""
        return session in self._followers

    def __len__(self) -> int:
        """How many follow."""
        return sum(map(len, self._followers.values()))

    def add(self, session: str, follower: Follower) -> None:
        """Somebody follows a session from now on."""
        self._followers[session] = (*self._followers.get(session, ()), follower)

    def remove(self, session: str, follower: Follower) -> None:
        """Somebody does not follow it any more."""
        _put(self._followers, session, tuple([each for each in self._followers.get(session, ()) if each is not follower]))

    def changed(self, session: str, length: int, tail: bytes) -> None:
        """Tell a session's followers how its history ends."""
        for follower in self._followers.get(session, ()):
            follower.changed(length, tail)

    def words(self, session: str) -> tuple[Words, ...]:
        """What is streaming in a session."""
        return self._words.get(session, ())

    @contextmanager
    def speaking(self, session: str, step: str) -> Iterator[Callable[[], Callable[[str], None]]]:
        """An effect streams until this is left. What it gives is called at each attempt's beginning, and gives the attempt's `emit`."""
        last: Words | None = None

        def begin() -> Callable[[str], None]:
            nonlocal last
            self._replace(session, last, words := Words(step))
            last = words

            def emit(text: str) -> None:
                if text and words.size < MOST_WORDS and words is last:
                    words.size += len(text)
                    words.pieces.append(text)
                    for follower in self._followers.get(session, ()):
                        follower.wake()

            return emit

        try:
            yield begin
        finally:
            self._replace(session, last, None)

    def close(self) -> None:
        """Everybody shall leave."""
        self.closed = True
        for followers in list(self._followers.values()):
            for follower in followers:
                follower.wake()

    def _replace(self, session: str, old: Words | None, new: Words | None) -> None:
        kept = [each for each in self._words.get(session, ()) if each is not old]
        _put(self._words, session, (*kept, new) if new is not None else tuple(kept))


def _put(table: dict[str, tuple[T, ...]], session: str, values: tuple[T, ...]) -> None:
    if values:
        table[session] = values
    else:
        table.pop(session, None)
