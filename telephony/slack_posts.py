"""Messages with keys: posted, changed, deleted, and found again.

The key of what a message says stands in its metadata, which nobody sees (https://docs.slack.dev/messaging/message-metadata). All calls are
made once, and raise as `SlackApi.call` does.
"""

import logging
import re
from typing import Any

import msgspec

from handlers.deliveries import Place
from telephony.errors import SlackRefusedError, SlackTroubleError
from telephony.slack_api import SlackApi
from telephony.slack_blocks import Look
from telephony.slack_text import escape

logger = logging.getLogger(__name__)

EVENT = "switchboard"
"""The type of the metadata."""

PAGE = 200
MOST_PAGES = 20
"""Of a conversation, when a message is looked for: 4,000 messages since the turn began."""

BEFORE_SECONDS = 3_600
"""How much earlier than the opening a look begins where no message of Slack's own clock began the turn."""

_TS = re.compile(r"[0-9]{1,12}\.[0-9]{1,9}")


class Spot(msgspec.Struct, frozen=True):
    """Where in Slack: a channel or direct message, and the thread if it is one."""

    channel: str
    thread: str | None
    since: str

    @staticmethod
    def of(place: Place, turn: str) -> "Spot":
        """The spot of a session, with the earliest time at which anything of this turn can have been posted."""
        facts = place.opened.facts
        begun = turn.rpartition("/")[2]
        since = begun if _TS.fullmatch(begun) else f"{max(place.gen / 1000 - BEFORE_SECONDS, 0):.6f}"
        return Spot(str(facts["channel"]), facts.get("thread"), since)


class SlackPosts:
    """What is done with messages, each by one call (finding takes as many as there are pages)."""

    def __init__(self, api: SlackApi) -> None:
        self._api = api

    async def send(self, spot: Spot, look: Look, key: str) -> str:
        """Post a message of that key; gives its ts."""
        said = await self._api.call(
            lambda client: client.chat_postMessage(
                channel=spot.channel, thread_ts=spot.thread, text=look.text, blocks=list(look.blocks) or None, metadata=_metadata(key),
                parse="none", link_names=False, unfurl_links=False, unfurl_media=False,
            )
        )  # fmt: skip
        return str(said.get("ts", ""))

    async def update(self, spot: Spot, ts: str, look: Look, key: str) -> str:
        """Make another message, of that key, of one that is there; gives its ts."""
        await self._api.call(
            lambda client: client.chat_update(
                channel=spot.channel,
                ts=ts,
                text=look.text,
                blocks=list(look.blocks),
                metadata=_metadata(key),
                parse="none",
                link_names=False,
            )
        )
        return ts

    async def delete(self, spot: Spot, ts: str) -> None:
        """Delete a message of ours."""
        await self._api.call(lambda client: client.chat_delete(channel=spot.channel, ts=ts))

    async def whisper(self, channel: str, thread: str | None, user: str, text: str) -> None:
        """Show something to one person alone."""
        await self._api.call(
            lambda client: client.chat_postEphemeral(
                channel=channel, user=user, thread_ts=thread, text=escape(text), parse="none", link_names=False
            )
        )

    async def find(self, spot: Spot, key: str, placeholder: str = "") -> dict[str, str]:
        """Which of two keys are there, and their ts: the newest of each. Who finds the first looks no further for the other.

        Where Slack lets nobody look, nothing is found.
        """
        found: dict[str, str] = {}
        cursor: str | None = None
        try:
            me = await self._api.me()
            for _ in range(MOST_PAGES):
                page = await self._page(spot, cursor)
                for message in page.get("messages", ()):
                    seen = _key_in(message, me.user)
                    if seen and seen in (key, placeholder):
                        found[seen] = max(found.get(seen, ""), str(message["ts"]))
                cursor = (page.get("response_metadata") or {}).get("next_cursor")
                if not cursor or key in found:
                    break
        except SlackRefusedError as error:
            logger.warning("%s: cannot look what was posted there already, so it may be posted twice: %s", spot.channel, error)
        except (AttributeError, KeyError, TypeError) as error:
            raise SlackTroubleError(f"a page of {spot.channel} cannot be read: {error!r}") from None
        return found

    async def _page(self, spot: Spot, cursor: str | None) -> dict[str, Any]:
        if spot.thread is None:
            return await self._api.call(
                lambda client: client.conversations_history(
                    channel=spot.channel, oldest=spot.since, limit=PAGE, cursor=cursor, include_all_metadata=True
                )
            )
        thread = spot.thread
        return await self._api.call(
            lambda client: client.conversations_replies(
                channel=spot.channel, ts=thread, oldest=spot.since, limit=PAGE, cursor=cursor, include_all_metadata=True
            )
        )


def _key_in(message: dict[str, Any], user: str) -> str:
    """The key of a message, if it is one of ours."""
    payload = (message.get("metadata") or {}).get("event_payload") or {}
    return str(payload.get("key") or "") if message.get("user") == user else ""


def _metadata(key: str) -> dict[str, Any]:
    return {"event_type": EVENT, "event_payload": {"key": key}}
