"""The requests of whole calls, signed and written before anything is timed, with the answers that must come back.

A call is six turns: the opening, four keys, and the zero that ends it. Each has the 25 fields that Twilio sends, in 512 bytes or a
little more, and a CallSid that nobody has seen before.
"""

import secrets
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlencode

from benchmarks.menu import GOODBYE, WELCOME, reply
from telephony import twiml
from telephony.simulators.webhook import call_form
from telephony.twilio_signature import sign

ACCOUNT = "AC" + "1" * 32
TOKEN = "the token of the benchmarks"
LOCALE = "en-GB"
KEYS = "12340"
TURNS = 1 + len(KEYS)

_PARTIES = {"From": "+15550199", "Caller": "+15550199", "To": "+15550100", "Called": "+15550100", "AccountSid": ACCOUNT}


class Exchange(NamedTuple):
    """A request as it goes over the wire, and the body of the only right answer to it."""

    request: bytes
    answer: bytes


def call(address: str, answer: Callable[[int, str], bytes]) -> list[Exchange]:
    """A whole call to the server at `address` (host:port); `answer` gives the right answer to a turn's number and key."""
    sid = "CA" + secrets.token_hex(16)
    return [Exchange(request(address, sid, turn, key), answer(turn, key)) for turn, key in enumerate(["", *KEYS])]


def request(address: str, sid: str, turn: int, key: str) -> bytes:
    """The request of turn number `turn`, which answers the question of the one before with `key`."""
    fields = call_form(_PARTIES, sid, "in-progress" if turn else "ringing")
    if turn:
        fields |= {"msg": "Gather End", "Digits": key}
    path = f"/twilio/voice?turn={turn - 1}" if turn else "/twilio/voice"
    signature = sign(TOKEN, f"http://{address}{path}", fields.items())
    body = urlencode(fields)
    return (
        f"POST {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: TwilioProxy/1.1\r\nAccept: */*\r\n"
        f"Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\nX-Twilio-Signature: {signature}\r\n"
        f"I-Twilio-Idempotency-Token: {secrets.token_hex(16)}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def menu_answer(turn: int, key: str) -> bytes:
    """The TwiML of the menu: what is said, and the next question."""
    if key == "0":
        return twiml.response(twiml.say(GOODBYE, language=LOCALE), twiml.hangup()).encode()
    said = twiml.say(reply(key) if key else WELCOME, language=LOCALE)
    gather = twiml.gather(said, action=f"voice?turn={turn}", inputs="dtmf", timeout=5, num_digits=1, action_on_empty_result=True)
    return twiml.response(gather).encode()


CONSTANT = menu_answer(0, "")
"""What the bare endpoint answers to everything."""


def constant_answer(_turn: int, _key: str) -> bytes:
    """The same answer whatever comes."""
    return CONSTANT
