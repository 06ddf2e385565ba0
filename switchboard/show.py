"""A session in words, for people, and as plain values, for machines."""

import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from rich.console import Console
from rich.text import Text

from switchboard.replay import Moment, Replay
from workflows.events import AnyEvent, Fired, Heard, Left, Memo, Opened, Sent
from workflows.outputs import Output, Play, Say, Ssml

_STYLES: Final = {"running": "green", "ended": "dim", "failed": "red", "diverged": "red", "quarantined": "red"}
_HIDDEN: Final = "(hidden)"
_LONGEST: Final = 300
"""Characters of an effect's value that are shown to people."""

_WIDE: Final = 1_000
"""Columns where there is no terminal: room for a table that is to be searched, not looked at."""


def console() -> Console:
    """Where commands write: plain text, in colours where a terminal shows them and NO_COLOR is not set, cut into lines only there."""
    terminal = sys.stdout.isatty()
    return Console(markup=False, emoji=False, highlight=False, soft_wrap=not terminal, width=None if terminal else _WIDE)


def write_json(value: object) -> None:
    """Write one JSON document."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value, enc_hook=repr), indent=2).decode() + "\n")


def count(number: int, one: str, several: str = "") -> str:
    """A number of things: `1 event`, `2 events`."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def clean(text: str) -> str:
    """Make what came from outside fit for a terminal: control characters are shown, not obeyed."""
    return "".join([each if each.isprintable() else each.encode("unicode_escape").decode() for each in text])


def state_text(state: str) -> Text:
    """A session's state in its colour."""
    return Text(state, _STYLES[state])


def time_of(at: int, opened: Opened | None) -> datetime:
    """A recorded time in the line's zone, or in UTC where that is not known; what no calendar has comes as its first day."""
    try:
        zone: tzinfo = ZoneInfo(opened.time_zone) if opened is not None else UTC
    except (KeyError, ValueError, OSError):
        zone = UTC
    try:
        return datetime.fromtimestamp(at / 1000, zone)
    except (ValueError, OverflowError, OSError):
        return datetime.min.replace(tzinfo=UTC)


def said_in_words(output: Output) -> str:
    """An output in words."""
    match output:
        case Say(text=text, voice=voice, language=language):
            manner = ", ".join(filter(None, (voice, language)))
            return f'says "{clean(text)}"' + (f" ({clean(manner)})" if manner else "")
        case Ssml(markup=markup):
            return f"says {clean(markup)}"
        case Play(url=url):
            return f"plays {clean(url)}"


def said_as_value(output: Output) -> dict[str, str]:
    """An output as a plain value."""
    match output:
        case Say(text=text, voice=voice, language=language):
            manner = {"voice": voice, "language": language}
            return {"say": text} | {name: value for name, value in manner.items() if value is not None}
        case Ssml(markup=markup):
            return {"ssml": markup}
        case Play(url=url):
            return {"play": url}


def in_words(replay: Replay) -> Iterator[Text]:
    """A session, line by line."""
    opened = replay.opened
    yield Text.assemble((clean(replay.session), "bold"), "  ", state_text(replay.state))
    if opened is not None:
        line = f", line {opened.channel}:{opened.line}" if opened.line else ""
        yield Text(clean(f"workflow {opened.workflow}{line}, {opened.locale}, {opened.time_zone}, generation {opened.gen}"))
    yield Text()
    for moment in replay.moments:
        at = str(time_of(moment.event.at, opened).isoformat(" ", "seconds")) if moment.event is not None else "?"
        yield Text.assemble(f"{moment.position:>4}  ", (f"{at:<25}  ", "dim"), _moment_in_words(moment))
        for output in moment.said:
            yield Text(" " * 33 + said_in_words(output), "cyan")
        if moment.position == replay.failed_at and replay.failure is not None:
            yield Text(" " * 33 + f"the workflow fails: {replay.failure.kind}: {clean(replay.failure.text)}", "red")
    yield Text()
    yield from _state_in_words(replay)


