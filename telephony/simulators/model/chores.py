"""The rules of the offline demo model for tasks that run: list them, tell how one is doing, call one off.

People seldom call a task by its name. So the model asks for the list first, as a language model would, and finds in it what is meant.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from telephony.simulators.model.places import codes
from telephony.simulators.model.prompt import Prompt, call, calls
from telephony.simulators.model.wire import Reply
from telephony.simulators.model.wording import courteous

WHICH = {"cancel_task": "Which one shall I call off?", "task_status": "Which one do you mean?"}
LEFT_ALONE = "All right, everything goes on as it is."

_CANCEL = re.compile(
    r"^(?:cancel|call\s+off|delete|remove|stop|end|forget(?!\s+to\b)|drop|abort|kill|scrap|clear|turn\s+off|switch\s+off|get\s+rid\s+of|unwatch"
    r"|never\s*mind(?=\s+(?:the|my|about))|(?:don't|do\s+not|stop)\s+remind(?:ing)?\s+me\b"
    r"|i\s+(?:do\s+not|don'?t|no\s+longer)\s+(?:need|want))\b(?P<name>.*)",
    re.IGNORECASE,
)
_KEEP = re.compile(r"^(?:don'?t|do\s+not|never)\s+(?:cancel|stop|delete|remove|drop|call\s+off|end)\b", re.IGNORECASE)
_STATUS = re.compile(
    r"^(?:(?:(?:what|where)(?:'?s|\s+is)\s+)?(?:the\s+)?(?P<sure>status|state|progress)\b"
    r"|how(?:'?s|\s+is|\s+are|\s+about|\s+does)\b"
    r"|(?:is\s+there\s+|are\s+there\s+|got\s+|have\s+you\s+)?any(?:thing)?\s+(?:news?|updates?|word|new)\b"
    r"|(?:check|show|view|see|display|update\s+me)\b|(?:tell\s+me|what)\s+about\b|where\s+(?:are\s+we|do\s+we\s+stand)\s+with\b"
    r"|what\s+(?:did|does)\b(?=.*\bcost\b)|(?:an?\s+)?(?:update|news|info)\b"
    r"|(?:give|send|get)\s+me\s+(?:an?\s+)?(?:status|update|news)\b|has\b(?=.*\b(?:change|drop|fall|mov|come|found|fired))"
    r"|what(?:'?s|\s+is)\s+the\s+(?:latest|word|state)\s+(?:on|of|about|with)\b|what(?:'?s|\s+is)\s+(?:up|new|happening|going\s+on)\s+with\b"
    r"|what(?:'?s|\s+is|\s+was)\s+the\s+(?:(?:last|latest|current|lowest|best|cheapest)\s+)?(?:price|fare|cost|news)\b"
    r"|when(?:'?s|\s+is|\s+are|\s+will|\s+does)\b|(?:is|are)\s+(?=.*\bstill\b)|how\s+(?:long|much\s+time)\b|(?:how\s+much\s+)?time\s+left\b"
    r"|how\s+much\s+(?:is|are|does)\b)(?P<name>.*)",
    re.IGNORECASE,
)
_STATUS_LAST = re.compile(r"^(?P<name>[\w\s-]{1,60}?)\s+status$", re.IGNORECASE)
_LIST = re.compile(
    r"\b(?:list|show|what|which|see|any)\b.*"
    r"\b(?:tasks?|reminders?|watch(?:es|ing)?|running|planned|pending|scheduled|active|reminding|coming\s+up|my\s+list|going\s+on)\b"
    r"|^what\s+(?:do|have)\s+(?:you|i|we)\s+(?:have|got)\b"
    r"|^(?:list|(?:list\s+|show\s+)?(?:me\s+)?(?:all\s+)?(?:of\s+)?(?:my\s+|the\s+)?"
    r"(?:tasks|reminders|watches|flights|list|status|alarms|everything))\W*$",
    re.IGNORECASE,
)
_IDLE = frozenset((
    "a", "about", "active", "all", "alright", "an", "and", "any", "anymore", "are", "at", "be", "been", "best", "by", "changed", "cost",
    "current", "did", "do", "doing", "does", "down", "either", "fare", "fares", "fine", "for", "from", "get", "getting", "going",
    "have", "how", "i", "i'm", "if", "in", "is", "it", "it's", "its", "last", "latest", "left", "let", "long", "longer", "looking",
    "look", "lowest", "me", "mine", "more", "much", "my", "named", "need", "new", "news", "no", "not", "now", "of", "off", "on",
    "one", "one's", "ones", "or", "our", "out", "please", "price", "prices", "progress", "reminding", "right", "running", "so",
    "state", "status", "still", "task", "tasks", "thanks", "times", "that", "the", "their", "them", "there", "these", "thing",
    "this", "those", "time", "to", "today", "until", "up", "update", "updates", "was", "watching", "way", "we", "what", "when",
    "which", "will", "with", "you", "your", "called", "go", "goes", "coming", "along", "actually", "really",
))  # fmt: skip
"""Words that tell no task from another."""

_FLIGHT_WORDS = frozenset((
    "flight", "flights", "watch", "watches", "watching", "fare", "fares", "price", "prices", "ticket", "tickets", "trip",
))  # fmt: skip
_REMINDER_WORDS = frozenset(["reminder", "reminders", "alarm", "alarms", "timer", "timers"])
_TASK = re.compile(r'^"(?P<name>[^"\n]+)" \((?P<kind>[^)\n]+)\): (?P<about>.*)$', re.MULTILINE)
_NAME = re.compile(
    r"(?:\s*\b(?:of|on|for|about|the|my|this|that|reminder|task|alarm|(?:flight\s+)?watch(?:ing)?)\b)*\s*[\"']?(?P<name>[\w-]{1,40})[\"']?"
    r"(?:\s+(?:reminder|task|alarm|(?:flight\s+)?watch|doing|going|any\s*more))*\W*",
    re.IGNORECASE,
)
_BESIDE = re.compile(r"^(?:(?:of|on|for|about|the|my)\s+)+|[\s.!?\"']+$", re.IGNORECASE)
_SMALL_TALK = re.compile(r"\s*(?:you(?:\s+doing|\s+today)?|it\s+going|things|life|it)\W*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be done to which tasks: `words` describe them, `sure` whether tasks are meant at all."""

    tool: str
    words: str
    sure: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """A task as the list of them has it."""

    name: str
    kind: str
    about: str

    @property
    def words(self) -> frozenset[str]:
        """What people may call it by."""
        about = self.about.partition(" for at most ")[0]
        return frozenset(_words(f"{self.name.replace('-', ' ')} {about}"))


