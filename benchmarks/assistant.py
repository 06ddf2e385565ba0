"""What a turn of the assistant costs without its model: `python -m benchmarks.assistant`, about a minute.

The assistant on the web, as `switchboard serve` runs it, but for the language model: what is bound to `think` answers at once. Beside it,
in the same rounds, the phone's menu: the turn that everything else is measured with. An assistant's turn is two events on record instead
of one, with a call of an effect between them, and is streamed.
"""

import asyncio
import secrets
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from statistics import median
from typing import Any

import aiohttp
import msgspec
import redis

from benchmarks.calls import Exchange
from benchmarks.concurrency import load
from benchmarks.control import Control, run
from benchmarks.eviction import plant
from benchmarks.load import drive
from benchmarks.process import Process, process
from benchmarks.rounds import interleaved, ratio
from handlers.memory_history import MemoryHistory, MemoryStore
from handlers.messages import Inbound, Opening
from switchboard import server as product
from switchboard.server import Server
from switchboard.settings import Settings
from telephony.web_wire import digest
from workflows.registry import Registry
from workflows.think import Thought, Usage

MOST_OF_A_TURN = 2.2
MOST_WAKING_MS = 60.0

WORDS = "I am well, thank you, and glad that you ask."
ASKED = "How are you today, my dear assistant?"
MESSAGES = 5
"""Messages of a session, as a call has six turns with its opening."""

AT_ONCE = 8
SESSIONS = 300
LONG = 2_000
"""Turns of a long session."""

ID_BYTES = 24


async def answer_at_once(_messages: Any, _tools: Any, emit: Callable[[str], None] = lambda _: None) -> Thought:
    """Stands for the model; what is charged is recorded as ever."""
    emit(WORDS)
    return Thought(WORDS, usage=Usage(812, 12))


def settings(store_url: str) -> Settings:
    """The product's defaults but for what a benchmark has to know."""
    values = {
        "lines": {"web:*": "assistant"}, "server": {"port": 0}, "store": {"url": store_url}, "openai_base_url": "http://127.0.0.1:1/v1",
    }  # fmt: skip
    return Settings.model_validate(values, context=Registry())


# -- the messages --------------------------------------------------------------------------------------------------------------------------


def sessions_of(address: str, count: int, begun: Mapping[str, int] | None = None) -> list[list[Exchange]]:
    """The messages of so many sessions, with the answers that have to come; `begun`: sessions that are there, by their lengths."""
    known = list(begun.items()) if begun is not None else [(id_, 1) for id_ in asyncio.run(_create(address, count))]
    return [[_message(address, id_, length + 2 * number) for number in range(MESSAGES)] for id_, length in known]


async def _create(address: str, count: int) -> list[str]:
    ids = []
    async with aiohttp.ClientSession() as http:
        for _ in range(count):
            key = secrets.token_hex(16)
            async with http.post(f"http://{address}/web/sessions", headers={"Idempotency-Key": key}) as response:
                assert response.status == 201
                ids.append(digest(key, size=ID_BYTES))
    return ids


def _message(address: str, id_: str, turn: int) -> Exchange:
    body = msgspec.json.encode({"text": ASKED})
    head = (
        f"POST /web/sessions/{id_}/messages HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: {secrets.token_hex(16)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer = {
        "id": id_, "turn": turn, "status": "answered", "replies": [{"id": f"{turn + 1}.0", "text": WORDS}], "listening": {"kind": "any"},
        "ended": False,
    }  # fmt: skip
    return Exchange(head.encode() + body, msgspec.json.encode(answer))


def chat(assistant: Process) -> dict[str, float]:
    """us of CPU of a turn among eight."""
    sessions = sessions_of(assistant.address, SESSIONS)
    before = assistant.ask("usage")["cpu"]
    turns = drive(assistant.address, AT_ONCE, sessions).turns
    assert len(turns) == SESSIONS * MESSAGES
    return {"cpu_us": (assistant.ask("usage")["cpu"] - before) / len(turns) * 1e6, "p50_ms": median(turns) * 1e3}


# -- a long session ------------------------------------------------------------------------------------------------------------------------


