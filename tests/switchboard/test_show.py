"""Sessions in words and as plain values."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import msgspec
import pytest
from support.shop import AT, BUG, LONGER, PIN, SHOP, TEA, pressed, price, record, said, write_shop

from switchboard import show
from switchboard.replay import Replay, replay
from workflows.events import AnyEvent, Fired, Heard, Left, Memo, Opened, Sent, decode, encode
from workflows.outputs import Play, Say, Ssml

NIL = msgspec.Raw(b"\xc0")


def words(seen: Replay) -> list[str]:
    return [line.plain.strip() for line in show.in_words(seen)]


def value(seen: Replay) -> dict[str, object]:
    decoded: dict[str, object] = json.loads(msgspec.json.encode(show.as_value(seen)))
    return decoded


def test_a_session_is_told_event_by_event_in_the_line_s_zone(tmp_path: Path) -> None:
    registry = write_shop(tmp_path)
    assert words(replay("phone:CA1", record(registry, "phone:CA1", PIN, TEA, price), registry)) == [
        "phone:CA1  running",
        f"workflow corner:shop, line phone:+15550100, en-GB, Europe/Helsinki, generation {AT}",
        "",
        "0  2025-11-24 18:00:00+02:00  opened by +15550199 on phone:+15550100",
        'says "Welcome."',
        'says "Your PIN, please"',
        "1  2025-11-24 18:00:01+02:00  pressed (hidden)  -> listen digits 4 (step 0)",
        'says "1 for tea, 2 for coffee"',
        "2  2025-11-24 18:00:02+02:00  pressed 1  -> listen digits 1 (step 1)",
        "3  2025-11-24 18:00:03+02:00  price_of (step 2) gave 3",
        'says "That is 3."',
        "",
        "waits for sleep (step 3)",
        "alarm of step 3 at 2025-11-24 19:00:03+02:00",
        "(hidden): a secret, or what no step is known to have taken, which may be one",
    ]


@pytest.mark.parametrize("code", [SHOP, BUG, LONGER, SHOP.replace("Digits(4", "Digits(6")])
def test_secret_digits_are_told_nowhere(tmp_path: Path, code: str) -> None:
    histories = [
        [PIN],
        [said("4711", "a")],
        [PIN, TEA, pressed("4711", "c")],  # nothing listens while the price is asked
    ]
    for steps in histories:
        elements = record(write_shop(tmp_path), "phone:CA1", *steps)
        seen = replay("phone:CA1", elements, write_shop(tmp_path, code))
        assert "4711" not in "\n".join(words(seen)), seen.state
        assert "4711" not in json.dumps(value(seen)), seen.state


def test_a_failed_session_has_its_traceback(tmp_path: Path) -> None:
    registry = write_shop(tmp_path, BUG)
    seen = replay("phone:CA1", record(registry, "phone:CA1", PIN, TEA), registry)
    told = "\n".join(words(seen))
    assert "the workflow fails: ValueError: invalid literal for int() with base 10: 'tea'" in told
    assert "Traceback (most recent call last)" in told
    assert 'corner.py", line ' in told
    failure = value(seen)["failure"]
    assert isinstance(failure, dict)
    assert (failure["position"], failure["kind"]) == (2, "ValueError")


def test_a_diverged_session_has_its_first_differing_step(tmp_path: Path) -> None:
    seen = replay("phone:CA1", record(write_shop(tmp_path), "phone:CA1", PIN, TEA), write_shop(tmp_path, LONGER))
    told = words(seen)
    assert "The code does not repeat what is on record at event 2:" in told
    assert "wanted     listen digits 2 (step 1)" in told
    assert "2  2025-11-24 18:00:02+02:00  pressed (hidden)  (not replayed)" in told
    assert value(seen)["divergence"] == {
        "position": 2,
        "recorded": "an input (pressed), recorded when other steps were open",
        "wanted": "listen digits 2 (step 1)",
    }


def test_a_quarantined_element_is_told_as_its_bytes(tmp_path: Path) -> None:
    registry = write_shop(tmp_path)
    seen = replay("phone:CA1", [*record(registry, "phone:CA1"), b"\x02\xff foreign"], registry)
    assert f"1  ?                          cannot be read: 02ff{b' foreign'.hex()}" in words(seen)
    assert value(seen)["events"][1] == {"position": 1, "kind": None, "element": "02ff" + b" foreign".hex()}  # type: ignore[index]  # a list


def test_what_others_sent_cannot_command_the_terminal(tmp_path: Path) -> None:
    code = SHOP.replace("Digits(1)", "Words()").replace("import Digits", "import Words, Digits").replace("Welcome.", "Wel\\x1b[2Jcome")
    registry = write_shop(tmp_path, code)
    evil = said("tea\x1b]0;hello\x07\r\n[red]now[/red]\u202e", "b")
    told = "\n".join(words(replay("phone:\x1b[2J", record(registry, "phone:\x1b[2J", PIN, evil, caller="\x1b[31m"), registry)))
    assert not set(told) & set("\x1b\x07\r\u202e")
    assert r'said "tea\x1b]0;hello\x07\r\n[red]now[/red]\u202e"' in told
    assert r'says "Wel\x1b[2Jcome"' in told
    assert r"opened by \x1b[31m" in told
    assert told.startswith(r"phone:\x1b[2J  running")


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (Heard(0, 0, 0, "a", "said", {"text": "hello"}), 'said "hello"'),
        (Heard(0, 0, 0, "a", "pressed", {"digits": "12"}), "pressed 12"),
        (Heard(0, 0, 0, "a", "intent", {"name": "Snooze", "slots": {"for": "9"}}), "meant Snooze {'for': '9'}"),
        (Heard(0, 0, 0, "a", "intent", {"name": "Stop"}), "meant Stop"),
        (Heard(0, 0, 0, "a", "silence", {}), "silence"),
        (Heard(0, 0, 0, "a", "recorded", {"url": "https://r/1", "seconds": 4}), "left a recording of 4 s: https://r/1"),
        (Heard(0, 0, 0, "a", "transferred", {"outcome": "busy"}), "transfer: busy after 0 s"),
        (Heard(0, 0, 0, "a", "returned", {}), "came back"),
        (Heard(0, 0, 0, "a", "errand", {"errand": "7/1", "value": 1}), "errand 7/1 is done"),
        (Heard(0, 0, 0, "a", "errand", {"errand": "7/1", "error": "no"}), "errand 7/1 failed: no"),
        (Heard(0, 0, 0, "a", "cancel", {}), "was called off"),
        (Left(0, 0, 0, "a", "hung up"), "the caller left (hung up)"),
        (Left(0, 0, 0, "a", ""), "the caller left"),
        (Memo(0, 0, 0, "1", "ask", b"", error=("Busy", "later", False)), "ask (step 1) failed: Busy: later"),
        (Memo(0, 0, 0, "1", "ask", b"", NIL), "ask (step 1) gave null"),
        (
            Memo(0, 0, 0, "1", "ask", b"", msgspec.Raw(msgspec.msgpack.encode("x" * 400))),
            f'ask (step 1) gave "{"x" * 299}… (402 characters)',
        ),
        (Memo(0, 0, 0, "1", "ask", b"", msgspec.Raw(b"\xa1\xff")), 'ask (step 1) gave "a1ff"'),
        (Memo(0, 0, 0, "1", "ask", b"", msgspec.Raw(msgspec.msgpack.encode({2: b"x"}))), 'ask (step 1) gave {"2":"eA=="}'),
        (Memo(0, 0, 0, "1", "ask", b"", msgspec.Raw(msgspec.msgpack.encode({(1,): 2}))), 'ask (step 1) gave "81910102"'),
        (Fired(0, 0, 0, "1"), "the alarm of step 1 fired"),
        (Sent(0, 0, 0, (3, 1), {}), "output 3.1 was delivered"),
        (
            Opened(0, 0, 0, "a", 1, "w", [], "errand", None, None, "en", "UTC", b"", {}, parent=("web:1", "1/2")),
            "opened as an errand of web:1",
        ),
        (Opened(0, 0, 0, "a", 1, "w", [], "web", None, None, "en", "UTC", b"", {}), "opened by somebody on web:*"),
    ],
)
def test_every_event_has_words(event: AnyEvent, told: str) -> None:
    assert show.event_in_words(event, hidden=False) == told


def test_every_output_has_words_and_a_value() -> None:
    outputs = [Say("hello"), Ssml("<break/>"), Play("https://r/1")]
    assert [show.said_in_words(each) for each in outputs] == ['says "hello"', "says <break/>", "plays https://r/1"]
    assert [show.said_as_value(each) for each in outputs] == [{"say": "hello"}, {"ssml": "<break/>"}, {"play": "https://r/1"}]


def test_a_time_or_a_zone_that_nobody_knows_does_not_stop_the_telling(tmp_path: Path) -> None:
    registry = write_shop(tmp_path)
    assert show.time_of(10**18, None) == datetime.min.replace(tzinfo=UTC)
    seen = replay("phone:CA1", record(registry, "phone:CA1", time_zone="Moon/Base"), registry)
    assert words(seen)[3].startswith("0  2025-11-24 16:00:00+00:00  opened")


def test_what_the_model_was_paid_for_is_added_up(tmp_path: Path) -> None:
    registry = write_shop(tmp_path)
    elements = list(record(registry, "phone:CA1", PIN, TEA, price))
    assert not [line for line in words(replay("phone:CA1", elements, registry)) if "charged" in line]
    memo = decode(elements[-1])
    paid = [encode(msgspec.structs.replace(memo, usage={"in": tokens, "out": 40}), bytes(8)) for tokens in (812, 1_300)]
    seen = replay("phone:CA1", [*elements[:-1], *paid], registry)
    assert "charged by the model: 2,112 tokens in and 80 tokens out" in words(seen)
    opened = encode(msgspec.structs.replace(decode(elements[0]), base=7), bytes(8))
    later = replay("phone:CA1", [opened, *elements[1:-1], *paid], registry)
    assert "charged by the model in this generation: 2,112 tokens in and 80 tokens out" in words(later)
    told = value(seen)
    assert told["usage"] == {"in": 2_112, "out": 80}
    assert [event.get("usage") for event in cast("list[dict[str, object]]", told["events"])[-2:]] == [
        {"in": 812, "out": 40},
        {"in": 1_300, "out": 40},
    ]


def test_what_has_to_be_delivered_still_is_counted(tmp_path: Path) -> None:
    registry = write_shop(tmp_path)
    elements = record(registry, "phone:CA1")
    opened = decode(elements[0])
    assert isinstance(opened, Opened)
    elements = [encode(msgspec.structs.replace(opened, facts={"pushes": True}), bytes(8))]
    assert "2 outputs wait to be delivered" in words(replay("slack:T1:D1", elements, registry))
    elements.append(encode(Sent(AT, 0, 0, (0, 0), {"ts": "17.1"}), bytes(8)))
    seen = replay("slack:T1:D1", elements, registry)
    assert "1 output waits to be delivered" in words(seen)
    assert value(seen)["undelivered"] == 1
