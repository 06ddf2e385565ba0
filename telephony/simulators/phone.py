"""A phone without an account: real signed webhooks to a running server, and its TwiML carried out.

    async with Phone("http://127.0.0.1:8080", token, account, "+15550199", "+15550100") as phone:
        call = phone.call()
        assert await call.start() == [Said("Press 1 to talk to an elf"), Asked(...)]
        heard = await call.press("1")

It follows the rules of https://www.twilio.com/docs/voice/twiml: a Gather without input goes on to the next verb unless
`actionOnEmptyResult` is set, action URLs are relative to the document they stand in, nothing behind a Gather with input, a Record, a
Dial with an action or a Redirect is carried out, and a document's end hangs up. Where Twilio would drop the call with an error, the call
ends in `HungUp("error", ...)`.
"""

import asyncio
import math
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import urljoin
from xml.etree.ElementTree import Element

from telephony.errors import NobodyListensError, UnreachableError
from telephony.simulators import document
from telephony.simulators.document import DroppedError, method_of, number, text_of
from telephony.simulators.events import (
    Asked,
    Dialled,
    DialStatus,
    End,
    Event,
    HangUp,
    HungUp,
    Input,
    Keys,
    Nothing,
    Paused,
    Played,
    Recorded,
    Recording,
    Said,
    Words,
)
from telephony.simulators.webhook import Answer, Request, Webhooks, call_form, now

VOICE, STATUS = "/twilio/voice", "/twilio/status"

_MAX_DOCUMENTS = 1_000
"""Answers in a row that ask the caller nothing: a redirect to itself would go on for ever at no cost to anybody but us."""


