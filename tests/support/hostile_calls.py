"""Callers whose webhooks are signed as they should be and hold anything: what Twilio would send for a caller, a carrier or a bug of the worst kind."""

import re
from base64 import b64encode
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import digest
from random import Random
from urllib.parse import parse_qsl, quote_from_bytes, quote_plus

from support import hostile_texts
from support.phone_house import ACCOUNT, TOKEN
from support.webhooks import FORM, PARTIES, SIGNATURE, heard, sid
from support.wire import Answer, Wire, chunked

from telephony.simulators.webhook import call_form

HOST = "phone.example.org"
LINES = {
    "+15550100": "conversations:echo",
    "+15550101": "conversations:exchange",
    "+15550102": "conversations:buggy",
    "+15550103": "conversations:polyglot",
    "+15550104": "conversations:napper",
    "+15550105": "santa",
    "+15550106": "conversations:hostile",
}
"""Who answers. Calls to other numbers are told that there is no service."""

LIVE = 8
GONE = 12
SHARED = tuple(f"CA{number:032x}" for number in range(8))
"""Calls that all callers have in common."""

MAX_BODY = 65_536
MAX_FIELDS = 200
MAX_TARGET = 8_000

_TURN = re.compile(rb"voice\?turn=(\d+)")
_SAFE_IN_TARGET = "%!$&'()*+,;=:@/?-._~"

Fields = list[tuple[bytes, bytes]]
"""Names and values as they are written."""


@dataclass(slots=True)
class Call:
    """One call, as its caller knows it: the fields that all its webhooks have, the turn to be answered next, and how many are left."""

    sid: str
    to: str
    turn: int = 0
    left: int = 0
    fields: Fields = field(init=False)

    def __post_init__(self) -> None:
        form = call_form(PARTIES | {"To": self.to, "Called": self.to}, self.sid, "in-progress")
        self.fields = [(name.encode(), quote_plus(value).encode()) for name, value in form.items()]


@dataclass(frozen=True, slots=True)
class Sent:
    """A request and what may come of it.

    `call`: whose turn it may be. `plain`: nothing about it is hostile, so it must be served. `alone`: HTTP itself may be broken, so that what is
    sent behind it goes unread.
    """

    data: bytes
    path: str
    call: Call | None
    plain: bool = False
    alone: bool = False


