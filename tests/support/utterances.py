"""What people type to the demo, read from its file, and whether the offline demo model made of it what it should.

The whole assistant is rehearsed: the tools are read, the desk does what they ask for. An outcome is what has been done by then.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from telephony.simulators.model.rules import LABEL, answer
from workflows.assistant import assistant
from workflows.dates import read_moment
from workflows.fares import Quote, find_fares
from workflows.testing import Rehearsal
from workflows.think import Thought, ToolCall, think
from workflows.tools import CancelTask, CreateReminder, ListTasks, TaskStatus, WatchFlight, read

FARE = Quote(Decimal(99999), "EUR", "simulated fares, not for sale")


@dataclass(frozen=True)
class Utterance:
    """Messages, when and where and beside which tasks they were typed, and what must come of the last one."""

    line: int
    at: datetime
    tasks: tuple[str, ...]
    messages: tuple[str, ...]
    outcome: str

    def __str__(self):
        return f"line {self.line}: {' || '.join(self.messages)} => {self.outcome}"


def utterances(path):
    """All of a file; its head tells how it is written."""
    found = []
    at, tasks = None, ()
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("@ "):
            moment, zone, rest = line.removeprefix("@ ").split(" ", 2)
            at = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone))
            tasks = tuple(each.strip() for each in rest.strip("[]").split(";") if each.strip())
        elif line and not line.startswith("#"):
            words, outcome = line.rsplit(" => ", 1)
            found.append(Utterance(number, at, tasks, tuple(words.split(" || ")), outcome))
    return found


class Chat:
    """The assistant in front of one user.

    Attributes:
        done: what the desk has done in this turn, as outcomes are written.
        told: what the user was told in this turn.
    """

    def __init__(self, utterance):
        self._utterance = utterance
        self._script = []
        self.done = []
        self._call = Rehearsal(
            assistant, at=utterance.at, channel="web", time_zone=str(utterance.at.tzinfo),
            effects={think: self._think, find_fares: FARE}, evict=False,
        )  # fmt: skip
        for task in utterance.tasks:
            self._script = [_tool(task), "Done."]
            self._call.say(task)

    def say(self, text):
        """Say something; afterwards `done` and `told` are those of this turn."""
        self.done = []
        self.told = "\n".join(map(str, self._call.say(text)))

    def _think(self, messages, tools):
        self._look(messages)
        if self._script:
            step = self._script.pop(0)
            return Thought(step) if isinstance(step, str) else Thought("", (ToolCall("a", *step),))
        reply = answer(msgspec.to_builtins(messages), msgspec.to_builtins(tools))
        self._calls = [ToolCall(f"c{index}", call.name, call.arguments) for index, call in enumerate(reply.calls)]
        return Thought(reply.text, tuple(self._calls))

    def _look(self, messages):
        """Take down what the desk made of the last calls."""
        last = max(index for index, message in enumerate(messages) if message["role"] != "tool")
        results = [message["content"] for message in messages[last + 1 :]]
        for call, result in zip(getattr(self, "_calls", ()), results, strict=False):
            if not result.startswith(("Refused", "There is no task", "This call was not understood")):
                self.done.append(read(call))


def verdict(utterance):
    """None if all is as it should be, else what was done and told instead."""
    chat = Chat(utterance)
    for message in utterance.messages:
        chat.say(message)
    acts = [act for act in chat.done if not isinstance(act, ListTasks)]
    text = chat.told.replace(LABEL, "")
    if _fits(utterance, acts, text):
        return None
    return f"{acts or 'nothing'}; {text!r}"


def _fits(utterance, acts, text):
    kind = utterance.outcome.partition(":")[0]
    match kind:
        case "lists":
            names = [_words(task)[0] for task in utterance.tasks]
            return not acts and all(name in text for name in names)
        case "help":
            return not acts and re.search("remind", text, re.IGNORECASE) and re.search("flight", text, re.IGNORECASE)
        case "asks":
            return not acts and "?" in text
        case "clock":
            return not acts and utterance.outcome.partition(": ")[2] in text
        case "talk":
            return not acts and bool(text.strip())
    wanted = utterance.outcome.split(" & ")
    return len(wanted) == len(acts) and all(_is(each, act, utterance.at.tzinfo) for each, act in zip(wanted, acts, strict=True))


def _is(wanted, act, zone):
    kind, _, rest = wanted.partition(": ")
    match kind, act:
        case "remind", CreateReminder():
            what, _, when = rest.rpartition(" @ ")
            earliest, _, latest = when.partition("..")
            first, at = read_moment(earliest, zone).at, read_moment(act.at, zone).at
            last = read_moment(latest, zone).at if latest else first
            same = act.description.strip(" .!?,;:\"'").casefold() == what.casefold()
            return same and first.timestamp() <= at.timestamp() <= last.timestamp()
        case "watch", WatchFlight():
            given = (act.origin, act.destination, act.departure.isoformat(), Decimal(str(act.max_price)), act.currency.upper())
            origin, destination, day, price, currency = rest.split()
            return given == (origin, destination, day, Decimal(price), currency)
        case ("status", TaskStatus(name=name)) | ("cancel", CancelTask(name=name)):
            return name.casefold() == rest
    return False


def _tool(task):
    """The call that a model would start a task with."""
    kind, rest = task.split(": ", 1)
    if kind == "reminder":
        what, at = rest.split(" @ ")
        return "create_reminder", msgspec.json.encode({"description": what, "at": at}).decode()
    origin, destination, day, price, currency = rest.split()
    flight = {"origin": origin, "destination": destination, "departure": day, "max_price": float(price), "currency": currency}
    return "watch_flight", msgspec.json.encode(flight).decode()


def _words(task):
    """The name that the desk gives a task, and its kind."""
    kind, rest = task.split(": ", 1)
    return ("-".join(rest.split()[:2]).lower() if kind == "watch" else rest.split(" @ ")[0]), kind
