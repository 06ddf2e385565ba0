"""The offline demo model as a server: the protocol, the faults, the command, and that a server without a key uses it."""

import asyncio
import json
import re
import signal
import socket
import subprocess

import aiohttp
import pytest
from support.models import model_server
from support.server import SWITCHBOARD

from switchboard.plugins import opened_bindings, opened_services
from switchboard.settings import Settings
from telephony.simulators.model import wire
from telephony.simulators.model.faults import KINDS, Fault, script
from workflows.tools import TOOLS

REMIND = [{"role": "user", "content": "remind me to call Ada in ten minutes"}]


async def post(url, body, **more):
    async with aiohttp.ClientSession() as http, http.post(f"{url}/chat/completions", data=json.dumps(body), **more) as response:
        return response.status, response.headers, await response.text()


def events(text):
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\n") if line.startswith("data: {")]


async def test_an_answer_in_one_piece_has_what_clients_expect():
    async with model_server() as model:
        status, _, text = await post(model.url, {"model": "any", "messages": REMIND, "tools": TOOLS})
    answer = json.loads(text)
    (choice,) = answer["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert (status, answer["object"], answer["model"], choice["finish_reason"]) == (200, "chat.completion", wire.NAME, "tool_calls")
    assert (call["type"], call["function"]["name"], choice["message"]["content"]) == ("function", "create_reminder", None)
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"] > 0


async def test_a_stream_puts_together_to_the_same_answer_and_ends_with_done():
    async with model_server() as model:
        body = {"messages": REMIND, "tools": TOOLS, "stream": True, "stream_options": {"include_usage": True}}
        _, headers, text = await post(model.url, body)
    assert headers["Content-Type"].startswith("text/event-stream")
    assert text.endswith("data: [DONE]\n\n")
    *chunks, usage = events(text)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert all(chunk["usage"] is None for chunk in chunks)
    assert (usage["choices"], usage["usage"]["total_tokens"] > 0) == ([], True)
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-2:] == [None, "tool_calls"]
    pieces = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert len(pieces) > 3
    assert json.loads("".join(piece["function"]["arguments"] for piece in pieces))["description"] == "call Ada"


async def test_no_usage_is_sent_that_was_not_asked_for():
    async with model_server() as model:
        _, _, text = await post(model.url, {"messages": REMIND, "stream": True})
    assert "usage" not in text


async def test_it_lists_itself_and_counts_what_it_was_asked():
    async with model_server() as model, aiohttp.ClientSession() as http:
        async with http.get(f"{model.url}/models") as response:
            assert [each["id"] for each in (await response.json())["data"]] == [wire.NAME]
        await post(model.url, {"messages": REMIND})
        await post(model.url, {"messages": REMIND, "stream": True})
        async with http.get(f"{model.url.removesuffix('/v1')}/healthz") as response:
            assert (await response.json())["requests"] == model.requests == 2


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("no json", "JSON"),
        ("[" * 100_000, "JSON"),
        ("[]", "object"),
        ("{}", "messages"),
        ('{"messages": []}', "messages"),
        ('{"messages": ["hi"]}', "messages"),
        ('{"messages": [{"content": "hi"}]}', "messages"),
        ('{"messages": [{"role": "user", "content": "hi"}], "tools": []}', "tools"),
        ('{"messages": [{"role": "user", "content": "hi"}], "tools": "all"}', "tools"),
        ('{"messages": [{"role": "user", "content": "hi"}], "tools": [{"function": "x"}]}', "tools"),
        ('{"messages": [{"role": "user", "content": "hi"}], "stream": true, "stream_options": 7}', "stream_options"),
    ],
)
async def test_a_request_that_is_none_is_refused_as_openai_refuses_it(body, told):
    async with model_server() as model, aiohttp.ClientSession() as http, http.post(f"{model.url}/chat/completions", data=body) as response:
        assert response.status == 400
        error = (await response.json())["error"]
    assert error["type"] == "invalid_request_error"
    assert told in error["message"]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": None},
        {"role": "user"},
        {"role": "user", "content": [{"type": "text", "text": "hello"}, {"type": "image_url"}]},
        {"role": "tool", "content": 7},
        {"role": "assistant", "content": "hello"},
        {"role": "system", "content": "Condense"},
        {"role": "system", "content": "It is Monday, 2026-99-99T99:99:99 in the user's time zone, Nowhere/Land."},
        {"role": "user", "content": "remind me " * 2_000},
        {"role": "user", "content": "\u0000\u202e\U0001f600 watch flights from " + "A" * 50_000},
    ],
)
async def test_whatever_stands_in_a_message_it_has_an_answer(message):
    async with model_server() as model:
        status, _, text = await post(model.url, {"messages": [message], "tools": TOOLS})
    assert status == 200, text


