"""What can go wrong around a session.

HandlerError
├── StoreError             the store did not answer, or not in time: the outcome of the call is unknown
├── FormatError            the store holds another format or another number of partitions
├── UnstorableError        an input holds something that no history can
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


class GoneError(HandlerError):
    """The actor that should have answered died first; asking again is safe."""
