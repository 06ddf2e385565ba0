"""Numbers as people write them: "12", "twelve", "twenty-five", "a couple of", "half an"."""

import re

ONES = (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen",
    "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
ORDINALS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth", "thirteenth",
    "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth", "twentieth",
)  # fmt: skip
PARTS = (
    (r"three\s+quarters\s+of\s+an?", 0.75),
    (r"(?:a\s+)?quarter\s+of\s+an?", 0.25),
    (r"half\s+an?|an?\s+half(?:\s+an?)?|half", 0.5),
    (r"an?\s+couple(?:\s+of)?", 2.0),
    (r"one\s+and\s+a\s+half", 1.5),
    (r"an?", 1.0),
)
"""What is no whole number, and the articles, which count one thing; the longer ones first."""

CARDINAL = rf"\d{{1,5}}|(?:{'|'.join(TENS)})(?:[\s-]?(?:{'|'.join(ONES[:9])}))?|{'|'.join(sorted(ONES, key=len, reverse=True))}"
"""A whole number, as a pattern."""

AMOUNT = rf"\d{{1,5}}\.\d{{1,2}}|{'|'.join(pattern for pattern, _ in PARTS[:5])}|{CARDINAL}|{PARTS[5][0]}"
"""Any number of things, as a pattern."""

ORDINAL = rf"\d{{1,2}}(?:st|nd|rd|th)|{'|'.join(sorted(ORDINALS, key=len, reverse=True))}|twenty[\s-](?:{'|'.join(ORDINALS[:9])})"
"""The number of a day of a month, as a pattern."""


def cardinal(text: str) -> int:
    """Read what `CARDINAL` finds."""
    text = text.lower()
    if text.isdigit():
        return int(text)
    tens, ty, ones = re.sub(r"[\s-]", "", text).partition("ty")
    if ty:
        return (TENS.index(tens + "ty") + 2) * 10 + (ONES.index(ones) + 1 if ones else 0)
    return ONES.index(text) + 1


def amount(text: str) -> float:
    """Read what `AMOUNT` finds."""
    for pattern, value in PARTS:
        if re.fullmatch(pattern, text, re.IGNORECASE):
            return value
    return float(text) if "." in text else float(cardinal(text))


def ordinal(text: str) -> int:
    """Read what `ORDINAL` finds, or a plain number."""
    text = text.lower()
    if text[0].isdigit():
        return int(re.sub(r"\D", "", text))
    tens, _, ones = text.replace("-", " ").partition(" ")
    return 20 + ORDINALS.index(ones) + 1 if ones else ORDINALS.index(tens) + 1
