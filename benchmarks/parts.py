"""The parts of a turn, each by itself, beside what else one would use for it. All of it is CPU time of this process, us a call."""

import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import parse_qsl

from redis.asyncio import Redis
from twilio.request_validator import RequestValidator
from twilio.twiml.voice_response import VoiceResponse

from benchmarks.calls import LOCALE, TOKEN, request
from benchmarks.control import Control, run
from benchmarks.histories import OPENING, PATIENCE, history, key_of
from benchmarks.menu import reply
from benchmarks.product import settings
from benchmarks.rounds import Figures, interleaved
from handlers.history import Append, History
from handlers.memory_history import MemoryHistory, MemoryStore
from handlers.messages import Inbound
from handlers.redis_history import RedisHistory
from switchboard.server import Server
from telephony import form, twiml
from telephony.twilio_signature import signed
from workflows.events import Heard, decode, encode
from workflows.registry import Registry
from workflows.run import Run

CALLS = 2_000
TURNS = 2_000


def timed(action: Callable[[], object]) -> dict[str, float]:
    """us of CPU a call."""
    action()
    before = time.process_time()
    for _ in range(CALLS):
        action()
    return {"cpu_us": (time.process_time() - before) / CALLS * 1e6}


def wire() -> dict[str, dict[str, Figures]]:
    """The parts that know Twilio."""
    head, body = request("127.0.0.1:8080", "CA" + "a" * 32, 3, "1").split(b"\r\n\r\n")
    signature = head.partition(b"X-Twilio-Signature: ")[2].partition(b"\r\n")[0].decode()
    url = "http://127.0.0.1:8080/twilio/voice?turn=2"
    pairs = form.parse(body)
    fields, validator = dict(pairs), RequestValidator(TOKEN)
    assert signed(TOKEN, url, pairs, signature)
    assert validator.validate(url, fields, signature)
    assert str(_vendors()) == _ours()
    return {
        "form": _compared(lambda: form.parse(body), "parse_qsl", lambda: parse_qsl(body.decode(), keep_blank_values=True)),
        "signature": _compared(
            lambda: signed(TOKEN, url, pairs, signature), "RequestValidator", lambda: validator.validate(url, fields, signature)
        ),
        "TwiML": _compared(_ours, "twilio.twiml", lambda: str(_vendors())),
    }


def _compared(ours: Callable[[], object], name: str, theirs: Callable[[], object]) -> dict[str, Figures]:
    return interleaved({"product": partial(timed, ours), name: partial(timed, theirs)})


def _ours() -> str:
    said = twiml.say(reply("1"), language=LOCALE)
    return twiml.response(twiml.gather(said, action="voice?turn=3", inputs="dtmf", timeout=5, num_digits=1, action_on_empty_result=True))


def _vendors() -> VoiceResponse:
    response = VoiceResponse()
    gather = response.gather(action="voice?turn=3", input="dtmf", timeout=5, num_digits=1, action_on_empty_result=True)
    gather.say(reply("1"), language=LOCALE)
    return response


def core(elements: tuple[bytes, ...]) -> dict[str, dict[str, Figures]]:
    """The parts without I/O: a replayed event, and its codec."""
    events = [decode(element) for element in elements]
    registry = Registry()

    def replay() -> dict[str, float]:
        began = Run("phone:CAhistory", events[0], registry)
        before = time.process_time()
        for event in events[1:]:
            began.feed(event)
        used = time.process_time() - before
        began.close()
        return {"cpu_us": used / (len(events) - 1) * 1e6}

    def by_hand() -> dict[str, float]:
        menu = _menu_by_hand()
        next(menu)
        before = time.process_time()
        for event in events[1:]:
            menu.send(event.payload["digits"])
        return {"cpu_us": (time.process_time() - before) / (len(events) - 1) * 1e6}

    heard = Heard(1_760_000_000_000, 1, 2, "9", "pressed", {"digits": "1"})
    plain = [1, 1_760_000_000_000, 1, 2, "9", "pressed", {"digits": "1"}]
    return {
        "run": interleaved({"product": replay, "generator": by_hand}),
        "codec": _compared(lambda: encode(heard, os.urandom(8)), "json", lambda: json.dumps(plain)),
    }


