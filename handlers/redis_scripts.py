"""The Lua scripts of this folder, by which every change of the store is made. `docs/format.md` tells what they do."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Self

from handlers.history import PAGE
from handlers.resp import strings


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, and how every call of it begins, packed: with its digest, by which a store that has seen it knows it, or in full."""

    text: bytes
    call: bytes
    full_call: bytes

    @classmethod
    def of(cls, text: str) -> Self:
        """Take a script's text."""
        sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().encode()
        return cls(text.encode(), strings((b"EVALSHA", sha)), strings((b"EVAL", text.encode())))


def scripts() -> dict[str, Script]:
    """Read the scripts of this folder, each behind what all of them share."""
    folder = resources.files("handlers")
    shared = f"local PAGE = {PAGE}\n" + (folder / "shared.lua").read_text("utf-8")
    names = ("append", "renew", "peek", "forget", "clear_due")
    return {name: Script.of(shared + (folder / f"{name}.lua").read_text("utf-8")) for name in names}
