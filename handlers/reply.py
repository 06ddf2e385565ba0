"""The reply-to: a one-shot channel for an answer, which travels inside the message.

pykka's own futures block the loop when awaited, so nobody asks an actor here; the handler answers the waiting endpoint directly and the
switchboard never sees answers.
"""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class ReplyTo(Generic[T]):
    """Answered exactly once, with a value or an error; what nobody waits for any more is dropped."""

    __slots__ = ("_future", "_given_up", "answered")

    def __init__(self) -> None:
        self._future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._given_up = False
        self.answered = False

    @property
    def abandoned(self) -> bool:
        """Whether its endpoint has given up; the answer stays on record and can be collected."""
        return self._future.cancelled()

    def answer(self, value: T) -> None:
        """Give the answer."""
        assert not self.answered, "a reply-to is answered once"
        self.answered = True
        if not self._future.done():
            self._future.set_result(value)

    def fail(self, error: Exception) -> None:
        """Tell why there is no answer."""
        assert not self.answered, "a reply-to is answered once"
        self.answered = True
        if not self._future.done():
            self._future.set_exception(error)
            self._future.exception()  # nobody may come for it: an error that is not collected is no news

    def give_up(self) -> None:
        """Let the endpoint wait no longer: for it, the time is over now."""
        self._given_up = True
        self._future.cancel()

    async def get(self, timeout: float | None = None) -> T:
        """Wait for the answer; `TimeoutError` after `timeout` seconds, when it can only be collected."""
        future = self._future
        if timeout is None or future.done():
            return await future
        loop = future.get_loop()
        late = loop.call_later(timeout, future.cancel)  # a third of the price of asyncio.wait_for
        try:
            return await future
        except asyncio.CancelledError:
            if future.cancelled() and (self._given_up or late.when() <= loop.time()):
                raise TimeoutError from None
            raise
        finally:
            late.cancel()
