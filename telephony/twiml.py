"""Writing TwiML, Twilio's answers to a call, as text that is always well-formed XML.

`twilio.twiml` builds a tree, sorts and serialises it (about 70 us an answer) and lets control characters and lone surrogates through,
which make Twilio drop the call (error 12100). Callers and models write what is said here, so every text is cleaned and escaped on its
way in. Where twilio's own output is valid, this one is equal to it, byte for byte: attributes are in alphabetical order.
Source of names and limits: https://www.twilio.com/docs/voice/twiml.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from html import unescape
from typing import Literal, NewType
from urllib.parse import quote
from xml.parsers import expat

Verb = NewType("Verb", str)
"""A written verb: text that is XML already and is not escaped again."""

LIMIT = 64_000
"""Bytes of a whole answer; Twilio refuses more than 64 kB."""

_SPEECH_LIMIT = 4_500
"""Characters that one Say may hold once URL-quoted; the strictest voices take 3,000 bytes (warning 13521)."""

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SENTENCE_END = re.compile(r".*(?:[.!?:;…]\s|[。\uff01\uff1f\n])", re.DOTALL)
_WORD_END = re.compile(r".*\s", re.DOTALL)
_TAG = re.compile(r"<[/!?A-Za-z][^<>]*>")

_INLINE = frozenset({"break", "emphasis", "phoneme", "prosody", "say-as", "sub"})
_WORDY = _INLINE | {"lang", "w"}
_ANY = _WORDY | {"p", "s"}
_SSML_CHILDREN = {"speak": _ANY, "p": _WORDY | {"s"}, "s": _WORDY, "emphasis": _WORDY, "w": _INLINE, "prosody": _ANY, "lang": _ANY}
_SSML_ATTRIBUTES = {
    "break": {"strength", "time"},
    "emphasis": {"level"},
    "lang": {"xml:lang"},
    "p": set(),
    "phoneme": {"alphabet", "ph"},
    "prosody": {"pitch", "rate", "volume"},
    "s": set(),
    "say-as": {"format", "interpret-as"},
    "sub": {"alias"},
    "w": {"role"},
}


def response(*verbs: Verb) -> str:
    """Write a whole answer. Without verbs it hangs up, and is the empty answer that callbacks want."""
    return f'<?xml version="1.0" encoding="UTF-8"?>{_element("Response", {}, "".join(verbs))}'


def say(text: str, *, voice: str | None = None, language: str | None = None) -> Verb:
    """Say a text of any length; what is too long for one Say is spoken by several, parted at the end of a sentence or a word."""
    parts = _speakable(_clean(text))
    return Verb("".join([_element("Say", {"language": language, "voice": voice}, _escape(part)) for part in parts]))


def say_ssml(markup: str, *, voice: str | None = None, language: str | None = None) -> Verb:
    """Say speech markup, with or without its `<speak>`; it is said as plain text when Twilio could not speak it as it stands.

    That is: when it is not well-formed, or has a DOCTYPE, or a tag that Twilio does not know at that place, or is too long for one
    Say. Attributes that Twilio does not know are left out. Source: https://www.twilio.com/docs/voice/twiml/say/text-speech#ssml.
    """
    try:
        written = _checked(_clean(markup))
    except (expat.ExpatError, _UnspeakableError):
        spoken = " ".join(unescape(_TAG.sub(" ", markup)).split())  # a tag parts words: "<s>One</s><s>Two</s>"
        return say(spoken, voice=voice, language=language)
    return _element("Say", {"language": language, "voice": voice}, written)


def play(url: str) -> Verb:
    """Play a recording."""
    return _element("Play", {}, _escape(_clean(url)))


def pause(seconds: int) -> Verb:
    """Wait in silence."""
    return _element("Pause", {"length": seconds})


def gather(
    *prompts: Verb,
    action: str,
    inputs: Literal["dtmf", "speech", "dtmf speech"] | None = None,
    timeout: int | None = None,
    num_digits: int | None = None,
    finish_on_key: str | None = None,
    action_on_empty_result: bool | None = None,
    hints: str | None = None,
    language: str | None = None,
    speech_timeout: int | Literal["auto"] | None = None,
) -> Verb:
    """Prompt (Say, Play and Pause only) and listen for keys or speech, which `action` is sent.

    What is None is left to Twilio: keys only, 5 seconds, any number of keys, `#` ends them (the empty string: none does), and no
    input goes on to the next verb. `hints`: phrases for speech recognition, separated by commas. There is no speech model to choose,
    since `speech_timeout="auto"` warns with one (13335).
    """
    attributes = {
        "action": action,
        "actionOnEmptyResult": action_on_empty_result,
        "finishOnKey": finish_on_key,
        "hints": hints,
        "input": inputs,
        "language": language,
        "numDigits": num_digits,
        "speechTimeout": speech_timeout,
        "timeout": timeout,
    }
    return _element("Gather", attributes, "".join(prompts))


def redirect(url: str) -> Verb:
    """Go on with the answer of another URL; what follows is never reached."""
    return _element("Redirect", {}, _escape(_clean(url)))


def record(
    *,
    action: str,
    timeout: int | None = None,
    finish_on_key: str | None = None,
    max_length: int | None = None,
    play_beep: bool | None = None,
    recording_status_callback: str | None = None,
) -> Verb:
    """Record the caller; `action` is sent where the recording is. An empty recording goes on to the next verb instead.

    What is None is left to Twilio: 5 seconds of silence end it, any key ends it, at most an hour, after a beep, no callback.
    """
    attributes = {
        "action": action,
        "finishOnKey": finish_on_key,
        "maxLength": max_length,
        "playBeep": play_beep,
        "recordingStatusCallback": recording_status_callback,
        "timeout": timeout,
    }
    return _element("Record", attributes)


def dial(number: str, *, action: str, timeout: int | None = None, caller_id: str | None = None) -> Verb:
    """Connect the caller to another number; `action` is sent how that ended. `timeout`: seconds of ringing (Twilio's default is 30)."""
    return _element("Dial", {"action": action, "callerId": caller_id, "timeout": timeout}, _escape(_clean(number)))


def hangup() -> Verb:
    """End the call."""
    return _element("Hangup", {})


def reject(reason: Literal["rejected", "busy"] | None = None) -> Verb:
    """Do not take the call: only as the first verb of the first answer does it go unanswered, and unbilled."""
    return _element("Reject", {"reason": reason})


def clip(text: str, size: int) -> str:
    """Give the longest beginning of a text that takes at most `size` bytes of an answer, ending with a sentence or a word if it can.

    For keeping a whole answer below `LIMIT`; the bytes of the verb around the text are not counted.
    """
    return _beginning(_clean(text), size, lambda part: len(_escape(part).encode()))


def _element(name: str, attributes: dict[str, str | int | bool | None], content: str = "") -> Verb:
    start = _start(name, *attributes.items())
    return Verb(f"<{start}>{content}</{name}>" if content else f"<{start} />")


@lru_cache(maxsize=1_000)
def _start(name: str, *attributes: tuple[str, str | int | bool | None]) -> str:
    """Write a name with its attributes, most of which were written before: voices, languages, numbers of turns."""
    return name + "".join([f' {key}="{_attribute(value)}"' for key, value in attributes if value is not None])


def _attribute(value: str | int | bool) -> str:
    if not isinstance(value, str):
        return str(value).lower()
    value = _escape(_clean(value))
    if '"' in value:
        value = value.replace('"', "&quot;")
    if not value.isprintable():
        value = value.replace("\r", "&#13;").replace("\n", "&#10;").replace("\t", "&#09;")
    return value


def _clean(text: str) -> str:
    """Put a space in the place of what XML 1.0 cannot hold: control characters, lone surrogates, U+FFFE and U+FFFF."""
    return text if text.isprintable() else _FORBIDDEN.sub(" ", text)


def _escape(text: str) -> str:
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    if ">" in text:
        text = text.replace(">", "&gt;")
    return text


def _speakable(text: str) -> Iterator[str]:
    """Part a text into what one Say may hold."""
    while len(text) * 12 > _SPEECH_LIMIT:  # no character takes more than twelve once quoted
        part = _beginning(text, _SPEECH_LIMIT, _speech_size)
        if part == text:
            break
        yield part
        text = text[len(part) :]
    yield text


def _speech_size(text: str) -> int:
    return max(len(quote(text, safe="")), len(text.encode()) * 3 // 2)


def _beginning(text: str, limit: int, size: Callable[[str], int]) -> str:
    most = min(len(text), limit)  # no character takes less than one
    end = bisect_right(range(1, most + 1), limit, key=lambda length: size(text[:length]))
    if end == len(text):
        return text
    for pattern in (_SENTENCE_END, _WORD_END):
        natural = pattern.match(text[:end])
        if natural and natural.end() * 2 > end:
            return natural[0]
    return text[:end]


class _UnspeakableError(Exception):
    """Well-formed markup that Twilio cannot speak."""


def _checked(markup: str) -> str:
    """Write SSML anew from its parse, so that nothing but what was checked can come out."""
    written: list[str] = []
    parents: list[str] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag not in (_SSML_CHILDREN.get(parents[-1], frozenset()) if parents else {"speak"}):
            raise _UnspeakableError
        if parents:
            kept = [f' {key}="{_attribute(value)}"' for key, value in attributes.items() if key in _SSML_ATTRIBUTES[tag]]
            written.append(f"<{tag}{''.join(kept)}>")
        parents.append(tag)

    def end(tag: str) -> None:
        parents.pop()
        if parents:
            written.append(f"</{tag}>")

    def refuse(*_: object) -> None:
        raise _UnspeakableError

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = lambda text: written.append(_escape(text))
    parser.StartDoctypeDeclHandler = refuse
    whole = markup.strip()
    parser.Parse(whole if whole.startswith(("<speak", "<?xml")) else f"<speak>{markup}</speak>", True)
    content = "".join(written)
    if _speech_size(content) > _SPEECH_LIMIT:
        raise _UnspeakableError
    return content
