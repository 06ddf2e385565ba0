"""Declared nondeterministic calls.

An effect is a typed `async def` with a stable name and a policy. Its body, or the function that is bound to its name when the server
starts, runs outside the conversation; what it returns or raises is recorded once and replayed ever after.
"""

import dis
import inspect
import typing
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from hashlib import blake2b
from types import CodeType
from typing import Any, Generic, ParamSpec, TypeVar, overload

import msgspec

from workflows.errors import WorkflowError

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

HASH_BYTES = 8

idempotency_key: ContextVar[str] = ContextVar("idempotency_key")
"""Inside the body of an effect: `session/gen/step`, the same at every attempt, for vendors that take an idempotency key."""

_arguments = msgspec.msgpack.Encoder(order="deterministic")


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """When to try again: at most `attempts` times and for at most `budget` seconds, waiting from `first` up to `most` seconds.

    The waits double and are jittered. Whatever an effect raises is worth another try, except `TerminalError`. So a call takes no longer
    than the budget, or than the time-out of one attempt, if that is longer.
    """

    attempts: int = 4
    budget: float = 30.0
    first: float = 0.2
    most: float = 10.0


PATIENT = Retry()


class Effect(Generic[P, R_co]):
    """A declared effect; call it through `talk.call` or `talk.speak`, never directly.

    Attributes:
        name: what memos and bindings know it by; changing it is a change of every conversation that uses it.
        timeout: how long one attempt may take, in seconds.
    """

    __slots__ = ("_decode", "body", "name", "result", "retry", "timeout")

    def __init__(self, body: Callable[P, Awaitable[R_co]], name: str, retry: Retry, timeout: float) -> None:
        self.body = body
        self.name = name
        self.retry = retry
        self.timeout = timeout
        self.result: Any = None
        self._decode: Callable[[msgspec.Raw], R_co] | None = None

    def read(self, value: msgspec.Raw) -> R_co:
        """Read a recorded value as the effect's return type.

        Raises `msgspec.ValidationError` when it does not fit, `WorkflowError` when no recorded value could be of that type.
        """
        if self._decode is None:
            try:
                self.result = typing.get_type_hints(self.body, include_extras=True).get("return", Any)
                self._decode = msgspec.msgpack.Decoder(self.result, strict=False).decode
            except (NameError, TypeError) as error:
                raise WorkflowError(
                    f"the return type of effect {self.name} cannot be read from a record ({error}). Take plain types, dataclasses or "
                    "msgspec structs that can be imported where the effect is declared."
                ) from None
        try:
            return self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise
        except Exception as error:
            why = f"its type raises {type(error).__name__}: {error}"
            raise WorkflowError(f"what effect {self.name} returned cannot be read: {why}") from error

    @property
    def has_body(self) -> bool:
        """Whether the author wrote one; `...` or a docstring alone is a declaration, to be bound by an entry point."""
        code = getattr(self.body, "__code__", None)
        return code is None or _instructions(code) != NOTHING

    def __repr__(self) -> str:
        return f"<effect {self.name}>"


def hash_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Eight bytes that tell whether a call is the one on record; arguments themselves are never stored.

    Of a value that msgspec does not know only the class is looked at: effects run in this very process, so any value may be passed.
    """
    plain = msgspec.to_builtins([args, kwargs], order="deterministic", enc_hook=lambda value: type(value).__qualname__)
    try:
        data = _arguments.encode(plain)
    except (OverflowError, UnicodeEncodeError):  # a huge number, or text that is none: still the same from one process to the next
        data = repr(plain).encode(errors="surrogatepass")
    return blake2b(data, digest_size=HASH_BYTES).digest()


async def _nothing() -> None: ...


def _instructions(code: CodeType) -> list[tuple[str, Any]]:
    """What a function does, without the idle instructions that mark the lines of a `pass` or `...`."""
    return [(each.opname, each.argval) for each in dis.get_instructions(code) if each.opname != "NOP"]


NOTHING = _instructions(_nothing.__code__)


@overload
def effect(body: Callable[P, Awaitable[R]], /) -> Effect[P, R]: ...
@overload
def effect(*, name: str = "", retry: Retry = PATIENT, timeout: float = ...) -> Callable[[Callable[P, Awaitable[R]]], Effect[P, R]]: ...
def effect(
    body: Callable[P, Awaitable[R]] | None = None,
    /,
    *,
    name: str = "",
    retry: Retry = PATIENT,
    timeout: float = 30.0,
) -> Effect[P, R] | Callable[[Callable[P, Awaitable[R]]], Effect[P, R]]:
    """Declare a nondeterministic call: an `async def` with typed arguments and result.

    `name` is what histories know it by (the function's own if not given). `timeout` bounds one attempt, in seconds.
    """

    def declare(body: Callable[P, Awaitable[R]]) -> Effect[P, R]:
        if not inspect.iscoroutinefunction(body):
            raise TypeError(f"@effect needs an `async def`; {getattr(body, '__qualname__', body)} is none")
        return Effect(body, name or body.__name__, retry, timeout)

    return declare if body is None else declare(body)
