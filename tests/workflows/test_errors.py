"""The errors: one tree, drawn where they are defined; and what authors can import."""

import inspect
import re

import workflows
from workflows import errors

TREE = inspect.getdoc(errors) or ""


def test_the_drawing_is_the_tree() -> None:
    drawn: dict[str, str | None] = {}
    base: str | None = None
    for line in TREE.splitlines()[2:]:
        match = re.match(r"(├── |└── )?(\w+)", line)
        assert match is not None, line
        branch, name = match.groups()
        base = base if branch else name
        drawn[name] = base if branch else "Exception"
    defined = {name: kind.__bases__[0].__name__ for name, kind in vars(errors).items() if inspect.isclass(kind)}
    assert drawn == defined


def test_every_name_that_is_exported_is_there_in_order() -> None:
    assert workflows.__all__ == sorted(workflows.__all__)
    assert all(hasattr(workflows, name) for name in workflows.__all__)


def test_errors_tell_what_they_know() -> None:
    assert errors.TransientError("later", 3.5).retry_after == 3.5
    failed = errors.StepFailed("think", "ValueError", "no")
    assert (failed.step, failed.kind, failed.reason) == ("think", "ValueError", "no")
    assert "at event 3 the history has a, but the code wants b" in str(errors.NondeterminismError(3, "a", "b"))
