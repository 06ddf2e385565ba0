"""The effects runner: calls, retries, and comes to an outcome that can be recorded."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from random import Random
from typing import Any

import msgspec

from handlers.counters import Counters
from handlers.pace import Pace
from handlers.right_of_way import RightOfWay
from workflows.effects import Effect, Retry, idempotency_key
from workflows.errors import TerminalError, TransientError
from workflows.steps import CallStep
from workflows.think import charged

NIL = msgspec.Raw(b"\xc0")

LONGEST_TEXT = 2_000
"""Characters of an error's message that are recorded: some libraries put whole pages into theirs."""

Emit = Callable[[str], None]
"""Where the words of a spoken effect go while they come."""

_encode = msgspec.msgpack.Encoder().encode


def _unheard() -> Emit:
    return lambda _: None


class Outcome(msgspec.Struct, frozen=True):
    """What is recorded of an effect: its msgpack value, or `(class, message, terminal)` of why there is none; and what it was charged."""

    value: msgspec.Raw = NIL
    error: tuple[str, str, bool] | None = None
    usage: dict[str, Any] | None = None


class Effects:
    """Runs declared effects by their bodies, or by what is bound to their names."""

    def __init__(
        self,
        bindings: Mapping[str, Callable[..., Awaitable[Any]]] | None = None,
        rng: Random | None = None,
        counters: Counters | None = None,
        way: RightOfWay | None = None,
    ) -> None:
        self._bindings = dict(bindings or {})
        self._speakers: dict[str, bool] = {}  # whether a body takes `emit`: to look at its signature takes longer than to call it
        self._pace = Pace()
        self._way = RightOfWay() if way is None else way
        self._counters = Counters() if counters is None else counters
        self._rng = rng or Random()  # noqa: S311 - spreads retries, keeps no secret

    async def perform(self, step: CallStep, key: str, begin: Callable[[], Emit] = _unheard) -> Outcome:
        """Call an effect until it succeeds, fails for good, or its budget is spent; to be run in a task of its own.

        `key` is the same for every attempt, on whatever node: vendors that take an idempotency key get it (`workflows.idempotency_key`).
        An effect that is spoken gets from `begin`, for each attempt anew, where its words go while they come.
        Cancelling this leaves no outcome; everything else is one.
        """
        effect = step.effect
        idempotency_key.set(key)
        try:
            body = self._body(effect)
            if step.stream and self._speaks(effect.name, body):
                value = await self._insist(effect, lambda: body(*step.args, **step.kwargs, emit=begin()))
            else:
                value = await self._insist(effect, lambda: body(*step.args, **step.kwargs))
            # What the run gets is what is on record, in this first life as in all later ones: what does not fit fails here, not there.
            value, usage = charged(value)
            self._counters.tokens.update(usage or {})
            raw = msgspec.Raw(_encode(value))
            effect.read(raw)
        except Exception as error:  # noqa: BLE001 - whatever an effect raises is its recorded failure
            self._counters.failures[effect.name] += 1
            return _failed(error)
        return Outcome(raw, usage=usage)

    def _body(self, effect: Effect[..., Any]) -> Callable[..., Awaitable[Any]]:
        body = self._bindings.get(effect.name)
        if body is None and not effect.has_body:
            raise TerminalError(
                f"nothing is bound to the effect {effect.name}. Install what provides it (entry point switchboard.effects)."
            )
        return body or effect.body

    def _speaks(self, name: str, body: Callable[..., Awaitable[Any]]) -> bool:
        speaks = self._speakers.get(name)
        if speaks is None:
            speaks = self._speakers[name] = "emit" in inspect.signature(body).parameters
        return speaks

    async def _insist(self, effect: Effect[..., Any], call: Callable[[], Awaitable[Any]]) -> Any:
        """The value of the first attempt that succeeds. What is tried again has to begin and to end within the budget."""
        retry, loop = effect.retry, asyncio.get_running_loop()
        end = loop.time() + retry.budget
        patience = effect.timeout
        for attempt in count(1):
            try:
                async with self._pace, asyncio.timeout(patience):
                    await self._way.clear()
                    self._counters.attempts[effect.name] += 1
                    return await call()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise  # nobody wants the result any more
                error: Exception = TransientError("it was cancelled from within")
            except TerminalError:
                raise
            except Exception as raised:  # noqa: BLE001 - whatever an effect raises is worth another try
                error = raised
            pause = self._pause(retry, attempt, error)
            if attempt >= retry.attempts or loop.time() + pause > end:
                raise error
            await asyncio.sleep(pause)
            patience = min(effect.timeout, end - loop.time())
        raise AssertionError  # count() has no end

    def _pause(self, retry: Retry, attempt: int, error: Exception) -> float:
        """Seconds until the next attempt: doubled each time, jittered, and never less than the other side asked for."""
        wait = min(retry.first * 2.0 ** min(attempt - 1, 60), retry.most) * self._rng.uniform(0.5, 1.0)
        asked = error.retry_after if isinstance(error, TransientError) else None
        return wait if asked is None else max(asked, 0.0) + retry.first * self._rng.random()


def _failed(error: Exception) -> Outcome:
    try:
        text = str(error)[:LONGEST_TEXT].encode("utf-8", "replace").decode()
    except Exception:  # noqa: BLE001 - a foreign class may do anything
        text = ""
    text = text or ("it took too long" if isinstance(error, TimeoutError) else "no more is known")
    return Outcome(error=(type(error).__name__, text, isinstance(error, TerminalError)))
