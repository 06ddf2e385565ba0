"""The binding of `think`: Chat Completions, streamed, by the `openai` client, from OpenAI or any compatible server.

The client's own retries are off, for the runner of effects knows the budget and honours Retry-After; the time that a whole request may take
is the runner's, too. What is left to us is to tell what may pass from what will not, and to notice a stream that broke off.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import urlsplit

from pydantic import SecretStr

from handlers.bindings.answer import Answer
from handlers.bindings.breaker import Breaker
from workflows.errors import EffectError, TerminalError, TransientError
from workflows.think import ChatMessage, Thought, ToolSpec

if TYPE_CHECKING:  # importing it takes more than a second
    from openai import AsyncOpenAI

MODEL = "gpt-4.1-mini"
"""Asked for when OPENAI_MODEL is not set: small, takes tools, and begins to answer without a pause for reasoning."""

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 22.0
"""How long a server may say nothing at all, before its answer or in the middle of it: less than the budget of the effect. Models that
reason take their time before the first word."""

TAIL_SECONDS = 2.0
"""How long the usage is waited for when the answer is complete."""

LONGEST_REASON = 300
"""Characters of a server's own error message that are passed on."""

PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS})
"""Statuses below 500 that may pass."""

OUT_OF_QUOTA = "insufficient_quota"
"""The code of a 429 that no waiting mends: https://platform.openai.com/docs/guides/error-codes."""


LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""Hosts that no proxy of the environment could reach for us."""


class ModelSettings(Protocol):
    """What this binding needs of the settings."""

    @property
    def openai_api_key(self) -> SecretStr | None:
        """The key; servers of one's own may need none."""
        ...

    @property
    def openai_base_url(self) -> str | None:
        """Where the server is, up to and with `/v1`."""
        ...

    @property
    def openai_model(self) -> str | None:
        """The model to ask for."""
        ...


class Think:
    """Asks the model; one client for all sessions, closed with the server.

    With a key it is made before the server listens: its library takes more than a second to import, and ten times as long while others want
    the interpreter. Without one it is made when it is first needed, for the demo model may never be asked.
    """

    def __init__(self, settings: ModelSettings) -> None:
        self._key = settings.openai_api_key
        self._base_url = settings.openai_base_url or "https://api.openai.com/v1"
        self._host = _host(self._base_url)
        self._model = settings.openai_model or MODEL
        self._client: asyncio.Task[AsyncOpenAI] | None = None
        self._breaker = Breaker("the model", time.monotonic)

    async def __aenter__(self) -> Self:
        if self._key is not None:
            await self._connected()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._client is not None:
            with suppress(Exception):  # it was never made
                await (await self._client).close()

    async def __call__(self, messages: list[ChatMessage], tools: list[ToolSpec], emit: Callable[[str], None] = lambda _: None) -> Thought:
        """See `workflows.think.think`."""
        with self._breaker.attempt():
            try:
                return await self._ask(await self._connected(), messages, tools, emit)
            except EffectError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a server makes of the client is told in our words
                raise self._told(error) from None  # the cause holds the request, and so the key

    async def _connected(self) -> "AsyncOpenAI":
        """The client; importing its library is left to a thread."""
        if self._client is None:
            self._client = asyncio.create_task(self._connect())
        return await asyncio.shield(self._client)

    async def _connect(self) -> "AsyncOpenAI":
        openai = await asyncio.to_thread(_imported)
        timeout = openai.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
        client: AsyncOpenAI = openai.AsyncOpenAI(
            api_key=self._key.get_secret_value() if self._key is not None else "none",
            base_url=self._base_url,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(
                timeout=timeout,
                trust_env=self._host not in LOOPBACK,
                # To make a request and to send it takes half a millisecond each, and the answer's head no less: others come between.
                event_hooks={"request": [_pause], "response": [_pause]},
            ),
        )
        return client

    async def _ask(self, client: "AsyncOpenAI", messages: list[ChatMessage], tools: list[ToolSpec], emit: Callable[[str], None]) -> Thought:
        request: dict[str, Any] = {"model": self._model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
        if tools:  # an empty list is refused
            request["tools"] = tools
        answer = Answer(emit)
        # Not by `chat.completions.create`: it walks through messages and tools to rename what has no other name, and makes models of what
        # comes, so each step keeps the loop twice as long.
        stream = await client.post(
            "/chat/completions", body=request, cast_to=object, stream=True, stream_cls=_imported().AsyncStream[object]
        )
        async with stream:
            chunks = aiter(stream)
            while not answer.finished and (chunk := await anext(chunks, None)) is not None:
                answer.take(chunk)
                # An answer that comes in one piece is many chunks, a fifth of a millisecond each: others come between.
                await asyncio.sleep(0)
            if answer.finished:
                await _take_rest(answer, chunks)
        return answer.thought()

    def _told(self, error: Exception) -> EffectError:
        """A foreign error in words that may be recorded, and whether it may pass."""
        import openai  # noqa: PLC0415 - a second; it is there by now

        server = f"the model server {self._host}"
        match error:
            case openai.APIStatusError(status_code=status, code=code):
                text = f"{server} answered with an error: {self._reason(error)}"
                if (status not in PASSING and status < HTTPStatus.INTERNAL_SERVER_ERROR) or code == OUT_OF_QUOTA:
                    return TerminalError(f"{text}. Check OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_MODEL.")
                return TransientError(text, retry_after(error.response.headers))
            case openai.APITimeoutError():
                return TransientError(f"{server} said nothing for too long")
            case openai.APIConnectionError():
                return TransientError(f"{server} cannot be reached, or the connection broke: {type(error.__cause__).__name__}")
            case openai.APIError():
                return TransientError(f"{server} broke off with an error: {self._reason(error)}")
            case _:
                return TransientError(f"{server} sent what is no answer: {type(error).__name__}: {self._reason(error)}")

    def _reason(self, error: Exception) -> str:
        """What the server says itself; some repeat the key."""
        text = " ".join(str(error).split()).rstrip(".")
        if self._key is not None:
            text = text.replace(self._key.get_secret_value(), "(hidden)")
        return text[:LONGEST_REASON]


async def _take_rest(answer: Answer, chunks: AsyncIterator[object]) -> None:
    """Take the usage, if it comes; the answer itself is complete, and is not lost whatever happens now."""
    try:
        async with asyncio.timeout(TAIL_SECONDS):
            async for chunk in chunks:
                answer.take(chunk)
    except Exception:  # noqa: BLE001, S110 - a late or broken tail, which nobody needs
        pass


def retry_after(headers: Any) -> float | None:
    """Seconds that a server asks us to wait, if it does: a number or a date (RFC 9110, 10.2.3), or OpenAI's own milliseconds."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        if (value := headers.get(name)) is None:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, OverflowError):
                continue
        if not math.isnan(seconds):
            return max(seconds, 0.0)
    return None


async def _pause(_: object) -> None:
    await asyncio.sleep(0)


def _host(url: str) -> str:
    """The host of a URL, for errors; what is no URL is not shown, for there may be a password in it."""
    try:
        return urlsplit(url).hostname or "of OPENAI_BASE_URL"
    except ValueError:
        return "of OPENAI_BASE_URL"


def _imported() -> Any:
    import openai  # noqa: PLC0415 - more than a second

    return openai
