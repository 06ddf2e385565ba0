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
