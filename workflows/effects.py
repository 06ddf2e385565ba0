"""Declared nondeterministic calls.

An effect is a typed `async def` with a stable name and a policy. Its body, or the function that is bound to its name when the server
starts, runs outside the conversation; what it returns or raises is recorded once and replayed ever after.
"""

import inspect
import typing
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any, Generic, ParamSpec, TypeVar, overload

import msgspec

P = ParamSpec("P")
R = TypeVar("R")

HASH_BYTES = 8
_arguments = msgspec.msgpack.Encoder(order="deterministic")


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """When to try again: at most `attempts` times and for at most `budget` seconds, waiting from `first` up to `most` seconds.

    The waits double and are jittered. Whatever an effect raises is worth another try, except `TerminalError`.
    """

    attempts: int = 4
    budget: float = 30.0
    first: float = 0.2
    most: float = 10.0


PATIENT = Retry()


class Effect(Generic[P, R]):
    """A declared effect; call it through `talk.call` or `talk.speak`, never directly.

    Attributes:
        name: what memos and bindings know it by; changing it is a change of every conversation that uses it.
        timeout: how long one attempt may take, in seconds.
    """

    __slots__ = ("_decode", "body", "name", "result", "retry", "timeout")

    def __init__(self, body: Callable[P, Awaitable[R]], name: str, retry: Retry, timeout: float) -> None:
        self.body = body
        self.name = name
        self.retry = retry
        self.timeout = timeout
        self.result: Any = None
        self._decode: Callable[[msgspec.Raw], R] | None = None

    def read(self, value: msgspec.Raw) -> R:
        """Read a recorded value as the effect's return type; raises `msgspec.ValidationError` when it does not fit."""
        if self._decode is None:
            self.result = typing.get_type_hints(self.body, include_extras=True).get("return", Any)
            self._decode = msgspec.msgpack.Decoder(self.result, strict=False).decode
        return self._decode(value)

    @property
    def has_body(self) -> bool:
        """Whether the author wrote one; `...` or a docstring alone is a declaration, to be bound by an entry point."""
        code = getattr(self.body, "__code__", None)
        return code is None or bool(
            code.co_names or len(code.co_consts) > (2 if self.body.__doc__ else 1) or code.co_varnames[code.co_argcount :]
        )

    def __repr__(self) -> str:
        return f"<effect {self.name}>"


def hash_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Eight bytes that tell whether a call is the one on record; arguments themselves are never stored."""
    return blake2b(_arguments.encode(msgspec.to_builtins([args, kwargs], order="deterministic")), digest_size=HASH_BYTES).digest()


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
