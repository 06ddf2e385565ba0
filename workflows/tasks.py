"""The tasks of one conversation: the errands that it has started and not heard of yet, by their names."""

from datetime import datetime
from typing import Any

import msgspec

from workflows.dates import say_moment
from workflows.steps import Errand

MOST_TASKS = 30
"""Tasks of one conversation at a time."""

SLUG_WORDS = 3


class Task(msgspec.Struct, frozen=True):
    """A running errand as people know it: its name, what kind it is, what it is about, and when it is due, if it knows."""

    name: str
    kind: str
    about: str
    errand: Errand
    due: datetime | None = None

    def words(self, now: datetime) -> str:
        """It in words: `"call-ada" (reminder): call Ada, tomorrow, Tuesday 24 November, 09:00 London time`."""
        when = f", {say_moment(self.due, now)}" if self.due is not None else ""
        return f'"{self.name}" ({self.kind}): {self.about}{when}'


class Tasks:
    """The running tasks, oldest first. Names are told apart without regard to case."""

    __slots__ = ("_tasks",)

    def __init__(self, tasks: list[Task]) -> None:
        self._tasks = {_key(task.name): task for task in tasks}

    @property
    def all(self) -> list[Task]:
        """All of them."""
        return list(self._tasks.values())

    @property
    def is_full(self) -> bool:
        """Whether there are as many as there may be."""
        return len(self._tasks) >= MOST_TASKS

    def find(self, name: str) -> Task | None:
        """The task of that name."""
        return self._tasks.get(_key(name))

    def add(self, task: Task) -> None:
        """A task was started."""
        self._tasks[_key(task.name)] = task

    def end(self, errand: str) -> Task:
        """Take out the task of an errand, by its id: it is over."""
        for key, task in self._tasks.items():
            if task.errand.id == errand:
                return self._tasks.pop(key)
        raise LookupError(f"no task runs as errand {errand}")

    def free_name(self, wish: str) -> str:
        """A name that is not taken: the wish itself, or else with a number behind."""
        name, number = wish, 1
        while _key(name) in self._tasks:
            number += 1
            name = f"{wish}-{number}"
        return name

    def shown(self) -> list[dict[str, Any]]:
        """The list for a page or a terminal."""
        return [{"name": task.name, "kind": task.kind, "about": task.about, "due": task.due} for task in self._tasks.values()]


def invent_name(about: str) -> str:
    """A name from the first words of what a task is about: "call-ada"."""
    words = "".join(char if char.isalnum() else " " for char in about.lower()).split()
    return "-".join(words[:SLUG_WORDS])[:24] or "task"


def _key(name: str) -> str:
    return " ".join(name.casefold().split())
