"""A conversation in a plain unit test: no loop, no store, no server, no waiting.

>>> from datetime import timedelta
>>> from workflows import Digits, Talk, effect, workflow
>>> from workflows.testing import Rehearsal

>>> @effect
... async def weather(place: str) -> str: ...

>>> @workflow
... async def morning(talk: Talk) -> None:
...     if await talk.ask("Press 1 for the weather", Digits(1)) == "1":
...         talk.say(await talk.call(weather, "Inari"))
...     await talk.sleep(timedelta(hours=8))
...     talk.say("Good night")

>>> call = Rehearsal(morning, at="2026-01-05T08:00", effects={weather: "Snow."})
>>> call.said
['Press 1 for the weather']
>>> call.stay_silent()
['Press 1 for the weather']
>>> call.press("1")
['Snow.']
>>> call.pass_time(timedelta(hours=8))
['Good night']
>>> call.ended
True

"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from workflows.effects import Effect
from workflows.errors import RehearsalError
from workflows.events import Opened
from workflows.listen import AnyListen, Words
from workflows.outputs import Output
from workflows.registry import AnyWorkflow, Registry
from workflows.scene import Scene, seed_of
from workflows.stage import Stage

FACTS: dict[str, dict[str, Any]] = {
    "phone": {"owns_timeouts": True, "can_deliver": False},
    "alexa": {"can_deliver": False},
    "slack": {"can_deliver": True},
    "web": {"can_deliver": True},
}
"""What the shipped channels can do."""

Said = list[str | Output]


class Rehearsal(Scene):
    """A workflow, opened on a stage of its own; what the caller does are methods, each of which gives what was said to that.

    `at` is the time of the opening, by default in `time_zone` (a Monday noon if not given); `args` are the workflow's arguments by name;
    `facts` add to what the channel can do. `effects` stand for the workflow's, by effect or name: a function (plain or `async`, but without
    waiting), an exception, or the value itself; `...` leaves a call open until `finish` or `fail`. An effect that has a body needs none.

    With `evict` (the default) every session leaves memory after every event, and before the next one has to come out the same from what is
    on record: a workflow that uses a clock, or a variable of its module, does not get through its rehearsal.

    Raises `RehearsalError`, with the traceback, when the workflow has a bug.
    """

    def __init__(
        self,
        workflow: AnyWorkflow,
        *,
        at: datetime | str = "2026-01-05T12:00",
        channel: str = "phone",
        line: str | None = None,
        caller: str | None = None,
        locale: str = "en-GB",
        time_zone: str = "UTC",
        facts: Mapping[str, Any] | None = None,
        args: Mapping[str, Any] | None = None,
        effects: Mapping[Effect[..., Any] | str, Any] | None = None,
        evict: bool = True,
    ) -> None:
        moment = datetime.fromisoformat(at) if isinstance(at, str) else at
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(time_zone))
        now = round(moment.timestamp() * 1000)
        stage = Stage(Registry([workflow]), now, effects or {}, evict=evict)
        key = f"{channel}:rehearsal"
        opened = Opened(
            now, 0, 0, "opening", now, workflow.name, workflow.patches, channel, line, caller, locale, time_zone, seed_of(key),
            dict(args or {}), facts={**FACTS.get(channel, {}), **(facts or {})},
        )  # fmt: skip
        super().__init__(stage, key, opened)
        stage.settle()

    @property
    def listening(self) -> AnyListen | None:
        """What the caller can answer now; plain `Words` where any input will do, None when nobody listens."""
        return None if self._prompt is None else self._prompt.listen or Words()

    # -- what the caller does ------------------------------------------------------------------------------------------------------------

    def say(self, text: str) -> Said:
        """The caller says (or types) a text."""
        return self._hear("said", {"text": text})

    def press(self, keys: str) -> Said:
        """The caller presses keys."""
        return self._hear("pressed", {"digits": keys})

    def intend(self, name: str, **slots: str) -> Said:
        """The caller says what the channel (Alexa) recognises as an intent."""
        return self._hear("intent", {"name": name, "slots": slots})

    def stay_silent(self) -> Said:
        """The caller says nothing for as long as the listen waits."""
        prompt = self._prompt
        if prompt is None:
            raise RehearsalError(f"nobody listens who could wonder at a silence; the conversation waits for {self._waits}")
        channels = self.opened.facts.get("owns_timeouts")
        if prompt.timeout is None and not channels:
            raise RehearsalError("this listen has no time-out, so a silence changes nothing; let time pass instead")

        def be_silent() -> None:
            self._stage.pass_time(round((prompt.timeout or 0) * 1000))
            if channels:
                self.hear("silence")

        return self._after(be_silent)

    def leave_recording(self, url: str = "https://example.com/recording", seconds: int = 10) -> Said:
        """The caller leaves a message."""
        return self._hear("recorded", {"url": url, "seconds": seconds})

    def transferred(self, outcome: str = "completed", seconds: int = 0) -> Said:
        """The hand-over to a person is done: `completed`, `busy`, `no-answer`, `failed` or `canceled`."""
        return self._hear("transferred", {"outcome": outcome, "seconds": seconds})

    def hang_up(self) -> Said:
        """The caller leaves."""
        self._check_alive("leaving")
        return self._after(self.leave)

    def come_back(self) -> Said:
        """The caller returns to the session."""
        return self._hear("returned", {})

    # -- what the world does -------------------------------------------------------------------------------------------------------------

    def pass_time(self, time: timedelta) -> Said:
        """Let time pass, here and in the errands; alarms go off in due order."""
        return self._after(lambda: self._stage.pass_time(round(time.total_seconds() * 1000)))

    def finish(self, effect: Effect[..., Any] | str, value: Any) -> Said:
        """The open call of an effect comes to a value (or else the next one will)."""
        return self._come_to(effect, value)

    def fail(self, effect: Effect[..., Any] | str, error: BaseException | type[BaseException]) -> Said:
        """The open call of an effect fails (or else the next one will)."""
        return self._come_to(effect, error)

    def _come_to(self, effect: Effect[..., Any] | str, outcome: Any) -> Said:
        name = effect if isinstance(effect, str) else effect.name
        return self._after(lambda: self._stage.outcomes.setdefault(name, []).append(outcome))

    def _hear(self, type_: str, payload: dict[str, Any]) -> Said:
        self._check_alive(f"what was {type_}")
        return self._after(lambda: self.hear(type_, payload))

    def _check_alive(self, what: str) -> None:
        if self.ended:
            raise RehearsalError(f"the conversation has ended; nobody is there to hear {what}")

    def _after(self, action: Callable[[], None]) -> Said:
        before = len(self.said)
        action()
        self._stage.settle()
        return self.said[before:]
