"""What can go wrong with a server as a whole; commands print its one sentence and leave with exit code 2.

SwitchboardError
├── EmbeddedError          the Valkey that comes with the server cannot be used
├── ServerError            the server cannot listen
├── SettingsError          a setting is wrong, or a file that holds settings cannot be read
├── ShadowError            a folder of the user's hides one of our own packages
├── PluginError            a plugin of another distribution cannot be loaded
├── UnknownSessionError    no history is stored for the session that a command names
├── HistoryFileError       a file of histories cannot be read or written
├── ReplayError            histories cannot be replayed
├── NewError               a project cannot be made: its name, or its place
└── ErrandError            an errand cannot be forgotten while its parent waits for it
"""

from typing import Self


class SwitchboardError(Exception):
    """The base of this package's errors; its text is a whole sentence for the person at the terminal."""


class EmbeddedError(SwitchboardError):
    """The Valkey that comes with the server cannot be used; the text says why and what to do."""


class ServerError(SwitchboardError):
    """The server cannot listen: its port is taken, or its address is not of this machine."""

    @classmethod
    def cannot_listen(cls, host: str, port: int, error: OSError) -> Self:
        """Say so, with what the system says."""
        return cls(f"cannot listen on {host}:{port}: {error.strerror or error}. Stop what uses it, or choose another port with --port.")


class SettingsError(SwitchboardError):
    """A setting is wrong, or a file that holds settings cannot be read; the text names every one that is, and no secret."""


class ShadowError(SwitchboardError):
    """A folder of the user's hides one of our own packages."""


class PluginError(SwitchboardError):
    """A channel, a command or an effect of another distribution cannot be loaded."""


class UnknownSessionError(SwitchboardError):
    """No history is stored for the session that a command names."""


class HistoryFileError(SwitchboardError):
    """A file of histories cannot be read or written; the text says why and what to do."""


class NewError(SwitchboardError):
    """A project cannot be made: what is wrong with its name or its place, and what to do."""


class ReplayError(SwitchboardError):
    """Histories cannot be replayed: a process that does it has died."""


class ErrandError(SwitchboardError):
    """An errand cannot be forgotten while its parent waits for it."""
