"""The `@workflow` decorator: a pure `async def` that takes a talk, with its name, its patches and its typed parameters."""

import inspect
import typing
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

import msgspec

from workflows.errors import ArgumentsError
from workflows.source import check_source
from workflows.values import to_plain

if typing.TYPE_CHECKING:
    from workflows.talk import Talk

P = ParamSpec("P")
R = TypeVar("R")


class Workflow(Generic[P, R]):
    """A conversation, or an errand. Call it with a talk to run it as a part of another one.

    Attributes:
        name: what histories know it by: `module:function`, or the name given to the decorator, which survives a move.
        patches: the changes that this version declares; see `Talk.patched`.
    """

    def __init__(
        self,
        function: "Callable[Concatenate[Talk, P], Coroutine[Any, Any, R]]",
        name: str,
        patches: Sequence[str],
    ) -> None:
        self.function = function
        self.name = name
        self.patches = tuple(patches)
        self.__doc__ = function.__doc__
        self._signature = inspect.signature(function)
        kinds = [parameter.kind for parameter in self._signature.parameters.values()]
        if not kinds or not set(kinds) <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}:
            raise ArgumentsError(
                f"workflow {name}: it takes a talk, then named parameters, so that they can be recorded; no *args, **kwargs or /"
            )
        self._parameters: type[msgspec.Struct] | None = None
        self._result: Any = None

    def __call__(self, talk: "Talk", *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Run it as a part of another workflow: a plain `await`."""
        return self.function(talk, *args, **kwargs)

    @property
    def parameters(self) -> type[msgspec.Struct]:
        """The parameters after `talk`, as a type that validates them."""
        if self._parameters is None:
            try:  # the talk's own type may be imported for the type checker alone
                hints = typing.get_type_hints(self.function, localns={"Talk": Any}, include_extras=True)
            except NameError as error:
                raise ArgumentsError(f"workflow {self.name}: {error}. Import the types of its parameters where it is defined.") from None
            fields: list[Any] = []
            for name, parameter in list(self._signature.parameters.items())[1:]:
                field = (name, hints.get(name, Any))
                fields.append(
                    field if parameter.default is parameter.empty else (*field, msgspec.field(default_factory=_constant(parameter.default)))
                )
            self._parameters = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)
            self._result = hints.get("return", Any)
        return self._parameters

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Check arguments and give them as plain values by name, fit to be recorded; raises `ArgumentsError`."""
        try:
            bound = self._signature.bind(None, *args, **kwargs)
        except TypeError as error:
            raise ArgumentsError(f"workflow {self.name}: {error}. It takes {self.wanted()}.") from None
        try:
            values = to_plain(dict(list(bound.arguments.items())[1:]))
            return dict(to_plain(self.read(values)))
        except TypeError as error:
            raise ArgumentsError(f"workflow {self.name}: an argument of type {error}") from None

    def read(self, values: dict[str, Any]) -> msgspec.Struct:
        """Turn recorded or configured arguments into typed ones; raises `ArgumentsError`."""
        try:
            return msgspec.convert(values, self.parameters, strict=False)
        except msgspec.ValidationError as error:
            raise ArgumentsError(f"workflow {self.name}: {error}. It takes {self.wanted()}.") from None

    def begin(self, talk: "Talk", values: dict[str, Any]) -> Coroutine[Any, Any, R]:
        """Begin the conversation with recorded arguments."""
        arguments = self.read(values)
        return self.function(talk, **{name: getattr(arguments, name) for name in arguments.__struct_fields__})  # type: ignore[call-arg]  # checked by read

    def read_result(self, value: Any) -> Any:
        """Turn a recorded result into the workflow's return type; raises `ArgumentsError` when it does not fit."""
        assert self.parameters is not None  # reads the return type as well
        try:
            return msgspec.convert(value, self._result, strict=False)
        except (msgspec.ValidationError, TypeError) as error:
            raise ArgumentsError(f"what workflow {self.name} returned does not fit its return type: {error}") from None

    def wanted(self) -> str:
        """The parameters in words, for error texts."""
        return ", ".join(str(parameter) for parameter in list(self._signature.parameters.values())[1:]) or "no arguments"

    def __repr__(self) -> str:
        return f"<workflow {self.name}>"


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


@overload
def workflow(function: "Callable[Concatenate[Talk, P], Coroutine[Any, Any, R]]", /) -> Workflow[P, R]: ...
@overload
def workflow(
    *, name: str = "", patches: Sequence[str] = ()
) -> "Callable[[Callable[Concatenate[Talk, P], Coroutine[Any, Any, R]]], Workflow[P, R]]": ...
def workflow(
    function: "Callable[Concatenate[Talk, P], Coroutine[Any, Any, R]] | None" = None,
    /,
    *,
    name: str = "",
    patches: Sequence[str] = (),
) -> "Workflow[P, R] | Callable[[Callable[Concatenate[Talk, P], Coroutine[Any, Any, R]]], Workflow[P, R]]":
    """Make an `async def` that takes a talk a workflow, after a look at its source.

    Raises `SourceError`, with the line and the remedy, when it reads a clock, does I/O, iterates over a set, awaits in a `finally` or
    forgets an await; the functions of its module that it reaches are looked at as well.
    """

    def make(function: "Callable[Concatenate[Talk, P], Coroutine[Any, Any, R]]") -> Workflow[P, R]:
        check_source(function)
        return Workflow(function, name or f"{function.__module__}:{function.__qualname__}", patches)

    return make if function is None else make(function)
