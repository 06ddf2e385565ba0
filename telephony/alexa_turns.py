"""The turns of Alexa's users: what a verified request means to a session, and what is said upon it.

A user of a skill is one session, which outlives Alexa's own sessions: those are its connections (`via`). A request's id is its dedupe id,
so a copy gets that turn's answer. Alexa waits eight seconds: what takes longer is answered with the question whether to go on, and the
rest is told at "yes", or at the next launch. Such talk is the channel's own and never fed to the conversation.
"""

import asyncio
from contextlib import suppress
from typing import Any

import msgspec

from handlers.messages import Inbound
from switchboard.channel import Exchange, opening
from switchboard.settings import Line
from telephony import alexa_speech as speech
from telephony import alexa_wire as wire
from telephony.alexa_api import Api, Kept, Reassurance
from telephony.errors import MalformedError
from workflows.listen import Transfer
from workflows.outputs import Say
from workflows.turns import Answer

PATIENCE = 6.5
"""Seconds, from a request's arrival, until an interim answer: Alexa gives up after about eight (AX6)."""

GLANCE = 0.3
"""Seconds for a look at how far a slow turn has come."""

REASSURE = 2.5
"""Seconds until the user is told, before the answer, that there will be one (AX7)."""

NAP = 2.0
"""Seconds for which a conversation that neither listens nor works is waited for; then Alexa's session is closed."""

TRANSFERS = 5
"""How many hand-overs in a row are declined in one turn."""

ONE_MOMENT = "One moment, please."
STILL_WORKING = "I am still working on it. Shall I go on?"
LATER = "All right. Ask me again later."
AGAIN = "Sorry, I did not understand that."
LOST = "Sorry, that was lost. Please say it again."
BROKEN = "Sorry, this cannot be continued. Please try again later."
STILL_THERE = "Are you still there?"

FACTS: dict[str, object] = {"can_deliver": False}

NO_TURN = Answer(-1, (), "running")


class Rest(msgspec.Struct, frozen=True, array_like=True):
    """What is still to be told: of which turn (by number, or by dedupe id), and from which output on."""

    turn: int | str
    offset: int


class Call(msgspec.Struct, frozen=True):
    """A request that may speak. `until`: when it has to be answered, by the loop's clock."""

    session: str
    id: str
    line: Line
    envelope: wire.Envelope
    api: Api | None
    until: float

    @property
    def patience(self) -> float:
        """Seconds that are left."""
        return _remaining(self.until)

    @property
    def is_new(self) -> bool:
        """Whether it opens a session of Alexa's."""
        return self.envelope.session is not None and self.envelope.session.new


def deadline() -> float:
    """When a request that comes in now has to be answered, by the loop's clock."""
    return asyncio.get_running_loop().time() + PATIENCE


