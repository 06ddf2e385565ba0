"""How soon Slack is told that an event is taken, while the model is slow: `python -m benchmarks.slack`, about two minutes.

Two hundred direct messages a second, each to a session of its own, for as long as an answer takes and longer; the model takes ten seconds,
so some two thousand turns are under way at any time, each with a placeholder posted and replaced. An event is taken when it is on record.
Beside it, in the same rounds, an endpoint of bare aiohttp that reads the same requests and says yes.
"""

import asyncio
import itertools
import sys
import time
from contextlib import AbstractContextManager, ExitStack
from statistics import median, quantiles

import aiohttp
import msgspec
from aiohttp import web

from benchmarks import yardstick
from benchmarks.control import Control, run
from benchmarks.process import Process, process
from benchmarks.rounds import ratio
from switchboard.server import serve
from switchboard.settings import Settings
from telephony.simulators.model.endpoint import ModelEndpoint
from telephony.simulators.model.endpoint import serving as model_serving
from telephony.simulators.model.faults import script
from telephony.simulators.slack_sender import SlackSender
from telephony.simulators.slack_workspace import SlackWorkspace
from telephony.simulators.slack_workspace import serving as slack_serving
from telephony.slack_signature import sign
from workflows.registry import Registry

MOST_OF_BARE = 3.0
LATEST_SECONDS = 3.0

SECRET = "the secret of the benchmarks"
TOKEN = "xoxb-the-token-of-the-benchmarks"
EVENTS_PER_SECOND = 200
SECONDS = 15
MODEL_SECONDS = 10
ROUNDS = 3
WARM_UP = 16

Request = tuple[bytes, dict[str, str]]

_people = itertools.count()


def events(count: int) -> list[Request]:
    """So many direct messages, each from somebody new, signed."""
    workspace = SlackWorkspace(TOKEN)
    sender = SlackSender("", SECRET, workspace)
    requests = []
    for _ in range(count):
        user = f"U{next(_people):08}"
        body = msgspec.json.encode(sender.message(workspace.write(workspace.direct(user), user, "Hello, how are you today?")))
        timestamp = str(int(time.time()))
        signature = {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": sign(SECRET, timestamp, body)}
        requests.append((body, {"Content-Type": "application/json", **signature}))
    return requests


async def deliver(address: str, requests: list[Request]) -> list[float]:
    """Send them at their times, whether the ones before are answered or not; seconds from each one's time to its answer."""
    taken: list[float] = []
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http, asyncio.TaskGroup() as group:
        begin = loop.time() + 0.1

        async def send(due: float, request: Request) -> None:
            body, headers = request
            async with http.post(f"http://{address}/slack/events", data=body, headers=headers) as response:
                assert response.status == 200, await response.text()
            taken.append(loop.time() - due)

        for number, request in enumerate(requests):
            due = begin + number / EVENTS_PER_SECOND
            await asyncio.sleep(max(due - loop.time(), 0.0))
            group.create_task(send(due, request))
    return taken


def burst(server: Process) -> dict[str, float]:
    """ms of the median and of the slowest hundredth, and of the slowest of all."""
    seconds = asyncio.run(deliver(server.address, events(EVENTS_PER_SECOND * SECONDS)))
    return {"p50_ms": median(seconds) * 1e3, "p99_ms": quantiles(seconds, n=100)[98] * 1e3, "max_ms": max(seconds) * 1e3}


def main() -> None:
    figures: dict[str, list[dict[str, float]]] = {"bare": [], "product": []}
    with ExitStack() as stack:
        vendors = stack.enter_context(process("slack", "vendors"))
        bare = stack.enter_context(process("slack", "bare"))
        for _ in range(ROUNDS):  # a burst is more than can be answered meanwhile: nobody is to inherit what is left of it
            with process("store", "everysec") as store, _product_on(store, vendors) as product:
                asyncio.run(deliver(product.address, events(WARM_UP)))
                time.sleep(MODEL_SECONDS + 2)
                figures["bare"].append(burst(bare))
                figures["product"].append(burst(product))
    ours, theirs = ([each["p99_ms"] for each in figures[name]] for name in ("product", "bare"))
    slower = 1 / ratio(theirs, ours)
    slowest = max(each["max_ms"] for each in figures["product"])
    for name, found in figures.items():
        print(f"{name:8} p50 {median(each['p50_ms'] for each in found):7.2f} ms   p99 {median(each['p99_ms'] for each in found):7.2f} ms")
    print(f"  of the bare endpoint's p99 {slower:.2f}   <= {MOST_OF_BARE:g}: {'met' if slower <= MOST_OF_BARE else 'missed'}")
    print(f"  the slowest of all {slowest:.0f} ms   <= {LATEST_SECONDS * 1e3:g}: {'met' if slowest <= LATEST_SECONDS * 1e3 else 'missed'}")


def _product_on(store: Process, vendors: Process) -> AbstractContextManager[Process]:
    return process("slack", "product", store.hello["url"], vendors.hello["slack"], vendors.hello["model"])


# -- the other processes -------------------------------------------------------------------------------------------------------------------


async def _vendors() -> None:
    """Slack's API and a model that takes its time."""
    control = Control()
    endpoint = ModelEndpoint(script(f"slow:{MODEL_SECONDS}*9999,slow:{MODEL_SECONDS}*9999"))
    workspace = SlackWorkspace(TOKEN)
    for number in range(ROUNDS * (2 * SECONDS * EVENTS_PER_SECOND + WARM_UP)):
        workspace.direct(f"U{number:08}")
    async with slack_serving(workspace) as slack, model_serving(endpoint) as model:
        control.tell({"slack": slack, "model": model})
        await control.stop.wait()


async def _product() -> None:
    control = Control()
    store, slack, model = sys.argv[2:]
    values = {
        "lines": {"slack:*": "assistant"}, "server": {"port": 0}, "store": {"url": store},
        "openai_base_url": model, "openai_api_key": "none",
        "slack_signing_secret": SECRET, "slack_bot_token": TOKEN, "slack_api_url": slack,
    }  # fmt: skip
    settings = Settings.model_validate(values, context=Registry())
    await serve(settings, lambda url: control.tell({"address": url.removeprefix("http://")}), control.stop)


async def _bare() -> None:
    async def take(request: web.Request) -> web.Response:
        await request.json()
        return web.Response()

    await yardstick.serve(take, Control(), "/slack/events")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run({"vendors": _vendors, "product": _product, "bare": _bare}[sys.argv[1]])
    else:
        main()
