"""What the offline demo model answers: rules, tried one after another, on what the user said last and the tools on offer.

It knows only what it is sent, as a language model does. So an answer to a question of its own is read together with what led to it.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from telephony.simulators.model.places import route
from telephony.simulators.model.when import find, iso
from telephony.simulators.model.wire import Call, Json, Reply

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
WHEN, WHAT = "When shall I remind you", "What shall I remind you of"
WHERE, WHICH_DAY, HOW_MUCH = "From where to where", "On which day", "For at most what price"
QUESTIONS = (WHEN, WHAT, WHERE, WHICH_DAY, HOW_MUCH)
OTHER_NAME = re.compile(r'How about "(?P<name>[^"]+)"\?$')

LONGEST = 1_000
"""Characters of a message that are looked at."""

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

_NOW = re.compile(r"It is \w+, (?P<now>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d) in the user's time zone, (?P<zone>[\w/+-]+?)\.?\s*$", re.MULTILINE)
_REMIND = re.compile(
    r"\b(?:please\s+)?(?:can|could|will|would)?\s*(?:you\s+)?"
    r"(?:remind\s+me|set\s+(?:me\s+)?(?:a|another|the)?\s*(?:reminder|alarm|timer)|(?:a|new|add\s+a|create\s+a)\s+reminder|wake\s+me(?:\s+up)?)\b",
    re.IGNORECASE,
)
_WATCH = re.compile(
    r"\b(?:watch|track|monitor|keep an eye on|look for|find|alert me)\b.*\b(?:flights?|fares?|price|tickets?)\b|\bwatch\b", re.IGNORECASE
)
_NO_ANSWER = re.compile(
    r"\W*(?:(?:help|list|show|status|what|which|who|how\s+(?:is|are|long)|how's|my\s+(?:tasks|reminders))\b"
    r"|(?:no|nope|never\s+mind|nothing)[.!]*$)",
    re.IGNORECASE,
)
"""The beginning of what is said instead of an answer to a question of ours."""

_NAMED = re.compile(r"""\b(?:named|called|call it|name it)\s+["'“]?(?P<name>[\w-]+)["'”]?""", re.IGNORECASE)
_STATUS = re.compile(
    r"\b(?:status|how\s+is|how's|how\s+about|how\s+long|time\s+left|what\s+about)\b(?:\s+(?:of|on|for|is|with))*(?:\s+(?:the|my))?\s*(?P<name>.*)",
    re.IGNORECASE,
)
_CANCEL = re.compile(r"\b(?:cancel|call\s+off|delete|remove|stop|forget|drop)\b(?:\s+(?:the|my|that))?\s*(?P<name>.*)", re.IGNORECASE)
_LIST = re.compile(
    r"\b(?:list|show)\b|\b(?:what|which)\b.*\b(?:tasks?|reminders?|watch(?:es)?|running|planned)\b|^(?:my\s+)?(?:tasks|reminders)\b",
    re.IGNORECASE,
)
_PRICE = re.compile(
    r"(?P<before>€|£|\$)\s?(?P<amount>\d+(?:[.,]\d{1,2})?)"
    r"|(?P<amount2>\d+(?:[.,]\d{1,2})?)\s?(?P<after>€|£|\$|euros?|pounds?|dollars?|kronor|(?-i:[A-Z]{3})\b|eur\b|usd\b|gbp\b|sek\b|chf\b)",
    re.IGNORECASE,
)
_CURRENCIES = {"€": "EUR", "£": "GBP", "$": "USD", "euro": "EUR", "pound": "GBP", "dollar": "USD", "kronor": "SEK"}
_KIND_WORDS = re.compile(
    r"\b(?:reminders?|flight|watch(?:es)?|tasks?|alarm|timer|named|called|doing|going|please)\b|[?!.\"'“”]", re.IGNORECASE
)
_JOINTS = re.compile(
    r"^(?:(?:to|that|about|of|me|for|at|on|up|and|,|:|please)\b\s*|[,:;.\s-]+)+|(?:[\s,;.!?-]|\b(?:at|on|for|please|by|and)\b)+$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a request comes to: what is to be understood, when and where it was said, and the tools on offer."""

    text: str
    now: datetime
    tools: frozenset[str]


def answer(messages: list[Json], tools: list[Json]) -> Reply:
    """Answer a request as a language model would that has seen the same."""
    system = "\n".join(_content(each) for each in messages if each["role"] in ("system", "developer"))
    if not tools and system.startswith("Condense"):
        return Reply(_digest(_content(messages[-1])))
    if messages[-1]["role"] == "tool":
        return Reply(LABEL + _report(messages))
    names = frozenset(str((tool.get("function") or {}).get("name")) for tool in tools)
    prompt = Prompt(_understood(messages), _now(system), names)
    for rule in RULES:
        if reply := rule(prompt):
            return reply if reply.calls else Reply(LABEL + reply.text)
    return Reply(LABEL + UNKNOWN)


# -- what was said -------------------------------------------------------------------------------------------------------------------------


def _understood(messages: list[Json]) -> str:
    """What the user said last; an answer to a question of ours is read behind what led to it."""
    texts = [(each["role"], " ".join(_content(each)[:LONGEST].split())) for each in messages if each["role"] in ("user", "assistant")]
    talk = [(role, text) for role, text in texts if text]
    said = talk[-1][1] if talk and talk[-1][0] == "user" else ""
    if _CANCEL.search(said) or _wishes(said) or _NO_ANSWER.match(said):
        return said
    while len(talk) > 2 and (asked := talk[-2][1].removeprefix(LABEL)) and talk[-3][0] == "user":  # noqa: PLR2004 - a question and its cause
        before = talk[-3][1]
        if other := OTHER_NAME.search(asked):
            if not re.match(r"(yes|yep|ok|okay|sure|fine|please|do)\b", said, re.IGNORECASE):
                break
            said = f"{_NAMED.sub('', before)} called {other['name']}"
        elif asked.startswith(WHAT):
            said = f"{before} to {said}"
        elif asked.startswith(QUESTIONS):
            said = f"{before} {said}"
        else:
            break
        if _wishes(before):  # what led to that was something else
            break
        talk = [*talk[:-3], ("user", said)]
    return said


def _wishes(said: str) -> bool:
    """Whether somebody wishes for something that questions of ours may follow."""
    return bool(_REMIND.search(said) or _WATCH.search(said))


def _now(system: str) -> datetime:
    """When and where it was said, by the system message."""
    found = _NOW.search(system)
    try:
        zone: tzinfo = ZoneInfo(found["zone"]) if found else ZoneInfo("UTC")
        return datetime.fromisoformat(found["now"]).replace(tzinfo=zone) if found else datetime.now(zone)
    except (ValueError, OSError, LookupError):
        return datetime.now(ZoneInfo("UTC"))


def _content(message: Json) -> str:
    """A message's text; it may come in parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


# -- the rules -----------------------------------------------------------------------------------------------------------------------------


def _help(prompt: Prompt) -> Reply | None:
    if not re.match(r"\W*(help|what can (you|i) (do|say|ask)|commands|\?)", prompt.text, re.IGNORECASE):
        return None
    return Reply(HELP if prompt.tools else CHAT_HELP)


def _remind(prompt: Prompt) -> Reply | None:
    asked = _REMIND.search(prompt.text)
    if asked is None:
        return None
    if "create_reminder" not in prompt.tools:
        return Reply("I cannot reach you later on this line, so I take no reminders here.")
    text, name = _name(f"{prompt.text[: asked.start()]} {prompt.text[asked.end() :]}")
    found = find(text, prompt.now)
    about = _JOINTS.sub("", found.rest if found is not None else text)
    if not about and "wake" in asked[0].lower():
        about = "wake up"
    if found is None:
        return Reply(f"{WHEN}{f' of this: {about}' if about else ''}?")
    if not about:
        return Reply(f"{WHAT}?")
    return _call("create_reminder", description=about, at=iso(found.at), name=name)


def _watch(prompt: Prompt) -> Reply | None:
    if _WATCH.search(prompt.text) is None:
        return None
    if "watch_flight" not in prompt.tools:
        return Reply("I cannot reach you later on this line, so I watch no flights here.")
    text, name = _name(prompt.text)
    origin, destination, text = route(text)
    price = _PRICE.search(text)
    out, _, back = re.sub(_PRICE, " ", text).partition(" back ")
    days = [found for found in (find(out, prompt.now), find(back, prompt.now)) if found is not None and found.day]
    if not (origin and destination):
        return Reply(f"{WHERE}? I know many cities, and the codes of airports: from London to JFK.")
    if not days:
        return Reply(f"{WHICH_DAY}, such as 24 December?")
    if price is None:
        return Reply(f"{HOW_MUCH} shall I look, such as 300 EUR?")
    amount = float((price["amount"] or price["amount2"]).replace(",", "."))
    sign = (price["before"] or price["after"]).lower()
    return _call(
        "watch_flight", origin=origin, destination=destination, departure=days[0].at.date().isoformat(), max_price=amount,
        currency=_CURRENCIES.get(sign.rstrip("s"), sign.upper()), return_=days[1].at.date().isoformat() if back and days[1:] else None,
        name=name,
    )  # fmt: skip


def _cancel(prompt: Prompt) -> Reply | None:
    return _about_task(prompt, _CANCEL, "cancel_task", "Which one shall I call off? Say list to see them.")


def _status(prompt: Prompt) -> Reply | None:
    return _about_task(prompt, _STATUS, "task_status", "Of which one? Say list to see them.")


def _about_task(prompt: Prompt, pattern: re.Pattern[str], tool: str, question: str) -> Reply | None:
    found = pattern.search(prompt.text)
    if found is None or tool not in prompt.tools:
        return None
    name = " ".join(_KIND_WORDS.sub(" ", found["name"]).split())
    if name.lower() in ("you", "it going", "it", "things"):
        return None
    return _call(tool, name=name) if name else Reply(question)


def _list(prompt: Prompt) -> Reply | None:
    return _call("list_tasks") if "list_tasks" in prompt.tools and _LIST.search(prompt.text) else None


def _time(prompt: Prompt) -> Reply | None:
    if not re.search(r"\bwhat(('s| is) the)? (time|day|date)\b|\bwhat day is it\b", prompt.text, re.IGNORECASE):
        return None
    return Reply(f"It is {prompt.now:%A %-d %B %Y, %H:%M}, by the clocks of {prompt.now.tzinfo}.")


def _small_talk(prompt: Prompt) -> Reply | None:
    for pattern, reply in SMALL_TALK:
        if re.match(rf"\W*(?:(?:and|so|well|please)\W+)?(?:{pattern})", prompt.text, re.IGNORECASE):
            return Reply(reply)
    return None


RULES: tuple[Callable[[Prompt], Reply | None], ...] = (_help, _remind, _cancel, _status, _watch, _list, _time, _small_talk)
"""In the order in which they are tried."""


def _name(text: str) -> tuple[str, str | None]:
    """A text without the name that is given in it, and that name."""
    found = _NAMED.search(text)
    return (text, None) if found is None else (f"{text[: found.start()].rstrip()} {text[found.end() :].lstrip()}".strip(), found["name"])


def _call(tool: str, **arguments: Any) -> Reply:
    given = {name: value for name, value in arguments.items() if value is not None}
    return Reply(calls=(Call(tool, json.dumps(given, ensure_ascii=False)),))


# -- what tools came to --------------------------------------------------------------------------------------------------------------------


def _report(messages: list[Json]) -> str:
    """What the last tools came to, for the user; what they have been told already is not said again."""
    told = [words for words in _results(messages) if words]
    return "\n".join(told) or "Done. Is there anything else?"


def _results(messages: list[Json]) -> Iterator[str]:
    for message in messages[1 + max((index for index, each in enumerate(messages) if each["role"] != "tool"), default=-1) :]:
        text = _content(message)
        if text.startswith("Done."):
            continue
        taken = re.fullmatch(r'Refused: (the name "[^"]+" is taken)\. Suggest "([^"]+)", and ask\.', text)
        if taken is not None:
            yield f'I cannot do that: {taken[1]}. How about "{taken[2]}"?'
        else:
            plain = re.sub(r"\s*\b(?:Ask (?:the user|which)|Say so|Do not guess)\b[^.]*\.?$", "", text)
            yield re.sub(r"^Refused: ", "I cannot do that: ", plain)


def _digest(text: str) -> str:
    """The newest lines of a conversation, for want of a better summary."""
    return f"The end of what was said before:\n{text[-DIGEST_CHARACTERS:]}"
