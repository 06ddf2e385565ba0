"""The branches of a run: coroutines of a workflow, the steps at which they wait, and the groups that join them."""

from collections.abc import Coroutine, Iterator
from types import CoroutineType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflows.opens import Open

OURS = frozenset({"workflows.talk", "workflows.steps"})
"""The modules between an author's line and the trap: no place to point an author at."""


class Branch:
    """A coroutine of the workflow, the prefix of its step ids, and the group that waits for it.

    `open` is the step at which it waits, `below` the group whose end it waits for, `count` the steps that it has taken.
    """

    __slots__ = ("below", "closed", "coroutine", "count", "group", "index", "open", "prefix")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], prefix: str = "", group: "Group | None" = None, index: int = 0) -> None:
        self.coroutine = coroutine
        self.prefix = prefix
        self.group = group
        self.index = index
        self.count = 0
        self.closed = False
        self.open: Open | None = None
        self.below: Group | None = None

    def tree(self) -> "list[Branch]":
        """This branch and all that hang from it, the innermost first."""
        tree = [self]
        for each in tree:
            if each.below is not None:
                tree.extend(each.below.branches)
        tree.reverse()
        return tree


class Group:
    """The branches of one `first` or `gather`; it joins them for the branch that owns it."""

    __slots__ = ("branches", "missing", "owner", "results", "takes_first")

    def __init__(self, owner: Branch, id_: str, coroutines: tuple[Coroutine[Any, Any, Any], ...], *, takes_first: bool) -> None:
        self.owner = owner
        self.takes_first = takes_first
        self.missing = len(coroutines)
        self.results: list[Any] = [None] * self.missing
        self.branches = [Branch(each, f"{id_}.{index}.", self, index) for index, each in enumerate(coroutines)]

    def dissolve(self) -> None:
        """It has done its work: nothing refers to itself through it any more."""
        self.owner.below = None
        self.branches.clear()


def let_go(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Close a coroutine.

    One that never began takes its arguments with it: a `talk.first(a(), b())` that a closed branch had not come to yet would leave `a()`
    and `b()` behind, and Python would warn that nobody awaited them.
    """
    inner = list(_held(coroutine)) if _is_created(coroutine) else []
    coroutine.close()
    for each in inner:
        let_go(each)


def unstarted(coroutine: Any) -> list[Coroutine[Any, Any, Any]]:
    """The coroutines that a suspended one made for later and holds in its variables."""
    found: list[Coroutine[Any, Any, Any]] = []
    while type(coroutine) is CoroutineType and coroutine.cr_frame is not None:
        if coroutine.cr_frame.f_globals.get("__name__") not in OURS:
            found.extend(_held(coroutine))
        coroutine = coroutine.cr_await
    return found


def places(coroutine: Any) -> list[str]:
    """The lines of authors' code (and of what they await) at which a suspended coroutine stands, the innermost last."""
    found: list[str] = []
    while type(coroutine) is CoroutineType and coroutine.cr_frame is not None:
        frame = coroutine.cr_frame
        if frame.f_globals.get("__name__") not in OURS:
            found.append(f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_qualname})")
        coroutine = coroutine.cr_await
    return found or ["an unknown line"]


def _is_created(value: Any) -> bool:
    return type(value) is CoroutineType and not value.cr_suspended and not value.cr_running and value.cr_frame is not None


def _held(coroutine: Any) -> Iterator[Coroutine[Any, Any, Any]]:
    for value in coroutine.cr_frame.f_locals.values():
        kind = type(value)
        if kind is tuple or kind is list:
            yield from filter(_is_created, value)
        elif kind is CoroutineType and _is_created(value):
            yield value
