"""Histories as people leave them behind: conversations of a seed, over everything that we ship.

Callers of all channels say, press and keep silent, hang up and come back; the model thinks of anything, calls tools well and badly; effects
fail; errands run beside; long chats restart; what is posted has receipts. Every session and every generation is a history of its own.
"""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from switchboard.history_files import Recorded
from workflows.assistant import assistant
from workflows.bedtime import bedtime
from workflows.events import Opened, Sent
from workflows.fares import Quote, Trip, find_fares
from workflows.registry import AnyWorkflow, Registry
from workflows.reminders import Reminded, remind
from workflows.santa import santa
from workflows.scene import Scene, seed_of
from workflows.stage import Stage
from workflows.testing import FACTS, Rehearsal
from workflows.think import ChatMessage, Thought, ToolCall, ToolSpec, Usage, think

WORDS = (
    "hello", "how are you?", "remind me of the cat", "what is running?", "Grüße, 東京 <b>", "   ", "one", "two", "no", "yes", "snooze",
    "snooze for 3 minutes", "later", "help", "reindeer", "toys",
)  # fmt: skip
INTENTS: tuple[tuple[str, dict[str, str]], ...] = (
    ("AMAZON.YesIntent", {}), ("AMAZON.NoIntent", {}), ("AMAZON.HelpIntent", {}), ("SnoozeIntent", {"minutes": "20"}), ("SnoozeIntent", {}),
)  # fmt: skip
MISDEEDS = ('{"description": ', "{}", "[]", '{"name": "nothing"}')
LONG = "a long story, " * 430
NOW = re.compile(r"It is \w+, (\S+) in the user's time zone")
ZONES = ("UTC", "Europe/Helsinki", "America/New_York")


class Caller(Rehearsal):
    """A caller in a session of that key, whose histories are kept: elements by session and generation."""

    def __init__(self, key: str, workflow: AnyWorkflow, at: datetime, zone: str, **more: Any) -> None:
        args, facts, effects = (more.get(name, {}) for name in ("args", "facts", "effects"))
        channel, now = key.partition(":")[0], round(at.timestamp() * 1000)
        opened = Opened(
            now, 0, 0, "opening", now, workflow.name, workflow.patches, channel, "line", "caller", "en-GB", zone, seed_of(key), args,
            facts=FACTS[channel] | facts,
        )  # fmt: skip
        self.lives: dict[tuple[str, int], list[bytes]] = {}
        Scene.__init__(self, Stage(Registry([workflow]), now, effects, evict=False), key, opened)
        self.keep()

    def keep(self) -> None:
        """Take note of the histories that are there now; they grow by themselves."""
        self._stage.settle()
        for key, scene in self._stage.scenes.items():
            self.lives[key, scene.opened.gen] = scene._elements

    def post(self) -> None:
        """Put on record what was posted, where the channel pushes."""
        for unsent in list(self._run.unsent):
            self.feed(Sent(0, 0, 0, unsent.number, {"ts": "1.2"}))


def recorded(seed: int, count: int) -> list[Recorded]:
    """That many histories; of two numbers with one seed the smaller one gives the beginning of the other's."""
    found: list[Recorded] = []
    number = 0
    while len(found) < count:
        found += converse(Random(f"{seed}/{number}"), f"{seed}-{number}")
        number += 1
    return found[:count]


def converse(rng: Random, name: str) -> list[Recorded]:
    """One conversation, up to some moment of it: the histories of its sessions."""
    kind = rng.choices((call_santa, chat, call_the_boys), (5, 4, 3))[0]
    caller = kind(rng, name)
    acts = (press, say, speak, intend, keep_silent, leave_message, hand_over, hang_up, come_back, wait)
    weights = (12, 2, 0, 0, 2, 2, 5, 1, 0, 1) if kind is call_santa else (6, 6, 2, 4, 1, 0, 0, 1, 1, 4)
    for _ in range(rng.randrange(14)):
        if caller.ended:
            break
        rng.choices(acts, weights)[0](rng, caller)
        caller.keep()
        if rng.random() < 0.8:
            caller.post()
    if rng.random() < 0.5:  # what it left behind goes on
        for _ in range(rng.randrange(12)):
            wait(rng, caller)
            caller.keep()
    return [Recorded(key, tuple(elements)) for (key, _), elements in caller.lives.items()]


# -- who calls -----------------------------------------------------------------------------------------------------------------------------


def call_santa(rng: Random, name: str) -> Caller:
    """By phone, mostly in office hours, sometimes at Christmas."""
    day = datetime(2026, rng.choice((3, 6, 12)), rng.randrange(1, 29), tzinfo=UTC)
    queues = {"queues": {"1": "+15550111", "3": "+15550113"}}
    args = rng.choice(({}, queues, queues))
    return Caller(f"phone:{name}", santa, day + timedelta(hours=rng.choice((12, 13, 14, 14, 14, 22))), rng.choice(ZONES), args=args)