def _menu_by_hand() -> object:
    said = ""
    while True:
        said = reply((yield said))


async def actors(element: bytes) -> Figures:
    """A turn without HTTP and without a store: switchboard, handler, journal, run and codec. What the store's twin takes is left out."""
    twin = MemoryHistory(MemoryStore(), "bench", lambda: time.time_ns() // 1_000_000)
    server = Server(settings("unix:///nowhere"), twin)
    figures: Figures = {"cpu_us": []}
    for number in range(5):
        in_twin = await _calls(partial(_append, twin, element), 1)
        session = f"phone:CA{number}"
        await server.exchange.send(Inbound(session, "start", opening=OPENING, fresh=True), PATIENCE)
        before = time.process_time()
        for turn in range(1, TURNS):
            await server.exchange.send(Inbound(session, str(turn - 1), "pressed", {"digits": key_of(turn)}), PATIENCE)
        figures["cpu_us"].append((time.process_time() - before) / (TURNS - 1) * 1e6 - in_twin)
    await server.close()
    return figures


async def queues() -> Figures:
    """The actors' yardstick: a task that takes an input from a queue and answers by a future, waited for with a time-out."""
    figures: Figures = {"cpu_us": []}
    inbox: asyncio.Queue[tuple[str, asyncio.Future[str]]] = asyncio.Queue()

    async def answer() -> None:
        while True:
            key, future = await inbox.get()
            future.set_result(reply(key))

    async with asyncio.TaskGroup() as group:
        task = group.create_task(answer())
        for _ in range(5):
            before = time.process_time()
            for turn in range(1, TURNS):
                future = asyncio.get_running_loop().create_future()
                inbox.put_nowait((key_of(turn), future))
                await asyncio.wait_for(future, PATIENCE)
            figures["cpu_us"].append((time.process_time() - before) / (TURNS - 1) * 1e6)
        task.cancel()
    return figures


async def store(url: str, element: bytes, at_once: int) -> dict[str, Figures]:
    """An append, beside an RPUSH by redis-py."""
    history, redis = RedisHistory(url, "bench.parts"), Redis.from_url(url)
    await history.open()

    async def push() -> None:
        await redis.rpush(f"call:CA{secrets.token_hex(16)}", element)

    figures: dict[str, Figures] = {"product": {"cpu_us": []}, "redis-py": {"cpu_us": []}}
    await _calls(push, at_once)
    for _ in range(5):
        figures["product"]["cpu_us"].append(await _calls(partial(_append, history, element), at_once))
        figures["redis-py"]["cpu_us"].append(await _calls(push, at_once))
    await redis.aclose()
    await history.close()
    return figures


async def _append(history: History, element: bytes) -> None:
    session = f"phone:CA{secrets.token_hex(16)}"
    await history.append(Append(session, 0, b"", (element,), release=True, keep_until=None, alarms_set=(), alarms_cleared=()))


async def _calls(action: Callable[[], Awaitable[None]], at_once: int) -> float:
    async def caller() -> None:
        for _ in range(CALLS // at_once):
            await action()

    before = time.process_time()
    await asyncio.gather(*[caller() for _ in range(at_once)])
    return (time.process_time() - before) / (CALLS // at_once * at_once) * 1e6


async def main() -> None:
    control = Control()
    url = sys.argv[1]
    elements = await history(TURNS)
    control.tell(
        wire()
        | core(elements)
        | {"actors": {"product": await actors(elements[1]), "queue and future": await queues()}}
        | {"store client": await store(url, elements[1], 64), "store client, alone": await store(url, elements[1], 1)}
    )


if __name__ == "__main__":
    run(main)
