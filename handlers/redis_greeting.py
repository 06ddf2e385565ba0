"""What a server of the store has to be before we write to it: looked at on every new connection, so after every failover, too."""

from collections.abc import Mapping
from typing import Final

import structlog

from handlers.errors import StoreError
from handlers.redis_address import Address
from handlers.redis_link import REMEDIES, Ask, Told, accept
from handlers.redis_scripts import Script
from handlers.resp import Refusal, pack

_log: Final = structlog.get_logger(__name__)


class Greeting:
    """Refuses who cannot keep histories, with the remedy, and has the others learn our scripts.

    `scripts`: those that are here at the time of a greeting. What a server hides from its users, as managed ones do, is not held
    against it.
    """

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self._scripts = scripts
        self._warned = False

    async def __call__(self, ask: Ask, address: Address, told: Told) -> None:
        """Look at a new connection; raises `StoreError`."""
        role, info, policy, *loaded = await ask(
            pack(b"ROLE"),
            pack(b"CLUSTER", b"INFO"),
            pack(b"CONFIG", b"GET", b"maxmemory-policy"),
            *[pack(b"SCRIPT", b"LOAD", script.text) for script in self._scripts.values()],
        )
        for reply in loaded:
            accept(reply, told)
        if not address.cluster:  # whose replicas send to the primary by themselves
            if not isinstance(role, Refusal) and role[0] != b"master":  # a replica that hides its role refuses the first write
                raise StoreError(told("it is a read-only replica: name the primary in REDIS_URL"))
            if not isinstance(info, Refusal):
                raise StoreError(told(REMEDIES["MOVED"]))
        self._check(policy, told)

    def _check(self, policy: list[bytes] | Refusal, told: Told) -> None:
        match policy:
            case [_, b"noeviction"]:
                pass
            case [_, bytes(name)]:
                why = f"it drops histories when its memory is full ({name.decode()}): set its maxmemory-policy to noeviction"
                raise StoreError(told(why))
            case hidden if not self._warned:
                self._warned = True
                _log.warning("The store hides its maxmemory-policy: see to it that it is noeviction", said=hidden)
