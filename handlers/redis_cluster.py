"""The way to a Valkey or Redis Cluster: one link a primary, and who has which slot at present.

https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/

A call goes to the link of the node that has its key, so what is asked for in one tick leaves in one write a node. Who meets a node that is
lost, or that sends elsewhere, or waits for one that is slow, has the cluster asked again who has what, at most every `PAUSE`.
"""

import asyncio
import binascii
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from handlers.errors import StoreError
from handlers.redis_address import Address
from handlers.redis_link import PAUSE, Ask, Greet, Link, Told, accept
from handlers.redis_wire import Replication
from handlers.resp import Refusal, pack

SLOTS: Final = 16_384
REDIRECTS: Final = 16
"""How often one call is sent elsewhere; while its slot is moved, every second time it waits for `PAUSE`."""

SLOW: Final = 0.5
"""Seconds without an answer after which a node may have a successor already, long before we give it up ourselves."""

ASKED: Final = 5
"""Nodes that are asked together who has what."""

_ELSEWHERE: Final = {"LOADING", "MASTERDOWN", "NOAUTH", "READONLY"}
"""Refusals that a new connection may not meet: the node may have a successor."""

_INFO: Final = pack(b"CLUSTER", b"INFO")
_SHARES: Final = pack(b"CLUSTER", b"SLOTS")
_ASKING: Final = pack(b"ASKING")

_log: Final = structlog.get_logger(__name__)


def slot_of(key: bytes) -> int:
    """The slot of a key: the CRC16 of what stands in its first pair of braces, or of all of it, modulo SLOTS."""
    start = key.find(b"{")
    if start >= 0 and (end := key.find(b"}", start)) > start + 1:
        key = key[start + 1 : end]
    return binascii.crc_hqx(key, 0) % SLOTS


@dataclass(frozen=True, slots=True)
class View:
    """Who has what, as one node sees it: ranges of slots, ends included, with the address of their primary.

    `epoch` grows with every failover that the node has heard of.
    """

    epoch: int
    shares: tuple[tuple[int, int, Address], ...]


