"""Requests that nobody signed: a genuine one with one thing altered, from a seed."""

from dataclasses import dataclass
from random import Random

from support.alterations import ALTERATIONS, BROKEN, FORGED, UNREADABLE, said
from support.rewritings import CARRIERS, header
from support.webhooks import SIGNATURE, Webhook
from support.wire import Wire


@dataclass(frozen=True, slots=True)
class Forgery:
    """A request: what of a genuine one was altered, how it is carried, and the statuses that it may be refused with."""

    what: str
    carrier: str
    data: bytes
    statuses: frozenset[int]

    @property
    def may_break(self) -> bool:
        """Whether HTTP itself may be broken: then what was sent together with it goes unread."""
        return 400 in self.statuses


def is_genuine(of: Wire, altered: Wire) -> bool:
    """Whether the signature is still the one for what is said."""
    theirs = [value.strip() for name, value in altered.headers if name.lower() == SIGNATURE.lower()]
    text = said(altered)
    return theirs == [header(of, SIGNATURE)] and text is not None and text == said(of)


def forge(rng: Random, meant: Webhook, wire: Wire) -> tuple[Forgery, bool] | None:
    """Alter one thing of a genuine request, which is `meant` as `wire`; None: it has no such thing.

    Also tells whether the outcome says the same all the same, as when two equal values were swapped, and is no forgery.
    """
    (what,) = rng.choices(_KINDS, _WEIGHTS)
    alter, statuses = ALTERATIONS[what]
    altered = alter(rng, meant, wire)
    if altered is None:
        return None
    if not altered.target.isascii():
        statuses |= BROKEN
    same = statuses != UNREADABLE and is_genuine(wire, altered)
    carrier = rng.choice(_CARRIERS) if statuses == FORGED and rng.random() < 0.2 else "as it is"
    return Forgery(what, carrier, bytes(CARRIERS[carrier](rng, altered)), statuses), same


_KINDS = list(ALTERATIONS)
_WEIGHTS = [1 if 400 in statuses else 3 for _, statuses in ALTERATIONS.values()]
"""What the server's parser refuses costs a connection."""

_CARRIERS = list(CARRIERS)
