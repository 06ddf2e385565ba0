import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.twilio_line import ACCOUNT, TOKEN, TwilioLine

from telephony.simulators.phone import STATUS, VOICE

COMMAND = "import typer; from telephony.simulators.call import call; typer.run(call)"
ROOT = Path(__file__).parents[2]
MENU = {
    VOICE: '<Gather action="/menu" numDigits="1"><Say>Press 1 for an elf</Say></Gather><Say>Nobody there</Say>',
    "/menu": '<Gather action="/wish" input="speech"><Say>What is your wish?</Say></Gather>',
    "/wish": "<Say>Ho ho ho!</Say><Pause/><Play>/bells.mp3</Play>",
}


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "a data directory"
    folder.mkdir()
    (folder / "secrets.toml").write_text(f'twilio_auth_token = "{TOKEN}"\ntwilio_account_sid = "{ACCOUNT}"\n')
    return folder


@asynccontextmanager
async def command(*arguments, env=None):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TWILIO_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        COMMAND,
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**clean, "COLUMNS": "200", **(env or {})},
        # As at a terminal: whoever runs the tests in the background has SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def run(*arguments, typed="", env=None):
    async with command(*arguments, env=env) as process:
        out, err = await process.communicate(typed.encode())
        return process.returncode, out.decode(), err.decode()


async def until(process, text):
    seen = ""
    while text not in seen:
        character = (await process.stdout.read(1)).decode()
        assert character, f"ended after {seen!r}"
        seen += character
    return seen


async def test_a_person_types_keys_and_words_and_reads_what_is_said(data):
    line = TwilioLine(MENU)
    async with line.serving() as url:
        status, out, err = await run("--url", url, "--data", data, "--to", "+15550123", typed="1\na pony\n")
    assert (status, err) == (0, "")
    said = [text for text in out.splitlines() if not text.startswith("[")]
    assert said == ["Press 1 for an elf", "keys> What is your wish?", "words> Ho ho ho!"]
    assert out.startswith(f"[+12025550199 calls +15550123, session phone:{line.requests[0][1]['CallSid']}]")
    assert out.endswith(f"[1 s of silence]\n[plays {url}/bells.mp3]\n[the call is over]\n")
    assert [form["SpeechResult"] for form in line.forms("/wish")] == ["a pony"]


async def test_an_empty_line_is_silence_and_words_are_not_heard_where_only_keys_are(data):
    line = TwilioLine(MENU)
    async with line.serving() as url:
        status, out, err = await run("--url", url, "--data", data, typed="an elf\n\n")
    assert status == 0
    assert "Only keys are heard here" in err
    assert "keys> keys> Nobody there\n" in out


