"""Conversations, written once as plain linear Python, and the pure core that runs and replays them.

What an author needs is exported here; `workflows.testing` has `Rehearsal`, which runs a conversation in a plain unit test.
"""

from workflows.effects import Retry, effect, idempotency_key
from workflows.errors import CallerLeft, NoAnswer, NotUnderstood, StepFailed, TerminalError, TransientError
from workflows.inputs import ErrandDone, Heard, Recording, Returned, Silence, Transferred
from workflows.listen import Choice, Digits, Intent, Intents, Words, YesNo
from workflows.outputs import Play, Ssml
from workflows.steps import Errand
from workflows.talk import ErrandStatus, Talk
from workflows.workflow import workflow

__all__ = [
    "CallerLeft",
    "Choice",
    "Digits",
    "Errand",
    "ErrandDone",
    "ErrandStatus",
    "Heard",
    "Intent",
    "Intents",
    "NoAnswer",
    "NotUnderstood",
    "Play",
    "Recording",
    "Retry",
    "Returned",
    "Silence",
    "Ssml",
    "StepFailed",
    "Talk",
    "TerminalError",
    "Transferred",
    "TransientError",
    "Words",
    "YesNo",
    "effect",
    "idempotency_key",
    "workflow",
]
