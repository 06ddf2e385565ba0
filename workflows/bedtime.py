"""Bedtime: "tell the boys, get ready for bed". Made for Alexa; it works wherever somebody can listen.

The boys' names are the line's: `"alexa:*" = { workflow = "bedtime", args = { boys = ["Ben", "Max"] } }`.
"""

from html import escape

from workflows.errors import StepFailed
from workflows.listen import Intent, Intents
from workflows.outputs import Ssml
from workflows.reminders import ASK_PERMISSION, remind
from workflows.talk import Talk
from workflows.workflow import workflow

BELL = '<audio src="soundbank://soundlibrary/musical/amzn_sfx_bell_timer_01"/>'

YES, NO, SNOOZE, HELP = "AMAZON.YesIntent", "AMAZON.NoIntent", "SnoozeIntent", "AMAZON.HelpIntent"

ANSWERS = Intents({
    YES: ["yes", "they are", "they are in bed"],
    NO: ["no", "not yet", "they are not"],
    SNOOZE: ["snooze", "snooze for {minutes} minutes", "{minutes} more minutes", "later", "not now"],
    HELP: ["help", "what can I say"],
})  # fmt: skip

QUESTION = "Are they on their way? Say yes, no, snooze, or help."
HELP_TEXT = (
    "I call the boys to bed, again and again, until you say yes. No calls them once more. "
    "Snooze, or snooze for twenty minutes, has me remind you later. Stop ends it."
)

MOST_MINUTES = 180


@workflow(name="bedtime")
async def bedtime(talk: Talk, boys: list[str] | None = None, snooze: int = 10) -> None:
    """Call the boys to bed. `boys` are their names; `snooze` is how many minutes a snooze takes if nobody says."""
    names = named(boys or ["boys"])
    talk.say(Ssml(f'{BELL} {escape(names)}, <emphasis level="strong">get ready for bed!</emphasis>'))
    while True:
        answer = await talk.ask(QUESTION, ANSWERS)
        match answer.name:
            case "AMAZON.YesIntent":
                talk.say(f"Well done. Good night, {names}!")
                return
            case "AMAZON.NoIntent":
                talk.say(Ssml(f'{BELL} {escape(names)}! <emphasis level="strong">To bed, now, please!</emphasis>'))
            case "SnoozeIntent":
                if await snoozed(talk, names, minutes(answer, snooze)):
                    return
            case _:
                talk.say(HELP_TEXT)


async def snoozed(talk: Talk, names: str, wait: int) -> bool:
    """Have the boys called later; tells whether there is nothing more to say now."""
    span = f"{wait} minute{'s' if wait > 1 else ''}"
    try:
        outcome = await talk.call(remind, f"{names}, get ready for bed!", wait * 60, talk.opened.locale)
    except StepFailed:
        talk.say("Sorry, I cannot set a reminder here.")
        return False
    if outcome == "forbidden":
        talk.say(ASK_PERMISSION)
        talk.say("Then ask me again.")
    else:
        talk.say(f"All right, I will remind you in {span}.")
    return True


def minutes(answer: Intent, usual: int) -> int:
    """How long to wait: as long as was said, within reason."""
    said = answer.slots.get("minutes", "")
    return min(max(int(said), 1), MOST_MINUTES) if said.isascii() and said.isdecimal() and len(said) < len("10000") else usual


def named(boys: list[str]) -> str:
    """The names in a row: Ben, Tom and Max."""
    *first, last = boys
    return f"{', '.join(first)} and {last}" if first else last
