"""What all handlers of a node share."""

from dataclasses import dataclass, field
from random import Random

from handlers.alarms import Alarms
from handlers.counters import Counters
from handlers.deliveries import Messenger
from handlers.effects import Effects
from handlers.errands import Post
from handlers.followers import Followers
from handlers.history import History
from handlers.right_of_way import RightOfWay
from workflows.registry import Registry


@dataclass(slots=True)
class House:
    """What all handlers of a node share.

    `idle`: seconds without a word before a handler leaves memory. `ttl_ms`: how long a history is kept when it promises nothing
    more. `most_live`: how many sessions are in memory when no more are let in from outside. `messengers`: those of the channels that
    push, by the channels' names. `way`: what the work behind inputs asks before each heavy step.
    """

    history: History
    registry: Registry
    effects: Effects
    post: Post
    alarms: Alarms
    idle: float = 30.0
    ttl_ms: int = 30 * 86_400_000
    most_live: int = 100_000
    rng: Random = field(default_factory=Random)
    counters: Counters = field(default_factory=Counters)
    followers: Followers = field(default_factory=Followers)
    messengers: dict[str, Messenger] = field(default_factory=dict)
    way: RightOfWay = field(default_factory=RightOfWay)
