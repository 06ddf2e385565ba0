"""What a forger may alter in a genuine webhook, one thing at a time, and what that must be refused with."""

import base64
import hmac
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from gzip import compress
from hashlib import sha256
from random import Random
from urllib.parse import parse_qsl, quote, quote_plus

from support.phone_house import ACCOUNT, TOKEN
from support.rewritings import header, put
from support.webhooks import FORM, SIGNATURE, Webhook, sid, webhook
from support.wire import Wire

from telephony.twilio_signature import sign

HOST = "Phone.example.org:8443"
"""With an odd port: that a signer may leave the port out is tried apart."""

FORGED = frozenset({403})
BROKEN = FORGED | {400}
ASTRAY = BROKEN | {404}
UNALLOWED = frozenset({405})
UNREADABLE = frozenset({400})
"""Whatever it says, it is not even read."""

Alteration = Callable[[Random, Webhook, Wire], Wire | None]
"""Alters one thing; None where there is no such thing to alter."""


# -- parts -----------------------------------------------------------------------------------------------------------------------------------


def said(wire: Wire) -> str | None:
    """What its signature is over, as Twilio has it; None: there is nothing that a signature could be over."""
    url = f"http://{header(wire, b'Host').decode('latin-1')}{wire.target.decode('latin-1')}"
    if wire.method == b"GET":
        return url
    if wire.method != b"POST":
        return None
    if header(wire, b"Content-Type") == FORM:
        pairs = {_pair(field) for field in wire.body.split(b"&") if field}
        return url + "".join([name + value for name, value in sorted(pairs)])
    hashes = [value for name, value in parse_qsl(url.partition("?")[2]) if name == "bodySHA256"]
    return url if hashes[:1] == [sha256(wire.body).hexdigest()] else None


@lru_cache(4096)
def _pair(field: bytes) -> tuple[str, str]:
    """Most fields are the same in all requests."""
    return parse_qsl(field.decode("utf-8", "replace"), keep_blank_values=True)[0]


def _with_fields(wire: Wire, fields: list[bytes]) -> Wire:
    """With these fields where its own are: in the body or in the query."""
    if wire.body:
        return replace(wire, body=b"&".join(fields))
    return replace(wire, target=wire.target.partition(b"?")[0] + b"?" + b"&".join(fields))


def _fields_of(wire: Wire) -> list[bytes]:
    return (wire.body or wire.target.partition(b"?")[2]).split(b"&")


def _in_bytes(change: Callable[[Random, bytes, int], bytes]) -> Alteration:
    def alter(rng: Random, _: Webhook, wire: Wire) -> Wire | None:
        if not wire.body:
            return None
        return replace(wire, body=change(rng, wire.body, rng.randrange(len(wire.body))))

    return alter


def _in_field(change: Callable[[Random, bytes], bytes]) -> Alteration:
    def alter(rng: Random, _: Webhook, wire: Wire) -> Wire:
        fields = _fields_of(wire)
        at = rng.randrange(len(fields))
        fields[at] = change(rng, fields[at])
        return _with_fields(wire, fields)

    return alter


def _in_fields(change: Callable[[Random, list[bytes]], object]) -> Alteration:
    def alter(rng: Random, _: Webhook, wire: Wire) -> Wire:
        fields = _fields_of(wire)
        change(rng, fields)
        return _with_fields(wire, fields)

    return alter


def _in_target(change: Callable[[Random, bytes, bytes], bytes]) -> Alteration:
    def alter(rng: Random, __: Webhook, wire: Wire) -> Wire:
        path, _, query = wire.target.partition(b"?")
        return replace(wire, target=change(rng, path, query))

    return alter


def _in_host(*hosts: bytes) -> Alteration:
    return lambda rng, _, wire: put(wire, b"Host", rng.choice(hosts))


def _in_signature(change: Callable[[Random, bytes], bytes]) -> Alteration:
    return lambda rng, _, wire: put(wire, SIGNATURE, change(rng, header(wire, SIGNATURE)))


def _signed(text: Callable[[Webhook, Wire], str], hash_: str = "sha1", token: str = TOKEN) -> Alteration:
    def alter(_: Random, meant: Webhook, wire: Wire) -> Wire:
        return put(wire, SIGNATURE, base64.b64encode(hmac.digest(token.encode(), text(meant, wire).encode(), hash_)))

    return alter


def _whole(_: Webhook, wire: Wire) -> str:
    return said(wire) or ""


