"""A scene of a rehearsal: one session, the rehearsed one or an errand, that keeps its own history."""

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from workflows.errors import RehearsalError
from workflows.events import UID_BYTES, AnyEvent, Heard, Left, Memo, Opened, Prompt, decode, encode
from workflows.opens import Open
from workflows.outputs import Output, Say
from workflows.run import Run

if TYPE_CHECKING:
    from workflows.stage import Stage

UID = bytes(UID_BYTES)


class Scene:
    """One session on the stage: the rehearsed one, or an errand.

    Attributes:
        said: all that was said so far; text as `str`, any other output as it is.
        history: the recorded events of the present generation.
        name: the errand's.
    """

    def __init__(self, stage: "Stage", key: str, opened: Opened, name: str = "") -> None:
        self.name = name
        self.said: list[str | Output] = []
        self.history: list[AnyEvent] = []
        self._stage = stage
        self._key = key
        self._count = 0
        self._reported = False
        stage.scenes[key] = self
        self._open(opened)

    @property
    def ended(self) -> bool:
        """Whether the conversation is over."""
        return self._run.ended

    @property
    def cancelled(self) -> bool:
        """Whether it was called off."""
        return self._run.cancelled

    @property
    def result(self) -> Any:
        """What the workflow returned, as plain recorded data."""
        return self._run.result

    @property
    def error(self) -> str | None:
        """How it ended, if not by returning: `CallerLeft: …`, `StepFailed: …`."""
        return None if self._run.error is None else ": ".join(self._run.error)

    @property
    def note(self) -> Any:
        """What the workflow noted last."""
        return self._run.note

    @property
    def errands(self) -> "list[Scene]":
        """The errands that it started, in that order."""
        return [scene for scene in self._stage.scenes.values() if (scene.opened.parent or ("",))[0] == self._key]

    @property
    def opened(self) -> Opened:
        """The opening of the present generation."""
        return self._run.opened

    # -- what the stage does with it -----------------------------------------------------------------------------------------------------

    def hear(self, type_: str, payload: dict[str, Any] | None = None, *, id_: str = "") -> None:
        """Put an input on record."""
        self._count += 1
        self.feed(Heard(0, 0, 0, id_ or f"input {self._count}", type_, payload or {}))

    def leave(self) -> None:
        """Put on record that the caller hung up."""
        self._count += 1
        self.feed(Left(0, 0, 0, f"input {self._count}", "the caller hung up"))

    def feed(self, event: AnyEvent) -> None:
        """Put an event on record, with the time and the checksums that a handler puts in."""
        run = self._wake()
        at = max(self._stage.now, run.now)
        event = msgspec.structs.replace(event, at=at, shape=run.shape(), words=run.words())
        self._elements.append(encode(event, UID))
        run.feed(decode(self._elements[-1]))
        self._show(event)

    def act(self) -> bool:
        """Do one thing that the run wants; False if there is none, or none that is to come yet."""
        if self._restarts:
            self._restart()
            return True
        if self.ended and not self.cancelled and not self._reported and self.opened.parent is not None:
            self._reported = True
            parent, id_ = self.opened.parent
            if not self._stage.scenes[parent].ended:
                payload = {"errand": id_, "value": self.result, "error": self.error}
                self._stage.scenes[parent].hear("errand", payload, id_=f"errand/{self._key}/done")
            return True
        for step in self._calls:
            outcome = self._stage.perform(self, step)
            if outcome is not None:
                self.feed(Memo(0, 0, 0, step.id, step.name, step.hash, *outcome))
                return True
        return False

    def next_alarm(self) -> tuple[int, str] | None:
        """The alarm due first: its time, ms, and its step."""
        return min(((at, step) for step, at in self._alarms.items()), default=None)

    def child(self, start: Open) -> tuple[str, Opened]:
        """The session key and the opening of an errand."""
        opened = self.opened
        id_ = f"{opened.gen}/{start.id}"
        key = self._run.child_key(start)
        workflow, now = start.step.workflow, self._stage.now
        return key, Opened(
            now, 0, 0, key, now, workflow.name, workflow.patches, "errand", None, None, opened.locale, opened.time_zone, seed_of(key),
            start.step.args, (self._key, id_), facts=opened.facts,
        )  # fmt: skip

    def address(self, step: Open) -> str:
        """The key that an effect may give to the outside world."""
        return self._run.address(step.id)

    # -- how it lives --------------------------------------------------------------------------------------------------------------------

    def _open(self, opened: Opened) -> None:
        self.history = []
        self._elements = [encode(opened, UID)]
        self._run = self._replay()
        self._show(opened)

    def _replay(self) -> Run:
        opened = decode(self._elements[0])
        assert isinstance(opened, Opened)
        run = Run(self._key, opened, self._stage.registry, strict=True)
        for element in self._elements[1:]:
            run.feed(decode(element))
        return run

    def _wake(self) -> Run:
        """The run, to be fed; a new one if it was evicted."""
        if self._stage.evict:
            self._run = self._replay()
        return self._run

    def _show(self, event: AnyEvent) -> None:
        run = self._run
        self.history.append(event)
        self.said.extend([output.text if isinstance(output, Say) else output for _, _, output in run.said])
        if run.failure is not None:
            raise RehearsalError(f"{run.opened.workflow} has a bug:\n{run.failure.traceback}")
        self._calls = list(run.calls.values())
        self._alarms = dict(run.alarms)
        self._prompt: Prompt | None = run.prompt
        self._restarts = run.restart is not None
        self._waits = run.wanted()
        if self._stage.evict:
            before = look(run)
            run.close()
            again = self._replay()
            for what, now in look(again).items():
                if now != before[what]:
                    raise RehearsalError(
                        f"{self.opened.workflow} does not come out the same on a replay: {what} was {before[what]!r} and is {now!r} now. "
                        "Does it use anything but its talk and its arguments?"
                    )
            again.close()

    def _restart(self) -> None:
        run = self._wake()
        assert run.restart is not None
        step, old = run.restart.step, run.opened
        now = self._stage.now = max(self._stage.now, old.gen + 1)
        errands = tuple(errand for errand in run.errands.values() if errand.state in ("running", "cancelled"))
        queued = run.queued
        opened = msgspec.structs.replace(
            old, at=now, shape=0, words=0, id="", gen=now, workflow=step.workflow.name, patches=step.workflow.patches, args=step.args,
            seed=seed_of(f"{self._key}/{now}"), base=old.base + run.length, carried=run.turns.carry(now), errands=errands,
        )  # fmt: skip
        run.close()
        self._open(opened)
        for event in queued:
            self.feed(event)


def seed_of(key: str) -> bytes:
    """A seed that is the same in every rehearsal."""
    return blake2b(key.encode(), digest_size=8).digest()


def look(run: Run) -> dict[str, Any]:
    """What the world can see of a run, by what to call it."""
    return {
        "what it says": run.said,
        "what it waits for": run.wanted(),
        "what it calls": {id_: (step.kind, step.name, step.hash) for id_, step in run.calls.items()},
        "when it wakes": dict(run.alarms),
        "what it listens for": run.prompt,
        "what waits": run.queued,
        "how it ends": (run.ended, run.cancelled, run.result, run.error),
        "its note": run.note,
        "its errands": dict(run.errands),
        "the answers": [run.turns.answer(turn) for turn in run.turns.last.values()],
    }
