"""The pump: drives the coroutines of a workflow until none can go on.

The order in which it works is part of the stored format (golden histories guard it): every branch that can go on goes on, in the order in
which it became able to; only when none can, one queued input is handed out, to the oldest listen that takes it.
"""

from abc import ABC, abstractmethod
from typing import Any

import msgspec

from workflows.branches import Branch, Group, let_go, places
from workflows.errors import ForeignAwaitError, RunawayError
from workflows.opens import Open
from workflows.steps import FirstStep, GatherStep, Step

MOST_STEPS = 10_000
"""Steps between two inputs; a workflow that takes more runs in a circle."""


class Failure(msgspec.Struct, frozen=True):
    """Why a run cannot go on: the exception's class, its text, and the traceback for the author."""

    kind: str
    text: str
    traceback: str


class Pump(ABC):
    """A trampoline for a tree of branches; what their steps mean is the run's business.

    Attributes:
        ended: it is over. `failure`: why it cannot go on. `restart`: the step from which it goes on in a new generation only.
    """

    __slots__ = ("_closed", "_ready", "_root", "ended", "failure", "restart")

    def __init__(self) -> None:
        self.ended = False
        self.failure: Failure | None = None
        self.restart: Open | None = None
        self._closed = False
        self._root: Branch | None = None
        self._ready: list[tuple[Branch, Any, BaseException | None]] = []

    @abstractmethod
    def _begin(self, branch: Branch, id_: str, step: Step) -> None:
        """A branch waits at a step."""

    @abstractmethod
    def _shut(self, step: Open) -> None:
        """A step is over, or nobody waits for it any more."""

    @abstractmethod
    def _hand_out(self) -> bool:
        """Give one queued input to a listen; False if there is none to give."""

    @abstractmethod
    def _return(self, value: Any) -> None:
        """The workflow returned."""

    @abstractmethod
    def _raise(self, error: BaseException) -> None:
        """The workflow raised."""

    @abstractmethod
    def _fail(self, error: BaseException) -> None:
        """The workflow has a bug."""

    def _pump(self) -> None:
        ready = self._ready
        steps = 0
        while not (self.ended or self.failure is not None or self.restart is not None):
            if not ready:
                if not self._hand_out():
                    return
                steps = 0
            branch, value, error = ready.pop(0)
            if branch.closed:
                continue
            steps += 1
            if steps > MOST_STEPS:
                where = places(branch.coroutine)[-1]
                self._fail(RunawayError(f"{steps:,} steps without an end, last at {where}. Is a loop missing its way out?"))
                return
            try:
                step = branch.coroutine.send(value) if error is None else branch.coroutine.throw(error)
            except StopIteration as stop:
                self._finish(branch, stop.value)
            except KeyboardInterrupt:
                raise
            except BaseException as raised:  # noqa: BLE001 - whatever the author's code raises is a fact about the conversation
                # Without our own frame, which holds the run: a kept error would keep what is to be freed by reference counts alone.
                raised.__traceback__ = raised.__traceback__ and raised.__traceback__.tb_next
                self._break(branch, raised)
            else:
                id_ = f"{branch.prefix}{branch.count}"
                branch.count += 1
                self._begin(branch, id_, step)

    def _refuse_foreign(self, branch: Branch) -> None:
        """A branch awaits what is no step."""
        where = " → ".join(places(branch.coroutine))
        self._fail(
            ForeignAwaitError(
                f"{where}: awaits something that is no step of its talk. A workflow awaits only talk.… and other workflows; "
                "put the call into an @effect and await talk.call(…)."
            )
        )

    def _fork(self, branch: Branch, id_: str, step: FirstStep | GatherStep) -> None:
        group = branch.below = Group(branch, id_, step.branches, takes_first=isinstance(step, FirstStep))
        if group.branches:
            self._ready.extend([(each, None, None) for each in group.branches])
        else:
            self._join(group, ())

    def _finish(self, branch: Branch, value: Any) -> None:
        branch.closed = True
        group = branch.group
        if group is None:
            self._return(value)
        elif group.takes_first:
            self._close_others(group)
            self._join(group, (branch.index, value))
        else:
            group.results[branch.index] = value
            group.missing -= 1
            if group.missing == 0:
                self._join(group, tuple(group.results))

    def _break(self, branch: Branch, error: BaseException) -> None:
        branch.closed = True
        group = branch.group
        if group is None:
            self._raise(error)
        else:
            self._close_others(group)
            self._join(group, None, error)

    def _join(self, group: Group, value: Any, error: BaseException | None = None) -> None:
        group.dissolve()
        self._ready.append((group.owner, value, error))

    def _close_others(self, group: Group) -> None:
        for each in group.branches:
            if not each.closed:
                self._close_branch(each)

    def _close_branch(self, branch: Branch) -> None:
        """Close a branch and all that hang from it, the innermost first."""
        for each in branch.tree():
            if each.open is not None:
                self._shut(each.open)
            if each.below is not None:
                each.below.dissolve()
            if each.closed:
                continue
            each.closed = True
            try:
                let_go(each.coroutine)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - the author's `finally` is the author's code
                if not self._closed:
                    self._fail(error)
