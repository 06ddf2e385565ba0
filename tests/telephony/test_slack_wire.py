"""What Slack sends, read: who speaks to us, where, and what they typed."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import RefusedError
from telephony.slack_typed import plain
from telephony.slack_wire import Envelope, Interaction, Me, decode, press, read, utterance

ME = Me("T1", "U0BOT")
MESSAGE = {"type": "message", "channel": "C1", "channel_type": "channel", "user": "U0ADA", "text": "hi", "ts": "17.000100"}


def said(**changes):
    return utterance({**MESSAGE, **changes}, ME)


@pytest.mark.parametrize(
    ("changes", "session", "opens"),
    [
        ({"channel": "D1", "channel_type": "im"}, "slack:T1:D1", True),
        ({"channel": "D1", "channel_type": None}, "slack:T1:D1", True),
        ({"channel": "D1", "channel_type": "im", "thread_ts": "16.000001"}, "slack:T1:D1:16.000001", True),
        ({"type": "app_mention", "text": "<@U0BOT> hi"}, "slack:T1:C1:17.000100", True),
        ({"text": "hi <@U0BOT>"}, "slack:T1:C1:17.000100", True),
        ({"text": "hi <@U0BOT>", "thread_ts": "16.000001"}, "slack:T1:C1:16.000001", True),
        ({"thread_ts": "16.000001"}, "slack:T1:C1:16.000001", False),
        ({"thread_ts": "16.000001", "subtype": "thread_broadcast"}, "slack:T1:C1:16.000001", False),
        ({"channel": "G1", "channel_type": "mpim", "text": "<@U0BOT>"}, "slack:T1:G1:17.000100", True),
    ],
)
def test_a_message_belongs_to_the_session_of_its_thread(changes, session, opens):
    found = said(**changes)
    assert (found.session, found.opens) == (session, opens)
    assert found.id == f"T1/{found.channel}/17.000100"


def test_twins_have_one_id_and_one_text():
    twins = said(text="<@U0BOT> hi there"), said(type="app_mention", channel_type=None, text="<@U0BOT> hi there")
    assert twins[0] == twins[1]
    assert twins[0].text == "hi there"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"channel": "D1", "channel_type": "im", "user": "U0BOT"},
        {"channel": "D1", "channel_type": "im", "bot_id": "B1"},
        {"channel": "D1", "channel_type": "im", "user": None},
        {"channel": "D1", "channel_type": "im", "user": "USLACKBOT"},
        {"channel": "D1", "channel_type": "im", "hidden": True},
        *({"channel": "D1", "channel_type": "im", "subtype": subtype} for subtype in (
            "bot_message", "message_changed", "message_deleted", "message_replied", "channel_join", "channel_topic", "tombstone", "something_new",
        )),
        {"type": "reaction_added"},
        {"type": "app_home_opened", "channel": "D1"},
    ],
)  # fmt: skip
def test_what_is_not_for_us_is_nothing(changes):
    assert said(**changes) is None


def test_files_are_named():
    found = said(channel="D1", channel_type="im", subtype="file_share", text="", files=[{"id": "F1", "name": "a\x00b.pdf"}, {"id": "F2"}])
    assert found.files == ("ab.pdf", "a file")


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("a &amp;lt; b &lt;c&gt;", "a &lt; b <c>"),
        ("<@U0BOT> hello", "hello"),
        ("ask <@U0BOB> in <#C2|random>", "ask @U0BOB in #random"),
        ("<!here> <!subteam^S1|@team> <!channel>", "@here @team @channel"),
        ("see <https://x.y|the page> or <https://x.y>", "see the page (https://x.y) or https://x.y"),
        ("<mailto:a@x.y|a@x.y>", "a@x.y"),
        ("tab\tand\nline \x07\x00\x9b", "tab\tand\nline"),
        ("<unclosed", "<unclosed"),
    ],
)
def test_what_was_typed_is_told_without_slacks_markup(typed, text):
    assert plain(typed, "U0BOT") == text


@pytest.mark.parametrize(
    "changes",
    [
        {"channel": "../../etc", "channel_type": "im"},
        {"channel": "D1:x", "channel_type": "im"},
        {"ts": "now", "text": "<@U0BOT>"},
        {"ts": "1.1\n", "text": "<@U0BOT>"},
        {"thread_ts": "x"},
        {"user": "u/1", "text": "<@U0BOT>"},
        {"ts": 17.1},
        {"ts": None},
        {"text": ["hi"]},
        {"files": "a"},
        {"channel": {"id": "C1"}},
        {"type": 3},
    ],
)
def test_what_is_not_as_slack_sends_it_is_refused(changes):
    with pytest.raises(RefusedError) as caught:
        said(**changes)
    assert caught.value.status == 400


KEY = "slack:T1:D1/1700000000000/4.0/abcd1234"
PRESS = {
    "type": "block_actions", "team": {"id": "T1"}, "user": {"id": "U0ADA"}, "container": {"channel_id": "D1", "message_ts": "17.000200"},
    "message": {"text": "Tea?", "blocks": []}, "actions": [
        {"type": "button", "action_id": "1", "block_id": f"{KEY}~0", "value": "2", "text": {"type": "plain_text", "text": "No"}}],
}  # fmt: skip


def pressed(container=None, **action):
    changed = {**PRESS, "container": {**PRESS["container"], **(container or {})}, "actions": [{**PRESS["actions"][0], **action}]}
    return press(read(changed, Interaction), ME)


def test_a_button_names_its_question():
    found = pressed()
    assert (found.session, found.place, found.index, found.value, found.label) == ("slack:T1:D1", (4, 0), 1, "2", "No")
    assert (found.key, found.thread) == (KEY, None)


def test_a_button_of_a_part_in_a_thread_is_told_with_both():
    found = pressed({"channel_id": "C1"}, block_id="slack:T1:C1:16.000001/17/4.0/abcd#2~25")
    assert (found.key, found.thread) == ("slack:T1:C1:16.000001/17/4.0/abcd#2", "16.000001")


@pytest.mark.parametrize(
    "action",
    [
        {"block_id": "another app's"},
        {"block_id": ""},
        {"block_id": "slack:T2:D1/17/4.0/abcd~0"},
        {"block_id": "slack:T1:D12/17/4.0/abcd~0"},
        {"block_id": "phone:CA1/17/4.0/abcd~0"},
        {"action_id": "x"},
        {"action_id": "²"},
        {"type": "static_select"},
    ],
)
def test_a_button_that_is_not_ours_is_nothing(action):
    assert pressed(**action) is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=10)
    | st.sampled_from(["message", "im", "D1", "1.1"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*MESSAGE, *PRESS, "event", "files", "id"]), inner, max_size=6)
    ),
    max_leaves=12,
)


@given(JSON)
def test_whatever_comes_is_read_or_refused(value):
    for kind in (Envelope, Interaction):
        with suppress(RefusedError):  # and nothing else
            found = read(value, kind)
            utterance(found.event, ME) if kind is Envelope else press(found, ME)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'"\\ud800"', b"nul", b"{'a': 1}", b'{"a": 1} x'])
def test_what_is_no_json_is_refused(body):
    with pytest.raises(RefusedError, match="no JSON"):
        decode(body)
