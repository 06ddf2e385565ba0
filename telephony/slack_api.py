"""Slack's Web API: one call, and what became of it.

The client is `slack_sdk`'s, with its own retries off: a call that is repeated blindly posts twice. So a failure is told apart by whether
the call may have been done, and whether it ever will be: `SlackBusyError`, `SlackTroubleError` or `SlackRefusedError`.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from telephony.errors import SlackBusyError, SlackRefusedError, SlackTroubleError
from telephony.slack_wire import Me

CALL_SECONDS = 10.0

BUSY = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
TROUBLE = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"})
"""Errors that pass; "some aspect of the operation may have succeeded", as the API's documentation has it."""

MOST_DIRECT = 10_000
"""Direct messages whose channels are remembered."""

USUAL_PAUSE = 30.0
"""Seconds to wait where Slack asks for a pause and does not say for how long."""

TOKEN = "SLACK_BOT_TOKEN does not open the workspace: install the app again, and set the Bot User OAuth Token that Slack shows then"  # noqa: S105
REMEDIES = {
    "account_inactive": TOKEN,
    "invalid_auth": TOKEN,
    "not_authed": TOKEN,
    "token_expired": TOKEN,
    "token_revoked": TOKEN,
    "internal_error": "Slack has failed at this message again and again: see its status page, and report it with the text",
    "channel_not_found": "the app cannot see this conversation: invite it there, or see whether it was deleted",
    "is_archived": "the channel is archived: bring it back, or leave it",
    "missing_scope": "the app lacks a scope: install it anew with docs/slack-manifest.yaml",
    "msg_too_long": "the message is too long for Slack, which should not be: report it with the text",
    "msg_blocks_too_long": "the message is too long for Slack, which should not be: report it with the text",
    "not_in_channel": "invite the app into the channel: /invite @its-name",
    "restricted_action": "the workspace does not let the app post there: ask one of its administrators",
}


class SlackApi:
    """The Web API at `url`, for the holder of the token. Opened for the life of a server; its `client` has the API's methods."""

    def __init__(self, url: str, token: Callable[[], str]) -> None:
        self._url = url
        self._token = token
        self._session: aiohttp.ClientSession | None = None
        self._me: Me | None = None
        self._asked: asyncio.Task[Me] | None = None
        self._direct: OrderedDict[str, str] = OrderedDict()

    async def open(self) -> None:
        """Keep connections from now on."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_SECONDS))

    async def close(self) -> None:
        """Let them go."""
        if self._asked is not None:
            self._asked.cancel()
            await asyncio.gather(self._asked, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    @cached_property
    def client(self) -> AsyncWebClient:
        """Made when it is needed, since a token is: a server without Slack has none. May raise `SettingsError`."""
        quiet = logging.getLogger("slack_sdk.web")
        quiet.setLevel(logging.WARNING)  # it asks for this very logger's level, and else puts every call into words that nobody logs
        return AsyncWebClient(self._token(), self._url, timeout=round(CALL_SECONDS), session=self._session, logger=quiet, retry_handlers=[])

    async def call(self, request: Callable[[AsyncWebClient], Awaitable[AsyncSlackResponse]]) -> dict[str, Any]:
        """Make a call, once; gives what Slack says.

        Raises `SlackBusyError` (not done: it came too early), `SlackTroubleError` (done or not, and later it will be), or
        `SlackRefusedError` (not done, and never will be as it is).
        """
        try:
            response = await request(self.client)
        except SlackApiError as error:
            raise _told(error) from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, AttributeError) as error:  # the last two: what came is no answer
            raise SlackTroubleError(f"{self._url}: {type(error).__name__}: {error}") from None
        data = response.data
        return data if isinstance(data, dict) else {}

    async def me(self) -> Me:
        """Who we are in the workspace, asked once. Raises as `call` does."""
        if self._me is None:
            if self._asked is None or self._asked.done():
                self._asked = asyncio.create_task(self._introduce())
            return await asyncio.shield(self._asked)
        return self._me

    async def direct_message(self, user: str) -> str:
        """The channel of the direct messages with a person, asked once. Raises as `call` does."""
        found = self._direct.get(user)
        if found is None:
            said = await self.call(lambda client: client.conversations_open(users=user))
            try:
                found = self._direct[user] = str(said["channel"]["id"])
            except (KeyError, TypeError):
                raise SlackTroubleError("conversations.open does not name a channel") from None
            if len(self._direct) > MOST_DIRECT:
                self._direct.popitem(last=False)
        return found

    async def _introduce(self) -> Me:
        said = await self.call(lambda client: client.auth_test())
        try:
            self._me = Me(str(said["team_id"]), str(said["user_id"]))
        except KeyError as error:
            raise SlackTroubleError(f"auth.test does not name {error}") from None
        return self._me


def _told(error: SlackApiError) -> SlackBusyError | SlackTroubleError | SlackRefusedError:
    response = error.response
    status = int(getattr(response, "status_code", None) or getattr(response, "status", None) or 0)
    data = getattr(response, "data", None)
    code = str(data.get("error") or "") if isinstance(data, dict) else ""
    if status == 429 or code in BUSY:  # noqa: PLR2004 - Too Many Requests
        return SlackBusyError(code or "ratelimited", _seconds(getattr(response, "headers", None)))
    if not code or code in TROUBLE or status >= 500:  # noqa: PLR2004 - a server's error
        return SlackTroubleError(f"status {status} {code}".rstrip(), code)
    return SlackRefusedError(code, remedy(code))


def remedy(code: str) -> str:
    """What to do about an error that does not pass."""
    return REMEDIES.get(code, f"see https://docs.slack.dev/reference/methods for what {code} means there")


def _seconds(headers: Any) -> float:
    try:
        found = {str(name).lower(): value for name, value in headers.items()}
        seconds = float(found["retry-after"])
    except (AttributeError, KeyError, ValueError, TypeError):
        return USUAL_PAUSE
    return min(max(seconds, 0.0), 3600.0) if seconds == seconds else USUAL_PAUSE  # noqa: PLR0124 - no number is no pause
