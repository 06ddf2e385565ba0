"""What a run no longer remembers: old answers and old words are found by replaying the history once more, off the fast lane."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from handlers.history import PAGE, History
from handlers.record import SLICE_SECONDS
from workflows.errors import WorkflowError
from workflows.events import AnyEvent, Opened, decode
from workflows.registry import Registry
from workflows.run import Run
from workflows.turns import Answer, Spoken


def find_answer(run: Run, turn: int | str | None, offset: int = 0, *, whole: bool = True) -> Answer | None:
    """The answer to a turn, by dedupe id or by number, if the run still remembers it; None: to the one consumed last."""
    turns = run.turns
    if turn is None:
        found = turns.current
    elif isinstance(turn, str):
        found = turns.last.get(turn)
    else:
        found = next((each for each in reversed(turns.last.values()) if each.number == turn), None)
    return None if found is None else turns.answer(found, offset, whole=whole)


async def recall(session: str, history: History, registry: Registry, turn: int | str, offset: int = 0) -> Answer | None:
    """The complete answer to a turn, by replaying from the start; None if there was no such turn. Raises `StoreError`."""
    run: Run | None = None
    found: Answer | None = None
    try:
        async with aclosing(_events(session, history)) as events:
            async for event in events:
                if run is None:
                    assert isinstance(event, Opened)
                    run = Run(session, event, registry)
                elif found is not None and getattr(event, "id", "") != run.opened.id:  # the first words belong to the opening's turn
                    return found
                else:
                    run.feed(event)
                found = find_answer(run, turn, offset)
                if found is not None and found.state == "running":
                    found = None
    except WorkflowError:  # the history was replaced between two pages, or is beyond this code
        return None
    else:
        return found
    finally:
        if run is not None:
            run.close()


async def recall_since(session: str, history: History, registry: Registry, after: tuple[int, int] | None) -> list[Spoken]:
    """All that was said behind an output (None: from the beginning of the generation), by replaying. Raises `StoreError`."""
    run: Run | None = None
    found: list[Spoken] = []
    try:
        async with aclosing(_events(session, history)) as events:
            async for event in events:
                if run is None:
                    assert isinstance(event, Opened)
                    run = Run(session, event, registry)
                else:
                    run.feed(event)
                if new := run.turns.since(after):
                    found += new
                    after = new[-1].said[:2]
    except WorkflowError:  # as above: what was found holds
        return found
    else:
        return found
    finally:
        if run is not None:
            run.close()


async def _events(session: str, history: History) -> AsyncGenerator[AnyEvent, None]:
    """A history's events, in slices, so that whoever replays them does not stall the loop."""
    start = 0
    loop = asyncio.get_running_loop()
    until = loop.time() + SLICE_SECONDS
    while True:
        page = await history.load(session, start)
        start += len(page)
        for element in page:
            yield decode(element)
            if loop.time() >= until:
                await asyncio.sleep(0)
                until = loop.time() + SLICE_SECONDS
        if len(page) < PAGE:
            return
