"""What each listen makes of what was heard, and how it shows in the shape of a run."""

from typing import Any

import msgspec
import pytest

from workflows import Choice, Digits, Heard, Intent, Intents, NotUnderstood, Words, YesNo
from workflows.listen import AnyListen, Listen, Message, Transfer, plain

CHOICE = Choice({"1": "an elf", "2": ["a message", "voicemail"], "9": []})
NAMED = Choice({"tea": "Tea", "coffee": ["Coffee", "Espresso"]})
INTENTS = Intents({"Snooze": ["snooze", "ten more minutes"], "AMAZON.HelpIntent": ["help"]})


def said(text: str) -> Heard:
    return Heard(text=text)


def pressed(keys: str) -> Heard:
    return Heard(text=keys, keys=keys)


@pytest.mark.parametrize(
    ("listen", "heard", "value"),
    [
        (Words(), said("Hello there."), "Hello there."),
        (Words(), pressed("12"), "12"),
        (Digits(1), pressed("7"), "7"),
        (Digits(), pressed("0123456789*"), "0123456789*"),
        (Digits(4), said("one two three four"), "1234"),
        (Digits(4), said("1-2, 3 4."), "1234"),
        (Digits(), said("star oh pound"), "*0"),
        (Digits(), pressed("1234#"), "1234"),
        (Digits(4), said("1234#"), "1234"),
        (Digits(4, finish_on=""), pressed("123#"), "123#"),
        (CHOICE, pressed("1"), "1"),
        (CHOICE, said("An elf."), "1"),
        (CHOICE, said("two"), "2"),
        (CHOICE, said("voicemail"), "2"),
        (CHOICE, said("9"), "9"),
        (NAMED, said("espresso"), "coffee"),
        (NAMED, said("COFFEE"), "coffee"),
        (NAMED, pressed("1"), "tea"),
        (NAMED, said("two"), "coffee"),
        (YesNo(), said("Yes, please."), True),
        (YesNo(), pressed("2"), False),
        (YesNo(), said("no thanks"), False),
        (YesNo(), Heard(intent="AMAZON.YesIntent"), True),
        (YesNo(), Heard(intent="AMAZON.NoIntent"), False),
        (INTENTS, Heard(intent="Snooze", slots={"minutes": "10"}), Intent("Snooze", {"minutes": "10"})),
        (INTENTS, said("Ten more minutes!"), Intent("Snooze")),
        (INTENTS, said("snooze"), Intent("Snooze")),
        (INTENTS, said("help"), Intent("AMAZON.HelpIntent")),
    ],
)
def test_what_is_understood(listen: Listen[Any], heard: Heard, value: object) -> None:
    assert listen.parse(heard) == value


@pytest.mark.parametrize(
    ("listen", "heard"),
    [
        (Words(), said("  ")),
        (Digits(1), said("")),
        (Digits(1), pressed("12")),
        (Digits(2), pressed("1")),
        (Digits(1), pressed("#")),
        (Digits(), said("twelve")),
        (Digits(), said("١٢")),
        (CHOICE, pressed("3")),
        (CHOICE, said("three")),
        (CHOICE, said("a")),
        (NAMED, pressed("3")),
        (NAMED, said("0")),
        (NAMED, said("²")),
        (YesNo(), said("perhaps")),
        (YesNo(), pressed("3")),
        (INTENTS, said("nothing of it")),
        (INTENTS, Heard(intent="Other")),
    ],
)
def test_what_is_not_understood(listen: Listen[Any], heard: Heard) -> None:
    with pytest.raises(NotUnderstood):
        listen.parse(heard)


@pytest.mark.parametrize(
    ("listen", "name"),
    [
        (Words(("hint",)), "words"),
        (Digits(4, finish_on="*"), "digits 4"),
        (Digits(), "digits any"),
        (CHOICE, "choice 1,2,9"),
        (YesNo(), "yesno"),
        (INTENTS, "intents Snooze,AMAZON.HelpIntent"),
        (Message(30), "record"),
        (Transfer("+1555"), "transfer"),
    ],
)
def test_the_name_says_what_is_listened_for(listen: Listen[Any], name: str) -> None:
    assert listen.name == name


def test_labels_are_what_buttons_show() -> None:
    assert CHOICE.labels() == [("1", "an elf"), ("2", "a message"), ("9", "9")]


@pytest.mark.parametrize("listen", [Words(("a",)), Digits(4), CHOICE, YesNo(), INTENTS, Message(), Transfer("+1")])
def test_a_listen_survives_the_stored_form(listen: AnyListen) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(listen), type=AnyListen) == listen


@pytest.mark.parametrize("listen", [Message(), Transfer("+1")])
def test_words_are_no_answer_to_a_recording_or_a_transfer(listen: Listen[str]) -> None:
    with pytest.raises(NotUnderstood):
        listen.parse(said("hello"))


def test_folding_is_for_comparison_only() -> None:
    assert plain("  Yes,   PLEASE!. ") == "yes please"
