"""The rule of the offline demo model for reminders: what of, and when."""

import re
from datetime import datetime

from telephony.simulators.model.prompt import Prompt, call, calls, unnamed
from telephony.simulators.model.when import find, iso
from telephony.simulators.model.wire import Call, Reply
from telephony.simulators.model.wording import bare, courteous

WHEN, WHAT = "When shall I remind you", "What shall I remind you of"
ONCE = f"{WHEN}, then? I can do that once, not again and again."

_ASKED = re.compile(
    r"\b(?:(?:remind|reminding)\s+me\b|(?:nudge|ping|alert|buzz)\s+me\b(?!\s+(?:if|when|as\s+soon))|be\s+reminded\b|reminded\b"
    r"|(?:(?:set|give|send|get|create|add|make|schedule|new|put)\s+)?(?:me\s+)?(?:up\s+)?(?:a|an|another|the|new)?\s*"
    r"(?:reminder|alarm|timer)\b(?!\s+(?:is|was|does|did)\b)"
    r"|wake\s+me(?:\s+up)?\b|(?:don't|do\s+not|(?:i\s+)?must\s+not|(?:i\s+)?mustn't|never)\s+(?:let\s+me\s+)?forget\b"
    r"|\bremember\s+(?=to\b)|^(?:tell\s+me|let\s+me\s+know)\s+(?=(?:to|at|on|tomorrow|tonight)\b))",
    re.IGNORECASE,
)
_OF_TASKS = re.compile(
    r"\b(?:what|which|when|how|is|are|list|show|any|status|do\s+i\s+have)\b[^:]*\b(?:reminders?|reminding)\b"
    r"|(?:when|what)\s+(?:will|did|do|are|is|were)\b.*\bremind",
    re.IGNORECASE,
)
_AGAIN = re.compile(
    r"\b(?:every|each)\s+(?:(?:other|single|\d+|two|three|few|couple\s+of)\s+)?(?:day|morning|afternoon|evening|night|week(?:day|end)?|month"
    r"|year|hour|minute|(?:mon|tues|wednes|thurs|fri|satur|sun)day)s?\b|\b(?:daily|weekly|monthly|hourly|yearly)\b",
    re.IGNORECASE,
)
_AND = re.compile(r"[\s,;]+(?:and|then|,)\s+(?:also\s+)?(?:then\s+)?(?:remind\s+me\s+)?(?=(?:to|that|about)\b)", re.IGNORECASE)


def wishes(text: str) -> bool:
    """Whether somebody wishes to be reminded."""
    return _ASKED.search(text) is not None and _OF_TASKS.match(text) is None


def remind(prompt: Prompt) -> Reply | None:
    """Remind of what was said, or ask for what is missing."""
    text = courteous(prompt.text)
    asked = _ASKED.search(text)
    if asked is None or not wishes(text):
        return None
    if "create_reminder" not in prompt.tools:
        return Reply("I cannot reach you later on this line, so I take no reminders here.")
    before, after = courteous(text[: asked.start()]) if asked.start() else "", text[asked.end() :].strip()
    early = "wake" in asked[0].lower()
    if _AGAIN.search(f"{before} {after}"):
        return Reply(ONCE)
    several = [_reminder(part, prompt.now, early) for part in _AND.split(after)] if not before else []
    if len(several) > 1 and all(isinstance(each, Call) for each in several):
        return calls(*(each for each in several if isinstance(each, Call)))
    match _reminder(f"{before} {after}".strip(), prompt.now, early):
        case Call() as wanted:
            return calls(wanted)
        case question:
            return Reply(question)


def _reminder(text: str, now: datetime, early: bool) -> Call | str:
    """The reminder that a text asks for; a question if something is missing."""
    text, name = unnamed(text)
    found = find(text, now, early=early)
    about = bare(found.rest if found is not None else text)
    if not about and early:
        about = "wake up"
    if found is None:
        return f"{WHEN}{f' of this: {about}' if about else ''}?"
    if not about:
        return f"{WHAT}?"
    return call("create_reminder", description=about, at=iso(found.at), name=name)
