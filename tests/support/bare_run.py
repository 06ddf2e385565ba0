"""The barest shell around a run: it stamps events, keeps the stored elements, and evicts before every event.

What a handler does with a store and a loop, this does with a list: so a test tells a conversation as a story, and each step of it proves
that a run which replays the stored elements is the run that has been there all the time.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Self

import msgspec

from workflows.events import AnyEvent, Fired, Heard, Left, Memo, Opened, Sent, decode, encode
from workflows.outputs import Play, Say, Ssml
from workflows.registry import AnyWorkflow, Registry
from workflows.run import Open, Run
from workflows.turns import Answer

NOON = round(datetime(2026, 1, 5, 12, 0, tzinfo=UTC).timestamp() * 1000)
UID = bytes(range(8))


def text_of(output: Say | Ssml | Play) -> str:
    """What is said, as text."""
    match output:
        case Say(text=text):
            return text
        case Ssml(markup=markup):
            return markup
        case Play(url=url):
            return url


def look(run: Run) -> dict[str, Any]:
    """Everything that the world can see of a run."""
    return {
        "calls": {id_: (step.kind, step.name, step.hash) for id_, step in run.calls.items()},
        "alarms": dict(run.alarms),
        "prompt": run.prompt,
        "quiescent": run.quiescent,
        "queued": run.queued,
        "shape": run.shape(),
        "words": run.words(),
        "wanted": run.wanted(),
        "what it led to": (run.said, run.alarms_set, run.alarms_cleared),
        "ended": (run.ended, run.cancelled, run.result, run.error),
        "failure": run.failure and (run.failure.kind, run.failure.text),
        "restart": run.restart and (run.restart.id, run.restart.name, run.restart.step.args),
        "note": run.note,
        "errands": dict(run.errands),
        "left": run.left,
        "now": run.now,
        "length": run.length,
        "unsent": [(each.number, each.output, each.turn, each.answers, each.prompt, each.apology) for each in run.unsent],
        "ids": dict(run.turns.ids),
        "answers": {id_: (run.turns.answer(turn), run.turns.answer(turn, 1, whole=False)) for id_, turn in run.turns.last.items()},
    }


class BareRun:
    """A session told as a story. `said` is all that was said so far; what an event led to is what the methods return, as texts."""

    def __init__(
        self,
        workflow: AnyWorkflow,
        *others: AnyWorkflow,
        args: dict[str, Any] | None = None,
        channel: str = "web",
        at: int = NOON,
        time_zone: str = "UTC",
        facts: dict[str, Any] | None = None,
        parent: tuple[str, str] | None = None,
        patches: Sequence[str] | None = None,
        session: str = "web:1",
        seed: bytes = b"seedseed",
        evict: bool = True,
    ) -> None:
        self.registry = Registry([workflow, *others])
        self.session = session
        self.evict = evict
        self.said: list[str] = []
        self.elements: list[bytes] = []
        self.count = 0
        self._begin(
            Opened(
                at, 0, 0, "opening", at, workflow.name, tuple(workflow.patches if patches is None else patches), channel, "line", "caller",
                "en", time_zone, seed, args or {}, parent, facts=facts or {},
            )
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the run: one that stopped at a restart has branches that never began, and Python would warn of them."""
        self.run.close()

    def _begin(self, opened: Opened) -> None:
        self.elements = [encode(opened, UID)]
        self.run = Run(self.session, opened, self.registry)
        self._note()

    def _note(self) -> list[str]:
        said = [text_of(output) for _, _, output in self.run.said]
        self.said.extend(said)
        if self.evict:
            self.replay()
        return said

    def replay(self) -> None:
        """Evict the run, and go on with one that has replayed the stored elements; it must be the same to the eye."""
        before = look(self.run)
        self.run.close()
        self.run = replayed(self.session, self.elements, self.registry)
        assert look(self.run) == before

    def feed(self, event: AnyEvent) -> list[str]:
        """Put the right checksums in and feed; gives what was said."""
        event = msgspec.structs.replace(event, shape=self.run.shape(), words=self.run.words(), at=max(event.at, self.run.now))
        element = encode(event, UID)
        self.run.feed(decode(element))
        self.elements.append(element)
        return self._note()

    def _id(self, id_: str | None) -> str:
        self.count += 1
        return id_ or f"in{self.count}"

    def hear(self, type_: str, payload: dict[str, Any] | None = None, *, id_: str | None = None, at: int = 0) -> list[str]:
        """Any input."""
        return self.feed(Heard(at, 0, 0, self._id(id_), type_, payload or {}))

    def say(self, text: str, *, id_: str | None = None, at: int = 0) -> list[str]:
        """The caller says something."""
        return self.hear("said", {"text": text}, id_=id_, at=at)

    def press(self, keys: str, *, id_: str | None = None) -> list[str]:
        """The caller presses keys."""
        return self.hear("pressed", {"digits": keys}, id_=id_)

    def leave(self, *, id_: str | None = None) -> list[str]:
        """The caller hangs up."""
        return self.feed(Left(0, 0, 0, self._id(id_), "hung up"))

    def done(self, errand: str, value: Any = None, error: str | None = None, *, id_: str | None = None) -> list[str]:
        """An errand reports."""
        return self.hear("errand", {"errand": errand, "value": value, "error": error}, id_=id_ or f"errand/{errand}/done")

    def wanted(self, name: str) -> Open:
        """The oldest open call of an effect (or start, cancel, status) of this name."""
        return next(step for step in self.run.calls.values() if step.name == name)

    def memo(self, name: str, value: Any = None, *, error: tuple[str, str, bool] | None = None, at: int = 0) -> list[str]:
        """The outcome of an effect."""
        step = self.wanted(name)
        raw = msgspec.Raw(msgspec.msgpack.encode(value))
        return self.feed(Memo(at, 0, 0, step.id, step.name, step.hash, raw, error))

    def fire(self) -> list[str]:
        """The alarm due first goes off, in time."""
        at, step = min((at, step) for step, at in self.run.alarms.items())
        return self.feed(Fired(at, 0, 0, step))

    def sent(self) -> list[str]:
        """An output was delivered."""
        return self.feed(Sent(0, 0, 0, (0, 0), {"ts": "1.2"}))

    def restart(self, *, seed: bytes = b"nextseed") -> list[str]:
        """Do what a handler does when the run has come to a restart."""
        run = self.run
        assert run.restart is not None
        step, old, now = run.restart.step, run.opened, max(run.now, run.opened.gen + 1)
        queued = run.queued
        errands = tuple(errand for errand in run.errands.values() if errand.state in ("running", "cancelled"))
        opened = msgspec.structs.replace(
            old, at=now, shape=0, words=0, id="", gen=now, workflow=step.workflow.name, patches=step.workflow.patches, seed=seed,
            args=step.args, base=old.base + run.length, carried=run.turns.carry(now), errands=errands,
        )  # fmt: skip
        before = len(self.said)
        run.close()
        self._begin(decode(encode(opened, UID)))  # type: ignore[arg-type]  # an opening stays one
        for event in queued:
            self.feed(event)
        return self.said[before:]

    def answer(self, id_: str, offset: int = 0, *, whole: bool = True) -> tuple[str, list[str]]:
        """What an inbound was answered: its state and the texts."""
        answer = self.full_answer(id_, offset, whole=whole)
        return answer.state, [text_of(output) for _, _, output in answer.said]

    def full_answer(self, id_: str, offset: int = 0, *, whole: bool = True) -> Answer:
        """What an inbound was answered."""
        return self.run.turns.answer(self.run.turns.last[id_], offset, whole=whole)


def replayed(session: str, elements: Sequence[bytes], registry: Registry, *, strict: bool = True) -> Run:
    """A run that has replayed stored elements."""
    opened = decode(elements[0])
    assert isinstance(opened, Opened)
    run = Run(session, opened, registry, strict=strict)
    for element in elements[1:]:
        run.feed(decode(element))
    return run
