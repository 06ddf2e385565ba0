"""Alexa: a skill's requests in, speech out.

Each request is verified before anything else is done about it: signed by Amazon, young, and for this skill. What then speaks goes to
`telephony/alexa_turns.py`. Contract: rows AX1 to AX12 of `docs/channels.md`;
https://developer.amazon.com/docs/custom-skills/request-types-reference.html.
"""

import logging
import time
from collections.abc import Iterable

from aiohttp import web

from handlers.errors import HandlerError, OverloadError, TooOftenError, UnstorableError
from switchboard.channel import Exchange
from switchboard.guard import read_body
from telephony import alexa_wire as wire
from telephony.alexa_api import TOKENS, api_of
from telephony.alexa_development import CHAIN_URL, SKILL, development, is_loopback
from telephony.alexa_signature import AlexaVerifier
from telephony.alexa_turns import Call, Turns, deadline, said
from telephony.errors import ForeignSkillError, MalformedError, UnverifiedError

logger = logging.getLogger(__name__)

QUIET_SECONDS = 60.0
"""How long nothing more is logged about refusals of one kind: a stranger shall not write the log."""

JSON = {"Content-Type": "application/json;charset=UTF-8"}

NOT_IN_SERVICE = "This skill is not in service."
TOO_OFTEN = "That was a lot at once. Please wait a little, and say that again."
BUSY = "Sorry, I am very busy just now. Please say that again in a moment."


class Alexa:
    """The channel of Alexa's skills."""

    name = "alexa"
    when_lost = "The next thing that is said begins a new conversation."

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._skill = exchange.settings.alexa_skill_id or SKILL
        self._turns = Turns(exchange, self._skill)
        self._amazon = AlexaVerifier()
        self._simulated: AlexaVerifier | None = None
        self._loopback = is_loopback(exchange.settings.server.host)
        self._quiet_until: dict[str, float] = {}

    def routes(self) -> Iterable[web.RouteDef]:
        """The one endpoint of a skill."""
        yield web.post("/alexa", self._alexa)

    # -- ingress ---------------------------------------------------------------------------------------------------------------------------

    async def _alexa(self, request: web.Request) -> web.Response:
        until = deadline()
        try:
            body = await read_body(request, self._exchange.limits)
        except web.HTTPException as error:  # too large, too slow, broken: Alexa's are none of that
            refusal = self._refuse(MalformedError(f"the body cannot be taken: {error.reason}"))
            refusal.force_close()
            return refusal
        try:
            simulated = await self._verify(request, body)
            envelope = wire.read(body)
            if envelope.skills != {self._skill}:
                named = ", ".join(sorted(envelope.skills)) or "no skill"
                raise ForeignSkillError(f"it is for {named:.200}, and this is {self._skill}. Set ALEXA_SKILL_ID to the skill's id")
            answer = await self._answer(envelope, until, simulated=simulated)
        except (UnverifiedError, MalformedError, UnstorableError) as error:
            return self._refuse(error)
        except HandlerError as error:
            logger.warning("alexa: %s", error)
            return web.Response(status=503, text="The store does not answer.\n", headers={"Retry-After": "2"})
        return web.Response(body=answer, headers=JSON)

    async def _verify(self, request: web.Request, body: bytes) -> bool:
        """Let Alexa's requests through, and, on loopback, those of the simulated one: tells whether it was that."""
        if self._loopback and request.headers.get("SignatureCertChainUrl") == CHAIN_URL:
            if self._simulated is None:
                self._simulated = development(self._exchange.settings.data).verifier()
            await self._simulated.verify(request.headers, body)
            return True
        await self._amazon.verify(request.headers, body)
        return False

    def _refuse(self, error: Exception) -> web.Response:
        """The sender learns nothing; the log tells why, once a minute for each kind of reason."""
        counters = self._exchange.counters
        counters["refused_alexa"] += 1
        kind, now = type(error).__name__, time.monotonic()
        if now >= self._quiet_until.get(kind, 0.0):
            self._quiet_until[kind] = now + QUIET_SECONDS
            logger.warning(
                "refused a request to /alexa: %s. So far %d were refused; nothing more is said of this kind for %d seconds.",
                error, counters["refused_alexa"], QUIET_SECONDS,
            )  # fmt: skip
        return web.Response(status=400, text="Bad request.\n")

    # -- requests --------------------------------------------------------------------------------------------------------------------------

    async def _answer(self, envelope: wire.Envelope, until: float, *, simulated: bool) -> bytes:
        """Answer a request that is Alexa's and ours. A type that is not known gets the empty answer (AX10)."""
        request = envelope.request
        match request.type:
            case "LaunchRequest" | "IntentRequest":
                line = self._exchange.line("alexa", self._skill)
                if line is None:
                    logger.warning('no line for %s: add "alexa:*" to [lines]', self._skill)
                    return wire.response(ssml=said(NOT_IN_SERVICE), ends=True)
                session, system = self._session(envelope), envelope.system
                api = api_of(system.api_endpoint, system.api_access_token, simulated=simulated)
                if api is not None:
                    TOKENS.keep(session, api)
                if envelope.locale not in (None, line.locale):
                    line = line.model_copy(update={"locale": envelope.locale})
                try:
                    return await self._turns.answer(Call(session, envelope.id, line, envelope, api, until))
                except OverloadError as error:
                    words = said(TOO_OFTEN if isinstance(error, TooOftenError) else BUSY)
                    return wire.response(ssml=words, reprompt=words, ends=False)
            case "SessionEndedRequest":
                await self._turns.leave(self._session(envelope), envelope, request.reason or "", until)
                if request.error is not None:
                    about = {"session": self._session(envelope)}
                    logger.warning("alexa: a session ended with an error: %.500r", request.error, extra=about)
            case "System.ExceptionEncountered":
                logger.warning("alexa: an answer of ours was not taken: %.500r, caused by %.200r", request.error, request.cause)
            case other:
                logger.info("alexa: nothing is done about a %.99r", other)
        return wire.response()

    def _session(self, envelope: wire.Envelope) -> str:
        return f"alexa:{self._skill}:{envelope.user}"
