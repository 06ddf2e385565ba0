"""What is said, as Alexa speaks it: always well-formed, always within her limits."""

import re
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony import alexa_speech as speech
from telephony import alexa_wire as wire
from workflows.outputs import Play, Say, Ssml


def ssml(*outputs):
    return speech.write(outputs).ssml


def test_texts_are_paragraphs_and_escaped():
    assert ssml(Say("Tea & <coffee>?"), Say("Yes.")) == "<speak><p>Tea &amp; &lt;coffee&gt;?</p> <p>Yes.</p></speak>"


def test_a_language_that_alexa_speaks_is_kept_and_voices_are_hers():
    assert ssml(Say("Bonjour.", "Polly.Lea", "fr-FR")) == '<speak><lang xml:lang="fr-FR"><p>Bonjour.</p></lang></speak>'
    assert ssml(Say("Moi.", None, "fi-FI")) == "<speak><p>Moi.</p></speak>"


def test_markup_that_alexa_knows_is_kept():
    markup = 'Wait <break time="1s"/><amazon:effect name="whispered">for <emphasis level="strong">it</emphasis></amazon:effect>'
    assert ET.canonicalize(ssml(Ssml(markup)).replace("amazon:", "a-")) == ET.canonicalize(
        f"<speak>{markup}</speak>".replace("amazon:", "a-")
    )


@pytest.mark.parametrize(
    ("markup", "said"),
    [
        ("<script>alert(1)</script>", "<p>alert(1)</p>"),
        ("broken <b", "<p>broken &lt;b</p>"),
        ("<s>One</s><s>Two", "<p>One Two</p>"),
        ("<audio src='http://example.com/x.mp3'/>Ding", "<p>Ding</p>"),
        ("<!DOCTYPE x [<!ENTITY e 'x'>]><speak>&e;</speak>", "<p>"),
        ("<speak>One<speak>Two</speak></speak>", "<p>One Two</p>"),
        ("</speak><audio src='https://example.com/x.mp3'/><speak>", ""),
    ],
)
def test_markup_that_alexa_would_refuse_is_said_as_text(markup, said):
    written = ssml(Ssml(markup))
    assert written is None or said in written
    assert written is None or "<audio" not in written


def test_what_alexa_does_not_know_of_a_tag_is_left_out():
    assert ssml(Ssml('<emphasis level="strong" onclick="x">Now</emphasis>')) == '<speak><emphasis level="strong">Now</emphasis></speak>'


def test_recordings_are_played_over_https_and_five_at_most():
    assert ssml(Play("https://example.com/a.mp3?x=1&y=2")) == '<speak><audio src="https://example.com/a.mp3?x=1&amp;y=2"/></speak>'
    assert ssml(Play("http://example.com/a.mp3")) is None
    assert ssml(*[Play(f"https://example.com/{number}.mp3") for number in range(9)]).count("<audio ") == 5


def test_a_permission_is_asked_for_by_a_card():
    told = speech.write([Ssml(f'Please allow it. <permission scope="{wire.REMINDERS}"/>'), Say("Then ask again.")])
    assert "permission" not in told.ssml
    assert speech.card("T", told) == {"type": "AskForPermissionsConsent", "permissions": [wire.REMINDERS]}


def test_a_card_shows_what_was_said_as_text():
    told = speech.write([Ssml("<s>One</s><s>Two &amp; three</s>"), Play("http://example.com/a.mp3"), Say("<Four>")])
    assert speech.card("T", told) == {"type": "Simple", "title": "T", "content": "One Two & three\nhttp://example.com/a.mp3\n<Four>"}
    assert speech.card("T", speech.write([])) is None


def test_the_question_again_is_the_last_that_was_said():
    told = speech.write([Say("Hello."), Say("Tea or coffee?"), Play("http://example.com/silence.mp3")])
    assert told.reprompt == "<speak><p>Tea or coffee?</p></speak>"


def test_a_long_text_ends_with_a_sentence():
    told = ssml(Say("This is a sentence. " * 1_000))
    assert 7_000 < len(told) <= 8_000
    assert told.endswith("This is a sentence.</p></speak>")


OUTPUTS = st.one_of(
    st.builds(Say, st.text(max_size=3_000)),
    st.builds(Ssml, st.text(max_size=3_000)),
    st.builds(Ssml, st.text(max_size=50).map(lambda text: f"<emphasis>{text}</emphasis>")),
    st.builds(Play, st.text(max_size=50).map(lambda text: f"https://example.com/{text}")),
    st.builds(
        lambda text, times: Say(text * times),
        st.sampled_from(["<&>", "\u65e5", "\U0001f384", '"\\', "\x00", "\ud800", "a. "]),
        st.integers(1, 9_000),
    ),
)


@given(st.lists(OUTPUTS, max_size=6))
def test_whatever_is_said_is_well_formed_and_within_the_limits(outputs):
    told = speech.write(outputs)
    card = speech.card("A title", told)
    whole = wire.response(ssml=told.ssml, reprompt=told.reprompt, card=card, attributes={"rest": [10**6, 10**6]}, ends=False)
    assert len(whole) <= wire.LIMIT
    for text in (told.ssml, told.reprompt):
        if text is not None:
            assert len(text) <= speech.CHARACTERS
            ET.fromstring(text.replace("amazon:", "amazon-"))
            assert set(re.findall(r"<([a-z:-]+)", text)) <= {"speak", "p", "emphasis", "audio"}
    msgspec.json.decode(whole)
