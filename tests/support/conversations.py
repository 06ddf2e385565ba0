"""Small conversations that tests of the doors use; lines name them as `support.conversations:<name>`."""

import asyncio
from datetime import timedelta

from workflows import Choice, Digits, NoAnswer, Ssml, Talk, Words, YesNo, effect, workflow


class Slow:
    """An effect that waits until it is let go, and counts its calls."""

    def __init__(self):
        self.calls = 0
        self.gate = asyncio.Event()


slow = Slow()


@effect(timeout=30)
async def wait_for_it(what: str) -> str:
    slow.calls += 1
    await slow.gate.wait()
    return what.upper()


@workflow
async def echo(talk: Talk) -> None:
    while True:
        words = await talk.ask("Say something.", Words())
        if words == "goodbye":
            return
        talk.say(f"You said {words}.")


@workflow
async def thinker(talk: Talk) -> None:
    while True:
        words = await talk.ask("What now?", Words())
        talk.say("Let me think.")
        talk.say(await talk.call(wait_for_it, words))


@workflow
async def napper(talk: Talk) -> None:
    await talk.ask("Press 1 to wait.", Digits(1))
    talk.say("I will be right back.")
    await talk.sleep(timedelta(seconds=0.3))
    await talk.ask("Here I am. Press 2.", Digits(1))


@workflow
async def exchange(talk: Talk) -> None:
    match await talk.ask("Press 1 for Ada, 2 for a message.", Choice({"1": "Ada", "2": "a message"})):
        case "1":
            went = await talk.transfer("+15550111")
            talk.say(f"That was {went.outcome}, {went.seconds} seconds.")
        case _:
            try:
                message = await talk.record("After the tone.")
                talk.say(f"{message.seconds} seconds at {message.url}.")
            except NoAnswer:
                talk.say("You said nothing.")


@workflow
async def buggy(talk: Talk) -> None:
    pin = await talk.ask("Your PIN?", Digits(4, secret=True))
    talk.say(str(1 // (int(pin) - int(pin))))


@workflow
async def polyglot(talk: Talk) -> None:
    talk.say("Good day.")
    talk.say("Bonjour.", voice="Polly.Lea", language="fr-FR")
    talk.say(Ssml("Wait <break time='1s'/> for it."))
    talk.play("https://example.com/bells.mp3")
    await talk.ask("Yes or no?", YesNo(), timeout=2.2)


@workflow
async def hostile(talk: Talk) -> None:
    talk.say('</Say><Dial>+1900</Dial> & "quotes" \x00\x0b \ud800 ]]>')
    await talk.ask("<Hangup/>", Words(hints=('"/><Hangup/>',)))
