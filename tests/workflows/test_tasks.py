"""The tasks of a conversation: by name, and no name twice."""

from datetime import UTC, datetime

import pytest

from workflows import Errand
from workflows.tasks import MOST_TASKS, Task, Tasks, invent_name

NOW = datetime(2026, 11, 23, 18, tzinfo=UTC)


def task(name: str, due: datetime | None = None) -> Task:
    return Task(name, "reminder", "call Ada", Errand(f"1/{name}", "errand:x", name, "reminder"), due)


def test_a_task_is_found_by_its_name_whatever_the_case() -> None:
    tasks = Tasks([task("Call  Ada")])
    assert tasks.find("call ada") is not None
    assert tasks.find("call") is None


def test_a_taken_name_gets_a_number() -> None:
    tasks = Tasks([task("ada"), task("ADA-2")])
    assert tasks.free_name("Ada") == "Ada-3"
    assert tasks.free_name("bob") == "bob"


def test_a_task_that_is_over_leaves_its_name() -> None:
    tasks = Tasks([task("ada"), task("bob")])
    assert tasks.end("1/ada").name == "ada"
    assert [each.name for each in tasks.all] == ["bob"]
    assert tasks.free_name("ada") == "ada"
    with pytest.raises(LookupError, match="1/ada"):
        tasks.end("1/ada")


def test_there_are_only_so_many() -> None:
    tasks = Tasks([task(f"t{number}") for number in range(MOST_TASKS - 1)])
    assert not tasks.is_full
    tasks.add(task("one more"))
    assert tasks.is_full


@pytest.mark.parametrize(
    ("about", "name"),
    [
        ("Call Ada about the house", "call-ada-about"),
        ("LHR JFK", "lhr-jfk"),
        ("Äiti!", "äiti"),
        ("?!", "task"),
        ("x" * 99, "x" * 24),
    ],
)
def test_a_name_is_invented_from_what_it_is_about(about: str, name: str) -> None:
    assert invent_name(about) == name


def test_a_task_is_told_and_shown() -> None:
    due = datetime(2026, 11, 24, 9, tzinfo=UTC)
    assert task("ada", due).words(NOW) == '"ada" (reminder): call Ada, tomorrow, Tuesday 24 November, 09:00 UTC'
    assert task("ada").words(NOW) == '"ada" (reminder): call Ada'
    assert Tasks([task("ada", due)]).shown() == [{"name": "ada", "kind": "reminder", "about": "call Ada", "due": due}]
