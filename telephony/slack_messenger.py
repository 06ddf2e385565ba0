"""The messenger of Slack: brings what is said to its thread, once, in order, whatever Slack's API does meanwhile.

Each message carries in its metadata the key of what it says (https://docs.slack.dev/messaging/message-metadata), so a crash between post
and receipt, or an answer of Slack's that never came, is followed by a look at the conversation and not by a second post. What stands for an
answer that is still to come, the placeholder, has a key of its own; the answer's first piece takes its place.

What is asked of one channel goes out in order, whatever sessions it is of: see `slack_lanes.py`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from structlog.contextvars import bind_contextvars

from handlers.deliveries import Delivery, Expected, Place
from handlers.errands import is_notice
from telephony import slack_blocks as blocks
from telephony.errors import SlackBusyError, SlackError, SlackRefusedError, SlackTroubleError
from telephony.slack_api import SlackApi
from telephony.slack_blocks import Look
from telephony.slack_lanes import Lanes
from telephony.slack_posts import SlackPosts, Spot
from telephony.slack_text import beginning
from workflows.listen import Transfer
from workflows.outputs import Say

logger = logging.getLogger(__name__)

SPEAK_SECONDS = 1.5
"""Between two updates by partial words, of all sessions together: Slack takes about 50 updates a minute, and answers need some."""

FRESH_SECONDS, UPDATE_SECONDS = 1.0, 2.0
"""How long after words have come they may be shown, and how long that may take: less, together, than is left of a lease."""

SILENT_SECONDS = 5.0
"""After how long without a word nobody looks for more."""

LONG = 1_000
"""Characters that take about two milliseconds to be read as Markdown."""

FEW = 5
"""How often is tried what nobody would miss."""

GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "cant_delete_message"})
"""What stood there was deleted, or is out of reach: there is nothing to be replaced."""

MOST_STANDING = 10_000
"""Placeholders that are remembered; of those beyond, of sessions that others took over, nothing is replaced."""


class SlackMessenger:
    """See `handlers.deliveries.Messenger`.

    `declined` is told of the session and the turn whose words end with a hand-over to a telephone number. `sleep` waits; tests have less
    patience than Slack.
    """

    def __init__(
        self, api: SlackApi, declined: Callable[[str, str], None], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._posts = SlackPosts(api)
        self._declined = declined
        self._lanes = Lanes(sleep)
        self._standing: dict[str, str] = {}
        self._spoken: dict[str, tuple[str, float]] = {}
        self._expecting: set[str] = set()
        self._speaking: dict[str, asyncio.Task[None]] = {}
        self._speak_at = 0.0

    async def close(self) -> None:
        """Say nothing more of what is still being said."""
        speaking = list(self._speaking.values())
        for task in speaking:
            task.cancel()
        await asyncio.gather(*speaking, return_exceptions=True)

    # -- what the handler asks -------------------------------------------------------------------------------------------------------------

    async def post(self, delivery: Delivery, *, look: bool) -> dict[str, Any]:
        """See `Messenger`. The receipt: `ts` of the first message, and how many `parts` there are if it took several."""
        bind_contextvars(session=delivery.place.session, input=delivery.turn)  # for whatever is logged about it, below this, too
        spot, placeholder = Spot.of(delivery.place, delivery.turn), _key_of_placeholder(delivery.place, delivery.turn)
        shown = await _looks(delivery)
        receipt: dict[str, Any] = {} if len(shown) == 1 else {"parts": len(shown)}
        async with self._lanes.one(spot.channel):
            replaced = placeholder if delivery.answers else ""
            for number, each in enumerate(shown):
                try:
                    ts = await self._patiently(spot, each, blocks.part_key(delivery.key, number), replaced, look=look)
                except SlackRefusedError as error:
                    words = "Slack does not take what was said in %s: %s"
                    logger.error(words, spot.channel, error)  # noqa: TRY400 - a traceback would say nothing more
                    return receipt | {"error": error.code}
                replaced = ""
                receipt.setdefault("ts", ts)
        if delivery.prompt is not None and isinstance(delivery.prompt.listen, Transfer):
            self._declined(delivery.place.session, delivery.turn)
        return receipt

    async def expect(self, expected: Expected, *, look: bool) -> None:
        """See `Messenger`. It is tried once: an answer without a placeholder is an answer, too. Nobody waits for what an errand tells."""
        if is_notice(expected.turn):
            return
        spot, key = Spot.of(expected.place, expected.turn), _key_of_placeholder(expected.place, expected.turn)
        self._expecting.add(key)
        try:
            async with self._lanes.one(spot.channel):
                found = await self._posts.find(spot, key) if look else {}
                self._stand(key, found.get(key) or await self._posts.send(spot, Look(blocks.WAITING), key))
        except SlackError as error:
            logger.debug("%s: no placeholder: %s", expected.place.session, error)
            if look or isinstance(error, SlackTroubleError):
                self._stand(key, "")  # nobody knows
        finally:
            self._expecting.discard(key)
            self._show_words(spot, key)

    async def give_up(self, expected: Expected, *, failed: bool, look: bool) -> None:
        """See `Messenger`."""
        spot, key = Spot.of(expected.place, expected.turn), _key_of_placeholder(expected.place, expected.turn)
        async with self._lanes.one(spot.channel):
            with suppress(SlackRefusedError):
                if failed:
                    await self._patiently(spot, Look(blocks.SORRY), f"{key}/failed", key, look=look)
                else:
                    await self._remove(spot, key, look=look)

    def speak(self, expected: Expected, text: str) -> None:
        """See `Messenger`. What comes while an update is awaited goes out with the next."""
        key = _key_of_placeholder(expected.place, expected.turn)
        if self._standing.get(key) or key in self._expecting:
            self._spoken[key] = (text, asyncio.get_running_loop().time())
            self._show_words(Spot.of(expected.place, expected.turn), key)

    async def replace(self, channel: str, ts: str, look: Look, key: str) -> None:
        """Make another message of one that is there. It is tried a few times; raises `SlackError`."""
        spot = Spot(channel, None, "0")
        async with self._lanes.one(channel):
            await self._lanes.patiently(lambda: self._posts.update(spot, ts, look, key), FEW)

    async def whisper(self, channel: str, thread: str | None, user: str, text: str) -> None:
        """Tell one person something that the others do not see. It is tried a few times; raises `SlackError`."""
        async with self._lanes.one(channel):
            await self._lanes.patiently(lambda: self._posts.whisper(channel, thread, user, text), FEW)

    def _stand(self, placeholder: str, ts: str) -> None:
        """A placeholder is there; or, without a ts, it may be."""
        self._standing[placeholder] = ts
        if len(self._standing) > MOST_STANDING:
            del self._standing[next(iter(self._standing))]

    # -- patience --------------------------------------------------------------------------------------------------------------------------

    async def _patiently(self, spot: Spot, shown: Look, key: str, placeholder: str, *, look: bool) -> str:
        """Have a message stand there, in the place of a placeholder if there is one; gives its ts. Raises `SlackRefusedError`."""
        standing = self._standing.pop(placeholder, None) if placeholder else None
        self._spoken.pop(placeholder, None)
        doubt = look or standing == ""

        async def attempt() -> str:
            nonlocal doubt, standing
            if doubt:
                found = await self._posts.find(spot, key, placeholder)
                if key in found:
                    return found[key]
                standing = found.get(placeholder)
            try:
                if standing:
                    try:
                        return await self._posts.update(spot, standing, shown, key)
                    except SlackRefusedError as error:
                        if error.code not in GONE:
                            raise
                        standing = None
                return await self._posts.send(spot, shown, key)
            except SlackTroubleError:
                doubt = True  # it may be there: look before it is sent again
                raise

        return await self._lanes.patiently(attempt)

    async def _remove(self, spot: Spot, placeholder: str, *, look: bool) -> None:
        standing = self._standing.pop(placeholder, None)
        self._spoken.pop(placeholder, None)

        async def attempt() -> None:
            ts = (await self._posts.find(spot, placeholder)).get(placeholder) if look or standing == "" else standing
            if ts:
                await self._posts.delete(spot, ts)

        await self._lanes.patiently(attempt)

    # -- words that are still coming -------------------------------------------------------------------------------------------------------

    def _show_words(self, spot: Spot, key: str) -> None:
        """See to it that what is being said is shown, if there is a placeholder to show it in."""
        if key in self._expecting or key in self._speaking:
            return
        if not self._standing.get(key):
            self._spoken.pop(key, None)
        elif key in self._spoken:
            self._speaking[key] = task = asyncio.get_running_loop().create_task(self._speak(spot, key))
            task.add_done_callback(lambda _: self._speaking.pop(key, None))

    async def _speak(self, spot: Spot, key: str) -> None:
        """Update the placeholder by the words so far, until the answer takes its place, or no more words come.

        Only words that have just come are shown: who said them led the session then, and has not lost it since. Others might stand in the
        place of the answer that whoever leads now has posted.
        """
        loop = asyncio.get_running_loop()
        shown = ""
        while (spoken := self._spoken.get(key)) is not None and self._standing.get(key):
            text, at = spoken
            if loop.time() - at > SILENT_SECONDS:
                break
            if text == shown or loop.time() < self._speak_at or loop.time() - at > FRESH_SECONDS:
                await asyncio.sleep(max(min(self._speak_at - loop.time(), FRESH_SECONDS), SPEAK_SECONDS / 10))
                continue
            self._speak_at = loop.time() + SPEAK_SECONDS
            async with self._lanes.one(spot.channel):
                text, at = self._spoken.get(key, ("", 0.0))
                standing = self._standing.get(key)
                if not standing or loop.time() - at > FRESH_SECONDS:
                    continue
                shown = text
                try:
                    async with asyncio.timeout(UPDATE_SECONDS):
                        await self._posts.update(spot, standing, Look(beginning(text)), key)
                except SlackBusyError as error:
                    self._speak_at = loop.time() + error.seconds
                except (SlackError, TimeoutError):
                    break  # the answer will come whole
        self._spoken.pop(key, None)


async def _looks(delivery: Delivery) -> list[Look]:
    """What a delivery looks like; a long text is read beside the loop, on which others wait."""
    match delivery.output:
        case Say(text=text) if len(text) > LONG:
            return await asyncio.to_thread(blocks.looks, delivery)
        case _:
            return blocks.looks(delivery)


def _key_of_placeholder(place: Place, turn: str) -> str:
    return f"{place.session}/{place.gen}/{turn}/expected"
