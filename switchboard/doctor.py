"""The command `doctor`: looks at what a server would run on, and says what to do about what is wrong."""

import os
import platform
import shlex
import stat
import sys
import time
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from rich.text import Text

from handlers.errors import HandlerError
from handlers.history import History
from handlers.journal import TAKE_OVERS
from handlers.redis_cluster import link_to, no_greeting
from handlers.redis_history import META, RedisHistory
from handlers.redis_link import Link
from handlers.resp import pack
from switchboard import secrets, show
from switchboard.embedded import embedded_valkey
from switchboard.errors import EmbeddedError, SettingsError
from switchboard.progress import progress
from switchboard.settings import Settings, load
from switchboard.store import new_boot
from switchboard.upkeep import Kind, mend, survey
from switchboard.workdir import hidden_folders
from workflows.registry import Registry

_STYLES: Final = {"ok": "green", "warn": "yellow", "bad": "red"}
_DRIFT_SECONDS: Final = 2
_EXAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found; `remedy`: what to do about it."""

    check: str
    status: Literal["ok", "warn", "bad"]
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class _Told:
    """What is said about a kind of fault, and about its mending."""

    found: str
    mended: str


_FAULTS: Final[dict[Kind, _Told]] = {
    "stray alarms": _Told("without a history but with alarms in the index", "the entries are dropped"),
    "stray leases": _Told("without a history but with work in the index", "the entries are dropped"),
    "lost work": _Told("with work that no index knows of", "the next server that sweeps goes on with them"),
    "lost alarms": _Told("with alarms that the index lacks", "the entries are put back"),
    "kept for ever": _Told("with nothing outstanding but no expiry", "the next server that sweeps has them expire"),
}


async def examine(config: Path | None, data: Path | None, *, repair: bool = False, as_json: bool) -> bool:
    """Make all checks, and tell what they find; True if nothing is bad. `repair`: mend what can be mended without a loss."""
    findings = []
    console = show.console()
    async for finding in _look(config, data, repair=repair):
        findings.append(finding)
        if not as_json:
            mark = Text(f"{finding.status:<4} ", _STYLES[finding.status])
            console.print(mark, show.clean_lines(f"{finding.check}: {finding.text}"), sep="")
            if finding.remedy:
                console.print(f"     -> {finding.remedy}")
    if as_json:
        show.write_json(findings)
    return all(finding.status != "bad" for finding in findings)


def _named(sessions: Collection[str]) -> str:
    """How many sessions, and some of their keys."""
    some = ", ".join(map(show.clean, sorted(sessions)[:_EXAMPLES])) + (", …" if len(sessions) > _EXAMPLES else "")
    return f"{show.count(len(sessions), 'session')} ({some})"


async def _look(config: Path | None, data: Path | None, *, repair: bool) -> AsyncGenerator[Finding, None]:
    yield Finding("platform", "ok", f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for folder in hidden_folders():
        remedy = "rename it, or the workflows in it cannot be found"
        yield Finding("working directory", "warn", f"{folder} is hidden by Switchboard's own package of that name", remedy)
    try:
        settings = load(config, data=data)
    except SettingsError as error:
        yield Finding("settings", "bad", str(error), "mend them; the other checks need them")
        return
    yield Finding("settings", "ok", "all are known and fit")
    for address, line in settings.lines.items():
        yield Finding("line", "ok", f"{address} is answered by {line.workflow} ({line.locale}, {line.timezone})")
    if not settings.lines:
        yield Finding("line", "warn", "nothing is answered: [lines] is empty", 'name a workflow, such as "phone:*" = "santa"')
    for finding in (*_look_at_credentials(settings), *_look_at_directory(settings)):
        yield finding
    async with AsyncExitStack() as held:
        url = settings.store.url
        if url is None:
            try:
                url = await held.enter_async_context(embedded_valkey(settings.data, settings.store.fsync))
            except EmbeddedError as error:
                yield Finding("store", "bad", str(error))
                return
        async for finding in _look_at_store(url, settings.store.replicas, repair=repair):
            yield finding


def _look_at_credentials(settings: Settings) -> Iterator[Finding]:
    file = settings.data / secrets.FILE
    if settings.auth_token is not None:
        yield Finding("credentials", "ok", "Twilio's are in the environment")
        if settings.server.public_url is None and not settings.server.trusted_proxies:
            remedy = "set PUBLIC_URL: Twilio signs the URL that it calls, and another one makes every call a forgery"
            yield Finding("public URL", "warn", "it is not known", remedy)
    elif not file.exists():
        yield Finding("credentials", "ok", f"none: development secrets will be made in {file}")
    else:
        try:
            secrets.development(settings.data)
        except SettingsError as error:
            yield Finding("credentials", "bad", str(error))
            return
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077:
            yield Finding("credentials", "bad", f"others can read {file} (mode {mode:03o})", f'chmod 600 "{file}"')
        else:
            yield Finding("credentials", "ok", f"development secrets in {file}, for their owner only")


def _look_at_directory(settings: Settings) -> Iterator[Finding]:
    data = settings.data.absolute()
    there = next(each for each in (data, *data.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield Finding("data directory", "bad", f"{data} cannot be written to", "choose another one with --data, or mend its permissions")
    elif there != data:
        yield Finding("data directory", "ok", f"{data} can be made")
    elif settings.store.url is None and stat.S_IMODE(data.stat().st_mode) & 0o077:
        remedy = f'chmod 700 "{data}"'
        yield Finding("data directory", "warn", f"others can look into {data}, which holds what callers said", remedy)
    else:
        yield Finding("data directory", "ok", str(data))


async def _look_at_store(url: str, replicas: int, *, repair: bool) -> AsyncGenerator[Finding, None]:
    history = RedisHistory(url, new_boot())
    link = link_to(url, no_greeting)
    try:
        begun = time.perf_counter()
        meta = link.accept(await link.call(pack(b"HMGET", META, b"format", b"partitions"), META))
        await history.open()
        took = time.perf_counter() - begun
        nodes = await link.nodes()
        for node in nodes:
            at = f" at {node.address.name}" if len(nodes) > 1 else ""
            yield Finding("store", "ok", f"{await _version(node)}{at} answers, and holds format 1 ({took:.3f} s)")
            for finding in (
                await _look_at_eviction(node),
                await _look_at_durability(node),
                await _look_at_replicas(node, replicas),
                await _look_at_clock(node),
            ):
                if finding is not None:
                    yield replace(finding, text=f"{finding.text}{at}")
        sessions = await history.sessions(sys.maxsize)
        if sessions and None in meta:
            yield Finding("format", "warn", "the store did not say in which format its histories are; it says so now")
        async for finding in _look_at_sessions(history, sessions, repair=repair):
            yield finding
    except HandlerError as error:
        yield Finding("store", "bad", str(error))
    finally:
        await link.close()
        await history.close()


async def _look_at_sessions(history: History, sessions: Sequence[str], *, repair: bool) -> AsyncGenerator[Finding, None]:
    with progress("Looking at sessions", len(sessions)) as step:
        found = await survey(history, sessions, Registry(), step)
    yield Finding("sessions", "ok", f"{len(sessions):,} stored")
    if found.left_alone:
        yield Finding(
            "left alone",
            "warn",
            f"{_named(found.left_alone)} taken over more than {TAKE_OVERS} times without progress: what is owed there may be what kills "
            "servers, so they let it be",
            f"mend that, then: switchboard sessions resume {shlex.quote(min(found.left_alone))}",
        )
    if found.overdue:
        yield Finding(
            "overdue",
            "warn",
            f"{_named(found.overdue)} with work or an alarm that no server has seen to for {found.waiting_ms / 1000:,.0f} s",
            "start a server: switchboard serve",
        )
    if found.broken:
        text = f"{_named(found.broken)} with something outstanding that the code here cannot carry on"
        yield Finding("broken", "warn", text, f"see why: switchboard replay {shlex.quote(min(found.broken))}")
    for kind, told in _FAULTS.items():
        faults = [fault for fault in found.faults if fault.kind == kind]
        if faults:
            remedy = "" if repair else "switchboard doctor --repair mends it"
            yield Finding(kind, "warn", f"{_named([fault.session for fault in faults])} {told.found}", remedy)
            if repair:
                mended = sum([await mend(history, fault) for fault in faults])
                rest = "" if mended == len(faults) else f"; {len(faults) - mended} changed meanwhile or have a server by now"
                yield Finding(kind, "ok", f"{mended} of {len(faults)} mended: {told.mended}{rest}")


async def _version(link: Link) -> str:
    fields = await _info(link, b"server")
    return f"Valkey {fields['valkey_version']}" if "valkey_version" in fields else f"Redis {fields.get('redis_version', '(hidden)')}"


async def _info(link: Link, section: bytes) -> dict[str, str]:
    """What the store says of itself; nothing where it hides that."""
    reply = await link.call(pack(b"INFO", section))
    return dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line) if isinstance(reply, bytes) else {}


async def _config(link: Link, name: str) -> str | None:
    """One of the store's settings; None where it hides them, as managed ones do."""
    match await link.call(pack(b"CONFIG", b"GET", name.encode())):
        case [_, bytes(value)]:
            return value.decode()
        case _:
            return None


