"""`switchboard slack` as people and scripts run it, with a server of its own."""

import asyncio
import contextlib
import re
import subprocess

import pytest
from support.server import SWITCHBOARD, ServerProcess


@contextlib.asynccontextmanager
async def slack(server, *options, **environment):
    """The command, and the address of its Web API."""
    process = await asyncio.create_subprocess_exec(
        SWITCHBOARD, "slack", "--url", server.url, "--port", "0", "--data", server.data, *options, cwd=server.folder,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**server.environment, **environment},
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            told = (await process.stderr.readline()).decode()
        yield process, re.search(r"SLACK_API_URL=(\S+)", told)[1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
def server(tmp_path):
    server = ServerProcess(tmp_path / "a workspace", '[lines]\n"slack:*" = "conversations:exchange"\n').start()
    server.end()  # it keeps its port, and is started anew with the address of the Web API
    yield server
    server.end()


async def test_a_script_is_answered_line_by_line(server):
    async with slack(server) as (process, api):
        server.environment["SLACK_API_URL"] = api
        server.start()
        async with asyncio.timeout(90):
            out, err = await process.communicate(b"/hello \n:press 9\n:press 1\n:again\n:channel\nnothing\n")
        text = out.decode()
        assert process.returncode == 0, err
        assert "[only you see: I answer in our direct messages.]" in text
        assert "[1 Ada] [2 a message]" in text
        assert "There is no such button." in err.decode()
        assert ":white_check_mark: *Ada* (<@U0ADA>)" in text
        assert "That was failed, 0 seconds." in text
        assert "[app in the thread]" in text
        assert text.index("That was failed") < text.index("[app in the thread]")


async def test_faults_are_played(server):
    async with slack(server, "--fault", "500,lost,429:1") as (process, api):
        server.environment["SLACK_API_URL"] = api
        server.start()
        async with asyncio.timeout(90):
            out, err = await process.communicate(b"/hello\n")
        assert process.returncode == 0, err
        assert out.decode().count("Press 1 for Ada") == 1


async def test_without_a_server_it_says_how_to_start_one(server):
    async with slack(server) as (process, _):
        _, err = await process.communicate(b"hello\n")
        assert process.returncode == 2
        assert "make run" in err.decode()


async def test_with_another_secret_nothing_is_taken(server):
    async with slack(server, SLACK_SIGNING_SECRET="another") as (process, api):
        server.environment["SLACK_API_URL"] = api
        server.start()
        _, err = await process.communicate(b"hello\n")
        assert process.returncode == 1
        assert "The server said 401." in err.decode()


@pytest.mark.parametrize(("options", "hint"), [(["--url", "ftp://x"], "http://"), (["--fault", "b@d"], "is no fault")])
def test_wrong_usage_is_told(tmp_path, options, hint):
    done = subprocess.run([SWITCHBOARD, "slack", *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert hint in done.stderr
