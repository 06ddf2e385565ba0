"""What Slack may make of a few messages: copies, twins, retries and edits, in any order, over several replicas; by chance, of a seed."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from support.slack_house import BOT, GENERAL, Kit, text_of

from handlers.history import partition_of
from telephony.simulators.slack_faults import Fault, script
from workflows import Talk, Words, effect, workflow
from workflows.events import Heard, decode


@workflow
async def echo(talk: Talk) -> None:
    """Says what it hears, and nothing else."""
    while True:
        talk.say(await talk.listen(Words()))


@effect
async def ponder(words: str) -> str:
    await asyncio.sleep(0.01)
    return words


@workflow
async def slow_echo(talk: Talk) -> None:
    """Says what it hears, after some thought."""
    while True:
        talk.say(await talk.call(ponder, await talk.listen(Words())))


@workflow
async def fumbler(talk: Talk) -> None:
    """Thinks, and then divides by what it heard; or says nothing at all."""
    while True:
        words = await talk.call(ponder, await talk.listen(Words()))
        if words != "hush":
            talk.say(str(1 // int(words)))


TROUBLES = script("429:1,429:0,ratelimited,500,503:3,reset,lost,garbage,internal_error,fatal_error,service_unavailable,slow:0.05")


def troubled(rng: Random, share: float) -> Callable[[str], Fault]:
    """Whatever can happen to a call and passes, to this share of them."""
    return lambda method: rng.choice(TROUBLES) if rng.random() < share else Fault("ok")


@dataclass
class Story:
    """The messages of one conversation, and their deliveries in the order in which they come.

    `sure` are the texts that have to be answered; those that are `possible` may be, since nobody can tell: a message without a mention that
    comes before the mention above it is not for us.
    """

    channel: str
    thread: str | None
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    sure: list[str] = field(default_factory=list)
    possible: list[str] = field(default_factory=list)
    at_once: bool = False

    @property
    def session(self) -> str:
        return f"slack:T0SIMULATED:{self.channel}" + (f":{self.thread}" if self.thread else "")


def story(rng: Random, kit: Kit, number: int) -> Story:
    """Write a conversation into the workspace, and think of what Slack sends of it."""
    workspace, sender = kit.workspace, kit.sender
    user = f"U{number:06d}"
    direct = rng.random() < 0.4
    channel = workspace.direct(user) if direct else GENERAL
    told = Story(channel, None, at_once=rng.random() < 0.5)
    opened: list[dict[str, Any]] = []
    later: list[dict[str, Any]] = []
    for place in range(rng.choice([1, 1, 2, 3])):
        text = f"{number}.{place}"
        mention = not direct and (place == 0 or rng.random() < 0.3)
        message = workspace.write(channel, user, f"<@{BOT}> {text}" if mention else text, told.thread)
        if not direct and told.thread is None:
            told.thread = message["ts"]
        kinds = [sender.message(message)] + ([sender.mention(message)] if mention else [])
        copies = [rng.choice(kinds) for _ in range(rng.randint(1, 4))]
        (opened if direct or mention else later).extend(copies)
        (told.sure if direct or mention else told.possible).append(text)
        if rng.random() < 0.1:
            opened.append(sender.edit(message, "other words"))
    rng.shuffle(opened)
    if told.at_once or rng.random() < 0.3:
        told.deliveries = opened + later
        rng.shuffle(told.deliveries)
    else:  # whatever comes after the mention is for us
        begun = next(n for n, each in enumerate(opened) if each["event"].get("subtype") is None)
        told.deliveries = opened[: begun + 1]
        rest = opened[begun + 1 :] + later
        rng.shuffle(rest)
        told.deliveries += rest
        told.sure += told.possible
        told.possible = []
    return told


async def deliver(rng: Random, kit: Kit, told: Story) -> None:
    """Send all of it, each copy to some replica; every one of them is taken, if Slack has to come again for it."""

    async def send(event: dict[str, Any]) -> None:
        assert await rng.choice(kit.senders).deliver(event) == 200

    if told.at_once:
        await asyncio.gather(*map(send, told.deliveries))
    else:
        for event in told.deliveries:
            await send(event)


def check(kit: Kit, valkey: Any, told: Story) -> None:
    """One turn and one answer for each message, in one order."""
    session = told.session
    events = [decode(each) for each in valkey.lrange(f"sb:{{{partition_of(session)}}}:h:{session}", 0, -1)]
    heard = [each for each in events if isinstance(each, Heard)]
    texts = [each.payload["text"] for each in heard]
    assert len(set(texts)) == len(texts), f"{session}: heard twice: {texts}"
    assert set(told.sure) <= set(texts) <= {*told.sure, *told.possible}, f"{session}: heard {texts}, not {told.sure}"
    said = [text_of(each) for each in kit.workspace.said(told.channel, told.thread)]
    assert said == texts, f"{session}: said {said}, heard {texts}"


async def campaign(kit: Kit, valkey: Any, seed: int, stories: int, together: int = 40) -> None:
    """Play that many stories, some together, and hold each to the promise."""
    rng = Random(seed)
    for start in range(0, stories, together):
        told = [story(rng, kit, number) for number in range(start, min(start + together, stories))]
        await asyncio.gather(*(deliver(Random(rng.random()), kit, each) for each in told))
        await kit.rest(valkey)
        for each in told:
            check(kit, valkey, each)
        if rng.random() < 0.2:
            rng.choice(kit.houses).evict()
        kit.seen.clear()
        kit.workspace.forget()
        valkey.flushdb()
        for house in kit.houses:
            house.evict()