class Turns:
    """Takes what users do to their sessions, and writes what they hear."""

    def __init__(self, exchange: Exchange, skill: str) -> None:
        self._exchange = exchange
        self._skill = skill
        self._zones = Kept()
        self._owed = Kept()  # a convenience: what is owed by a session that lives can be told without

    async def answer(self, call: Call) -> bytes:
        """Answer a launch or an intent."""
        reassurance = Reassurance(call.api, call.envelope.request.request_id, ONE_MOMENT, call.until - PATIENCE + REASSURE)
        try:
            return await self._answer(call)
        finally:
            reassurance.end()

    async def _answer(self, call: Call) -> bytes:
        request, rest = call.envelope.request, _rest(call.envelope)
        if request.type == "LaunchRequest":
            return await self._launch(call)
        if request.intent is None:
            raise MalformedError("the request has no intent")
        match request.intent.name:
            case name if name in wire.ENDS:
                await self._left(call.session, call.envelope, name, call.patience)
                return wire.response(ends=True)
            case wire.NO if rest is not None:
                self._owed.keep(call.session, rest)
                return wire.response(ssml=said(LATER), ends=True)
            case wire.YES | wire.FALLBACK if rest is not None:
                return await self._go_on(call, rest)
            case wire.REPEAT:
                return await self._repeat(call, rest)
            case wire.FALLBACK:
                return await self._repeat(call, None, AGAIN)
            case _:
                return await self._hear(call, *wire.heard(request.intent), rest)

    async def leave(self, session: str, envelope: wire.Envelope, reason: str, until: float) -> None:
        """Alexa's session is closed. Whoever is owed an answer has not left: they are to hear it when they come back."""
        rest = _rest(envelope)
        if rest is None:
            await self._left(session, envelope, reason, _remaining(until))
        else:
            self._owed.keep(session, rest)

    async def _left(self, session: str, envelope: wire.Envelope, reason: str, patience: float) -> None:
        """On record the caller has left, unless they are back by another connection already (rule 13 of the format)."""
        self._owed.pop(session, None)
        left = Inbound(session, envelope.id, "left", {"reason": reason, **_via(envelope)}, stored_suffices=True)
        await self._exchange.send(left, patience)

    # -- what is said upon it --------------------------------------------------------------------------------------------------------------

    async def _launch(self, call: Call) -> bytes:
        """Begin; where a session lives, its user has returned, and hears the last words again if nothing else is said to them."""
        rest: Rest | None = self._owed.pop(call.session, None)
        return await self._take(call, await self._inbound(call, "returned", {}), rest)

    async def _hear(self, call: Call, type_: str, payload: dict[str, Any], rest: Rest | None) -> bytes:
        """Take what was said; by a new session of Alexa's, the user of a conversation that lives has returned first."""
        if call.is_new:
            rest = self._owed.pop(call.session, None)
            back = Inbound(call.session, f"{call.id}/returned", "returned", _via(call.envelope), stored_suffices=True)
            await self._exchange.send(back, call.patience)
        return await self._take(call, await self._inbound(call, type_, payload), rest)

    async def _go_on(self, call: Call, rest: Rest) -> bytes:
        """Tell what has been said meanwhile, as soon as there is something."""
        answer = await self._exchange.collect(call.session, rest.turn, rest.offset, call.patience)
        if answer is None:
            answer = await self._since(call, rest)
        elif answer.turn < 0 and answer.prompt is not None:
            return wire.response(ssml=said(LOST), reprompt=said(LOST), ends=False)
        return await self._told(call, answer, rest)

    async def _repeat(self, call: Call, rest: Rest | None, before: str | None = None) -> bytes:
        """Say the last words again, which is no input (AX11); where nothing was said yet, begin."""
        answer = await self._since(call, Rest(rest.turn, 0) if rest is not None else None)
        if answer.ended or (answer.turn < 0 and answer.state != "running"):
            return await self._launch(call)
        return await self._told(call, answer, rest, before)

    # -- turns -----------------------------------------------------------------------------------------------------------------------------

    async def _inbound(self, call: Call, type_: str, payload: dict[str, Any]) -> Inbound:
        """An input that opens the session where none lives; in the time zone of the device, as far as Alexa tells."""
        envelope, line, via = call.envelope, call.line, _via(call.envelope)
        device = envelope.system.device
        if call.is_new and call.api is not None and device is not None and device.device_id:
            zone = self._zones.get(device.device_id)
            if zone is None and (zone := await call.api.time_zone(device.device_id)) is not None:
                self._zones.keep(device.device_id, zone)
            if zone not in (None, line.timezone):
                line = line.model_copy(update={"timezone": zone})
        begin = opening(line, "alexa", self._skill, envelope.user, FACTS | via)
        return Inbound(call.session, call.id, type_, payload | via, begin, reopens=True)

    async def _take(self, call: Call, inbound: Inbound, rest: Rest | None) -> bytes:
        """Answer an input: with what is said upon it, after what was owed; with how far that has come when Alexa would wait no longer."""
        answer = await self._exchange.send(inbound, call.patience, call.session)
        unheard = answer is not None and answer.state in ("kept", "handled")
        if answer is None or rest is not None:
            since = await self._since(call, rest)
            if answer is None or since.turn >= 0:
                answer = since
        if unheard and answer.state != "running" and not answer.said and not answer.ended:
            answer = await self._since(call, None)
        return await self._told(call, answer, rest)

    async def _since(self, call: Call, rest: Rest | None) -> Answer:
        """What has been said in a turn (None: in the last one) and since; as of running when that cannot be told at once."""
        turn, offset = (None, 0) if rest is None else (rest.turn, rest.offset)
        with suppress(TimeoutError):
            async with asyncio.timeout(GLANCE):
                answer = await self._exchange.collect(call.session, turn, offset)
            assert answer is not None, "what is not waited for is answered at once"
            return answer
        return NO_TURN

    # -- what they hear --------------------------------------------------------------------------------------------------------------------

    async def _told(self, call: Call, answer: Answer, owed: Rest | None, before: str | None = None) -> bytes:
        """Write an answer, and whether Alexa is to listen after it; `owed` is what to go on with if nothing is known of it yet."""
        answer = await self._settled(call, answer)
        outputs = [output for _, _, output in answer.said]
        rest = _behind(answer) if answer.turn >= 0 else owed or Rest(call.id, 0)
        attributes: dict[str, Any] = {}
        question: str | None = None
        ends = False
        if answer.state == "running":
            outputs.append(Say(STILL_WORKING))
            attributes["rest"] = rest
        elif answer.ended or answer.state in ("ended", "failed", "handled"):
            if not outputs and answer.state in ("failed", "handled"):
                outputs.append(Say(BROKEN))
            ends = True
        elif answer.prompt is None:  # it sleeps: the next launch goes on
            self._owed.keep(call.session, rest)
            outputs = outputs or [Say(ONE_MOMENT)]
            ends = True
        elif not outputs:
            question = said(STILL_THERE)
        spoken = speech.write([Say(before), *outputs] if before else outputs)
        return wire.response(
            ssml=spoken.ssml,
            reprompt=None if ends else question or spoken.reprompt,
            card=speech.card(_title(call.line), spoken),
            attributes=attributes,
            ends=ends,
        )

    async def _settled(self, call: Call, answer: Answer) -> Answer:
        """Bring a conversation on that waits for nobody who is here: for a hand-over, or for a moment to pass."""
        for _ in range(TRANSFERS):  # there is nobody to hand over to: the workflow shall hear that, not wait for ever
            if answer.state == "running" or answer.prompt is None or not isinstance(answer.prompt.listen, Transfer):
                break
            outcome = {"outcome": "failed", **_via(call.envelope)}
            declined = Inbound(call.session, f"transfer.{answer.turn}.{_behind(answer).offset}", "transferred", outcome)
            more = await self._exchange.send(declined, call.patience)
            answer = _joined(answer, more or await self._since(call, _behind(answer)))
        if answer.state == "running" or answer.prompt is not None or answer.ended or answer.turn < 0:
            return answer
        rest = _behind(answer)
        after = await self._exchange.collect(call.session, rest.turn, rest.offset, min(NAP, call.patience))
        return answer if after is None else _joined(answer, after)


