"""A node's local timers for the alarms that are near.

The store's `due` index is what lasts; far alarms cost this process nothing. The sweeper looks a little ahead and sets those that come near.
A timer is a hint: the session's history decides whether the alarm is still wanted.
"""

import asyncio

from handlers.errands import Post
from handlers.history import LEASE_MS, Alarm, History
from handlers.messages import Due

AHEAD_MS = LEASE_MS
"""How near an alarm must be to get a local timer: more than a sweep's period, so that none is late."""

SLACK_MS = 1
"""A timer may fire this much early by rounding; it waits on then."""


class Alarms:
    """Timers by session, generation and step; when one has come, a `Due` is posted."""

    def __init__(self, history: History, post: Post) -> None:
        self._history = history
        self._post = post
        self._timers: dict[tuple[str, int, str], asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._timers)

    def set(self, session: str, alarm: Alarm) -> None:
        """Set a timer if the alarm is near; a timer that is there already is set anew."""
        self.clear(session, alarm.gen, alarm.step)
        wait = alarm.at - self._history.now()
        if wait > AHEAD_MS:
            return
        key = (session, alarm.gen, alarm.step)
        self._timers[key] = asyncio.get_running_loop().call_later(max(wait, 0) / 1000, self._fire, session, alarm)

    def clear(self, session: str, gen: int, step: str) -> None:
        """Take a timer back."""
        timer = self._timers.pop((session, gen, step), None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Take all timers back."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _fire(self, session: str, alarm: Alarm) -> None:
        del self._timers[session, alarm.gen, alarm.step]
        if self._history.now() + SLACK_MS < alarm.at:  # the store's clock was set back, or ours ran ahead
            self.set(session, alarm)
        else:
            self._post.post(Due(session, alarm.gen, alarm.step, alarm.at))
