"""Small conversations, each for one thing that a session can do, and the outside that their effects reach."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from workflows import CallerLeft, Digits, ErrandDone, Retry, StepFailed, Talk, Words, effect, idempotency_key, workflow


class Outside:
    """What effects reach. It counts the letters of a word, in `seconds`, or raises what `trouble` has for it.

    `calls` are the idempotency keys and words of all calls, `ended` those that were not cut off.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.ended: list[tuple[str, str]] = []
        self.seconds = 0.0
        self.trouble: dict[str, Exception] = {}

    @property
    def bodies(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        return {"look_up": self.look_up, "note_down": self.note_down}

    @property
    def words(self) -> list[str]:
        return [word for _, word in self.calls]

    async def look_up(self, word: str) -> int:
        await self._serve(word)
        return len(word)

    async def note_down(self, word: str) -> None:
        await self._serve(word)

    async def _serve(self, word: str) -> None:
        call = (idempotency_key.get(), word)
        self.calls.append(call)
        await asyncio.sleep(self.seconds)
        self.ended.append(call)
        if word in self.trouble:
            raise self.trouble[word]


@effect(timeout=60.0)
async def look_up(word: str) -> int: ...


@effect(retry=Retry(attempts=1))
async def note_down(word: str) -> None: ...


@workflow(name="echo")
async def echo(talk: Talk) -> None:
    """Says what it hears, until "bye"."""
    while (heard := await talk.ask("Yes?", Words())) != "bye":
        talk.say(f"You said {heard}.")
    talk.say("Bye.")


@workflow(name="clerk")
async def clerk(talk: Talk) -> None:
    """Looks things up."""
    while True:
        word = await talk.ask("Yes?", Words())
        try:
            talk.say(f"{word} is {await talk.call(look_up, word)}.")
        except StepFailed as error:
            talk.say(f"{word} failed: {error.kind}: {error.reason}.")


@workflow(name="sleeper")
async def sleeper(talk: Talk, seconds: float = 60.0) -> None:
    """Sleeps, and says so."""
    while True:
        word = await talk.ask("Yes?", Words())
        await talk.sleep(timedelta(seconds=seconds))
        talk.say(f"{word}, I woke up.")


@workflow(name="impatient")
async def impatient(talk: Talk, seconds: float = 20.0) -> None:
    """Hears a word, looks one up, or lets time pass, whichever is first."""

    async def ear() -> str:
        return await talk.listen(Words())

    async def eye() -> str:
        return f"found {await talk.call(look_up, 'it')}"

    async def clock() -> str:
        await talk.sleep(timedelta(seconds=seconds))
        return "time is up"

    while True:
        talk.say("Well?")
        index, word = await talk.first(ear(), eye(), clock())
        talk.say(f"{index}: {word}.")
        await talk.ask("Again?", Words())


@workflow(name="polite")
async def polite(talk: Talk) -> str:
    """Notes that the caller has left."""
    try:
        while True:
            await talk.ask("Yes?", Words())
            talk.say(str(await talk.call(look_up, "x")))
    except CallerLeft:
        await talk.call(note_down, "left")
        raise


@workflow(name="chore")
async def chore(talk: Talk, word: str, seconds: float = 0.0) -> str:
    """An errand: looks a word up, in its own time."""
    talk.note("begun")
    if seconds:
        await talk.sleep(timedelta(seconds=seconds))
    number = await talk.call(look_up, word)
    return f"{word} is {number}"


@workflow(name="boss")
async def boss(talk: Talk, seconds: float = 0.0) -> None:
    """Gives an errand and waits for its result."""
    while True:
        word = await talk.ask("What?", Words())
        errand = await talk.start(chore, word, seconds, name=word)
        done = await talk.next(ErrandDone)
        talk.say(f"{done.name}: {done.value or done.error}.")
        assert done.errand == errand.id


@workflow(name="manager")
async def manager(talk: Talk) -> None:
    """Starts, cancels and asks about errands on the caller's word, and tells what comes back."""
    errands = {}

    async def orders() -> None:
        while True:
            verb, _, name = (await talk.ask("Order?", Words())).partition(" ")
            if verb == "start":
                errands[name] = await talk.start(chore, name, 100.0, name=name)
            elif verb == "cancel":
                await talk.cancel(errands[name])
            elif verb == "status":
                status = await talk.status(errands[name])
                talk.say(f"{name}: {status.state}, {status.note}.")
            elif verb == "restart":
                await talk.restart(manager)
            else:
                return

    async def reports() -> None:
        while True:
            done = await talk.next(ErrandDone)
            talk.say(f"{done.name}: {done.value or done.error}.")

    await talk.first(orders(), reports())
    talk.say("Bye.")


@workflow(name="phoenix")
async def phoenix(talk: Talk, life: int = 1) -> None:
    """Begins a new generation at the word "burn"."""
    while True:
        word = await talk.ask(f"Life {life}?", Words())
        if word == "burn":
            talk.say("I burn.")
            await talk.restart(phoenix, life + 1)
        if word == "bye":
            return
        talk.say(f"{word} in life {life}.")


@workflow(name="buggy")
async def buggy(talk: Talk) -> None:
    """Has a bug at the word "bug", and an alarm that is open then."""

    async def ear() -> None:
        while True:
            word = await talk.ask("Yes?", Words())
            if word == "bug":
                raise ZeroDivisionError(word)
            talk.say(f"{word} is {await talk.call(look_up, word)}.")

    async def clock() -> None:
        while True:
            await talk.sleep(timedelta(seconds=60))
            talk.say("A minute has passed.")

    await talk.gather(ear(), clock())


@workflow(name="buggy")
async def mended(talk: Talk) -> None:
    """`buggy`, with its bug mended."""

    async def ear() -> None:
        while True:
            word = await talk.ask("Yes?", Words())
            if word == "bug":
                talk.say("No bug.")
            else:
                talk.say(f"{word} is {await talk.call(look_up, word)}.")

    async def clock() -> None:
        while True:
            await talk.sleep(timedelta(seconds=60))
            talk.say("A minute has passed.")

    await talk.gather(ear(), clock())


@workflow(name="echo")
async def other_echo(talk: Talk) -> None:
    """`echo`, changed beyond recognition."""
    talk.say(await talk.ask("Your number?", Digits(1)))
    await talk.ask("And?", Words())


@workflow(name="clocks")
async def clocks(talk: Talk, seconds: list[float]) -> None:
    """Several alarms at once; says each when it comes."""

    async def clock(after: float) -> None:
        await talk.sleep(timedelta(seconds=after))
        talk.say(f"{after:g} s")

    async def ear() -> None:
        await talk.ask("Yes?", Words())

    if (await talk.first(ear(), _all(talk, [clock(each) for each in seconds])))[0] == 0:
        talk.say("Stopped.")
    await talk.ask("And?", Words())


async def _all(talk: Talk, branches: list[Any]) -> None:
    await talk.gather(*branches)


ALL = (echo, clerk, sleeper, impatient, polite, chore, boss, manager, phoenix, buggy, clocks)
