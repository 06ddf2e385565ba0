"""The histories in Redis or Valkey, by the scripts in this folder. `docs/format.md` tells what is stored.

All keys of a session carry the tag of its partition, so a script touches one slot of a cluster, and every key that it touches is
declared in KEYS.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Literal, Self

import msgspec
import structlog

from handlers.errors import FormatError, StoreError
from handlers.history import (
    APART_MS,
    LEASE_MS,
    PAGE,
    PARTITIONS,
    Alarm,
    Append,
    Indexes,
    Overdue,
    Renewal,
    Reply,
    Restart,
    partition_of,
)
from handlers.redis_cluster import ClusterLink, link_to
from handlers.redis_greeting import Greeting
from handlers.redis_link import Link
from handlers.redis_scripts import scripts
from handlers.redis_wire import Replication
from handlers.resp import Refusal, pack, pack_behind, strings
from handlers.store_clock import ClusterClock, StoreClock

FORMAT: Final = 1
META: Final = b"sb:meta"

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(tuple[int, Literal["ok", "again", "conflict"], int, str]).decode

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one partition: those that its sessions share, and the beginnings of those that they have each.

    `shared`: the first three, packed. `append`: the same behind the number of an append's keys.
    """

    shared: bytes
    append: bytes
    pending: bytes
    owner: bytes
    due: bytes
    sweep: bytes
    history: bytes
    old: bytes

    @classmethod
    def of(cls, partition: int) -> Self:
        """Build the keys of a partition."""
        keys = [b"sb:{%d}:%b" % (partition, name) for name in (b"pending", b"owner", b"due", b"sweep", b"h:", b"x:")]
        return cls(strings(keys[:3]), strings((b"4", *keys[:3])), *keys)


_KEYS: Final = tuple(Keys.of(partition) for partition in range(PARTITIONS))


