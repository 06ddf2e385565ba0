"""What a workflow listens for, read from its source: Alexa has to know the words before anybody speaks.

Found are the listens that stand in the workflow, and in the coroutines and workflows that it reaches, as constants or written out. One
that is made of what is known only while it runs cannot be read; it is named, and on Alexa it is heard through the catch-all intent.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from workflows.listen import AnyListen, Choice, Digits, Intents, Words, YesNo
from workflows.workflow import Workflow

_MAKERS = (Choice, Digits, Intents, Words, YesNo)


class Listens:
    """Attributes: `found`, in the order of the source; `unread`: the places of those that cannot be read, as `file:line: text`."""

    def __init__(self, workflow: Workflow[..., Any]) -> None:
        self.found: list[AnyListen] = []
        self.unread: list[str] = []
        todo, seen = [workflow.function], set[CodeType]()
        while todo:
            function: Any = todo.pop(0)
            if function.__code__ not in seen:
                seen.add(function.__code__)
                todo += self._read(function)

    def _read(self, function: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
        """Read one function; gives those that it reaches and that could listen."""
        lines, first = inspect.getsourcelines(function)
        names = inspect.getclosurevars(function)
        known = {**names.builtins, **names.globals, **names.nonlocals}
        for node in ast.walk(ast.parse(textwrap.dedent("".join(lines)))):
            match node:
                case ast.Call(func=ast.Name(id=name)) if known.get(name) in _MAKERS:
                    self._make(node, known, f"{inspect.getsourcefile(function)}:{first + node.lineno - 1}")
                case ast.Name(id=name) if isinstance(known.get(name), AnyListen):
                    self.found.append(known[name])
                case ast.Name(id=name) if isinstance(known.get(name), Workflow):
                    yield known[name].function
                case ast.Name(id=name) if inspect.iscoroutinefunction(known.get(name)):
                    yield known[name]
                case _:
                    pass

    def _make(self, call: ast.Call, known: dict[str, Any], place: str) -> None:
        """A listen that is written out, made by what stands there: names of its module, and what is written, but nothing local."""
        try:
            made = eval(compile(ast.Expression(call), place, "eval"), {"__builtins__": {}, **known})  # noqa: S307 - the author's own code
        except Exception:  # noqa: BLE001 - whatever is missing there is known while it runs only
            self.unread.append(f"{place}: {ast.unparse(call)}")
        else:
            self.found.append(made)
