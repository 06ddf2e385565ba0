"""The command `switchboard slack`: a Slack of one person and one app, at a terminal or in a script.

The kit for tests is beside it: `slack_workspace.py` is the Web API, `slack_faults.py` what goes wrong with it, `slack_sender.py` sends
what happens.
"""

import os
from pathlib import Path
from typing import Annotated

import typer


def slack(
    *,
    url: Annotated[str, typer.Option(help="Where the server is.")] = "http://127.0.0.1:8080",
    port: Annotated[int, typer.Option(help="The port of the simulated Web API.", min=0, max=65_535)] = 8091,
    fault: Annotated[
        str, typer.Option(help="What goes wrong with the next posts, one after another, such as 429:2,lost,ok*3.", metavar="SCRIPT")
    ] = "",
    data: Annotated[Path, typer.Option(help="The server's data directory, which holds its development secret.")] = Path(".switchboard"),
) -> None:
    """Talk to the server as people in Slack do, without a workspace.

    Type and press Enter: it is a direct message to the app. `:channel` goes
    to #general, where the first message mentions the app and the next ones
    are in its thread; `:dm` comes back. `:press 1` presses the first of the
    buttons shown last, `:again` has Slack send the last event once more,
    `/words` is a slash command. Ctrl-D leaves.

    The server needs no settings for this, unless --port is another one: then
    start it with SLACK_API_URL as it is printed. When the input is no
    terminal, each line is sent when the one before is answered.

    Exit status: 0 when all was answered, 1 when the server refused something
    or was lost, 2 when there was no server.
    """
    from switchboard.errors import SettingsError  # noqa: PLC0415 - --help stays quick
    from switchboard.secrets import development  # noqa: PLC0415 - the same
    from telephony.simulators.slack_faults import script  # noqa: PLC0415 - the same
    from telephony.simulators.slack_terminal import run  # noqa: PLC0415 - the same

    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{url!r} does not begin with http:// or https://", param_hint="--url")
    try:
        faults = script(fault)
        secrets = development(data)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--fault") from None
    except SettingsError as error:
        raise typer.BadParameter(str(error), param_hint="--data") from None
    secret = os.environ.get("SLACK_SIGNING_SECRET") or secrets.slack_signing_secret
    token = os.environ.get("SLACK_BOT_TOKEN") or secrets.slack_bot_token
    raise typer.Exit(run(url, port, secret, token, faults))