class ClusterLink:
    """The way to the cluster that has the nodes `seeds`, any of which may be away. For the rest see `Link`."""

    def __init__(self, seeds: Sequence[Address], greet: Greet, replication: Replication | None = None) -> None:
        self._seeds = seeds
        self._greet = greet
        self._replication = replication
        self._links: dict[tuple[str, int], Link] = {}
        self._owners: list[Link | None] = [None] * SLOTS
        self._epoch = -1
        self._survey: asyncio.Task[None] | None = None
        self._surveyed = -math.inf
        self._watch: asyncio.TimerHandle | None = None
        self._trouble = ""
        self._farewells: set[asyncio.Task[None]] = set()
        self._retired = 0
        self._closed = False

    @property
    def round_trips(self) -> int:
        """How many writes went to all nodes so far."""
        return self._retired + sum(link.round_trips for link in self._links.values())

    async def call(self, command: bytes, key: bytes = b"") -> Any:
        """Send a packed command to the node that has `key`; gives its reply or `Refusal`. May be cancelled at any time."""
        slot = slot_of(key)
        link = await self._owner(slot)
        asking = False
        for _ in range(REDIRECTS):
            reply = (await link.ask(_ASKING, command, key=key))[1] if asking else await link.call(command, key)
            if not isinstance(reply, Refusal):
                return reply
            asking = False
            match reply.kind:
                case "MOVED":
                    link = self._owners[slot] = self._named(reply, link)
                    self._look_again()
                case "ASK":
                    link, asking = self._named(reply, link), True
                case "TRYAGAIN":  # a script is, as long as one of its keys is not where the others are; one that does not exist counts
                    await asyncio.sleep(PAUSE)
                    link = await self._owner(slot)
                case "CLUSTERDOWN":  # or cut off from the others, who may have made somebody else a primary
                    self._look_again()
                    return Refusal(reply.text, link.address.name)
                case kind:
                    if kind in _ELSEWHERE:
                        link.doubt(reply)
                    return Refusal(reply.text, link.address.name)
        raise StoreError(self.told(f"slot {slot} is being moved from one node to another: it goes on by itself when that is done"))

    def accept(self, reply: Any) -> Any:
        """Return a reply that is no refusal; a refusal is raised as a `StoreError` that names the node."""
        return accept(reply, lambda why: f"The store at {reply.by}: {why}.")

    async def nodes(self) -> tuple[Link, ...]:
        """All primaries. What cannot be reached is raised."""
        if None in self._owners or any(link.lost for link in self._links.values()):
            await self._look_and_wait()
        if None in self._owners:
            raise StoreError(self._trouble or self._gap(self._owners.index(None)))
        return tuple(dict.fromkeys([link for link in self._owners if link is not None]))

    def name_of(self, key: bytes) -> str:
        """The name of the node that has a key, as far as is known."""
        link = self._owners[slot_of(key)]
        return link.address.name if link is not None else ""

    def names(self) -> set[str]:
        """The names of all primaries that are known."""
        return {link.address.name for link in self._links.values()}

    def told(self, why: str) -> str:
        """Put a reason into a sentence that names the cluster."""
        return f"The store at {self._seeds[0].name}: {why}."

    async def close(self) -> None:
        """Drop all connections and wait until they are gone; every later call fails."""
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
        if self._survey is not None:
            self._survey.cancel()
            await asyncio.wait([self._survey])
        for link in self._links.values():
            await link.close()
        if self._farewells:
            await asyncio.wait(self._farewells)

    async def _owner(self, slot: int) -> Link:
        link = self._owners[slot]
        if link is None or link.lost:
            await self._look_and_wait()
            link = self._owners[slot]
            if link is None:
                raise StoreError(self._trouble or self._gap(slot))
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(SLOW, self._look_for_slow_ones)
        return link

    def _gap(self, slot: int) -> str:
        return self.told(f"no node of the cluster has slot {slot}: look at CLUSTER SLOTS, and give every slot to a primary")

    def _named(self, refusal: Refusal, asked: Link) -> Link:
        """The node that `MOVED 3999 host:port` or `ASK …` names; without a host it is that of who was asked."""
        host, _, port = refusal.text.split(" ")[2].rpartition(":")
        return self._link(asked.address.at(host or asked.address.host, int(port)))

    def _link(self, address: Address) -> Link:
        if self._closed:
            raise StoreError(self.told("this end closed the connection"))
        place = (address.host, address.port)
        if place not in self._links:
            self._links[place] = Link(address, self._greet, self._replication)
        return self._links[place]

    # -- who has what ----------------------------------------------------------------------------------------------------------------------

    def _look_again(self) -> None:
        """Have the cluster asked, unless that was done just now."""
        now = asyncio.get_running_loop().time()
        if self._survey is None and now >= self._surveyed + PAUSE and not self._closed:
            self._surveyed = now
            self._survey = asyncio.create_task(self._look())

    def _look_for_slow_ones(self) -> None:
        """As long as calls wait: those at a node that hangs go on with its successor, long before its time is up."""
        waited = max([link.waited for link in self._links.values()], default=0.0)
        if waited > SLOW:
            self._look_again()
        self._watch = asyncio.get_running_loop().call_later(PAUSE if waited > SLOW else SLOW, self._look_for_slow_ones) if waited else None

    async def _look_and_wait(self) -> None:
        self._look_again()
        if self._survey is not None:
            await asyncio.wait([self._survey])  # which leaves the survey alone if this caller is cancelled

    async def _look(self) -> None:
        """Ask several nodes at once, and believe the first that knows as much as we do; if none does, who knows most.

        A node that is cut off from the others knows less than they do. A cluster that was made anew begins to count anew.
        """
        asked = [asyncio.create_task(self._view(address)) for address in self._whom_to_ask()]
        best: View | None = None
        troubles: list[str] = []
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    view = await answer
                except StoreError as error:
                    troubles.append(str(error))
                    continue
                if best is None or view.epoch > best.epoch:
                    best = view
                if view.epoch >= self._epoch:
                    break
            if best is not None:
                self._learn(best)
            self._trouble = "" if best is not None else troubles[-1]
        finally:
            self._survey = None
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    def _whom_to_ask(self) -> list[Address]:
        """Some of the nodes that are there; without a majority, which is what decides in a cluster, also what REDIS_URL names."""
        there = [link.address for link in self._links.values() if not link.lost]
        asked = random.sample(there, min(len(there), ASKED))
        if len(there) <= len(self._links) // 2:
            places = {(address.host, address.port) for address in asked}
            asked += [seed for seed in self._seeds if (seed.host, seed.port) not in places]
        return asked

    async def _view(self, address: Address) -> View:
        """Ask a node by the link that it has; one that has none, which may be a replica, is asked in passing."""
        link = self._links.get((address.host, address.port))
        passing = link is None or link.lost
        asked = Link(address, no_greeting) if link is None or passing else link
        try:
            info, shares = [accept(reply, asked.told) for reply in await asked.ask(_INFO, _SHARES)]
        except StoreError as error:
            if "cluster support disabled" in str(error):
                raise StoreError(asked.told("it is no cluster: let REDIS_URL begin with redis:// (with TLS, rediss://)")) from None
            raise
        finally:
            if passing:
                await asked.close()
        try:
            fields = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
            return View(
                int(fields["cluster_current_epoch"]),
                tuple(
                    (first, last, address.at(host.decode() if host else address.host, port))
                    for first, last, (host, port, *_), *_ in shares
                    if host != b"?"  # an address that the node itself does not know
                ),
            )
        except (KeyError, TypeError, ValueError):
            raise StoreError(asked.told(f"what it says of its cluster cannot be read ({info!r}, {shares!r})")) from None

    def _learn(self, view: View) -> None:
        owners: list[Link | None] = [None] * SLOTS
        for first, last, address in view.shares:
            owners[first : last + 1] = [self._link(address)] * (last - first + 1)
        self._owners, self._epoch = owners, view.epoch
        live = set(owners)
        gone = [place for place, link in self._links.items() if link not in live]
        for place in gone:
            self._retire(self._links.pop(place))
        if gone:
            _log.info("The cluster has other primaries now", names=sorted(self.names()))

    def _retire(self, link: Link) -> None:
        """Nobody is sent there any more; whoever waits there still does not know what became of his call."""
        self._retired += link.round_trips
        farewell = asyncio.create_task(link.close())
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)


async def no_greeting(_ask: Ask, _address: Address, _told: Told) -> None:
    """A look at nothing: who is only asked need not be fit to be written to."""


def link_to(url: str, greet: Greet, replication: Replication | None = None) -> Link | ClusterLink:
    """The way to the store at `url`, be it a server or a cluster; see `Address`."""
    seeds = Address.all_of(url)
    if seeds[0].cluster:
        return ClusterLink(seeds, greet, replication)
    return Link(seeds[0], greet, replication)
