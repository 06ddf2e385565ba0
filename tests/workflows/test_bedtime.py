"""Bedtime, rehearsed: who is called, how often, and how it ends."""

import pytest

from workflows import TerminalError
from workflows.bedtime import BELL, HELP_TEXT, QUESTION, bedtime, named
from workflows.outputs import Ssml
from workflows.reminders import ASK_PERMISSION, remind
from workflows.testing import Rehearsal


def rehearsal(boys=("Ben", "Max"), effect="set", **more):
    return Rehearsal(bedtime, channel="alexa", args={"boys": list(boys), **more}, effects={remind: effect})


def test_the_boys_of_the_line_are_called_by_name_with_a_bell_and_emphasis():
    evening = rehearsal()
    called, question = evening.said[0].markup, evening.said[1]
    assert "Ben and Max" in called
    assert BELL in called
    assert '<emphasis level="strong">get ready for bed!</emphasis>' in called
    assert question == QUESTION


def test_names_are_escaped_in_markup():
    assert "Tom &amp; Jerry&lt;3" in rehearsal(["Tom & Jerry<3"]).said[0].markup


@pytest.mark.parametrize(("boys", "called"), [(["Ben"], "Ben"), (["Ben", "Max"], "Ben and Max"), (["A", "B", "C"], "A, B and C")])
def test_names_are_said_in_a_row(boys, called):
    assert named(boys) == called


def test_yes_ends_it():
    evening = rehearsal()
    assert evening.say("yes") == ["Well done. Good night, Ben and Max!"]
    assert evening.ended


def test_no_calls_them_again_and_help_explains():
    evening = rehearsal()
    assert "To bed, now, please!" in evening.say("not yet")[0].markup
    assert evening.say("help") == [HELP_TEXT, QUESTION]
    assert not evening.ended


def test_whoever_is_not_understood_three_times_is_let_go():
    evening = rehearsal()
    evening.say("hm")
    evening.say("hm")
    evening.say("hm")
    assert evening.ended


def test_stop_ends_it():
    evening = rehearsal()
    assert evening.hang_up() == []
    assert evening.ended


@pytest.mark.parametrize(
    ("slots", "minutes", "said"),
    [
        ({}, 10, "10 minutes"), ({"minutes": "20"}, 20, "20 minutes"), ({"minutes": "1"}, 1, "1 minute"), ({"minutes": "0"}, 1, "1 minute"),
        ({"minutes": "99999"}, 10, "10 minutes"), ({"minutes": "9999"}, 180, "180 minutes"), ({"minutes": "?"}, 10, "10 minutes"),
    ],
)  # fmt: skip
def test_a_snooze_sets_a_reminder_for_so_many_minutes(slots, minutes, said):
    asked = []

    def set_it(text, seconds, locale):
        asked.append((text, seconds, locale))
        return "set"

    evening = Rehearsal(bedtime, channel="alexa", args={"boys": ["Ben"]}, effects={remind: set_it})
    assert evening.intend("SnoozeIntent", **slots) == [f"All right, I will remind you in {said}."]
    assert asked == [("Ben, get ready for bed!", minutes * 60, "en-GB")]
    assert evening.ended


def test_the_line_says_how_long_a_snooze_is():
    evening = rehearsal(snooze=5, effect="set")
    assert evening.say("later") == ["All right, I will remind you in 5 minutes."]


def test_without_consent_it_is_asked_for_with_a_card():
    evening = rehearsal(effect="forbidden")
    assert evening.say("snooze") == [ASK_PERMISSION, "Then ask me again."]
    assert evening.ended


def test_where_no_reminders_are_it_says_so_and_goes_on():
    evening = rehearsal(effect=TerminalError("there are no reminders here"))
    assert evening.say("snooze") == ["Sorry, I cannot set a reminder here.", QUESTION]
    assert not evening.ended


@pytest.mark.parametrize("channel", ["alexa", "phone", "web"])
def test_it_works_wherever_somebody_can_listen(channel):
    evening = Rehearsal(bedtime, channel=channel)
    assert isinstance(evening.said[0], Ssml)
    assert "boys, <emphasis" in evening.said[0].markup
    assert evening.say("They are.") == ["Well done. Good night, boys!"]
