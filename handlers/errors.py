"""What can go wrong around a session.

HandlerError
├── StoreError             the store did not answer, or not in time: the outcome of the call is unknown
├── FormatError            the store holds another format or another number of partitions
├── UnstorableError        an input holds something that no history can
├── ReusedKeyError         an idempotency key was used for another input before; nothing was stored
├── OverloadError          the server has too much to do; nothing was stored
│   └── TooOftenError      this caller has sent more than the settings allow; nothing was stored
├── BusyError              the line takes no input before the one before is answered; nothing was stored
└── GoneError              the actor that should have answered died first; asking again is safe
"""


class HandlerError(Exception):
    """The base of this package's errors."""


class StoreError(HandlerError):
    """The store did not answer, or not in time: the outcome of the call is unknown."""


class FormatError(HandlerError):
    """The store holds another format or another number of partitions than this code writes."""


class UnstorableError(HandlerError):
    """An input holds something that no history can: half a surrogate pair, a number beyond 64 bits, a foreign object."""


class ReusedKeyError(HandlerError):
    """An idempotency key was used for another input of this session before; this one was not stored."""


class OverloadError(HandlerError):
    """The server has too much to do to take this one in; nothing was stored, and later there may be room."""


class TooOftenError(OverloadError):
    """This caller has sent more than the settings allow. Nothing was stored; after `seconds` there is room for one."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"a caller has sent more than per_caller under [limits] allows; there is room in {seconds:.1f} s")
        self.seconds = seconds


class BusyError(HandlerError):
    """The line takes no input before the one before is answered; this one was not stored."""


class GoneError(HandlerError):
    """The actor that should have answered died first; asking again is safe."""
