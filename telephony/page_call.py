"""One call of the phone on the page. What the person does comes in by a socket, as a JSON object each; what happens goes out the same way.

The call is carried out by the simulated phone of `switchboard call`, here, in the server: so the page needs no secret. It is lost with its
socket when the server stops or the network breaks; then the page opens another one, maybe to another server, and goes on with the call from
the last turn that it has seen. Only a page that is closed hangs up.
"""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any, Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from handlers.errors import HandlerError
from switchboard import show
from switchboard.channel import Exchange
from switchboard.hidden import HIDDEN
from switchboard.replay import Replay
from telephony.errors import NobodyListensError, UnreachableError
from telephony.simulators import events
from telephony.simulators.document import DroppedError
from telephony.simulators.phone import Call, Phone
from telephony.simulators.webhook import Answer, Request, Webhooks

SPEED: Final = 4.0
"""How many times faster than life pauses pass, as at the terminal."""

PATIENCE: Final = 12
"""Tries of a webhook, four a second, before the page is told that nobody answers: it then asks another server, or this one later."""

LOOK_SECONDS: Final = 15.0

_TURN: Final = re.compile(r"[?&]turn=(\d+)")
_DULL: Final = ("City", "State", "Zip", "Country", "ApiVersion", "AccountSid", "Caller", "Called", "Direction")
"""Ends of the names of fields that say nothing new in any webhook."""

_SPOKEN: Final = ("Digits", "SpeechResult")
"""The fields with what the person presses or says."""

Party = Annotated[str, msgspec.Meta(pattern=r"^[\w+:.@-]{1,64}\Z")]


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="call"):
    """Call the number `to` as `caller`."""

    to: Party
    caller: Party


class GoOn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="go on"):
    """Go on with a call from a turn on; none was seen yet if it is None."""

    to: Party
    caller: Party
    sid: Annotated[str, msgspec.Meta(pattern=r"^CA[0-9a-f]{32}\Z")]
    turn: Annotated[int, msgspec.Meta(ge=0, lt=10**15)] | None


class Press(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="press"):
    """Press keys."""

    keys: Annotated[str, msgspec.Meta(pattern=r"^[0-9*#]{1,64}\Z")]