# -- alterations -----------------------------------------------------------------------------------------------------------------------------


def _byte(rng: Random, data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ rng.randrange(1, 256)]) + data[at + 1 :]


def _letter(rng: Random, text: bytes, at: int) -> bytes:
    other = rng.choice([each for each in b"ABCDabcd0123+/=" if each != text[at]])
    return text[:at] + bytes([other]) + text[at + 1 :]


OTHER_FIELDS = (
    b"x=1", b"=", b"CallSid=CA1", b"Digits=1", b"SpeechResult=yes", b"RecordingUrl=http%3A%2F%2Fx", b"CallStatus=completed",
    b"AccountSid=" + ACCOUNT.encode(), b"\xff=\xfe", b"%00=%00", b"__proto__=1", b"a[]=1",
)  # fmt: skip


def _swap_two_values(rng: Random, fields: list[bytes]) -> None:
    one, other = rng.sample(range(len(fields)), 2) if len(fields) > 1 else (0, 0)
    (a, _, first), (b, _, second) = fields[one].partition(b"="), fields[other].partition(b"=")
    fields[one], fields[other] = a + b"=" + second, b + b"=" + first


def _another_call(rng: Random, meant: Webhook, wire: Wire) -> Wire:
    pairs = tuple((name, sid(rng) if name == "CallSid" else value) for name, value in meant.pairs)
    return put(replace(meant, pairs=pairs).wire(), SIGNATURE, header(wire, SIGNATURE))


def _another_account(rng: Random, meant: Webhook, _: Wire) -> Wire | None:
    """Signed with our token, and yet not ours: the account of a sub-account, of whoever shares the token."""
    if meant.json:
        return None
    other = rng.choice(["AC" + "9" * 32, "", ACCOUNT.lower(), ACCOUNT + "1", ACCOUNT[:-1], " " + ACCOUNT, ACCOUNT + "\0"])
    pairs = tuple((name, other if name == "AccountSid" else value) for name, value in meant.pairs)
    return replace(meant, pairs=pairs).wire()


def _another_token(rng: Random, meant: Webhook, _: Wire) -> Wire:
    return replace(meant, token=rng.choice(["another token", TOKEN + " ", TOKEN[:-1], TOKEN.upper(), ACCOUNT, "0"])).wire()


def _moved_into_the_query(_: Random, meant: Webhook, wire: Wire) -> Wire | None:
    if not wire.body or meant.json:
        return None
    join = b"&" if b"?" in wire.target else b"?"
    return replace(wire, target=wire.target + join + wire.body, body=b"")


def _moved_into_the_body(__: Random, ___: Webhook, wire: Wire) -> Wire | None:
    if wire.body:
        return None
    path, _, query = wire.target.partition(b"?")
    return put(replace(wire, method=b"POST", target=path, body=query), b"Content-Type", FORM)


def _method(*methods: bytes) -> Alteration:
    return lambda rng, _, wire: replace(wire, method=rng.choice(methods))


def _other_method(_: Random, __: Webhook, wire: Wire) -> Wire:
    return replace(wire, method=b"POST" if wire.method == b"GET" else b"GET")


def _content_type(rng: Random, _: Webhook, wire: Wire) -> Wire | None:
    own = header(wire, b"Content-Type")
    others = [b"application/json", b"text/plain", b"multipart/form-data; boundary=x", b"application/x-www-form-urlencoded-x", b"", b"*/*",
              b"application/octet-stream", b"application/x-www-form-urlencoded, application/json", b"\xc3\xa9", b";;;", FORM]  # fmt: skip
    return put(wire, b"Content-Type", rng.choice([each for each in others if each != own])) if wire.body else None


def _multipart(_: Random, meant: Webhook, wire: Wire) -> Wire | None:
    if not wire.body or meant.json:
        return None
    parts = [f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in meant.pairs]
    return put(replace(wire, body=("".join(parts) + "--x--\r\n").encode()), b"Content-Type", b"multipart/form-data; boundary=x")


def _hash(rng: Random, meant: Webhook, wire: Wire) -> Wire | None:
    """Another body whose hash the URL does carry, which is not what was signed."""
    if not meant.json:
        return None
    body = wire.body.replace(b"CA", b"CB")
    path, _, query = wire.target.partition(b"?")
    theirs = b"bodySHA256=" + sha256(body).hexdigest().encode()
    own = [each for each in query.split(b"&") if not each.startswith(b"bodySHA256=")]
    signed = [each for each in query.split(b"&") if each not in own]
    query = b"&".join(rng.choice([[*own, theirs], [*own, theirs, *signed], [*own, *signed, theirs], own]))
    return replace(wire, target=path + b"?" + query, body=body)


