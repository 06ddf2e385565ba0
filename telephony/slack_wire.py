"""Slack's payloads, read with suspicion: what somebody said, which button they pressed, which command they gave.

They are read leniently where Slack adds fields, and strictly where we use them: whatever is not as Slack sends it is a `RefusedError`.
Contract: rows SL3 to SL5 of `docs/channels.md`; https://docs.slack.dev/reference/events/message.
"""

import re
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec

from telephony.errors import RefusedError
from telephony.slack_typed import plain, visible

KEPT_SUBTYPES = frozenset({"", "file_share", "thread_broadcast", "me_message"})
"""Of messages: what people write. All others are news about messages and channels, or the words of bots (SL4)."""

_ID = re.compile(r"[A-Z][A-Z0-9]{1,31}")
_TS = re.compile(r"[0-9]{1,12}\.[0-9]{1,9}")
_QUESTION = re.compile(
    r"(?P<session>slack:[A-Za-z0-9:.]+)/(?P<gen>[0-9]{1,16})/(?P<position>[0-9]{1,16})\.(?P<ordinal>[0-9]{1,7})/[^~]*~[0-9]+"
)

T = TypeVar("T")


class Me(msgspec.Struct, frozen=True):
    """Who we are in the workspace: its id, and our app's user there."""

    team: str
    user: str


# -- as it comes ---------------------------------------------------------------------------------------------------------------------------


class Named(msgspec.Struct, frozen=True):
    """Something with an id, or a file with a name."""

    id: str = ""
    name: str | None = None


class Message(msgspec.Struct, frozen=True):
    """An event `message` or `app_mention`."""

    type: str
    channel: str
    ts: str
    user: str | None = None
    text: str | None = None
    subtype: str | None = None
    channel_type: str | None = None
    thread_ts: str | None = None
    bot_id: str | None = None
    hidden: bool = False
    files: list[Named] | None = None


class Kind(msgspec.Struct, frozen=True):
    """Any event: what it is."""

    type: str


class Authorization(msgspec.Struct, frozen=True):
    """An installation of the app for which an event is meant."""

    team_id: str | None = None


class Envelope(msgspec.Struct, frozen=True):
    """What the Events API posts."""

    type: str
    team_id: str = ""
    challenge: str = ""
    event: dict[str, Any] = {}
    authorizations: list[Authorization] = []

    @property
    def team(self) -> str:
        """Whose app it is meant for. In channels that workspaces share, it may come of another's than `team_id`."""
        return next((each.team_id for each in self.authorizations if each.team_id), self.team_id)


class Text(msgspec.Struct, frozen=True):
    """A text object of a block."""

    text: str = ""


class Action(msgspec.Struct, frozen=True):
    """A pressed button."""

    type: str
    action_id: str = ""
    block_id: str = ""
    value: str = ""
    text: Text = Text()


class Container(msgspec.Struct, frozen=True):
    """Where the button is."""

    channel_id: str = ""
    message_ts: str = ""
    thread_ts: str | None = None


class Shown(msgspec.Struct, frozen=True):
    """The message with the button."""

    text: str = ""
    blocks: list[dict[str, Any]] = []


class Interaction(msgspec.Struct, frozen=True):
    """What the interactivity endpoint is posted."""

    type: str
    team: Named | None = None
    user: Named = Named()
    container: Container = Container()
    message: Shown = Shown()
    actions: list[Action] = []


class Command(msgspec.Struct, frozen=True):
    """A slash command."""

    team_id: str
    user_id: str
    trigger_id: str
    text: str = ""


# -- as it is meant ------------------------------------------------------------------------------------------------------------------------


