"""The interaction model of a skill: what people may say to a workflow, in the form that Alexa's developer console takes.

Intents of the author's stand as they are. An option of a `Choice` fills a slot of one intent, a number one of another, and whatever
else is said the catch-all slot of the third, so that free text comes through. Utterances are the author's; where the console would refuse
two that are alike, the first one has it. Source: https://developer.amazon.com/docs/smapi/interaction-model-schema.html.
"""

import re
from collections.abc import Sequence
from typing import Any

from telephony.alexa_wire import CHOICE, DIGITS, ENDS, FALLBACK, NO, REPEAT, WORDS, YES
from telephony.errors import ModelError
from workflows.listen import AnyListen, Choice, Intents

HELP = "AMAZON.HelpIntent"

REQUIRED = (*sorted(ENDS), FALLBACK, HELP, REPEAT, YES, NO)
"""The built-in intents of every skill of ours: yes and no are needed for what takes long."""

ANYTHING = (
    "tell me something", "what is the weather going to be like tomorrow", "bread", "a train set please", "remind me to call my mother",
    "how do I get to the station from here", "next friday at seven", "I would like to order something to eat", "good morning",
    "who was the first person on the moon", "blue", "put it on the list and tell me when it is done", "London", "Ada Lovelace",
)  # fmt: skip
"""Examples for the catch-all slot, short and long ones: Alexa takes what is like none of the other intents for one of these."""

_TYPES = {
    "number": "AMAZON.NUMBER", "count": "AMAZON.NUMBER", "minutes": "AMAZON.NUMBER", "hours": "AMAZON.NUMBER", "days": "AMAZON.NUMBER",
    "date": "AMAZON.DATE", "day": "AMAZON.DATE", "time": "AMAZON.TIME", "duration": "AMAZON.DURATION",
    "city": "AMAZON.City", "name": "AMAZON.FirstName",
}  # fmt: skip
"""The type of a slot by the last word of its name; others take anything."""

_WORDS_TYPE, _CHOICE_TYPE = "Anything", "Option"

_SLOT = re.compile(r"\{([^{}]*)\}")
_INTENT_NAME = re.compile(r"(AMAZON\.)?[A-Za-z]+(_[A-Za-z]+)*", re.ASCII)
_SLOT_NAME = re.compile(r"[A-Za-z]+(_[A-Za-z]+)*", re.ASCII)
_INVOCATION = re.compile(r"[a-zà-öø-ÿ'.]+( [a-zà-öø-ÿ'.]+)+")
_TAKEN = frozenset({"alexa", "amazon", "echo", "computer", "skill", "app", "launch", "ask", "tell", "open", "start", "begin"})


def interaction_model(invocation: str, listens: Sequence[AnyListen]) -> dict[str, Any]:
    """The model. Raises `ModelError` when a name is none that Alexa takes."""
    samples: dict[str, list[str]] = {name: [] for name in REQUIRED}
    options: dict[str, tuple[str, list[str]]] = {}
    for listen in listens:
        match listen:
            case Intents(samples=theirs):
                for name, utterances in theirs.items():
                    samples.setdefault(_intent_name(name), []).extend(utterances)
            case Choice():
                for key, names in listen.options.items():
                    first, *others = [names] if isinstance(names, str) else names or [key]
                    options.setdefault(first.lower(), (key, []))[1].extend(others)
            case _:
                pass
    if options:
        samples.setdefault(CHOICE, []).extend(["{choice}", "the {choice}", "{choice} please"])
    samples.setdefault(DIGITS, []).extend(["{digits}", "number {digits}", "option {digits}"])
    samples.setdefault(WORDS, []).append("{words}")
    taken: set[str] = set()
    intents = [_intent(name, utterances, taken) for name, utterances in samples.items()]
    types = [_type(_WORDS_TYPE, {phrase: ("", []) for phrase in ANYTHING})]
    if options:
        types.append(_type(_CHOICE_TYPE, options))
    return {"interactionModel": {"languageModel": {"invocationName": _invocation(invocation), "intents": intents, "types": types}}}


def usual_invocation(workflow: str) -> str:
    """What a skill is called if nobody says: by its workflow, in the two words that Alexa wants at least."""
    words = re.findall(r"[a-z]+", workflow.rpartition(":")[2].lower())
    return " ".join(words if len(words) > 1 else ["my", *words])


def _intent(name: str, utterances: list[str], taken: set[str]) -> dict[str, Any]:
    slots: dict[str, None] = {}
    kept: list[str] = []
    for utterance in utterances:
        sample = _sample(utterance)
        if sample and sample not in taken:
            taken.add(sample)
            kept.append(sample)
            slots |= dict.fromkeys(_SLOT.findall(sample))
    intent: dict[str, Any] = {"name": name, "samples": kept}
    return intent | ({"slots": [{"name": slot, "type": _slot_type(name, slot)} for slot in slots]} if slots else {})


def _sample(utterance: str) -> str:
    """An utterance as the console takes it: without the punctuation that nobody speaks."""
    parts = re.split(r"(\{[^{}]*\})", utterance.replace("\u2019", "'"))
    kept = [part if part.startswith("{") else re.sub(r"[^\w\s'.-]", " ", part) for part in parts]
    return " ".join("".join(kept).split()).lower()


def _slot_type(intent: str, slot: str) -> str:
    if not _SLOT_NAME.fullmatch(slot):
        raise ModelError(f"the slot {{{slot}}} of {intent} has a name that Alexa does not take: use letters and single underscores")
    own = {(WORDS, "words"): _WORDS_TYPE, (CHOICE, "choice"): _CHOICE_TYPE, (DIGITS, "digits"): "AMAZON.NUMBER"}
    return own.get((intent, slot)) or _TYPES.get(slot.rpartition("_")[2], _WORDS_TYPE)


def _type(name: str, values: dict[str, tuple[str, list[str]]]) -> dict[str, Any]:
    shown = []
    for value, (key, synonyms) in values.items():
        named: dict[str, Any] = {"value": value} | ({"synonyms": list(dict.fromkeys(synonyms))} if synonyms else {})
        shown.append(({"id": key} if key else {}) | {"name": named})
    return {"name": name, "values": shown}


def _intent_name(name: str) -> str:
    if not _INTENT_NAME.fullmatch(name):
        raise ModelError(
            f"the intent {name!r} has a name that Alexa does not take: use letters and single underscores, such as SnoozeIntent"
        )
    return name


def _invocation(name: str) -> str:
    """What people call the skill by; the rules are Alexa's own."""
    words = set(name.split())
    if not _INVOCATION.fullmatch(name) or words & _TAKEN:
        wrong = ", ".join(sorted(words & _TAKEN))
        why = f"{wrong} may not be in it" if wrong else "it has two words or more, in small letters, numbers spelled out"
        raise ModelError(f"{name!r} is no invocation name: {why}. Choose another one with --name")
    return name
