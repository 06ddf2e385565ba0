"""pykka's actors on one asyncio loop.

An actor costs nothing while nobody talks to it: no thread, no task. Putting a message into its inbox schedules a drain; the drain hands
one message after the other to `on_receive`. If that returns a coroutine, the drain goes on in a task and takes the next message when it
is done, so an actor still does one thing at a time.

What of pykka 4.5 is not used, and why (each has a contract test): futures, for awaiting one blocks the loop; the `ActorRegistry`, a list
that is searched at each stop; `threading.Event` and uuid URNs, which cost more memory than the rest of an actor.
"""

import asyncio
import logging
from collections.abc import Coroutine
from itertools import count
from typing import Any, NoReturn, Self

import pykka
from pykka._envelope import Envelope
from pykka.messages import _ActorStop

logger = logging.getLogger(__name__)

BATCH = 50
"""Messages that a drain handles before the loop gets its turn, so that no crowd of messages stalls it."""

_numbers = count(1)


class _Inbox:
    """A queue whose `put` wakes the actor: two lists, for an empty deque costs more memory than the rest of an actor."""

    __slots__ = ("_back", "_front", "actor")

    def __init__(self) -> None:
        self._back: list[Envelope[Any]] = []
        self._front: list[Envelope[Any]] = []
        self.actor: AsyncioActor | None = None

    def put(self, envelope: Envelope[Any], /) -> None:
        self._back.append(envelope)
        if self.actor is not None:
            self.actor.wake()

    def get(self) -> Envelope[Any]:
        if not self._front:
            self._back.reverse()
            self._front, self._back = self._back, self._front
        return self._front.pop()

    def empty(self) -> bool:
        return not (self._front or self._back)


class _Stopped:
    """As much of `threading.Event` as pykka asks for."""

    __slots__ = ("_set",)

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set


class AsyncioActor(pykka.Actor):
    """An actor of the running asyncio loop.

    Subclasses write `on_receive(message)`, plain or returning a coroutine. An exception in it ends the actor: `on_death` gets the error
    (None when it was stopped) and whatever was still in the inbox, so that nobody waits for ever. An actor with `survives = True` logs
    and goes on.
    """

    survives = False

    def __init__(self) -> None:  # pykka's own makes an Event and a uuid: 1.2 KB
        self.actor_urn = f"{type(self).__name__.lower()}:{next(_numbers)}"
        self.actor_inbox = self._messages = self._create_actor_inbox()
        self.actor_stopped = _Stopped()  # type: ignore[assignment]  # as much of an Event as pykka asks for
        self._actor_ref = pykka.ActorRef(self)
        self._awake = False
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> pykka.ActorRef[Self]:
        """Make an actor and give its reference. It is not registered: the registry is searched at each stop."""
        actor = cls(*args, **kwargs)
        actor._start_actor_loop()
        return actor._actor_ref

    @staticmethod
    def _create_actor_inbox() -> _Inbox:
        return _Inbox()

    @staticmethod
    def _create_future() -> NoReturn:
        raise TypeError(
            "nobody asks an AsyncioActor: waiting for a pykka future blocks the loop. Put a ReplyTo into the message and tell it."
        )

    def _start_actor_loop(self) -> None:
        self._messages.actor = self
        self.on_start()
        if not self._messages.empty():
            self.wake()

    def wake(self) -> None:
        """See to it that the inbox is drained soon."""
        if not self._awake:
            self._awake = True
            self._loop.call_soon(self._drain)

    def wake_within(self, seconds: float) -> None:
        """See to it that `on_timer` is called within `seconds`; a timer that comes sooner is left, so that most turns need no new one."""
        at = self._loop.time() + seconds
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._ring)

    def on_timer(self) -> None:
        """The time has come, or may have: look."""

    def on_death(self, error: BaseException | None, left: list[Any]) -> None:
        """Take leave: `left` are the messages that nobody will handle."""

    def _ring(self) -> None:
        self._timer = None
        self.on_timer()

    def _drain(self) -> None:
        inbox = self._messages
        for _ in range(BATCH):
            if inbox.empty() or self.actor_stopped.is_set():
                self._awake = False
                return
            message = inbox.get().message
            try:
                if isinstance(message, _ActorStop):
                    self._die(None)
                    return
                waiting: Coroutine[Any, Any, None] | None = self.on_receive(message)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - see _finish
                self._survive(error)
                continue
            if waiting is not None:
                self._task = self._loop.create_task(waiting)
                self._task.add_done_callback(self._finish)
                return
        self._loop.call_soon(self._drain)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():  # the loop is going down: this actor with it, not all of them
            self._die(asyncio.CancelledError())
            return
        error = task.exception()
        if error is not None:  # what an actor raises is its death, not the loop's
            self._survive(error)
        self._drain()

    def _survive(self, error: BaseException) -> None:
        logger.error("%s met an error", self.actor_urn, exc_info=error)
        if not self.survives:
            self._die(error)

    def _die(self, error: BaseException | None) -> None:
        if self.actor_stopped.is_set():
            return
        self.actor_stopped.set()
        inbox = self._messages
        inbox.actor = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        left = []
        while not inbox.empty():
            left.append(inbox.get().message)
        try:
            self.on_death(error, left)
        except Exception:
            logger.exception("%s met an error while it died", self.actor_urn)
