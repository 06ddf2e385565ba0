"""`switchboard chat`, run as people and scripts run it, against a real server."""

import asyncio
import json
import os
import pty
import re
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.chats import mouth
from support.server import ServerProcess
from support.web_house import web_house

COMMAND = "import typer; from telephony.simulators.chat import chat; typer.run(chat)"
ROOT = Path(__file__).parents[2]
PARROT = "support.chats:parrot"


@asynccontextmanager
async def command(*arguments, stdin=asyncio.subprocess.PIPE):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        COMMAND,
        *map(str, arguments),
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def run(*arguments, typed=""):
    async with command(*arguments) as process:
        out, err = await asyncio.wait_for(process.communicate(typed.encode()), 60)
        return process.returncode, out.decode(), err.decode()


async def until(process, text):
    seen = b""
    while text.encode() not in seen:
        byte = await asyncio.wait_for(process.stdout.read(1), 60)
        assert byte, f"ended after {seen!r}"
        seen += byte
    return seen.decode()


def session_of(out):
    return re.search(r"\[session (\S+)\]", out)[1]


async def test_lines_are_messages_and_what_is_said_is_shown_once_and_in_order(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (house, _):
        status, out, err = await run("--url", house.url, typed="one\n\ntwo")
        assert status == 0
        assert out.splitlines()[1:] == ["Hello!", "> one", "You said one.", "> two", "You said two."]
        assert err == f"Go on with: switchboard chat --session {session_of(out)} --url {house.url}\n"


async def test_a_session_is_gone_on_with_until_it_is_over(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (house, _):
        _, out, _ = await run("--url", house.url, typed="one\n")
        id_ = session_of(out)
        house.evict()
        status, out, err = await run("--url", house.url, "--session", id_, typed="bye\nnever\n")
        assert (status, err) == (0, "")
        assert [line for line in out.splitlines() if not line.startswith(">")][1:] == [
            "Hello!", "You said one.", "Bye.", "[the conversation is over]",
        ]  # fmt: skip
        assert "never" not in out
        status, out, _ = await run("--url", house.url, "--session", id_, "--json")
        assert [json.loads(line)["event"] for line in out.splitlines() if "listening" not in line][-1] == "ended"


async def test_scripts_read_json(valkey_url, valkey):
    async with web_house(valkey_url, "support.chats:asker") as (house, _):
        status, out, err = await run("--url", house.url, "--json", typed="coffee\n")
    assert (status, err) == (0, "")
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events] == ["session", "reply", "listening", "said", "reply", "listening"]
    assert events[1] == {"event": "reply", "id": "0.0", "turn": 0, "text": "Which?"}
    assert events[2]["listening"]["options"][1] == {"key": "c", "name": "coffee"}
    assert events[-1]["listening"] == {"kind": "digits", "n": 4, "secret": True}


async def test_words_are_shown_while_they_come_and_the_whole_once(valkey_url, valkey):
    mouth.reset()
    async with web_house(valkey_url, "support.chats:murmurer") as (house, _), command("--url", house.url) as process:
        process.stdin.write(b"hi\n")
        await until(process, "> hi\n")
        for word in ("One ", "two "):
            mouth.words.put_nowait(word)
            assert await until(process, word) == word
        mouth.words.put_nowait("three")
        mouth.words.put_nowait(None)
        process.stdin.close()
        out, _ = await process.communicate()
        assert (process.returncode, out.decode()) == (0, "three\n")


async def test_a_notice_is_shown_when_it_comes(valkey_url, valkey):
    async with web_house(valkey_url, "support.chats:runner") as (house, _), command("--url", house.url) as process:
        process.stdin.write(b"0.5\n")
        assert "Started." in await until(process, "[tasks: 0.5]")
        await until(process, "0.5: 0.5 s are over")
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
async def test_at_a_terminal_there_is_a_prompt_and_ctrl_d_leaves(valkey_url, valkey):
    ours, theirs = pty.openpty()
    try:
        async with web_house(valkey_url, PARROT) as (house, _), command("--url", house.url, stdin=theirs) as process:
            assert (await until(process, "> ")).endswith("Hello!\n> ")
            os.write(ours, "caf\u00e9\n".encode())
            assert (await until(process, "\n> ")).endswith("You said caf\u00e9.\n> ")
            os.write(ours, b"\x04")
            assert await asyncio.wait_for(process.wait(), 60) == 0
            assert b"Go on with: switchboard chat --session" in await process.stderr.read()
    finally:
        os.close(ours)
        os.close(theirs)


async def test_what_is_said_cannot_steer_the_terminal(valkey_url, valkey):
    async with web_house(valkey_url, PARROT) as (house, web):
        id_ = (await web.create()).json["id"]
        await web.say(id_, "\u009b31m \u202e \u2028")
        _, out, _ = await run("--url", house.url, "--session", id_)
        assert not set(out) & {"\x9b", "\u202e", "\u2028", "\x1b"}


async def test_without_a_server_it_says_how_to_start_one():
    status, out, err = await run("--url", "http://127.0.0.1:1", typed="hi\n")
    assert (status, out) == (2, "")
    assert "make run" in err


async def test_what_the_server_refuses_is_told_in_its_words(valkey_url, valkey):
    async with web_house(valkey_url, "", lines={"web:shop": PARROT}) as (house, _):
        status, _, err = await run("--url", house.url)
        assert status == 1
        assert 'add "web:*" to [lines]' in err
        status, _, err = await run("--url", house.url, "--line", "shop", "--timezone", "Mars/Olympus")
        assert status == 1
        assert "IANA" in err
        status, _, err = await run("--url", house.url, "--session", "A" * 32)
        assert status == 1
        assert "no such session" in err
        status, _, err = await run("--url", "ftp://x")
        assert status == 2


@pytest.mark.timeout(180)
async def test_a_chat_goes_on_when_the_server_is_killed_and_started_again(tmp_path):
    server = ServerProcess(tmp_path / "a house", '[lines]\n"web:*" = "conversations:echo"\n').start()
    try:
        async with command("--url", server.url) as process:
            process.stdin.write(b"one\n")
            await until(process, "You said one.")
            server.kill()
            process.stdin.write(b"two\n")
            await until(process, "> two\n")
            server.start()
            assert (await until(process, "You said two.")).count("You said") == 1
            process.stdin.write(b"goodbye\n")
            await until(process, "[the conversation is over]")
            assert await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        server.end()
