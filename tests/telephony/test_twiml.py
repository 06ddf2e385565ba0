import inspect
import xml.etree.ElementTree as ET
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.twiml import voice_response as theirs

from telephony import twiml

PARTS = ["a", "Hello, elf!", " ", "&", "<", ">", '"', "'", "&amp;", "]]>", "<!--", "-->", "</Say>", "<Hangup/>", "<![CDATA[", "<?x?>", "\n", "\r", "\t", "\x00", "\x07", "\x0b", "\x1b", "\x7f", "\x85", "\u2028", "\ud800", "\udfff", "\ufffe", "\uffff", "\ufeff", "é", "€", "🙂", "\U0010ffff"]  # fmt: skip
texts = st.one_of(st.lists(st.sampled_from(PARTS), max_size=12).map("".join), st.text(max_size=30))
maybe = lambda strategy: st.one_of(st.none(), strategy)  # noqa: E731 - a word for the tables below
seconds = st.integers(1, 600)


def clean(text):
    """What XML 1.0 cannot hold, by the production [2] Char of its specification, is a space."""

    def allowed(n):
        return n in (0x9, 0xA, 0xD) or 0x20 <= n <= 0xD7FF or 0xE000 <= n <= 0xFFFD or 0x10000 <= n <= 0x10FFFF

    return "".join(c if allowed(ord(c)) else " " for c in text)


def cleaned(options):
    return {key: clean(value) if isinstance(value, str) else value for key, value in options.items()}


says = st.tuples(st.just("say"), texts, st.fixed_dictionaries({"voice": maybe(texts), "language": maybe(texts)}))
plays = st.tuples(st.just("play"), texts, st.just({}))
pauses = st.tuples(st.just("pause"), st.none(), st.fixed_dictionaries({"seconds": seconds}))
prompts = st.one_of(says, plays, pauses)
gathers = st.tuples(
    st.just("gather"),
    st.lists(prompts, max_size=3),
    st.fixed_dictionaries(
        {
            "action": texts,
            "inputs": maybe(st.sampled_from(["dtmf", "speech", "dtmf speech"])),
            "timeout": maybe(seconds),
            "num_digits": maybe(seconds),
            "finish_on_key": maybe(st.sampled_from(["", "#", "*", "1"])),
            "action_on_empty_result": maybe(st.booleans()),
            "hints": maybe(texts),
            "language": maybe(texts),
            "speech_timeout": maybe(st.one_of(seconds, st.just("auto"))),
        }
    ),
)
records = st.tuples(
    st.just("record"),
    st.none(),
    st.fixed_dictionaries(
        {
            "action": texts,
            "timeout": maybe(seconds),
            "finish_on_key": maybe(texts),
            "max_length": maybe(seconds),
            "play_beep": maybe(st.booleans()),
            "recording_status_callback": maybe(texts),
        }
    ),
)
dials = st.tuples(st.just("dial"), texts, st.fixed_dictionaries({"action": texts, "timeout": maybe(seconds), "caller_id": maybe(texts)}))
others = st.one_of(
    st.tuples(st.just("redirect"), texts, st.just({})),
    st.tuples(st.just("hangup"), st.none(), st.just({})),
    st.tuples(st.just("reject"), st.none(), st.fixed_dictionaries({"reason": maybe(st.sampled_from(["busy", "rejected"]))})),
)
documents = st.lists(st.one_of(prompts, gathers, records, dials, others), max_size=6)


def ours(verb):
    name, content, options = verb
    write = getattr(twiml, name)
    if name == "gather":
        return write(*[ours(prompt) for prompt in content], **options)
    return write(**options) if content is None else write(content, **options)


def nest(parent, verb):
    name, content, options = verb
    options = cleaned(options)
    if name == "gather":
        options["input"] = options.pop("inputs")
        gather = parent.gather(**options)
        for prompt in content:
            nest(gather, prompt)
    elif name == "pause":
        parent.pause(length=options["seconds"])
    else:
        getattr(parent, name)(*([] if content is None else [clean(content)]), **options)


@settings(max_examples=2000, deadline=None)
@given(documents)
def test_every_answer_is_equal_to_twilios_byte_for_byte_and_parses(document):
    reference = theirs.VoiceResponse()
    for verb in document:
        nest(reference, verb)
    written = twiml.response(*[ours(verb) for verb in document])
    assert written == str(reference)
    assert [child.tag for child in ET.fromstring(written)] == [verb[0].capitalize() for verb in document]


@settings(max_examples=1000, deadline=None)
@given(texts)
def test_what_is_said_comes_back_from_the_parse_and_nothing_else_does(text):
    (verb,) = ET.fromstring(twiml.response(twiml.say(text, voice=text)))
    assert (verb.text or "") == clean(text).replace("\r\n", "\n").replace("\r", "\n")
    assert verb.attrib == {"voice": clean(text)}
    assert not list(verb)


def test_an_answer_of_nothing_is_an_empty_response():
    assert twiml.response() == '<?xml version="1.0" encoding="UTF-8"?><Response />' == str(theirs.VoiceResponse())


# Speech markup


def ssml(markup):
    (verb,) = ET.fromstring(twiml.response(twiml.say_ssml(markup)))
    return verb


def outline(element):
    return (element.tag, element.attrib, element.text, element.tail, [outline(child) for child in element])


GOOD = 'Wait <break time="1s"/> and <emphasis level="strong">see</emphasis>, <lang xml:lang="fr-FR">mon <s>ami</s></lang> &amp; co.'


@pytest.mark.parametrize("markup", [GOOD, f"<speak>{GOOD}</speak>", f' <?xml version="1.0"?><speak version="1.1">{GOOD}</speak>'.strip()])
def test_known_markup_is_nested_in_say_with_or_without_its_root(markup):
    assert outline(ssml(markup)) == outline(ET.fromstring(f"<Say>{GOOD}</Say>"))


