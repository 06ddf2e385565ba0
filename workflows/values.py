"""Values on their way into the history: whatever goes on record is plain msgpack data."""

from typing import Any

import msgspec

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def to_plain(value: Any) -> Any:
    """Make a value maps, lists, numbers, text and bytes, as they come back from the history.

    Raises `TypeError` when it cannot be recorded: an unknown class, a number beyond 64 bits, text with lone surrogates.
    """
    try:
        return _decode(_encode(msgspec.to_builtins(value, builtin_types=(bytes,))))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise TypeError(
            f"{type(value).__name__} cannot be recorded ({error}). Use plain values, dataclasses or msgspec structs of such."
        ) from None
