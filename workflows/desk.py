"""The desk of the assistant: does what the model's tools ask for, on the tasks of this one conversation.

What it changes it reads back to the user itself, so that what was understood is said whatever the model says. What it returns is for the
model alone.
"""

import re
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from workflows.dates import read_moment, say_date, say_moment, say_span, until
from workflows.errands import Due, Look, flight_watch, reminder
from workflows.fares import Quote, Trip
from workflows.inputs import ErrandDone
from workflows.talk import Talk
from workflows.tasks import MOST_TASKS, Task, Tasks, invent_name
from workflows.tools import AnyTool, CancelTask, CreateReminder, ListTasks, TaskStatus, WatchFlight

BOOKABLE = timedelta(days=366)
"""How far ahead a flight is watched; airlines sell theirs about eleven months ahead. It bounds the history of a watch, too."""


class Desk:
    """Starts, watches and calls off the tasks of a talk. `hours` is how often a flight watch looks."""

    __slots__ = ("_hours", "_talk", "tasks")

    def __init__(self, talk: Talk, tasks: Tasks, hours: float) -> None:
        self.tasks = tasks
        self._talk = talk
        self._hours = hours
        talk.note(tasks.shown())

    async def do(self, tool: AnyTool, asked: datetime) -> str:
        """Do what a tool asks for, and say in words what became of it; `asked` is when the user spoke, by which a date is past or not."""
        match tool:
            case CreateReminder():
                return self._refusal(tool.name) or await self._remind(tool, asked)
            case WatchFlight():
                return self._refusal(tool.name) or await self._watch(tool, asked)
            case ListTasks():
                return self._list()
            case TaskStatus(name=name):
                task = self.tasks.find(name)
                return await self._status(task) if task is not None else f'There is no task "{name}". {self._list()}'
            case CancelTask(name=name):
                task = self.tasks.find(name)
                return await self._cancel(task) if task is not None else f'There is no task "{name}". {self._list()}'

    def close(self, done: ErrandDone) -> str:
        """A task has ended: what the user is to be told of it."""
        task = self.tasks.end(done.errand)
        self._talk.note(self.tasks.shown())
        match done:
            case ErrandDone(error=str(error)):
                return f'The {task.kind} "{task.name}" failed: {_reason(error)}.'
            case ErrandDone(value=str(description)):
                return f"Reminder: {description}"
            case ErrandDone(value=Quote() as quote):
                return f'The flight watch "{task.name}" has found a fare: {task.about}, is now {quote}.'
            case _:
                return f'The flight watch "{task.name}" is over: {task.about}, was never on offer.'

    # -- tools -----------------------------------------------------------------------------------------------------------------------------

    def _refusal(self, name: str | None) -> str | None:
        """Why no task of that name can be started."""
        if not self._talk.opened.facts.get("can_deliver"):
            return "Refused: the user cannot be reached later on this channel, so it has no reminders and no flight watches. Say so."
        if self.tasks.is_full:
            return f"Refused: there are {MOST_TASKS} tasks already, and no room for more. Ask which one to call off."
        if name is not None and self.tasks.find(name) is not None:
            return f'Refused: the name "{name}" is taken. Suggest "{self.tasks.free_name(name)}", and ask.'
        return None

    async def _remind(self, tool: CreateReminder, asked: datetime) -> str:
        try:
            moment = read_moment(tool.at, ZoneInfo(self._talk.opened.time_zone))
        except ValueError as error:
            return f"Refused: {error}. Ask the user when."
        if until(moment.at, asked) <= timedelta(0):
            return f"Refused: {say_moment(moment.at, asked)} has passed; it is {say_moment(asked, asked)} now. Ask the user when."
        name = self._name(tool.name, tool.description)
        errand = await self._talk.start(reminder, tool.description, moment.at, name=name)
        self.tasks.add(Task(name, "reminder", tool.description, errand, moment.at))
        return self._read_back(f'Reminder "{name}": {tool.description}, {moment.words(asked)}.')

    async def _watch(self, tool: WatchFlight, asked: datetime) -> str:
        today = asked.date()
        if tool.departure < today:
            return f"Refused: {say_date(tool.departure)} has passed; today is {say_date(today)}. Ask the user for the day."
        if tool.departure > today + BOOKABLE:
            return f"Refused: no flights are sold more than a year ahead; {say_date(tool.departure)} is. Ask the user for the day."
        if tool.return_ is not None and tool.return_ < tool.departure:
            return "Refused: the way back is before the way out. Ask the user for the days."
        price, currency = Decimal(f"{tool.max_price:.2f}"), tool.currency.upper()
        back = f", back {say_date(tool.return_)}" if tool.return_ is not None else ""
        about = f"{tool.origin} to {tool.destination}, {say_date(tool.departure)}{back}, for at most {price} {currency}"
        name = self._name(tool.name, f"{tool.origin} {tool.destination}")
        trip = Trip(tool.origin, tool.destination, tool.departure, tool.return_)
        errand = await self._talk.start(flight_watch, trip, price, currency, self._hours, name=name)
        self.tasks.add(Task(name, "flight watch", about, errand))
        return self._read_back(f'Flight watch "{name}": {about}. I look every {say_span(timedelta(hours=self._hours))}.')

    async def _cancel(self, task: Task) -> str:
        await self._talk.cancel(task.errand)
        self.tasks.end(task.errand.id)
        return self._read_back(f'The {task.kind} "{task.name}" is cancelled.')

    async def _status(self, task: Task) -> str:
        status = await self._talk.status(task.errand)
        now = self._talk.now
        if status.state != "running" or status.note is None:
            return f"{task.words(now)}. It is {'starting' if status.state == 'running' else status.state}."
        if task.kind == "reminder":
            return f"{task.words(now)}. Time left: {say_span(until(msgspec.convert(status.note, Due).at, now))}."
        look = msgspec.convert(status.note, Look)
        seen = (
            "It has not seen a fare yet."
            if look.at is None
            else f"Last price: {look.quote or 'none on offer'}, seen {say_moment(look.at, now)}."
        )
        return f"{task.words(now)}. {seen}{f' Looking failed since: {look.trouble}.' if look.trouble else ''}"

    def _list(self) -> str:
        now = self._talk.now
        return "\n".join(["Running tasks:", *(task.words(now) for task in self.tasks.all)]) if self.tasks.all else "No tasks are running."

    def _name(self, name: str | None, about: str) -> str:
        return (name or "").strip() or self.tasks.free_name(invent_name(about))

    def _read_back(self, words: str) -> str:
        """Tell the user what was done, and the model that they know."""
        self._talk.say(words)
        self._talk.note(self.tasks.shown())
        return f"Done. The user has been told: {words}"


def _reason(error: str) -> str:
    """Why an errand failed, without the names of classes and effects that stand before it."""
    return re.sub(r"^StepFailed: \w+ failed: \w+: ", "", error).rstrip(".")