class Phone:
    """Somebody's phone at `from_`, which calls the number `to` of the server at `base_url`.

    `speed`: how many times faster than life pauses and time-outs pass; they take no time at all by default. `patience`: how often a
    request is sent in all while the server is not there or says 503, four times a second (Twilio itself tries twice).
    """

    def __init__(
        self, base_url: str, auth_token: str, account_sid: str, from_: str, to: str, *, speed: float = math.inf, patience: int = 2
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.speed = speed
        self.parties = {"AccountSid": account_sid, "From": from_, "Caller": from_, "To": to, "Called": to}
        self.webhooks = Webhooks(auth_token, patience)

    async def __aenter__(self) -> Self:
        await self.webhooks.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.webhooks.__aexit__(kind, error, trace)

    def call(self, dials: Mapping[str, DialStatus] | None = None) -> "Call":
        """Take up the receiver. `dials`: how calls to other numbers end when the server connects us; they are `completed` otherwise."""
        return Call(self, dials or {})

    def call_again(self, sid: str, turn: int | None) -> "Call":
        """Go on with a call that another phone has lost, where its server asks again: from the answer to a turn, or the very first one."""
        call = Call(self, {})
        call.sid = sid
        call.first = VOICE if turn is None else f"{VOICE}?turn={turn}&again=1"
        return call


class Call:
    """One call. Each step gives what was heard until the phone next waits for the caller, or the call is over.

    `waiting` is what the phone waits for now, `ended` how the call ended, `trace` all that happened so far, `first` where the call begins
    on its server. A step that raises `UnreachableError` can be taken again; one at the wrong time raises `NobodyListensError`.
    """

    def __init__(self, phone: Phone, dials: Mapping[str, DialStatus]) -> None:
        self.sid = f"CA{secrets.token_hex(16)}"
        self.first = VOICE
        self.waiting: Asked | Recording | None = None
        self.ended: HungUp | None = None
        self.trace: list[Event] = []
        self.last_request: Request | None = None
        self._phone = phone
        self._dials = dials
        self._url = ""
        self._verbs: list[Element] = []
        self._status = "ringing"
        self._documents = 0
        self._seconds = 0.0

    async def start(self) -> list[Event]:
        """Call, and listen."""
        return [event async for event in self.follow(None)]

    async def press(self, keys: str) -> list[Event]:
        """Press keys, and listen."""
        return [event async for event in self.follow(Keys(keys))]

    async def say(self, words: str) -> list[Event]:
        """Say something, and listen."""
        return [event async for event in self.follow(Words(words))]

    async def stay_silent(self) -> list[Event]:
        """Let the phone wait in vain, and listen."""
        return [event async for event in self.follow(Nothing())]

    async def hang_up(self) -> list[Event]:
        """Hang up, whatever the phone was doing; nothing happens when there is no call or it is over already."""
        return [event async for event in self.follow(HangUp())] if self._url and self.ended is None else []

    async def repeat(self) -> str:
        """Deliver the last request a second time, as it was, and give the answer's text. The call itself does not notice."""
        assert self.last_request is not None, "a call that was not started has nothing to repeat"
        return (await self._phone.webhooks.send(self.last_request)).text

    async def converse(self, answer: Callable[[Asked | Recording], Awaitable[Input]]) -> AsyncIterator[Event]:
        """Have the whole call: `answer` is asked for the caller's part whenever the phone waits for it."""
        async for event in self.follow(None):
            yield event
        while self.waiting is not None:
            async for event in self.follow(await answer(self.waiting)):
                yield event

    async def follow(self, step: Input | None) -> AsyncIterator[Event]:
        """Take one step (None: call) and give what happens as it happens, until the phone waits again or the call is over."""
        async for event in self._step(step):
            self.trace.append(event)
            yield event

    async def _step(self, step: Input | None) -> AsyncIterator[Event]:
        if self.ended is not None:
            raise NobodyListensError(f"the call is over ({self.ended.reason}): nobody hears {step}")
        if (step is None) == bool(self._url) and not isinstance(step, HangUp):
            raise NobodyListensError("a call is started once, and before anything else")
        if self.waiting is None and isinstance(step, Keys | Words | Nothing):
            raise NobodyListensError(f"the phone was interrupted and waits for nobody: it can only hang up, not hear {step}")
        waiting, before = self.waiting, (self.waiting, self._verbs.copy(), self._url, self._status)
        self.waiting = None
        try:
            async for event in self._take(waiting, step):
                yield event
            while self._goes_on():
                async for event in self._next_verb():
                    yield event
        except DroppedError as dropped:
            yield await self._end("error", dropped.detail, dropped.status)
        except UnreachableError:
            self.ended = None
            self.waiting, self._verbs, self._url, self._status = before
            raise

    def _goes_on(self) -> bool:
        return self.ended is None and self.waiting is None

    async def _take(self, waiting: Asked | Recording | None, step: Input | None) -> AsyncIterator[Event]:
        """Give the caller's part to what waits for it."""
        self._documents = 0
        if step is None:
            await self._fetch(self._phone.base_url + self.first)
        elif isinstance(waiting, Recording):
            if isinstance(step, HangUp):
                self._status = "completed"
            async for event in self._record(waiting, step):
                yield event
        elif isinstance(waiting, Asked) and not isinstance(step, HangUp):
            await self._gather(waiting, step)
        if isinstance(step, HangUp):
            yield await self._end("caller")

    async def _gather(self, asked: Asked, step: Input) -> None:
        digits = finished = speech = ""
        match step:
            case Keys(keys) if asked.keys:
                digits, finished = _digits(keys, asked)
            case Words(text) if asked.speech:
                speech = text
        if speech:
            await self._fetch(asked.url, asked.method, {"SpeechResult": speech, "Confidence": "0.9"})
            return
        if not finished and len(digits) != asked.num_digits:
            await self._pass(asked.timeout)
        if digits or asked.action_on_empty_result:
            heard = {"Digits": digits, "FinishedOnKey": finished, "msg": "Gather End"} if digits or asked.keys else {}
            silence = {"SpeechResult": ""} if asked.speech and not digits else {}
            await self._fetch(asked.url, asked.method, heard | silence)

    async def _record(self, recording: Recording, step: Input) -> AsyncIterator[Event]:
        seconds, digits = 1.0, ""
        match step:
            case Nothing():
                await self._pass(recording.timeout)
                return  # an empty recording is none: the next verb follows
            case Words(text):
                seconds = _speaking_time(text)
            case Keys(keys):
                digits = next((key for key in keys if key in recording.finish_on_key), "")
            case HangUp():
                digits = "hangup"
        duration = min(math.ceil(seconds), recording.max_length)
        await self._pass(duration + (0 if digits else recording.timeout))
        account, sid = self._phone.parties["AccountSid"], f"RE{secrets.token_hex(16)}"
        url = f"https://api.twilio.com/2010-04-01/Accounts/{account}/Recordings/{sid}"
        facts = {"RecordingSid": sid, "RecordingUrl": url, "RecordingDuration": str(duration)}
        yield Recorded(url, duration)
        await self._fetch(recording.url, recording.method, facts | {"Digits": digits})
        if recording.callback is not None:
            of = {"AccountSid": account, "CallSid": self.sid, "RecordingSource": "RecordVerb", "RecordingStatus": "completed"}
            started = {"RecordingStartTime": now(), "RecordingChannels": "1", "ErrorCode": "0"}
            await self._notify(recording.callback, facts | of | started)

    async def _next_verb(self) -> AsyncIterator[Event]:
        if not self._verbs:
            yield await self._end("end")
            return
        verb = self._verbs.pop(0)
        match verb.tag:
            case "Gather":
                for prompt in verb:
                    yield await self._prompt(prompt)
                self.waiting = document.asked(verb, self._resolve)
                yield self.waiting
            case "Record":
                self.waiting = document.recording(verb, self._resolve)
                yield self.waiting
            case "Redirect":
                await self._fetch(self._resolve(text_of(verb)), method_of(verb))
            case "Dial":
                called = text_of(verb)
                status = self._dials.get(called, "completed")
                yield Dialled(called, status)
                if "action" in verb.attrib:
                    talked = {"DialCallDuration": "30", "DialBridged": "true"} if status == "completed" else {}
                    sid = f"CA{secrets.token_hex(16)}"
                    how = {"DialCallStatus": status, "DialCallSid": sid} | talked
                    await self._fetch(self._resolve(verb.attrib["action"]), method_of(verb), how)
            case "Hangup":
                yield await self._end("hangup")
            case "Reject":
                yield await self._end("rejected", verb.get("reason", "rejected"))
            case _:
                yield await self._prompt(verb)

    async def _prompt(self, verb: Element) -> Event:
        match verb.tag:
            case "Say":
                text = "".join(verb.itertext())
                self._seconds += _speaking_time(text)
                return Said(text)
            case "Play":
                return Played(self._resolve(text_of(verb)))
            case "Pause":
                seconds = number(verb, "length", 1)
                await self._pass(seconds)
                return Paused(seconds)
            case tag:
                raise DroppedError(f"{self._url} answered <{tag}>, which this phone cannot carry out at that place")

    def _resolve(self, url: str) -> str:
        return urljoin(self._url, url)

    async def _pass(self, seconds: float) -> None:
        self._seconds += seconds
        await asyncio.sleep(seconds / self._phone.speed)

    async def _fetch(self, url: str, method: str = "POST", facts: dict[str, str] | None = None) -> None:
        """Ask for the next document and put it in the place of this one."""
        self._documents += 1
        if self._documents > _MAX_DOCUMENTS:
            raise DroppedError(f"{url} was answer {self._documents} in a row that asked the caller nothing")
        self.last_request = Request(url, tuple((self._form() | (facts or {})).items()), method)
        answer = await self._deliver(self.last_request)
        self._verbs = document.read(url, answer.content_type, answer.text)
        self._url = url
        if self._status == "ringing":
            self._status = "in-progress"

    def _form(self) -> dict[str, str]:
        return call_form(self._phone.parties, self.sid, self._status)

    async def _notify(self, url: str, facts: Mapping[str, str]) -> None:
        await self._deliver(Request(url, tuple(facts.items())))

    async def _deliver(self, request: Request) -> Answer:
        try:
            answer = await self._phone.webhooks.send(request)
        except TimeoutError:
            raise DroppedError(f"{request.url} did not answer in 15 seconds (Twilio error 11205)") from None
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            raise DroppedError(f"{request.url} answered {answer.status} (Twilio error 11200)", answer.status)
        return answer

    async def _end(self, reason: End, detail: str = "", status: int | None = None) -> HungUp:
        """End the call and tell the server so, as Twilio does, with the status callback."""
        self.ended = HungUp(reason, detail, status)
        self._status = "completed"
        if reason == "rejected":
            self._status = "busy" if detail == "busy" else "no-answer"
        seconds = max(1, math.ceil(self._seconds))
        facts = {
            "CallDuration": str(seconds),
            "Duration": str(math.ceil(seconds / 60)),
            "CallbackSource": "call-progress-events",
            "SequenceNumber": "0",
            "Timestamp": now(),
        }
        try:
            await self._notify(self._phone.base_url + STATUS, self._form() | facts)
        except DroppedError as dropped:
            if reason != "error":
                self.ended = HungUp("error", dropped.detail, dropped.status)
        return self.ended


def _digits(keys: str, asked: Asked) -> tuple[str, str]:
    """What a Gather takes of the keys pressed, and the key that ended it; what is pressed after its end is lost."""
    digits = ""
    for key in keys:
        if key == asked.finish_on_key:
            if digits:  # "finishOnKey only works when a digit sequence precedes it"
                return digits, key
            continue
        digits += key
        if len(digits) == asked.num_digits:
            break
    return digits, ""


def _speaking_time(text: str) -> float:
    """Seconds, at 150 words a minute."""
    return len(text.split()) * 0.4
