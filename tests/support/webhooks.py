"""Webhooks as Twilio sends them, by chance: calls, turns, ends and recordings, as forms, as queries and as JSON."""

import json
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from urllib.parse import urlencode

from support.phone_house import ACCOUNT, TOKEN
from support.wire import Wire

from telephony.simulators.webhook import call_form
from telephony.twilio_signature import sign

FORM = b"application/x-www-form-urlencoded"
SIGNATURE = b"X-Twilio-Signature"
PARTIES = {"From": "+12025550199", "Caller": "+12025550199", "To": "+15550100", "Called": "+15550100", "AccountSid": ACCOUNT}
RECORDINGS = f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Recordings/RE"

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Webhook:
    """A request that the holder of `token` means: `pairs` are its fields, which a GET has in its query; `json` has them as that."""

    host: str
    target: str
    pairs: Pairs
    method: str = "POST"
    json: bool = False
    token: str = TOKEN

    def wire(self) -> Wire:
        """Write and sign it."""
        target, body, kind, signed = self.target, b"", FORM, self.pairs
        if self.method == "GET":
            target += ("&" if "?" in target else "?") + urlencode(self.pairs)
            signed = ()
        elif self.json:
            body, kind, signed = json.dumps(dict(self.pairs)).encode(), b"application/json", ()
            target += ("&" if "?" in target else "?") + "bodySHA256=" + sha256(body).hexdigest()
        else:
            body = urlencode(self.pairs).encode()
        signature = sign(self.token, f"http://{self.host}{target}", signed)
        headers = [(b"Host", self.host.encode()), (b"User-Agent", b"TwilioProxy/1.1"), (SIGNATURE, signature.encode())]
        if body:
            headers.append((b"Content-Type", kind))
        return Wire(self.method.encode(), target.encode(), tuple(headers), body)


def sid(rng: Random) -> str:
    """The name of a call."""
    return f"CA{rng.getrandbits(128):032x}"


def heard(rng: Random) -> dict[str, str]:
    """What a caller may have done, in the fields of Gather, Record and Dial."""
    return rng.choice(
        [
            {"Digits": str(rng.randrange(1000)), "FinishedOnKey": "", "msg": "Gather End"},
            {"SpeechResult": rng.choice(["Two, please.", "caf\u00e9 & bar", "100 % \u4f60\u597d"]), "Confidence": "0.9"},
            {"SpeechResult": ""},
            {"RecordingSid": "RE" + "2" * 32, "RecordingUrl": RECORDINGS + "2" * 32, "RecordingDuration": "7", "Digits": "#"},
            {"DialCallStatus": "no-answer", "DialCallSid": sid(rng)},
        ]
    )


def webhook(rng: Random, host: str) -> Webhook:
    """Any of those that Twilio sends."""
    turn = rng.randrange(40)
    call = sid(rng)
    target, fields = rng.choice(
        [
            ("/twilio/voice", call_form(PARTIES, call, "ringing")),
            (f"/twilio/voice?turn={turn}", call_form(PARTIES, call, "in-progress") | heard(rng)),
            (f"/twilio/voice?turn={turn}", call_form(PARTIES, call, "in-progress") | heard(rng)),
            (f"/twilio/voice?turn={turn}&offset={turn + 2}&polls={turn + 1}", call_form(PARTIES, call, "in-progress")),
            ("/twilio/status", call_form(PARTIES, call, "completed") | {"CallDuration": str(turn), "SequenceNumber": "0"}),
            (
                f"/twilio/recording?turn={turn}",
                {"AccountSid": ACCOUNT, "CallSid": call, "RecordingUrl": RECORDINGS + "3" * 32, "RecordingStatus": "completed"},
            ),
        ]
    )
    pairs = list(fields.items())
    rng.shuffle(pairs)
    method, as_json = rng.choice([("POST", False)] * 8 + [("GET", False), ("POST", True)])
    return Webhook(host, target, tuple(pairs), method, as_json)