async def _look_at_eviction(link: Link) -> Finding:
    policy = await _config(link, "maxmemory-policy")
    if policy is None:
        return Finding("eviction", "warn", "the store hides its maxmemory-policy", "see to it that it is noeviction")
    return Finding("eviction", "ok", f"maxmemory-policy is {policy}")


async def _look_at_durability(link: Link) -> Finding:
    log, fsync = await _config(link, "appendonly"), await _config(link, "appendfsync")
    match log, fsync:
        case None, _:
            return Finding("durability", "warn", "the store hides whether it keeps a log", "see to it that appendonly is yes")
        case "yes", "always":
            return Finding("durability", "ok", "every write is on disk before it is acknowledged (appendfsync always)")
        case "yes", "everysec":
            return Finding("durability", "ok", "a crash loses nothing, a power cut up to two seconds (appendfsync everysec)")
        case "yes", _:
            return Finding("durability", "warn", f"a power cut can lose half a minute (appendfsync {fsync})", "set appendfsync to everysec")
        case _:
            return Finding(
                "durability", "warn", "what was acknowledged is lost when the store restarts (appendonly no)", "set appendonly to yes"
            )


async def _look_at_replicas(link: Link, wanted: int) -> Finding | None:
    """Whether there are as many replicas as every answer waits for; nothing where none is waited for and none is there."""
    found = (await _info(link, b"replication")).get("connected_slaves")
    if found is None:
        return (
            Finding("replicas", "warn", "the store hides how many replicas it has", f"see to it that it has {wanted}") if wanted else None
        )
    if int(found) < wanted:
        text = f"nothing can be acknowledged: {found} of {wanted} replicas follow"
        return Finding("replicas", "bad", text, "start them, or lower [store] replicas")
    if wanted:
        return Finding("replicas", "ok", f"{found} follow, and every answer waits for {wanted}")
    if found != "0":
        return Finding("replicas", "ok", f"{found} follow; a failover may lose what was acknowledged just before, as [store] replicas is 0")
    return None


async def _look_at_clock(link: Link) -> Finding:
    before = time.time()
    seconds, micros = link.accept(await link.call(pack(b"TIME")))
    after = time.time()
    ahead = int(seconds) + int(micros) / 1e6 - (before + after) / 2
    text = f"the store's clock is {abs(ahead):.3f} s {'ahead of' if ahead > 0 else 'behind'} ours"
    if abs(ahead) > _DRIFT_SECONDS:
        return Finding("clock", "warn", text, "let both follow a time server; what counts is the store's")
    return Finding("clock", "ok", text)