def test_the_tags_and_their_nesting_are_those_of_twilios_library():
    classes = {
        "break": theirs.SsmlBreak, "emphasis": theirs.SsmlEmphasis, "lang": theirs.SsmlLang, "p": theirs.SsmlP,
        "phoneme": theirs.SsmlPhoneme, "prosody": theirs.SsmlProsody, "s": theirs.SsmlS, "say-as": theirs.SsmlSayAs,
        "sub": theirs.SsmlSub, "w": theirs.SsmlW,
    }  # fmt: skip

    def tags(parent):
        return {name.strip("_").replace("_", "-") for name in vars(parent)} & set(classes)

    for outer, parent in classes.items():
        for inner in classes:
            nested = inner in tags(parent)
            verb = ssml(f"<{outer}>x<{inner}>y</{inner}></{outer}>")
            assert [child.tag for child in verb.iter()] == (["Say", outer, inner] if nested else ["Say"]), (outer, inner)
        parameters = inspect.signature(getattr(theirs.Say, outer.replace("-", "_") + ("_" if outer == "break" else ""))).parameters
        attributes = {name.replace("xml_lang", "xml:lang").replace("_", "-") for name in set(parameters) - {"self", "kwargs", "words"}}
        assert twiml._SSML_ATTRIBUTES[outer] == attributes


@pytest.mark.parametrize(
    ("markup", "spoken"),
    [
        ("<amazon:effect name='whispered'>psst</amazon:effect>", "psst"),
        ("a <b>bold</b> word", "a bold word"),
        ("one <break> two", "one two"),
        ("AT&T is < 3", "AT&T is < 3"),
        ("a</speak><speak>b", "a b"),
        ("</Say><Hangup/><Say>", ""),
        ("<p>One.</p><p>Two.</p><blink/>", "One. Two."),
        ("<script>alert(1)</script>", "alert(1)"),
        ("fish &nbsp;&amp; chips &#1;&#xD800;", "fish & chips \ufffd"),
        ('<!DOCTYPE speak [<!ENTITY e "hello">]><speak>&e;</speak>', "<!DOCTYPE speak [ ]> &e;"),
        ("<?xml version='1.0'?><!DOCTYPE speak><speak>hi</speak>", "hi"),
        ("<speak><speak>hi</speak></speak>", "hi"),
        ("<Say>hi</Say>", "hi"),
    ],
)  # fmt: skip
def test_other_markup_is_said_as_its_text(markup, spoken):
    verb = ssml(markup)
    assert (verb.text or "") == spoken
    assert not list(verb)


def test_attributes_that_twilio_does_not_know_are_left_out():
    verb = ssml('<break time="1s" onload="x" xmlns="urn:x"/><p lang="en" class="c">text</p>')
    assert [child.attrib for child in verb] == [{"time": "1s"}, {}]


@settings(max_examples=2000, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [*PARTS, "<p>", "</p>", "<s>", "</s>", "<break/>", '<sub alias="x">', "</sub>", "<speak>", "</speak>", '<w role="', '">']
        ),
        max_size=14,
    ).map("".join)
)
def test_no_markup_makes_an_answer_that_is_broken_or_does_anything_but_speak(markup):
    answer = ET.fromstring(twiml.response(twiml.say_ssml(markup, voice="Polly.Amy"), twiml.hangup()))
    assert [child.tag for child in answer] == ["Say", "Hangup"]
    assert answer[0].attrib == {"voice": "Polly.Amy"}
    assert {child.tag for child in answer[0].iter()} <= {"Say", *twiml._SSML_ATTRIBUTES}


# Limits


def test_a_text_too_long_for_one_say_is_spoken_by_several_and_no_word_is_lost():
    text = "This is a sentence of the story, & it goes on. " * 500
    answer = ET.fromstring(twiml.response(twiml.say(text, voice="alice", language="en-GB")))
    assert len(answer) > 1
    assert "".join(say.text for say in answer) == text
    assert all(say.text.endswith("on. ") and say.attrib == {"voice": "alice", "language": "en-GB"} for say in answer)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from(["a", "é", "🙂", " ", ".", "\n", "&"]), min_size=300, max_size=3000).map(lambda text: text * 3))
def test_no_say_holds_more_than_the_strictest_voice_takes(text):
    answer = ET.fromstring(twiml.response(twiml.say(text)))
    assert "".join(say.text for say in answer) == text
    assert all(len(say.text.encode()) <= 3000 and len(quote(say.text)) <= 4500 for say in answer)


def test_markup_too_long_for_one_say_is_said_as_text():
    answer = ET.fromstring(twiml.response(twiml.say_ssml("<p>" + "Many words. " * 500 + "</p>")))
    assert len(answer) > 1
    assert not [child for say in answer for child in say]


@settings(max_examples=1000, deadline=None)
@given(texts, st.integers(-1, 80))
def test_a_clipped_text_begins_like_the_whole_and_fits(text, size):
    clipped = twiml.clip(text, size)
    assert clean(text).startswith(clipped)
    assert len(twiml.say(clipped).encode()) - len("<Say></Say>") <= max(size, 0)


@pytest.mark.parametrize(
    ("size", "clipped"),
    [
        (100, "One sentence. Another & more."),
        (27, "One sentence. "),
        (15, "One sentence. "),
        (9, "One sente"),
        (5, "One "),
        (2, "On"),
        (0, ""),
    ],
)
def test_a_text_is_clipped_at_the_end_of_a_sentence_or_a_word(size, clipped):
    assert twiml.clip("One sentence. Another & more.", size) == clipped