def _without_its_signature(rng: Random, _: Webhook, wire: Wire) -> Wire:
    signature = header(wire, SIGNATURE)
    elsewhere = rng.choice(
        [b"X-Twilio-Signature-V2", b"X_Twilio_Signature", b"Signature", b"Authorization", b"Cookie", b"X-Twilio-Signature2"]
    )
    return put(put(wire, SIGNATURE), elsewhere, signature)


def _two_signatures(rng: Random, _: Webhook, wire: Wire) -> Wire:
    own = header(wire, SIGNATURE)
    other = rng.choice([b"", b"AAAA", own, own.swapcase()])
    return put(wire, SIGNATURE, *rng.choice([(own, other), (other, own)]))


def _signed_without_fields(_: Random, meant: Webhook, wire: Wire) -> Wire | None:
    return None if meant.method == "GET" or meant.json else put(wire, SIGNATURE, sign(TOKEN, f"http://{HOST}{meant.target}").encode())


def _another_ones_signature(rng: Random, meant: Webhook, wire: Wire) -> Wire:
    other = webhook(rng, meant.host)
    return put(wire, SIGNATURE, header(other.wire(), SIGNATURE))


def _two(name: bytes, *values: bytes) -> Alteration:
    """A header again that may be there once."""

    def alter(rng: Random, _: Webhook, wire: Wire) -> Wire | None:
        own = header(wire, name)
        return put(wire, name, own, rng.choice([own, *values])) if own else None

    return alter


def _broken_chunks(rng: Random, _: Webhook, wire: Wire) -> Wire | None:
    if not wire.body:
        return None
    body = rng.choice(
        [b"zz\r\n", b"-1\r\n\r\n", b"5\r\nab\r\n0\r\n\r\n", b"ffffffffffffffffff\r\nx", b"%x;\0\r\n" % len(wire.body) + wire.body]
    )
    return replace(put(wire, b"Transfer-Encoding", b"chunked"), body=body)


def _two_lengths(rng: Random, _: Webhook, wire: Wire) -> Wire | None:
    if not wire.body:
        return None
    twice = rng.choice([(b"1", b"2"), (b"%d" % len(wire.body), b"1"), (b"+%d" % len(wire.body),), (b"0x10",), (b"1, 2",), (b"",)])
    return put(wire, b"Content-Length", *twice)


def _other_tunnel(_: Random, __: Webhook, wire: Wire) -> Wire | None:
    if not wire.body:
        return None
    return put(put(wire, b"Content-Length", b"%d" % len(wire.body)), b"Transfer-Encoding", b"chunked")


