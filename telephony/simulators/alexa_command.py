"""The command `switchboard alexa`: `say` talks to a server as Alexa would, `model` writes the interaction model of a skill."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

alexa = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Talk to the server as Alexa would; make interaction models."
)

Config = Annotated[Path | None, typer.Option(help="The settings file.", show_default="switchboard.toml, if it is there")]


@alexa.command()
def say(
    words: Annotated[
        list[str] | None, typer.Argument(help="What to say, one after another; nothing: at the keyboard.", metavar="TEXT")
    ] = None,
    *,
    url: Annotated[str, typer.Option(help="Where the server is.")] = "http://127.0.0.1:8080",
    user: Annotated[str, typer.Option(help="Who speaks: each user has a session of their own.")] = "simulated",
    locale: Annotated[str, typer.Option(help="The language of the device.")] = "en-GB",
    timezone: Annotated[str, typer.Option(help="Where the device's clock hangs.")] = "Europe/London",
    consent: Annotated[bool, typer.Option("--consent", help="The user has allowed reminders.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Write each answer as JSON, a line each.")] = False,
    config: Config = None,
    data: Annotated[Path | None, typer.Option(help="The server's data directory, which holds its development certificates.")] = None,
) -> None:
    """Open the skill, and say something to it, as Alexa would.

    At the keyboard: type and press Enter. An empty line is silence until
    Alexa gives up, Ctrl-C or Ctrl-D leaves; both end Alexa's session, and
    the next launch goes on or begins anew, as the workflow has it.

    With words it is a script: each is said when the answer before has been
    heard, then the session is left.

    Exit status: 0 when all was answered, 1 when the server refused something
    or the skill ended before the script did, 2 when there was no server.
    """
    from switchboard.errors import SettingsError  # noqa: PLC0415 - --help stays quick
    from switchboard.settings import load  # noqa: PLC0415 - the same
    from telephony.alexa_development import SKILL, development  # noqa: PLC0415 - the same
    from telephony.simulators.alexa import Echo  # noqa: PLC0415 - the same
    from telephony.simulators.alexa_terminal import run  # noqa: PLC0415 - the same

    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{url!r} does not begin with http:// or https://", param_hint="--url")
    try:
        settings = load(config, data=data)
        certificates = development(settings.data)
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from None
    skill = os.environ.get("ALEXA_SKILL_ID") or SKILL
    line = settings.lines.get(f"alexa:{skill}") or settings.lines.get("alexa:*")
    model = None if line is None else _model(line.workflow, None)[0]
    echo = Echo(
        url, certificates, skill=skill, user=user, locale=locale, time_zone=timezone, consents=consent, model=model
    )  # fmt: skip
    raise typer.Exit(run(echo, words, as_json=json))


@alexa.command()
def model(
    workflow: Annotated[str, typer.Argument(help="A registered workflow, or module:function.", metavar="WORKFLOW")],
    name: Annotated[
        str | None, typer.Option(help="What people call the skill by: Alexa, open …", show_default="made of the workflow's name")
    ] = None,
    locale: Annotated[
        list[str] | None, typer.Option(help="A language of the skill; may be given several times.", show_default="en-GB")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="A folder: a file for each language, en-GB.json.", show_default="the terminal")
    ] = None,
) -> None:
    """Write a workflow's interaction model, for the developer console.

    In the console, under Build, JSON Editor: drop the file of the language
    there, save, and build.

    The words are those of the workflow's own Choice, Digits, YesNo and
    Intents, as they stand in its source; whatever else is said comes through
    a catch-all.
    """
    import json  # noqa: PLC0415 - --help stays quick

    from telephony.errors import ModelError  # noqa: PLC0415 - the same
    from workflows.errors import WorkflowError  # noqa: PLC0415 - the same

    locales = locale or ["en-GB"]
    if len(locales) > 1 and output is None:
        raise typer.BadParameter("several languages go to a folder: name it with --output", param_hint="--locale")
    try:
        made, unread = _model(workflow, name)
    except (ModelError, WorkflowError) as error:
        typer.echo(f"Error: {error}.".replace("..", "."), err=True)
        raise typer.Exit(2) from None
    for place in unread:
        typer.echo(f"Note: {place} is known only while it runs; its words are heard through the catch-all intent.", err=True)
    text = json.dumps(made, indent=2, ensure_ascii=False)
    if output is None:
        typer.echo(text)
        return
    output.mkdir(parents=True, exist_ok=True)
    for each in locales:
        path = output / f"{each}.json"
        path.write_text(text + "\n", encoding="utf-8")
        typer.echo(str(path))


def _model(workflow: str, name: str | None) -> tuple[dict[str, Any], list[str]]:
    """The model of a workflow, and the listens that it could not be made of."""
    from telephony.alexa_listens import Listens  # noqa: PLC0415 - --help stays quick
    from telephony.alexa_model import interaction_model, usual_invocation  # noqa: PLC0415 - the same
    from workflows.registry import Registry  # noqa: PLC0415 - the same

    listens = Listens(Registry().get(workflow))
    return interaction_model(name or usual_invocation(workflow), listens.found), listens.unread
