"""Who watches the wall: each post is held to rule 12 of `docs/format.md`, by what the store holds at that moment."""

from typing import TYPE_CHECKING

from support.wall import Post, Wall

from handlers.deliveries import Delivery, Expected
from handlers.history import partition_of
from workflows.events import Sent
from workflows.outputs import Output
from workflows.run import Run

if TYPE_CHECKING:
    from support.witness import Witness

Number = tuple[int, int, int]
"""Generation, position, ordinal."""

AWAKE_SECONDS = 2.0
"""How long a node that stood still may take to find out that it has lost its lease."""


class Posts:
    """What was said, what was posted, and by whom.

    `clock_was_set`: leases may end before their time. `thawed`: when a node that stood still went on, by its name.
    """

    def __init__(self, witness: "Witness") -> None:
        self.wall = Wall()
        self.wall.watch = self._hangs
        self.wall.watch_placeholder = self._stands
        self.clock_was_set = False
        self.thawed: dict[str, float] = {}
        self._witness = witness
        self._said: dict[str, dict[Number, Output]] = {}
        self._leading: dict[str, bool] = {}

    def say(self, run: Run) -> None:
        """What the last event led to is on record."""
        said = self._said.setdefault(run.session, {})
        for position, ordinal, output in run.said:
            said[run.opened.gen, position, ordinal] = output

    def forget(self, session: str) -> None:
        """What was said there is no longer on record."""
        self._said.pop(session, None)

    def leave(self, name: str, delivery: Delivery, look: bool) -> None:
        """A post is on its way from a node."""
        session = delivery.place.session
        self._witness.tell(session, f"{name} posts {delivery.key}{', having looked' if look else ''}")
        leads = self._leads(session, name)
        stood_still = self._witness.town.world.time < self.thawed.get(name, -AWAKE_SECONDS) + AWAKE_SECONDS
        if not (leads or self.clock_was_set or self._witness.lossy or stood_still):
            self._witness.blame(session, f"{name} posts {delivery.key} and does not lead")

    def _hangs(self, post: Post) -> None:
        delivery, witness = post.delivery, self._witness
        session, key = delivery.place.session, delivery.key
        witness.tell(session, f"{key} is posted: {post.text}")
        if witness.lossy:
            return
        if self._said.get(session, {}).get((delivery.place.gen, delivery.position, delivery.ordinal)) != delivery.output:
            witness.blame(session, f"{key} was posted before its cause was on record")
        leads = self._leads(session, post.by)  # else the lease was lost on the way: nobody could tell the node in time
        if key in self._leading and leads and self._leading[key]:
            witness.blame(session, f"{key} was posted twice")
        self._leading[key] = leads and self._leading.get(key, True)

    def _stands(self, expected: Expected, by: str) -> None:
        self._witness.tell(expected.place.session, f"{by} has put the placeholder {expected.key}")

    def _leads(self, session: str, name: str) -> bool:
        return self._witness.town.store.partitions[partition_of(session)].owner.get(session, ("", 0))[0] == name

    def judge(self, run: Run, sent: Sent) -> None:
        """A receipt comes on record."""
        if not run.unsent or run.unsent[0].number != sent.output:
            self._witness.blame(run.session, f"the receipt of {sent.output} is on record, which is not the next to be sent")
            return
        key = f"{run.session}/{run.opened.gen}/{sent.output[0]}.{sent.output[1]}/"
        if not any(post.delivery.key.startswith(key) and post.delivery.output == run.unsent[0].output for post in self.wall.posts):
            self._witness.blame(run.session, f"the receipt of {sent.output} is on record, which was never posted")

    def check_rest(self) -> None:
        """All that was said hangs there, once it may, and in that order; no placeholder does."""
        for session, said in self._said.items():
            hanging: dict[Number, Output] = {}
            for post in self.wall.posts:
                delivery = post.delivery
                number = (delivery.place.gen, delivery.position, delivery.ordinal)
                if delivery.place.session == session and said.get(number) == delivery.output:
                    hanging.setdefault(number, delivery.output)
            run = self._witness.runs.get(session)
            pushed = run is not None and run.turns.outgoing is not None
            if pushed and (missing := said.keys() - hanging.keys()):
                self._witness.blame(session, f"{min(missing)} was said and never posted")
            if pushed and list(hanging) != sorted(hanging) and not self._witness.lossy:
                self._witness.blame(session, "it was not posted in the order in which it was said")
        for key, expected in self.wall.placeholders.items():
            if not self._witness.upsets[expected.place.session]:  # a node that died may have left one
                self._witness.blame(expected.place.session, f"the placeholder {key} still stands")
