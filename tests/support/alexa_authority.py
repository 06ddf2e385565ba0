"""A certificate authority for tests: chains that are right in all, or wrong in one thing."""

import functools
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from telephony.alexa_signature import SERVICE

URL = "https://s3.amazonaws.com/echo.api/echo-api-cert-12.pem"
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
CHAINS = Path(__file__).parents[1] / "telephony" / "alexa_chains"


def fixture(name: str) -> bytes:
    return (CHAINS / f"{name}.pem.txt").read_bytes()


def body(kind: str = "LaunchRequest", at: datetime | str = NOW, **more: Any) -> bytes:
    stamp = at if isinstance(at, str) else at.isoformat()
    return (f'{{"request": {{"type": "{kind}", "timestamp": "{stamp}"}}, "more": "{more}"}}').encode()


@functools.cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, 2_048)


@dataclass
class Chain:
    """A chain as PEM, its root, and the headers with which its key signs."""

    pem: bytes
    root: x509.Certificate

    def headers(self, content: bytes, url: str = URL, algorithm: HashAlgorithm | None = None) -> dict[str, str]:
        signature = b64encode(key().sign(content, PKCS1v15(), algorithm or SHA256())).decode()
        return {"SignatureCertChainUrl": url, "Signature-256": signature}


def chain(
    *,
    names: tuple[str, ...] = (SERVICE,),
    starts: datetime = NOW - timedelta(days=30),
    ends: datetime = NOW + timedelta(days=30),
    issuer_may_issue: bool = True,
    leaf_key: Any = None,
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
    root_ends: datetime = NOW + timedelta(days=300),
) -> Chain:
    root_key = ec.generate_private_key(ec.SECP256R1())
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tests")])
    root_id = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())

    def usage(*, certificates: bool) -> x509.KeyUsage:
        flags = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
        )
        return x509.KeyUsage(digital_signature=not certificates, key_cert_sign=certificates, crl_sign=certificates, **flags)

    def builder(subject: x509.Name, public: Any, start: datetime, end: datetime) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(authority).public_key(public)
        return made.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)

    root = (
        builder(authority, root_key.public_key(), NOW - timedelta(days=400), root_ends)
        .add_extension(x509.BasicConstraints(ca=issuer_may_issue, path_length=None), critical=True)
        .add_extension(usage(certificates=True), critical=True)
        .add_extension(root_id, critical=False)
        .sign(root_key, SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERVICE)])
    leaf = (
        builder(subject, (leaf_key or key()).public_key(), starts, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_id), critical=False)
        .sign(root_key, SHA256())
    )
    return Chain(leaf.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM), root)
