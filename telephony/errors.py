"""What can go wrong at the lines outside.

TelephonyError
├── FormError              a request's body is not a form that we take
├── RefusedError           a request of the web API is not taken; it says why, and what to do
├── UnreachableError       the server did not answer a simulator
└── NobodyListensError     a simulated caller acted before the call was started, or when it was over
"""

from collections.abc import Mapping


class TelephonyError(Exception):
    """The base of this package's errors."""


class FormError(TelephonyError):
    """A request's body is not a form that we take; the sender gets a 400."""


class RefusedError(TelephonyError):
    """A request of the web API is not taken: the status, and a sentence that says why and what to do."""

    def __init__(self, status: int, why: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.headers = dict(headers or {})


class UnreachableError(TelephonyError):
    """The server did not answer a simulator, however patient it was."""


class NobodyListensError(TelephonyError):
    """A simulated caller did something before the call was started, or when it was over."""
