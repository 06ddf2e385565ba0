"""The look at a workflow's source: what would not come out the same on a replay is refused before it runs."""

import ast
import functools
import inspect
import linecache
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from workflows.errors import SourceError
from workflows.impure import remedy, remedy_for_import

AWAITED = frozenset(
    ("ask", "listen", "next", "record", "transfer", "call", "speak", "sleep", "first", "gather", "start", "cancel", "status", "restart")
)
"""The methods of a talk that do nothing unless they are awaited."""

ORDERED = frozenset({"list", "tuple", "iter", "enumerate", "zip", "map", "filter", "next"})
"""Builtins that pass the order of what they are given on."""

UNORDERED = frozenset({"sorted", "set", "frozenset", "any", "all", "sum", "min", "max", "len"})
"""Builtins to which the order does not matter."""

SET_METHODS = frozenset({"union", "intersection", "difference", "symmetric_difference", "copy"})

Function = ast.FunctionDef | ast.AsyncFunctionDef
Problem = tuple[int, str]


def check_source(function: Callable[..., Any]) -> None:
    """Look at a workflow and the functions of its module that it reaches.

    Raises `SourceError` with file, line and remedy at the first thing that a replay could not repeat. A function whose source cannot be
    found (typed at a prompt) is let through: the run still refuses foreign awaits.
    """
    if not inspect.iscoroutinefunction(function):
        raise SourceError(f"@workflow needs an `async def`; {getattr(function, '__qualname__', function)} is none")
    file = inspect.getsourcefile(function) or ""
    lines = linecache.getlines(file, function.__globals__)
    path = _find(_parse("".join(lines)), function)
    if not path:
        return
    around = {node.name: node for scope in path[:-1] for node in scope.body if isinstance(node, Function) and not _is_effect(node)}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    names = {**function.__globals__, **{name: cell.cell_contents for name, cell in cells if _is_filled(cell)}}
    todo: list[Function] = [path[-1]]
    seen: set[str] = set()
    while todo:
        node = todo.pop()
        for line, problem in _Look(node, names, around).problems():
            raise SourceError(f"{file}:{line}: in workflow {function.__qualname__}: {problem}")
        reached = {each.id for each in _walk(node.body) if isinstance(each, ast.Name)} & around.keys() - seen
        seen |= reached
        todo.extend(around[name] for name in sorted(reached))


@functools.lru_cache(maxsize=64)
def _parse(source: str) -> ast.Module:
    return ast.parse(source)


def _find(tree: ast.Module, function: Callable[..., Any]) -> list[Any]:
    """The way to the node of a function: the module, the functions around it, and itself; empty if it is not there."""
    line = function.__code__.co_firstlineno

    def search(node: ast.AST, path: list[ast.AST]) -> list[ast.AST]:
        for child in ast.iter_child_nodes(node):
            below = path
            if isinstance(child, Function):
                below = [*path, child]
                if child.name == function.__name__ and line in (child.lineno, *(each.lineno for each in child.decorator_list)):
                    return below
            found = search(child, below)
            if found:
                return found
        return []

    return search(tree, [tree])


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - it raises when the variable has no value yet
    except ValueError:
        return False
    return True


def _is_effect(function: Function) -> bool:
    """Whether it is the body of an effect, which may do what it likes."""
    for decorator in function.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if _path(called)[-1:] == ["effect"]:
            return True
    return False


def _path(node: ast.AST) -> list[str]:
    """The parts of a dotted name; empty for anything else."""
    match node:
        case ast.Name(id=name):
            return [name]
        case ast.Attribute(value=value, attr=attribute):
            path = _path(value)
            return [*path, attribute] if path else []
        case _:
            return []


