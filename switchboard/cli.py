"""The command `switchboard`. What each command does is in the module that it imports when it runs, so that `--help` stays quick.

Exit codes: 0 all is well, 1 a problem was found, 2 wrong usage, or it cannot be done.
"""

import os
import sys
from collections.abc import Coroutine
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup
from typer.main import get_command

from switchboard.completion import VARIABLE, answer
from switchboard.errors import PluginError, SwitchboardError
from switchboard.workdir import join_path

USUAL = "http://127.0.0.1:8080"
"""Where `switchboard chat` and `call`, and so `make chat` and `make call`, look for the server unless told otherwise."""

Result = TypeVar("Result")

Config = Annotated[Path | None, typer.Option(help="The settings file.", show_default="switchboard.toml, if it is there")]
Data = Annotated[Path | None, typer.Option(help="The data directory.", show_default=".switchboard")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON, for machines.")]


def _session_keys(ctx: typer.Context) -> list[str]:
    from switchboard.completion import sessions

    return sessions(ctx.params)


Session = Annotated[str, typer.Argument(help="The session's key, such as phone:CA0123; see `sessions ls`.", autocompletion=_session_keys)]


class Commands(TyperGroup):
    """Our own commands and those of the entry points `switchboard.commands`, each loaded when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names."""
        return [*super().list_commands(ctx), *sorted(point.name for point in _plugins())]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command by its name; None if there is none."""
        command = super().get_command(ctx, cmd_name)
        if command is None:
            for point in _plugins(cmd_name):
                return _plugin(point)
        return command


def _plugins(name: str | None = None) -> list[EntryPoint]:
    found = entry_points(group="switchboard.commands")
    return list(found if name is None else found.select(name=name))


def _plugin(point: EntryPoint) -> Any:
    try:
        function = point.load()
    except Exception as error:
        raise PluginError(f"The command {point.name} cannot be loaded ({point.value}): {type(error).__name__}: {error}.") from error
    if isinstance(function, typer.Typer):  # a command with commands of its own
        return get_command(function)
    group = typer.Typer(add_completion=False, rich_markup_mode=None)
    group.command(point.name)(function)
    return get_command(group)


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
sessions = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="See, export, forget and resume sessions.")
app.add_typer(sessions, name="sessions")
config_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="See the settings.")
app.add_typer(config_app, name="config")


@app.callback()
def _switchboard() -> None:
    """Conversations as plain Python: they answer the phone, and survive anything."""


@app.command()
def serve(
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="The address to listen at.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option(help="The port to listen at; 0 takes a free one.", show_default="8080", min=0, max=65_535)
    ] = None,
    data: Data = None,
    workers: Annotated[int, typer.Option(help="How many processes serve the port together.", min=1)] = 1,
    reload: Annotated[bool, typer.Option("--reload", help="Start anew when a file changes; calls and chats go on.")] = False,
) -> None:
    """Run the server until Ctrl-C."""
    import logging

    from switchboard import logs
    from switchboard.settings import load
    from switchboard.workdir import hidden_folders

    logs.configure(logging.INFO)
    for folder in hidden_folders():
        typer.echo(f"Note: {folder} is hidden by Switchboard's own package of that name. Rename it if it holds workflows.", err=True)
    if reload:
        if workers > 1:
            raise typer.BadParameter("a server that reloads is one process: leave out --workers or --reload", param_hint="--reload")
        from switchboard import reload as reloading

        raise typer.Exit(reloading.run(reloading.Options(config, host, port, data), _greet))
    settings = load(config, host=host, port=port, data=data)
    public = settings.server.public_url
    if workers == 1:
        from switchboard import server

        server.run(settings, lambda url: _greet(url, public))
    else:
        from switchboard.workers import run

        raise typer.Exit(run(settings, workers, lambda url: _greet(url, public, workers)))


def _greet(url: str, public: str | None, workers: int = 1) -> None:
    """Tell who has started a server how to go on."""
    chat, call = [f"{f'make {name}, or ' if url == USUAL else ''}switchboard {name} --url {public or url}" for name in ("chat", "call")]
    slack = f"switchboard slack --url {public or url}"
    typer.echo(
        f"Listening at {url}{f' with {workers} workers' if workers > 1 else ''} until Ctrl-C. In another terminal:\n"
        f"  {chat}    to chat with it\n"
        f"  {call}    to call it\n"
        f"  {slack}    to write to it in a Slack of your own\n"
        f"  switchboard alexa say --url {public or url}    to speak to it as through Alexa\n"
        f"In a browser: {public or url}/ to chat with it, and {public or url}/phone, a phone to call it\n"
        'To have your own workflow answer, write "web:*" = "mybot:greet" (chats) or "phone:*" = "mybot:greet" (calls) under [lines] in '
        "switchboard.toml.\n"
        "To give it a Twilio number, set TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and PUBLIC_URL, and point the number's webhook at "
        f"{public or 'PUBLIC_URL'}/twilio/voice"
    )


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="What it is called: its folder, and the module in it.", metavar="NAME")],
) -> None:
    """Make a project of your own, ready to run.

    A workflow, its test, its settings and a page on how to go on, in a new
    folder of that name.
    """
    from switchboard.new import new as make

    make(name)


@sessions.command("ls")
def list_sessions(
    limit: Annotated[int, typer.Option(help="How many to show at most.", min=1)] = 1_000,
    json: Json = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """List the sessions, the last active first."""
    from switchboard.sessions import list_all
    from switchboard.settings import load

    _run(list_all(load(config, data=data), limit, as_json=json))


@sessions.command("show")
def show_session(session: Session, json: Json = False, config: Config = None, data: Data = None) -> None:
    """Show a session, event by event.

    What happened, what was said upon it, what the session waits for, and what is wrong with it.
    """
    from switchboard.sessions import show_one
    from switchboard.settings import load

    _run(show_one(load(config, data=data), session, as_json=json))


@sessions.command("export")
def export_sessions(
    session: Annotated[
        list[str] | None,
        typer.Argument(metavar="SESSION", help="Keys of sessions; see `sessions ls`.", autocompletion=_session_keys),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Export every session.")] = False,
    output: Annotated[Path, typer.Option(help="A folder for the files; for one session also a file, NAME.json.", show_default=True)] = Path(
        "histories"
    ),
    config: Config = None,
    data: Data = None,
) -> None:
    """Write sessions as files, to keep and to replay elsewhere.

    Each history becomes a file that `replay` takes. Secret digits are
    replaced by zeros; what else callers said, and who they are, is in it.
    """
    from switchboard.export import export, export_all
    from switchboard.settings import load

    if bool(session) == everything:
        raise typer.BadParameter("name the sessions, or say --all for every one", param_hint="SESSION")
    settings = load(config, data=data)
    _run(export(settings, session, output) if session else export_all(settings, output))


@sessions.command("forget")
def forget_session(
    session: Session,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Drop a session's history for good."""
    from switchboard.sessions import forget
    from switchboard.settings import load

    _run(forget(load(config, data=data), session, sure=yes))


@sessions.command("resume")
def resume_session(session: Session, config: Config = None, data: Data = None) -> None:
    """Let a session go on that servers leave alone.

    A session that was taken over again and again may be what kills the
    servers. `doctor` tells which ones. Mend what kills them first.
    """
    from switchboard.sessions import resume
    from switchboard.settings import load

    _run(resume(load(config, data=data), session))


@app.command()
def replay(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help="Keys of sessions, files that `sessions export` wrote, or folders of them.",
            metavar="SESSION|FILE|DIR",
            autocompletion=_session_keys,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Replay every session in the store.")] = False,
    jobs: Annotated[int | None, typer.Option(help="How many processes work at once.", show_default="the cores", min=1)] = None,
    words: Annotated[bool, typer.Option("--fail-on-reworded", help="Exit with 1 also when something else would be said.")] = False,
    accept: Annotated[bool, typer.Option("--accept", help="Take over into the files what would be said now.")] = False,
    json: Json = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Replay what is on record with the code in front of you.

    Nothing is touched, but files that --accept. Of one history you are told
    the first step that differs, and what would be said differently; of
    several, how many fare how, and an example of each difference.

    Exit status: 0 when the code repeats what is on record, 1 when it does not.
    """
    from switchboard.replay_jobs import cores
    from switchboard.replays import accept_words, replay_all, replay_named
    from switchboard.settings import load

    if bool(what) == everything:
        raise typer.BadParameter("name sessions or files, or say --all for every session", param_hint="SESSION")
    if accept and (not what or not all(Path(name).exists() for name in what)):
        raise typer.BadParameter("name the files, or the folders of files, that take over what would be said now", param_hint="--accept")
    if what:
        repeated = _run(replay_named(what, lambda: load(config, data=data), jobs=jobs or cores(), words=words, as_json=json))
        if accept:
            accept_words(what)
    else:
        repeated = _run(replay_all(load(config, data=data), jobs=jobs or cores(), words=words, as_json=json))
    if not repeated:
        raise typer.Exit(1)


@app.command()
def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended without a loss, also while servers run.")] = False,
    json: Json = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Check what the server runs on, and what to mend.

    Exit status: 1 when something is bad.
    """
    from switchboard.doctor import examine

    if not _run(examine(config, data, repair=repair, as_json=json)):
        raise typer.Exit(1)


@config_app.command("show")
def show_config(config: Config = None, data: Data = None) -> None:
    """Show every setting and where it comes from.

    What is written is a settings file itself. Secrets are not shown.
    """
    from switchboard.config import show_config

    show_config(config, data)


def _run(command: Coroutine[Any, Any, Result]) -> Result:
    import asyncio
    import logging

    from switchboard import logs

    logs.configure(logging.WARNING)
    return asyncio.run(command)


def main() -> None:
    """Run the command line; what goes wrong as foreseen is one sentence on standard error."""
    if VARIABLE in os.environ:
        answer(lambda: app(prog_name="switchboard"))
    try:
        join_path()
        app(prog_name="switchboard")
    except Exception as error:
        if not _is_foreseen(error):
            raise
        typer.echo(f"Error: {error}", err=True)
        sys.exit(2)


def _is_foreseen(error: Exception) -> bool:
    if isinstance(error, SwitchboardError):
        return True
    from handlers.errors import HandlerError
    from workflows.errors import WorkflowError

    return isinstance(error, HandlerError | WorkflowError)
