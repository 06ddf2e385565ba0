"""What can go wrong at the lines outside.

TelephonyError
├── FormError              a request's body is not a form that we take
├── RefusedError           a request of the web API is not taken; it says why, and what to do
├── UnverifiedError        a request does not come from Alexa, or not now; the text says why, for the log alone
│   ├── ChainUrlError      the address of its certificates is not Amazon's
│   ├── ChainError         its certificates cannot be had, or are not to be trusted
│   ├── SignatureError     it is not signed by them
│   ├── AgeError           it is too old, too early, or names no time
│   └── ForeignSkillError  it is meant for another skill
├── MalformedError         a request of Alexa's has not the shape that such requests have
├── SlackError             a call of Slack's Web API was not done, as far as anybody knows
│   ├── SlackBusyError     it came too early: later it will be
│   ├── SlackTroubleError  it may have been done or not; it can be tried again after a look
│   └── SlackRefusedError  it never will be as it is; the text says what to do
├── ModelError             a workflow cannot be made an interaction model of; it says why, and what to do
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


class UnverifiedError(TelephonyError):
    """A request does not come from Alexa, or not now. The sender gets a plain 400; why is for the log alone."""


class ChainUrlError(UnverifiedError):
    """The address of the certificates that a request names is not Amazon's."""


class ChainError(UnverifiedError):
    """The certificates of a request cannot be had, or are not to be trusted."""


class SignatureError(UnverifiedError):
    """A request is not signed by the certificates that it names."""


class AgeError(UnverifiedError):
    """A request is too old, or too early, or does not tell its time and zone."""


class SlackError(TelephonyError):
    """A call of Slack's Web API was not done, as far as anybody knows."""


class SlackBusyError(SlackError):
    """It came too early and was not done: Slack asks for a pause of `seconds`."""

    def __init__(self, code: str, seconds: float) -> None:
        super().__init__(f"{code}, for {seconds:g} s")
        self.seconds = seconds


class SlackTroubleError(SlackError):
    """No answer, or none that says what became of the call: it may have been done. `code` is Slack's own word, if it has said one."""

    def __init__(self, problem: str, code: str = "") -> None:
        super().__init__(problem)
        self.code = code


class SlackRefusedError(SlackError):
    """It was not done and never will be as it is: Slack's own word for the reason, and what to do."""

    def __init__(self, code: str, remedy: str) -> None:
        super().__init__(f"{code}: {remedy}")
        self.code = code


class ForeignSkillError(UnverifiedError):
    """A request is meant for another skill than ours."""


class MalformedError(TelephonyError):
    """A request of Alexa's has not the shape that such requests have; the sender gets a 400."""


class ModelError(TelephonyError):
    """A workflow cannot be made an interaction model of; the text says why, and what to do."""


class UnreachableError(TelephonyError):
    """The server did not answer a simulator, however patient it was."""


class NobodyListensError(TelephonyError):
    """A simulated caller did something before the call was started, or when it was over."""
