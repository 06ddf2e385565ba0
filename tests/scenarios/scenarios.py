"""Scenarios as data: what a caller does, and what is heard upon it. They know nothing of the doors through which they are played."""

from dataclasses import dataclass, field

WELCOME = "Welcome to Santa's switchboard. Press 1 to talk to an elf, or 2 to leave a message."
QUEUES = "Press 1 for toys, 2 for reindeer, or 3 for the naughty list."
MERRY = "Happy Christmas!"
PUTTING = "One moment, I am putting you through."
BUSY = "Sorry, all the elves are busy. Happy Christmas!"
UNKNOWN = "Sorry, key not recognised."
TONE = "Please leave your message after the tone."
CLOSED = "Santa's office is closed. Please leave a message after the tone."
NOTHING = "We did not hear anything."
THANKS = "Thank you. Goodbye!"
OUT = "Santa is out delivering presents, and closed for the rest of the year. Happy Christmas!"

ELVES = {"1": "+15550111", "2": "+15550112", "3": "+15550113"}


@dataclass(frozen=True)
class Scenario:
    """`steps` are (what the caller does, the texts heard upon it); the first step is the call itself.

    What the caller does: `call`, `press <keys>`, `say <words>`, `wait` (in vain), `hang up`. `hour` is the hour of the opening in the line's
    zone, `day` the day of the year if it matters: only doors whose clock can be set can play that. `dials`: how transfers end.
    """

    name: str
    steps: tuple[tuple[str, tuple[str, ...]], ...]
    hour: int = 12
    day: int | None = None
    dials: dict[str, str] = field(default_factory=dict)
    over: bool = True


SANTA = (
    Scenario(
        "an elf who answers",
        (("call", (WELCOME,)), ("press 1", (QUEUES,)), ("press 2", (PUTTING,))),
        dials={"+15550112": "completed"},
    ),
    Scenario(
        "elves who are busy", (("call", (WELCOME,)), ("press 1", (QUEUES,)), ("press 3", (PUTTING, BUSY))), dials={"+15550113": "busy"}
    ),
    Scenario("a queue by its name", (("call", (WELCOME,)), ("press 1", (QUEUES,)), ("say reindeer", (PUTTING,)))),
    Scenario(
        "four keys that are none",
        (
            ("call", (WELCOME,)),
            ("press 1", (QUEUES,)),
            ("press 7", (QUEUES,)),
            ("press 0", (QUEUES,)),
            ("wait", (QUEUES,)),
            ("press 9", (UNKNOWN,)),
        ),
    ),
    Scenario("the third time lucky", (("call", (WELCOME,)), ("press 1", (QUEUES,)), ("press 8", (QUEUES,)), ("press 1", (PUTTING,)))),
    Scenario("anything else is a greeting", (("call", (WELCOME,)), ("press 5", (MERRY,)))),
    Scenario("silence is a greeting, too", (("call", (WELCOME,)), ("wait", (MERRY,)))),
    Scenario("a message", (("call", (WELCOME,)), ("press 2", (TONE,)), ("say a train set please", (THANKS,)))),
    Scenario("no message after all", (("call", (WELCOME,)), ("press 2", (TONE,)), ("wait", (NOTHING, THANKS)))),
    Scenario("too early", (("call", (CLOSED,)), ("say good morning", (THANKS,))), hour=8),
    Scenario("too late", (("call", (CLOSED,)), ("say good evening", (THANKS,))), hour=17),
    Scenario("the last open hour", (("call", (WELCOME,)), ("press 5", (MERRY,))), hour=16),
    Scenario("the first open hour", (("call", (WELCOME,)), ("press 5", (MERRY,))), hour=9),
    Scenario("a caller who leaves", (("call", (WELCOME,)), ("press 1", (QUEUES,)), ("hang up", ()))),
    Scenario("the day before Christmas Eve", (("call", (WELCOME,)), ("press 5", (MERRY,))), day=357),
    Scenario("Christmas Eve", (("call", (OUT,)),), day=358),
    Scenario("New Year's Eve", (("call", (OUT,)),), day=365),
)
