"""What the README shows is run here, as it stands there."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

from support.server import SWITCHBOARD, ServerProcess

from telephony.simulators.events import Said

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_workflow_and_its_test_run_as_they_are_printed(tmp_path):
    workflow, test = blocks("python")
    (tmp_path / "hello.py").write_text(workflow)
    (tmp_path / "test_hello.py").write_text(test)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_hello.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


async def test_the_workflow_answers_the_phone_with_the_settings_as_they_are_printed(tmp_path):
    workflow, _ = blocks("python")
    (settings,) = blocks("toml")
    server = ServerProcess(tmp_path / "my bot", settings)
    (server.folder / "hello.py").write_text(workflow)
    server.start()
    try:
        async with server.phone() as phone:
            call = phone.call()
            heard = [*await call.start(), *await call.say("Ada"), *await call.press("1"), *await call.stay_silent()]
        said = [event.text for event in heard if isinstance(event, Said)]
        assert said[0] == "Hello! What is your name?"
        assert "Ada, tea or coffee?" in said
        assert said[-1] == "Tea it is. Goodbye!"
    finally:
        server.end()


async def test_the_chat_goes_as_it_is_printed_and_the_server_says_how_to_begin_it(tmp_path):
    (dialogue,) = blocks("text")
    *lines, notice = dialogue.splitlines()
    server = ServerProcess(tmp_path / "as it comes", "").start()
    try:
        assert f"switchboard chat --url {server.url}    to chat with it" in server.output()
        assert '"web:*" = "mybot:greet"' in server.output()
        chat = await asyncio.create_subprocess_exec(
            SWITCHBOARD, "chat", "--url", server.url, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        chat.stdin.write("".join(line.removeprefix("> ") + "\n" for line in lines if line.startswith("> ")).encode())
        printed = []
        async with asyncio.timeout(60):
            while notice not in printed:
                printed.append((await chat.stdout.readline()).decode().rstrip("\n"))
                assert printed[-1] or not chat.stdout.at_eof(), printed
        chat.stdin.close()
        await chat.communicate()  # to the end of what it says: else a pipe stays open
    finally:
        server.end()
    told = "\n".join(line for line in printed[2:] if line not in (notice, "[tasks: ]"))
    pattern = re.escape("\n".join(lines)).replace("…", r"[^\n]*?")
    assert re.fullmatch(pattern, told), told


def test_the_workflow_has_about_ten_lines():
    workflow, _ = blocks("python")
    assert len([line for line in workflow.splitlines() if line.strip()]) <= 12


def test_every_page_that_is_linked_is_there():
    root = Path(__file__).parents[1]
    for page in [root / "README.md", root / "CHANGELOG.md", *(root / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
