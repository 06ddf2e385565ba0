"""Small conversations for the web, and what their effects wait for; lines name them as `support.chats:<name>`."""

import asyncio
import contextlib
from datetime import timedelta

import msgspec

from workflows import Choice, Digits, ErrandDone, Heard, NoAnswer, Retry, Ssml, StepFailed, Talk, Words, YesNo, effect, workflow


class Text(msgspec.Struct, frozen=True):
    text: str


class Mouth:
    """What a model would say: words are emitted when they are let out. `attempts` counts the calls, `fail` how many of them fail."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.attempts = 0
        self.fail = 0
        self.words = asyncio.Queue()

    async def speak(self, emit):
        self.attempts += 1
        said = ""
        while (word := await self.words.get()) is not None:
            said += word
            emit(word)
            if self.attempts <= self.fail and "!" in word:
                raise OSError("broken off")
        return Text(said)


mouth = Mouth()


@effect(retry=Retry(attempts=3, first=0.01), timeout=60)
async def murmur(prompt: str, emit=None) -> Text:
    return await mouth.speak(emit)


@workflow
async def parrot(talk: Talk) -> None:
    """Says what it hears."""
    talk.say("Hello!")
    while True:
        words = (await talk.next(Heard)).text
        if words == "bye":
            talk.say("Bye.")
            return
        talk.say(f"You said {words}.")


@workflow
async def murmurer(talk: Talk) -> None:
    """Speaks its answers."""
    while True:
        words = await talk.listen(Words())
        try:
            await talk.speak(murmur, words)
        except StepFailed:
            talk.say("I lost my voice.")


@workflow
async def errand(talk: Talk, seconds: float) -> str:
    await talk.sleep(timedelta(seconds=seconds))
    return f"{seconds:g} s are over"


@workflow
async def runner(talk: Talk) -> None:
    """Starts an errand at a number, and tells of it."""
    running: dict[str, str] = {}
    talk.say("Seconds?")
    while True:
        match await talk.next(Heard, ErrandDone):
            case Heard(text="bye"):
                return
            case Heard(text=text):
                started = await talk.start(errand, float(text), name=text)
                running[started.id] = text
                talk.say("Started.")
            case ErrandDone() as done:
                running.pop(done.errand)
                talk.say(f"{done.name}: {done.value}")
        talk.note([{"name": name} for name in running.values()])


@workflow
async def leaver(talk: Talk) -> None:
    """Speaks one answer, and leaves."""
    await talk.speak(murmur, await talk.listen(Words()))


@workflow
async def watched(talk: Talk, what: str) -> None:
    talk.note({"looked": what})
    await talk.sleep(timedelta(days=1))


@workflow
async def watcher(talk: Talk) -> None:
    """Starts an errand at each word, and calls them all off at the last."""
    running = []
    while (word := (await talk.next(Heard)).text) != "stop":
        running.append(await talk.start(watched, word, name=word))
    for each in running:
        await talk.cancel(each)
    talk.say("Stopped.")
    await talk.next(Heard)


@workflow
async def asker(talk: Talk) -> None:
    """Asks for all that can be asked for."""
    await talk.ask("Which?", Choice({"t": "tea", "c": ["coffee", "java"]}))
    await talk.ask(Ssml("Your <emphasis>PIN</emphasis> &amp; name?"), Digits(4, secret=True))
    talk.play("https://example.com/bells.mp3")
    await talk.ask("Sure?", YesNo(), timeout=600)
    went = await talk.transfer("+15550111")
    talk.say(f"That was {went.outcome}.")
    message = await talk.record("Tell me.")
    talk.say(f"I heard {message.text}.")


@workflow
async def porter(talk: Talk) -> None:
    """Asks for a PIN when nobody says whether they want tea, and for another one behind a name."""
    with contextlib.suppress(NoAnswer):
        await talk.ask("Tea?", YesNo(), timeout=0.5, tries=1)
    await talk.ask("Your PIN?", Digits(4, secret=True))
    name = await talk.ask("Your name?", Words())
    await talk.ask(f"The PIN of {name}?", Digits(4, secret=True))
    talk.say("Thanks.")
    await talk.next(Heard)


@workflow
async def phoenix(talk: Talk, life: int = 1) -> None:
    """Begins a new life at each word."""
    word = (await talk.next(Heard)).text
    talk.say(f"{word} in life {life}.")
    await talk.restart(phoenix, life + 1)


@workflow
async def broken(talk: Talk) -> None:
    word = await talk.ask("A number?", Words())
    talk.say(str(1 // int(word)))


@workflow
async def silent(talk: Talk) -> None:
    await talk.listen(Words())


@workflow
async def nasty(talk: Talk) -> None:
    """Says what nobody should."""
    talk.say("</script>\r\ndata: x\n\nevent: ended\x00 \ud800 \u2028")
    talk.note({(1, 2): "no JSON"})
    await talk.ask("And?", Choice({"x": "\udfff"}))
