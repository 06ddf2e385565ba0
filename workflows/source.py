"""The look at a workflow's source: what would not come out the same on a replay is refused before it runs."""

import ast
import builtins
import functools
import inspect
import linecache
import textwrap
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from workflows.effects import Effect
from workflows.errors import SourceError

CLOCKS = "Use talk.now or talk.opened.at, which are recorded."
CHANCE = "Use talk.random(name) or talk.uuid(name), which come out the same on every replay."
OUTSIDE = "Put it into an @effect and await talk.call(…): its result is recorded."
WAITING = "A workflow awaits only talk.…; use talk.sleep, talk.first and talk.gather."

MODULES = {
    "time": CLOCKS, "random": CHANCE, "secrets": CHANCE, "asyncio": WAITING, "threading": WAITING, "multiprocessing": WAITING,
    "concurrent": WAITING, "trio": WAITING, "anyio": WAITING,
    **dict.fromkeys(
        ("os", "io", "sys", "socket", "ssl", "subprocess", "shutil", "pathlib", "tempfile", "glob", "select", "signal", "platform", "locale",
         "sqlite3", "urllib", "http", "smtplib", "ftplib", "requests", "httpx", "aiohttp", "redis", "openai", "twilio", "boto3"), OUTSIDE),
}  # fmt: skip
"""Modules by the remedy for using them; `urllib.parse` and the pure parts of `pathlib` are let through below."""

PURE = frozenset({"urllib.parse", "pathlib.PurePath", "pathlib.PurePosixPath", "pathlib.PureWindowsPath"})

METHODS = {
    "datetime.datetime.now": CLOCKS, "datetime.datetime.today": CLOCKS, "datetime.datetime.utcnow": CLOCKS, "datetime.date.today": CLOCKS,
    "uuid.uuid1": CHANCE, "uuid.uuid4": CHANCE,
}  # fmt: skip

BUILTINS = {
    "open": OUTSIDE, "input": OUTSIDE, "print": "Use talk.say for the caller; `switchboard sessions show` tells what happened.",
    "hash": "It differs from process to process. Use hashlib.", "id": "It differs from process to process.",
    "exec": OUTSIDE, "eval": OUTSIDE, "breakpoint": "Use Rehearsal in a test, where a debugger may stop.",
}  # fmt: skip

AWAITED = frozenset(
    {
        "ask",
        "listen",
        "next",
        "call",
        "speak",
        "sleep",
        "first",
        "gather",
        "start",
        "cancel",
        "status",
        "record",
        "transfer",
        "restart",
    }
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def check_source(function: Callable[..., Any]) -> None:
    """Look at a workflow and the functions of its module that it reaches.

    Raises `SourceError` with file, line and remedy at the first thing that a replay could not repeat. A function whose source cannot be
    found (typed at a prompt) is let through: the run still refuses foreign awaits.
    """
    if not inspect.iscoroutinefunction(function):
        raise SourceError(f"@workflow needs an `async def`; {getattr(function, '__qualname__', function)} is none")
    module = _Module.of(function)
    if module is None:
        return
    todo, seen = [module.find(function)], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        for line, problem in _problems(node, module):
            raise SourceError(f"{module.file}:{line}: in workflow {function.__qualname__}: {problem}")
        todo.extend(module.functions[name] for name in _names(node) if name in module.functions)


class _Module:
    """The source of the module that a function stands in, with its top-level functions by name."""

    def __init__(self, file: str, tree: ast.Module, names: dict[str, Any]) -> None:
        self.file = file
        self.tree = tree
        self.names = names
        self.functions = {
            node.name: node
            for node in tree.body
            if isinstance(node, Function) and not any(self._is_effect(each) for each in node.decorator_list)
        }

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "_Module | None":
        file = inspect.getsourcefile(function)
        lines = linecache.getlines(file, function.__globals__) if file is not None else []
        if file is None or not lines:
            return None
        return cls(file, _parse("".join(lines)), function.__globals__)

    def find(self, function: Callable[..., Any]) -> Function | None:
        line = function.__code__.co_firstlineno
        for node in ast.walk(self.tree):
            if isinstance(node, Function) and node.name == function.__name__:
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                if first <= line <= node.lineno:
                    return node
        return None

    def is_coroutine(self, name: str) -> bool:
        return isinstance(self.functions.get(name), ast.AsyncFunctionDef)

    @staticmethod
    def _is_effect(decorator: ast.expr) -> bool:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        return (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) == "effect"


@functools.lru_cache(maxsize=64)
def _parse(source: str) -> ast.Module:
    return ast.parse(textwrap.dedent(source))


def _names(node: Function) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _problems(function: Function, module: _Module) -> Iterator[tuple[int, str]]:
    arguments = {
        each.arg
        for node in ast.walk(function)
        if isinstance(node, ast.arguments)
        for each in [*node.posonlyargs, *node.args, *node.kwonlyargs]
    }
    stored = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    local = arguments | stored
    sets = {
        target.id
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and _is_set(node.value, frozenset())
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    talk = function.args.args[0].arg if function.args.args else "talk"
    for node in _walk(function, module):
        match node:
            case ast.Name(id=name, ctx=ast.Load()) | ast.Attribute(value=ast.Name(id=name)) if name not in local:
                remedy = _remedy(node, module.names)
                if remedy is not None:
                    yield node.lineno, f"{ast.unparse(node)} differs from one replay to the next. {remedy}"
            case ast.Attribute():
                remedy = _remedy(node, module.names) if _root(node) not in local else None
                if remedy is not None:
                    yield node.lineno, f"{ast.unparse(node)} differs from one replay to the next. {remedy}"
            case ast.Import() | ast.ImportFrom():
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
                for name in names:
                    if name.partition(".")[0] in MODULES and name not in PURE:
                        yield node.lineno, f"it imports {name}. {MODULES[name.partition('.')[0]]}"
            case ast.Global(names=names):
                yield (
                    node.lineno,
                    f"it changes {', '.join(names)} of the module, which is no part of the history. Keep it in a local variable.",
                )
            case ast.For(iter=over) | ast.comprehension(iter=over) if _is_set(over, sets):
                yield (
                    over.lineno,
                    f"the order of a set ({ast.unparse(over)}) differs from process to process. Iterate over sorted(…).",
                )
            case ast.Try(finalbody=[_, *_] as final):
                for each in (inner for statement in final for inner in ast.walk(statement)):
                    if isinstance(each, ast.Await):
                        yield (
                            each.lineno,
                            "an await in `finally` runs when the session leaves memory. Catch CallerLeft, or what you expect, instead.",
                        )
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method))) if name == talk and method in AWAITED:
                yield node.lineno, f"{talk}.{method}(…) is never awaited. Write: await {ast.unparse(node)}"
            case ast.Expr(value=ast.Call(func=ast.Name(id=name))) if name not in local and module.is_coroutine(name):
                yield node.lineno, f"{name}(…) is never awaited. Write: await {ast.unparse(node)}"
            case _:
                pass


