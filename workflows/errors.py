"""What can go wrong in a conversation.

WorkflowError
├── SourceError              a workflow does what it must not: line and remedy
├── ForeignAwaitError        a workflow awaited something that is no step of its talk
├── RunawayError             a workflow takes step after step without ever waiting
├── ListenError              two open listens would hear the same input
├── ArgumentsError           the arguments do not fit a workflow's parameters
├── UnknownWorkflowError     no workflow of that name is known here
├── UndecodableError         a stored element cannot be read
├── NondeterminismError      the code does not repeat what is on record
└── RehearsalError           a rehearsal cannot go on: the workflow has a bug, or the test asks for what cannot happen
ConversationError            what authors catch on purpose; uncaught, they are normal endings
├── CallerLeft               the caller hung up, or the channel's session was closed
├── NoAnswer                 nobody answered, in all the tries
├── NotUnderstood            nothing that was answered could be understood
└── StepFailed               an effect failed for good; the failure is on record
EffectError                  what the body of an effect may raise to say more than "it failed"
├── TransientError           try again, if need be after `retry_after` seconds
└── TerminalError            do not try again: this failure is the result
"""


class WorkflowError(Exception):
    """The base of what is a bug in a workflow, or in how it is used."""


class SourceError(WorkflowError):
    """A workflow does what it must not; the text names file, line and remedy."""


class ForeignAwaitError(WorkflowError):
    """A workflow awaited something that is no step of its talk."""


class RunawayError(WorkflowError):
    """A workflow takes step after step without ever waiting for anything."""


class ListenError(WorkflowError):
    """Two open listens would hear the same type of input."""


class ArgumentsError(WorkflowError):
    """The arguments do not fit a workflow's parameters."""


class UnknownWorkflowError(WorkflowError):
    """No workflow of that name is known here."""


class UndecodableError(WorkflowError):
    """A stored element cannot be read: another format, an unknown kind of event, or damage."""


class NondeterminismError(WorkflowError):
    """The code does not repeat what is on record.

    Attributes:
        position: where in the history the first differing event stands.
        recorded: what the history has there.
        wanted: what the code waits for there.
    """

    def __init__(self, position: int, recorded: str, wanted: str) -> None:
        super().__init__(
            f"at event {position} the history has {recorded}, but the code wants {wanted}. "
            "Was the workflow changed while this session lived? Guard the change with talk.patched(...), or bring the old code back."
        )
        self.position = position
        self.recorded = recorded
        self.wanted = wanted


class RehearsalError(WorkflowError):
    """A rehearsal cannot go on: the workflow has a bug, or the test asks for what cannot happen."""


class ConversationError(Exception):
    """The base of what authors catch on purpose."""


class CallerLeft(ConversationError):  # noqa: N818 - an event of a conversation that authors catch, not a mistake
    """The caller hung up, or the channel's session was closed; raised at a listen."""


class NoAnswer(ConversationError):  # noqa: N818 - see CallerLeft
    """Nobody answered, in all the tries."""


class NotUnderstood(ConversationError):  # noqa: N818 - see CallerLeft
    """Nothing that was answered could be understood, in all the tries."""


class StepFailed(ConversationError):  # noqa: N818 - see CallerLeft
    """An effect failed for good; the failure is on record and comes alike on every replay.

    Attributes:
        step: the effect's name.
        kind: the class name of the original exception.
        reason: its message.
    """

    def __init__(self, step: str, kind: str, reason: str) -> None:
        super().__init__(f"{step} failed: {kind}: {reason}")
        self.step = step
        self.kind = kind
        self.reason = reason


class EffectError(Exception):
    """The base of what the body of an effect may raise to say more than "it failed"."""


class TransientError(EffectError):
    """Try again; `retry_after`, in seconds, is what the other side asked for."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TerminalError(EffectError):
    """Do not try again: this failure is the result."""
