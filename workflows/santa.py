"""Santa's switchboard, the classic: who calls in office hours is put through to a queue or leaves a message.

After "Answering the phone, functionally, again" (F# Advent, 2018). All it knows of the time is the recorded opening, in the line's zone.
"""

from workflows.errors import NoAnswer, NotUnderstood
from workflows.listen import Choice, Digits
from workflows.talk import Talk
from workflows.workflow import workflow

CHRISTMAS_EVE = 358
"""The day of the year from which on Santa is out; a day early in leap years, like the original."""

OPENS, CLOSES = 9, 17
TRIES = 4


@workflow(name="santa")
async def santa(talk: Talk, queues: dict[int, str] | None = None) -> None:
    """Answer a call. `queues` are the telephone numbers behind the keys 1 to 3, from the line's `args`."""
    now = talk.opened.at
    if now.timetuple().tm_yday >= CHRISTMAS_EVE:
        talk.say("Santa is out delivering presents, and closed for the rest of the year. Happy Christmas!")
    elif not OPENS <= now.hour < CLOSES:
        await leave_message(talk, "Santa's office is closed. Please leave a message after the tone.")
    else:
        await main_menu(talk, queues or {})


async def main_menu(talk: Talk, queues: dict[int, str]) -> None:
    """The first choice; whatever is no choice gets a greeting."""
    prompt = "Welcome to Santa's switchboard. Press 1 to talk to an elf, or 2 to leave a message."
    try:
        key = await talk.ask(prompt, Digits(1), tries=1)
    except (NoAnswer, NotUnderstood):
        key = ""
    match key:
        case "1":
            await queue_menu(talk, queues)
        case "2":
            await leave_message(talk, "Please leave your message after the tone.")
        case _:
            talk.say("Happy Christmas!")


async def queue_menu(talk: Talk, queues: dict[int, str]) -> None:
    """Put the caller through; what is none of the three is asked for again, four times in all."""
    prompt = "Press 1 for toys, 2 for reindeer, or 3 for the naughty list."
    try:
        key = await talk.ask(prompt, Choice({"1": "toys", "2": "reindeer", "3": "the naughty list"}), tries=TRIES)
    except (NoAnswer, NotUnderstood):
        talk.say("Sorry, key not recognised.")
    else:
        await connect(talk, queues.get(int(key)))


async def connect(talk: Talk, number: str | None) -> None:
    """Hand over to a queue, if it has a number and somebody picks up."""
    if number is None:
        talk.say("Sorry, nobody is in that queue today. Happy Christmas!")
        return
    talk.say("One moment, I am putting you through.")
    transferred = await talk.transfer(number)
    if transferred.outcome != "completed":
        talk.say("Sorry, all the elves are busy. Happy Christmas!")


async def leave_message(talk: Talk, prompt: str) -> None:
    """Take a message; silence is none."""
    try:
        await talk.record(prompt)
    except NoAnswer:
        talk.say("We did not hear anything.")
    talk.say("Thank you. Goodbye!")
