"""A conversation in Slack, and server processes that die at a moment of it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import redis
from support.crashing import Doomed, Moments, doomed, eventually
from support.slack_house import ADA, DIRECT, SECRET, TOKEN, buttons, contexts, key_of, text_of
from support.valkey import Valkey

from handlers.effects import Effects
from handlers.redis_history import RedisHistory
from switchboard import server
from switchboard.settings import Settings
from telephony.errors import UnreachableError
from telephony.simulators.slack_sender import SlackSender
from telephony.simulators.slack_workspace import SlackWorkspace, serving
from telephony.slack_api import SlackApi
from telephony.slack_intake import SlackIntake
from telephony.slack_messenger import SlackMessenger
from workflows import Talk, Words, YesNo, effect, workflow
from workflows.events import Heard, Sent, decode
from workflows.registry import Registry

LONG = "\n\n".join(f"Paragraph {number}. " + "word " * 180 for number in range(6))
PARTS = ["Paragraph 0.", "Paragraph 3."]


@effect(timeout=30)
async def ponder(words: str) -> str:
    await asyncio.sleep(0.05)
    return LONG


@workflow
async def counsel(talk: Talk) -> None:
    """Thinks, says much, and asks whether that was any good."""
    words = await talk.listen(Words())
    talk.say(await talk.call(ponder, words))
    if await talk.ask("Was that good?", YesNo()):
        talk.say("Fine.")
    await talk.listen(Words())


class SlackMoments(Moments):
    """Begins to count when the first event has come."""

    def when_heard(self) -> None:
        take = SlackIntake.event

        async def taken(intake: Any, payload: Any) -> None:
            self._armed = True
            self.pass_by("before an event is taken")
            await take(intake, payload)
            self.pass_by("before an event is acknowledged")

        SlackIntake.event = taken  # type: ignore[method-assign]


def serve(settings: dict[str, Any], moments: tuple[Path, int, bool], clock: float, told: Any) -> None:
    assert not clock
    passing = SlackMoments(moments[0], moments[1], armed=moments[2])
    passing.around(RedisHistory, "append", lambda _, command: f"an append of {len(command.events)} events")
    passing.around(Effects, "perform", lambda _, step, *__: f"a call of {step.effect.name}")
    passing.around(SlackApi, "call", lambda *_: "a call of Slack's API")
    passing.around(SlackMessenger, "post", lambda *_: "a post")
    passing.around(SlackMessenger, "expect", lambda *_: "a placeholder")
    passing.around(SlackIntake, "interaction", lambda *_: "a press")
    passing.when_heard()
    server.run(Settings.model_validate(settings, context=Registry()), told.send)


class Conversation:
    """One conversation on one store, with one server process after the other; a moment is fatal to each of the first ones."""

    def __init__(self, folder: Path, *fatal: int) -> None:
        self.folder = folder
        self.fatal = [*fatal, 0]
        self.reports: list[list[str]] = []
        self.workspace = SlackWorkspace(TOKEN)
        self.workspace.direct(ADA)
        self.longest = 0
        self.events: list[Any] = []

    async def lead(self) -> None:
        self.folder.mkdir()
        valkey = Valkey("--maxmemory-policy", "noeviction", persistent=True)
        try:
            await asyncio.to_thread(valkey.start)
            async with serving(self.workspace) as self.api:
                with redis.Redis.from_url(valkey.url) as self.store:
                    self.url = valkey.url
                    await self._lead()
        finally:
            valkey.remove()

    async def _lead(self) -> None:
        message = self.workspace.write(DIRECT, ADA, "go")
        self.workspace.changed = lambda *_: self._count()
        steps = [
            lambda sender: self._send(sender.send(sender.message(message))),
            lambda _: self._until(lambda: self.texts()[-1:] == ["Was that good?"]),
            lambda sender: self._send(sender.send_press(sender.press(self.asked, 0, ADA))),
            lambda _: self._until(lambda: self.texts()[-1:] == ["Fine."] and not self.store.keys("sb:*:pending")),
            self._press_what_is_left,
        ]
        while steps:
            async with self._server() as (process, sender):
                while steps and sender is not None and process.alive:
                    self.process = process
                    if await steps[0](sender):
                        steps.pop(0)
            self.reports.append(process.moments)
        self.events = [decode(each) for key in self.store.keys("sb:*:h:*") for each in self.store.lrange(key, 0, -1)]

    @contextlib.asynccontextmanager
    async def _server(self) -> AsyncGenerator[tuple[Doomed, SlackSender | None]]:
        number = len(self.reports)
        settings = {
            "lines": {"slack:*": "support.slack_crashing:counsel"}, "server": {"port": 0}, "store": {"url": self.url}, "data": str(self.folder),
            "slack_signing_secret": SECRET, "slack_bot_token": TOKEN, "slack_api_url": self.api, "sessions": {"idle": "1s"},
        }  # fmt: skip
        fatal = self.fatal[min(number, len(self.fatal) - 1)]
        async with doomed(settings, self.folder / f"moments-{number}", fatal, armed=number > 0, serve=serve) as process:
            try:
                await process.listening()
            except EOFError:
                yield process, None
                return
            async with SlackSender(process.url, SECRET, self.workspace) as sender:
                yield process, sender

    async def _send(self, sending: Any) -> bool:
        """Slack sends it once more if it was not taken."""
        try:
            if await sending == 200:
                return True
        except UnreachableError:
            pass
        await asyncio.sleep(0.1)
        return False

    async def _until(self, met: Any) -> bool:
        """Wait without a word to the server; False if it has died."""
        begun = time.monotonic()

        def told() -> bool:
            assert time.monotonic() - begun < 50, (self.texts(), self.reports, self.process.moments)
            return not self.process.alive or bool(met())

        await eventually(told)
        return self.process.alive

    async def _press_what_is_left(self, sender: SlackSender) -> bool:
        """A death may have left the buttons of the question that was answered: whoever presses one sees what became of it."""
        with contextlib.suppress(TimeoutError):
            await eventually(lambda: not buttons(self.asked), 0.5)
        if buttons(self.asked) and not await self._send(sender.send_press(sender.press(self.asked, 0, ADA))):
            return False
        return await self._until(lambda: not buttons(self.asked))

    # -- what became of it ---------------------------------------------------------------------------------------------------------------

    @property
    def asked(self) -> dict[str, Any]:
        return next(each for each in self.workspace.said(DIRECT) if text_of(each) == "Was that good?")

    def _count(self) -> None:
        waiting = [each for each in self.workspace.said(DIRECT) if key_of(each).endswith("/expected")]
        self.longest = max(self.longest, len(waiting))

    def texts(self) -> list[str]:
        return [text_of(each) for each in self.workspace.said(DIRECT)]

    def check(self) -> None:
        """What was said is there once and in order; at most one placeholder stood, and none does; everything is on record."""
        first, second, *rest = self.texts()
        assert first.startswith(PARTS[0])
        assert second.startswith(PARTS[1])
        assert rest == ["Was that good?", "Fine."]
        assert first.count("word") + second.count("word") == 6 * 180
        assert contexts(self.asked) == [f":white_check_mark: *Yes* (<@{ADA}>)"]
        assert self.longest <= 1
        heard = [each.payload.get("text") or each.payload.get("digits") for each in self.events if isinstance(each, Heard)]
        assert heard == ["go", "1"]
        sent = [each.receipt["ts"] for each in self.events if isinstance(each, Sent)]
        assert sent == [each["ts"] for number, each in enumerate(self.workspace.said(DIRECT)) if number != 1]
        calls = sum(each.startswith("before a call of") and each.endswith("ponder") for report in self.reports for each in report)
        assert 1 <= calls <= len(self.reports)
