"""The command `switchboard call`: the simulated phone at a terminal or in a script."""

import os
import tomllib
from pathlib import Path
from typing import Annotated

import typer

from telephony.simulators.events import Input, Keys, Nothing, Words

_LIVE_SPEED, _SCRIPT_SPEED = 4, 20
"""How many times faster than life pauses pass. Not at once: a server that polls asks for a pause because it needs one."""


def call(
    *,
    url: Annotated[str, typer.Option(help="Where the server is; its public URL if it has one.")] = "http://127.0.0.1:8080",
    from_: Annotated[str, typer.Option("--from", help="The caller's number; also `anonymous` or `client:name`.")] = "+12025550199",
    to: Annotated[str, typer.Option(help="The number that is called: one of the server's lines.")] = "+15550100",
    keys: Annotated[
        str | None, typer.Option(help="Keys to press, separated by commas, one item for each question: 1,3. An empty item is silence.")
    ] = None,
    say: Annotated[list[str] | None, typer.Option(help="What to say when the keys are used up; once for each question.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Write what happens as JSON, one event a line, and ask nothing.")] = False,
    data: Annotated[Path, typer.Option(help="The server's data directory, which holds its development secret.")] = Path(".switchboard"),
) -> None:
    """Call the server as Twilio would, without an account.

    At a terminal: type keys or words and press Enter; an empty line is
    silence, Ctrl-C or Ctrl-D hangs up.

    With --keys, --say or --json the call is a script: first all the keys,
    then all that is said, then the caller hangs up.

    Exit status: 0 when the call ended normally, 1 when the server answered
    an error or the script was not used up, 2 when there was no server.
    """
    from telephony.simulators import terminal  # noqa: PLC0415 - aiohttp and rich take a third of a second: --help stays quick
    from telephony.simulators.phone import Phone  # noqa: PLC0415 - the same

    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{url!r} does not begin with http:// or https://", param_hint="--url")
    scripted = json or keys is not None or bool(say)
    token, account, source = _secrets(data)
    phone = Phone(url, token, account, from_, to, speed=_SCRIPT_SPEED if scripted else _LIVE_SPEED)
    show = terminal.show_json if json else terminal.show
    raise typer.Exit(terminal.talk(phone, source, _script(keys, say) if scripted else None, show))


def _script(keys: str | None, say: list[str] | None) -> list[Input]:
    try:
        pressed = [Keys(item.strip()) if item.strip() else Nothing() for item in keys.split(",")] if keys is not None else []
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--keys") from None
    return [*pressed, *[Words(words) for words in say or []]]


def _secrets(data: Path) -> tuple[str, str, str]:
    """Find the token and the account's SID, and tell where the token is from. The environment wins, as it does in the server."""
    path = data / "secrets.toml"
    try:
        stored = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        stored = {}
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{path} cannot be read: {error}", param_hint="--data") from None
    account = os.environ.get("TWILIO_ACCOUNT_SID") or stored.get("twilio_account_sid", "AC" + "0" * 32)
    if token := os.environ.get("TWILIO_AUTH_TOKEN"):
        return token, account, "TWILIO_AUTH_TOKEN in the environment"
    if token := stored.get("twilio_auth_token"):
        return token, account, str(path)
    return "no token", account, f"nowhere: {path} has none"
