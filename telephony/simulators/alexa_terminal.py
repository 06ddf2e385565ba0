"""The simulated Alexa's face: what a person, or a program that reads JSON, hears of a skill."""

import asyncio
import json

from rich.console import Console
from rich.text import Text

from telephony.errors import RefusedError, UnreachableError
from telephony.simulators.alexa import Echo, Heard

_out = Console(highlight=False)
_err = Console(highlight=False, stderr=True)


def run(echo: Echo, words: list[str] | None, *, as_json: bool) -> int:
    """Open the skill and talk to it, typed or by script, and give the exit status."""
    with asyncio.Runner() as runner:  # and no loop of our own: at the prompt Ctrl-C has to reach `input`
        runner.run(echo.__aenter__())
        try:
            return _talk(runner, echo, None if words is None else [*words], as_json=as_json)
        except UnreachableError:
            _tell(f"No server at {echo.base_url}. Start one with: make run (or switchboard serve)")
            return 2
        except RefusedError as error:
            _tell(f"The server refused the request, or Alexa its answer: {error.status} {error}")
            if error.status == 400:  # noqa: PLR2004 - Bad Request
                _tell("Its log says why. Check that --data is that server's data directory, and that it listens on loopback.")
            return 1
        finally:
            runner.run(echo.__aexit__(None, None, None))


def _talk(runner: asyncio.Runner, echo: Echo, left: list[str] | None, *, as_json: bool) -> int:
    show = _show_json if as_json else _show
    show(runner.run(echo.launch()), runner.run(_spoken(echo)))
    while echo.listens:
        text = _typed() if left is None else left.pop(0) if left else None
        if text:
            if left is not None and not as_json:
                _out.print(Text(f"> {text}", style="dim"), soft_wrap=True)
            show(runner.run(echo.say(text)), runner.run(_spoken(echo)))
        else:
            runner.run(echo.end("USER_INITIATED" if text is None else "EXCEEDED_MAX_REPROMPTS"))
    for reminder in echo.cloud.reminders:
        said = reminder["alertInfo"]["spokenInfo"]["content"][0]["text"]
        _note(f"[a reminder in {reminder['trigger']['offsetInSeconds']} s: {said}]", as_json=as_json)
    if left:
        _tell(f"The skill was over before the script was: {len(left)} of its inputs were not used.")
        return 1
    return 0


async def _spoken(echo: Echo) -> list[str]:
    """What was said before the answer."""
    spoken, echo.cloud.spoken = echo.cloud.spoken, []
    return spoken


def _typed() -> str | None:
    """Read what is said from the terminal; None: the user leaves."""
    try:
        return _out.input("> ").strip()
    except (KeyboardInterrupt, EOFError):
        _out.print()
        return None


def _show(heard: Heard, before: list[str]) -> None:
    for text in before:
        _note(f"[before the answer: {text}]", as_json=False)
    if heard.text:
        _out.print(Text(_printable(heard.text), style="bold"), soft_wrap=True)
    if heard.card is not None and heard.card["type"] != "Simple":
        _note(f"[a card in the app: {heard.card['type']} {', '.join(heard.card.get('permissions', ()))}]", as_json=False)
    if heard.ends:
        _note("[the session is over]", as_json=False)


def _show_json(heard: Heard, before: list[str]) -> None:
    print(json.dumps({"text": heard.text, "before": before, "ends": heard.ends, "answer": heard.whole}), flush=True)  # noqa: T201 - the output


def _note(text: str, *, as_json: bool) -> None:
    if not as_json:
        _out.print(Text(_printable(text), style="dim"), soft_wrap=True)


def _tell(problem: str) -> None:
    _err.print(Text(_printable(problem), style="red"), soft_wrap=True)


def _printable(text: str) -> str:
    """Keep a server's control characters from the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)