ALTERATIONS: dict[str, tuple[Alteration, frozenset[int]]] = {
    "a byte of the body": (_in_bytes(_byte), FORGED),
    "a bit of the body": (_in_bytes(lambda rng, body, at: body[:at] + bytes([body[at] ^ 1 << rng.randrange(8)]) + body[at + 1 :]), FORGED),
    "a byte of the body left out": (_in_bytes(lambda _, body, at: body[:at] + body[at + 1 :]), FORGED),
    "a byte more in the body": (_in_bytes(lambda rng, body, at: body[:at] + rng.randbytes(1) + body[at:]), FORGED),
    "the body cut": (_in_bytes(lambda _, body, at: body[:at] or b"x"), FORGED),
    "the body twice": (_in_bytes(lambda _, body, __: body + body), FORGED),
    "something behind the body": (
        _in_bytes(lambda rng, body, _: body + rng.choice([b"\r\n", b"\0", b" ", b"x", b"\xff", b"&x", b"}"])),
        FORGED,
    ),
    "something before the body": (_in_bytes(lambda rng, body, _: rng.choice([b"\xef\xbb\xbf", b"\r\n", b"?", b" ", b"x"]) + body), FORGED),
    "the body encoded once more": (_in_bytes(lambda _, body, __: quote(body).encode()), FORGED),
    "the body in UTF-16": (_in_bytes(lambda _, body, __: body.decode().encode("utf-16")), FORGED),
    "the body in EBCDIC": (_in_bytes(lambda _, body, __: body.decode().encode("cp500")), FORGED),
    "the body compressed": (
        lambda _, __, wire: put(replace(wire, body=compress(wire.body, 1)), b"Content-Encoding", b"gzip") if wire.body else None,
        FORGED,
    ),
    "a field more": (_in_fields(lambda rng, fields: fields.insert(rng.randrange(len(fields) + 1), rng.choice(OTHER_FIELDS))), FORGED),
    "a field less": (_in_fields(lambda rng, fields: fields.pop(rng.randrange(len(fields)))), FORGED),
    "all fields but one less": (_in_fields(lambda rng, fields: fields.__setitem__(slice(None), [rng.choice(fields)])), FORGED),
    "a field's other value": (_in_field(lambda rng, field: field.partition(b"=")[0] + b"=" + rng.randbytes(3).hex().encode()), FORGED),
    "a field's value left out": (_in_field(lambda _, field: field.partition(b"=")[0] + b"="), FORGED),
    "a field's longer value": (
        _in_field(lambda rng, field: field + rng.choice([b"0", b"+", b"%00", b"%0A", b"%C3%A9", b"%", b"\xe9"])),
        FORGED,
    ),
    "a field's name in other case": (_in_field(lambda _, field: field.partition(b"=")[0].swapcase() + field[field.find(b"=") :]), FORGED),
    "a field's name left out": (_in_field(lambda _, field: b"=" + field.partition(b"=")[2]), FORGED),
    "a field twice, with another value": (
        _in_fields(lambda rng, fields: fields.insert(rng.randrange(len(fields)), rng.choice(fields) + b"1")),
        FORGED,
    ),
    "two fields' values swapped": (_in_fields(_swap_two_values), FORGED),
    "a field in Latin-1": (_in_field(lambda _, field: field.replace(b"%C3%A9", b"%E9") + b"%E9"), FORGED),
    "another call": (_another_call, FORGED),
    "fields moved into the query": (_moved_into_the_query, FORGED),
    "fields moved into the body": (_moved_into_the_body, FORGED),
    "another query": (
        _in_target(
            lambda rng, path, query: (
                path + b"?" + rng.choice([b"", query + b"&", query + b"&x=1", b"turn=99", b"again=1", query.upper() + b"X"])
            )
        ),
        FORGED,
    ),
    "no query": (_in_target(lambda _, path, query: path if query else path + b"?turn=0"), FORGED),
    "another turn": (
        _in_target(lambda rng, path, query: path + b"?turn=%d" % rng.randrange(100, 999) + (b"&" + query if query else b"")),
        FORGED,
    ),
    "a fragment": (_in_target(lambda _, path, query: path + b"?" + query + b"#x"), FORGED),
    "another endpoint": (
        _in_target(
            lambda rng, path, query: (
                rng.choice([each for each in (b"/twilio/voice", b"/twilio/status", b"/twilio/recording") if each != path]) + b"?" + query
            )
        ),
        FORGED,
    ),
    "the path written in another way": (
        _in_target(
            lambda rng, path, query: (
                rng.choice(
                    [
                        path.replace(b"twilio", b"%74wilio"),
                        b"/twilio/.." + path,
                        b"/" + path,
                        b"/." + path,
                        path + b"/",
                        path.upper(),
                        path + b";x",
                        path + b"%00",
                        path + b"/../" + path[8:],
                        b"//evil.example" + path,
                        path.replace(b"/", b"\\"),
                    ]
                )
                + b"?"
                + query
            )
        ),
        ASTRAY,
    ),
    "the target as a whole URL": (
        _in_target(lambda rng, path, query: rng.choice([b"http://", b"https://", b"ftp://"]) + HOST.encode() + path + b"?" + query),
        ASTRAY,
    ),
    "another host": (
        _in_host(
            b"evil.example",
            HOST.lower().encode(),
            HOST.upper().encode(),
            HOST.encode() + b"0",
            b"127.0.0.1:8443",
            b"x@" + HOST.encode(),
            b"Phone.example.org.:8443",
            b"evil.example/" + HOST.encode(),
            b"Phone.example.org:8443:8443",
            b"[::1]:8443",
            b"Phone.example.org:99999",
            b"Phone.example.org:",
            b"http://" + HOST.encode(),
            b"Phone\xc3\xa9.example.org:8443",
        ),
        BROKEN,
    ),
    "another port": (_in_host(b"Phone.example.org", b"Phone.example.org:80", b"Phone.example.org:443", b"Phone.example.org:8444"), FORGED),
    "no host": (lambda _, __, wire: put(wire, b"Host"), BROKEN),
    "the host as a proxy would tell it": (
        lambda _, __, wire: put(put(wire, b"Host", b"evil.example"), b"X-Forwarded-Host", HOST.encode()),
        FORGED,
    ),
    "two hosts": (_two(b"Host", b"evil.example"), UNREADABLE),
    "two content types": (_two(b"Content-Type", b"application/json"), UNREADABLE),
    "a method of reading or writing": (_method(b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"HEAD", b"TRACE", b"PROPFIND"), UNALLOWED),
    "a method that is none": (_method(b"post", b"POSTX", b"P\0ST", b"GeT"), UNALLOWED | BROKEN),
    "the other method": (_other_method, FORGED),
    "another content type": (_content_type, FORGED),
    "the fields as multipart": (_multipart, FORGED),
    "another body with its hash": (_hash, FORGED),
    "the signature cut": (_in_signature(lambda rng, own: own[: rng.randrange(1, len(own))]), FORGED),
    "the signature cut in front": (_in_signature(lambda rng, own: own[rng.randrange(1, len(own)) :]), FORGED),
    "the signature longer": (
        _in_signature(lambda rng, own: own + rng.choice([b"=", b"A", b"\xc3\xa9", own, b" x", b"\t=", b",", b", " + own])),
        FORGED,
    ),
    "the signature longer in front": (
        _in_signature(lambda rng, own: rng.choice([b"A", b"sha1=", b'"', b"Basic ", b",", b"x, "]) + own),
        FORGED,
    ),
    "a letter of the signature": (_in_signature(lambda rng, own: _letter(rng, own, rng.randrange(27))), FORGED),
    "the signature's unused bits": (_in_signature(lambda _, own: own[:26] + bytes([own[26] + 1]) + b"="), FORGED),
    "the signature in other case": (_in_signature(lambda rng, own: rng.choice([own.swapcase(), own.lower(), own.upper()])), FORGED),
    "the signature without its padding": (_in_signature(lambda _, own: own.rstrip(b"=")), FORGED),
    "the signature of the URL alphabet": (
        lambda _, __, wire: (
            put(wire, SIGNATURE, base64.urlsafe_b64encode(base64.b64decode(own)))
            if set(own := header(wire, SIGNATURE)) & {43, 47}
            else None
        ),
        FORGED,
    ),
    "the signature in hex": (_in_signature(lambda _, own: base64.b64decode(own).hex().encode()), FORGED),
    "the signature's bare bytes": (_in_signature(lambda _, own: base64.b64decode(own).translate(None, b"\0\r\n\t ")), BROKEN),
    "the signature quoted": (
        _in_signature(lambda rng, own: rng.choice([b'"' + own + b'"', quote_plus(own).encode(), b"'" + own + b"'"])),
        FORGED,
    ),
    "the signature backwards": (_in_signature(lambda _, own: own[::-1]), FORGED),
    "an empty signature": (_in_signature(lambda rng, _: rng.choice([b"", b"=", b"====", b"null", b"None", b"0", b"AAAA"])), FORGED),
    "a long signature": (_in_signature(lambda rng, own: own * rng.randrange(2, 100)), FORGED),
    "a signature of nothing but A": (_in_signature(lambda _, __: b"A" * 27 + b"="), FORGED),
    "no signature": (lambda _, __, wire: put(wire, SIGNATURE), FORGED),
    "the signature elsewhere": (_without_its_signature, FORGED),
    "two signatures": (_two_signatures, FORGED),
    "another request's signature": (_another_ones_signature, FORGED),
    "the signature folded": (_in_signature(lambda _, own: own[:9] + b"\r\n " + own[9:]), BROKEN),
    "signed by SHA-256": (_signed(_whole, "sha256"), FORGED),
    "signed by an empty token": (_signed(_whole, token=""), FORGED),
    "signed without the URL": (_signed(lambda meant, _: "".join(name + value for name, value in sorted(meant.pairs))), FORGED),
    "signed without the fields": (_signed_without_fields, FORGED),
    "signed twice over": (_signed(lambda meant, wire: _whole(meant, wire) * 2), FORGED),
    "another account's token": (_another_token, FORGED),
    "another account, signed by ours": (_another_account, FORGED),
    "chunks that are none": (_broken_chunks, UNREADABLE),
    "two lengths": (_two_lengths, UNREADABLE),
    "a length and chunks": (_other_tunnel, UNREADABLE),
}