def wish_of(text: str) -> Wish | None:
    """What a text wishes to be done to tasks; None if it is about something else."""
    text = courteous(text)
    if found := _CANCEL.match(text):
        return Wish("cancel_task", found["name"].strip(), sure=True)
    if found := _STATUS.match(text):
        return Wish("task_status", found["name"].strip(), sure=bool(found["sure"]))
    if found := _STATUS_LAST.match(text):
        return Wish("task_status", found["name"].strip(), sure=True)
    return None


def keep(prompt: Prompt) -> Reply | None:
    """Do nothing when that is what is wished for."""
    return Reply(LEFT_ALONE) if _KEEP.match(courteous(prompt.text)) else None


def cancel(prompt: Prompt) -> Reply | None:
    """Call off what is meant."""
    return _chore(prompt, "cancel_task")


def status(prompt: Prompt) -> Reply | None:
    """Tell how it is doing."""
    return _chore(prompt, "task_status")


def _chore(prompt: Prompt, tool: str) -> Reply | None:
    """Do what is wished for at once if the task is called by its name, else look at the list of them."""
    wish = wish_of(prompt.text)
    if wish is None or wish.tool != tool or tool not in prompt.tools:
        return None
    if _SMALL_TALK.fullmatch(wish.words):
        return None
    if named := _NAME.fullmatch(wish.words):
        name = named["name"].lower()
        if name not in _IDLE | _FLIGHT_WORDS | _REMINDER_WORDS:
            return calls(call(tool, name=named["name"]))
    if tool == "cancel_task" and not wish.words.strip(" .!?"):
        return Reply(f"{WHICH[tool]} Say list to see them.")
    return calls(call("list_tasks"))


def listing(prompt: Prompt) -> Reply | None:
    """List the tasks."""
    return calls(call("list_tasks")) if "list_tasks" in prompt.tools and _LIST.search(courteous(prompt.text)) else None


def settle(wish: Wish, listed: str) -> Reply | None:
    """Do what is wished for to the tasks that are meant, as the list has them; ask if that is not clear. None if no task is meant."""
    tasks = [Listed(found["name"], found["kind"], found["about"]) for found in _TASK.finditer(listed)]
    meant = _meant(wish.words, tasks, strictly=wish.tool == "cancel_task")
    if wish.tool == "task_status" and not _telling(wish.words):
        return Reply(_shown(tasks) or "No tasks are running.")
    if len(meant) == 1 or (meant and (_all(wish.words) or all(task.name.lower() in wish.words.lower() for task in meant))):
        return calls(*(call(wish.tool, name=task.name) for task in meant))
    if not meant and not wish.sure:
        return None
    none = "" if meant else f'There is no task "{_BESIDE.sub("", wish.words)}". '
    return Reply(f"{none}{WHICH[wish.tool]}\n{_shown(meant or tasks)}" if tasks else f"{none}No tasks are running.")


def _meant(words: str, tasks: list[Listed], *, strictly: bool) -> list[Listed]:
    """The tasks that a description fits: with as many of its words as it has in common with any, or strictly with all of them."""
    said = set(_words(words))
    if said & _FLIGHT_WORDS and not said & _REMINDER_WORDS:
        tasks = [task for task in tasks if task.kind == "flight watch"] or tasks
    elif said & _REMINDER_WORDS and not said & _FLIGHT_WORDS:
        tasks = [task for task in tasks if task.kind == "reminder"] or tasks
    named = [task for task in tasks if re.search(rf"(?<![\w-]){re.escape(task.name.lower())}(?![\w-])", words.lower())]
    if named:
        return named
    telling = _telling(words)
    if not telling:
        return tasks
    scores = [(len(telling & task.words), task) for task in tasks]
    most = max((score for score, _ in scores), default=0)
    return [task for score, task in scores if score == most] if most and (most == len(telling) or not strictly) else []


def _telling(words: str) -> set[str]:
    """The words that tell one task from another, places by their codes, too."""
    for name, code in codes(words).items():
        words = words.replace(name, code)
    return {word for word in _words(words) if word not in _IDLE | _FLIGHT_WORDS | _REMINDER_WORDS and word != "everything"}


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower())


def _all(words: str) -> bool:
    return bool(re.search(r"\b(?:all|everything|both|every)\b", words, re.IGNORECASE))


def _shown(tasks: Iterable[Listed]) -> str:
    return "\n".join(f'"{task.name}" ({task.kind}): {task.about}' for task in tasks)
