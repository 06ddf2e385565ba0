"""What can go wrong with a server as a whole; commands print its one sentence and leave with exit code 2.

SwitchboardError
└── EmbeddedError          the Valkey that comes with the server cannot be used
"""


class SwitchboardError(Exception):
    """The base of this package's errors; its text is a whole sentence for the person at the terminal."""


class EmbeddedError(SwitchboardError):
    """The Valkey that comes with the server cannot be used; the text says why and what to do."""
