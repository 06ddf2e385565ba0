"""What can go wrong at the lines outside.

TelephonyError
├── FormError              a request's body is not a form that we take
└── UnreachableError       the simulated phone could not reach the server
"""


class TelephonyError(Exception):
    """The base of this package's errors."""


class FormError(TelephonyError):
    """A request's body is not a form that we take; the sender gets a 400."""


class UnreachableError(TelephonyError):
    """The server did not answer a simulator, however patient it was."""


class NobodyListensError(TelephonyError):
    """A simulated caller did something before the call was started, or when it was over."""
