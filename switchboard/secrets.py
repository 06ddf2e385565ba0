"""Development secrets: what a server without vendors' credentials checks signatures with, and the simulators sign with.

Signature checks are never switched off. The file belongs to the data directory, so all servers of a directory and the simulated phone
agree on one secret.
"""

import contextlib
import hmac
import os
import secrets
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from switchboard.errors import SettingsError

FILE = "secrets.toml"

_TEXT = """\
# Development secrets, made because a vendor's credentials are not set. The simulators sign with them, and with what is derived from them.
# They open nothing but this server. Delete the file for new ones.
twilio_account_sid = "{account_sid}"
twilio_auth_token = "{auth_token}"
"""


@dataclass(frozen=True, slots=True)
class Development:
    """An account of the simulated phone, in the vendor's own formats; the token is not shown.

    What the simulated Slack signs with is derived from the token, so that a directory has one secret.
    """

    twilio_account_sid: str
    twilio_auth_token: str

    @property
    def slack_signing_secret(self) -> str:
        """What the simulated Slack signs with."""
        return self._derived("slack signing secret")

    @property
    def slack_bot_token(self) -> str:
        """What opens the simulated Slack."""
        return f"xoxb-development-{self._derived('slack bot token')}"

    def _derived(self, purpose: str) -> str:
        return hmac.digest(self.twilio_auth_token.encode(), purpose.encode(), "sha256").hex()[:32]

    def __repr__(self) -> str:
        return f"Development({self.twilio_account_sid!r})"


def development(data: Path) -> Development:
    """Read the secrets of a data directory, and make them first if it has none; raises `SettingsError`."""
    path = data / FILE
    try:
        if not path.exists():
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make(path)
        stored = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"The development secrets {path} cannot be used: {error.strerror}. "
            "Choose another directory with --data, or set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN."
        ) from None
    except ValueError:
        stored = {}
    found = stored.get("twilio_account_sid"), stored.get("twilio_auth_token")
    match found:
        case str(account_sid), str(auth_token) if account_sid and auth_token:
            return Development(account_sid, auth_token)
        case _:
            raise SettingsError(
                f"The development secrets {path} are damaged: twilio_account_sid and twilio_auth_token must be there, in quotes. "
                "Delete the file, and new ones are made."
            )


def _make(path: Path) -> None:
    """Write a whole file and link it to its name, which fails if another server was quicker: then its secrets hold."""
    handle, name = tempfile.mkstemp(prefix=".secrets-", dir=path.parent)  # for its owner only
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(_TEXT.format(account_sid="AC" + secrets.token_hex(16), auth_token=secrets.token_hex(16)))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(name)
    finally:
        Path(name).unlink()
