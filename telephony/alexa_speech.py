"""What is said, as Alexa speaks it: SSML that is always well-formed and within the limits, and the card for the app.

Alexa refuses an answer whole for one tag that it does not know, so markup is checked and written anew; what could not be spoken is said
as plain text. Source: https://developer.amazon.com/docs/custom-skills/speech-synthesis-markup-language-ssml-reference.html.
"""

import re
from collections.abc import Sequence
from html import unescape
from typing import Any
from xml.parsers import expat

import msgspec

from workflows.outputs import Output, Play, Say, Ssml

CHARACTERS = 8_000
"""Of a whole speech, tags included (AX8)."""

BYTES = 12_000
"""Of a speech in JSON. With the reprompt and the card it stays below the 24 kB of a whole answer."""

REPROMPT_BYTES = 4_000
CARD_BYTES = 4_000

MOST_SOUNDS = 5
"""Recordings in one answer."""

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAG = re.compile(r"<[/!?A-Za-z][^<>]*>")
_SENTENCE_END = re.compile(r".*(?:[.!?:;…]\s|[。\uff01\uff1f\n])", re.DOTALL)

_ATTRIBUTES = {
    "amazon:domain": {"name"},
    "amazon:effect": {"name"},
    "amazon:emotion": {"name", "intensity"},
    "audio": {"src"},
    "break": {"strength", "time"},
    "emphasis": {"level"},
    "lang": {"xml:lang"},
    "p": set(),
    "permission": {"scope"},
    "phoneme": {"alphabet", "ph"},
    "prosody": {"pitch", "rate", "volume"},
    "s": set(),
    "say-as": {"format", "interpret-as"},
    "sub": {"alias"},
    "voice": {"name"},
    "w": {"role"},
}
_PERMISSION = "permission"
"""Ours: `<permission scope="…"/>` in an `Ssml` asks for a permission by a card. Where there are no cards, the tag is dropped."""

_SOUNDS = ("https://", "soundbank://")
_LANGUAGES = frozenset({
    "ar-SA", "de-DE", "en-AU", "en-CA", "en-GB", "en-IN", "en-US", "es-ES", "es-MX", "es-US", "fr-CA", "fr-FR", "hi-IN", "it-IT", "ja-JP",
    "pt-BR",
})  # fmt: skip


class Speech(msgspec.Struct, frozen=True):
    """`ssml` with its `<speak>`; `reprompt` is its last part, the question; `text` is what a card shows; `permissions` are asked for."""

    ssml: str | None
    reprompt: str | None
    text: str
    permissions: tuple[str, ...]


class _Fragment(msgspec.Struct, frozen=True):
    """One output as it is spoken, and as it is read."""

    ssml: str
    text: str
    permissions: tuple[str, ...] = ()

    @property
    def sounds(self) -> int:
        return self.ssml.count("<audio ")


def write(outputs: Sequence[Output]) -> Speech:
    """Write what is said within the limits; what is too much is left away from the end, from a sentence on if it can be."""
    fragments: list[_Fragment] = []
    characters, room, sounds = CHARACTERS - len("<speak></speak>"), BYTES, MOST_SOUNDS
    for output in outputs:
        fragment = _fragment(output)
        if fragment.sounds > sounds:
            fragment = _plain(fragment.text)
        if len(fragment.ssml) + 1 > characters or _size(fragment.ssml) > room:
            fragments.append(_clipped(fragment, characters - 1, room))
            break
        fragments.append(fragment)
        characters -= len(fragment.ssml) + 1
        room -= _size(fragment.ssml)
        sounds -= fragment.sounds
    spoken = [each for each in fragments if each.ssml]
    return Speech(
        f"<speak>{' '.join([each.ssml for each in spoken])}</speak>" if spoken else None,
        f"<speak>{_clipped(spoken[-1], CHARACTERS - 20, REPROMPT_BYTES).ssml}</speak>" if spoken else None,
        "\n".join([each.text for each in fragments if each.text]),
        tuple(dict.fromkeys([scope for each in fragments for scope in each.permissions])),
    )


