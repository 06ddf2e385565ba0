"""The conversation that is measured: a menu that a caller goes through until the zero."""

from workflows import Digits, Talk, workflow

WELCOME = "Welcome. Press 1 for the opening hours, 2 for directions, 3 for today's news, or 0 to end the call."
GOODBYE = "Goodbye, and thank you for calling."


def reply(digit: str) -> str:
    """What a key is answered."""
    return f"You pressed {digit}. We will see to it at once. Press another key, or 0 to end the call."


@workflow
async def menu(talk: Talk) -> None:
    """Answer each key, and end with the zero."""
    question = WELCOME
    while (digit := await talk.ask(question, Digits(1))) != "0":
        question = reply(digit)
    talk.say(GOODBYE)