async def long_history(turns: int) -> tuple[tuple[bytes, ...], int, list[int]]:
    """The elements of a session after so many turns; the bytes on record of all its turns, and of each (the opening included)."""
    store = MemoryStore()
    written: list[int] = []

    class Counting(MemoryHistory):
        def _write(self, command: Any) -> Any:
            written.append(sum(map(len, command.events)))
            return super()._write(command)

    clock = iter(range(1_800_000_000_000, 4_000_000_000_000))
    history = Counting(store, "bench", lambda: next(clock))
    server = Server(settings("unix:///nowhere"), history, {"think": answer_at_once})
    opening = Opening("assistant", {}, "web", "", None, "en-GB", "Europe/London", {"can_deliver": True})
    await server.exchange.send(Inbound("web:long", "start", opening=opening, fresh=True), 10.0)
    sizes = [sum(written)]
    for turn in range(turns):
        written.clear()
        await server.exchange.send(Inbound("web:long", f"m{turn}", "said", {"text": ASKED}), 10.0)
        sizes.append(sum(written))
    elements = tuple(store.histories["web:long"].elements)
    await server.close()
    return elements, sum(sizes), sizes


def wake(assistant: Process, store: redis.Redis, elements: tuple[bytes, ...], base: int) -> dict[str, float]:
    """ms of the first turn of a long session that nobody has in memory, and what the loop could do nothing else for meanwhile."""
    id_ = digest(secrets.token_hex(16), size=ID_BYTES)
    plant(store, f"web:{id_}", elements)
    warm, (session,) = sessions_of(assistant.address, 1), sessions_of(assistant.address, 1, {id_: base})
    assistant.ask("lag")
    turns = drive(assistant.address, 1, [[warm[0][0], session[0]]], pause=0.05).turns
    return {"turn_ms": turns[-1] * 1e3, **assistant.ask("lag")}


# -- the run -------------------------------------------------------------------------------------------------------------------------------


def measure() -> dict[str, Any]:
    """All figures."""
    from workflows.events import Opened, decode  # noqa: PLC0415 - of no use to the measured process

    elements, total, sizes = asyncio.run(long_history(LONG))
    opened = decode(elements[0])
    assert isinstance(opened, Opened)
    with ExitStack() as stack:
        url = stack.enter_context(process("store", "everysec")).hello["url"]
        assistant, phone = (stack.enter_context(process(name, url)) for name in ("assistant", "product"))
        client = stack.enter_context(redis.Redis.from_url(url))
        load(phone, AT_ONCE, 100)
        chat(assistant)
        turns = interleaved({"phone": lambda: load(phone, AT_ONCE, SESSIONS), "assistant": lambda: chat(assistant)})
        waking = interleaved({"wake": partial(wake, assistant, client, elements, opened.base + len(elements))})["wake"]
    return {
        "turn_us": median(turns["assistant"]["cpu_us"]),
        "phone_us": median(turns["phone"]["cpu_us"]),
        "of_a_turn": ratio(turns["assistant"]["cpu_us"], turns["phone"]["cpu_us"]),
        "wake_ms": median(waking["turn_ms"]),
        "wake_stall_ms": median(waking["stall_ms"]),
        "elements": len(elements),
        "bytes_a_turn": total / LONG,
        "bytes_early": median(sizes[1:101]),
        "bytes_late": median(sizes[-100:]),
    }


def main() -> None:
    run_ = measure()
    met = {True: "met", False: "missed"}
    print(f"CPU of a turn, us               {run_['turn_us']:8.0f}   the phone's {run_['phone_us']:.0f}")
    print(f"  of the phone's turn           {run_['of_a_turn']:8.2f}   <= {MOST_OF_A_TURN}: {met[run_['of_a_turn'] <= MOST_OF_A_TURN]}")
    print(f"first turn after {LONG:,} turns, ms {run_['wake_ms']:8.1f}   <= {MOST_WAKING_MS:g}: {met[run_['wake_ms'] <= MOST_WAKING_MS]}")
    print(f"  longest stall, ms of CPU      {run_['wake_stall_ms']:8.1f}   {run_['elements']} events are replayed")
    print(f"bytes on record a turn          {run_['bytes_a_turn']:8.0f}   median of the first hundred {run_['bytes_early']:.0f}, "
          f"of the last {run_['bytes_late']:.0f}; condensing included in the mean")  # fmt: skip


@asynccontextmanager
async def _bound(_: Settings) -> AsyncGenerator[Mapping[str, Any]]:
    yield {"think": answer_at_once}


async def _served() -> None:
    control = Control()
    product.opened_bindings = _bound  # type: ignore[assignment]  # it takes less of the settings than the real one
    await product.serve(settings(sys.argv[1]), lambda url: control.tell({"address": url.removeprefix("http://")}), control.stop)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(_served)
    else:
        main()
