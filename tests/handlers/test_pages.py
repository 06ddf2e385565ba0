"""Long histories, which are read page by page while they are replayed."""

import asyncio
from collections.abc import Callable

import pytest
from support.bare_run import BareRun
from support.workflows import echo

from handlers.errors import StoreError
from handlers.history import PAGE
from handlers.record import Record


class Pages:
    """A store that holds one history; `asked` notes where each page began, and how much was replayed when it was asked for."""

    def __init__(self, elements: list[bytes]) -> None:
        self.elements = elements
        self.asked: list[tuple[int, int]] = []
        self.record: Record
        self.before: Callable[[int], None] = lambda _: None

    async def load(self, session: str, start: int = 0) -> tuple[bytes, ...]:
        self.asked.append((start, self.record.length))
        await asyncio.sleep(0)
        self.before(start)
        return tuple(self.elements[start : start + PAGE])


@pytest.fixture(scope="module")
def elements() -> list[bytes]:
    run = BareRun(echo, evict=False)
    for number in range(2 * PAGE + 10):
        run.say(str(number))
    return run.elements


def record_of(store: Pages) -> Record:
    store.record = Record("web:1", store, BareRun(echo).registry)  # type: ignore[arg-type]  # of a history, only its pages
    return store.record


async def test_the_next_page_is_on_its_way_while_one_is_replayed(elements):
    store = Pages(elements)
    record = record_of(store)
    await record.load()
    assert (record.state, record.length, record.tail) == ("live", len(elements), elements[-1][1:9])
    starts, replayed = zip(*store.asked, strict=True)
    assert starts == (0, PAGE - 1, 2 * PAGE - 2), "each begins with the last element of the one before"
    assert replayed[1] < PAGE
    assert replayed[2] < 2 * PAGE - 1


@pytest.mark.parametrize("length", [1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE - 1, 2 * PAGE])
async def test_a_history_of_any_length_is_read_to_its_end(elements, length):
    record = record_of(Pages(elements[:length]))
    await record.load()
    assert (record.state, record.length, record.tail) == ("live", length, elements[length - 1][1:9])


async def test_a_history_that_is_another_between_two_pages_is_read_anew(elements):
    store = Pages(elements)
    record = record_of(store)
    shorter = elements[: PAGE + 3]

    def replace(start: int) -> None:
        if start == PAGE - 1 and store.elements is elements:
            store.elements = [*shorter[: PAGE - 1], elements[-1], *shorter[PAGE:]]

    store.before = replace
    store.elements = elements
    await record.load()
    assert record.state == "diverged", "the events of two lives make no history"
    assert [start for start, _ in store.asked] == [0, PAGE - 1, 0, PAGE - 1]


@pytest.mark.parametrize("when", ["while a page is replayed", "while a page is waited for"])
async def test_whoever_stops_waiting_leaves_no_page_behind(elements, when, caplog):
    store = Pages(elements)
    record = record_of(store)
    before = asyncio.all_tasks()
    asked = asyncio.Event()

    def note(start: int) -> None:
        if start:
            asked.set()
            if when == "while a page is replayed":
                raise StoreError("it is away")

    store.before = note
    loading = asyncio.create_task(record.load())
    await asked.wait()
    loading.cancel()
    with pytest.raises((asyncio.CancelledError, StoreError)):
        await loading
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert (record.state, record.run) == ("unknown", None)
    assert not caplog.records


async def test_a_page_that_cannot_be_had_is_an_error_of_the_store(elements):
    store = Pages(elements)
    record = record_of(store)

    def fail(start: int) -> None:
        if start:
            raise StoreError("it is away")

    store.before = fail
    with pytest.raises(StoreError, match="away"):
        await record.load()
    assert (record.state, record.run) == ("unknown", None)
