"""A server of the store that speaks TLS, and an authority for it. The one that comes with the product is built without."""

import datetime as dt
import functools
import ipaddress
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NONE = "no Redis or Valkey with TLS is installed here; Debian has one in redis-tools"


@functools.cache
def server_with_tls() -> Path | None:
    """A server that is built with TLS. Debian's redis-tools have it under another name: it is one binary, which looks at its name."""
    for name in ("valkey-server", "redis-server", "valkey-check-rdb", "redis-check-rdb"):
        found = shutil.which(name)
        if found is None:
            continue
        place = Path(tempfile.mkdtemp(prefix="tls"))
        try:
            binary = place / name.replace("check-rdb", "server")
            binary.symlink_to(found)
            command = [binary, "--port", "0", "--tls-port", "1", "--tls-cert-file", place, "--tls-key-file", place]
            told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
        finally:
            shutil.rmtree(place)
        if "Failed to configure TLS" in told:  # for there is no certificate; those without say that they know of no TLS
            return Path(found)
    return None


@dataclass(frozen=True)
class Tls:
    """The files of an authority, and of a server that it vouches for as 127.0.0.1; `binary` is the server's."""

    folder: Path
    binary: Path

    @property
    def authority(self) -> Path:
        return self.folder / "authority.pem"

    def options(self, *, clients: str = "no") -> tuple[str, ...]:
        """A server's; `clients` is whether it asks for their certificates."""
        return (
            "--tls-cert-file", str(self.folder / "server.pem"), "--tls-key-file", str(self.folder / "server.key"),
            "--tls-ca-cert-file", str(self.authority), "--tls-auth-clients", clients,
        )  # fmt: skip


def make(folder: Path) -> Tls:
    """Make an authority and a server's certificate in a folder."""
    found = server_with_tls()
    assert found is not None, NONE
    binary = folder / found.name.replace("check-rdb", "server")
    binary.symlink_to(found)
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority")])

    def certificate(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().issuer_name(issuer).subject_name(subject).public_key(public)
        builder = builder.serial_number(x509.random_serial_number()).add_extension(
            x509.BasicConstraints(ca=ca, path_length=None), critical=True
        )
        return builder.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))

    root = certificate(issuer, authority.public_key(), ca=True).sign(authority, hashes.SHA256())
    server = certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A store")]), key.public_key(), ca=False)
    server = server.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    pem = serialization.Encoding.PEM
    (folder / "authority.pem").write_bytes(root.public_bytes(pem))
    (folder / "server.pem").write_bytes(server.sign(authority, hashes.SHA256()).public_bytes(pem))
    plain = serialization.NoEncryption()
    (folder / "server.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return Tls(folder, binary)
