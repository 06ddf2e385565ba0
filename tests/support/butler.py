"""The conversation of the simulations: it does what it is told, and says so, order after order."""

from datetime import timedelta

from workflows import CallerLeft, Errand, ErrandDone, Retry, Talk, Words, effect, workflow


@effect(timeout=3600.0, retry=Retry(attempts=1))
async def consult(word: str) -> int:
    """Ask the outside; the value is the number of the call, so that it can be told which call a value comes from."""


@effect(timeout=3600.0, retry=Retry(attempts=1))
async def explode(word: str) -> int:
    """Kill the process that calls it."""


@workflow(name="task")
async def task(talk: Talk, word: str, seconds: float) -> int:
    """An errand: takes its time, and consults."""
    if seconds:
        await talk.sleep(timedelta(seconds=seconds))
    return await talk.call(consult, word)


VERBS = ("look", "both", "nap", "race", "chore", "leave", "drop", "pair", "burn", "carry", "hello")
"""Orders that are carried out whatever the caller does meanwhile,"""

IMPATIENT = ("wait", "doze", "weigh", "watch", "stray")
"""and those that the caller's next order cuts short."""


@workflow(name="butler")
async def butler(talk: Talk, life: int = 1, awaited: str = "") -> None:
    """Carries out orders, and says which it has done; `awaited` is an errand that a former life has started."""
    try:
        if awaited:
            await report(talk, awaited)
        order = await talk.ask(f"Yes ({life})?", Words())
        while order != "bye":
            next_order = await obey(talk, life, order)
            talk.say(f"Did {order}.")
            order = next_order or await talk.ask(f"Yes ({life})?", Words())
        talk.say("Did bye.")
    except CallerLeft:
        await talk.call(consult, "farewell")
        if life % 2:
            await talk.restart(butler, life + 1)
        raise


async def obey(talk: Talk, life: int, order: str) -> str | None:
    """Carry one order out; gives the next one if that came meanwhile and was listened for."""
    verb, _, what = order.partition(" ")
    match verb:
        case "look":
            await talk.call(consult, what)
        case "both":
            await talk.gather(talk.call(consult, what), talk.call(consult, f"{what}s"))
        case "nap":
            await talk.sleep(timedelta(seconds=float(what)))
        case "race":
            await talk.first(talk.call(consult, what), talk.sleep(timedelta(seconds=0.4)))
        case "chore":
            await report(talk, (await talk.start(task, what, 0.7 * (what == "ox"), name=what)).id)
        case "leave":
            await talk.start(task, what, 2.0, name=what)
        case "drop":
            await talk.cancel(await talk.start(task, what, 50.0, name=what))
        case "pair":
            one, other = await talk.gather(talk.start(task, what, 0.2, name=what), talk.start(task, what, 0.0, name=f"{what}s"))
            await talk.cancel(one)
            await report(talk, other.id)
        case "burn":
            talk.say(f"Did {order}.")
            await talk.restart(butler, life + 1)
        case "carry":
            errand = await talk.start(task, what, 1.0, name=what)
            talk.say(f"Did {order}.")
            await talk.restart(butler, life + 1, errand.id)
        case "wait":
            return await word_or(talk, talk.call(consult, what))
        case "doze":
            return await word_or(talk, talk.sleep(timedelta(seconds=float(what))))
        case "weigh":
            return await word_or(talk, talk.gather(talk.call(consult, what), talk.call(consult, f"{what}s")))
        case "stray":
            return await word_or(talk, talk.start(task, what, 0.3, name=what))
        case "watch":
            return await supervise(talk, await talk.start(task, what, 1.0, name=what))
        case "dare":
            return await word_or(talk, talk.call(explode, what))
    return None


async def word_or(talk: Talk, branch) -> str | None:
    """Whatever comes first: the caller's next word, or something else."""
    index, word = await talk.first(talk.listen(Words()), branch)
    return word if index == 0 else None


async def report(talk: Talk, errand: str) -> None:
    """Hear how one errand ended; others that report are those that nobody waited for."""
    while (await talk.next(ErrandDone)).errand != errand:
        pass


async def supervise(talk: Talk, errand: Errand) -> str | None:
    """Hear how an errand ended, or call it off at the caller's next word; from then on nothing of it may be heard."""
    called_off = False

    async def ear() -> None:
        await report(talk, errand.id)
        assert not called_off, "a cancelled errand reported"

    async def hand() -> str:
        nonlocal called_off
        word = await talk.listen(Words())
        called_off = True
        await talk.cancel(errand)
        return word

    return (await talk.first(ear(), hand()))[1]


WORKFLOWS = (butler, task)