def _moment_in_words(moment: Moment) -> Text:
    if moment.event is None:
        return Text(f"cannot be read: {moment.element.hex()}", "red")
    words = clean(event_in_words(moment.event, hidden=moment.hidden))
    taken = f"  -> {moment.taken_by}" if moment.taken_by else ""
    return Text.assemble(words, (clean(taken), "dim"), "" if moment.replayed else ("  (not replayed)", "dim"))


def _state_in_words(replay: Replay) -> Iterator[Text]:
    match replay.state:
        case "ended":
            yield Text("It has ended.")
        case "failed":
            assert replay.failure is not None
            yield Text("The workflow has a bug; mended code resumes the session.", "red")
            yield Text(clean_lines(replay.failure.traceback))
        case "diverged" | "quarantined":
            yield from difference(replay)
        case "running":
            yield Text(f"waits for {clean('; '.join(replay.waits_for)) or 'nothing'}")
            for step, at in replay.alarms:
                yield Text(f"alarm of step {step} at {time_of(at, replay.opened).isoformat(' ', 'seconds')}")
            for errand in replay.errands:
                yield Text(clean(f"errand {errand.name} ({errand.state}): {errand.key}"))
    if replay.unsent:
        yield Text(f"{replay.unsent} {'output waits' if replay.unsent == 1 else 'outputs wait'} to be delivered")
    if usage := charged(replay):
        since = " in this generation" if replay.opened is not None and replay.opened.base else ""
        yield Text(f"charged by the model{since}: {' and '.join([f'{tokens:,} tokens {clean(name)}' for name, tokens in usage.items()])}")
    if any(moment.hidden for moment in replay.moments):
        yield Text(f"{_HIDDEN}: a secret, or what no step is known to have taken, which may be one", "dim")


def charged(replay: Replay) -> dict[str, int]:
    """What all answers of a model on record were charged for, in tokens; of this generation, for those before are gone."""
    total = Counter[str]()
    for moment in replay.moments:
        if isinstance(moment.event, Memo) and moment.event.usage:
            total.update({name: tokens for name, tokens in moment.event.usage.items() if isinstance(tokens, int)})
    return dict(total)


def difference(replay: Replay) -> Iterator[Text]:
    """Why a session is diverged or quarantined."""
    found = replay.divergence
    if found is None:
        yield Text(clean(replay.problem), "red")
        return
    yield Text(f"The code does not repeat what is on record at event {found.position}:", "red")
    yield Text(f"  on record  {clean(found.recorded)}")
    yield Text(f"  wanted     {clean(found.wanted)}")
    yield Text("Was the workflow changed while this session lived? Guard the change with talk.patched(...), or bring the old code back.")


def clean_lines(text: str) -> str:
    """Like `clean`, for text of several lines."""
    return "\n".join(map(clean, text.splitlines()))


def event_in_words(event: AnyEvent, *, hidden: bool) -> str:
    """What happened; `hidden`: without what the caller said."""
    match event:
        case Opened(caller=caller, channel=channel, line=line, parent=None):
            return f"opened by {caller or 'somebody'} on {channel}:{line or '*'}"
        case Opened(parent=parent):
            return f"opened as an errand of {parent[0] if parent else ''}"
        case Heard():
            return _heard_in_words(event, hidden=hidden)
        case Memo(name=name, step=step, error=(kind, text, _)):
            return f"{name} (step {step}) failed: {kind}: {text}"
        case Memo(name=name, step=step, value=value):
            return f"{name} (step {step}) gave {_short(msgspec.json.encode(_value(value)).decode())}"
        case Fired(step=step):
            return f"the alarm of step {step} fired"
        case Sent(output=(position, ordinal)):
            return f"output {position}.{ordinal} was delivered"
        case Left(reason=reason):
            return f"the caller left{f' ({reason})' if reason else ''}"
        case _:
            raise AssertionError(event)


