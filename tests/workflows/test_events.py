"""The codec, held to the byte by `events.hex`: one line a case, its name and its element with a fixed uid.

A line that changes is a change of the stored format. Lines are only ever added; `docs/format.md` says what may be.
"""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows import Choice, Digits, Intents, Words, YesNo
from workflows.errors import UndecodableError
from workflows.events import (
    AnyEvent,
    Carried,
    CarriedErrand,
    Fired,
    Heard,
    Left,
    Memo,
    Opened,
    Prompt,
    Sent,
    decode,
    describe,
    encode,
    uid_of,
)
from workflows.listen import AnyListen, Message, Transfer
from workflows.outputs import Play, Say, Ssml

UID = bytes.fromhex("0123456789abcdef")
AT = 1_767_614_400_000
HEAD = (AT, 0xDEADBEEF, 0x0BADF00D)
RAW = msgspec.Raw(msgspec.msgpack.encode({"text": "thought", "tokens": 3}))

CASES: dict[str, AnyEvent] = {
    "opened with the least": Opened(AT, 0, 0, "id", AT, "santa", (), "phone", None, None, "en-GB", "UTC", b"\x01\x02\x03\x04", {}),
    "opened with everything": Opened(
        AT,
        0,
        0,
        "",
        AT,
        "module:flow",
        ("patch-1", "patch-2"),
        "errand",
        "+15550100",
        "+15550199",
        "fi-FI",
        "Europe/Helsinki",
        bytes(range(8)),
        {"queues": {1: "+15550111"}, "raw": b"\xff", "none": None, "float": 0.5},
        ("phone:CA0", "1767614400000/2.0.1"),
        1234,
        (
            Carried("handled", AT - 9, "handled"),
            Carried("done", AT - 8, "done", 5, [(5, 0, Say("hi")), (5, 1, Ssml("<break/>"))], Prompt(Words(("elf",)), 5.0)),
            Carried("kept", AT - 7, "queued", 6, None, Prompt(), kept=True),
            Carried("open", AT - 6, "open", 7, [(7, 0, Play("https://example.com/a.mp3"))]),
            Carried("queued", AT - 5, "queued", 8),
        ),
        (
            CarriedErrand("1/0", "errand:00", "nap", "module:nap", args={"minutes": 5}),
            CarriedErrand("1/1", "errand:01", "nap", "module:nap", "cancelled"),
        ),
        {"can_deliver": True, "owns_timeouts": False},
    ),
    "heard said": Heard(*HEAD, "SM1", "said", {"text": "Füür Räder"}),
    "heard pressed": Heard(*HEAD, "2", "pressed", {"digits": "12#"}),
    "heard silence": Heard(*HEAD, "3", "silence", {}),
    "heard intent": Heard(*HEAD, "amzn1", "intent", {"name": "Snooze", "slots": {"minutes": "10"}, "text": ""}),
    "heard recorded": Heard(*HEAD, "4", "recorded", {"url": "https://example.com/r", "seconds": 4}),
    "heard transferred": Heard(*HEAD, "5", "transferred", {"outcome": "busy", "seconds": 0}),
    "heard returned": Heard(*HEAD, "6", "returned", {}),
    "heard errand": Heard(*HEAD, "errand/errand:00/done", "errand", {"errand": "1/0", "value": [1, None], "error": None}),
    "heard cancel": Heard(*HEAD, "errand:00/cancel", "cancel", {}),
    "memo of nothing": Memo(*HEAD, "0", "cancel", b""),
    "memo of a value": Memo(*HEAD, "2.0.1", "think", bytes(range(8)), RAW, None, {"tokens": 3}),
    "memo of a failure": Memo(*HEAD, "3", "think", bytes(range(8)), error=("RateLimitError", "too many", False)),
    "fired": Fired(*HEAD, "2.0.1"),
    "sent": Sent(*HEAD, (7, 1), {"ts": "1767614400.000100"}),
    "left": Left(*HEAD, "CA0/completed", "completed"),
}
"""Every kind of event, with every field away from its default at least once."""

PROMPTS: list[AnyListen] = [
    Words(),
    Digits(4, "*", True),
    Choice({"1": "a", "2": ["b", "c"]}),
    YesNo(),
    Intents({"A": ["a"]}),
    Message(30),
    Transfer("+1", 9),
]

