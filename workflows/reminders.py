"""Reminders that the channel itself speaks later, where it has some of its own and its user allows them: Alexa's.

A declaration; what does it belongs to the channel. It works while the user is there: a reminder is set in the conversation or not at all.
"""

from typing import Literal

from workflows.effects import Retry, effect
from workflows.outputs import Ssml

Reminded = Literal["set", "forbidden"]
"""`forbidden`: the user has not allowed it yet; say `ASK_PERMISSION`, and how to go on."""

ASK_PERMISSION = Ssml(
    "I am not allowed to set reminders yet. Please open the Alexa app, and allow them on the card that I am sending you."
    '<permission scope="alexa::alerts:reminders:skill:readwrite"/>'
)
"""On Alexa it sends that card; elsewhere the tag is dropped."""


@effect(retry=Retry(attempts=1), timeout=5.0)
async def remind(text: str, seconds: int, locale: str) -> Reminded:  # type: ignore[empty-body]  # a declaration
    """Have a text spoken to the user in so many seconds, in their language.

    Asked for once only: nobody could tell whether the first attempt has set it. Raises `TerminalError` where there are no reminders.
    """
