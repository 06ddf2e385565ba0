"""The rule of the offline demo model for flight watches: from where to where, on which day, for how much at most."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from telephony.simulators.model.places import Route, route
from telephony.simulators.model.prompt import Prompt, call, calls, unnamed
from telephony.simulators.model.when import Found, find
from telephony.simulators.model.wire import Reply
from telephony.simulators.model.wording import courteous

WHERE, WHICH_DAY, HOW_MUCH = "From where to where", "On which day", "For at most what price"

_NOUN = re.compile(r"\b(?:flights?|fly(?:ing)?|fares?|tickets?|planes?|airfares?)\b", re.IGNORECASE)
_VERB = re.compile(
    r"(?<!flight )(?<!the )(?<!my )(?<!fare )\bwatch(?:ing)?\b"
    r"|\b(?:track|monitor|keep\s+(?:an\s+eye|track|watching)|look(?:ing)?\s+(?:out\s+)?for|find|search"
    r"|(?:tell|alert|notify|warn|message|text|ping)\s+me|let\s+me\s+know|get)\b|\b(?:start|set\s+up|create|add|new|another|make)\b.*\bwatch\b",
    re.IGNORECASE,
)
_QUESTION = re.compile(r"(?:what|how|when|who|why|is|are|does|did|any|show|status)\b", re.IGNORECASE)
_AMOUNT = r"\d{1,3}(?:[.,]\d{3})+(?:[.,]\d{1,2})?|\d+(?:[.,]\d{1,2})?"
_CODES = "EUR|USD|GBP|SEK|NOK|DKK|CHF|PLN|JPY|CAD|AUD|INR|CZK|HUF"
_PRICE = re.compile(
    rf"(?:(?P<before>€|£|\$|¥|\b(?:{_CODES}))\s?(?P<amount>{_AMOUNT})"
    rf"|\b(?P<amount2>{_AMOUNT})\s?(?P<after>€|£|\$|¥|(?:euros?|pounds?|quid|dollars?|bucks|kronor|yen|francs?|{_CODES}|(?-i:[A-Z]{{3}}))\b))",
    re.IGNORECASE,
)
_CURRENCIES = {
    "€": "EUR", "£": "GBP", "$": "USD", "¥": "JPY", "euro": "EUR", "pound": "GBP", "quid": "GBP", "dollar": "USD", "buck": "USD",
    "kronor": "SEK", "yen": "JPY", "franc": "CHF",
}  # fmt: skip
_BACK = re.compile(r"[\s,]+(?:and\s+)?(?:back|return(?:ing)?|coming\s+back)\b", re.IGNORECASE)
_ANY = datetime(2000, 1, 1, tzinfo=ZoneInfo("UTC"))
"""Whether a day is named does not depend on today."""

THOUSANDS = 3
"""Digits behind a comma or a point that are no cents."""


def wishes(text: str) -> bool:
    """Whether somebody wishes to have a flight watched."""
    verb, noun = _VERB.search(text), _NOUN.search(text)
    if verb is not None and (noun is not None or verb[0].lower().startswith("watch")):
        return _QUESTION.match(text) is None
    if noun is None and _PRICE.search(text) is None:
        return False
    where = route(text)
    complete = bool(where.origin and where.destination)
    return complete and (_QUESTION.match(text) is None or find(where.rest, _ANY) is not None)


def watch(prompt: Prompt) -> Reply | None:
    """Watch the flight that was described, or ask for what is missing."""
    text = courteous(prompt.text)
    if not wishes(text):
        return None
    if "watch_flight" not in prompt.tools:
        return Reply("I cannot reach you later on this line, so I watch no flights here.")
    text, name = unnamed(text)
    where = route(text)
    if question := _where(where):
        return Reply(question)
    price = [*_PRICE.finditer(where.rest)]
    out, *back = _BACK.split(_PRICE.sub(" ", where.rest), maxsplit=1)
    days: list[Found | None] = [find(each, prompt.now) for each in (out, *back)]
    if days[0] is None or not days[0].day:
        return Reply(f"{WHICH_DAY}, such as 24 December?")
    if not price:
        return Reply(f"{HOW_MUCH} shall I look, such as 300 EUR?")
    way_back = days[1] if back else None
    sign = (price[-1]["before"] or price[-1]["after"]).lower()
    wanted = call(
        "watch_flight", origin=where.origin, destination=where.destination, departure=days[0].at.date().isoformat(),
        max_price=_amount(price[-1]["amount"] or price[-1]["amount2"]), currency=_CURRENCIES.get(sign.rstrip("s"), sign.upper()),
        return_=way_back.at.date().isoformat() if way_back is not None else None, name=name,
    )  # fmt: skip
    return calls(wanted)


def _where(where: Route) -> str:
    """What is to be asked of a route; nothing if it is one."""
    if where.origin and where.origin == where.destination:
        return f"{WHERE}? A flight ends elsewhere than it begins."
    if where.origin and where.destination:
        return ""
    unknown = f" I know no airport of {where.unknown}." if where.unknown else ""
    return f"{WHERE}?{unknown} I know most cities, and the codes of airports: from London to JFK."


def _amount(text: str) -> float:
    """An amount of money: 1,200 is more than a thousand, 75,50 is less than eighty."""
    whole, sep, cents = text.replace(".", ",").rpartition(",")
    if not sep or len(cents) == THOUSANDS:
        return float(text.replace(",", "").replace(".", ""))
    return float(f"{whole.replace(',', '')}.{cents}")