FIXTURES = dict(line.split("\t") for line in Path(__file__).with_name("events.hex").read_text().splitlines())


def case(name: str) -> AnyEvent:
    if name.startswith("prompt of "):
        listen = PROMPTS[[type(each).__name__ for each in PROMPTS].index(name.removeprefix("prompt of "))]
        return Opened(
            *HEAD, "i", AT, "f", (), "c", None, None, "", "", b"", {}, carried=(Carried("c", AT, "done", 1, [], Prompt(listen, 1.5)),)
        )
    return CASES[name]


NAMES = [*CASES, *(f"prompt of {type(each).__name__}" for each in PROMPTS)]


@pytest.mark.parametrize("name", NAMES)
def test_an_event_is_written_to_the_byte(name: str) -> None:
    assert encode(case(name), UID).hex() == FIXTURES[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_element_is_read_to_the_field(name: str) -> None:
    element = bytes.fromhex(FIXTURES[name])
    assert decode(element) == case(name)
    assert uid_of(element) == UID


def test_every_fixture_has_its_case() -> None:
    assert list(FIXTURES) == NAMES


def test_the_head_of_every_element_is_the_same() -> None:
    for name, element in FIXTURES.items():
        fields = msgspec.msgpack.decode(bytes.fromhex(element)[9:])
        at, shape, words = fields[1:4]
        event = case(name)
        assert (at, shape, words) == (event.at, event.shape, event.words)


def test_fields_left_out_at_the_end_have_their_defaults() -> None:
    """An element of an earlier version has fewer fields; they were only ever added at the end."""
    body = [2, AT, 1, 2, "0", "think", b""]
    assert decode(b"\x01" + UID + msgspec.msgpack.encode(body)) == Memo(AT, 1, 2, "0", "think", b"")


@pytest.mark.parametrize(
    "element",
    [
        b"",
        b"\x01",
        b"\x01" + UID,
        b"\x02" + UID + b"encrypted",
        b"\x00" * 64,
        b"\x01" + UID + b"\xc1",
        b"\x01" + UID + msgspec.msgpack.encode([5, AT, 0, 0, "0", "spoken"]),
        b"\x01" + UID + msgspec.msgpack.encode([99, AT, 0, 0]),
        b"\x01" + UID + msgspec.msgpack.encode([3, AT, 0, 0]),
        b"\x01" + UID + msgspec.msgpack.encode([3, AT, 0, 0, 7]),
        b"\x01" + UID + msgspec.msgpack.encode({"kind": 3}),
        b"\x01" + UID + msgspec.msgpack.encode([3, AT, 0, 0, "0"]) + b"\x00",
        b"\x01" + UID + b"\x95\x03\x00\x00\x00\xa1\xff",
    ],
    ids=lambda element: element.hex()[:40] or "nothing",
)
def test_what_this_code_did_not_write_is_refused(element: bytes) -> None:
    with pytest.raises(UndecodableError) as caught:
        decode(element)
    assert "left as it is" in str(caught.value)


@given(st.binary(max_size=60))
def test_any_bytes_are_an_event_or_refused(tail: bytes) -> None:
    try:
        event = decode(b"\x01" + UID + tail)
    except UndecodableError:
        return
    assert decode(encode(event, UID)) == event


@given(st.data())
def test_damage_is_an_event_or_refused(data: st.DataObject) -> None:
    element = bytearray(bytes.fromhex(FIXTURES[data.draw(st.sampled_from(NAMES))]))
    element[data.draw(st.integers(9, len(element) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(element))
    except UndecodableError:
        return


@pytest.mark.parametrize("name", NAMES)
def test_an_event_can_be_put_in_words(name: str) -> None:
    assert describe(case(name))


def test_words_for_events_name_what_they_are_about() -> None:
    assert describe(CASES["memo of a value"]) == "the outcome of think (step 2.0.1)"
    assert describe(CASES["heard said"]) == "an input (said)"
    assert describe(CASES["opened with the least"]) == "an opening of santa"
    assert describe(CASES["fired"]) == "the alarm of step 2.0.1"
    assert describe(CASES["left"]) == "the caller leaving"
    assert describe(CASES["sent"]) == "the receipt of output 7.1"
