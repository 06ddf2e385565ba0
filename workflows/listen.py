"""What a conversation can listen for, and how each reads what was heard.

A listen's fields are what channels need to hear it (keys on the phone, buttons on Slack, utterances on Alexa). `name` goes into the
recorded shape of the run: it says what is listened for, not what was asked, so prompts can be reworded freely.
"""

from functools import lru_cache
from typing import Generic, TypeVar, get_args

import msgspec

from workflows.errors import NotUnderstood
from workflows.inputs import Heard

T_co = TypeVar("T_co", covariant=True)

YES = frozenset({
    "1", "yes", "yeah", "yep", "yup", "sure", "ok", "okay", "of course", "please", "yes please", "correct", "right",
})  # fmt: skip
NO = frozenset({"2", "no", "nope", "nah", "no thanks", "no thank you", "never", "wrong", "not now"})
KEYS = "0123456789*#"
PUNCTUATION = str.maketrans(dict.fromkeys(".,!?;:", " "))
NUMBER_WORDS = {
    "zero": "0", "oh": "0", "one": "1", "two": "2", "to": "2", "too": "2", "three": "3", "four": "4", "for": "4",
    "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9", "star": "*", "pound": "#", "hash": "#",
}  # fmt: skip


def plain(text: str) -> str:
    """Fold what was said for comparison: case, space, and the punctuation that speech recognition adds."""
    if text.isalnum() and text.isascii():  # most of what is pressed or said to a menu, and four times as fast
        return text.lower()
    return " ".join(text.casefold().translate(PUNCTUATION).split())


class Listen(msgspec.Struct, Generic[T_co], frozen=True, array_like=True, gc=False):
    """The base of all listens: `parse` gives the author's value or raises `NotUnderstood`."""

    @property
    def name(self) -> str:
        """What is listened for, for the shape of the run."""
        return type(self).__name__.lower()

    def parse(self, heard: Heard) -> T_co:
        """Read what was heard; a recording and a transfer are nothing that words could answer."""
        raise NotUnderstood(f"{heard.text!r} is no answer here")


class Words(Listen[str], frozen=True, array_like=True, tag=0, gc=False):
    """Free speech or text; gives the text. `hints` are words that speech recognition should expect."""

    hints: tuple[str, ...] = ()

    def parse(self, heard: Heard) -> str:
        """Anything but nothing will do."""
        if not heard.text.strip():
            raise NotUnderstood
        return heard.text


class Digits(Listen[str], frozen=True, array_like=True, tag=1, gc=False):
    """Keys of a telephone: exactly `n` of them, or any number up to `finish_on`; gives them as text.

    `secret` digits (a PIN) are hidden from `sessions show`, exports and logs.
    """

    n: int | None = None
    finish_on: str = "#"
    secret: bool = False

    @property
    def name(self) -> str:
        """The number of keys matters to what comes next; the finishing key does not."""
        return _digits(self.n)

    def parse(self, heard: Heard) -> str:
        """Keys as pressed, spoken or typed; the finishing key, which a telephone keeps to itself, may be among them."""
        keys = heard.keys or "".join(NUMBER_WORDS.get(word, word) for word in plain(heard.text).replace("-", " ").split())
        keys = keys.removesuffix(self.finish_on)
        if not keys or keys.strip(KEYS) or (self.n is not None and len(keys) != self.n):  # nothing is left of keys alone
            raise NotUnderstood
        return keys


@lru_cache
def _digits(n: int | None) -> str:
    return f"digits {n or 'any'}"  # one text for all who wait for so many


class Choice(Listen[str], frozen=True, array_like=True, tag=2, gc=False):
    """One of several: `{"1": "an elf", "2": ["a message", "voicemail"]}`. Gives the key of the option taken.

    On the phone the key is pressed or one of its names spoken; where no option is a telephone key, they count from 1. Slack and the
    web show the first name on a button.
    """

    options: dict[str, str | list[str]]

    @property
    def name(self) -> str:
        """The options' keys: adding one is a change of the conversation, renaming its label is not."""
        return "choice " + ",".join(self.options)

    def labels(self) -> list[tuple[str, str]]:
        """The options as (key, name to show)."""
        return [(key, names if isinstance(names, str) else (names[0] if names else key)) for key, names in self.options.items()]

    def parse(self, heard: Heard) -> str:
        """By key, by name, or by number."""
        said = plain(heard.keys or heard.text)
        for key, names in self.options.items():
            if said == plain(key) or said in [plain(name) for name in ([names] if isinstance(names, str) else names)]:
                return key
        number = NUMBER_WORDS.get(said, said)
        if number in self.options:
            return number
        keys = list(self.options)
        if number.isdecimal() and not any(key.isdecimal() for key in keys) and 1 <= int(number) <= len(keys):
            return keys[int(number) - 1]
        raise NotUnderstood


class YesNo(Listen[bool], frozen=True, array_like=True, tag=3, gc=False):
    """Yes (or key 1) or no (or key 2)."""

    def parse(self, heard: Heard) -> bool:
        """The common ways to say either."""
        said = plain(heard.keys or heard.intent.removeprefix("AMAZON.").removesuffix("Intent") or heard.text)
        if said in YES:
            return True
        if said in NO:
            return False
        raise NotUnderstood


class Intent(msgspec.Struct, frozen=True, gc=False):
    """What the caller wants, by name, with the words that filled its slots."""

    name: str
    slots: dict[str, str] = {}


class Intents(Listen[Intent], frozen=True, array_like=True, tag=4, gc=False):
    """One of several intents, each with sample utterances: `{"Snooze": ["snooze", "ten more minutes"]}`.

    Alexa recognises them itself; elsewhere an utterance is matched as it stands.
    """

    samples: dict[str, list[str]]

    @property
    def name(self) -> str:
        """The intents' names."""
        return "intents " + ",".join(self.samples)

    def parse(self, heard: Heard) -> Intent:
        """The channel's own finding first, else the sample that was said."""
        if heard.intent in self.samples:
            return Intent(heard.intent, heard.slots)
        said = plain(heard.text)
        for name, samples in self.samples.items():
            if said == plain(name) or said in [plain(sample) for sample in samples]:
                return Intent(name)
        raise NotUnderstood


class Message(Listen[str], frozen=True, array_like=True, tag=5, gc=False):
    """A recorded message (voicemail), at most `seconds` long; on a text channel the next text."""

    seconds: int = 120

    @property
    def name(self) -> str:
        """How long it may be does not matter to what comes next."""
        return "record"


class Transfer(Listen[str], frozen=True, array_like=True, tag=6, gc=False):
    """The outcome of a hand-over to `number`; the ring time-out is in seconds."""

    number: str
    seconds: int = 30

    @property
    def name(self) -> str:
        """Whom it rings does not matter to what comes next."""
        return "transfer"


AnyListen = Words | Digits | Choice | YesNo | Intents | Message | Transfer

LISTENS: frozenset[type] = frozenset(get_args(AnyListen))
"""The same, for those who look at a class: one of these exactly, for no other can be put on record."""