def chat(rng: Random, name: str) -> Caller:
    """With the assistant, in a chat, in a thread that what is said is posted to, or where nobody can be reached later."""
    channel = rng.choice(("web", "slack", "alexa"))
    facts = {"pushes": True} if channel == "slack" else {}
    thoughts, fares = Random(rng.random()), Random(rng.random())
    at = datetime(2026, 11, 23, 18, tzinfo=UTC) + timedelta(minutes=rng.randrange(10_000))
    effects = {
        think: lambda messages, tools: answer(thoughts, messages, tools),
        find_fares: lambda trip, currency: quote(fares, trip, currency),
    }
    return Caller(f"{channel}:{name}", assistant, at, rng.choice(ZONES), facts=facts, effects=effects)


def call_the_boys(rng: Random, name: str) -> Caller:
    """Through Alexa, mostly."""
    args = rng.choice(({}, {"boys": ["Ben"]}, {"boys": ["Ben", "Max"], "snooze": 5}))
    at = datetime(2026, 5, 1, 19, tzinfo=UTC) + timedelta(minutes=rng.randrange(100_000))
    reminders = Random(rng.random())
    channel = rng.choice(("alexa", "alexa", "phone", "web"))
    return Caller(f"{channel}:{name}", bedtime, at, rng.choice(ZONES), args=args, effects={remind: lambda *_: reminded(reminders)})


# -- what they do --------------------------------------------------------------------------------------------------------------------------


def press(rng: Random, caller: Caller) -> None:
    caller.press(rng.choice(("1", "1", "2", "3", "9")))


def say(rng: Random, caller: Caller) -> None:
    caller.say(rng.choice(WORDS))


def speak(rng: Random, caller: Caller) -> None:
    for _ in range(rng.randrange(1, 6)):
        if not caller.ended:
            caller.say(LONG)
            caller.keep()


def intend(rng: Random, caller: Caller) -> None:
    name, slots = rng.choice(INTENTS)
    caller.intend(name, **slots)


def keep_silent(_: Random, caller: Caller) -> None:
    prompt = caller._run.prompt
    if prompt is not None and (prompt.timeout is not None or caller.opened.facts.get("owns_timeouts")):
        caller.stay_silent()


def leave_message(_: Random, caller: Caller) -> None:
    caller.leave_recording(seconds=4)


def hand_over(rng: Random, caller: Caller) -> None:
    caller.transferred(rng.choice(("completed", "busy", "no-answer")), 3)


def hang_up(_: Random, caller: Caller) -> None:
    caller.hang_up()


def come_back(_: Random, caller: Caller) -> None:
    caller.come_back()


def wait(rng: Random, caller: Caller) -> None:
    caller.pass_time(timedelta(minutes=rng.choice((1, 30, 400, 3_000))))


# -- what the world does -------------------------------------------------------------------------------------------------------------------


def answer(rng: Random, messages: list[ChatMessage], tools: list[ToolSpec]) -> Thought:
    """What the model thinks of."""
    usage = Usage(len(messages), 1)
    chance = rng.random()
    if chance < 0.07:
        raise ConnectionError("down")
    if chance < 0.1:
        return Thought("", usage=usage)
    if not tools or chance < 0.5:
        return Thought(f"I see {rng.randrange(100)}.", usage=usage)
    calls = tuple(ToolCall(f"id{number}", *tool_call(rng, messages)) for number in range(rng.randrange(1, 4)))
    return Thought(rng.choice(("", "Let me see.")), calls, usage)


def tool_call(rng: Random, messages: list[ChatMessage]) -> tuple[str, str]:
    """A tool and its arguments, some of them wrong."""
    found = NOW.search(messages[0]["content"])
    assert found is not None
    now = datetime.fromisoformat(found[1])
    name = rng.choice(("create_reminder", "create_reminder", "watch_flight", "watch_flight", "list_tasks", "task_status", "cancel_task"))
    if rng.random() < 0.1:
        return name, rng.choice(MISDEEDS)
    match name:
        case "create_reminder":
            at = now + timedelta(minutes=rng.choice((-5, 1, 20, 300, 2_000)))
            arguments: dict[str, Any] = {"description": rng.choice(("feed the cat", "call Ada")), "at": at.isoformat()}
        case "watch_flight":
            departure = (now + timedelta(days=rng.choice((-1, 2, 9)))).date().isoformat()
            arguments = {
                "origin": "LHR",
                "destination": "JFK",
                "departure": departure,
                "max_price": rng.choice((300, 450)),
                "currency": "eur",
            }
        case _:
            arguments = {"name": rng.choice(("feed-the-cat", "call-ada", "lhr-jfk"))}
    return name, json.dumps(arguments)


def quote(rng: Random, trip: Trip, currency: str) -> Quote | None:
    """The lowest fare, if any is on offer and the source answers."""
    chance = rng.random()
    if chance < 0.2:
        raise ConnectionError("down")
    return None if chance < 0.3 else Quote(Decimal(rng.randrange(29_000, 60_000)) / 100, currency, "simulated", trip.destination)


def reminded(rng: Random) -> Reminded:
    """Whether the channel takes the reminder."""
    if rng.random() < 0.3:
        raise ConnectionError("down")
    return rng.choice(("set", "set", "forbidden"))
