"""Fetching a certificate chain from Amazon: one address, no redirects, no waiting, no flood (AX2)."""

import ssl
from functools import lru_cache

import aiohttp
import certifi
from yarl import URL

from telephony.errors import ChainError

SECONDS = 3.0
MOST_BYTES = 64 * 1024

_TIMEOUT = aiohttp.ClientTimeout(total=SECONDS)


@lru_cache(maxsize=1)
def public_authorities() -> ssl.SSLContext:
    """Whom to trust on the way to Amazon: certifi's authorities, since the system may have none."""
    return ssl.create_default_context(cafile=certifi.where())


async def fetch_chain(url: str) -> bytes:
    """The chain at exactly this address, as it is written there. Raises `ChainError` when there is none within three seconds."""
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, auto_decompress=False) as http,
            http.get(URL(url, encoded=True), allow_redirects=False, ssl=public_authorities()) as response,
        ):
            if response.status != 200:  # noqa: PLR2004 - OK
                raise ChainError(f"{url} answered {response.status}")
            chain = b""
            async for piece in response.content.iter_any():
                chain += piece
                if len(chain) > MOST_BYTES:
                    raise ChainError(f"{url} has more than {MOST_BYTES:,} bytes")
            return chain
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ChainError(f"{url} cannot be fetched: {str(error) or type(error).__name__}") from None
