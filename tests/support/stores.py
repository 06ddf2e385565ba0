"""The two stores behind the history port, with a clock that the test moves: what one does the other is to do as well."""

from typing import Any, Protocol

import redis

from handlers.history import History, partition_of
from handlers.memory_history import MemoryHistory, MemoryStore, Stored
from handlers.redis_history import RedisHistory
from handlers.redis_scripts import Script

CLOCK = "test:clock"
START = 4_000_000_000_000
"""Ahead of any real clock, so that no list expires but by ours."""

State = dict[str, Any]


class Store(Protocol):
    """A store that several nodes share."""

    now: int

    def node(self, boot: str) -> History:
        """The store as one node sees it."""
        ...

    def wait(self, ms: int) -> None:
        """Let time pass."""
        ...

    def lose_owner(self, session: str) -> None:
        """Damage the indexes: the session is pending, but nobody's."""
        ...

    def state(self) -> State:
        """All that is stored: histories and old generations with the time they are kept until, and the indexes."""
        ...


class InMemory:
    def __init__(self) -> None:
        self.now = START
        self.store = MemoryStore()

    def node(self, boot: str) -> History:
        return MemoryHistory(self.store, boot, lambda: self.now)

    def wait(self, ms: int) -> None:
        self.now += ms

    def lose_owner(self, session: str) -> None:
        del self.store.partitions[partition_of(session)].owner[session]

    def state(self) -> State:
        indexes = self.store.partitions.values()
        return {
            "histories": self._kept(self.store.histories),
            "old": self._kept(self.store.old),
            "pending": {session: at for index in indexes for session, at in index.pending.items()},
            "owner": {session: f"{boot} {attempts}" for index in indexes for session, (boot, attempts) in index.owner.items()},
            "due": {member: at for index in indexes for member, at in index.due.items()},
            "sweep": {p: i.sweep[0] for p, i in self.store.partitions.items() if i.sweep and i.sweep[1] >= self.now},
        }

    def _kept(self, lists: dict[str, Stored]) -> State:
        return {name: (stored.elements, stored.until) for name, stored in lists.items() if stored.until is None or stored.until >= self.now}


class InRedis:
    """Valkey has no clock that can be set, so the scripts are given one: a key in the place of TIME.

    Expiry goes by the real clock all the same; `forget_expired` makes it follow ours.
    """

    def __init__(self, client: redis.Redis, url: str) -> None:
        self.client, self.url = client, url
        self.now = START
        self.wait(0)

    def node(self, boot: str) -> "ClockedHistory":
        return ClockedHistory(self, boot)

    def wait(self, ms: int) -> None:
        self.now += ms
        self.client.hset(CLOCK, mapping={"s": self.now // 1000, "us": self.now % 1000 * 1000 + 999})
        for key in self.client.keys("sb:*:sweep"):
            if self.client.pttl(key) < ms:
                self.client.delete(key)
            elif ms:
                self.client.pexpire(key, self.client.pttl(key) - ms)
        self.forget_expired(before=self.now)

    def forget_expired(self, before: int) -> None:
        for key in self.client.keys("sb:*:[hx]:*"):
            if 0 <= self.client.pexpiretime(key) < before:
                self.client.delete(key)

    def lose_owner(self, session: str) -> None:
        assert self.client.hdel(f"sb:{{{partition_of(session)}}}:owner", session)

    def state(self) -> State:
        state: State = {"histories": {}, "old": {}, "pending": {}, "owner": {}, "due": {}, "sweep": {}}
        for key in self.client.keys("sb:{*"):
            _, tag, kind, *name = key.decode().split(":", 3)
            match kind:
                case "h" | "x":
                    until = self.client.pexpiretime(key)
                    stored = (self.client.lrange(key, 0, -1), None if until < 0 else until)
                    state["histories" if kind == "h" else "old"][name[0]] = stored
                case "pending" | "due":
                    state[kind] |= {member.decode(): at for member, at in self.client.zrange(key, 0, -1, withscores=True)}
                case "owner":
                    state[kind] |= {session.decode(): own.decode() for session, own in self.client.hgetall(key).items()}
                case "sweep":
                    state[kind][int(tag[1:-1])] = self.client.get(key).decode().split()[0]
        return state


class ClockedHistory(RedisHistory):
    def __init__(self, store: InRedis, boot: str) -> None:
        super().__init__(store.url, boot)
        self._store = store
        for name, script in self._scripts.items():
            text = script.text.decode()
            assert "redis.call('TIME')" in text
            self._scripts[name] = Script.of(text.replace("redis.call('TIME')", f"redis.call('HMGET', '{CLOCK}', 's', 'us')"))

    def now(self) -> int:
        return self._store.now

    def _learn(self, *told: Any) -> None:
        super()._learn(*told)
        self._store.forget_expired(before=self._store.now + 1)  # a time that has come already expires at once
