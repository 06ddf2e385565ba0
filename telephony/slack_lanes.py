"""One lane for each channel of Slack: what is asked of it goes out one after another, and what fails is tried again in its place.

Slack's limits are a channel's (SL7: about one post a second), and so is the order in which people read. A channel that has to wait holds up
no other.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from telephony.errors import SlackBusyError, SlackRefusedError, SlackTroubleError
from telephony.slack_api import remedy

logger = logging.getLogger(__name__)

BACKOFF = (0.5, 30.0)
"""Seconds until a call that failed is tried again: at first, and at most."""

TOLD_AT = (1, 10)
"""After how many failures in a row the log is told."""

MOST_ANSWERED = 30
"""How often Slack may answer that it has failed itself, until that is taken for its last word: a quarter of an hour."""

T = TypeVar("T")


class Lanes:
    """The lanes of all channels. `sleep` waits."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.sleep = sleep
        self._lanes: dict[str, tuple[asyncio.Lock, int]] = {}

    def __len__(self) -> int:
        """How many channels are spoken to."""
        return len(self._lanes)

    @asynccontextmanager
    async def one(self, channel: str) -> AsyncGenerator[None]:
        """Have a channel to oneself, in the order of coming; nothing is kept of a channel that nobody speaks to."""
        lock, users = self._lanes.get(channel) or (asyncio.Lock(), 0)
        self._lanes[channel] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._lanes.pop(channel)
            if users > 1:
                self._lanes[channel] = (lock, users - 1)

    async def patiently(self, attempt: Callable[[], Awaitable[T]], most: int | None = None) -> T:
        """Wait out what passes: as long as Slack asks for, or longer each time; at most `most` failures, if that is given.

        Raises `SlackRefusedError`, also when Slack answers with nothing but errors of its own: others wait behind this. Raises
        `SlackTroubleError` after too many failures.
        """
        pause, tries, answered = BACKOFF[0], 0, 0
        while True:
            try:
                done = await attempt()
            except SlackBusyError as error:
                tries += 1
                await self.sleep(max(error.seconds, BACKOFF[0]))
            except SlackTroubleError as error:
                tries += 1
                answered += bool(error.code)
                if answered == MOST_ANSWERED:
                    raise SlackRefusedError(error.code, remedy(error.code)) from None
                if tries == most:
                    raise
                if tries in TOLD_AT:
                    logger.warning("Slack does not answer, and is asked again until it does (SLACK_API_URL, its status page): %s", error)
                await self.sleep(pause)
                pause = min(pause * 2, BACKOFF[1])
            else:
                if tries >= TOLD_AT[-1]:
                    logger.warning("Slack answers again, after %d tries", tries)
                return done