class Utterance(msgspec.Struct, frozen=True):
    """What a person said to us, or where we may listen.

    `thread` is None in a direct message outside threads. `opens`: it is meant for us for certain (a mention, a direct message), so it
    begins a conversation where there is none.
    """

    team: str
    channel: str
    thread: str | None
    ts: str
    user: str
    text: str
    files: tuple[str, ...]
    opens: bool

    @property
    def session(self) -> str:
        """The key of its session (SL5)."""
        return session_key(self.team, self.channel, self.thread)

    @property
    def id(self) -> str:
        """The dedupe id: the same for the twins `message` and `app_mention`, which differ in their event's id (SL3)."""
        return f"{self.team}/{self.channel}/{self.ts}"


class Press(msgspec.Struct, frozen=True):
    """A button that was pressed: of which question of which session, what it stands for, and what to show it as.

    `key` is that of the message, `place` the number of the output that asked. `question` names the question, `index` the button in it.
    """

    session: str
    key: str
    question: str
    place: tuple[int, int]
    index: int
    value: str
    label: str
    user: str
    channel: str
    thread: str | None
    ts: str
    message: Shown


def is_id(text: str) -> bool:
    """Whether this may be the id of a person, a channel or a workspace."""
    return _ID.fullmatch(text) is not None


def session_key(team: str, channel: str, thread: str | None) -> str:
    """The key of the session in a channel's thread, or in a direct message."""
    return f"slack:{team}:{channel}" + ("" if thread is None else f":{thread}")


def decode(body: bytes | str) -> Any:
    """Read JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "The body is no JSON.") from None


def read(value: Any, kind: type[T]) -> T:
    """What was decoded, as one of the kinds above."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"This is no {kind.__name__.lower()} as Slack sends them: {error}.") from None


def utterance(event: dict[str, Any], me: Me) -> Utterance | None:
    """What a person said in an event, if there is somebody and it may be for us (SL4, SL5)."""
    if read(event, Kind).type not in ("message", "app_mention"):
        return None
    message = read(event, Message)
    if (
        (message.subtype or "") not in KEPT_SUBTYPES
        or message.hidden
        or message.bot_id is not None  # ours, or another's: two bots would never stop answering each other
        or not message.user
        or message.user in (me.user, "USLACKBOT")
    ):
        return None
    for id_, pattern in ((message.channel, _ID), (message.user, _ID), (message.ts, _TS), (message.thread_ts or message.ts, _TS)):
        if not pattern.fullmatch(id_):
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"{id_[:40]!r} is no id as Slack gives them.")
    direct = message.channel_type == "im" or (message.channel_type is None and message.channel.startswith("D"))
    mentioned = message.type == "app_mention" or f"<@{me.user}>" in (message.text or "")
    if not (direct or mentioned or message.thread_ts):
        return None  # somebody says something to somebody else
    return Utterance(
        me.team,
        message.channel,
        message.thread_ts if direct else message.thread_ts or message.ts,
        message.ts,
        message.user,
        plain(message.text or "", me.user),
        tuple(visible(file.name or "a file") for file in message.files or ()),
        direct or mentioned,
    )


def press(interaction: Interaction, me: Me) -> Press | None:
    """The button that was pressed, if it is one of our questions'."""
    if interaction.type != "block_actions" or not interaction.actions:
        return None
    action, container = interaction.actions[0], interaction.container
    found = _QUESTION.fullmatch(action.block_id)
    if action.type != "button" or found is None or not action.action_id.isdecimal() or not action.action_id.isascii():
        return None
    session = session_key(me.team, container.channel_id, None)
    if found["session"] != session and not found["session"].startswith(session + ":"):
        return None
    if not _TS.fullmatch(container.message_ts) or not _ID.fullmatch(interaction.user.id) or len(action.action_id) > len("999"):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "This is no button as Slack sends them.")
    place = int(found["position"]), int(found["ordinal"])
    return Press(
        found["session"],
        action.block_id.partition("~")[0],
        f"{found['gen']}/{place[0]}.{place[1]}",
        place,
        int(action.action_id),
        action.value,
        visible(action.text.text) or action.value,
        interaction.user.id,
        container.channel_id,
        found["session"].removeprefix(session).removeprefix(":") or None,
        container.message_ts,
        interaction.message,
    )
