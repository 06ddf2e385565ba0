"""Stories: what a caller does in a session, one input after the other, told so that they can be told again after any crash.

A caller repeats an input until it is acknowledged, to whatever node is there, as channels do. What is promised is checked at the end: see
`check_promises`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from support.house import SESSION, Node, Town, opening, texts
from support.workflows import Outside, chore, look_up

from handlers.errors import HandlerError
from workflows import ErrandDone, Talk, Words, workflow
from workflows.events import Fired, Heard, Left, Memo, Opened
from workflows.registry import AnyWorkflow
from workflows.turns import Answer


@workflow(name="journey")
async def journey(talk: Talk) -> None:
    """One turn with an effect, an alarm and an errand, all at once."""
    word = await talk.ask("What?", Words())

    async def look() -> None:
        talk.say(f"{word} is {await talk.call(look_up, word)}.")

    async def nap() -> None:
        await talk.sleep(timedelta(seconds=1))
        talk.say("I napped.")

    async def delegate() -> None:
        await talk.start(chore, f"{word}s", 0.5, name="chore")
        done = await talk.next(ErrandDone)
        talk.say(f"{done.name}: {done.value}.")

    await talk.gather(look(), nap(), delegate())
    await talk.ask("More?", Words())
    talk.say("Bye.")


@workflow(name="odyssey")
async def odyssey(talk: Talk, life: int = 1) -> None:
    """Errands started and called off, and a restart while one of them runs and another input waits."""
    if life == 1:
        word = await talk.ask("What?", Words())
        kept = await talk.start(chore, word, 3.0, name="kept")
        dropped = await talk.start(chore, "never", 100.0, name="dropped")
        await talk.cancel(dropped)
        talk.say(f"{(await talk.status(kept)).state}.")
        await talk.sleep(timedelta(seconds=1))
        await talk.restart(odyssey, 2)
    done = await talk.next(ErrandDone)
    talk.say(f"{done.name}: {done.value}.")
    talk.say(f"{await talk.listen(Words())} in life {life}.")
    await talk.ask("More?", Words())
    talk.say("Bye.")


@dataclass
class Story:
    """What a caller says, in order: an id and words (an opening without), or None to wait until the session listens."""

    workflow: AnyWorkflow
    inputs: list[tuple[str, str] | None]
    calls: set[str] = field(default_factory=set)
    alarms: int = 0
    errands: int = 0
    notices: int = 0


STORIES = {
    "journey": Story(journey, [("open", ""), ("1", "cat"), None, ("2", "bye")], calls={"cat", "cats"}, alarms=1, errands=1, notices=1),
    "odyssey": Story(
        odyssey, [("open", ""), ("1", "cat"), ("2", "queued"), None, ("3", "bye")], calls={"cat"}, alarms=1, errands=2, notices=1
    ),
}
WORKFLOWS = (journey, odyssey, chore)


class Teller:
    """Tells a story in a town; `node` is whom the caller reaches now, `next_node` gives another one when that is dead."""

    def __init__(self, story: Story, town: Town, outside: Outside, node: Node, next_node: Callable[[], Node]) -> None:
        self.story = story
        self.town = town
        self.outside = outside
        self.node = node
        self.acknowledged: dict[str, Answer] = {}
        self.crashes = 0
        self._next_node = next_node

    def tell(self) -> None:
        """From the first word to the last, and until nothing is outstanding."""
        for each in self.story.inputs:
            if each is None:
                self.insist(self._until_it_listens)
            else:
                self.acknowledged[each[0]] = self.say(*each)
        self.town.wait(30.0)

    def say(self, id_: str, text: str) -> Answer:
        if text:
            return self.insist(lambda node: node.say(id_, text))
        return self.insist(lambda node: node.say(id_, opening=opening(self.story.workflow), fresh=True))

    def _until_it_listens(self, node: Node) -> Answer:
        offset = 0
        while (answer := node.collect("1", offset)).prompt is None:
            offset += len(answer.said)
        return answer

    def insist(self, act: Callable[[Node], Any]) -> Any:
        """Do it until it is acknowledged."""
        for _ in range(60):
            if self.node.dead:
                self.crashes += 1
                self.node = self._next_node()
            try:
                return act(self.node)
            except (HandlerError, AssertionError):
                if not self.node.dead:
                    self.town.wait(0.2)
        raise AssertionError("the caller has given up")


def check_promises(teller: Teller) -> None:
    """The promises of the README, as far as one story can show them."""
    story, town = teller.story, teller.town
    written = town.written
    heard = Counter(
        event.id for event in written[SESSION] if isinstance(event, Heard | Left) or (isinstance(event, Opened) and event.id == "open")
    )
    # 1. nothing acknowledged is lost; 3. each input is applied once
    for each in story.inputs:
        if each is not None:
            assert heard[each[0]] == 1 + (each[0] == "2" and story.workflow is odyssey and _requeued(town)), (each, heard)
    # 3. the retry gets the same answer, wherever
    for node in (teller.node, town.node("late.1")):
        for id_, text in filter(None, story.inputs):
            teller.node = node
            assert teller.say(id_, text) == teller.acknowledged[id_], id_
    # 4. a memo is recorded once; the call behind it runs again only if a process died
    memos = Counter((session, event.step, event.name) for session, events in written.items() for event in events if isinstance(event, Memo))
    assert set(memos.values()) == {1}
    words = Counter(teller.outside.words)
    assert set(words) == story.calls
    assert all(count <= 1 + teller.crashes for count in words.values())
    # 5. with one key
    assert len({key for key, _ in teller.outside.calls}) == len(story.calls)
    # alarms once, errands once, their notices once
    assert sum(isinstance(event, Fired) for event in written[SESSION]) == story.alarms
    errands = [session for session in written if session.startswith("errand:")]
    assert len(errands) == story.errands
    assert all(sum(isinstance(event, Opened) for event in written[errand]) == 1 for errand in errands)
    notices = {event.id for event in written[SESSION] if isinstance(event, Heard) and event.type == "errand"}
    assert len(notices) == story.notices
    # nothing is outstanding, nothing is left
    assert town.pending == []
    assert town.due == {}
    # 6. replay reproduces the conversation
    last = teller.say(*[each for each in story.inputs if each is not None][-1])
    assert last.ended
    assert texts(last) == ["Bye."]


def _requeued(town: Town) -> bool:
    return any(
        isinstance(event, Opened) and any(c.id == "2" and c.state == "queued" for c in event.carried) for event in town.written[SESSION]
    )
