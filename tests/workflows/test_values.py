"""What can go on record."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from workflows.values import to_plain


@dataclasses.dataclass
class Point:
    x: int
    name: str


def test_values_become_plain_data_as_they_come_back_from_the_history() -> None:
    value = [Point(1, "a"), {"at": datetime(2026, 1, 1, tzinfo=UTC), "raw": b"\x00"}, (1, 2.5, None), {3: True}]
    plain = to_plain(value)
    assert plain == [{"x": 1, "name": "a"}, {"at": "2026-01-01T00:00:00Z", "raw": b"\x00"}, [1, 2.5, None], {3: True}]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(plain), strict=False) == plain


@pytest.mark.parametrize("value", [object(), 1 << 64, {"deep": ["\ud800"]}])
def test_what_cannot_be_recorded_is_told(value: Any) -> None:
    with pytest.raises(TypeError, match="cannot be recorded"):
        to_plain(value)


def test_a_value_that_holds_itself_is_told() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(TypeError, match="list cannot be recorded"):
        to_plain(ring)
