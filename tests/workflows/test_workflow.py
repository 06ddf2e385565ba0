"""The decorator: names, parameters, arguments and results."""

import dataclasses
import sys
import types
from datetime import date
from typing import Any

import pytest

from workflows import Talk, workflow
from workflows.errors import ArgumentsError, SourceError


@dataclasses.dataclass
class Order:
    number: int
    on: date


@workflow
async def ordering(talk: Talk, queues: dict[int, str], limit: int = 3, *, order: Order | None = None) -> Order:
    """Take an order."""
    return order or Order(limit, date(2026, 1, 1))


def test_the_name_is_module_and_function_or_the_one_given() -> None:
    @workflow(name="mine", patches=["p"])
    async def local(talk: Talk) -> None: ...

    assert ordering.name == f"{__name__}:ordering"
    assert (local.name, local.patches) == ("mine", ("p",))
    assert repr(local) == "<workflow mine>"
    assert ordering.__doc__ == "Take an order."


def test_arguments_become_plain_values_by_name() -> None:
    bound = ordering.bind(({1: "+1"},), {"order": Order(7, date(2026, 2, 3))})
    assert bound == {"queues": {1: "+1"}, "limit": 3, "order": {"number": 7, "on": "2026-02-03"}}


def test_configured_arguments_are_read_leniently() -> None:
    """A table of a configuration file has text for keys."""
    read: Any = ordering.read({"queues": {"1": "+1"}, "limit": "5"})
    assert (read.queues, read.limit, read.order) == ({1: "+1"}, 5, None)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, "queues"),
        ({"queues": {}, "more": 1}, "more"),
        ({"queues": {"a": "+1"}}, "Expected `int`"),
        ({"queues": {}, "limit": "many"}, "Expected `int`"),
    ],
)
def test_arguments_that_do_not_fit_are_told_with_what_is_wanted(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ArgumentsError, match=text) as caught:
        ordering.read(values)
    assert "It takes queues: dict[int, str], limit: int = 3, order:" in str(caught.value)


def test_arguments_in_the_wrong_number_are_told_with_what_is_wanted() -> None:
    with pytest.raises(ArgumentsError, match=r"missing a required argument: 'queues'\. It takes queues"):
        ordering.bind((), {})


def test_arguments_that_cannot_be_recorded_are_told() -> None:
    @workflow
    async def loose(talk: Talk, thing: Any) -> None: ...

    with pytest.raises(ArgumentsError, match="cannot be recorded"):
        loose.bind((object(),), {})


def test_a_workflow_without_parameters_says_so() -> None:
    @workflow
    async def bare(talk: Talk) -> None: ...

    with pytest.raises(ArgumentsError, match="It takes no arguments"):
        bare.read({"x": 1})


def test_a_mutable_default_is_the_authors_own() -> None:
    @workflow
    async def listing(talk: Talk, names: list[str] = ["a"]) -> None: ...  # noqa: B006 - as an author may write it

    read: Any = listing.read({})
    assert read.names == ["a"]


def test_a_recorded_result_is_read_as_the_return_type() -> None:
    assert ordering.read_result({"number": 3, "on": "2026-01-01"}) == Order(3, date(2026, 1, 1))
    with pytest.raises(ArgumentsError, match="does not fit its return type"):
        ordering.read_result("nothing of it")


def test_only_an_async_def_is_a_workflow() -> None:
    with pytest.raises(SourceError, match="needs an `async def`"):

        @workflow  # type: ignore[arg-type]  # on purpose
        def plain(talk: Talk) -> None: ...


def test_parameters_must_have_names() -> None:
    with pytest.raises(ArgumentsError, match="named parameters"):

        @workflow
        async def many(talk: Talk, *args: int) -> None: ...

    with pytest.raises(ArgumentsError, match="named parameters"):

        @workflow
        async def positional(talk: Talk, x: int, /) -> None: ...

    with pytest.raises(ArgumentsError, match="takes a talk"):

        @workflow  # type: ignore[arg-type]  # on purpose
        async def none() -> None: ...


def test_types_that_are_imported_for_the_checker_alone() -> None:
    """Tools move the import of Talk into `if TYPE_CHECKING`: that is fine. A parameter's type has to be there."""
    module = types.ModuleType("checked_only")
    sys.modules["checked_only"] = module
    source = """
from __future__ import annotations
from workflows import workflow

@workflow
async def fine(talk: Talk, count: int) -> None: ...

@workflow
async def lost(talk: Talk, count: Nowhere) -> None: ...
"""
    exec(compile(source, "checked_only.py", "exec"), vars(module))
    del sys.modules["checked_only"]
    assert module.fine.read({"count": 3}).count == 3
    with pytest.raises(ArgumentsError, match=r"name 'Nowhere' is not defined\. Import"):
        module.lost.read({"count": 3})


def test_a_workflow_called_with_a_talk_is_its_coroutine() -> None:
    coroutine = ordering(None, {}, 4)  # type: ignore[arg-type]  # it is not run far enough to need one
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    assert stop.value.value.number == 4