def card(title: str, speech: Speech) -> dict[str, Any] | None:
    """What the app shows: a permission to be given, else what was said."""
    if speech.permissions:
        return {"type": "AskForPermissionsConsent", "permissions": list(speech.permissions)}
    if not speech.text:
        return None
    return {"type": "Simple", "title": title, "content": _beginning(speech.text, CHARACTERS - len(title), CARD_BYTES)}


def plain(text: str) -> str:
    """Markup as text. A tag parts words: `<s>One</s><s>Two</s>`."""
    return " ".join(unescape(_TAG.sub(" ", text)).split())


# -- one output ----------------------------------------------------------------------------------------------------------------------------


def _fragment(output: Output) -> _Fragment:
    match output:
        case Say(text=text, language=language):
            said = _plain(text)
            if language in _LANGUAGES and said.ssml:
                return _Fragment(f'<lang xml:lang="{language}">{said.ssml}</lang>', said.text)
            return said
        case Ssml(markup=markup):
            try:
                return _checked(markup)
            except (expat.ExpatError, _UnspeakableError):
                return _plain(plain(markup))
        case Play(url=url):
            return _Fragment(f'<audio src="{_quoted(url)}"/>' if url.startswith(_SOUNDS) else "", _clean(url))


def _plain(text: str) -> _Fragment:
    text = _clean(text).strip()
    return _Fragment(f"<p>{_escape(text)}</p>" if text else "", text)


class _UnspeakableError(Exception):
    """Well-formed markup that Alexa cannot speak."""


def _checked(markup: str) -> _Fragment:
    """Write SSML anew from its parse, so that nothing but what was checked can come out."""
    written: list[str] = []
    permissions: list[str] = []
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth == 1:
            if tag != "speak":
                raise _UnspeakableError
            return
        known = _ATTRIBUTES.get(tag)
        if known is None or (tag == "audio" and not attributes.get("src", "").startswith(_SOUNDS)):
            raise _UnspeakableError
        if tag == _PERMISSION:
            permissions.append(attributes.get("scope", ""))
            return
        kept = [f' {key}="{_quoted(value)}"' for key, value in attributes.items() if key in known]
        written.append(f"<{tag}{''.join(kept)}>")

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        if depth and tag != _PERMISSION:
            written.append(f"</{tag}>")

    def refuse(*_: object) -> None:
        raise _UnspeakableError

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = lambda text: written.append(_escape(text))
    parser.StartDoctypeDeclHandler = refuse
    whole = _clean(markup).strip()
    parser.Parse(whole if whole.startswith(("<speak", "<?xml")) else f"<speak>{whole}</speak>", True)
    return _Fragment("".join(written).strip(), plain(_clean(markup)), tuple(filter(None, permissions)))


# -- limits --------------------------------------------------------------------------------------------------------------------------------


def _clipped(fragment: _Fragment, characters: int, size: int) -> _Fragment:
    """The fragment if it fits; else the beginning of its text, in plain words."""
    if len(fragment.ssml) <= characters and _size(fragment.ssml) <= size:
        return fragment
    text = _beginning(fragment.text, characters - len("<p></p>"), size - len("<p></p>"), _escape)
    return msgspec.structs.replace(_plain(text), permissions=fragment.permissions)


def _beginning(text: str, characters: int, size: int, written: Any = str) -> str:
    """The longest beginning of a text that fits as it is written, up to the end of a sentence or a word if that is not much shorter."""

    def fits(length: int) -> bool:
        part = written(text[:length])
        return len(part) <= characters and _size(part) <= size

    if fits(len(text)):
        return text
    low, high = 0, len(text)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    for pattern in (_SENTENCE_END, re.compile(r".*\s", re.DOTALL)):
        natural = pattern.match(text[:low])
        if natural and natural.end() * 2 > low:
            return natural[0].rstrip()
    return text[:low]


def _size(text: str) -> int:
    """Bytes of a text in JSON."""
    return len(msgspec.json.encode(text)) - 2


def _clean(text: str) -> str:
    """Put a space in the place of what XML 1.0 cannot hold: control characters, lone surrogates, U+FFFE and U+FFFF."""
    return text if text.isprintable() else _FORBIDDEN.sub(" ", text)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _quoted(text: str) -> str:
    return _escape(_clean(text)).replace('"', "&quot;").replace("\n", " ").replace("\r", " ").replace("\t", " ")
