"""The command `switchboard chat`: the web API at a terminal or in a script."""

from typing import Annotated

import typer


def chat(
    *,
    url: Annotated[str, typer.Option(help="Where the server is; its public URL if it has one.")] = "http://127.0.0.1:8080",
    line: Annotated[str | None, typer.Option(help="Which of the web's lines; the one that is written web:* if none is named.")] = None,
    timezone: Annotated[
        str | None, typer.Option(help="Where your clock hangs, such as Europe/Helsinki.", show_default="this computer's zone")
    ] = None,
    session: Annotated[str | None, typer.Option(help="Go on with this session, as an earlier chat named it.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Write what happens as JSON, one event a line.")] = False,
) -> None:
    """Chat with the server as a web page would.

    Type and press Enter; what comes later is shown when it comes. Ctrl-C
    or Ctrl-D leaves; the session stays, and can be gone on with.

    When the input is no terminal, each line is a message, sent when the one
    before is answered, and the end of the input leaves.

    Exit status: 0 when all was answered, 1 when the server refused
    something or was lost, 2 when there was no server.
    """
    from telephony.simulators.chat_terminal import run  # noqa: PLC0415 - aiohttp and rich take a third of a second: --help stays quick

    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{url!r} does not begin with http:// or https://", param_hint="--url")
    raise typer.Exit(run(url, line, timezone, session, as_json=json))
