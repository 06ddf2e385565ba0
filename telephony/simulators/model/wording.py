"""Words around what is meant: politeness, which is taken off, and slips of the pen, which are mended."""

import re
from difflib import get_close_matches

_GREETING = re.compile(
    r"^(?:(?:hi|hello|hey|good\s+(?:morning|afternoon|evening)|ok|okay|well|so|oh|ah|yes|no|sorry|actually|hmm?|um|uh|er|and|also|then)(?:\s+there)?\b[\s,.!]*)+",
    re.IGNORECASE,
)
_PLEASE = re.compile(
    r"^(?:(?:please|pls|plz|kindly|just|now|also|maybe|perhaps|make\s+(?:it|that)|let's\s+say"
    r"|(?:can|could|will|would|might)\s+(?:you|u)(?:\s+(?:please|kindly|possibly|maybe|also|mind))?"
    r"|you\s+(?:can|could|may|should)|i(?:'d| would)\s+(?:like|love)(?:\s+(?:you|to\s+be|to\s+have))?(?:\s+to)?"
    r"|i\s+(?:want|need|wish)(?:\s+(?:you|to\s+be|to\s+have))?(?:\s+to)?|(?:do\s+)?me\s+a\s+favou?r(?:\s+and)?|let\s+us|let's"
    r")\b[\s,]*)+",
    re.IGNORECASE,
)
_THANKS = re.compile(
    r"(?:[\s,.!?;]*\b(?:please|pls|plz|thanks(?:\s+a\s+lot)?|thank\s+you(?:\s+(?:very|so)\s+much)?|thx|ta|cheers|many\s+thanks|for\s+me"
    r"|(?<!from )now|will\s+you|would\s+you|if\s+you\s+(?:can|could|please))\b)*[\s.!?;,]*$",
    re.IGNORECASE,
)
_JOINTS = re.compile(
    r"^(?:(?:to|that|about|of|me|for|at|on|up|and|is|it's|,|:|please)\b\s*|[,:;.\s-]+)+"
    r"|(?:[\s,;:.!?-]|\b(?:for|please|and|say)\b)+$",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"(?P<mark>[\"'])(?P<inside>[^\"]+)(?P=mark)")

VOCABULARY = (
    "remind", "reminder", "tomorrow", "tonight", "yesterday", "second", "seconds", "minute", "minutes", "hour", "hours", "week", "weeks",
    "january", "february", "march", "april", "august", "september", "october", "november", "december", "monday", "tuesday", "wednesday",
    "thursday", "friday", "saturday", "sunday", "morning", "afternoon", "evening", "midnight", "flight", "flights", "watch", "cancel",
    "status", "tasks", "euros", "dollars", "pounds", "delete", "track", "next",
)  # fmt: skip
"""What the rules listen for, as far as it is long enough to be misspelt."""

SHORTEST = 4
ALIKE = 0.8
"""How like a word has to be, as `difflib` measures it."""


def courteous(text: str) -> str:
    """A text without greetings, pleas and thanks, unless it is nothing but that."""
    said = text.strip()
    while (less := _PLEASE.sub("", _GREETING.sub("", said), count=1).strip()) != said:
        said = less
    return _THANKS.sub("", said).strip() or text.strip()


def mended(text: str) -> tuple[str, set[str]]:
    """A text with words that look like a slip of one that the rules know replaced by it, and those that were put in."""
    put: set[str] = set()

    def mend(found: re.Match[str]) -> str:
        word = _mended(found[0])
        if word != found[0]:
            put.add(word)
        return word

    return re.sub(r"[A-Za-z]+", mend, text), put


def _mended(word: str) -> str:
    plain = word.lower()
    if len(plain) < SHORTEST or plain in VOCABULARY:
        return word
    like = get_close_matches(plain, VOCABULARY, 1, ALIKE)
    return like[0] if like and like[0][0] == plain[0] else word


def bare(text: str) -> str:
    """What is left of a text when the words that joined it to others are gone from its ends, and the quotation marks."""
    text = " ".join(text.split())
    while (less := _JOINTS.sub("", text)) != text:
        text = less
    quoted = _QUOTED.fullmatch(text)
    return quoted["inside"] if quoted else text
