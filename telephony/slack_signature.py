"""Who sent this request: Slack's `X-Slack-Signature`, checked and made.

The signature is `v0=` and the hex HMAC-SHA256, with the app's signing secret, of `v0:<timestamp>:<raw body>`, where the timestamp is that
of `X-Slack-Request-Timestamp`, in seconds; a request that is older or newer than five minutes is a replay. Source:
https://docs.slack.dev/authentication/verifying-requests-from-slack. `slack_sdk`'s own check raises on timestamps and signatures that are
none; this one tells False.
"""

import hmac
import re

WINDOW_SECONDS = 300

_TIMESTAMP = re.compile(r"[0-9]{1,12}")


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Make the signature of a body that is sent at this time."""
    return "v0=" + hmac.digest(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, "sha256").hex()


def signed(secret: str, timestamp: str | None, body: bytes, signature: str | None, now: float) -> bool:
    """Tell whether the holder of the secret sent this body, and did so now (seconds since the epoch).

    Whatever is missing, malformed or not text gives False: a stranger's request must end in a 401, never in an error of ours.
    """
    if not secret or not timestamp or not signature or not signature.isascii() or not _TIMESTAMP.fullmatch(timestamp):
        return False
    genuine = hmac.compare_digest(sign(secret, timestamp, body), signature)
    return genuine and abs(now - int(timestamp)) <= WINDOW_SECONDS
