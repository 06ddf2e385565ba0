"""The verifier of Alexa's requests: what is let through, and everything that is not, with the reason."""

import asyncio
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.x509.oid import ExtendedKeyUsageOID
from support.alexa_authority import NOW, URL, body, chain, fixture

from telephony import alexa_fetch
from telephony.alexa_development import development
from telephony.alexa_fetch import fetch_chain
from telephony.alexa_signature import KEPT_CHAINS, MOST_FETCHES, AlexaVerifier, chain_url
from telephony.errors import AgeError, ChainError, ChainUrlError, SignatureError, UnverifiedError

GOOD = chain()
LAUNCH = body()


class Bucket:
    """Amazon's bucket: what is fetched from it, and how often."""

    def __init__(self, pem=GOOD.pem, others=None):
        self.pem = pem
        self.others = others or {}
        self.fetched = []
        self.gate = None

    async def fetch(self, url):
        self.fetched.append(url)
        if self.gate is not None:
            await self.gate.wait()
        found = self.others.get(url, self.pem)
        if isinstance(found, Exception):
            raise found
        return found


class Clock:
    def __init__(self, at=NOW):
        self.at = at

    def __call__(self):
        return self.at.timestamp()


def verifier(bucket=None, *, roots=(GOOD.root,), at=NOW):
    return AlexaVerifier(roots, (bucket or Bucket()).fetch, Clock(at) if isinstance(at, datetime) else at)


async def refused(kind, headers, content=LAUNCH, **options):
    with pytest.raises(kind) as caught:
        await verifier(**options).verify(headers, content)
    return str(caught.value)


# -- what is let through -------------------------------------------------------------------------------------------------------------------


async def test_what_alexa_signs_is_let_through_and_its_chain_is_fetched_once():
    bucket = Bucket()
    trusting = verifier(bucket)
    for _ in range(3):
        await trusting.verify(GOOD.headers(LAUNCH), LAUNCH)
    assert bucket.fetched == [URL]


@pytest.mark.parametrize("name", ["signaturecertchainurl", "SIGNATURECERTCHAINURL"])
async def test_the_case_of_headers_does_not_matter(name):
    headers = GOOD.headers(LAUNCH)
    await verifier().verify({name: headers["SignatureCertChainUrl"], "signature-256": headers["Signature-256"]}, LAUNCH)


@pytest.mark.parametrize(
    ("name", "at"),
    [("echo-api-cert-7", datetime(2020, 1, 1, tzinfo=UTC)), ("echo-api-cert-12", datetime(2023, 6, 1, tzinfo=UTC))],
)
async def test_amazons_real_chains_lead_to_a_public_authority(name, at):
    bucket = Bucket(fixture(name))
    trusting = AlexaVerifier(fetch=bucket.fetch, clock=Clock(at))
    told = body(at=at)
    with pytest.raises(SignatureError, match="does not fit"):  # the chain is good; nobody here has Amazon's key
        await trusting.verify(GOOD.headers(told), told)
    with pytest.raises(SignatureError):
        await trusting.verify(GOOD.headers(told), told)
    assert bucket.fetched == [URL], "the good chain is kept"


@pytest.mark.parametrize(
    ("url", "fetched"),
    [
        ("https://s3.amazonaws.com/echo.api/echo-api-cert.pem", "https://s3.amazonaws.com/echo.api/echo-api-cert.pem"),
        ("https://s3.amazonaws.com:443/echo.api/echo-api-cert.pem", "https://s3.amazonaws.com/echo.api/echo-api-cert.pem"),
        ("https://s3.amazonaws.com/echo.api/../echo.api/echo-api-cert.pem", "https://s3.amazonaws.com/echo.api/echo-api-cert.pem"),
        ("HTTPS://S3.AmazonAWS.com/echo.api/./x/../echo-api-cert-12.pem", "https://s3.amazonaws.com/echo.api/echo-api-cert-12.pem"),
    ],
)
async def test_addresses_as_amazon_allows_them_are_fetched_as_they_were_checked(url, fetched):
    bucket = Bucket()
    await verifier(bucket).verify(GOOD.headers(LAUNCH, url), LAUNCH)
    assert bucket.fetched == [fetched]


# -- addresses that are not Amazon's (AX2) -------------------------------------------------------------------------------------------------

