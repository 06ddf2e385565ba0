"""The conversation that gives errands to sleep: as many reminders as the assistant takes in one session."""

from datetime import timedelta

from workflows import ErrandDone, Talk, workflow
from workflows.errands import reminder


@workflow
async def nanny(talk: Talk, seconds: list[float]) -> None:
    """Start a reminder for each number of seconds, and wait for what comes of them."""
    for number, each in enumerate(seconds):
        await talk.start(reminder, "call Ada about the papers for Monday", talk.now + timedelta(seconds=each), name=f"call-ada-{number}")
    talk.say("All are asleep.")
    while True:
        await talk.next(ErrandDone)
