"""The effects runner: calls, retries, and comes to an outcome that can be recorded."""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import stamina

from workflows.effects import Effect, idempotency_key
from workflows.errors import TerminalError, TransientError
from workflows.steps import CallStep

NIL = msgspec.Raw(b"\xc0")

_encode = msgspec.msgpack.Encoder().encode


class Outcome(msgspec.Struct, frozen=True):
    """What is recorded of an effect: its msgpack value, or `(class, message, terminal)` of why there is none."""

    value: msgspec.Raw = NIL
    error: tuple[str, str, bool] | None = None
    usage: dict[str, Any] | None = None


class Effects:
    """Runs declared effects by their bodies, or by what is bound to their names."""

    def __init__(self, bindings: Mapping[str, Callable[..., Awaitable[Any]]] | None = None) -> None:
        self._bindings = dict(bindings or {})

    async def perform(self, step: CallStep, key: str, emit: Callable[[str], None]) -> Outcome:
        """Call an effect until it succeeds, fails for good, or its budget is spent.

        `key` is the same for every attempt, on whatever node: vendors that take an idempotency key get it (`workflows.idempotency_key`).
        Cancelling this leaves no outcome; everything else is one.
        """
        effect = step.effect
        body = self._bindings.get(effect.name)
        if body is None:
            if not effect.has_body:
                return _failed(
                    TerminalError(
                        f"nothing is bound to the effect {effect.name}. Install what provides it (entry point switchboard.effects)."
                    )
                )
            body = effect.body
        kwargs = step.kwargs
        if step.stream and "emit" in inspect.signature(body).parameters:
            kwargs = {**kwargs, "emit": emit}
        token = idempotency_key.set(key)
        try:
            return Outcome(value=await self._call(effect, body, step.args, kwargs))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever an effect raises is its recorded failure
            return _failed(error)
        finally:
            with contextlib.suppress(ValueError):  # a cancelled task may be closed in another context
                idempotency_key.reset(token)

    async def _call(
        self, effect: Effect[..., Any], body: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> msgspec.Raw:
        retry = effect.retry
        attempts = stamina.retry_context(
            on=_worth_another,
            attempts=retry.attempts,
            timeout=retry.budget,
            wait_initial=retry.first,
            wait_max=retry.most,
            wait_jitter=retry.first,
        )
        value: Any = None
        async for attempt in attempts:
            with attempt:
                async with asyncio.timeout(effect.timeout):
                    value = await body(*args, **kwargs)
        # What the run gets is what is on record, in this first life as in all later ones; a value that does not fit fails here, not there.
        raw = msgspec.Raw(_encode(value))
        effect.read(raw)
        return raw


def _worth_another(error: Exception) -> bool | float:
    if isinstance(error, TransientError) and error.retry_after is not None:
        return error.retry_after
    return not isinstance(error, TerminalError)


def _failed(error: BaseException) -> Outcome:
    text = str(error) or ("it took too long" if isinstance(error, TimeoutError) else "no more is known")
    return Outcome(error=(type(error).__name__, text, isinstance(error, TerminalError)))
