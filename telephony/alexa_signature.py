"""Who sent this request: Alexa's `Signature-256`, checked against the certificate chain that the request names.

    verifier = AlexaVerifier()                      # Amazon's chains, fetched once each
    await verifier.verify(request.headers, body)    # raises an UnverifiedError that says why not

The chain is fetched from Amazon's bucket and nowhere else, has to lead to a trusted root and to name Alexa's service, and its key has to
have signed the raw body, which in turn has to say that it is young. Nothing is pinned: Amazon changes its keys and its authorities.
Rows AX1 to AX4 of `docs/channels.md`;
https://developer.amazon.com/docs/custom-skills/host-a-custom-skill-as-a-web-service.html.
"""

import asyncio
import binascii
import contextlib
import re
import time
import warnings
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache

import certifi
import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.verification import PolicyBuilder, Store

from telephony.alexa_fetch import fetch_chain
from telephony.errors import AgeError, ChainError, ChainUrlError, SignatureError, UnverifiedError

SERVICE = "echo-api.amazon.com"
"""Whom the leaf certificate has to name (AX3)."""

WINDOW = 150
"""Seconds that a request may be old, or early (AX4)."""

EVENT_WINDOW = 3_600
"""The same for the events of a skill (enabled, disabled, consent given), which Amazon sends again for an hour."""

KEPT_CHAINS = 8
"""Amazon uses one at a time, and two while it changes them."""

MOST_FETCHES = 4
"""At once: whoever makes addresses up shall not have us fetch without end."""

_SIGNATURE_LENGTH = 1_024
"""Characters that a signature may have: those of a key of 6,144 bits."""

_URL = re.compile(r"(?i:https)://(?i:s3\.amazonaws\.com)(?::443)?(?P<path>(?:/[A-Za-z0-9._~-]+)+)", re.ASCII)
_FOLDER = "/echo.api/"
_HEADERS = frozenset({"signaturecertchainurl", "signature-256"})

Fetch = Callable[[str], Awaitable[bytes]]
"""Gets a chain (PEM) from exactly this address; raises `ChainError`."""


class _Key(msgspec.Struct, frozen=True):
    """The key of a chain that has been found good, and until when it is (seconds since the epoch)."""

    public: RSAPublicKey
    until: float


class _Said(msgspec.Struct, frozen=True):
    type: str = ""
    timestamp: str = ""


class _Envelope(msgspec.Struct, frozen=True):
    request: _Said


