"""What the offline demo model answers: rules, tried one after another, on what the user said last and the tools on offer.

It knows only what it is sent, as a language model does. So an answer to a question of its own is read together with what led to it, and
when none of the rules finds a thing to do, the words are looked at once more with their slips of the pen mended.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from telephony.simulators.model import chores, reminding, watching
from telephony.simulators.model.prompt import Prompt, content, now_of, said_by, unnamed
from telephony.simulators.model.reminding import WHAT, WHEN
from telephony.simulators.model.watching import HOW_MUCH, WHERE, WHICH_DAY
from telephony.simulators.model.when import find
from telephony.simulators.model.wire import Json, Reply
from telephony.simulators.model.wording import courteous, mended

LABEL = "[offline demo model] "
"""Stands before every text, so that nobody takes the rules for a language model."""

HELP = (
    "I am a handful of rules, no language model, and I can: remind you (remind me to call Ada tomorrow at 9), list what is running (list), "
    "tell how it is doing (status of call-ada), call it off (cancel call-ada), and watch fares (watch flights from London to New York on "
    "24 December for at most 300 EUR). Set OPENAI_API_KEY for a real model."
)
CHAT_HELP = (
    "I am a handful of rules, no language model, and without a way to reach you later I can only chat. Set OPENAI_API_KEY for a real model."
)
UNKNOWN = "I am a handful of rules, and none of them knows what to make of that. Say help to hear what I can do."
QUESTIONS = (WHEN, WHAT, WHERE, WHICH_DAY, HOW_MUCH)
PASSED = "I cannot do that:"
WHEN_ELSE = "When else?"
OTHER_NAME = re.compile(r'How about "(?P<name>[^"]+)"\?$')

DIGEST_CHARACTERS = 1_500

SMALL_TALK = (
    (r"(hi|hello|hey|good (morning|afternoon|evening|day)|moi|hallo)\b", "Hello! Say help to hear what I can do."),
    (r"(thanks|thank you|cheers|many thanks|ta)\b", "You are welcome."),
    (r"(bye|goodbye|see you|good night|ciao)\b", "Goodbye! I am here when you need me."),
    (r"how (are you|is it going|do you do)", "All rules are in place, thank you. And you?"),
    (r"(who|what) are you|are you (a |an )?(bot|ai|robot|human|real)|your name", "I am a few rules that stand in for a language model."),
    (r"(tell me )?a(nother)? joke", "A switchboard walks into a bar. Everybody holds the line."),
    (r"(ok|okay|yes|no|nope|yep|fine|great|good|cool|nice|never mind|nothing)\b[.!]*$", "All right."),
)

_HELP_ASKED = (
    r"\W*(help\b|what( \w+ \w+ \w+)? (can|do|could) (you|i) (do|say|ask|understand|know)|how (does|do) (this|it|you|i) (all )?(work|use)"
    r"|commands|\?)"
)
_NO_ANSWER = re.compile(
    r"\W*(?:(?:help|list|show|status|what|which|who|how\s+(?:is|are|long)|how's|my\s+(?:tasks|reminders))\b"
    r"|(?:no|nope|never\s+mind|nothing)[.!]*$)",
    re.IGNORECASE,
)
"""The beginning of what is said instead of an answer to a question of ours."""


def answer(messages: list[Json], tools: list[Json]) -> Reply:
    """Answer a request as a language model would that has seen the same."""
    system = "\n".join(content(each) for each in messages if each["role"] in ("system", "developer"))
    if not tools and system.startswith("Condense"):
        return Reply(_digest(content(messages[-1])))
    names = frozenset(str((tool.get("function") or {}).get("name")) for tool in tools)
    prompt = Prompt(_understood(messages), now_of(system), names)
    if messages[-1]["role"] == "tool":
        return _labelled(_settled(messages, prompt) or Reply(_report(messages)))
    reply = _ruled(prompt)
    text, put = mended(prompt.text)
    if put and (better := _ruled(replace(prompt, text=text))).calls and (not reply.calls or not _told(better) & put):
        reply = better  # nothing that was put in is what the user wants to be told of: it was understood
    return _labelled(reply)


def _ruled(prompt: Prompt) -> Reply:
    return next((reply for rule in RULES if (reply := rule(prompt)) is not None), Reply(UNKNOWN))


def _told(reply: Reply) -> set[str]:
    return set(re.findall(r"[a-z]+", " ".join(call.arguments for call in reply.calls).lower()))


def _labelled(reply: Reply) -> Reply:
    return reply if reply.calls else Reply(LABEL + reply.text)


# -- what was said -------------------------------------------------------------------------------------------------------------------------


def _understood(messages: list[Json]) -> str:
    """What the user said last; an answer to a question of ours is read behind what led to it."""
    talk = said_by(messages, "user", "assistant")
    while talk and talk[-1][0] == "assistant":  # what is said while tools are called
        talk.pop()
    said = talk[-1][1] if talk else ""
    if _wishes(said) or _NO_ANSWER.match(said):
        return said
    while len(talk) > 2 and (asked := talk[-2][1].removeprefix(LABEL)) and talk[-3][0] == "user":  # noqa: PLR2004 - a question and its cause
        before = talk[-3][1]
        if other := OTHER_NAME.search(asked):
            if not re.match(r"(yes|yep|ok|okay|sure|fine|please|do)\b", said, re.IGNORECASE):
                break
            said = f"{unnamed(before)[0]} called {other['name']}"
        elif asked.startswith(PASSED) and asked.endswith(WHEN_ELSE):
            found = find(before, now_of("\n".join(content(each) for each in messages if each["role"] == "system")))
            said = f"{before if found is None else found.rest} {said}"
        elif asked.startswith(WHAT):
            said = f"{before} to {re.sub(r'^to ', '', courteous(said), flags=re.IGNORECASE)}"
        elif asked.startswith(QUESTIONS):
            said = f"{before} {courteous(said)}"
        else:
            break
        if _wishes(before):  # what led to that was something else
            break
        talk = [*talk[:-3], ("user", said)]
    return said


def _wishes(said: str) -> bool:
    """Whether somebody wishes for something that questions of ours may follow, or that is no answer to one."""
    wish = chores.wish_of(said)
    text = courteous(said)
    return reminding.wishes(text) or watching.wishes(text) or (wish is not None and wish.tool == "cancel_task")


def _chore(said: str) -> chores.Wish | None:
    """What somebody wishes to be done to tasks, if that is what the rules took it for."""
    wish = chores.wish_of(said)
    text = courteous(said)
    other = wish is not None and wish.tool != "cancel_task" and (reminding.wishes(text) or watching.wishes(text))
    return None if other else wish


def _settled(messages: list[Json], prompt: Prompt) -> Reply | None:
    """What is to be done now that the tasks are known, if that was what they were looked at for."""
    first = next(index for index in range(len(messages) - 1, -1, -1) if messages[index]["role"] == "user" or not index)
    rounds = [each for each in messages[first:] if each["role"] == "assistant"]
    listed = content(messages[-1])
    if len(rounds) != 1 or not re.match(r"Running tasks:|There is no task|No tasks", listed):
        return None
    wish = _chore(prompt.text) or _chore(mended(prompt.text)[0])
    if wish is None:
        return None
    return chores.settle(wish, listed) or Reply(UNKNOWN)


# -- the rules -----------------------------------------------------------------------------------------------------------------------------


def _help(prompt: Prompt) -> Reply | None:
    if not re.match(_HELP_ASKED, courteous(prompt.text), re.IGNORECASE):
        return None
    return Reply(HELP if prompt.tools else CHAT_HELP)


def _time(prompt: Prompt) -> Reply | None:
    asked = r"\bwhat(('s| is) the)? (time|day|date)\b|\bwhat day is it\b|\bwhat the (time|date) is\b|\btell me the (time|date)\b"
    if not re.search(asked, prompt.text, re.IGNORECASE):
        return None
    return Reply(f"It is {prompt.now:%A %-d %B %Y, %H:%M}, by the clocks of {prompt.now.tzinfo}.")


def _small_talk(prompt: Prompt) -> Reply | None:
    for pattern, reply in SMALL_TALK:
        if re.match(rf"\W*(?:(?:and|so|well|please)\W+)?(?:{pattern})", prompt.text, re.IGNORECASE):
            return Reply(reply)
    return None


RULES: tuple[Callable[[Prompt], Reply | None], ...] = (
    _help, chores.keep, chores.cancel, reminding.remind, _time, watching.watch, chores.status, chores.listing, _small_talk,
)  # fmt: skip
"""In the order in which they are tried."""


# -- what tools came to --------------------------------------------------------------------------------------------------------------------


def _report(messages: list[Json]) -> str:
    """What the last tools came to, for the user; what they have been told already is not said again."""
    told = [words for words in _results(messages) if words]
    return "\n".join(told) or "Done. Is there anything else?"


def _results(messages: list[Json]) -> Iterator[str]:
    for message in messages[1 + max((index for index, each in enumerate(messages) if each["role"] != "tool"), default=-1) :]:
        text = content(message)
        if text.startswith("Done."):
            continue
        taken = re.fullmatch(r'Refused: (the name "[^"]+" is taken)\. Suggest "([^"]+)", and ask\.', text)
        if taken is not None:
            yield f'{PASSED} {taken[1]}. How about "{taken[2]}"?'
        else:
            plain = re.sub(r"\s*\b(?:Ask (?:the user|which)|Say so|Do not guess)\b[^.]*\.?$", "", text)
            more = f" {WHEN_ELSE}" if re.search(r"Ask the user (?:when|for the days?)\.$", text) else ""
            yield re.sub(r"^Refused: ", f"{PASSED} ", plain) + more


def _digest(text: str) -> str:
    """The newest lines of a conversation, for want of a better summary."""
    return f"The end of what was said before:\n{text[-DIGEST_CHARACTERS:]}"