BYPASSES = [
    "", " ", "https://", "https:///echo.api/x.pem", "/echo.api/x.pem", "//s3.amazonaws.com/echo.api/x.pem",
    "http://s3.amazonaws.com/echo.api/x.pem", "ftp://s3.amazonaws.com/echo.api/x.pem", "file:///echo.api/x.pem",
    "javascript:https://s3.amazonaws.com/echo.api/x.pem", "data:,https://s3.amazonaws.com/echo.api/x.pem",
    "https:s3.amazonaws.com/echo.api/x.pem", "https:/s3.amazonaws.com/echo.api/x.pem", "https:\\\\s3.amazonaws.com\\echo.api\\x.pem",
    "https://notamazon.com/echo.api/x.pem", "https://s3.amazonaws.com.evil.example/echo.api/x.pem",
    "https://evil.example/s3.amazonaws.com/echo.api/x.pem", "https://evils3.amazonaws.com/echo.api/x.pem",
    "https://bucket.s3.amazonaws.com/echo.api/x.pem", "https://s3.us-east-1.amazonaws.com/echo.api/x.pem",
    "https://s3-amazonaws.com/echo.api/x.pem", "https://s3.amazonaws.com./echo.api/x.pem", "https://s3.amazonaws.co/echo.api/x.pem",
    "https://s3.amazonaws.com@evil.example/echo.api/x.pem", "https://evil.example@s3.amazonaws.com/echo.api/x.pem",
    "https://user:pass@s3.amazonaws.com/echo.api/x.pem", "https://@s3.amazonaws.com/echo.api/x.pem",
    "https://s3.amazonaws.com:563/echo.api/x.pem", "https://s3.amazonaws.com:80/echo.api/x.pem",
    "https://s3.amazonaws.com:/echo.api/x.pem", "https://s3.amazonaws.com:0443/echo.api/x.pem",
    "https://s3.amazonaws.com:443@evil.example/echo.api/x.pem", "https://s3.amazonaws.com:\u0664\u0664\u0663/echo.api/x.pem",
    "https://[::1]/echo.api/x.pem", "https://127.0.0.1/echo.api/x.pem", "https://s3.amazonaws.com\\@evil.example/echo.api/x.pem",
    "https://s3.amazonaws.com/EcHo.aPi/x.pem", "https://s3.amazonaws.com/echo.api.evil/x.pem", "https://s3.amazonaws.com/evil/x.pem",
    "https://s3.amazonaws.com/echo.api", "https://s3.amazonaws.com/echo.api/", "https://s3.amazonaws.com/echoXapi/x.pem",
    "https://s3.amazonaws.com/echo.api/../evil/x.pem", "https://s3.amazonaws.com/echo.api/../../echo.api/../x.pem",
    "https://s3.amazonaws.com/../../echo.api/x.pem", "https://s3.amazonaws.com/echo.api/..", "https://s3.amazonaws.com/x/echo.api/x.pem",
    "https://s3.amazonaws.com//echo.api/x.pem", "https://s3.amazonaws.com/echo.api//../../evil/x.pem",
    "https://s3.amazonaws.com/echo.api/%2e%2e/evil/x.pem", "https://s3.amazonaws.com/echo.api/%2E%2E%2Fevil/x.pem",
    "https://s3.amazonaws.com/echo.api/..%2fevil/x.pem", "https://s3.amazonaws.com/%65cho.api/x.pem",
    "https://s3.amazonaws.com/echo.api/x.pem%00", "https://s3.amazonaws.com/echo.api/..\\evil\\x.pem",
    "https://s3.amazonaws.com/echo.api\\..\\evil/x.pem", "https://s3.amazonaws.com/echo.api/x.pem?versionId=1",
    "https://s3.amazonaws.com/?/echo.api/x.pem", "https://s3.amazonaws.com/#/echo.api/x.pem", "https://s3.amazonaws.com/echo.api/x.pem#",
    "https://s3.amazonaws.com/echo.api/x.pem;evil", "https://s3.amazonaws.com/echo.api/x.pem\n", "\nhttps://s3.amazonaws.com/echo.api/x.pem",
    "https://s3.amazonaws.com/echo.api/x.pem\r\nHost: evil.example", "https://s3.amazonaws.com/echo.api/x\x00.pem",
    "https://s3.amazonaws.com/echo.api/x .pem", "https://s3.amazonaw\u017f.com/echo.api/x.pem", "https://\uff533.amazonaws.com/echo.api/x.pem",
    "https://s3\u3002amazonaws\u3002com/echo.api/x.pem", "https://s3.amazonaws.com/echo.api/\uff0e\uff0e/evil/x.pem",
    "http\u017f://s3.amazonaws.com/echo.api/x.pem", "https://s3.amazonaws.com/echo.api/x.pem,https://evil.example/x.pem",
]  # fmt: skip


