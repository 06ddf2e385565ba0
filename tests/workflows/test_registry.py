"""Which workflow a name on record means."""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflows import Talk, workflow
from workflows.errors import UnknownWorkflowError
from workflows.registry import Registry

MODULE = """
from workflows import Talk, workflow

@workflow
async def plain(talk: Talk) -> None: ...

@workflow(name="short")
async def named(talk: Talk) -> None: ...

number = 7
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = "a_module_of_an_author"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(MODULE))
    (tmp_path / "a_broken_module.py").write_text("import nowhere_to_be_found")
    (tmp_path / "a_faulty_module.py").write_text("None.attribute")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for each in (name, "a_broken_module", "a_faulty_module"):
        sys.modules.pop(each, None)


@workflow
async def here(talk: Talk) -> None: ...


def test_a_workflow_that_was_given_is_known_by_its_name() -> None:
    registry = Registry([here])
    assert registry.get(here.name) is here
    assert here.name in registry.names()


def test_a_workflow_is_found_by_module_and_function(module: str) -> None:
    registry = Registry()
    found = registry.get(f"{module}:plain")
    assert found.name == f"{module}:plain"
    assert registry.get(f"{module}:plain") is found


def test_the_neighbours_of_a_workflow_are_known_by_the_names_they_were_given(module: str) -> None:
    registry = Registry()
    registry.get(f"{module}:plain")
    assert registry.get("short") is registry.get(f"{module}:named")


def test_a_shipped_workflow_is_known_by_its_short_name() -> None:
    assert Registry().get("santa").name == "santa"
    assert "santa" in Registry().names()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nobody", "no workflow is called nobody. Known are "),
        ("nowhere:flow", "there is no module nowhere"),
        ("a_module_of_an_author:missing", "there is no missing in a_module_of_an_author"),
        ("a_module_of_an_author:number", "number of a_module_of_an_author is no workflow"),
        ("a_broken_module:flow", "there is no module nowhere_to_be_found"),
    ],
)
def test_what_cannot_be_found_is_told_with_where_it_was_looked_for(module: str, name: str, text: str) -> None:
    with pytest.raises(UnknownWorkflowError, match=text):
        Registry().get(name)


def test_a_fault_of_the_authors_module_is_shown_as_it_is(module: str) -> None:
    with pytest.raises(AttributeError, match="attribute"):
        Registry().get("a_faulty_module:flow")


def test_two_workflows_of_one_name_are_refused() -> None:
    @workflow(name="twin")
    async def one(talk: Talk) -> None: ...

    @workflow(name="twin")
    async def other(talk: Talk) -> None: ...

    registry = Registry([one])
    registry.add(one)
    with pytest.raises(UnknownWorkflowError, match="two workflows are called twin"):
        registry.add(other)