class AlexaVerifier:
    """Tells requests of Alexa from all others.

    `roots`: whom to trust; by default the public authorities (certifi's). `fetch`: how to get a chain. `clock`: seconds since the epoch.
    Chains that were found good are kept, the few used last; bad ones are not, so made-up addresses push none out.
    """

    def __init__(
        self, roots: Iterable[x509.Certificate] | None = None, fetch: Fetch = fetch_chain, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = None if roots is None else Store(list(roots))
        self._fetch = fetch
        self._clock = clock
        self._keys: OrderedDict[str, _Key] = OrderedDict()
        self._fetching: dict[str, asyncio.Task[_Key]] = {}

    async def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """Let a request through, or raise why not: an `UnverifiedError`. `headers` are found whatever their case."""
        given = _only(headers)
        url = chain_url(given.get("signaturecertchainurl"))
        signature = read_signature(given.get("signature-256"))
        key = self._keys.get(url)
        if key is None or key.until < self._clock():
            key = await self._new_key(url)
        self._keys[url] = key
        self._keys.move_to_end(url)
        try:
            key.public.verify(signature, body, PKCS1v15(), SHA256())
        except InvalidSignature:
            raise SignatureError("Signature-256 does not fit the body") from None
        check_age(body, self._clock())

    async def _new_key(self, url: str) -> _Key:
        """Fetch and check a chain; who asks for the same one meanwhile waits for the same answer."""
        task = self._fetching.get(url)
        if task is None:
            if len(self._fetching) >= MOST_FETCHES:
                raise ChainError(f"{MOST_FETCHES} chains are being fetched already")
            task = self._fetching[url] = asyncio.create_task(self._check(url))
            task.add_done_callback(lambda done: self._fetched(url, done))
        key = await asyncio.shield(task)
        while len(self._keys) >= KEPT_CHAINS:
            self._keys.popitem(last=False)
        return key

    def _fetched(self, url: str, task: asyncio.Task[_Key]) -> None:
        self._fetching.pop(url, None)
        if not task.cancelled():
            task.exception()  # whoever asked may have gone: an error that nobody collects is no news

    async def _check(self, url: str) -> _Key:
        return self._read(await self._fetch(url))

    def _read(self, pem: bytes) -> _Key:
        """The key of a chain that leads from Alexa's service to a trusted root, now (AX3)."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        store = self._store or _public_store()
        try:
            leaf, *between = x509.load_pem_x509_certificates(pem)
            verifier = PolicyBuilder().store(store).time(now).build_server_verifier(x509.DNSName(SERVICE))
            chain = verifier.verify(leaf, between)
            public = leaf.public_key()
        except Exception as error:  # noqa: BLE001 - what is no certificate may raise anything; VerificationError is but one of many
            raise ChainError(f"the certificate chain is not to be trusted: {error}") from None
        if not isinstance(public, RSAPublicKey):
            raise ChainError("the certificate's key is not RSA")
        return _Key(public, min(each.not_valid_after_utc for each in chain).timestamp())


def chain_url(given: str | None) -> str:
    """The address to fetch a chain from, as it is fetched (AX2). Raises `ChainUrlError` for all that is not in Amazon's folder.

    It is made anew from the parts that were checked, so that nothing can be read differently by who fetches. Dots in the path are
    resolved, as Amazon demands. Refused is what no address of Amazon's needs: a query, a login, a percent sign, a backslash, an empty part.
    """
    found = _URL.fullmatch(given or "")
    if found is None:
        raise ChainUrlError(f"SignatureCertChainUrl is no address of Amazon's certificates: {given!r:.200}")
    parts: list[str] = []
    for part in found["path"].split("/")[1:]:
        match part:
            case ".":
                pass
            case "..":
                if not parts:
                    raise ChainUrlError(f"SignatureCertChainUrl leads out of its host: {given!r:.200}")
                parts.pop()
            case _:
                parts.append(part)
    path = "/" + "/".join(parts)
    if not path.startswith(_FOLDER):
        raise ChainUrlError(f"SignatureCertChainUrl is not in {_FOLDER}: {given!r:.200}")
    return f"https://s3.amazonaws.com{path}"


def read_signature(given: str | None) -> bytes:
    """The bytes of a `Signature-256`. The old `Signature`, over SHA-1, is none (AX1)."""
    if not given:
        raise SignatureError("Signature-256 is missing")
    if len(given) > _SIGNATURE_LENGTH:
        raise SignatureError("Signature-256 is too long to be one")
    try:
        return b64decode(given.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise SignatureError("Signature-256 is not base64") from None


def check_age(body: bytes, now: float) -> None:
    """Look at the time that a signed body names; `now` is in seconds since the epoch. Raises `AgeError` (AX4)."""
    try:
        request = msgspec.json.decode(body, type=_Envelope).request
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise AgeError("the body is no request of Alexa's, so it names no time") from None
    try:
        moment = datetime.fromisoformat(request.timestamp)
    except ValueError:
        raise AgeError(f"the request names no time: {request.timestamp!r:.60}") from None
    if moment.tzinfo is None:
        raise AgeError(f"the request's time has no zone: {request.timestamp!r:.60}")
    window = EVENT_WINDOW if request.type.startswith("AlexaSkillEvent.") else WINDOW
    age = now - moment.timestamp()
    if abs(age) > window:
        raise AgeError(f"the request is {age:.0f} s old; {window} s at most may lie between its time and ours")


def _only(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that are there once: of two nobody can tell which one a proxy in front has looked at."""
    found: dict[str, str] = {}
    for key, value in headers.items():
        name = key.lower()
        if name in _HEADERS:
            found[name] = "" if name in found else value
    return found


@lru_cache(maxsize=1)
def _public_store() -> Store:
    """Read when the first chain comes: it takes a tenth of a second."""
    return Store(list(_public_roots()))


def _public_roots() -> Iterator[x509.Certificate]:
    """Certifi's authorities, without those whose certificates break the rules so that cryptography will not read them for long."""
    with open(certifi.where(), "rb") as file, warnings.catch_warnings():  # noqa: PTH123 - certifi gives a text
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        for pem in re.findall(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", file.read(), re.DOTALL):
            with contextlib.suppress(ValueError, CryptographyDeprecationWarning):
                yield x509.load_pem_x509_certificate(pem)


__all__ = ["AgeError", "AlexaVerifier", "ChainError", "ChainUrlError", "SignatureError", "UnverifiedError", "chain_url"]