class RedisHistory:
    """The histories in the store at `url`, as the node `boot` (`node.boot`, new for each start of a process) sees them.

    For the addresses see `Address`. All calls share one connection (in a cluster, one a primary), and those of one tick of the event loop
    one write; `round_trips` counts the writes. Any call may be cancelled; what it asked for may be done all the same.

    With a `replication`, what a reply rests on is on so many replicas before it is given. Else it is a `StoreError`, though it may be
    stored: sent again, it is found on record and answered as soon as the replicas have it.
    """

    def __init__(self, url: str, boot: str, replication: Replication | None = None) -> None:
        self._boot = boot
        self._lease = b"%d" % LEASE_MS
        self._calls = 0
        self._waited = 0.0
        self._replicated = replication is not None
        self._scripts = scripts()
        link = self._link = link_to(url, Greeting(self._scripts), replication)
        self._clock = ClusterClock(link.name_of, link.names) if isinstance(link, ClusterLink) else StoreClock()

    @property
    def round_trips(self) -> int:
        """How many writes went to the store so far."""
        return self._link.round_trips

    @property
    def latency(self) -> tuple[int, float]:
        """See `History`."""
        return self._calls, self._waited

    def now(self) -> int:
        """See `History`."""
        return self._clock.now()

    async def open(self) -> None:
        """See `History`. All primaries are connected to; one that drops keys when its memory is full is refused, too."""
        await asyncio.gather(*[self._learn_time(node) for node in await self._link.nodes()])
        await self._check_meta()

    async def close(self) -> None:
        """See `History`."""
        await self._link.close()

    async def load(self, session: str, start: int = 0) -> tuple[bytes, ...]:
        """See `History`."""
        keys = _KEYS[partition_of(session)]
        return tuple(await self._ask(b"LRANGE", keys.history + session.encode(), b"%d" % start, b"%d" % (start + PAGE - 1)))

    def append(self, command: Append) -> Awaitable[Reply]:
        """See `History`."""
        keys = _KEYS[partition_of(command.session)]
        return self._write(command, keys, keys.append)

    def restart(self, command: Restart) -> Awaitable[Reply]:
        """See `History`."""
        keys = _KEYS[partition_of(command.session)]
        old = b"%b%b/%d" % (keys.old, command.session.encode(), command.old_gen)
        return self._write(command, keys, strings((b"5",)) + keys.shared, (old,), command.keep_old_until)

    async def renew(self, session: str) -> Renewal:
        """See `History`."""
        name, keys = session.encode(), _KEYS[partition_of(session)]
        _, mine, length, tail = await self._run(
            "renew", (keys.history + name, keys.pending, keys.owner), name, self._boot.encode(), self._lease
        )
        return Renewal(mine == 1, length, tail)

    async def peek(self, partition: int, limit: int, ahead_ms: int, *, count: int = 1, claimed: bool = False) -> Overdue:
        """See `History`. In a cluster each partition is a call of its own; those whose node is away are missed, whichever they are."""
        args = (b"%d" % limit, self._boot.encode(), self._lease, b"%d" % ahead_ms, b"%d" % APART_MS)
        if not isinstance(self._link, ClusterLink):
            return await self._peek(range(partition, partition + count), args, claimed=claimed)
        (first,) = await asyncio.gather(self._peek(range(partition, partition + 1), args, claimed=claimed), return_exceptions=True)
        if isinstance(first, Overdue) and first.swept_by_other:
            return first
        others = [self._peek(range(each, each + 1), args, claimed=True) for each in range(partition + 1, partition + count)]
        outcomes = [first, *await asyncio.gather(*others, return_exceptions=True)]
        found = [each for each in outcomes if isinstance(each, Overdue)]
        missed = [each for each in outcomes if isinstance(each, BaseException)]
        for error in missed:
            if not found or not isinstance(error, StoreError):
                raise error
        return Overdue(
            0, tuple(one for each in found for one in each.pending), tuple(one for each in found for one in each.due), len(missed)
        )

    async def _peek(self, partitions: range, args: tuple[bytes, ...], *, claimed: bool) -> Overdue:
        if self._replicated:  # a take-over whose reply is withheld would count and resume nothing, so look first whether replicas confirm
            await self._ask(b"EXISTS", _KEYS[partitions[0]].pending)
        claim = () if claimed else (_KEYS[partitions[0]].sweep,)
        count = 3 * len(partitions)
        beginning = strings((b"%d" % (count + len(claim)),)) + b"".join([_KEYS[each].shared for each in partitions])
        _, ask_again, pending, due = await self._call("peek", beginning, count, (*claim, *args), _KEYS[partitions[0]].pending)
        return Overdue(
            ask_again,
            tuple((session.decode(), attempts) for session, attempts in zip(pending[::2], pending[1::2], strict=True)),
            _alarms(zip(due[::2], due[1::2], strict=True)),
        )

    async def hand_over(self, sessions: Iterable[str]) -> None:
        """See `History`."""
        leases, boot = [], self._boot.encode()
        for session in sessions:
            name, keys = session.encode(), _KEYS[partition_of(session)]
            leases.append(self._run("renew", (keys.history + name, keys.pending, keys.owner), name, boot, b"0"))
        keys = _KEYS[0]
        claim = self._run("peek", (keys.pending, keys.owner, keys.due, keys.sweep), b"0", boot, b"1", b"0", b"0")  # for a millisecond
        for outcome in await asyncio.gather(*leases, _unless_away(claim), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def clear_due(self, session: str, gen: int, step: str) -> bool:
        """See `History`."""
        name, keys = session.encode(), _KEYS[partition_of(session)]
        _, cleared = await self._run("clear_due", (keys.history + name, keys.due), _member(name, gen, step))
        return bool(cleared)

    async def forget(self, session: str) -> bool:
        """See `History`."""
        name, keys = session.encode(), _KEYS[partition_of(session)]
        _, existed = await self._run("forget", (keys.history + name, keys.pending, keys.owner), name)
        return bool(existed)

    async def sessions(self, limit: int) -> tuple[str, ...]:
        """See `History`. Walks over all keys of the store, a thousand at a time."""
        found: dict[str, None] = {}
        for node in await self._link.nodes():
            cursor = b"0"
            while len(found) < limit:
                command = pack(b"SCAN", cursor, b"MATCH", b"sb:{*}:h:*", b"COUNT", b"1000")
                cursor, keys = node.accept(await node.call(command))
                for key in keys:
                    _, _, kind, session = key.split(b":", 3)
                    if kind == b"h":  # not an old generation of a session whose own key holds ":h:"
                        found[session.decode()] = None
                if cursor == b"0":
                    break
        return tuple(found)[:limit]

    async def indexes(self, partition: int) -> Indexes:
        """See `History`."""
        keys = _KEYS[partition]
        pending, owner, due = await asyncio.gather(
            self._ask(b"ZRANGE", keys.pending, b"0", b"-1", b"WITHSCORES"),
            self._ask(b"HGETALL", keys.owner),
            self._ask(b"ZRANGE", keys.due, b"0", b"-1", b"WITHSCORES"),
        )
        return Indexes(
            pending={session.decode(): int(float(at)) for session, at in _pairs(pending)},
            owner={session.decode(): _owner(entry) for session, entry in _pairs(owner)},
            due=_alarms((member, int(float(at))) for member, at in _pairs(due)),
        )

    async def expires_in(self, session: str) -> int | None:
        """See `History`."""
        left = await self._ask(b"PTTL", _KEYS[partition_of(session)].history + session.encode())
        return None if left < 0 else left

    async def _learn_time(self, node: Link) -> None:
        asked = monotonic()
        seconds, micros = node.accept(await node.call(pack(b"TIME")))
        self._clock.hear(node.address.name, int(seconds) * 1000 + int(micros) // 1000, asked, monotonic())

    async def _check_meta(self) -> None:
        ours = [b"%d" % FORMAT, b"%d" % PARTITIONS]
        stored = await self._ask(b"HMGET", META, b"format", b"partitions")
        if None in stored:
            await self._ask(b"HSETNX", META, b"format", ours[0])
            await self._ask(b"HSETNX", META, b"partitions", ours[1])
            stored = await self._ask(b"HMGET", META, b"format", b"partitions")
        if stored != ours:
            theirs = " and ".join(value.decode(errors="replace") for value in stored)
            raise FormatError(
                f"The store holds histories of format and partitions {theirs}, this version writes {FORMAT} and {PARTITIONS}: "
                "name another database in REDIS_URL, or run the version that wrote it."
            )

    async def _write(
        self, command: Append | Restart, keys: Keys, beginning: bytes, old: tuple[bytes, ...] = (), keep_old_until: int | None = None
    ) -> Reply:
        """Run `append.lua`; with a place for the `old` generation it is a restart. `beginning`: how many keys, and the shared ones."""
        script = self._scripts["append"]
        history = keys.history + command.session.encode()
        terms = _encode(
            (
                command.session,
                self._boot,
                LEASE_MS,
                command.length,
                command.release,
                command.progress,
                command.keep_until,
                keep_old_until,
                command.alarms_set,
                command.alarms_cleared,
            )
        )
        parts = (history, *old, terms, command.tail, *command.events)
        asked = monotonic()
        reply = await self._link.call(pack_behind(script.call + beginning, 6, parts), history)
        if isinstance(reply, Refusal):
            reply = await self._again(reply, pack_behind(script.full_call + beginning, 6, parts), history)
        elements: tuple[bytes, ...] = ()
        if isinstance(reply, list):  # a conflict
            reply, elements = reply[0], tuple(reply[1])
        stored, status, length, own = _decode(reply)
        self._learn(stored, asked, history)
        if not own:
            return Reply(status, length, None, False, 0, elements)
        owner, _, attempts = own.rpartition(" ")
        return Reply(status, length, owner, owner == self._boot, int(attempts), elements)

    async def _run(self, name: str, keys: tuple[bytes, ...], *args: bytes) -> Any:
        """Run one of the other scripts."""
        return await self._call(name, strings((b"%d" % len(keys),)), 0, (*keys, *args), keys[0])

    async def _call(self, name: str, beginning: bytes, packed: int, parts: tuple[bytes, ...], key: bytes) -> Any:
        """Run a script whose reply begins with the store's time. `beginning`: the number of its keys and the first `packed` of them."""
        script = self._scripts[name]
        asked = monotonic()
        reply = await self._link.call(pack_behind(script.call + beginning, 3 + packed, parts), key)
        if isinstance(reply, Refusal):
            reply = await self._again(reply, pack_behind(script.full_call + beginning, 3 + packed, parts), key)
        self._learn(reply[0], asked, key)
        return reply

    async def _again(self, refusal: Refusal, full_call: bytes, key: bytes) -> Any:
        """Send a script's text as well, if the store has lost it (a flush, a failover)."""
        return self._link.accept(await self._link.call(full_call, key) if refusal.kind == "NOSCRIPT" else refusal)

    def _learn(self, stored: int, asked: float, key: bytes) -> None:
        """Learn the time that a script has told, and how long it took."""
        heard = monotonic()
        self._clock.tell(stored, asked, heard, key)
        self._calls += 1
        self._waited += heard - asked

    async def _ask(self, name: bytes, key: bytes, *args: bytes) -> Any:
        return self._link.accept(await self._link.call(pack(name, key, *args), key))


async def _unless_away(call: Awaitable[Any]) -> None:
    with suppress(StoreError):
        await call


def _member(name: bytes, gen: int, step: str) -> bytes:
    """An alarm's entry in the `due` index. A session key may hold spaces; what follows the last one is the alarm."""
    return b"%b %d/%b" % (name, gen, step.encode())


def _alarms(entries: Iterable[tuple[bytes, int]]) -> tuple[tuple[str, Alarm], ...]:
    """Read members of a `due` index. One that we did not write is left out, for the others of its partition must not wait for it."""
    alarms: list[tuple[str, Alarm]] = []
    for member, at in entries:
        try:
            session, _, name = member.decode().rpartition(" ")
            gen, _, step = name.partition("/")
            alarms.append((session, Alarm(int(gen), step, at)))
        except ValueError:
            _log.error("A due index holds what is no alarm; remove it with ZREM", member=member)
    return tuple(alarms)


def _owner(entry: bytes) -> tuple[str, int]:
    boot, _, attempts = entry.rpartition(b" ")
    return boot.decode(), int(attempts)


def _pairs(flat: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """A reply of names and values in turn, as RESP 2 has them."""
    return zip(flat[::2], flat[1::2], strict=True)
