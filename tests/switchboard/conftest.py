"""What tests of commands share."""

from pathlib import Path

import pytest
import redis
from support.commands import Shop


@pytest.fixture
def shop(tmp_path: Path, valkey: redis.Redis, valkey_url: str) -> Shop:
    return Shop(tmp_path / "a folder", valkey_url)