def _walk(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All nodes below in the order of the source, without types and without the bodies of effects."""
    for node in nodes:
        if isinstance(node, Function) and _is_effect(node):
            continue
        yield node
        for field, value in ast.iter_fields(node):
            if field not in ("annotation", "returns"):
                yield from _walk(each for each in (value if isinstance(value, list) else [value]) if isinstance(each, ast.AST))


class _Look:
    """One function, and what it says."""

    def __init__(self, function: Function, names: dict[str, Any], around: dict[str, Function]) -> None:
        self._function = function
        self._names = names
        self._bound = {*_bindings(function), *around}
        inner = [each for each in ast.walk(function) if isinstance(each, Function)]
        self._coroutines = {each.name for each in [*around.values(), *inner] if isinstance(each, ast.AsyncFunctionDef)}
        arguments = [each for each in ast.walk(function) if isinstance(each, ast.arg)]
        self._talks = {"talk", *(each.arg for each in arguments if each.annotation is not None and _path(each.annotation)[-1:] == ["Talk"])}
        self._unordered: set[ast.AST] = set()
        self._sets: set[str] = set()
        self._sets = self._find_sets()

    def problems(self) -> Iterator[Problem]:
        """What a replay could not repeat, in the order of the source."""
        inside: set[ast.AST] = set()  # parts of dotted names, which are looked at as a whole
        for node in _walk(self._function.body):
            match node:
                case ast.Attribute() | ast.Name() if node not in inside and (path := _path(node)):
                    inside.update(ast.walk(node))
                    yield from self._outside_world(node.lineno, path)
                case ast.Import(names=names):
                    yield from self._imports(node.lineno, [each.name for each in names])
                case ast.ImportFrom(module=module) if module is not None:
                    yield from self._imports(node.lineno, [module])
                case ast.Global(names=names):
                    what = ", ".join(names)
                    yield node.lineno, f"it changes {what} of the module, which is no part of the history. Keep it in a local variable."
                case ast.Try(finalbody=final) | ast.TryStar(finalbody=final):
                    yield from _final_awaits(final)
                case ast.ExceptHandler() if _catches_all(node):
                    yield (
                        node.lineno,
                        "this `except` also catches the closing of the conversation when it leaves memory. Catch Exception, or CallerLeft.",
                    )
                case ast.Expr(value=ast.Call(func=called)) if self._is_coroutine(called):
                    yield node.lineno, f"{ast.unparse(called)}(…) is never awaited. Write: await {ast.unparse(node)}"
                case _:
                    pass
            yield from self._set_order(node)

    def _outside_world(self, line: int, path: list[str]) -> Iterator[Problem]:
        if path[0] not in self._bound:
            instead = remedy(path, self._names)
            if instead is not None:
                yield line, f"{'.'.join(path)} differs from one replay to the next. {instead}"

    def _imports(self, line: int, modules: list[str]) -> Iterator[Problem]:
        for module in modules:
            instead = remedy_for_import(module)
            if instead is not None:
                yield line, f"it imports {module}. {instead}"

    def _is_coroutine(self, called: ast.expr) -> bool:
        match _path(called):
            case [talk, method]:
                return talk in self._talks and method in AWAITED
            case [name]:
                return name in self._coroutines
            case _:
                return False

    # -- the order of sets ---------------------------------------------------------------------------------------------------------------

    def _set_order(self, node: ast.AST) -> Iterator[Problem]:
        match node:
            case ast.Call(func=ast.Name(id=name), args=[ast.ListComp() | ast.GeneratorExp() as argument]) if name in UNORDERED:
                self._unordered.update(argument.generators)
                return
            case ast.SetComp(generators=generators):
                self._unordered.update(generators)
                return
            case ast.comprehension() if node in self._unordered:
                return
            case ast.For(iter=over) | ast.comprehension(iter=over) | ast.Starred(value=over):
                used = [over]
            case ast.Call(func=ast.Name(id=name), args=used) if name in ORDERED and name not in self._bound:
                pass
            case ast.Call(func=ast.Attribute(attr="join"), args=used):
                pass
            case ast.Call(func=ast.Attribute(value=over, attr="pop"), args=[]):
                used = [over]
            case _:
                return
        for each in used:
            if self._is_set(each):
                yield each.lineno, f"the order of a set ({ast.unparse(each)}) differs from process to process. Iterate over sorted(…)."

    def _is_set(self, node: ast.AST) -> bool:
        match node:
            case ast.Set() | ast.SetComp() | ast.Call(func=ast.Name(id="set" | "frozenset")):
                return True
            case ast.Name(id=name):
                return name in self._sets
            case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), right=right):
                return self._is_set(left) or self._is_set(right)
            case ast.Call(func=ast.Attribute(value=value, attr=method)) if method in SET_METHODS:
                return self._is_set(value)
            case _:
                return False

    def _find_sets(self) -> set[str]:
        """The variables that are sets wherever they are set."""
        sets: set[str] = set()
        others: set[str] = set()
        for node in ast.walk(self._function):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.NamedExpr(target=ast.Name(id=name), value=value):
                    (sets if self._is_set(value) else others).add(name)
                case ast.AnnAssign(target=ast.Name(id=name), annotation=type_) | ast.arg(arg=name, annotation=ast.expr() as type_):
                    root = type_.value if isinstance(type_, ast.Subscript) else type_
                    (sets if _path(root)[-1:] in (["set"], ["frozenset"]) else others).add(name)
                case _:
                    pass
        return sets - others


def _bindings(function: Function) -> Iterator[str]:
    """Every name that is bound anywhere in a function: what is bound there is not the module's."""
    for node in ast.walk(function):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name) if node is not function:
                yield name
            case ast.alias(name=name, asname=other):
                yield other or name.partition(".")[0]
            case ast.ExceptHandler(name=str() as name) | ast.MatchAs(name=str() as name) | ast.MatchStar(name=str() as name):
                yield name
            case ast.MatchMapping(rest=str() as name):
                yield name
            case _:
                pass


def _final_awaits(final: list[ast.stmt]) -> Iterator[Problem]:
    for node in _walk(final):
        if isinstance(node, ast.Await | ast.AsyncWith | ast.AsyncFor):
            yield (
                node.lineno,
                "an await in `finally` would run when the conversation leaves memory. Catch CallerLeft, or what you expect, instead.",
            )


def _catches_all(handler: ast.ExceptHandler) -> bool:
    """Whether it swallows what Python throws into a coroutine to close it."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    catches = any(kind is None or _path(kind)[-1:] in (["BaseException"], ["GeneratorExit"]) for kind in kinds)
    return catches and not any(isinstance(node, ast.Raise) for node in _walk(handler.body))
