"""The tools that the assistant offers to the model: what they take, and how a call of one is read.

What the model is told of a tool is made from its class here, so that it cannot differ from what is accepted.
"""

from datetime import date
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from workflows.think import ToolCall, ToolSpec

MOST_ARGUMENTS = 4_000
"""Characters of a call's arguments; no tool here has use for more."""

UNCLEAR = "Sorry, I could not work out how to do that. Could you say it in other words?"

Text = Annotated[str, Meta(min_length=1, max_length=500)]
Place = Annotated[str, Meta(min_length=2, max_length=60, description="IATA code of the airport or city, such as LHR.")]
Name = Annotated[str, Meta(max_length=40)]
NewName = Annotated[Name | None, Meta(description="A short name to know the task by, if the user gave one.")]


class Tool(msgspec.Struct, frozen=True):
    """The base of all tools; a class's docstring is what the model reads of it. `name` is what the model calls it by."""

    tool: ClassVar[str]


class CreateReminder(Tool, frozen=True):
    """Remind the user of something at a moment in the future."""

    tool: ClassVar[str] = "create_reminder"
    description: Annotated[Text, Meta(title="what to remind you of", description="What to remind the user of.")]
    at: Annotated[str, Meta(title="when", description="Local date and time in ISO 8601 without an offset, such as 2026-11-24T09:00:00.")]
    name: NewName = None


class WatchFlight(Tool, frozen=True):
    """Watch the fares of a flight, and tell the user as soon as one is low enough."""

    tool: ClassVar[str] = "watch_flight"
    origin: Annotated[Place, Meta(title="where from")]
    destination: Annotated[Place, Meta(title="where to")]
    departure: Annotated[date, Meta(title="the day of departure", description="Local day, such as 2026-12-24.")]
    max_price: Annotated[float, Meta(gt=0, le=1e9, title="the highest price", description="The highest price to be told of.")]
    currency: Annotated[str, Meta(pattern="^[A-Za-z]{3}$", title="the currency", description="ISO 4217 code, such as EUR.")]
    return_: Annotated[date | None, Meta(description="Local day of the way back, if there is one.")] = None
    name: NewName = None


class ListTasks(Tool, frozen=True):
    """List the reminders and flight watches that are running."""

    tool: ClassVar[str] = "list_tasks"


class TaskStatus(Tool, frozen=True):
    """Ask how a task is doing: the time left, or the last price."""

    tool: ClassVar[str] = "task_status"
    name: Annotated[Name, Meta(title="the name of the task")]


class CancelTask(Tool, frozen=True):
    """Call a task off."""

    tool: ClassVar[str] = "cancel_task"
    name: Annotated[Name, Meta(title="the name of the task")]


AnyTool = CreateReminder | WatchFlight | ListTasks | TaskStatus | CancelTask


class Malformed(msgspec.Struct, frozen=True):
    """A call that cannot be read: why, for the model, and a plain sentence for the user should the model not mend it."""

    problem: str
    sentence: str = UNCLEAR


def read(call: ToolCall) -> AnyTool | Malformed:
    """Read a call of the model, forgivingly where the meaning is plain: numbers may be texts, unknown fields are ignored."""
    kind = KINDS.get(call.name)
    if kind is None:
        return Malformed(f"there is no tool {call.name}; there are {', '.join(KINDS)}")
    values = arguments_of(call)
    if values is None:
        return Malformed("the arguments are not one JSON object")
    schema = SCHEMAS[kind.tool]
    missing = [field for field in schema["required"] if values.get(field) in (None, "")]
    if missing:
        titles = [schema["properties"][field]["title"] for field in missing]
        sentence = f"To do that, I still need to know {' and '.join([', '.join(titles[:-1]), titles[-1]] if titles[1:] else titles)}."
        return Malformed(f"missing: {', '.join(missing)}. Do not guess: ask the user", sentence)
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        return Malformed(str(error))


def arguments_of(call: ToolCall) -> dict[str, Any] | None:
    """The arguments of a call; None if they are not a JSON object of a sensible length."""
    try:
        values = msgspec.json.decode(call.arguments or "{}") if len(call.arguments) <= MOST_ARGUMENTS else None
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None
    return values if isinstance(values, dict) else None


def _spec(kind: type[Tool]) -> ToolSpec:
    (schema,) = msgspec.json.schema_components([kind])[1].values()
    parameters = {key: schema[key] for key in ("type", "properties", "required")}
    return {"type": "function", "function": {"name": kind.tool, "description": kind.__doc__, "parameters": parameters}}


KINDS: dict[str, type[AnyTool]] = {kind.tool: kind for kind in (CreateReminder, WatchFlight, ListTasks, TaskStatus, CancelTask)}

TOOLS: list[ToolSpec] = [_spec(kind) for kind in KINDS.values()]
"""All tools, as the model is told of them."""

SCHEMAS: dict[str, dict[str, Any]] = {spec["function"]["name"]: spec["function"]["parameters"] for spec in TOOLS}
