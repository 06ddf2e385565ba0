"""Several workers on one port, as processes: they share the callers, are replaced when they die, and end together."""

import asyncio
import contextlib
import os
import re
import signal
from pathlib import Path

import aiohttp
import pytest
from support.crashing import eventually
from support.server import SUPPORT, ServerProcess

from switchboard import workers
from switchboard.errors import ServerError
from switchboard.settings import Settings
from telephony.simulators.events import Said

pytestmark = pytest.mark.timeout(180)


class Crew(ServerProcess):
    """`switchboard serve --workers`."""

    def __init__(self, folder, workers=2, **options):
        super().__init__(folder, options=("--workers", str(workers)), **options)

    def pids(self):
        """The workers', in the order in which they were started."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"switchboard.worker" in command(pid)]


def command(pid):
    """The words of a process's command; none when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@pytest.fixture
def crews(tmp_path):
    made = []

    def make(**options):
        crew = Crew(tmp_path / "a house", **options)
        made.append(crew)
        return crew

    yield make
    for crew in made:
        crew.end()


def gone(pid):
    """Whether a process, which is no child of ours, has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def post(url, key, **body):
    """By a connection of its own, so that any worker may get it."""
    async with aiohttp.ClientSession() as http, http.post(url, headers={"Idempotency-Key": key}, json=body) as response:
        return await response.json()


def sockets(pid):
    """How many a process has open."""
    count = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed by now
            count += str(link.readlink()).startswith("socket:")
    return count


async def test_the_workers_share_the_callers_and_any_of_them_goes_on_with_any_call(crews):
    """On the defaults but for the line, so with the offline model: it runs once, for all of them."""
    crew = crews(settings='[lines]\n"web:*" = "chats:parrot"\n')
    (crew.folder / "chats.py").symlink_to(SUPPORT / "chats.py")
    crew.start()
    pids = crew.pids()
    assert len(pids) == 2
    assert "with 2 workers" in crew.output()
    assert crew.output().count("get the offline demo model") == 1
    for number in range(24):
        id_ = (await post(f"{crew.url}/web/sessions", f"a key of some length {number}"))["id"]
        for word in ("one", "two"):
            answer = await post(f"{crew.url}/web/sessions/{id_}/messages", word, text=word)
            assert answer["replies"][-1]["text"] == f"You said {word}."
    before = [sockets(pid) for pid in pids]
    connections = [await asyncio.open_connection("127.0.0.1", crew.port) for _ in range(24)]
    await eventually(lambda: all(sockets(pid) > count for pid, count in zip(pids, before, strict=True)))
    for _, writer in connections:
        writer.close()
    assert crew.end(signal.SIGINT) == 0
    assert all(map(gone, pids))
    assert "Traceback" not in crew.output()


async def test_a_worker_that_dies_is_replaced_after_a_growing_pause_and_a_second_signal_ends_all_at_once(crews):
    crew = crews().start()
    first, survivor = crew.pids()
    for pause in ("0.25", "0.5"):
        (victim,) = {*crew.pids()} - {survivor}
        os.kill(victim, signal.SIGKILL)
        await eventually(lambda victim=victim: gone(victim))
        async with crew.phone() as phone:
            assert [event.text for event in await phone.call().start() if isinstance(event, Said)] == ["Say something."]
        await eventually(lambda pause=pause: f'"in_seconds": {pause}' in crew.output())
        assert f'"pid": {victim}, "why": "it was killed by SIGKILL"' in crew.output()
        await eventually(lambda: len(crew.pids()) == 2)
    assert first not in crew.pids()

    pids = crew.pids()
    os.kill(survivor, signal.SIGSTOP)  # it will not finish anything
    crew.process.send_signal(signal.SIGTERM)
    await eventually(lambda: "once more ends them at once" in crew.output())
    assert crew.end(signal.SIGINT) == 128 + signal.SIGINT
    assert "workers that did not end are killed" not in crew.output()
    assert all(map(gone, pids))


PONDERER = """
import asyncio
from pathlib import Path

from workflows import Talk, Words, effect, workflow


@effect
async def ponder() -> str:
    Path("pondering").touch()
    await asyncio.sleep(1.5)
    return "done"