@pytest.mark.parametrize("url", BYPASSES)
async def test_an_address_that_is_not_amazons_is_never_fetched(url):
    bucket = Bucket()
    assert "SignatureCertChainUrl" in await refused(ChainUrlError, GOOD.headers(LAUNCH) | {"SignatureCertChainUrl": url}, bucket=bucket)
    assert bucket.fetched == []


def test_there_are_fifty_ways_around_an_address_at_least():
    assert len(set(BYPASSES)) >= 50


async def test_no_address_and_two_of_them_are_refused_alike():
    class Twice(dict):
        def items(self):
            return [*super().items(), ("signaturecertchainurl", "https://evil.example/echo.api/x.pem")]

    headers = GOOD.headers(LAUNCH)
    await refused(ChainUrlError, {"Signature-256": headers["Signature-256"]})
    await refused(ChainUrlError, Twice(headers))


def test_an_address_is_made_anew_from_what_was_checked():
    assert chain_url("https://S3.AMAZONAWS.COM:443/a/../echo.api/b/./c.pem") == "https://s3.amazonaws.com/echo.api/b/c.pem"


# -- chains that are not to be trusted (AX3) -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (chain(names=("echo-api.amazon.com.evil.example",)), "SAN|subject|name"),
        (chain(names=("evil.example",)), "SAN|subject|name"),
        (chain(names=("*.amazon.com.example",)), "SAN|subject|name"),
        (chain(ends=NOW - timedelta(seconds=1)), "not valid at validation time"),
        (chain(starts=NOW + timedelta(seconds=60)), "not valid at validation time"),
        (chain(root_ends=NOW - timedelta(seconds=60)), "not valid|candidates exhausted"),
        (chain(issuer_may_issue=False), "."),
        (chain(purpose=ExtendedKeyUsageOID.CLIENT_AUTH), "EKU|extended|required"),
        (chain(leaf_key=ec.generate_private_key(ec.SECP256R1())), "not RSA"),
    ],
    ids=["longer name", "another name", "wildcard", "expired", "early", "authority expired", "no authority", "another purpose", "no RSA"],
)
async def test_a_chain_with_one_thing_wrong_is_not_trusted(bad, why):
    import re

    told = await refused(ChainError, bad.headers(LAUNCH), bucket=Bucket(bad.pem), roots=(bad.root,))
    assert re.search(why, told)


async def test_a_chain_of_an_unknown_authority_is_not_trusted():
    assert "not to be trusted" in await refused(ChainError, GOOD.headers(LAUNCH), roots=(chain().root,))
    with pytest.raises(ChainError, match="not to be trusted"):
        await AlexaVerifier(fetch=Bucket().fetch, clock=Clock()).verify(GOOD.headers(LAUNCH), LAUNCH)


@pytest.mark.parametrize("name", ["echo-api-cert-7", "echo-api-cert-12"])
async def test_a_real_chain_is_not_trusted_after_its_time(name):
    with pytest.raises(ChainError, match="not valid at validation time"):
        await AlexaVerifier(fetch=Bucket(fixture(name)).fetch, clock=Clock()).verify(GOOD.headers(LAUNCH), LAUNCH)


@pytest.mark.parametrize("at", [datetime(2014, 12, 1, tzinfo=UTC), datetime(2015, 6, 1, tzinfo=UTC), NOW])
async def test_a_chain_signed_with_sha1_is_never_trusted(at):
    told = body(at=at)
    with pytest.raises(ChainError):
        await AlexaVerifier(fetch=Bucket(fixture("cert-expired-sha1-2015")).fetch, clock=Clock(at)).verify(GOOD.headers(told), told)


