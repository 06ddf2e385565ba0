"""The phone: Twilio's webhooks in, TwiML out.

A call is the session `phone:<CallSid>`. Each answer's action URL carries the turn that it answers; what the caller does next has that turn
as its dedupe id, since nobody can answer one Gather twice. So a webhook that Twilio repeats gets the very same TwiML, from whatever
replica. Contract: rows TV1 to TV12 of `docs/channels.md`; https://www.twilio.com/docs/voice/twiml.
"""

import logging
import math
import time
from collections.abc import Iterable, Mapping
from typing import Literal

from aiohttp import web
from aiohttp.helpers import parse_content_type

from handlers.errors import HandlerError, OverloadError, TooOftenError
from handlers.messages import Inbound
from switchboard.channel import Exchange, opening
from switchboard.guard import read_body
from switchboard.settings import Line
from switchboard.written import Written
from telephony import form, twiml
from telephony.errors import FormError
from telephony.twilio_signature import signed, signed_body
from workflows.events import Prompt
from workflows.listen import Choice, Digits, Intents, Message, Transfer, Words, YesNo
from workflows.outputs import Say, Ssml
from workflows.turns import Answer, Said

logger = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds until an interim answer: Twilio gives up after 15, the connection included (TV5, TV10)."""

POLLS = 90
"""How often a caller is kept waiting for the same turn before the call is ended: a quarter of an hour."""

MOMENTS = 20
"""How often a caller hears "one moment" while the store is down, each with a pause of three seconds."""

QUIET_SECONDS = 60.0
"""How long nothing more is logged about forged requests: a stranger shall not write the log."""

UNLIMITED = frozenset({"left", "recorded", "transferred", "silence"})
"""What is taken however often a caller has spoken: nobody could do it once more, or nobody did anything."""

OVER = frozenset({"completed", "busy", "no-answer", "failed", "canceled"})
"""The statuses that end a call (TV11); the others are news of its beginning."""

ONE_MOMENT = "One moment, please."
TOO_OFTEN = "That was very quick. Please wait a moment."
BUSY = "Sorry, we are very busy just now. One moment, please."
NOT_IN_SERVICE = "This number is not in service. Goodbye."
LOST = "Sorry, this call cannot be continued. Please call again."
TOO_LONG = "Sorry, this takes longer than it should. Please call again later."

FACTS: dict[str, object] = {"owns_timeouts": True, "can_deliver": False}

ROOM = twiml.LIMIT - 4_000
"""Bytes of an answer for what is said; the rest is for the verbs around it."""

Fields = dict[str, str]


class Phone:
    """The channel of telephone calls."""

    name = "phone"
    when_lost = f'The caller hears "{LOST}"'

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._token = exchange.settings.twilio_auth_token.get_secret_value()
        self._account = exchange.settings.twilio_account_sid
        self._quiet_until = 0.0

    def routes(self) -> Iterable[web.RouteDef]:
        """Calls and turns, the end of calls, and recordings that are ready."""
        for path, endpoint in (("voice", self._voice), ("status", self._status), ("recording", self._recording)):
            yield web.post(f"/twilio/{path}", endpoint)
            yield web.get(f"/twilio/{path}", endpoint, allow_head=False)

    # -- endpoints -------------------------------------------------------------------------------------------------------------------------

    async def _voice(self, request: web.Request) -> Written:
        fields = await self._read(request)
        query = request.query
        line = self._exchange.line("phone", fields.get("To", ""))
        if line is None:
            words = "no line for %.99r: add it to [lines], or a phone:* line"
            logger.warning(words, fields.get("To"), extra={"session": f"phone:{fields['CallSid']}"})
            return _xml(twiml.say(NOT_IN_SERVICE), twiml.hangup())
        session = f"phone:{fields['CallSid']}"
        turn = _number(query.get("turn"))
        try:
            if turn is not None and "again" in query:
                answer = await self._ask_again(session, turn)
            elif turn is not None and "offset" in query:
                answer = await self._poll(session, turn, _number(query["offset"]) or 0)
            else:
                inbound = _inbound(session, turn, fields, line)
                limited = self._exchange.counts_callers and inbound.type not in UNLIMITED
                answer = await self._exchange.send(inbound, PATIENCE, _caller(session, fields) if limited else "")
                if answer is None:
                    answer = await self._exchange.collect(session, inbound.id, 0)
        except OverloadError as error:
            words = TOO_OFTEN if isinstance(error, TooOftenError) else BUSY
            return self._one_moment(turn, _number(query.get("again")) or 0, words)
        except HandlerError as error:
            logger.warning("the caller hears one moment: %s", error)
            return self._one_moment(turn, _number(query.get("again")) or 0)
        assert answer is not None, "what is not waited for is answered at once"
        return _xml(*self._render(answer, line, query))

    async def _status(self, request: web.Request) -> web.Response:
        fields = await self._read(request)
        if fields.get("CallStatus") in OVER:
            inbound = Inbound(f"phone:{fields['CallSid']}", "left", "left", {"reason": fields["CallStatus"]}, stored_suffices=True)
            await self._store(inbound)
        return web.Response(status=204)

    async def _recording(self, request: web.Request) -> web.Response:
        """A recording is ready: the same input as Record's action, in case that one was lost."""
        fields = await self._read(request)
        turn = _number(request.query.get("turn"))
        if turn is not None and fields.get("RecordingUrl") and fields.get("RecordingStatus", "completed") == "completed":
            inbound = Inbound(f"phone:{fields['CallSid']}", str(turn), "recorded", _recorded(fields), stored_suffices=True)
            await self._store(inbound)
        return web.Response(status=204)

    async def _store(self, inbound: Inbound) -> None:
        try:
            await self._exchange.send(inbound, PATIENCE)
        except HandlerError as error:
            if not isinstance(error, OverloadError):
                logger.warning("Twilio is asked to send it again: %s", error)
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "5"}) from None

    # -- turns -----------------------------------------------------------------------------------------------------------------------------

    async def _poll(self, session: str, turn: int, offset: int) -> Answer | None:
        answer = await self._exchange.collect(session, turn, offset, PATIENCE)
        return answer or await self._exchange.collect(session, turn, offset)

    async def _ask_again(self, session: str, turn: int) -> Answer | None:
        """After a failure of the store: the answer to the caller's last input if that is on record, else the question anew."""
        answer = await self._exchange.collect(session, str(turn), 0)
        if answer is None or answer.state == "handled":
            answer = await self._exchange.collect(session, turn, 0)
        return answer

    def _one_moment(self, turn: int | None, times: int, words: str = ONE_MOMENT) -> Written:
        if times >= MOMENTS:
            return _xml(twiml.say(TOO_LONG), twiml.hangup())
        target = f"voice?again={times + 1}" if turn is None else f"voice?turn={turn}&again={times + 1}"
        return _xml(twiml.say(words), twiml.pause(3), twiml.redirect(target))

    # -- TwiML -----------------------------------------------------------------------------------------------------------------------------

    def _render(self, answer: Answer, line: Line, query: Mapping[str, str]) -> list[twiml.Verb]:
        said = _spoken(answer.said, line)
        if answer.ended or answer.state in ("ended", "failed", "handled"):
            if not said and answer.state in ("failed", "handled"):
                said = [twiml.say(LOST)]
            return [*said, twiml.hangup()]
        if answer.prompt is None or answer.state == "running":
            polls = _number(query.get("polls")) or 0
            if polls >= POLLS:
                return [*said, twiml.say(TOO_LONG), twiml.hangup()]
            if answer.state == "running" and not said and not polls:
                said = [twiml.say(ONE_MOMENT)]
            offset = answer.offset + len(answer.said)
            return [*said, twiml.pause(1), twiml.redirect(f"voice?turn={answer.turn}&offset={offset}&polls={polls + 1}")]
        return _listening(said, answer.prompt, answer.turn, line)

    # -- ingress ---------------------------------------------------------------------------------------------------------------------------

    async def _read(self, request: web.Request) -> Fields:
        """Limits, signature, fields: 403 for a stranger, 4xx for what is no call; nothing of it is stored."""
        headers = request.headers
        signatures = headers.getall("X-Twilio-Signature", ())
        signature = signatures[0] if len(signatures) == 1 else None  # of two, nobody can tell which one a proxy in front has looked at
        url = self._exchange.public_url(request)
        pairs: list[tuple[str, str]] = []
        try:
            if request.method == "GET":
                pairs = form.parse(request.rel_url.raw_query_string.encode())
                genuine = signed(self._token, url, (), signature)
            else:
                body = await read_body(request, self._exchange.limits)
                if parse_content_type(headers.get("Content-Type", ""))[0] == "application/x-www-form-urlencoded":
                    pairs = form.parse(body)
                    genuine = signed(self._token, url, pairs, signature)
                else:
                    genuine = signed_body(self._token, url, body, signature)
        except FormError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        if not genuine:
            self._note_forgery(url.partition("?")[0])
            raise web.HTTPForbidden(text="The signature does not fit.\n")
        fields = dict(pairs)
        if fields.get("AccountSid", self._account) != self._account:
            raise web.HTTPForbidden(text="This is another account's.\n")
        sid = fields.get("CallSid", "")
        if not (sid.isascii() and sid.isalnum() and len(sid) <= 64):  # noqa: PLR2004 - a SID has 34 characters; some room
            raise web.HTTPBadRequest(text="CallSid is missing.\n")
        return fields

    def _note_forgery(self, url: str) -> None:
        self._exchange.counters["forged"] += 1
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET_SECONDS
            logger.warning(
                "refused a request to %.200r: its X-Twilio-Signature does not fit. If it came from Twilio, set TWILIO_AUTH_TOKEN and "
                "PUBLIC_URL as Twilio has them. So far %d were refused; nothing more is said of them for %d seconds.",
                url, self._exchange.counters["forged"], QUIET_SECONDS,
            )  # fmt: skip