@workflow
async def ponderer(talk: Talk) -> None:
    await talk.ask("Well?", Words())
    talk.say(await talk.call(ponder))
"""


async def test_a_signal_to_all_of_them_as_a_supervisor_of_services_sends_it_cuts_no_turn_short(crews):
    crew = crews(settings='[lines]\n"web:*" = "slowly:ponderer"\n')
    (crew.folder / "slowly.py").write_text(PONDERER)
    crew.start()
    pids = crew.pids()
    id_ = (await post(f"{crew.url}/web/sessions", "a key of some length 1"))["id"]
    turn = asyncio.create_task(post(f"{crew.url}/web/sessions/{id_}/messages", "one", text="what do you think?"))
    await eventually((crew.folder / "pondering").exists)
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    await eventually(lambda: crew.output().count("stopping: what was begun") == 2)
    crew.process.send_signal(signal.SIGTERM)
    assert (await turn)["replies"][0]["text"] == "done"
    assert await asyncio.to_thread(crew.process.wait) == 0
    assert all(map(gone, pids))


@pytest.mark.proof
async def test_a_worker_that_does_not_end_is_killed_when_its_time_is_up_and_the_exit_code_tells(crews):
    crew = crews().start()
    pids = crew.pids()
    os.kill(pids[0], signal.SIGSTOP)
    assert await asyncio.to_thread(crew.end) == 1
    assert "workers that did not end are killed" in crew.output()
    assert all(map(gone, pids))


async def test_two_crews_cannot_take_one_port_unawares_and_one_whose_supervisor_is_killed_leaves_nothing_behind(crews, tmp_path):
    crew = crews().start()
    other = Crew(tmp_path / "another house", port=crew.port)
    other.start(wait=False)
    assert await asyncio.to_thread(other.process.wait) == 2
    assert re.search(rf"Error: cannot listen on 127\.0\.0\.1:{crew.port}: .*--port", other.output())
    assert "Traceback" not in other.output()
    pids = crew.pids()
    crew.kill()
    await eventually(lambda: all(map(gone, pids)))
    valkey = int((crew.folder / ".switchboard" / "valkey.lock").read_text().split()[0])
    await eventually(lambda: gone(valkey))


async def test_what_keeps_all_workers_from_listening_is_told_once(crews):
    crew = crews(REDIS_URL="redis://127.0.0.1:1/0")
    crew.start(wait=False)
    assert await asyncio.to_thread(crew.process.wait) == 2
    assert crew.output().count("The store at redis://127.0.0.1:1: no connection") == 1
    assert "Traceback" not in crew.output()


async def test_a_signal_while_the_first_worker_starts_ends_it(crews):
    crew = crews()
    crew.start(wait=False)
    await eventually(crew.pids)
    assert crew.end() == 0
    assert "Listening" not in crew.output()


class Puppet:
    """A worker that lives until it is told not to."""

    pid = 1

    def __init__(self):
        self.gone = asyncio.Event()

    async def wait(self):
        await self.gone.wait()
        return 0

    def send_signal(self, _):
        self.gone.set()


async def test_a_worker_for_which_there_is_no_process_is_started_again_later(monkeypatch):
    monkeypatch.setattr(workers, "_PAUSE", 0.01)
    crew, puppets, listening = workers._Crew(Settings(lines={})), [], asyncio.Event()

    @contextlib.asynccontextmanager
    async def started(number):
        puppet = Puppet()
        puppets.append(puppet)
        if len(puppets) == 3:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        crew._living[number] = puppet
        yield puppet, {"url": "http://x"}
        del crew._living[number]

    monkeypatch.setattr(crew, "_started", started)
    serving = asyncio.create_task(crew.serve(2, lambda _: listening.set()))
    await listening.wait()
    puppets[1].gone.set()
    await eventually(lambda: len(puppets) == 4)
    assert crew._living == {1: puppets[0], 2: puppets[3]}
    crew._stop.set()
    assert await serving == 0


async def test_a_first_worker_for_which_there_is_no_process_is_one_clear_sentence(monkeypatch):
    async def refuse(*_, **__):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    with pytest.raises(ServerError, match=r"a worker cannot be started: .*temporarily unavailable\. See that there are processes"):
        await asyncio.wait_for(workers._Crew(Settings(lines={})).serve(1, print), 60)
