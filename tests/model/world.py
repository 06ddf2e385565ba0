"""Everything at one moment."""

from typing import NamedTuple

from model.handler import Handler, Inbound
from model.store import Boot, Stored, Write


class Faults(NamedTuple):
    """How often each thing may still go wrong."""

    crash: int = 0
    expiry: int = 0  # a lease runs out though its owner lives
    lost_reply: int = 0
    delay: int = 0  # a call lands after its sender gave it up
    failover: int = 0  # the store comes back without its last writes
    forget: int = 0  # the conversation is forgotten by hand
    lifetime: int = 0  # a history expires
    lost_due: int = 0  # a due index is lost


class Post(NamedTuple):
    """An output that the push channel shows."""

    gen: int
    output: str
    text: object


class World(NamedTuple):
    """The store, the nodes, the wires between them, and what the callers' side has in hand."""

    stored: tuple[Stored, ...]  # by session
    handlers: tuple[tuple[Handler, ...], ...]  # by node, then by session
    lives: tuple[int, ...]  # of the nodes' processes
    inbox: tuple[tuple[int, Inbound], ...]  # what channels have yet to deliver, and to which node
    faults: Faults
    network: tuple[Write, ...] = ()  # calls that will land after their senders gave them up
    earlier: tuple[tuple[Stored, ...], ...] = ()  # by session, what a failover brings back
    posts: tuple[Post, ...] = ()
    reported: frozenset[int] = frozenset()  # sessions that a sweep reported as left alone

    def boot(self, node: int) -> Boot:
        """A node's process."""
        return Boot(node, self.lives[node])

    def with_handler(self, node: int, session: int, handler: Handler) -> "World":
        """A handler changed."""
        row = self.handlers[node]
        row = (*row[:session], handler, *row[session + 1 :])
        return self._replace(handlers=(*self.handlers[:node], row, *self.handlers[node + 1 :]))

    def with_stored(self, session: int, stored: Stored) -> "World":
        """What is stored of a session changed."""
        return self._replace(stored=(*self.stored[:session], stored, *self.stored[session + 1 :]))

    def spend(self, fault: str) -> "World":
        """A fault happened."""
        return self._replace(faults=self.faults._replace(**{fault: getattr(self.faults, fault) - 1}))