# -- faults --------------------------------------------------------------------------------------------------------------------------------


def test_a_script_of_faults_is_read_in_order():
    assert script("429:2, hang,ok*2,") == [Fault("status", 2.0, 429), Fault("hang"), Fault("ok"), Fault("ok")]
    assert script("") == []
    assert [fault.kind for fault in script(",".join(KINDS))] == list(KINDS)


@pytest.mark.parametrize("text", ["explode", "200", "429:", "hang*", "42", "cut:x"])
def test_a_fault_that_is_none_is_refused_with_those_that_there_are(text):
    with pytest.raises(ValueError, match="malformed"):
        script(text)


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503, 599])
async def test_a_status_is_answered_once_with_an_error_and_then_all_is_well(status):
    async with model_server(f"{status}:3") as model:
        code, headers, text = await post(model.url, {"messages": REMIND})
        assert (code, headers["Retry-After"]) == (status, "3")
        assert json.loads(text)["error"]["message"]
        assert (await post(model.url, {"messages": REMIND}))[0] == 200


@pytest.mark.parametrize("fault", ["reset", "cut"])
async def test_a_connection_that_is_closed_is_seen_as_that(fault):
    async with model_server(fault) as model:
        with pytest.raises(aiohttp.ClientError):
            await post(model.url, {"messages": REMIND, "stream": True})


@pytest.mark.parametrize("fault", ["hang", "stall"])
async def test_a_server_that_hangs_lets_go_when_the_client_does(fault):
    async with model_server(fault) as model:
        with pytest.raises(TimeoutError):
            await post(model.url, {"messages": REMIND, "stream": True}, timeout=aiohttp.ClientTimeout(total=0.2))
        assert (await post(model.url, {"messages": REMIND}))[0] == 200


@pytest.mark.parametrize("fault", ["end", "error", "garbage"])
async def test_a_stream_that_breaks_off_has_no_terminal_event(fault):
    async with model_server(fault) as model:
        _, _, text = await post(model.url, {"messages": REMIND, "stream": True})
    assert "[DONE]" not in text
    assert "finish_reason" in text
    assert not re.search(r'"finish_reason": "', text)


# -- the command, and the service ----------------------------------------------------------------------------------------------------------


async def test_the_command_serves_it_with_faults_until_it_is_stopped(tmp_path):
    process = subprocess.Popen(  # noqa: ASYNC220 - it blocks for a moment, and nothing else runs here
        [SWITCHBOARD, "model", "--port", "0", "--fault", "503", "--pace", "0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        line = await asyncio.to_thread(process.stdout.readline)
        url = re.search(r"OPENAI_BASE_URL=(\S+)", line)[1]
        assert (await post(url, {"messages": REMIND}))[0] == 503
        assert (await post(url, {"messages": REMIND}))[0] == 200
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        process.stdout.close()


@pytest.mark.parametrize("words", [["--fault", "explode"], ["--port", "taken"]])
def test_the_command_says_in_a_sentence_what_it_cannot_do(words, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words = [str(taken.getsockname()[1]) if word == "taken" else word for word in words]
        done = subprocess.run([SWITCHBOARD, "model", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "explode" in done.stderr or "cannot listen" in done.stderr


async def test_without_a_key_a_server_brings_the_offline_model_with_it():
    async with opened_services(Settings()) as settings, opened_bindings(settings) as bindings:
        assert settings.openai_base_url.startswith("http://127.0.0.1:")
        thought = await bindings["think"]([{"role": "user", "content": "hello"}], [])
        assert thought.text.startswith("[offline demo model]")
    with pytest.raises(aiohttp.ClientConnectionError):
        await post(settings.openai_base_url, {"messages": REMIND})


@pytest.mark.parametrize("named", [{"openai_api_key": "sk-1"}, {"openai_base_url": "http://127.0.0.1:1/v1"}])
async def test_with_a_model_of_ones_own_none_is_brought(named):
    given = Settings.model_validate(named)
    async with opened_services(given) as settings:
        assert settings is given
