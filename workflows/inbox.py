"""The inbox of a run: the inputs on record that no listen has taken yet, and who may still send some."""

import msgspec

from workflows.events import CarriedErrand, Heard, Left
from workflows.inputs import CALLER
from workflows.turns import Turn, Turns

Item = tuple[Heard | Left, Turn]


class Inbox:
    """Inputs with their turns, oldest first.

    Attributes:
        items: the inputs, each with its turn; None if there are none (most runs rest, and empty lists add up).
        left: how the caller left, as far as the workflow has heard.
    """

    __slots__ = ("_errands", "_turns", "items", "left")

    def __init__(self, turns: Turns, errands: tuple[CarriedErrand, ...]) -> None:
        self.items: list[Item] | None = None
        self._turns = turns
        self._errands = {errand.id: errand for errand in errands} or None
        self.left: Left | None = None

    @property
    def errands(self) -> dict[str, CarriedErrand]:
        """Those that have not reported, by id: `starting` until that is on record, `running`, `cancelled` until that is."""
        return self._errands or {}

    def put(self, event: Heard | Left, turn: Turn) -> None:
        """An input came; it waits for a listen, unless it is the notice of an errand that nobody wants, or a second leaving."""
        if self._has_left() if isinstance(event, Left) else event.type == "errand" and self._is_unwanted(event):
            self._turns.drop(turn)
        elif self.items is None:
            self.items = [(event, turn)]
        else:
            self.items.append((event, turn))

    def take(self, types: frozenset[str]) -> Item | None:
        """The oldest input that a listen for `types` hears; a notice waits until the start of its errand is on record."""
        if self.items is None:
            return None
        for item in self.items:
            event = item[0]
            if isinstance(event, Left):
                taken = not types.isdisjoint(CALLER)
            else:
                taken = event.type in types and (event.type != "errand" or self.errands[event.payload["errand"]].state != "starting")
            if taken:
                if isinstance(event, Left):
                    self._drop_returns_before(item)
                self.items.remove(item)
                self.items = self.items or None
                return item
        return None

    def caller_is_back(self) -> bool:
        """Whether a caller who left came back unheard; that news is taken out then."""
        item = self.take(frozenset({"returned"}))
        if item is not None:
            self.left = None
            self._turns.welcome(item[1])
        return item is not None

    def clear(self) -> None:
        """The session is over; what waits is answered so."""
        self.items = None

    @property
    def events(self) -> list[Heard | Left]:
        """What waits, oldest first."""
        return [event for event, _ in self.items or ()]

    def expect(self, errand: CarriedErrand) -> None:
        """An errand is being started, on record as started, or called off."""
        if self._errands is None:
            self._errands = {}
        self._errands[errand.id] = errand

    def discard(self, errand: str) -> None:
        """An errand is called off: from here on nothing of it is heard."""
        known = self.errands.get(errand)
        if known is not None:
            self.expect(msgspec.structs.replace(known, state="cancelled"))
            self._drop_notices()

    def forget(self, errand: str) -> None:
        """An errand has been told that it is called off, or is not being started any more."""
        if self._errands and self._errands.pop(errand, None) is not None:
            if len(self._errands) == 0:
                self._errands = None
            self._drop_notices()

    def _drop_returns_before(self, left: Item) -> None:
        """Whoever came back before they left is not back."""
        assert self.items is not None
        index = self.items.index(left)
        for item in [item for item in self.items[:index] if isinstance(item[0], Heard) and item[0].type == "returned"]:
            self._turns.drop(item[1])
            self.items.remove(item)

    def _has_left(self) -> bool:
        """Whether the caller is gone for whoever has heard all that waits."""
        left = self.left is not None
        for event, _ in self.items or ():
            if isinstance(event, Left):
                left = True
            elif event.type == "returned":
                left = False
        return left

    def _is_unwanted(self, event: Heard) -> bool:
        errand = self.errands.get(event.payload["errand"])
        return errand is None or errand.state == "cancelled"

    def _drop_notices(self) -> None:
        wanted: list[Item] = []
        for event, turn in self.items or ():
            if isinstance(event, Heard) and event.type == "errand" and self._is_unwanted(event):
                self._turns.drop(turn)
            else:
                wanted.append((event, turn))
        self.items = wanted or None
