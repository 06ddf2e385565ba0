"""What a workflow must not use, since it would not come out the same on a replay; and what to use instead."""

import builtins
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

CLOCK = "Use talk.now or talk.opened.at, which are recorded."
CHANCE = "Use talk.random(name) or talk.uuid(name), which come out the same on every replay."
OUTSIDE = "Put it into an @effect and await talk.call(…): its result is recorded."
WAITING = "A workflow awaits only talk.…: use talk.sleep, talk.first and talk.gather."
HASH = "It differs from process to process. Use hashlib, or what the value itself holds."

REMEDIES: dict[str, str] = {
    "time": CLOCK,
    "datetime.datetime.now": CLOCK,
    "datetime.datetime.today": CLOCK,
    "datetime.datetime.utcnow": CLOCK,
    "datetime.date.today": CLOCK,
    "uuid.uuid1": CHANCE,
    "uuid.uuid4": CHANCE,
    **dict.fromkeys(("random", "secrets"), CHANCE),
    **dict.fromkeys(("asyncio", "threading", "multiprocessing", "concurrent", "trio", "anyio"), WAITING),
    **dict.fromkeys(
        ("os", "posix", "nt", "io", "sys", "genericpath", "pathlib", "shutil", "tempfile", "glob", "platform", "locale"), OUTSIDE
    ),
    **dict.fromkeys(("socket", "ssl", "select", "signal", "subprocess", "sqlite3", "urllib", "http", "smtplib", "ftplib"), OUTSIDE),
    **dict.fromkeys(("requests", "httpx", "aiohttp", "redis", "openai", "twilio", "boto3"), OUTSIDE),
    **dict.fromkeys(("builtins.open", "builtins.input", "builtins.exec", "builtins.eval"), OUTSIDE),
    **dict.fromkeys(("builtins.hash", "builtins.id"), HASH),
    "builtins.print": "It prints again on every replay. Use talk.say for the caller; `switchboard sessions show` tells what happened.",
    "builtins.breakpoint": "Use Rehearsal in a test, where a debugger may stop.",
}
"""By dotted name; a module stands for all that is in it."""

PURE = ("urllib.parse", "pathlib.PurePath", "pathlib.PurePosixPath", "pathlib.PureWindowsPath")
"""What is harmless in them all the same."""


def remedy(path: list[str], names: dict[str, Any]) -> str | None:
    """What to use instead of a name, or of an attribute of one (`datetime.now` as its parts); None if it may be used.

    `names` are the globals of the workflow. Only modules and classes are looked into: nothing of the author's is run.
    """
    root, *attributes = path
    if root not in names:
        return _find(f"builtins.{root}") if hasattr(builtins, root) else None
    value = names[root]
    for attribute in attributes:
        if not isinstance(value, ModuleType | type):
            return _find(_name(value))
        owner, value = value, getattr(value, attribute, None)
        if isinstance(owner, ModuleType) and not isinstance(value, ModuleType):
            instead = _find(f"{owner.__name__}.{attribute}")
            if instead is not None:
                return instead
    return None if isinstance(value, ModuleType) else _find(_name(value))


def remedy_for_import(module: str) -> str | None:
    """What to use instead of a module that is imported inside a workflow."""
    return _find(module)


def _name(value: Any) -> str:
    """Where a value comes from: its own dotted name, or that of its class."""
    match value:
        case MethodType(__self__=type() as owner) | BuiltinFunctionType(__self__=type() as owner):
            for base in owner.__mro__:  # subclasses of datetime are clocks as well
                name = f"{base.__module__}.{base.__qualname__}.{value.__name__}"
                if name in REMEDIES:
                    return name
            return f"{owner.__module__}.{owner.__qualname__}.{value.__name__}"
        case BuiltinFunctionType(__self__=ModuleType() as owner):
            return f"{owner.__name__}.{value.__name__}"
        case MethodType(__self__=owner) | BuiltinFunctionType(__self__=owner):  # such as random.random, a method of a hidden generator
            return _name(type(owner))
        case FunctionType() | type():
            return f"{value.__module__}.{value.__qualname__}"
        case _:
            return _name(type(value))


def _find(name: str) -> str | None:
    if any(name == each or name.startswith(f"{each}.") for each in PURE):
        return None
    while name:
        if name in REMEDIES:
            return REMEDIES[name]
        name = name.rpartition(".")[0]
    return None