def _caller(session: str, fields: Fields) -> str:
    """Whose calls are counted together: a number's; a call's own where there is none (TV9)."""
    number = fields.get("From", "")
    return f"phone:{number}" if number.lstrip("+").isdecimal() else session


def _inbound(session: str, turn: int | None, fields: Fields, line: Line) -> Inbound:
    """The beginning of a call, or what the caller did upon the question of a turn."""
    if turn is None:
        begin = opening(line, "phone", fields.get("To", ""), fields.get("From"), FACTS)
        return Inbound(session, "start", opening=begin, fresh=True)
    type_, payload = _heard(fields)
    return Inbound(session, "left" if type_ == "left" else str(turn), type_, payload)


def _heard(fields: Fields) -> tuple[str, dict[str, object]]:
    """What the caller did: the type of the input and its payload (TV8, TV9, TV12)."""
    if fields.get("RecordingUrl"):
        return "recorded", _recorded(fields)
    if "DialCallStatus" in fields:
        return "transferred", {"outcome": fields["DialCallStatus"], "seconds": _number(fields.get("DialCallDuration")) or 0}
    digits = fields.get("Digits", "")
    if digits == "hangup":
        return "left", {"reason": "hangup"}
    if digits:
        return "pressed", {"digits": digits}
    speech = fields.get("SpeechResult", "")
    return ("said", {"text": speech}) if speech.strip() else ("silence", {})


