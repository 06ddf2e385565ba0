"""What a conversation says: values that channels turn into their own wire formats.

Their encoding is part of the stored format (`words` is a checksum over it, restarts carry them), so fields are only ever added at the end.
"""

import msgspec


class Say(msgspec.Struct, frozen=True, array_like=True, tag=0, gc=False):
    """Plain text to be said or shown. `voice` and `language` (such as `en-GB`) are hints that a channel may not be able to follow."""

    text: str
    voice: str | None = None
    language: str | None = None


class Ssml(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """Speech markup: what stands inside `<speak>`. Channels that show text drop the tags."""

    markup: str


class Play(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """A recording to be played, by its URL."""

    url: str


Output = Say | Ssml | Play


def whole(output: Output) -> Output:
    """The same output in text that can be stored and sent: the halves of a surrogate pair are joined, one alone becomes U+FFFD."""
    name = output.__struct_fields__[0]
    text: str = getattr(output, name)
    if text.isascii():
        return output
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return msgspec.structs.replace(output, **{name: text})
    return output
