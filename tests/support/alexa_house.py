"""A server in this process with a skill, and devices that speak to it; the certificates are made once for all tests of a process."""

import contextlib
import functools
import tempfile
from pathlib import Path
from typing import Any

from support.phone_house import PhoneHouse

from telephony.alexa_development import Development, development
from telephony.alexa_reminders import remind
from telephony.simulators.alexa import Echo

_folder = tempfile.TemporaryDirectory(prefix="sb-alexa-")
DATA = Path(_folder.name)


@functools.cache
def certificates() -> Development:
    return development(DATA)


class AlexaHouse(PhoneHouse):
    """A node; several may share a store."""

    def __init__(self, store_url: str, workflow: str, **settings: Any) -> None:
        lines = settings.pop("lines", {"alexa:*": {"workflow": workflow, **settings.pop("line", {})}})
        self.bindings = settings.pop("bindings", {"remind": remind})
        super().__init__(store_url, workflow, lines=lines, data=str(DATA), **settings)

    def echo(self, **options: Any) -> Echo:
        return Echo(self.url, certificates(), **options)


@contextlib.asynccontextmanager
async def alexa_house(store_url: str, workflow: str, *, boots: int = 0, **settings: Any):
    """A house, and a device in it."""
    options = settings.pop("echo", {})
    house = AlexaHouse(store_url, workflow, **settings)
    house.boots = boots
    await house.start()
    try:
        async with house.echo(**options) as echo:
            yield house, echo
    finally:
        await house.stop()
