"""Declarations of effects: names, bodies, recorded values, hashes of arguments."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from workflows import Retry, effect
from workflows.effects import PATIENT, hash_arguments
from workflows.errors import WorkflowError


@dataclasses.dataclass
class Offer:
    price: float
    until: datetime


@effect
async def fetch(what: str) -> Offer: ...


@effect(name="weather", retry=Retry(attempts=2, budget=3), timeout=1.5)
async def look_up(place: str) -> str:
    """The weather at a place."""


def test_a_declaration_has_a_name_and_a_policy() -> None:
    assert (fetch.name, fetch.retry, fetch.timeout) == ("fetch", PATIENT, 30.0)
    assert (look_up.name, look_up.retry.attempts, look_up.timeout) == ("weather", 2, 1.5)
    assert repr(look_up) == "<effect weather>"


def test_a_plain_function_is_no_effect() -> None:
    def plain() -> int:
        return 1

    with pytest.raises(TypeError, match="needs an `async def`"):
        effect(plain)  # type: ignore[arg-type]  # on purpose


def test_a_body_is_told_from_a_declaration() -> None:
    @effect
    async def returns_its_argument(x: int) -> int:
        return x

    @effect
    async def returns_a_constant() -> int:
        return 1

    @effect
    async def raises() -> int:
        raise LookupError

    @effect
    async def only_documented(x: int) -> int:
        """It says what it is for."""

    @effect
    async def passes() -> None:
        pass

    @effect
    async def waits() -> None:
        """Documented, too."""
        await returns_a_constant.body()

    assert [each.has_body for each in (returns_its_argument, returns_a_constant, raises, waits)] == [True] * 4
    assert [each.has_body for each in (fetch, look_up, only_documented, passes)] == [False] * 4


def test_a_recorded_value_is_read_as_the_return_type() -> None:
    raw = msgspec.Raw(msgspec.msgpack.encode({"price": 3, "until": "2026-01-01T00:00:00Z"}))
    assert fetch.read(raw) == Offer(3.0, datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(msgspec.ValidationError):
        fetch.read(msgspec.Raw(msgspec.msgpack.encode({"price": "dear"})))


def test_an_effect_without_a_return_type_gives_plain_data() -> None:
    @effect
    async def loose(x):  # type: ignore[no-untyped-def]  # on purpose
        ...

    assert loose.read(msgspec.Raw(msgspec.msgpack.encode([1, {"a": 2}]))) == [1, {"a": 2}]


@pytest.mark.parametrize("annotation", ["Nowhere", object])
def test_a_return_type_that_cannot_be_read_is_named(annotation: Any) -> None:
    @effect
    async def odd() -> int: ...

    odd.body.__annotations__["return"] = annotation
    if annotation is object:
        odd.body.__annotations__["return"] = set[dict[object, object]] | list[int]
    with pytest.raises(WorkflowError, match="return type of effect odd"):
        odd.read(msgspec.Raw(b"\x01"))


def test_the_hash_tells_arguments_apart_and_nothing_else() -> None:
    base = hash_arguments(("a", 1), {"x": [1, 2], "y": {"b": 1, "a": 2}})
    assert len(base) == 8
    assert hash_arguments(("a", 1), {"y": {"a": 2, "b": 1}, "x": (1, 2)}) == base
    assert hash_arguments(("a", 2), {"x": [1, 2], "y": {"b": 1, "a": 2}}) != base
    assert hash_arguments((), {"args": {3, 1, 2}}) == hash_arguments((), {"args": {2, 3, 1}})
    assert hash_arguments((Offer(1.0, datetime(2026, 1, 1, tzinfo=UTC)),), {}) != hash_arguments(
        (Offer(2.0, datetime(2026, 1, 1, tzinfo=UTC)),), {}
    )


def test_arguments_of_any_kind_have_a_hash() -> None:
    class Odd:
        pass

    assert hash_arguments((Odd(),), {}) == hash_arguments((Odd(),), {})
    assert hash_arguments((1 << 80,), {}) != hash_arguments((1 << 81,), {})
    assert hash_arguments(("\ud800",), {}) != hash_arguments(("\ud801",), {})


def test_the_hash_is_the_same_in_every_process() -> None:
    assert hash_arguments(("prompt", 3), {"temperature": 0.5}).hex() == "ae71bbcbd289b7a6"
