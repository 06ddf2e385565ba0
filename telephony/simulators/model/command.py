"""The command `switchboard model`: the offline demo model as a server of its own."""

from typing import Annotated

import typer

from telephony.simulators.model.faults import Fault, script


def _faults(text: str) -> list[Fault]:
    try:
        return script(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def model(
    *,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen at; 0 takes a free one.", min=0, max=65_535)] = 8090,
    fault: Annotated[
        str, typer.Option(help="What goes wrong with the next requests, one after another, such as 429:2,hang,ok*3,cut.", metavar="SCRIPT")
    ] = "",
    pace: Annotated[float, typer.Option(help="Seconds between two words of a stream.", min=0.0)] = 0.03,
) -> None:
    """Serve the offline demo model, an OpenAI-compatible endpoint.

    It answers by rules: reminders, flight watches, help, small talk. Set
    OPENAI_BASE_URL to the address that is printed to have `serve` use it.

    Faults: a status (429, or 429:2 for a Retry-After of two seconds), slow
    (slow:3), hang, reset, stall, cut, end, error, garbage, empty, malformed,
    ok; *3 repeats. GET /healthz tells how many requests there were.
    """
    import asyncio  # noqa: PLC0415 - --help stays quick

    faults = _faults(fault)
    try:
        asyncio.run(_serve(host, port, faults, pace))
    except OSError as error:
        typer.echo(f"Error: cannot listen on {host}:{port}: {error.strerror or error}. Choose another port with --port.", err=True)
        raise typer.Exit(2) from None


async def _serve(host: str, port: int, faults: list[Fault], pace: float) -> None:
    import asyncio  # noqa: PLC0415 - --help stays quick
    import signal  # noqa: PLC0415 - the same

    from telephony.simulators.model.endpoint import ModelEndpoint, serving  # noqa: PLC0415 - the same

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(ModelEndpoint(faults, pace), host, port) as url:
        typer.echo(f"The offline demo model listens at {url} until Ctrl-C. To use it: OPENAI_BASE_URL={url} switchboard serve")
        await stop.wait()
