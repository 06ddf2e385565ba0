"""The server as a process: it starts, is ended in every way, and the next one goes on."""

import asyncio
import json
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from support.server import SWITCHBOARD, ServerProcess

from telephony.simulators.events import Said

pytestmark = pytest.mark.timeout(180)


def said(events):
    return [event.text for event in events if isinstance(event, Said)]


def valkey_pid(folder):
    return int((folder / ".switchboard" / "valkey.lock").read_text().split()[0])


@pytest.fixture
def servers(tmp_path):
    made = []

    def make(**options):
        server = ServerProcess(tmp_path / "a house", **options)
        made.append(server)
        return server

    yield make
    for server in made:
        server.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_however_a_server_ends_the_next_one_starts_and_the_call_goes_on(servers, number):
    server = servers().start()
    async with server.phone() as phone:
        call = phone.call()
        assert said(await call.start()) == ["Say something."]
        for word in ("one", "two"):
            code = server.end(number)
            assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)
            server.start()
            assert said(await call.say(word)) == [f"You said {word}.", "Say something."]


async def test_a_call_survives_a_server_that_is_killed_while_it_is_on_the_line(servers):
    server = servers().start()
    async with server.phone() as phone:
        call = phone.call()
        await call.start()
        server.kill()
        step = asyncio.create_task(call.say("are you there"))
        await asyncio.sleep(0.3)
        server.start()
        assert said(await step) == ["You said are you there.", "Say something."]


async def test_a_webhook_delivered_again_after_kill_9_gets_the_very_same_twiml(servers):
    server = servers().start()
    async with server.phone() as phone:
        call = phone.call()
        await call.start()
        await call.say("one")
        request, answer = call.last_request, await call.repeat()
        assert "You said one." in answer
        for _ in range(2):
            server.kill()
            server.start()
            assert (await phone.webhooks.send(request)).text == answer


async def test_two_servers_on_one_data_directory_share_one_valkey_and_any_call(servers):
    first, second = servers().start(), servers().start()
    pid = valkey_pid(first.folder)
    async with first.phone() as one, second.phone() as two:
        call = one.call()
        await call.start()
        for number in range(6):
            one.base_url = (second if number % 2 else first).url
            call._url = call._url.replace(f":{first.port}", f":{second.port}") if number % 2 else call._url
            assert said(await call.say(f"word {number}")) == [f"You said word {number}.", "Say something."]
        first.kill()
        other = two.call()
        assert said(await other.start()) == ["Say something."]
    assert valkey_pid(first.folder) == pid


async def test_a_port_that_is_taken_is_one_clear_sentence(servers, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = servers(port=taken.getsockname()[1])
        server.start(wait=False)
        assert server.process.wait(30) == 2
        assert f"cannot listen on 127.0.0.1:{server.port}" in server.output()
        assert "--port" in server.output()
        assert "Traceback" not in server.output()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ('[lines]\n"phone:*" = "nobody:here"\n', "nobody"),
        ('[lines]\n"pigeon:*" = "santa"\n', "pigeon"),
        ('[lines]\n"phone:*" = { workflow = "conversations:echo", args = { loud = true } }\n', "loud"),
        ('[lines]\n"phone:*" = { workflow = "conversations:echo", timezone = "Mars/Olympus" }\n', "Mars/Olympus"),
        ("[server]\nprot = 1\n", "prot"),
        ("[lines\n", "TOML"),
    ],
)
def test_wrong_settings_are_refused_at_start_and_named(servers, settings, complaint):
    server = servers(settings=settings)
    server.start(wait=False)
    assert server.process.wait(30) == 2
    assert complaint in server.output()
    assert "Traceback" not in server.output()


def test_a_data_directory_that_cannot_be_written_is_one_clear_sentence(servers, tmp_path):
    (tmp_path / "a file").write_text("")
    server = servers(data=str(tmp_path / "a file" / "data"))
    server.start(wait=False)
    assert server.process.wait(30) == 2
    assert "a file" in server.output()
    assert "Traceback" not in server.output()


def test_a_store_that_is_not_there_is_one_clear_sentence(servers, tmp_path):
    server = servers(REDIS_URL=f"unix://{tmp_path}/nothing.sock")
    server.start(wait=False)
    assert server.process.wait(30) == 2
    assert "Traceback" not in server.output()


async def test_the_phone_of_the_terminal_calls_it_and_the_commands_show_what_happened(servers):
    server = servers(settings='[lines]\n"phone:*" = "conversations:exchange"\n').start()

    def switchboard(*words):
        done = subprocess.run(
            [SWITCHBOARD, *words], cwd=server.folder, env=server.environment, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout

    code, out = await asyncio.to_thread(switchboard, "call", "--url", server.url, "--keys", "1", "--json")
    assert code == 0, out
    assert "That was completed" in out
    code, out = await asyncio.to_thread(switchboard, "sessions", "ls", "--json")
    assert code == 0
    (session,) = json.loads(out)
    key = session["session"] if "session" in session else session["key"]
    assert key.startswith("phone:CA")
    code, out = await asyncio.to_thread(switchboard, "sessions", "show", key)
    assert code == 0
    assert "That was completed" in out
    code, _ = await asyncio.to_thread(switchboard, "replay", key)
    assert code == 0
    source = Path(__file__).parents[1] / "support" / "conversations.py"
    changed = source.read_text().replace('went = await talk.transfer("+15550111")', 'went = await talk.record("Changed.")')
    assert changed != source.read_text()
    (server.folder / "conversations.py").unlink()
    (server.folder / "conversations.py").write_text(changed.replace("went.outcome", "went.url"))
    code, out = await asyncio.to_thread(switchboard, "replay", key)
    assert code == 1
    assert "transfer" in out
    code, out = await asyncio.to_thread(switchboard, "sessions", "forget", key, "--yes")
    assert code == 0
    assert json.loads((await asyncio.to_thread(switchboard, "sessions", "ls", "--json"))[1]) == []
