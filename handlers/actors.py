"""pykka's actors on one asyncio loop.

An actor costs nothing while nobody talks to it: no thread, no task, no queue. Whoever hands a message to an actor at rest runs it, on his
own stack; an actor that is at work gets it when it is done. If `on_receive` returns a coroutine, that goes on in a task, and the next
message waits for it: an actor does one thing at a time.

What of pykka 4.5 is not used, and why (each has a contract test): futures, for awaiting one blocks the loop; the `ActorRegistry`, a list
that is searched at each stop; `threading.Event`, queues, uuid URNs and a reference for each actor, which cost more memory than the rest of
an actor. A reference is made when somebody asks for one; the switchboard talks to its handlers directly.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any, NoReturn, Self

import pykka
from pykka._envelope import Envelope
from pykka.messages import _ActorStop

logger = logging.getLogger(__name__)

BATCH = 50
"""Messages that are handled in one go before the loop gets its turn, so that no crowd of messages stalls it."""


class _Door:
    """An actor as its references see it: the inbox, and as much of `threading.Event` as pykka asks for."""

    __slots__ = ("actor",)

    def __init__(self, actor: "AsyncioActor") -> None:
        self.actor: AsyncioActor | None = actor

    def put(self, envelope: Envelope[Any], /) -> None:
        if self.actor is not None:
            self.actor.deliver(envelope.message)

    def is_set(self) -> bool:
        return self.actor is None


class AsyncioActor(pykka.Actor):
    """An actor of the running asyncio loop.

    Subclasses write `on_receive(message)`, plain or returning a coroutine. An exception in it ends the actor: `on_death` gets the error
    (None when it was stopped) and whatever still waited, so that nobody waits for ever. An actor with `survives = True` logs and goes on.
    """

    survives = False

    def __init__(self) -> None:  # pykka's own makes an Event, a queue, a uuid and a reference: 1.8 KB
        self.stopped = False
        self._door: _Door | None = None
        self._at_work = False
        self._waiting: deque[Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    @property
    def about(self) -> dict[str, Any]:
        """What its lines in the log are about: fields by their names."""
        return {}

    @property
    def waiting(self) -> int:
        """How many messages wait until it is done with the one before."""
        return 0 if self._waiting is None else len(self._waiting)

    @property
    def at_work(self) -> bool:
        """Whether it is handling a message; what comes now waits."""
        return self._at_work

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> pykka.ActorRef[Self]:
        """Make an actor and give its reference. It is not registered: the registry is searched at each stop."""
        return cls(*args, **kwargs).actor_ref

    # -- what pykka's references ask for ---------------------------------------------------------------------------------------------------

    @property
    def _actor_ref(self) -> pykka.ActorRef[Self]:  # type: ignore[override]  # an attribute there
        return pykka.ActorRef(self)

    @property
    def actor_urn(self) -> str:  # type: ignore[override]  # an attribute there
        """A name for logs."""
        return f"{type(self).__name__.lower()}:{id(self):x}"

    @property
    def actor_inbox(self) -> _Door:  # type: ignore[override]  # an attribute there
        """Where references put messages."""
        if self._door is None:
            self._door = _Door(self)
            if self.stopped:
                self._door.actor = None
        return self._door

    @property
    def actor_stopped(self) -> _Door:  # type: ignore[override]  # an attribute there, and more of an Event
        """Where references look whether it is alive."""
        return self.actor_inbox

    @staticmethod
    def _create_actor_inbox() -> NoReturn:
        raise NotImplementedError("an AsyncioActor needs no queue")

    @staticmethod
    def _create_future() -> NoReturn:
        raise TypeError(
            "nobody asks an AsyncioActor: waiting for a pykka future blocks the loop. Put a ReplyTo into the message and tell it."
        )

    def _start_actor_loop(self) -> NoReturn:
        raise NotImplementedError("an AsyncioActor has no loop of its own")

    # -- messages --------------------------------------------------------------------------------------------------------------------------

    def deliver(self, message: Any) -> bool:
        """Hand it a message: at rest it handles it now, else when it is done. False: it has stopped."""
        if self.stopped:
            return False
        if self._at_work:
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append(message)
        else:
            self._at_work = True
            if self._begin(message):
                self._go_on()
        return True

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

    def _begin(self, message: Any) -> bool:
        """Handle a message; False: a task goes on with it, or the actor is no more."""
        try:
            if isinstance(message, _ActorStop):
                self._die(None)
                return False
            coroutine: Coroutine[Any, Any, None] | None = self.on_receive(message)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - see _finish
            self._survive(error)
            return not self.stopped
        if coroutine is None:
            return not self.stopped
        self._task = self._loop.create_task(coroutine)
        self._task.add_done_callback(self._finish)
        return False

    def _go_on(self) -> None:
        """Handle what waits, and come to rest."""
        for _ in range(BATCH):
            if not self._waiting:
                self._at_work, self._waiting = False, None
                return
            if not self._begin(self._waiting.popleft()):
                return
        self._loop.call_soon(self._go_on)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():  # the loop is going down: this actor with it, not all of them
            self._die(asyncio.CancelledError())
            return
        error = task.exception()
        if error is not None:  # what an actor raises is its death, not the loop's
            self._survive(error)
        if not self.stopped:
            self._go_on()

    def _survive(self, error: BaseException) -> None:
        logger.error("%s met an error", self.actor_urn, exc_info=error, extra=self.about)
        if not self.survives:
            self._die(error)

    def _die(self, error: BaseException | None) -> None:
        if self.stopped:
            return
        self.stopped = True
        if self._door is not None:
            self._door.actor = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        left, self._waiting = list(self._waiting or ()), None
        try:
            self.on_death(error, left)
        except Exception:
            logger.exception("%s met an error while it died", self.actor_urn, extra=self.about)
