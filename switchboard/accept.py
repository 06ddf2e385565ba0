"""`replay --accept`: what would be said now becomes what files of histories are held against from here on."""

import dataclasses
from pathlib import Path

from switchboard import history_files
from switchboard.history_files import Recorded
from switchboard.replay import LedTo, replay
from workflows.registry import Registry


def accept(path: Path, registry: Registry) -> int:
    """Take the words of now over into a file; gives how many of its histories have changed. Raises `HistoryFileError`.

    The histories themselves stay as they are, and so does one that the code does not repeat.
    """
    histories = history_files.read(path)
    renewed = [_renewed(each, registry) for each in histories]
    changed = sum(now is not then for now, then in zip(renewed, histories, strict=True))
    if changed:
        history_files.write(path, *renewed)
    return changed


def _renewed(recorded: Recorded, registry: Registry) -> Recorded:
    seen = replay(recorded.session, recorded.elements, registry, strict=True, led_to=recorded.led_to)
    if seen.state not in {"running", "ended"} or not any(moment.reworded for moment in seen.moments):
        return recorded
    then = recorded.led_to or seen.led_to
    now = [LedTo(moment.waits, moment.said, moment.shows) for moment in seen.moments]
    return dataclasses.replace(recorded, led_to=tuple(new if old is not None else None for new, old in zip(now, then, strict=True)))
