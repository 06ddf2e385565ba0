"""The command `switchboard alexa say`: a person's, and a script's, against servers of their own process."""

import json
import os
import pty
import re
import select
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from support.server import SWITCHBOARD, ServerProcess

BEDTIME = '[lines]\n"alexa:*" = { workflow = "bedtime", args = { boys = ["Ben", "Max"] } }\n'


@pytest.fixture(scope="module")
def server():
    with tempfile.TemporaryDirectory(prefix="sb") as folder:
        running = ServerProcess(Path(folder) / "a house", BEDTIME).start()
        yield running
        running.end()


def say(server, *arguments, url=None, **environment):
    clean = {key: value for key, value in server.environment.items() if not key.startswith("ALEXA_")} | {"COLUMNS": "200", **environment}
    return subprocess.run(
        [SWITCHBOARD, "alexa", "say", "--url", url or server.url, *arguments],
        cwd=server.folder, env=clean, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_script_is_said_word_by_word(server):
    done = say(server, "not yet", "help", "yes", "--user", "a")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"^> (.*)", done.stdout, re.MULTILINE) == ["not yet", "help", "yes"]
    assert "Ben and Max, get ready for bed! Are they on their way?" in done.stdout
    assert "Well done. Good night, Ben and Max!\n[the session is over]" in done.stdout


def test_a_reminder_needs_consent(server):
    assert (
        "[a card in the app: AskForPermissionsConsent alexa::alerts:reminders:skill:readwrite]"
        in say(server, "snooze", "--user", "b").stdout
    )
    assert "[a reminder in 1200 s: Ben and Max, get ready for bed!]" in say(
        server, "snooze for 20 minutes", "--user", "b", "--consent"
    ).stdout  # fmt: skip


def test_json_is_for_programs(server):
    done = say(server, "yes", "--json", "--user", "c")
    first, last = map(json.loads, done.stdout.splitlines())
    assert first["answer"]["response"]["shouldEndSession"] is first["ends"] is False
    assert (last["text"], last["ends"]) == ("Well done. Good night, Ben and Max!", True)


def test_a_script_that_is_not_used_up_is_told(server):
    done = say(server, "yes", "one more", "and more", "--user", "d")
    assert done.returncode == 1
    assert "2 of its inputs were not used" in done.stderr


def test_a_script_that_ends_early_leaves(server):
    assert say(server, "not yet", "--user", "e").returncode == 0
    again = say(server, "yes", "--user", "e")
    assert "get ready for bed" in again.stdout, "the caller has left, so it begins anew"


def test_without_a_server_it_says_what_to_do(server):
    done = say(server, "yes", url="http://127.0.0.1:1")
    assert done.returncode == 2
    assert "No server at http://127.0.0.1:1" in done.stderr
    assert say(server, "yes", url="127.0.0.1:1").returncode == 2


def test_with_certificates_of_another_server_it_is_refused(server, tmp_path):
    done = say(server, "yes", "--data", str(tmp_path / "other"))
    assert done.returncode == 1
    assert "400 Bad request." in done.stderr
    assert "--data" in done.stderr
    assert "does not fit the body" in server.output()


def test_the_skill_is_the_servers(server):
    done = say(server, "yes", ALEXA_SKILL_ID="amzn1.ask.skill.another")
    assert done.returncode == 1
    assert "Set ALEXA_SKILL_ID" in server.output()


def test_a_server_beyond_loopback_does_not_trust_the_simulator(tmp_path):
    with tempfile.TemporaryDirectory(prefix="sb") as folder:
        running = ServerProcess(Path(folder) / "a house", BEDTIME + '[server]\nhost = "0.0.0.0"\n')
        running.start(wait=False)
        try:
            while (found := re.search(r"http://0\.0\.0\.0:(\d+)", running.output())) is None:
                assert running.process.poll() is None, running.output()
                time.sleep(0.02)
            done = say(running, "yes", url=f"http://127.0.0.1:{found[1]}")
            assert done.returncode == 1
            assert "400 Bad request." in done.stderr
        finally:
            running.end()


def test_at_the_keyboard_an_empty_line_is_silence_and_the_end_of_input_leaves(server):
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [SWITCHBOARD, "alexa", "say", "--url", server.url, "--user", "f"],
        cwd=server.folder, env=server.environment | {"TERM": "dumb"}, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    heard = ""

    def until(text):
        nonlocal heard
        while text not in heard:
            assert select.select([master], [], [], 30)[0], heard
            heard += os.read(master, 4096).decode()

    try:
        until("Are they on their way?")
        os.write(master, b"not yet\n")
        until("To bed, now, please!")
        until("> ")
        heard = ""
        os.write(master, b"\n")
        assert process.wait(30) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(master)


def test_help_is_quick_to_read_and_complete():
    done = subprocess.run([SWITCHBOARD, "alexa", "--help"], capture_output=True, text=True, check=True)
    assert "say" in done.stdout
    assert "model" in done.stdout
    told = subprocess.run([SWITCHBOARD, "alexa", "say", "--help"], capture_output=True, text=True, check=True).stdout
    assert "Exit status" in told