async def test_the_end_of_the_input_hangs_up(data):
    line = TwilioLine(MENU)
    async with line.serving() as url:
        status, out, _ = await run("--url", url, "--data", data, typed="1\n")
    assert (status, out.splitlines()[-1]) == (0, "[the call is over]")
    assert [form["CallStatus"] for form in line.forms(STATUS)] == ["completed"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send to another process")
async def test_ctrl_c_at_the_prompt_hangs_up(data):
    line = TwilioLine(MENU)
    async with line.serving() as url, command("--url", url, "--data", data) as process:
        await until(process, "keys> ")
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    assert [form["CallStatus"] for form in line.forms(STATUS)] == ["completed"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send to another process")
async def test_ctrl_c_while_the_server_is_busy_hangs_up(data):
    line = TwilioLine({VOICE: "<Say>One moment</Say><Redirect>/slow</Redirect>"})
    answer, busy = line.answer, asyncio.Event()

    async def slowly(request):
        if request.path == "/slow":
            busy.set()
            await asyncio.sleep(3600)
        return await answer(request)

    line.answer = slowly
    async with line.serving() as url, command("--url", url, "--data", data) as process:
        await busy.wait()
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    assert [form["CallStatus"] for form in line.forms(STATUS)] == ["completed"]


async def test_a_script_presses_all_its_keys_then_speaks_then_hangs_up(data):
    documents = MENU | {"/wish": '<Gather action="/never"><Say>More?</Say></Gather>'}
    documents[VOICE] = '<Gather action="/menu" numDigits="2"><Say>First</Say></Gather><Gather action="/menu"><Say>Again</Say></Gather>'
    line = TwilioLine(documents)
    async with line.serving() as url:
        status, out, err = await run("--url", url, "--data", data, "--say", "a pony", "--keys", ",12#", "--json")
    assert (status, err) == (0, "")
    events = [json.loads(text) for text in out.splitlines()]
    kinds = ["calling", "said", "asked", "nothing", "said", "asked", "keys", "said", "asked", "words", "said", "asked", "hangup", "hungup"]
    assert [event["event"] for event in events] == kinds
    assert events[0] == {"event": "calling", "sid": line.requests[0][1]["CallSid"], "from_": "+12025550199", "to": "+15550100"}
    assert events[1] == {"event": "said", "text": "First"}
    assert events[6] == {"event": "keys", "keys": "12#"}
    assert events[-1] == {"event": "hungup", "reason": "caller", "detail": "", "status": None}
    assert [form["Digits"] for form in line.forms("/menu")] == ["12"]


async def test_a_script_that_was_not_used_up_fails(data):
    line = TwilioLine({VOICE: '<Gather action="/a"/>', "/a": "<Hangup/>"})
    async with line.serving() as url:
        status, _, err = await run("--url", url, "--data", data, "--keys", "1,2,3")
    assert status == 1
    assert err == "The call was over before the script was: 2 of 3 inputs were not used.\n"


async def test_an_error_of_the_server_fails_and_says_what_it_was(data):
    async with TwilioLine({VOICE: 500}).serving() as url:
        status, _, err = await run("--url", url, "--data", data, "--json")
    assert (status, err) == (1, "")
    async with TwilioLine({VOICE: 500}).serving() as url:
        status, _, err = await run("--url", url, "--data", data)
    assert status == 1
    assert err == f"The call was dropped: {url}{VOICE} answered 500 (Twilio error 11200)\n"


async def test_without_a_server_there_is_one_clear_sentence(tmp_path):
    status, out, err = await run("--url", "http://127.0.0.1:1", "--data", tmp_path / "nothing")
    assert (status, out) == (2, "")
    assert err == "No server at http://127.0.0.1:1. Start one with: make run (or switchboard serve)\n"


async def test_a_refused_signature_is_explained(data):
    async with TwilioLine(MENU).serving() as url:
        status, _, err = await run("--url", url, "--data", data, env={"TWILIO_AUTH_TOKEN": "another"})
        assert status == 1
        assert f"made with the token from TWILIO_AUTH_TOKEN in the environment for the address {url}." in err
        assert "--url its PUBLIC_URL if it has one" in err
        status, _, err = await run("--url", url, "--data", data / "none")
        assert status == 1
        assert f"made with the token from nowhere: {data / 'none' / 'secrets.toml'} has none" in err


async def test_the_environments_secrets_win(data):
    (data / "secrets.toml").write_text('twilio_auth_token = "another"\ntwilio_account_sid = "AC2"\n')
    line = TwilioLine(MENU)
    async with line.serving() as url:
        status, _, _ = await run("--url", url, "--data", data, "--keys", "", env={"TWILIO_AUTH_TOKEN": TOKEN, "TWILIO_ACCOUNT_SID": "AC1"})
    assert status == 0
    assert line.requests[0][1]["AccountSid"] == "AC1"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [(["--keys", "1,x"], "a telephone has no key for 'x'"), (["--url", "localhost:8080"], "does not begin with http:// or https://")],
)
async def test_a_wrong_option_is_named_with_its_remedy(data, arguments, problem):
    status, _, err = await run("--data", data, *arguments)
    assert status == 2
    assert problem in err


async def test_a_broken_secrets_file_is_named(data):
    (data / "secrets.toml").write_text("twilio_auth_token = ")
    status, _, err = await run("--data", data)
    assert status == 2
    assert "cannot be read" in err


async def test_a_call_goes_on_when_its_server_was_started_again(data):
    line = TwilioLine(MENU)
    async with line.serving() as url:
        process_context = command("--url", url, "--data", data)
        process = await process_context.__aenter__()
        await until(process, "keys> ")
    try:
        process.stdin.write(b"1\n")
        told = await process.stderr.readline()
        assert told == b"The server does not answer. Waiting a minute for it to come back; Ctrl-C hangs up.\n"
        async with line.serving():
            assert await until(process, "words> ") == "What is your wish?\nwords> "
            process.stdin.close()
            assert await process.wait() == 0
    finally:
        await process_context.__aexit__(None, None, None)
    assert len({form["CallSid"] for _, form, _ in line.requests}) == 1


async def test_control_characters_of_a_server_do_not_reach_the_terminal(data):
    async with TwilioLine({VOICE: "<Say>a\u009b31mb\u202ec</Say>"}).serving() as url:
        _, out, _ = await run("--url", url, "--data", data)
    assert "a 31mb c\n" in out
