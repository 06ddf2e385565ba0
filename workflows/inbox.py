"""The inbox of a run: the inputs on record that no listen has taken yet, and who may still send some."""

import msgspec

from workflows.events import CarriedErrand, Heard, Left
from workflows.inputs import CALLER
from workflows.turns import Turn, Turns

Item = tuple[Heard | Left, Turn]


class Inbox:
    """Inputs with their turns, oldest first.

    Attributes:
        items: the inputs, each with its turn.
        errands: those that have not reported, by id: `starting` until that is on record, `running`, `cancelled` until that is.
        left: how the caller left, as far as the workflow has heard.
    """

    __slots__ = ("_turns", "errands", "items", "left")

    def __init__(self, turns: Turns, errands: list[CarriedErrand]) -> None:
        self.items: list[Item] = []
        self._turns = turns
        self.errands = {errand.id: errand for errand in errands}
        self.left: Left | None = None

    def put(self, event: Heard | Left, turn: Turn) -> None:
        """An input came; it waits for a listen, unless it is the notice of an errand that nobody wants, or a second leaving."""
        if self._has_left() if isinstance(event, Left) else self._is_unwanted(event):
            self._turns.drop(turn)
        else:
            self.items.append((event, turn))

    def take(self, types: frozenset[str]) -> Item | None:
        """The oldest input that a listen for `types` hears; a notice waits until the start of its errand is on record."""
        for index, item in enumerate(self.items):
            event = item[0]
            if isinstance(event, Left):
                taken = not types.isdisjoint(CALLER)
            else:
                taken = event.type in types and (event.type != "errand" or self.errands[event.payload["errand"]].state != "starting")
            if taken:
                del self.items[index]
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
        self.items.clear()

    @property
    def events(self) -> list[Heard | Left]:
        """What waits, oldest first."""
        return [event for event, _ in self.items]

    def expect(self, errand: CarriedErrand) -> None:
        """An errand is being started, or on record as started."""
        self.errands[errand.id] = errand

    def discard(self, errand: str) -> None:
        """An errand is called off: from here on nothing of it is heard."""
        known = self.errands.get(errand)
        if known is not None:
            self.errands[errand] = msgspec.structs.replace(known, state="cancelled")
            self._drop_notices()

    def forget(self, errand: str) -> None:
        """An errand has been told that it is called off, or is not being started any more."""
        if self.errands.pop(errand, None) is not None:
            self._drop_notices()

    def _has_left(self) -> bool:
        """Whether the caller is gone for whoever has heard all that waits."""
        left = self.left is not None
        for event, _ in self.items:
            if isinstance(event, Left):
                left = True
            elif event.type == "returned":
                left = False
        return left

    def _is_unwanted(self, event: Heard) -> bool:
        if event.type != "errand":
            return False
        errand = self.errands.get(event.payload["errand"])
        return errand is None or errand.state == "cancelled"

    def _drop_notices(self) -> None:
        items, self.items = self.items, []
        for event, turn in items:
            if isinstance(event, Heard) and self._is_unwanted(event):
                self._turns.drop(turn)
            else:
                self.items.append((event, turn))
