"""Which workflow a name on record means."""

import importlib
from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Any

from workflows.errors import UnknownWorkflowError
from workflows.workflow import Workflow

AnyWorkflow = Workflow[..., Any]


class Registry:
    """Workflows by name: those it was given, then the entry points `switchboard.workflows`, then `module:function`.

    With a module come all the workflows that can be seen in it, so that a session of one that another started is found again.
    """

    def __init__(self, workflows: Iterable[AnyWorkflow] = ()) -> None:
        self._known: dict[str, AnyWorkflow] = {}
        for workflow in workflows:
            self.add(workflow)

    def add(self, workflow: AnyWorkflow) -> None:
        """Make a workflow known; raises `UnknownWorkflowError` when its name means another one already."""
        known = self._known.setdefault(workflow.name, workflow)
        if known is not workflow and known.function.__code__ is not workflow.function.__code__:
            raise UnknownWorkflowError(
                f"two workflows are called {workflow.name}: one in {known.function.__module__}, one in {workflow.function.__module__}. "
                'Give one of them another name: @workflow(name="…").'
            )

    def get(self, name: str) -> AnyWorkflow:
        """Find a workflow; raises `UnknownWorkflowError` with what was looked for and where."""
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._load(name)
        return known

    def names(self) -> list[str]:
        """The short names that can be used in `[lines]`."""
        return sorted({point.name for point in entry_points(group="switchboard.workflows")} | set(self._known))

    def _load(self, name: str) -> AnyWorkflow:
        module, colon, attribute = name.partition(":")
        for point in entry_points(group="switchboard.workflows", name=name):
            module, colon, attribute = point.module, ":", point.attr
        if not colon:
            raise UnknownWorkflowError(f"no workflow is called {name}. Known are {', '.join(self.names())}; your own are module:function.")
        try:
            imported = importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise UnknownWorkflowError(
                f"workflow {name}: there is no module {error.name}. Start the server in the folder that holds it, or install it."
            ) from error
        found = getattr(imported, attribute, None)
        if not isinstance(found, Workflow):
            what = (
                f"there is no {attribute} in {module}"
                if found is None
                else f"{attribute} of {module} is no workflow: decorate it with @workflow"
            )
            raise UnknownWorkflowError(f"workflow {name}: {what}.")
        for neighbour in vars(imported).values():  # those that it starts may be on record under the names their decorators gave them
            if isinstance(neighbour, Workflow):
                self.add(neighbour)
        return found