class Speak(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="say"):
    """Say something."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class Wait(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="wait"):
    """Say nothing until the phone gives up waiting."""


class HangUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="hang up"):
    """Hang up."""


class Unclear(msgspec.Struct, frozen=True):
    """It is none of these."""


Deed = Start | GoOn | Press | Speak | Wait | HangUp


class PageCall:
    """A call, from its first message to its end or to the loss of its socket. `door`: where this server is reached from here."""

    def __init__(self, exchange: Exchange, socket: web.WebSocketResponse, door: str) -> None:
        self._exchange = exchange
        self._socket = socket
        self._door = door
        self._step: asyncio.Task[None] | None = None
        self._secret = False  # what the phone asked for last

    async def run(self) -> None:
        """Have the whole call."""
        begin = await self._next()
        if not isinstance(begin, Start | GoOn):
            await self._socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"a call begins with a number")
            return
        settings = self._exchange.settings
        public = (settings.server.public_url or self._door).rstrip("/")
        token = settings.twilio_auth_token.get_secret_value()
        phone = Phone(public, token, settings.twilio_account_sid, begin.caller, begin.to, speed=SPEED)
        phone.webhooks = _Wire(token, public, self._door, self._tell_webhook)
        async with phone:
            call = phone.call() if isinstance(begin, Start) else phone.call_again(begin.sid, begin.turn)
            await self._tell("calling", sid=call.sid, caller=begin.caller, to=begin.to)
            watching = asyncio.create_task(self._watch(f"phone:{call.sid}"))
            try:
                await self._have(call)
            finally:
                watching.cancel()
                await self._interrupt()

    async def _have(self, call: Call) -> None:
        self._take(call, None)
        while (deed := await self._next()) is not None:
            match deed:
                case HangUp() if call.ended is None:
                    await self._interrupt()
                    self._take(call, events.HangUp())
                case Press() | Speak() | Wait() if self._step is None or self._step.done():
                    self._take(call, _input(deed))
                case _:
                    await self._tell("deaf")
        if self._socket.close_code == WSCloseCode.GOING_AWAY and call.ended is None:  # the page was closed
            await self._interrupt()
            with contextlib.suppress(UnreachableError):
                await call.hang_up()

    async def _next(self) -> Deed | Unclear | None:
        """What the person does next; None when the socket is closed."""
        message = await self._socket.receive()
        if message.type is not WSMsgType.TEXT:
            await self._socket.close(code=WSCloseCode.UNSUPPORTED_DATA)
            return None
        try:
            deed: Deed = msgspec.json.decode(message.data, type=Deed)
        except msgspec.DecodeError:
            return Unclear()
        return deed

    def _take(self, call: Call, step: events.Input | None) -> None:
        self._step = asyncio.create_task(self._follow(call, step))

    async def _interrupt(self) -> None:
        if self._step is not None:
            self._step.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._step

    async def _follow(self, call: Call, step: events.Input | None) -> None:
        """Take a step, and tell what happens until the phone waits for the person, or the call is over."""
        try:
            async for event in call.follow(step):
                facts = _described(event)
                if isinstance(event, events.Asked):
                    self._secret = facts["secret"] = await self._asks_secret(call)
                await self._tell(type(event).__name__.lower(), **facts)
        except UnreachableError:
            await self._socket.close(code=WSCloseCode.SERVICE_RESTART)
        except NobodyListensError:
            await self._tell("deaf")
        if call.ended is not None:
            await self._show(f"phone:{call.sid}")
            await self._socket.close()

    async def _asks_secret(self, call: Call) -> bool:
        """Whether the person shall press a secret, which TwiML does not tell; it may be one where the store does not tell either."""
        try:
            answer = await self._exchange.collect(f"phone:{call.sid}", None, 0)
        except HandlerError:
            return True
        return answer is not None and answer.prompt is not None and bool(getattr(answer.prompt.listen, "secret", False))

    async def _tell_webhook(self, request: Request, path: str, answer: Answer) -> None:
        fields = [
            (name, HIDDEN if self._secret and name in _SPOKEN else value)
            for name, value in request.pairs
            if value and not name.endswith(_DULL)
        ]
        await self._tell("webhook", method=request.method, path=path, fields=fields, status=answer.status, text=answer.text)

    async def _tell(self, event: str, **facts: Any) -> None:
        with contextlib.suppress(ConnectionError):  # the page is gone, which the reading side sees, too
            await self._socket.send_str(msgspec.json.encode({"event": event, **facts}).decode())

    # -- the history beside it -------------------------------------------------------------------------------------------------------------

    async def _watch(self, session: str) -> None:
        """Show the history whenever it grows; when the server stops, have the page go elsewhere."""
        loop = asyncio.get_running_loop()
        with self._exchange.follow(session, None) as following:
            while not following.closed:
                news = await following.next(loop.time() + LOOK_SECONDS)
                following.words()  # which is no news here
                if news is not None and news.length:
                    await self._show(session)
        await self._socket.close(code=WSCloseCode.SERVICE_RESTART)

    async def _show(self, session: str) -> None:
        with contextlib.suppress(HandlerError):  # the store is away; the next change shows this one, too
            await self._tell("history", **_history(await self._exchange.replayed(session)))


class _Wire(Webhooks):
    """Webhooks that the page is shown. They go to this server alone: the page's phone is no way to make it ask others."""

    def __init__(self, token: str, public: str, door: str, tell: Callable[[Request, str, Answer], Awaitable[None]]) -> None:
        super().__init__(token, PATIENCE, public=public, door=door)
        self._home = public
        self._tell = tell

    async def send(self, request: Request) -> Answer:
        """Send it, and show it with its answer."""
        if not request.url.startswith(f"{self._home}/"):
            raise DroppedError(f"{request.url} is not at this server, and this phone asks no other")
        answer = await super().send(request)
        await self._tell(request, request.url.removeprefix(self._home), answer)
        return answer


def _input(deed: Press | Speak | Wait) -> events.Input:
    match deed:
        case Press(keys=keys):
            return events.Keys(keys)
        case Speak(text=text):
            return events.Words(text)
        case Wait():
            return events.Nothing()


def _described(event: events.Event) -> dict[str, Any]:
    """What happened, with the turn that the next input answers."""
    turn = _TURN.search(event.url) if isinstance(event, events.Asked | events.Recording) else None
    return asdict(event) | ({"turn": int(turn[1])} if turn else {})


def _history(seen: Replay) -> dict[str, Any]:
    """A session as `switchboard sessions show` has it, secrets hidden."""
    opened = seen.opened
    moments = [
        {
            "position": moment.position,
            "at": "" if moment.event is None else show.time_of(moment.event.at, opened).isoformat(timespec="seconds"),
            "what": "cannot be read" if moment.event is None else show.clean(show.event_in_words(moment.event, hidden=moment.hidden)),
            "taken_by": show.clean(moment.taken_by),
            "said": [show.said_in_words(output) for output in moment.said],
        }
        for moment in seen.moments
    ]
    trouble = seen.problem or ("" if seen.failure is None else f"{seen.failure.kind}: {seen.failure.text}")
    return {
        "session": seen.session,
        "workflow": None if opened is None else opened.workflow,
        "locale": None if opened is None else opened.locale,
        "state": seen.state,
        "moments": moments,
        "waits_for": [show.clean(each) for each in seen.waits_for],
        "trouble": show.clean(trouble),
    }
