"""Every call of the port to the store, on each of its ways: for stores where some of them may not be allowed, or not work."""

import random

from handlers.history import Alarm, Append, Reply, Restart, partition_of
from handlers.redis_history import RedisHistory


def element(body: bytes = b"") -> bytes:
    return b"\x01" + random.randbytes(8) + body


async def everything(history: RedisHistory, session: str = "web:abc") -> None:
    """Make every call, and leave nothing of the session but an old generation."""
    partition = partition_of(session)
    events = tuple(element() for _ in range(3))
    opening = Append(
        session, 0, b"", events[:1], release=False, keep_until=history.now() + 10**6, alarms_set=(Alarm(5, "1", history.now()),)
    )
    assert (await history.append(opening)).status == "ok"
    assert (await history.append(opening)).status == "again"
    assert (await history.append(Append(session, 5, b"", events[:1]))).status == "conflict"
    await history.append(Append(session, 1, events[0][1:9], events[1:2], alarms_cleared=((5, "2"),)))
    assert (await history.append(Append(session, 2, events[1][1:9], release=False))).mine
    assert (await history.renew(session)).length == 2
    assert await history.load(session) == events[:2]
    assert session in (await history.indexes(partition)).pending
    assert session in await history.sessions(10_000)
    assert [alarm.step for name, alarm in (await history.peek(partition, 10, 1_000)).due if name == session] == ["1"]
    restart = Restart(session, 2, events[1][1:9], events[2:], 5, keep_old_until=history.now() + 10**6, keep_until=history.now() + 10**6)
    assert (await history.restart(restart)).status == "ok"
    assert 0 < (await history.expires_in(session) or 0) <= 10**6
    assert not await history.clear_due(session, 5, "1")
    await history.hand_over((session,))
    assert await history.forget(session)
    assert await history.clear_due(session, 5, "1")


async def write(history: RedisHistory, session: str, known: tuple[bytes, ...] = ()) -> Reply:
    """Append one event behind those that are known."""
    return await history.append(Append(session, len(known), known[-1][1:9] if known else b"", (element(),)))


async def opened(url: str) -> None:
    """Open and close; whatever is wrong is raised."""
    history = RedisHistory(url, "a.1")
    try:
        await history.open()
    finally:
        await history.close()
