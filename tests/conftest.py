"""What tests of several packages share."""

from collections.abc import Iterator

import pytest
import redis
from hypothesis import HealthCheck, settings
from support.valkey import Valkey

settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")  # a busy machine is no fault of what is tested


class Client(redis.Redis):
    """Gives each key once: SCAN alone may give one twice, when the store changes the size of its table meanwhile."""

    def scan_iter(self, *args, **options):
        return iter(dict.fromkeys(super().scan_iter(*args, **options)))


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """A Valkey of this test process (of this xdist worker); started when the first test asks for it."""
    server = Valkey("--maxmemory-policy", "noeviction")
    try:
        server.start()
        yield server.url
    finally:
        server.remove()


@pytest.fixture
def valkey(valkey_url: str) -> Iterator[redis.Redis]:
    """A plain client of an empty store, to see what was written. Its address is `valkey_url`."""
    with Client.from_url(valkey_url) as client:
        client.flushall()
        client.script_flush()
        yield client
