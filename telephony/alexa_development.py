"""Development certificates: what the simulated Alexa signs with, and a server trusts only while it listens on loopback.

They are made in the data directory: an authority of its own, and a certificate under it for Alexa's service. Nothing is switched off for
them: the very same verifier checks the very same things, but with this one authority and with the chain from the file.
"""

import contextlib
import os
import tempfile
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from switchboard.errors import SettingsError
from telephony.alexa_signature import SERVICE, AlexaVerifier

FILE = "alexa-development.pem"

CHAIN_URL = "https://s3.amazonaws.com/echo.api/switchboard-development.pem"
"""Where the chain claims to be. It is never fetched: a server on loopback has it in its data directory, all others find nothing there."""

SKILL = "amzn1.ask.skill.switchboard-development"
"""The skill of a server without `ALEXA_SKILL_ID`; Amazon gives no such ids."""

YEARS = timedelta(days=3_650)


@dataclass(frozen=True, slots=True)
class Development:
    """The chain (PEM, leaf first, its authority last) and the key of the simulated Alexa; the key is not shown."""

    chain: bytes
    key: rsa.RSAPrivateKey

    def sign(self, body: bytes) -> dict[str, str]:
        """The headers that Alexa would send with this body."""
        return {"SignatureCertChainUrl": CHAIN_URL, "Signature-256": b64encode(self.key.sign(body, PKCS1v15(), SHA256())).decode()}

    def verifier(self) -> AlexaVerifier:
        """Whoever is signed by this authority."""
        *_, root = x509.load_pem_x509_certificates(self.chain)

        async def fetch(_: str) -> bytes:
            return self.chain

        return AlexaVerifier([root], fetch)

    def __repr__(self) -> str:
        return "Development()"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach who listens there."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def development(data: Path) -> Development:
    """Read the certificates of a data directory, and make them first if it has none; raises `SettingsError`."""
    path = data / FILE
    try:
        if not path.exists():
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make(path)
        stored = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"The development certificates {path} cannot be used: {error.strerror}. Choose another directory with --data."
        ) from None
    try:
        key, chain = load_pem_private_key(stored, None), stored[stored.index(b"-----BEGIN CERTIFICATE") :]
        if isinstance(key, rsa.RSAPrivateKey) and x509.load_pem_x509_certificates(chain)[0].not_valid_after_utc > datetime.now(UTC):
            return Development(chain, key)
    except (ValueError, TypeError):
        pass
    raise SettingsError(f"The development certificates {path} are damaged, or too old. Delete the file, and new ones are made.")


def _make(path: Path) -> None:
    """Write a whole file and link it to its name, which fails if another process was quicker: then its certificates hold."""
    handle, name = tempfile.mkstemp(prefix=".alexa-", dir=path.parent)  # for its owner only
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_certificates())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(name)
    finally:
        Path(name).unlink()


def _certificates() -> bytes:
    """A key, a certificate for it in the name of Alexa's service, and the authority's, whose own key is forgotten at once."""
    now = datetime.now(UTC)
    root_key, key = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65_537, 2_048)
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Switchboard development, trusted by one server on loopback")])
    root_id = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    root = (
        _builder(authority, authority, root_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .add_extension(root_id, critical=False)
        .add_extension(x509.NameConstraints([x509.DNSName(SERVICE)], None), critical=True)
        .sign(root_key, SHA256())
    )
    leaf = (
        _builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERVICE)]), authority, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(SERVICE)]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_id), critical=False)
        .sign(root_key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + leaf.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + YEARS)
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
