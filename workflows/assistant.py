"""The assistant: chats by a language model, reminds, watches flights, and never asks the model twice for what is on record.

The model is asked with what this conversation remembers, and may call tools; the desk does what they ask for. A full memory is condensed
while the user is listened to, and what is left of it begins a new generation. So the place of the cut is on record, and however long a
chat lasts, its history is never longer than what the model remembers word by word, and a replay takes a few milliseconds.
"""

from datetime import datetime

from workflows.dates import WEEKDAYS
from workflows.desk import Desk
from workflows.errands import LOOK_EVERY_HOURS, Hours
from workflows.errors import StepFailed
from workflows.inputs import ErrandDone, Heard, Silence
from workflows.memory import Memory, Past
from workflows.talk import Talk
from workflows.tasks import Task, Tasks
from workflows.think import ToolCall, think
from workflows.tools import TOOLS, Malformed, read
from workflows.workflow import workflow

MOST_ROUNDS = 6
"""How often the model is asked in one turn; one that still calls tools then has lost its way."""

MOST_CALLS = 8
"""Calls of tools in one answer that are looked at."""

GREETING = "Hello! I can chat, remind you of things, and watch the price of a flight. What can I do for you?"
CHAT_ONLY = "Hello! What can I do for you? I cannot reach you later on this line, so I take no reminders here and watch no flights."
UNREACHABLE = "Sorry, the model can't be reached at the moment. Please try again later."
SPEECHLESS = "Sorry, I have no answer to that. Could you say it in other words?"
LOST = "Sorry, I lost my way with that. Could you say it in other words?"
DONE = "Done."

INSTRUCTIONS = (
    "You are a friendly assistant in a chat. Answer in the language of the user, in a few sentences of plain text without markup. "
    "What a tool says that the user has been told, they have seen: do not repeat it. Never guess what is missing: ask the user."
)
TASKS_INSTRUCTIONS = (
    "You can set reminders and watch flights with your tools, for this user only; give moments as local ISO dates and times. "
    "Claim nothing as done that no tool has done."
)
CHAT_INSTRUCTIONS = (
    "The user cannot be reached later on this channel. So you can set no reminders and watch no flights here; when asked to, say so."
)


@workflow(name="assistant")
async def assistant(
    talk: Talk, look_every_hours: Hours = LOOK_EVERY_HOURS, past: Past | None = None, tasks: list[Task] | None = None
) -> None:
    """Chat with one user. `past` and `tasks` are what the generation before has left; lines give `look_every_hours` at most."""
    memory = Memory(past or Past())
    desk = Desk(talk, Tasks(tasks or []), look_every_hours)
    if past is None:
        talk.say(GREETING if can_deliver(talk) else CHAT_ONLY)
    silent = False
    while True:
        if memory.awaits_answer:
            await answer(talk, memory, desk)
        event, condensed = await hear(talk, memory)
        match event:
            case Heard(text=text) if text.strip():
                memory.hear(text)
            case Heard():
                talk.say("Sorry, I did not catch that.")
            case ErrandDone():
                news = desk.close(event)
                talk.say(news)
                memory.notice(news)
            case Silence() if silent:
                talk.say("Goodbye.")
                return
            case Silence():
                talk.say("Are you still there?")
        silent = isinstance(event, Silence)
        if condensed:
            await talk.restart(assistant, look_every_hours, memory.past, desk.tasks.all)


async def hear(talk: Talk, memory: Memory) -> tuple[Heard | ErrandDone | Silence, bool]:
    """What comes next, and whether the memory was condensed meanwhile: the user waits for that only if they speak before it is done."""
    if not memory.is_full:
        return await talk.next(Heard, ErrandDone, Silence), False
    event, digest = await talk.gather(talk.next(Heard, ErrandDone, Silence), condense(talk, memory))
    if digest is None and not memory.overflows:
        return event, False  # it is tried again after the next turn
    memory.forget(digest)
    return event, True


async def condense(talk: Talk, memory: Memory) -> str | None:
    """A digest of what is to be forgotten; None if the model has none to give."""
    try:
        thought = await talk.call(think, memory.condensing(), [])
    except StepFailed:
        return None
    return thought.text.strip() or None


async def answer(talk: Talk, memory: Memory, desk: Desk) -> None:
    """Ask the model and do what it wants done, until it only speaks. Whatever happens, the user gets an answer, and so does the memory."""
    asked = talk.now
    instructions, tools = instruct(talk, asked), TOOLS if can_deliver(talk) else []
    acted = repaired = False
    for _ in range(MOST_ROUNDS):
        try:
            thought = await talk.speak(think, memory.prompt(instructions), tools)
        except StepFailed:
            return tell(talk, memory, UNREACHABLE)
        if not thought.calls and thought.text.strip():
            return memory.answer(thought.text)
        if not thought.calls:
            return tell(talk, memory, DONE if acted else SPEECHLESS)
        calls = thought.calls[:MOST_CALLS]
        results, malformed = await act(desk, calls, asked)
        memory.act(thought.text, calls, results)
        if malformed is not None and repaired:
            return tell(talk, memory, malformed.sentence)
        acted, repaired = True, repaired or malformed is not None
    return tell(talk, memory, LOST)


async def act(desk: Desk, calls: tuple[ToolCall, ...], asked: datetime) -> tuple[list[str], Malformed | None]:
    """Do what the calls ask for; gives a result for each, and the last of those that could not be read."""
    results: list[str] = []
    malformed: Malformed | None = None
    for call in calls:
        match read(call):
            case Malformed(problem=problem) as malformed:
                results.append(f"This call was not understood: {problem}.")
            case tool:
                results.append(await desk.do(tool, asked))
    return results, malformed


def tell(talk: Talk, memory: Memory, sentence: str) -> None:
    """Say a sentence that the model did not think of, and have it remembered."""
    talk.say(sentence)
    memory.answer(sentence)


def can_deliver(talk: Talk) -> bool:
    """Whether the user can be reached later on this channel."""
    return bool(talk.opened.facts.get("can_deliver"))


def instruct(talk: Talk, now: datetime) -> str:
    """What the model is to be and to know. The time is a part of it, to the second, for "in ten seconds".

    In the hour that comes twice when the clocks go back, the second one is told by its offset.
    """
    ability = TASKS_INSTRUCTIONS if can_deliver(talk) else CHAT_INSTRUCTIONS
    clock = now.isoformat(timespec="seconds") if now.fold else f"{now:%Y-%m-%dT%H:%M:%S}"
    time = f"It is {WEEKDAYS[now.weekday()]}, {clock} in the user's time zone, {talk.opened.time_zone}."
    return f"{INSTRUCTIONS} {ability}\n{time}"
