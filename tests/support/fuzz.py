"""Hostile calls by the hundred thousand into `switchboard serve`, a process of its own: it must answer them all, and not grow.

make fuzz SEED=17    # the whole campaign of one seed
"""

import asyncio
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import SystemRandom
from subprocess import check_output

import aiohttp
import uvloop
from support.hostile_calls import LINES, MAX_BODY, Caller, Sent
from support.phone_house import ACCOUNT, TOKEN
from support.server import ServerProcess
from support.valkey import Valkey
from support.wire import Answer, BrokenOffError, Pipeline

from handlers.redis_history import RedisHistory
from telephony.simulators import document

CALLERS = 8
AT_ONCE = 24
REQUESTS = 1_000_000
ROUND = 50_000
IDLE = 1
MEGABYTE = 1 << 20

REFUSALS = {400, 403, 413}
_FAULT = re.compile(r"^\S+ \S+ (?:ERROR|CRITICAL) (?!phone:\w+ has failed: )(.*)", re.MULTILINE)


class FuzzError(AssertionError):
    """A request was not answered as it should be, or the server came to harm; the text says by which seed, and how to see it again."""


class Campaign:
    """`statuses` counts the answers; `sizes` are the server's resident bytes after each round, with no session alive."""

    def __init__(self, seed: int, server: ServerProcess, history: RedisHistory) -> None:
        self.statuses: Counter[int] = Counter()
        self.sizes: list[int] = []
        self._seed = seed
        self._server = server
        self._history = history
        self._callers = [Caller(seed, number) for number in range(CALLERS)]

    async def run(self, requests: int, each: int, tell: Callable[[str], None]) -> None:
        """Send so many requests, in rounds of `each`; `tell` hears of the progress. Raises `FuzzError`."""
        began = time.monotonic()
        while (done := self.statuses.total()) < requests:
            count = min(each, requests - done) // CALLERS
            round_began = time.monotonic()
            try:
                async with asyncio.TaskGroup() as group:
                    for caller in self._callers:
                        group.create_task(self._converse(caller, count))
            except* FuzzError as errors:
                raise _first(errors) from None
            except* (BrokenOffError, OSError) as errors:
                raise self._error(str(_first(errors))) from None
            speed = CALLERS * count / (time.monotonic() - round_began)
            await self._settle()
            statuses = ", ".join(f"{status}: {number:,}" for status, number in sorted(self.statuses.items()))
            tell(
                f"seed {self._seed}: {self.statuses.total():,} of {requests:,} in {time.monotonic() - began:.0f} s, {speed:,.0f}/s, "
                f"{self.sizes[-1] / MEGABYTE:.1f} MB; {statuses}"
            )
        if fault := _FAULT.search(self._server.output()):
            raise self._error(f"the server logged: {fault[0]}")

    async def _converse(self, caller: Caller, count: int) -> None:
        async with Pipeline(self._server.port) as pipeline:
            while count:
                batch = [caller.next() for _ in range(min(AT_ONCE, count))]
                count -= len(batch)
                together = [sent for sent in batch if not sent.alone]
                answers = await pipeline.ask([sent.data for sent in together])
                for sent, answer in zip(together, answers, strict=True):
                    self._check(caller, sent, answer)
                for sent in batch:
                    if sent.alone:
                        self._check(caller, sent, *await pipeline.ask([sent.data]))
                while caller.given_up:
                    await self._history.forget(f"phone:{caller.given_up.pop()}")

    def _check(self, caller: Caller, sent: Sent, answer: Answer) -> None:
        self.statuses[answer.status] += 1
        problem = ""
        if answer.status == 200 and sent.path == "/twilio/voice":
            problem = _misread(answer)
        elif answer.status == 204 and sent.path != "/twilio/voice":
            problem = "a body where none belongs" if answer.body else ""
        elif answer.status not in REFUSALS or sent.plain:
            problem = "not what is to be answered"
        if problem:
            raise self._error(f"{problem}: {answer.status} {answer.body!r} to {sent.data[:MAX_BODY]!r}")
        caller.hear(sent, answer)

    async def _settle(self) -> None:
        """Forget every session, wait until the last has left memory, and look how large the server is."""
        async with aiohttp.ClientSession() as http:
            while True:
                for session in await self._history.sessions(1_000_000):
                    await self._history.forget(session)
                async with http.get(f"{self._server.url}/healthz") as response:
                    if (await response.json())["live"] == 0:
                        break
                await asyncio.sleep(0.1)
        self.sizes.append(_resident(self._server))

    def _error(self, what: str) -> FuzzError:
        return FuzzError(f"seed {self._seed}, after {self.statuses.total()} requests: {what}. Again: make fuzz SEED={self._seed}")


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _misread(answer: Answer) -> str:
    """What is wrong with a TwiML answer."""
    content_type = re.search(rb"(?i)\r\ncontent-type: ([^;\r]*)", answer.head)
    try:
        document.read("the server", content_type[1].decode() if content_type else "", answer.body.decode())
    except (document.DroppedError, UnicodeDecodeError) as error:
        return str(error)
    return ""


def _resident(server: ServerProcess) -> int:
    """The server's resident bytes."""
    assert server.process is not None
    pid = server.process.pid
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status.read_text())[0]) * 1024
    return int(check_output(["ps", "-o", "rss=", "-p", str(pid)])) * 1024


@asynccontextmanager
async def campaign(seed: int, folder: Path) -> AsyncIterator[Campaign]:
    """A campaign against a server of its own, on a store of its own."""
    store = Valkey("--maxmemory-policy", "noeviction")
    lines = "".join(f'"phone:{number}" = "{workflow}"\n' for number, workflow in LINES.items())
    server = ServerProcess(
        folder,
        f'[lines]\n{lines}[sessions]\nidle = "{IDLE}s"\n',
        REDIS_URL=store.url,
        TWILIO_ACCOUNT_SID=ACCOUNT,
        TWILIO_AUTH_TOKEN=TOKEN,
    )
    history = RedisHistory(store.url, "fuzz.1")
    try:
        store.start()
        server.start()
        await history.open()
        yield Campaign(seed, server, history)
    finally:
        await history.close()
        server.end()
        store.remove()


async def fuzz(seed: int, requests: int, each: int, folder: Path, tell: Callable[[str], None]) -> Campaign:
    """Run a campaign to its end. Raises `FuzzError`."""
    async with campaign(seed, folder) as running:
        await running.run(requests, each, tell)
        return running


if __name__ == "__main__":
    chosen = int(sys.argv[1]) if len(sys.argv) > 1 else SystemRandom().randrange(10**9)
    with tempfile.TemporaryDirectory() as name, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(fuzz(chosen, REQUESTS, ROUND, Path(name) / "a folder", lambda line: print(line, flush=True)))  # noqa: T201 - its purpose
