"""Santa's switchboard, as callers meet it."""

from typing import Any

import pytest

from workflows import Choice, Digits
from workflows.listen import Message, Transfer
from workflows.santa import santa
from workflows.testing import Rehearsal

MONDAY = "2026-06-01"
MENU = "Welcome to Santa's switchboard. Press 1 to talk to an elf, or 2 to leave a message."
QUEUES = "Press 1 for toys, 2 for reindeer, or 3 for the naughty list."


def ring(at: str = f"{MONDAY}T10:00", **options: Any) -> Rehearsal:
    return Rehearsal(santa, at=at, args={"queues": {"1": "+15550111", "3": "+15550113"}}, **options)


def test_the_main_menu_is_offered_in_office_hours() -> None:
    call = ring()
    assert call.said == [MENU]
    assert call.listening == Digits(1)


@pytest.mark.parametrize(
    ("hour", "open_"), [("00:00", False), ("08:59", False), ("09:00", True), ("16:59", True), ("17:00", False), ("23:59", False)]
)
def test_outside_office_hours_a_message_is_taken(hour: str, open_: bool) -> None:
    call = ring(f"{MONDAY}T{hour}")
    assert isinstance(call.listening, Digits if open_ else Message)


def test_office_hours_are_those_of_the_line() -> None:
    assert isinstance(ring("2026-06-01T10:00+00:00", time_zone="Asia/Tokyo").listening, Message)
    assert isinstance(ring("2026-06-01T00:30+00:00", time_zone="Asia/Tokyo").listening, Digits)


@pytest.mark.parametrize(
    ("day", "closed"),
    [("2026-12-23", False), ("2026-12-24", True), ("2026-12-31", True), ("2027-01-01", False), ("2028-12-22", False), ("2028-12-23", True)],
)
def test_from_day_358_on_santa_is_closed_for_the_rest_of_the_year(day: str, closed: bool) -> None:
    call = ring(f"{day}T10:00")
    assert call.ended is closed
    assert ("closed for the rest of the year" in str(call.said[0])) is closed


def test_key_1_leads_to_the_queues_and_a_queue_to_its_number() -> None:
    call = ring()
    assert call.press("1") == [QUEUES]
    assert isinstance(call.listening, Choice)
    assert call.press("3") == ["One moment, I am putting you through."]
    assert call.listening == Transfer("+15550113")
    assert call.transferred("completed", 60) == []
    assert call.ended


@pytest.mark.parametrize("outcome", ["busy", "no-answer", "failed", "canceled"])
def test_a_hand_over_that_fails_is_told(outcome: str) -> None:
    call = ring()
    call.press("1")
    call.press("1")
    assert call.transferred(outcome) == ["Sorry, all the elves are busy. Happy Christmas!"]
    assert call.ended


def test_a_queue_may_be_asked_for_in_words() -> None:
    call = ring()
    call.press("1")
    assert call.say("Toys.") == ["One moment, I am putting you through."]


def test_a_queue_without_a_number_says_so() -> None:
    call = ring()
    call.press("1")
    assert call.press("2") == ["Sorry, nobody is in that queue today. Happy Christmas!"]
    call = Rehearsal(santa, at=f"{MONDAY}T10:00")
    call.press("1")
    assert call.press("1") == ["Sorry, nobody is in that queue today. Happy Christmas!"]


def test_what_is_no_queue_is_asked_for_again_four_times_in_all() -> None:
    call = ring()
    call.press("1")
    assert call.press("9") == [QUEUES]
    assert call.stay_silent() == [QUEUES]
    assert call.say("presents") == [QUEUES]
    assert call.press("0") == ["Sorry, key not recognised."]
    assert call.ended


def test_the_fourth_key_is_still_good() -> None:
    call = ring()
    call.press("1")
    for _ in range(3):
        call.press("9")
    assert call.press("1") == ["One moment, I am putting you through."]


def test_key_2_takes_a_message() -> None:
    call = ring()
    assert call.press("2") == ["Please leave your message after the tone."]
    assert isinstance(call.listening, Message)
    assert call.leave_recording() == ["Thank you. Goodbye!"]
    assert call.ended


def test_a_message_that_nobody_left_is_told() -> None:
    call = ring(f"{MONDAY}T20:00")
    assert call.stay_silent() == ["We did not hear anything.", "Thank you. Goodbye!"]


@pytest.mark.parametrize("key", ["3", "0", "#", None])
def test_anything_else_is_answered_with_happy_christmas(key: str | None) -> None:
    call = ring()
    assert (call.stay_silent() if key is None else call.press(key)) == ["Happy Christmas!"]
    assert call.ended


@pytest.mark.parametrize("keys", ["", "1", "11", "2"])
def test_a_caller_may_hang_up_anywhere(keys: str) -> None:
    call = ring()
    for key in keys:
        call.press(key)
    assert call.hang_up() == []
    assert call.error == "CallerLeft: the caller hung up"


def test_arguments_of_another_kind_are_refused() -> None:
    with pytest.raises(Exception, match="queues: dict"):
        Rehearsal(santa, args={"queues": "+15550111"})