def _heard_in_words(heard: Heard, *, hidden: bool) -> str:
    payload = heard.payload
    match heard.type:
        case "said":
            return "said " + (_HIDDEN if hidden else f'"{payload.get("text", "")}"')
        case "pressed":
            return "pressed " + (_HIDDEN if hidden else str(payload.get("digits", "")))
        case "intent":
            return "meant " + (_HIDDEN if hidden else f"{payload.get('name', '')} {payload.get('slots') or ''}".rstrip())
        case "recorded":
            return f"left a recording of {payload.get('seconds', 0)} s: {payload.get('url', '')}"
        case "transferred":
            return f"transfer: {payload.get('outcome', 'failed')} after {payload.get('seconds', 0)} s"
        case "returned":
            return "came back"
        case "errand":
            outcome = f"failed: {payload['error']}" if payload.get("error") else "is done"
            return f"errand {payload.get('errand', '')} {outcome}"
        case "cancel":
            return "was called off"
        case other:
            return other


def as_value(replay: Replay) -> dict[str, Any]:
    """A session as a plain value."""
    opened = replay.opened
    value: dict[str, Any] = {"session": replay.session, "state": replay.state}
    if opened is not None:
        value |= {name: getattr(opened, name) for name in ("workflow", "channel", "line", "caller", "locale", "time_zone", "gen")}
    value["events"] = [_moment_as_value(moment, opened) for moment in replay.moments]
    value["usage"] = charged(replay)
    value["waits_for"] = replay.waits_for
    value["undelivered"] = replay.unsent
    value["alarms"] = [{"step": step, "at": time_of(at, opened).isoformat()} for step, at in replay.alarms]
    value["errands"] = [msgspec.structs.asdict(errand) for errand in replay.errands]
    return value | trouble_as_value(replay)


def trouble_as_value(replay: Replay) -> dict[str, Any]:
    """What is wrong with a session, as a plain value: nothing, if nothing is."""
    value: dict[str, Any] = {}
    if replay.problem:
        value["problem"] = replay.problem
    if replay.divergence is not None:
        found = replay.divergence
        value["divergence"] = {"position": found.position, "recorded": found.recorded, "wanted": found.wanted}
    if replay.failure is not None:
        value["failure"] = {"position": replay.failed_at, **msgspec.structs.asdict(replay.failure)}
    return value


def _moment_as_value(moment: Moment, opened: Opened | None) -> dict[str, Any]:
    event = moment.event
    value: dict[str, Any] = {"position": moment.position}
    if event is None:
        return value | {"kind": None, "element": moment.element.hex()}
    value |= {"at": time_of(event.at, opened).isoformat(), "kind": type(event).__name__.lower()}
    match event:
        case Heard(id=id_, type=type_, payload=payload):
            value |= {"id": id_, "type": type_, "payload": None if moment.hidden else payload, "hidden": moment.hidden}
        case Memo(step=step, name=name, value=raw, error=error, usage=usage):
            value |= {"step": step, "name": name, "error": error} if error else {"step": step, "name": name, "value": _value(raw)}
            value |= {"usage": usage} if usage else {}
        case Fired(step=step):
            value["step"] = step
        case Sent(output=output, receipt=receipt):
            value |= {"output": output, "receipt": receipt}
        case Left(id=id_, reason=reason):
            value |= {"id": id_, "reason": reason}
        case _:
            value |= {"id": event.id, "args": event.args, "facts": event.facts}
    value |= {"taken_by": moment.taken_by or None, "replayed": moment.replayed, "said": [said_as_value(each) for each in moment.said]}
    return value


def _value(raw: msgspec.Raw) -> Any:
    """A recorded value, fit for JSON; its bytes if it cannot be made so."""
    try:
        return msgspec.to_builtins(msgspec.msgpack.decode(raw), str_keys=True, enc_hook=repr)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
        return bytes(raw).hex()


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
