"""The simulated phone's face: what a person, or a program that reads JSON, sees of a call."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http import HTTPStatus

from rich.console import Console
from rich.text import Text

from telephony.errors import UnreachableError
from telephony.simulators.events import (
    TONES,
    Asked,
    Dialled,
    Event,
    HangUp,
    HungUp,
    Input,
    Keys,
    Nothing,
    Paused,
    Played,
    Recorded,
    Recording,
    Said,
    Words,
)
from telephony.simulators.phone import Call, Phone

_PATIENCE = 240
"""Tries for a server that went away in the middle of a call: a minute, time to start it again."""

_out = Console(highlight=False)
_err = Console(highlight=False, stderr=True)


@dataclass(frozen=True, slots=True)
class Calling:
    """The call was taken; the session's key is `phone:` and its SID."""

    sid: str
    from_: str
    to: str


Show = Callable[[Calling | Event | Input], None]


def talk(phone: Phone, secret: str, script: list[Input] | None, show: Show) -> int:
    """Have a call, typed or by script, and give the exit status. `secret` says where the phone has its token from."""
    with asyncio.Runner() as runner:  # and no loop of our own: at the prompt Ctrl-C has to reach `input`, in a call the call
        runner.run(phone.__aenter__())
        try:
            call = phone.call()
            left = None if script is None else [*script]
            status = _talk(runner, phone, call, left, show)
            if call.ended is not None and call.ended.status == HTTPStatus.FORBIDDEN:
                _tell(f"The server refused the signature, made with the token from {secret} for the address {phone.base_url}.")
                _tell("Check that --data is that server's data directory, and --url its PUBLIC_URL if it has one.")
            if left:
                _tell(f"The call was over before the script was: {len(left)} of {len(script or [])} inputs were not used.")
                return status or 1
            return status
        finally:
            runner.run(phone.__aexit__(None, None, None))


def _talk(runner: asyncio.Runner, phone: Phone, call: Call, left: list[Input] | None, show: Show) -> int:
    usual = phone.webhooks.patience
    step: Input | None = None
    while call.ended is None:
        try:
            runner.run(_follow(phone, call, step, show))
        except UnreachableError:
            if step is None:
                _tell(f"No server at {phone.base_url}. Start one with: make run (or switchboard serve)")
                return 2
            if phone.webhooks.patience > usual or isinstance(step, HangUp):
                _tell(f"The server at {phone.base_url} does not answer any more; the call was lost.")
                return 1
            _tell("The server does not answer. Waiting a minute for it to come back; Ctrl-C hangs up.")
            phone.webhooks.patience = _PATIENCE
        except KeyboardInterrupt:
            if isinstance(step, HangUp) or not call.trace:
                return 1
            phone.webhooks.patience = usual
            step = HangUp()
        else:
            phone.webhooks.patience = usual
            if call.waiting is not None:
                step = _typed(call.waiting) if left is None else _scripted(left, show)
    return 1 if call.ended.reason == "error" else 0


async def _follow(phone: Phone, call: Call, step: Input | None, show: Show) -> None:
    async for event in call.follow(step):
        if len(call.trace) == 1:
            show(Calling(call.sid, phone.parties["From"], phone.parties["To"]))
        show(event)


def _scripted(left: list[Input], show: Show) -> Input:
    step = left.pop(0) if left else HangUp()
    show(step)
    return step


def _typed(waiting: Asked | Recording) -> Input:
    """Read the caller's part from the terminal, until it is one that the phone can hear."""
    while True:
        try:
            line = _out.input(_prompt(waiting)).strip()
        except (KeyboardInterrupt, EOFError):
            _out.print()
            return HangUp()
        if not line:
            return Nothing()
        keys = isinstance(waiting, Recording) or waiting.keys
        if keys and not set(line) - TONES:
            return Keys(line)
        if isinstance(waiting, Recording) or waiting.speech:
            return Words(line)
        _tell("Only keys are heard here: 0 to 9, * and #. An empty line is silence.")


def _prompt(waiting: Asked | Recording) -> str:
    match waiting:
        case Recording():
            return "message> "
        case Asked(keys=True, speech=True):
            return "keys or words> "
        case Asked(speech=True):
            return "words> "
        case _:
            return "keys> "


def show(event: Calling | Event | Input) -> None:
    """Show a person what happens. What is waited for is told by the prompt."""
    match event:
        case Said(text):
            _out.print(Text(_printable(text), style="bold"), soft_wrap=True)
        case HungUp("error", detail):
            _tell(f"The call was dropped: {detail}")
        case Asked():
            pass
        case _:
            _out.print(Text(f"[{_printable(_described(event))}]", style="dim"), soft_wrap=True)


def show_json(event: Calling | Event | Input) -> None:
    """Write what happens for a program: an object a line, its `event` the lower-case name of the kind."""
    print(json.dumps({"event": type(event).__name__.lower(), **asdict(event)}), flush=True)  # noqa: T201 - this is the command's output


def _described(event: Calling | Event | Input) -> str:
    match event:
        case Calling(sid, from_, to):
            return f"{from_} calls {to}, session phone:{sid}"
        case Played(url):
            return f"plays {url}"
        case Paused(seconds):
            return f"{seconds:g} s of silence"
        case Recording():
            return "beep"
        case Recorded(url, seconds):
            return f"recorded {seconds} s as {url}"
        case Dialled(number, status):
            return f"connects to {number}: {status}"
        case Keys(keys):
            return f"presses {keys}"
        case Words(text):
            return f"says {text}"
        case Nothing():
            return "says nothing"
        case HangUp():
            return "hangs up"
        case HungUp("rejected", detail):
            return f"the call was not taken: {detail}"
        case _:
            return "the call is over"


def _tell(problem: str) -> None:
    _err.print(Text(_printable(problem), style="red"), soft_wrap=True)


def _printable(text: str) -> str:
    """Keep a server's control characters from the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)