class Caller:
    """One of the callers of a seed. What it sends depends on the answers that it `heard`, and on nothing else.

    `given_up`: the calls that are over for it, to be forgotten by the store.
    """

    def __init__(self, seed: int, number: int) -> None:
        self._rng = Random(f"{seed}/{number}")
        self._live: list[Call] = []
        self._gone: deque[Call] = deque()
        self._forgotten: deque[Call] = deque(maxlen=GONE)
        self._shared = [Call(each, self._rng.choice(list(LINES))) for each in SHARED]
        self.given_up: list[str] = []

    def next(self) -> Sent:
        """The next request."""
        rng = self._rng
        if len(self._live) < LIVE and rng.random() < 0.5:
            call = Call(sid(rng), rng.choice(list(LINES)), left=rng.randrange(10, 150))
            self._live.append(call)
            return self._send(call, b"/twilio/voice", b"", [], self._hostile())
        call = self._call()
        match rng.choices(("turn", "poll", "again", "status", "recording"), (70, 8, 5, 7, 10))[0]:
            case "turn":
                return self._send(call, b"/twilio/voice", b"turn=%d" % call.turn, self._heard(), self._hostile())
            case "poll":
                query = b"turn=%d&offset=%d&polls=%d" % (call.turn, rng.randrange(call.turn + 3), rng.randrange(100))
                return self._send(call, b"/twilio/voice", query, [], self._hostile())
            case "again":
                return self._send(call, b"/twilio/voice", b"turn=%d&again=%d" % (call.turn, rng.randrange(25)), [], self._hostile())
            case "status":
                status = rng.choice((b"ringing", b"in-progress", b"completed", b"busy", b"failed", hostile_texts.value(rng)))
                fields = [(b"CallStatus", status), (b"CallDuration", b"7"), (b"SequenceNumber", b"0")]
                return self._send(call, b"/twilio/status", b"", fields, self._hostile())
            case _:
                query = b"turn=%d" % call.turn
                fields = [(b"RecordingUrl", b"https%3A%2F%2Fx%2Fr"), (b"RecordingStatus", b"completed"), (b"RecordingDuration", b"3")]
                return self._send(call, b"/twilio/recording", query, fields, self._hostile())

    def hear(self, sent: Sent, answer: Answer) -> None:
        """Learn from an answer which turn comes next, or that the call is over."""
        call = sent.call
        if call is None or answer.status != 200:
            return
        found = _TURN.search(answer.body)
        if found:
            call.turn = int(found[1])
        elif sent.plain and call in self._live:
            self._give_up(call)

    # -- calls ---------------------------------------------------------------------------------------------------------------------------------

    def _hostile(self) -> int:
        """How many things are wrong with a request."""
        return self._rng.choices((0, 1, 2, 5), (25, 45, 20, 10))[0]

    def _call(self) -> Call:
        """Most often one that is live; else one that is over, is forgotten, is everybody's, or was never there."""
        rng = self._rng
        draw = rng.random()
        if draw < 0.02:
            return Call(sid(rng), rng.choice(list(LINES)), turn=rng.randrange(9))
        for most, calls in ((0.05, self._shared), (0.10, self._gone), (0.13, self._forgotten)):
            if draw < most and calls:
                return rng.choice(calls)
        if not self._live:
            return rng.choice(self._shared)
        call = rng.choice(self._live)
        call.left -= 1
        if not call.left:
            self._give_up(call)
        return call

    def _give_up(self, call: Call) -> None:
        self._live.remove(call)
        self._gone.append(call)
        if len(self._gone) > GONE:
            call = self._gone.popleft()
            self._forgotten.append(call)
            self.given_up.append(call.sid)

    def _heard(self) -> Fields:
        return [(name.encode(), quote_plus(value).encode()) for name, value in heard(self._rng).items()]

    # -- requests ------------------------------------------------------------------------------------------------------------------------------

    def _send(self, call: Call, path: bytes, query: bytes, facts: Fields, hostile: int) -> Sent:
        rng = self._rng
        told = {name for name, _ in facts}
        fields = [each for each in call.fields if each[0] not in told] + facts
        to_query = rng.random() < 0.12
        for _ in range(hostile):
            if path != b"/twilio/status" and rng.random() < 0.2:
                query = self._spoilt_query(query)
            else:
                fields = self._spoilt(fields, MAX_TARGET // 2 if to_query else MAX_BODY - 2_000)
        if to_query:
            return self._get(call, path, query, fields, plain=not hostile)
        if hostile and rng.random() < 0.06:
            return self._odd(call, path, query, fields)
        body = b"&".join([name + b"=" + value for name, value in fields])
        pairs = [(hostile_texts.read(name), hostile_texts.read(value)) for name, value in fields if name or value]
        return self._post(call, path, query, body, pairs, plain=not hostile)

    def _spoilt(self, fields: Fields, room: int) -> Fields:
        """With one thing wrong."""
        rng = self._rng
        at = rng.randrange(len(fields)) if fields else 0
        value = hostile_texts.value(rng)
        names = (b"Digits", b"SpeechResult", b"RecordingUrl", b"RecordingDuration", b"DialCallStatus", b"DialCallDuration", b"CallStatus", b"To",
                 b"From", b"CallSid", b"AccountSid", b"Confidence", b"RecordingStatus")  # fmt: skip
        weights = (9, 9, 5, 3, 4, 3, 3, 2, 3, 1, 1, 1, 2)
        draw = rng.random()
        if draw < 0.6:
            (name,) = rng.choices(names, weights)
            return [*[each for each in fields if each[0] != name], (name, value)]
        if draw < 0.75 and fields:
            return [*fields[:at], (fields[at][0], value), *fields[at + 1 :]]
        if draw < 0.82:
            return [*fields, (hostile_texts.value(rng), value)]
        if draw < 0.88 and fields:
            return [*fields, (fields[at][0], value)]
        if draw < 0.93:
            return fields[:at] + fields[at + 1 :]
        if draw < 0.96:
            return rng.sample(fields, len(fields))
        if draw < 0.98:
            return fields + [(b"x%d" % number, b"") for number in range(rng.choice((150, MAX_FIELDS, MAX_FIELDS * 10)))]
        taken = sum(len(name) + len(value) + 2 for name, value in fields)
        (name,) = rng.choices(names, weights)
        return [*fields, (name, hostile_texts.long_value(rng, max(rng.choice((500, 5_000, room)) - taken, 1)))]

    def _spoilt_query(self, query: bytes) -> bytes:
        rng = self._rng
        name = rng.choice((b"turn", b"offset", b"polls", b"again", hostile_texts.value(rng)))
        value = hostile_texts.value(rng)[:500]
        draw = rng.random()
        if draw < 0.5:
            parts = [each for each in query.split(b"&") if not each.startswith(name + b"=")] + [name + b"=" + value]
        elif draw < 0.8:
            parts = [*query.split(b"&"), name + b"=" + value]
        elif draw < 0.9:
            parts = [query, *[b"x=%d" % number for number in range(rng.choice((10, 900)))]]
        else:
            parts = [value]
        return quote_from_bytes(b"&".join(parts), safe=_SAFE_IN_TARGET).encode()

    def _get(self, call: Call, path: bytes, query: bytes, fields: Fields, *, plain: bool) -> Sent:
        written = b"&".join([query, *[name + b"=" + value for name, value in fields]])
        target = path + b"?" + quote_from_bytes(written, safe=_SAFE_IN_TARGET).encode()
        return self._wired(call, path, Wire(b"GET", target, (), b""), (), plain=plain)

    def _post(self, call: Call, path: bytes, query: bytes, body: bytes, pairs: Sequence[tuple[str, str]], *, plain: bool = False) -> Sent:
        target = path + b"?" + query if query else path
        return self._wired(call, path, Wire(b"POST", target, ((b"Content-Type", FORM),), body), pairs, plain=plain)

    def _odd(self, call: Call, path: bytes, query: bytes, fields: Fields) -> Sent:
        """A body that is no form, or none that is taken, with a signature that fits."""
        rng = self._rng
        own = b"AccountSid=" + ACCOUNT.encode() + b"&CallSid=" + call.sid.encode() + b"&"
        draw = rng.random()
        if draw < 0.7:
            noise = rng.choice(
                (rng.randbytes(rng.randrange(60)), rng.randbytes(2_000), b"&" * 150, b"=" * 500, b"%" * 99, bytes(99), b"\r\n\r\n", b"")
            )
            body = rng.choice((own + noise, noise + b"&" + own, noise))
            pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
            return self._post(call, path, query, body, pairs)
        if draw < 0.75:
            return self._post(call, path, query, own + b"x=" + b"y" * MAX_BODY, ())
        body = b"&".join([name + b"=" + value for name, value in fields]) if draw < 0.8 else rng.randbytes(rng.randrange(99))
        kind = rng.choice((b"application/json", b"text/plain", b"multipart/form-data", b"", b"a/b; charset=\xc3\xa9", b";", b"x" * 3_000))
        target = path + b"?" + query + b"&bodySHA256=" + sha256(body).hexdigest().encode()
        return self._wired(call, path, Wire(b"POST", target, ((b"Content-Type", kind),), body), ())

    def _wired(self, call: Call, path: bytes, wire: Wire, pairs: Sequence[tuple[str, str]], *, plain: bool = False) -> Sent:
        rng = self._rng
        host = HOST.encode()
        signed = b"http://" + host + wire.target + "".join([name + value for name, value in sorted(set(pairs))]).encode()
        headers: tuple[tuple[bytes, bytes], ...] = (
            (b"Host", host),
            (SIGNATURE, b64encode(digest(TOKEN.encode(), signed, "sha1"))),
            *wire.headers,
        )
        body = wire.body
        if body and rng.random() < 0.05:
            headers += ((b"Transfer-Encoding", b"chunked"),)
            body = chunked(body, [rng.randrange(1, 4_000) for _ in range(rng.randrange(6))])
        data = bytes(Wire(wire.method, wire.target, headers, body))
        alone = len(wire.target) > MAX_TARGET or len(wire.body) > MAX_BODY or not wire.target.isascii()
        return Sent(data, path.decode(), call, plain and not alone, alone)