def _behind(answer: Answer) -> Rest:
    """What comes after an answer."""
    return Rest(answer.turn, answer.offset + len(answer.said))


def _joined(answer: Answer, more: Answer) -> Answer:
    """An answer with what was said after it."""
    return msgspec.structs.replace(more, turn=answer.turn, said=answer.said + more.said, offset=answer.offset)


def _remaining(until: float) -> float:
    """Seconds that are left, or as many as a look takes."""
    return max(until - asyncio.get_running_loop().time(), 0.05)


def said(text: str) -> str:
    """A text as speech."""
    ssml = speech.write([Say(text)]).ssml
    assert ssml is not None, "a text of ours is never empty"
    return ssml


def _via(envelope: wire.Envelope) -> dict[str, Any]:
    """By which connection the user speaks, to be recorded."""
    return {} if envelope.connection is None else {"via": envelope.connection}


def _rest(envelope: wire.Envelope) -> Rest | None:
    """What we asked whether to go on with; Alexa has kept it for us."""
    kept = (envelope.session and envelope.session.attributes) or {}
    try:
        return msgspec.convert(kept["rest"], Rest)
    except (KeyError, msgspec.ValidationError):
        return None


def _title(line: Line) -> str:
    """What stands above a card."""
    return line.workflow.rpartition(":")[2].replace("_", " ").capitalize()
