"""Whole histories, read while others write."""

from support.stores import InMemory

from handlers.history import PAGE, Append, History, Restart
from handlers.memory_history import MemoryHistory
from switchboard.histories import load_whole

S = "web:1"


def element(number: int) -> bytes:
    return b"\x01" + number.to_bytes(8) + b"\x90"


class Interrupted(MemoryHistory):
    """A store in which something happens after the first page was read."""

    async def load(self, session: str, start: int = 0) -> tuple[bytes, ...]:
        page = await super().load(session, start)
        if hasattr(self, "meanwhile"):
            meanwhile = self.meanwhile
            del self.meanwhile
            await meanwhile(self)
        return page


async def stored(count: int) -> Interrupted:
    store = InMemory()
    history = Interrupted(store.store, "a.1", lambda: store.now)
    await history.append(Append(S, 0, b"", tuple(element(number) for number in range(count))))
    return history


async def test_a_history_is_read_whole_over_all_pages() -> None:
    for count in (0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE - 1, 2 * PAGE, 3 * PAGE + 7):
        assert await load_whole(await stored(count), S) == [element(number) for number in range(count)]


async def test_what_is_appended_meanwhile_may_come_with_it() -> None:
    history = await stored(PAGE)

    async def append(store: History) -> None:
        await store.append(Append(S, PAGE, element(PAGE - 1)[1:9], (element(PAGE),)))

    history.meanwhile = append
    assert await load_whole(history, S) == [element(number) for number in range(PAGE + 1)]


async def test_two_lives_of_a_session_are_never_mixed() -> None:
    history = await stored(PAGE + 3)
    new = tuple(element(10_000 + number) for number in range(PAGE + 5))

    async def restart(store: History) -> None:
        await store.restart(Restart(S, PAGE + 3, element(PAGE + 2)[1:9], new, 5))

    history.meanwhile = restart
    assert await load_whole(history, S) == list(new)


async def test_a_session_that_vanishes_meanwhile_is_not_there() -> None:
    history = await stored(PAGE + 3)

    async def forget(store: History) -> None:
        await store.forget(S)

    history.meanwhile = forget
    assert await load_whole(history, S) == []
