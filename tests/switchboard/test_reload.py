"""`switchboard serve --reload`, as real processes: files change while people talk."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import aiohttp
import pytest
from support.commands import FOREIGN
from support.ports import free_ports
from support.server import SWITCHBOARD, ServerProcess
from support.shop import BUG, LONGER, PIN, TEA, record, write_shop

from handlers.history import partition_of
from switchboard import reload, reloaded
from switchboard.replay import replay
from switchboard.settings import Settings
from telephony.phone import LOST
from telephony.simulators.events import HungUp, Said

pytestmark = pytest.mark.timeout(400)

SETTINGS = '[lines]\n"phone:*" = "cafe:greet"\n'
CAFE = """\
from workflows import Choice, Talk, Words, workflow


@workflow
async def greet(talk: Talk) -> None:
    name = await talk.ask("What is your name?", Words())
    drink = await talk.ask(f"{name}, tea or coffee?", Choice({"1": "tea", "2": "coffee"}))
    talk.say(f"Here you are, {name}: {drink}.")
"""
POLITE = CAFE.replace("tea or coffee?", "would you like tea, or coffee?")
CURIOUS = CAFE.replace("    name = await", '    await talk.record("What do you think of us?")\n    name = await')
HALF = CAFE.replace("Words())", "Words(")


class Cafe(ServerProcess):
    """A server that reloads, and the file that it serves."""

    def __init__(self, folder, code=CAFE):
        super().__init__(folder, SETTINGS, options=("--reload",))
        self.write(code)
        self.seen = 0

    def write(self, code):
        (self.folder / "cafe.py").write_text(code)

    async def told(self, text):
        """Wait until the console tells this, after what was waited for before; gives what it told on the way."""
        while True:
            output = self.output()[self.seen :]
            if text in output:
                told = output[: output.index(text) + len(text)]
                self.seen += len(told)
                return told
            assert self.process.poll() is None, self.output()
            await asyncio.sleep(0.02)

    async def listening(self):
        """Wait until a server listens that was started without waiting."""
        self.port = int(re.search(r"http://127\.0\.0\.1:(\d+)", await self.told("until Ctrl-C"))[1])
        self.url = f"http://127.0.0.1:{self.port}"

    async def changed(self, code):
        """Change the file, and wait until it is served."""
        self.write(code)
        return await self.told("on.\n")


@pytest.fixture
def cafe(tmp_path):
    cafe = Cafe(tmp_path / "my cafe")
    yield cafe
    cafe.end()


def said(heard):
    return [event.text for event in heard if isinstance(event, Said)]


async def test_a_call_goes_on_in_mid_sentence_and_nobody_meets_a_closed_door(cafe):
    (metrics_port,) = free_ports(1)  # both servers listen for machines at once, too
    (cafe.folder / "switchboard.toml").write_text(f"{SETTINGS}[server]\nmetrics_port = {metrics_port}\n")
    cafe.start()
    statuses, done = [], asyncio.Event()

    async def knock():
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as client:
            while not done.is_set():
                async with client.get(f"{cafe.url}/healthz") as response:
                    statuses.append(response.status)
                await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group, cafe.phone() as phone:
        group.create_task(knock())
        call = phone.call()
        await call.start()
        told = await cafe.changed(POLITE)
        assert "\ncafe.py changed.\n" in told
        assert "The changed code serves now. 1 conversation under way goes on.\n" in told
        assert said(await call.say("Ada")) == ["Ada, would you like tea, or coffee?"]
        cafe.write(HALF)
        told = await cafe.told("The code as it was before serves on. Mend it: the next change tries again.\n")
        assert re.search(r"^Error: switchboard\.toml: .*SyntaxError: .*cafe\.py:6", told, re.MULTILINE), told
        assert said(await call.press("2")) == ["Here you are, Ada: 2."]
        done.set()
    assert len(statuses) > 20
    assert set(statuses) == {200}


async def test_a_call_that_cannot_go_on_is_shown_and_goes_on_with_the_code_as_it_was(cafe):
    cafe.start()
    async with cafe.phone() as phone:
        first, second = phone.call(), phone.call()
        for call in (first, second):
            await call.start()
            await call.say("Ada")
        told = await cafe.changed(CURIOUS) + await cafe.told(LOST) + await cafe.told(LOST)
        assert "0 conversations under way go on.\n" in told
        for call in (first, second):
            assert re.search(
                rf"phone:{call.sid} cannot go on: at event 1 the history has an input \(said\), recorded when other steps were open, "
                r"but the code wants .*\(step 0\)\. .*talk\.patched.*\n"
                rf'  The caller hears "{re.escape(LOST)}',
                told,
            ), told
        heard = await first.press("2")
        assert said(heard) == [LOST]
        assert isinstance(heard[-1], HungUp)
        await cafe.told("the session is diverged: at event 1")
        cafe.write(HALF)  # which is out of date before a server could start with it
        await cafe.told("cafe.py changed.")
        cafe.write(CAFE)
        await cafe.told(f"phone:{second.sid} goes on again.\n")
        assert said(await second.press("2")) == ["Here you are, Ada: 2."]
    cafe.kill()
    await gone(cafe)  # no server outlives who started it


async def test_where_nobody_serves_the_next_change_starts_a_server(cafe):
    (cafe.folder / "bar.py").write_text(CAFE.replace("your name", "your poison"))
    cafe.write(HALF)
    cafe.start(wait=False)
    told = await cafe.told("Nobody serves now. Mend it: the next change starts a server.\n")
    assert "cafe.py:6" in told
    cafe.write(CAFE)
    await cafe.listening()
    os.kill(child_of(cafe), signal.SIGKILL)
    await cafe.told("The server was ended by SIGKILL, and nobody serves now. The next change starts another one.\n")
    (cafe.folder / "switchboard.toml").write_text(SETTINGS.replace("cafe:", "bar:") + "[server]\nhost = '127.0.0.2'\n")
    assert "Note: host and port under [server] are taken up when you start the server yourself." in await cafe.told(" on.\n")
    async with cafe.phone() as phone:
        assert said(await phone.call().start()) == ["What is your poison?"]
    assert cafe.end() == 0
    await gone(cafe)


def child_of(cafe):
    (child,) = Path(f"/proc/{cafe.process.pid}/task/{cafe.process.pid}/children").read_text().split()
    return int(child)


async def gone(cafe):
    """Wait until nobody listens any more."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", cafe.port)
        except ConnectionRefusedError:
            return
        writer.close()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("options", "settings", "problem"),
    [
        (["--workers", "2"], SETTINGS, "a server that reloads is one process: leave out --workers or --reload"),
        ([], "[server]\nport = 'eighty'\n", "Error: switchboard.toml: [server] port: it should be a valid integer."),
        (["--host", "192.0.2.1"], SETTINGS, "Error: cannot listen on 192.0.2.1:0: "),
    ],
)
def test_what_cannot_be_is_one_sentence_and_exit_code_2(tmp_path, options, settings, problem):
    (tmp_path / "switchboard.toml").write_text(settings)
    port = [] if "port" in settings else ["--port", "0"]
    done = subprocess.run([SWITCHBOARD, "serve", "--reload", *port, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert problem in " ".join(done.stderr.replace("│", " ").split())


async def test_where_there_are_too_many_sessions_that_is_told(valkey_url, valkey, tmp_path, monkeypatch):
    monkeypatch.setattr(reloaded, "MOST", 1)
    settings = Settings.model_validate({"store": {"url": valkey_url}})
    for number in (1, 2):
        valkey.rpush(f"sb:{{{partition_of(f'phone:CA{number}')}}}:h:phone:CA{number}", *record(write_shop(tmp_path), f"phone:CA{number}"))
    answer = await reloaded._answer({"ask": "alive"}, settings)
    assert answer["problem"] == "there are more than 1 sessions, and no more were looked at"
    monkeypatch.undo()
    assert await reloaded._answer({"ask": "lost", "sessions": []}, settings) == {"lost": []}


@pytest.mark.parametrize(
    ("channel", "meets"),
    [
        ("phone", f'The caller hears "{LOST}"'),
        ("web", 'The next message is refused: "The conversation met a bug'),
        ("slack", "The next message begins a new conversation."),
        ("alexa", "The next thing that is said begins a new conversation."),
        ("errand", "The conversation that started it waits until it goes on."),
    ],
)
def test_what_people_meet_in_a_lost_session_is_told_for_each_channel(tmp_path, channel, meets):
    shop = write_shop(tmp_path)
    assert reloaded._meets(replay("s:1", record(shop, "s:1", channel=channel), shop)).startswith(meets)


def test_why_a_session_is_lost_is_told_with_the_event_and_one_that_goes_on_is_none(tmp_path):
    shop = write_shop(tmp_path)
    elements = record(shop, "s:1", PIN, TEA)
    assert reloaded._why_lost(replay("s:1", elements, shop)) == ""
    assert reloaded._why_lost(replay("s:1", [], shop)) == "", "it was forgotten meanwhile"
    assert reloaded._why_lost(replay("s:1", [*elements, FOREIGN], shop)).startswith("an element begins with 02")
    why = reloaded._why_lost(replay("s:1", elements, write_shop(tmp_path, BUG)))
    assert why.startswith("the workflow fails at event 2 with ValueError: invalid literal")
    assert reloaded._why_lost(replay("s:1", elements, write_shop(tmp_path, LONGER))).startswith(
        "at event 2 the history has an input (pressed)"
    )


def test_whatever_a_question_meets_is_its_answer_and_when_nobody_asks_any_more_the_server_ends(tmp_path, monkeypatch):
    class Strange(Exception):
        pass

    async def fail(*_):
        raise Strange("half written")

    ended = []
    monkeypatch.setattr(reloaded, "_answer", fail)
    monkeypatch.setattr(reloaded, "end", lambda: ended.append(True))
    ours, theirs = socket.socketpair()
    with ours, theirs, theirs.makefile("rb") as link, ours.makefile("rb") as answers:
        for _ in range(2):
            ours.sendall(b'{"ask": "alive"}\n')
        ours.sendall(b"half a line of one who was killed")
        ours.shutdown(socket.SHUT_WR)
        with pytest.raises(json.JSONDecodeError):
            reloaded._answer_all(theirs, link, Settings(data=tmp_path, lines={}))
        theirs.shutdown(socket.SHUT_WR)
        assert [json.loads(line) for line in answers] == [{"alive": [], "problem": "Strange: half written"}] * 2
    assert ended == [True]


class Puppet:
    """A server as `reload` sees it, which ends when it is killed and not before."""

    def __init__(self):
        self.process, self.heard, self.ending, self.gone = self, [], asyncio.Event(), asyncio.Event()

    async def wait(self):
        await self.gone.wait()

    async def hear(self):
        return {"url": "http://x", "public": None, "at": []}

    async def ask(self, *_, **__):
        return {}

    async def end(self):
        self.ending.set()
        await self.gone.wait()

    def send(self, number):
        self.heard.append(number)
        self.gone.set()


async def test_a_second_signal_ends_the_server_before_as_well_while_it_finishes_what_it_is_doing(monkeypatch):
    before, after = Puppet(), Puppet()

    async def start(**_):
        return after

    monkeypatch.setattr(reload.ReloadedServer, "start", start)
    with socket.socket() as port:
        reloading = reload._Reloading(reload.Options(None, None, None, None), port, print)
        reloading._server, reloading._at = before, []
        replacing = asyncio.create_task(reloading._replace(["a.py"]))
        await before.ending.wait()
        for _ in range(2):
            reloading._signalled(signal.SIGINT)
        assert before.heard == after.heard == [signal.SIGKILL]
        await replacing