def _recorded(fields: Fields) -> dict[str, object]:
    return {"url": fields["RecordingUrl"], "seconds": _number(fields.get("RecordingDuration")) or 0}


def _listening(said: list[twiml.Verb], prompt: Prompt, turn: int, line: Line) -> list[twiml.Verb]:
    action = f"voice?turn={turn}"
    timeout = None if prompt.timeout is None else max(1, math.ceil(prompt.timeout))
    listen = prompt.listen
    inputs: Literal["dtmf speech", "speech"] = "dtmf speech"
    num_digits, hints = None, ""
    match listen:
        case Digits(n=n, finish_on=finish_on):
            ends = None if finish_on == "#" else finish_on
            keys = twiml.gather(
                *said, action=action, inputs="dtmf", timeout=timeout, num_digits=n, finish_on_key=ends, action_on_empty_result=True
            )
            return [keys]
        case Message(seconds=seconds):
            callback = f"recording?turn={turn}"
            return [*said, twiml.record(action=action, max_length=seconds, recording_status_callback=callback), twiml.redirect(action)]
        case Transfer(number=number, seconds=seconds):
            return [*said, twiml.dial(number, action=action, timeout=seconds)]
        case Choice():
            num_digits = _same_length([key for key, _ in listen.labels()])
            hints = ", ".join(name for _, name in listen.labels())
        case YesNo():
            num_digits, hints = 1, "yes, no"
        case Intents(samples=samples):
            hints = ", ".join([each for utterances in samples.values() for each in utterances])
        case Words(hints=words):
            inputs, hints = "speech", ", ".join(words)
    return [
        twiml.gather(
            *said,
            action=action,
            inputs=inputs,
            timeout=timeout,
            num_digits=num_digits,
            action_on_empty_result=True,
            hints=hints or None,
            language=line.locale,
            speech_timeout="auto",
        )
    ]


def _same_length(keys: list[str]) -> int | None:
    """How many keys make a choice, if that is the same for all: options that are no telephone keys count from 1."""
    if not all(key.isdecimal() for key in keys):
        keys = [str(number) for number in range(1, len(keys) + 1)]
    lengths = {len(key) for key in keys}
    return lengths.pop() if len(lengths) == 1 else None


def _spoken(said: Iterable[Said], line: Line) -> list[twiml.Verb]:
    """What is said, cut to what one answer may hold (TV7)."""
    verbs: list[twiml.Verb] = []
    room = ROOM
    for _, _, output in said:
        match output:
            case Say(text=text, voice=voice, language=language):
                if len(text) * 6 > room:  # five bytes for each &, and the Says around
                    text = twiml.clip(text, room // 2)
                verb = twiml.say(text, voice=voice or line.voice, language=language or line.locale)
            case Ssml(markup=markup):
                verb = twiml.say_ssml(markup, voice=line.voice, language=line.locale)
            case _:
                verb = twiml.play(output.url)
        room -= len(verb.encode())
        if room < 0:
            break
        verbs.append(verb)
    return verbs


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 16 else None  # noqa: PLR2004 - an int64


def _xml(*verbs: twiml.Verb) -> Written:
    return Written(twiml.response(*verbs).encode(), "text/xml; charset=utf-8")