def _walk(function: Function, module: _Module) -> Iterator[ast.AST]:
    """All nodes of a function's body in the order of the source; not its signature, whose types are nobody's business here."""
    todo: list[ast.AST] = list(reversed(function.body))
    while todo:
        node = todo.pop()
        if isinstance(node, ast.AnnAssign):
            todo.extend(each for each in (node.value,) if each is not None)
            continue
        if isinstance(node, Function) and any(module._is_effect(each) for each in node.decorator_list):  # noqa: SLF001 - its own helper
            continue
        yield node
        if isinstance(node, ast.Attribute) and _remedy(node, module.names) is not None:
            continue
        todo.extend(reversed(list(ast.iter_child_nodes(node))))


def _is_set(node: ast.expr, names: "frozenset[str] | set[str]") -> bool:
    match node:
        case ast.Set() | ast.SetComp() | ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.Name(id=name):
            return name in names
        case _:
            return False


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _remedy(node: ast.expr, names: dict[str, Any]) -> str | None:
    """Why a name, or a dotted one, must not be used; None if it may."""
    path: list[str] = []
    root: ast.expr = node
    while isinstance(root, ast.Attribute):
        path.insert(0, root.attr)
        root = root.value
    if not isinstance(root, ast.Name):
        return None
    if root.id not in names:
        return BUILTINS.get(root.id) if not path and hasattr(builtins, root.id) else None
    value = names[root.id]
    for each in path:
        if not isinstance(value, ModuleType | type):
            break
        value = getattr(value, each, None)
    return _judge(value) if not isinstance(value, ModuleType) or isinstance(node, ast.Name) is False else None


def _judge(value: Any) -> str | None:
    if isinstance(value, Effect) or value is None:
        return None
    if isinstance(value, ModuleType):
        name = value.__name__
    elif isinstance(value, MethodType | BuiltinFunctionType) and isinstance(value.__self__, type):
        name = f"{value.__self__.__module__}.{value.__self__.__qualname__}.{value.__name__}"
        for base in value.__self__.__mro__:  # freezers and subclasses of datetime are clocks as well
            name = next(
                (
                    f"{base.__module__}.{base.__qualname__}.{value.__name__}"
                    for _ in (0,)
                    if f"{base.__module__}.{base.__qualname__}.{value.__name__}" in METHODS
                ),
                name,
            )
    elif isinstance(value, MethodType | BuiltinFunctionType) and value.__self__ is not None and not isinstance(value.__self__, ModuleType):
        name = type(value.__self__).__module__
    elif isinstance(value, FunctionType | BuiltinFunctionType | type):
        name = f"{value.__module__}.{value.__qualname__}"
    else:
        return None
    if name in METHODS:
        return METHODS[name]
    if name in PURE or any(name.startswith(f"{each}.") for each in PURE):
        return None
    return MODULES.get(name.partition(".")[0])