@pytest.mark.parametrize(
    "pem", [b"", b"hello", b"<Error>NoSuchKey</Error>", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
async def test_what_is_no_certificate_is_not_trusted(pem):
    await refused(ChainError, GOOD.headers(LAUNCH), bucket=Bucket(pem))


async def test_a_kept_chain_is_fetched_anew_when_its_time_is_over():
    bucket, clock = Bucket(chain(ends=NOW + timedelta(minutes=5)).pem), Clock()
    short = chain(ends=NOW + timedelta(minutes=5))
    bucket.pem = short.pem
    trusting = AlexaVerifier([short.root], bucket.fetch, clock)
    await trusting.verify(short.headers(LAUNCH), LAUNCH)
    clock.at = NOW + timedelta(minutes=6)
    later = body(at=clock.at)
    with pytest.raises(ChainError, match="not valid"):
        await trusting.verify(short.headers(later), later)
    assert len(bucket.fetched) == 2


async def test_only_the_good_chains_used_last_are_kept():
    bucket = Bucket()
    trusting = verifier(bucket)
    for number in range(KEPT_CHAINS + 3):
        await trusting.verify(GOOD.headers(LAUNCH, f"https://s3.amazonaws.com/echo.api/{number}.pem"), LAUNCH)
    assert len(trusting._keys) == KEPT_CHAINS
    bucket.pem = b"none"
    for number in range(100, 150):
        with pytest.raises(ChainError):
            await trusting.verify(GOOD.headers(LAUNCH, f"https://s3.amazonaws.com/echo.api/{number}.pem"), LAUNCH)
    assert len(trusting._keys) == KEPT_CHAINS
    fetched = len(bucket.fetched)
    await trusting.verify(GOOD.headers(LAUNCH, f"https://s3.amazonaws.com/echo.api/{KEPT_CHAINS + 2}.pem"), LAUNCH)
    assert len(bucket.fetched) == fetched, "bad ones push no good one out"


async def test_many_requests_at_once_fetch_one_chain_once_and_few_chains_at_once():
    bucket = Bucket()
    bucket.gate = asyncio.Event()
    trusting = verifier(bucket)
    same = [asyncio.create_task(trusting.verify(GOOD.headers(LAUNCH), LAUNCH)) for _ in range(20)]
    others = [
        asyncio.create_task(trusting.verify(GOOD.headers(LAUNCH, f"https://s3.amazonaws.com/echo.api/{number}.pem"), LAUNCH))
        for number in range(20)
    ]
    await asyncio.sleep(0.01)
    assert len(bucket.fetched) == MOST_FETCHES
    same[0].cancel()
    bucket.gate.set()
    told = await asyncio.gather(*same, *others, return_exceptions=True)
    assert isinstance(told[0], asyncio.CancelledError)
    assert told[1:20] == [None] * 19, "whoever leaves takes the chain away from nobody"
    assert sum(isinstance(each, ChainError) for each in told) == 20 - (MOST_FETCHES - 1)


# -- signatures (AX1) ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "altered", [LAUNCH + b" ", LAUNCH[:-1], b" " + LAUNCH, LAUNCH.replace(b"Launch", b"Intent"), b"", LAUNCH.decode().encode("utf-16")]
)
async def test_an_altered_body_is_refused(altered):
    assert "does not fit" in await refused(SignatureError, GOOD.headers(LAUNCH), altered)


async def test_a_signature_over_sha1_is_refused():
    headers = GOOD.headers(LAUNCH, algorithm=SHA1())
    assert "does not fit" in await refused(SignatureError, headers)
    old = {"SignatureCertChainUrl": URL, "Signature": headers["Signature-256"]}
    assert "missing" in await refused(SignatureError, old)


@pytest.mark.parametrize(
    "signature", ["", "AAAA", "not base64!", "\u00e9", "=" * 20, "A" * 344, "A" * 5_000, "QUJD\n", "\ud800", "-_-_", "A" * 343 + "="]
)
async def test_a_signature_that_is_none_is_refused(signature):
    await refused(SignatureError, GOOD.headers(LAUNCH) | {"Signature-256": signature})


async def test_a_signature_that_cannot_be_one_has_nothing_fetched():
    bucket = Bucket()
    await refused(SignatureError, GOOD.headers(LAUNCH) | {"Signature-256": "no!"}, bucket=bucket)
    assert bucket.fetched == []


# -- time (AX4) ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 149, -149, 150, -150])
async def test_a_request_within_the_window_is_taken(seconds):
    told = body(at=NOW - timedelta(seconds=seconds))
    await verifier().verify(GOOD.headers(told), told)


@pytest.mark.parametrize("seconds", [151, -151, 3_600, 86_400 * 365])
async def test_a_request_outside_the_window_is_refused(seconds):
    told = body(at=NOW - timedelta(seconds=seconds))
    assert "s old" in await refused(AgeError, GOOD.headers(told), told)


async def test_an_event_of_the_skill_may_come_within_an_hour():
    event = body("AlexaSkillEvent.SkillEnabled", at=NOW - timedelta(seconds=3_599))
    await verifier().verify(GOOD.headers(event), event)
    late = body("AlexaSkillEvent.SkillEnabled", at=NOW - timedelta(seconds=3_601))
    await refused(AgeError, GOOD.headers(late), late)


@pytest.mark.parametrize("stamp", ["2026-11-22T09:00:00", "2026-11-22", "20261122T090000"])
async def test_a_time_without_a_zone_is_refused(stamp):
    told = body(at=stamp)
    assert "no zone" in await refused(AgeError, GOOD.headers(told), told)


@pytest.mark.parametrize(
    "told",
    [
        body(at=""), body(at="now"), body(at="1763800000"), body(at="2026-13-45T99:00:00Z"), b"{}", b"[]", b"null", b"", b"\xff\xfe",
        b'{"request": {"timestamp": 1763800000}}', b'{"request": null}', b'{"request": {}}', b'{"request": ' + b"[" * 30_000,
        b'{"x": ' + b'{"a":' * 30_000,
    ],
)  # fmt: skip
async def test_a_request_that_names_no_time_is_refused(told):
    await refused(AgeError, GOOD.headers(told), told)


async def test_z_and_offsets_are_zones():
    for stamp in ("2026-11-22T09:00:00Z", "2026-11-22T11:00:00+02:00", "2026-11-22T09:00:00.123456Z"):
        told = body(at=stamp)
        await verifier().verify(GOOD.headers(told), told)


# -- fetching ------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def site():
    """A web server with what a bucket could answer; gives its address."""
    asked = []

    async def chain_file(request):
        asked.append(request.raw_path)
        return web.Response(body=GOOD.pem)

    async def large(_):
        return web.Response(body=b"x" * (alexa_fetch.MOST_BYTES + 1))

    async def away(_):
        raise web.HTTPFound("/echo.api/chain.pem")

    async def slow(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1_000):
            await response.write(b"x")
            await asyncio.sleep(0.01)
        return response

    app = web.Application()
    app.add_routes([
        web.get("/echo.api/chain.pem", chain_file), web.get("/large", large), web.get("/away", away), web.get("/slow", slow),
    ])  # fmt: skip
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    await runner.cleanup()


async def test_a_chain_is_fetched_as_it_lies_there(site):
    url, asked = site
    assert await fetch_chain(f"{url}/echo.api/chain.pem") == GOOD.pem
    assert asked == ["/echo.api/chain.pem"]


@pytest.mark.parametrize(("path", "why"), [("/away", "302"), ("/none", "404"), ("/large", "more than"), ("/slow", "Timeout")])
async def test_redirects_and_large_and_slow_answers_are_no_chain(site, path, why, monkeypatch):
    monkeypatch.setattr(alexa_fetch, "_TIMEOUT", aiohttp.ClientTimeout(total=0.5))
    url, asked = site
    with pytest.raises(ChainError, match=why):
        await fetch_chain(url + path)
    assert asked == []


async def test_where_nobody_answers_there_is_no_chain():
    with pytest.raises(ChainError, match="cannot be fetched"):
        await fetch_chain("http://127.0.0.1:1/echo.api/chain.pem")


def test_a_chain_is_waited_for_three_seconds():
    assert alexa_fetch._TIMEOUT.total == 3


# -- the development chain -----------------------------------------------------------------------------------------------------------------


async def test_the_development_chain_is_good_for_its_own_authority_alone(tmp_path):
    ours, others = development(tmp_path / "a"), development(tmp_path / "b")
    told = body(at=datetime.now(UTC))
    await ours.verifier().verify(ours.sign(told), told)
    for stranger in (others.verifier(), AlexaVerifier(fetch=Bucket(ours.chain).fetch)):
        with pytest.raises(UnverifiedError):
            await stranger.verify(ours.sign(told), told)
    with pytest.raises(SignatureError):
        await ours.verifier().verify(others.sign(told), told)


def test_the_development_key_is_for_its_owner_and_stays(tmp_path):
    first = development(tmp_path)
    assert (tmp_path / "alexa-development.pem").stat().st_mode & 0o777 == 0o600
    assert development(tmp_path).chain == first.chain
    assert "PRIVATE" not in repr(first)
