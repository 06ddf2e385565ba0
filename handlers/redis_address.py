"""Where a store is: the addresses that REDIS_URL may hold."""

import os
from dataclasses import dataclass, replace
from typing import Final, Self
from urllib.parse import parse_qs, unquote, unquote_to_bytes, urlsplit

from handlers.errors import StoreError

CLUSTER: Final = "+cluster"
_SCHEMES: Final = ("redis", "rediss", "redis" + CLUSTER, "rediss" + CLUSTER, "unix")


@dataclass(frozen=True, slots=True)
class Address:
    """Where one server of the store is and who we are there. `name` is for people: the address without the password.

    `cluster`: it is one node of a cluster, any one, which tells where the others are.
    """

    name: str
    host: str
    port: int
    path: str
    tls: bool
    login: tuple[bytes, ...]
    db: int
    cluster: bool = False

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `redis://[[user]:password@]host[:port][/db]` or `unix://[[user]:password@]/path[?db=n]`.

        `rediss://` is TLS, and trusts the authorities of the system or of SSL_CERT_FILE; `redis+cluster://` and `rediss+cluster://` name
        a node of a cluster, which has no numbered databases. A `StoreError` says what is wrong, and quotes nothing that may be a piece
        of the password.
        """
        try:
            parts = urlsplit(url)
            options = parse_qs(parts.query, keep_blank_values=True)
            unix = parts.scheme == "unix"
            db = int(options.pop("db", ["0"])[-1] if unix else parts.path.strip("/") or "0")
            host, port = parts.hostname or "localhost", parts.port or 6379
        except ValueError:
            raise StoreError(
                "REDIS_URL cannot be read: write redis://:password@host:6379/0 or unix:///path/of/socket, and %xx for special characters"
            ) from None
        if parts.scheme not in _SCHEMES:
            raise StoreError(
                "REDIS_URL must begin with redis://, with rediss:// (which is TLS), with redis+cluster:// or rediss+cluster:// "
                "(which are clusters) or with unix://"
            )
        if options:
            raise StoreError("REDIS_URL has options behind a question mark: only db is known, and only for unix://")
        cluster = parts.scheme.endswith(CLUSTER)
        if cluster and db:
            raise StoreError("REDIS_URL names a database, but a cluster has only one: leave out what follows the port")
        path = os.fsdecode(unquote_to_bytes(parts.path)) if unix else ""
        login = (unquote(parts.username or "").encode(), unquote(parts.password or "").encode())
        return cls(
            name=f"unix://{path}" if unix else f"{parts.scheme}://{host}:{port}",
            host=host,
            port=port,
            path=path,
            tls=parts.scheme.startswith("rediss"),
            login=tuple(filter(None, login)),
            db=db,
            cluster=cluster,
        )

    @classmethod
    def all_of(cls, url: str) -> tuple[Self, ...]:
        """Read a URL that may name several nodes of a cluster, such as `redis+cluster://:password@a:6379,b:6379`."""
        scheme, colon, rest = url.partition("://")
        if not scheme.endswith(CLUSTER):
            return (cls.parse(url),)
        login, at, hosts = rest.rpartition("@")
        return tuple([cls.parse(f"{scheme}{colon}{login}{at}{host}") for host in hosts.split(",")])

    def at(self, host: str, port: int) -> Self:
        """Another node of the same cluster, where we are the same."""
        return replace(self, name=f"{self.name.partition('://')[0]}://{host}:{port}", host=host, port=port)
