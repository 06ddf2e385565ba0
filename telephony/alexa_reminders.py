"""The effect `remind` on Alexa: a reminder set by the Reminders API, for the user who is speaking (AX12).

The token for it comes with the user's request and is never recorded, so it is known only to the process that took that request: after a
crash the effect fails, and says so, instead of setting a reminder twice.
Source: https://developer.amazon.com/docs/smapi/alexa-reminders-api-reference.html.
"""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from telephony.alexa_api import REMIND_SECONDS, TOKENS, Api
from workflows.effects import idempotency_key
from workflows.errors import TerminalError, TransientError
from workflows.reminders import Reminded


async def remind(text: str, seconds: int, locale: str) -> Reminded:
    """Set it; see `workflows.reminders.remind`."""
    session = idempotency_key.get().rsplit("/", 2)[0]
    api: Api | None = TOKENS.get(session)
    if api is None:
        raise TerminalError("there are no reminders here: only a user of Alexa who is speaking can be reminded")
    try:
        status, told = await api.call("POST", "/v1/alerts/reminders", REMIND_SECONDS, _wanted(text, seconds, locale))
    except (OSError, TimeoutError) as error:
        raise TransientError(f"the Reminders API does not answer: {str(error) or type(error).__name__}") from None
    match status:
        case HTTPStatus.OK | HTTPStatus.CREATED:
            return "set"
        case HTTPStatus.UNAUTHORIZED:
            return "forbidden"
        case _:
            raise TerminalError(f"the Reminders API answered {status}{_code(told)}")


def _wanted(text: str, seconds: int, locale: str) -> dict[str, Any]:
    return {
        "requestTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000"),
        "trigger": {"type": "SCHEDULED_RELATIVE", "offsetInSeconds": seconds},
        "alertInfo": {"spokenInfo": {"content": [{"locale": locale, "text": text}]}},
        "pushNotification": {"status": "ENABLED"},
    }


def _code(told: Any) -> str:
    """What the API calls the problem, such as MAX_REMINDERS_EXCEEDED or DEVICE_NOT_SUPPORTED."""
    return f" ({told['code']})" if isinstance(told, dict) and isinstance(told.get("code"), str) else ""
