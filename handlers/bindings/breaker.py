"""A circuit breaker: whoever fails again and again is left alone for a while, so that an outage is answered at once.

See M. Nygard, "Release It!", 2nd edition, section 5.2, or https://martinfowler.com/bliki/CircuitBreaker.html.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from workflows.errors import TerminalError

FAILURES = 5
"""Failures in a row that open it: more than the attempts of one call, so that a single bad call keeps nobody out."""

FIRST_SECONDS = 1.0
"""How long it stays open at first: short, for most outages are, and the next word of a user may well come through."""

MOST_SECONDS = 15.0


class Breaker:
    """Closed, it lets everything pass; open, nothing; and when its time is over, one attempt, whose outcome decides.

    `what` is named in its errors, `clock` gives seconds.
    """

    def __init__(self, what: str, clock: Callable[[], float]) -> None:
        self._what = what
        self._clock = clock
        self._failures = 0
        self._pause = FIRST_SECONDS
        self._until = 0.0
        self._trying = False

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """What becomes of an attempt that is made now."""
        if self._failures < FAILURES:
            return "closed"
        return "open" if self._trying or self._clock() < self._until else "half-open"

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Make an attempt inside; an exception is a failure, save for `TerminalError`, for whoever refuses is there.

        An attempt that is cancelled says nothing about the other side. Raises `TerminalError` at once where it is open.
        """
        state = self.state
        if state == "open":
            raise TerminalError(f"{self._what} failed {self._failures} times in a row and is left alone for a while")
        probe = state == "half-open"
        self._trying |= probe
        try:
            yield
        except TerminalError:
            self._close()
            raise
        except Exception:
            self._fail(probe=probe)
            raise
        else:
            self._close()
        finally:
            if probe:
                self._trying = False

    def _close(self) -> None:
        self._failures, self._pause = 0, FIRST_SECONDS

    def _fail(self, *, probe: bool) -> None:
        """Count a failure; those of attempts that were under way when it opened are no news."""
        if probe:
            self._pause = min(self._pause * 2, MOST_SECONDS)
        elif self._failures >= FAILURES:
            return
        else:
            self._failures += 1
        if self._failures >= FAILURES:
            self._until = self._clock() + self._pause
