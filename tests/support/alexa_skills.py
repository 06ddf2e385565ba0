"""Small conversations for Alexa; lines name them as `support.alexa_skills:<name>`."""

from datetime import timedelta

from support.conversations import wait_for_it

from workflows import CallerLeft, Choice, Digits, Heard, Intents, Returned, Ssml, Talk, Words, YesNo, workflow


@workflow
async def host(talk: Talk) -> None:
    """Outlives connections: says who is there."""
    talk.say("Welcome.")
    while True:
        try:
            match await talk.next(Heard, Returned):
                case Heard(text=text):
                    talk.say(f"You said {text}.")
                case _:
                    talk.say("There you are again.")
        except CallerLeft as left:
            await talk.next(Returned)
            talk.say(f"Back after {left}.")


@workflow
async def facts(talk: Talk) -> None:
    """Tells what it was told at its opening."""
    opened = talk.opened
    told = f"{opened.channel} {opened.line} {opened.locale} {opened.time_zone} {opened.facts['can_deliver']} {opened.caller}"
    await talk.ask(f"{told} at {opened.at:%z}.", Words())


@workflow
async def clerk(talk: Talk) -> None:
    """Asks in every way that Alexa can answer."""
    drink = await talk.ask("Tea or coffee?", Choice({"t": "tea", "c": ["coffee", "java"]}))
    pin = await talk.ask("Your PIN?", Digits(4, secret=True))
    sure = await talk.ask("Sure?", YesNo())
    wish = await talk.ask(
        "What next?", Intents({"SnoozeIntent": ["snooze", "snooze for {minutes} minutes"], "AMAZON.HelpIntent": ["help"]})
    )
    name = await talk.ask("Your name?", Words())
    talk.say(f"{drink} {pin} {sure} {wish.name} {wish.slots} {name}.")


@workflow
async def dozer(talk: Talk) -> None:
    """Sleeps where others would listen."""
    await talk.ask("Shall I sleep?", Words())
    talk.say("Good night.")
    await talk.sleep(timedelta(hours=1))
    await talk.ask("Good morning.", Words())


@workflow
async def oneshot(talk: Talk) -> None:
    """Thinks, answers, and is done."""
    words = await talk.ask("What now?", Words())
    talk.say("Let me think.")
    talk.say(f"{await talk.call(wait_for_it, words)} it is. Goodbye.")


@workflow
async def chatterbox(talk: Talk) -> None:
    """Says more than anybody takes."""
    while True:
        match await talk.ask("How much?", Words()):
            case "much":
                talk.say("A sentence like so many others. " * 2_000)
            case "wide":
                talk.say("\u65e5\u672c\u8a9e\u3002" * 20_000)
            case "escaped":
                talk.say("<&\"'\\>" * 5_000)
            case "parts":
                for number in range(500):
                    talk.say(f"Part {number} of many.")
            case "markup":
                talk.say(Ssml("<s>One of so many.</s>" * 5_000))
            case "sounds":
                for number in range(10):
                    talk.play(f"https://example.com/{number}.mp3")
            case _:
                talk.say("\x00\x0b</speak><audio src='https://evil.example/x'/> \ud800 ]]> \ufffe & done")
                talk.say(Ssml("<script>alert(1)</script> <audio src='file:///etc/passwd'/> broken <b"))
                talk.say(Ssml("<!DOCTYPE x [<!ENTITY e 'x'>]><speak>&e;</speak>"))
                talk.play("javascript:alert(1)")
