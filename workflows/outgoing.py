"""What is said in a session whose channel pushes, until it is on record as sent."""

import msgspec

from workflows.events import Prompt
from workflows.outputs import Output

PUSHES = "pushes"
"""The fact of an opening that says that what is said has to be brought to people outside a request."""

APOLOGY = "apology"
"""The key in the receipt of what a failed run says for itself: mended code says something else there, which is still to be sent."""


class Unsent(msgspec.Struct, eq=False):
    """An output without a receipt.

    `turn` is the dedupe id of the turn that it belongs to (empty: none), `answers` tells that it is part of its answer. `prompt` is what
    the caller can speak to from here on, on the last output before it. `apology`: a failed run says it, not the workflow.
    """

    number: tuple[int, int]
    output: Output
    turn: str
    answers: bool
    prompt: Prompt | None = None
    apology: bool = False


class Outgoing:
    """The outputs of one generation that have no receipt yet, oldest first: they are sent in this order.

    Attributes:
        unsent: those outputs.
    """

    __slots__ = ("_asked", "_last", "unsent")

    def __init__(self, base: int) -> None:
        self.unsent: list[Unsent] = []
        self._last = (base, -1)
        self._asked = ""

    def ask(self, step: str, prompt: Prompt, position: int) -> None:
        """Upon the event at that position the caller is listened to, at a step: the last words of that event ask for it, if any do."""
        if step != self._asked and self.unsent and self.unsent[-1].number[0] == position:
            self._asked = step
            self.unsent[-1].prompt = prompt

    def receive(self, number: tuple[int, int], position: int) -> str:
        """The event at that position is the receipt of an output; gives why that cannot be, empty if it can.

        Words may be changed: that this code says nothing there is no error, and what it says before has been superseded.
        """
        if number <= self._last:
            return "that has one, or belongs to another generation"
        if number[0] >= position:
            return "that was not said yet"
        self._last = number
        while self.unsent and self.unsent[0].number <= number:
            del self.unsent[0]
        return ""
