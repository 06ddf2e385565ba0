"""What a simulated caller can do, and what happens in a simulated call: plain values for scripts and assertions."""

from dataclasses import dataclass
from typing import Literal

TONES = frozenset("0123456789*#")


@dataclass(frozen=True, slots=True)
class Keys:
    """The caller presses keys, of `0-9 * #`, and then waits. At a recording: speaks a moment first."""

    keys: str

    def __post_init__(self) -> None:
        if not self.keys or set(self.keys) - TONES:
            raise ValueError(f"a telephone has no key for {self.keys!r}: the keys are 0 to 9, * and #")


@dataclass(frozen=True, slots=True)
class Words:
    """The caller says something, and then waits."""

    text: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """The caller stays silent until the phone gives up waiting."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """The caller hangs up. At a recording: speaks a moment first."""


Input = Keys | Words | Nothing | HangUp


@dataclass(frozen=True, slots=True)
class Said:
    """The caller hears a text."""

    text: str


@dataclass(frozen=True, slots=True)
class Played:
    """The caller hears a sound file."""

    url: str


@dataclass(frozen=True, slots=True)
class Paused:
    """The caller hears nothing for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Asked:
    """The phone waits for the caller: a Gather. `url` is where the input goes, `timeout` is in seconds."""

    url: str
    method: str = "POST"
    keys: bool = True
    speech: bool = False
    timeout: float = 5
    num_digits: int | None = None
    finish_on_key: str = "#"
    action_on_empty_result: bool = False


@dataclass(frozen=True, slots=True)
class Recording:
    """The phone records the caller: a Record. `timeout` is the silence, and `max_length` the time, that ends it, in seconds."""

    url: str
    method: str = "POST"
    timeout: float = 5
    max_length: int = 3600
    finish_on_key: str = "1234567890*#"
    callback: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording was made; `url` is where it would be fetched."""

    url: str
    seconds: int


DialStatus = Literal["completed", "busy", "no-answer", "failed", "canceled"]


@dataclass(frozen=True, slots=True)
class Dialled:
    """The caller was connected to another number, or not."""

    number: str
    status: DialStatus


End = Literal["caller", "hangup", "end", "rejected", "error"]


@dataclass(frozen=True, slots=True)
class HungUp:
    """The call is over. `end`: the answer had no more verbs; `error`: Twilio would have dropped the call, and `detail` says why."""

    reason: End
    detail: str = ""
    status: int | None = None


Event = Said | Played | Paused | Asked | Recording | Recorded | Dialled | HungUp
