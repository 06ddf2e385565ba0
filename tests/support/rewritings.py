"""Ways to send the very same webhook that leave it genuine: how it is carried, and how its fields are written."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from support.webhooks import FORM
from support.wire import Wire, chunked

Rewriting = Callable[[Random, Wire], Wire]


def header(wire: Wire, name: bytes) -> bytes:
    """Its first value; empty where there is none."""
    return next((value for each, value in wire.headers if each == name), b"")


def put(wire: Wire, name: bytes, *values: bytes) -> Wire:
    """With these values of a header in the place of its own."""
    others = tuple(each for each in wire.headers if each[0] != name)
    return replace(wire, headers=(*others, *[(name, value) for value in values]))


def _in_chunks(rng: Random, wire: Wire) -> Wire:
    if not wire.body:
        return wire
    sizes = [rng.randrange(1, 400) for _ in range(rng.randrange(5))]
    return replace(put(wire, b"Transfer-Encoding", b"chunked"), body=chunked(wire.body, sizes))


def _named(change: Callable[[bytes], bytes]) -> Rewriting:
    return lambda _, wire: replace(wire, headers=tuple((change(name), value) for name, value in wire.headers))


def _with(*headers: tuple[bytes, bytes]) -> Rewriting:
    return lambda _, wire: replace(wire, headers=(*wire.headers, *headers))


CARRIERS: dict[str, Rewriting] = {
    "as it is": lambda _, wire: wire,
    "in chunks": _in_chunks,
    "header names in lower case": _named(bytes.lower),
    "header names in upper case": _named(bytes.upper),
    "headers in another order": lambda rng, wire: replace(wire, headers=tuple(rng.sample(wire.headers, len(wire.headers)))),
    "headers with spaces around": lambda _, wire: replace(
        wire, headers=tuple((name, b"\t " + value + b" \t") for name, value in wire.headers)
    ),
    "after an expectation": _with((b"Expect", b"100-continue")),
    "by a proxy that is not trusted": _with(
        (b"X-Forwarded-Host", b"evil.example"), (b"X-Forwarded-Proto", b"https"), (b"Forwarded", b"host=x")
    ),
    "overriding the method": _with((b"X-HTTP-Method-Override", b"GET")),
}
"""These may carry anything, a forgery as well."""


def _form(change: Callable[[Random, list[bytes]], list[bytes]]) -> Rewriting:
    def rewrite(rng: Random, wire: Wire) -> Wire:
        if header(wire, b"Content-Type") != FORM:
            return wire
        return replace(wire, body=b"&".join(change(rng, wire.body.split(b"&"))))

    return rewrite


def _typed(content_type: bytes) -> Rewriting:
    return lambda _, wire: put(wire, b"Content-Type", content_type) if header(wire, b"Content-Type") == FORM else wire


def _escaped(_: Random, fields: list[bytes]) -> list[bytes]:
    return [b"%%%02x" % field[0] + field[1:] for field in fields]


def _in_lower_case(_: Random, fields: list[bytes]) -> list[bytes]:
    return [field.replace(b"%2B", b"%2b").replace(b"%C3%A9", b"%c3%a9").replace(b"%3A", b"%3a") for field in fields]


WRITINGS: dict[str, Rewriting] = {
    "the fields in another order": _form(lambda rng, fields: rng.sample(fields, len(fields))),
    "a field twice": _form(lambda rng, fields: [*fields, rng.choice(fields)]),
    "spaces as %20": _form(lambda _, fields: [field.replace(b"+", b"%20") for field in fields]),
    "escapes in lower case": _form(_in_lower_case),
    "escapes that need not be": _form(_escaped),
    "fields that are empty": _form(lambda _, fields: [b"", *fields, b"", b""]),
    "with the charset": _typed(FORM + b"; charset=UTF-8"),
    "with a charset that nobody uses": _typed(FORM + b"; charset=utf-7"),
    "with its type in upper case": _typed(FORM.upper()),
}
"""Of forms; other requests are left as they are, since the text of a URL is what is signed."""
