"""The model's client, against servers on a socket: whole answers, broken ones, and none at all."""

import asyncio
import json
import logging
from email.utils import formatdate

import pytest
from pydantic import SecretStr
from support.models import HEAD, KEY, ModelSettings, RawServer, chunk, model_server, piece, sse

from handlers.bindings import think as module
from handlers.bindings.answer import MOST_CALLS, MOST_CHARACTERS
from handlers.bindings.breaker import FAILURES
from handlers.bindings.think import MODEL, Think, retry_after
from handlers.effects import Effects
from workflows.errors import EffectError, TerminalError, TransientError
from workflows.steps import CallStep
from workflows.think import Thought, ToolCall, Usage, think
from workflows.tools import TOOLS

HELLO = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}]
REMIND = [HELLO[0], {"role": "user", "content": "remind me to call Ada on 24 December 2030 at 9"}]
WORDS = (chunk({"role": "assistant", "content": ""}), chunk({"content": "Grüß"}), chunk({"content": " Gott 👋"}), chunk({}, "stop"))
PAID = chunk(usage={"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17})


async def ask(url, messages=HELLO, tools=(), emit=lambda _: None, **settings):
    async with Think(ModelSettings(url, **settings)) as binding:
        return await binding(messages, list(tools), emit)


async def fails(url, error=TransientError, **more):
    with pytest.raises(EffectError) as raised:
        await ask(url, **more)
    assert type(raised.value) is error
    return raised.value


# -- whole answers -------------------------------------------------------------------------------------------------------------------------


async def test_an_answer_comes_whole_and_its_words_while_they_come():
    said = []
    async with model_server() as model:
        thought = await ask(model.url, emit=said.append)
    assert thought.text.startswith("[offline demo model] Hello!")
    assert len(said) > 5
    assert "".join(said) == thought.text
    assert thought.usage.prompt_tokens > 0
    assert thought.usage.completion_tokens > 0


async def test_a_tool_is_called_with_the_arguments_put_together():
    async with model_server() as model:
        thought = await ask(model.url, REMIND, TOOLS)
    (call,) = thought.calls
    assert call.name == "create_reminder"
    assert json.loads(call.arguments) == {"description": "call Ada", "at": "2030-12-24T09:00:00"}
    assert call.id
    assert thought.text == ""


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 64, 10_000])
async def test_however_the_bytes_are_split_the_answer_is_the_same(size):
    body = sse(*WORDS, PAID)
    async with RawServer(HEAD, *[body[start : start + size] for start in range(0, len(body), size)]) as server:
        said = []
        assert await ask(server.url, emit=said.append) == Thought("Grüß Gott 👋", (), Usage(12, 5))
    assert said == ["Grüß", " Gott 👋"]


async def test_what_is_asked_is_what_chat_completions_take():
    async with RawServer(HEAD, sse(*WORDS)) as server:
        await ask(server.url, openai_model="my-model")
        await ask(server.url, REMIND, TOOLS)
    (head, body), (_, other) = server.requests
    assert head.startswith("POST /v1/chat/completions HTTP/1.1")
    assert f"bearer {KEY}" in head.lower().replace("authorization: bearer", "bearer").replace(KEY.lower(), KEY)
    assert body == {"model": "my-model", "messages": HELLO, "stream": True, "stream_options": {"include_usage": True}}
    assert (other["model"], other["tools"], other["messages"]) == (MODEL, TOOLS, REMIND)


async def test_two_calls_in_pieces_that_are_mixed_are_told_apart():
    body = sse(
        piece(0, "a", "list_tasks", ""), piece(1, "b", "cancel_task", ""), piece(1, arguments='{"na'), piece(0, arguments="{}"),
        piece(1, arguments='me": "x"}'), chunk({}, "tool_calls"),
    )  # fmt: skip
    async with RawServer(HEAD, body) as server:
        thought = await ask(server.url)
    assert thought.calls == (ToolCall("a", "list_tasks", "{}"), ToolCall("b", "cancel_task", '{"name": "x"}'))


@pytest.mark.parametrize(
    "pieces",
    [
        [piece(0, "a", "list_tasks", "{}"), piece(0, "b", "cancel_task", '{"name": "x"}')],  # all are number 0
        [piece(None, "a", "list_tasks", "{}"), piece(None, "b", "cancel_task", '{"name": '), piece(None, None, None, '"x"}')],  # no numbers
        [
            piece(0, "a", "list_tasks", "{}"),
            piece(1, "b", "cancel_task", '{"name": '),
            piece(1, "b", "cancel_task", '"x"}'),
        ],  # repeated ids
    ],
)
async def test_servers_that_number_calls_in_their_own_way_are_understood(pieces):
    async with RawServer(HEAD, sse(*pieces, chunk({}, "tool_calls"))) as server:
        thought = await ask(server.url)
    assert thought.calls == (ToolCall("a", "list_tasks", "{}"), ToolCall("b", "cancel_task", '{"name": "x"}'))


async def test_arguments_that_are_no_json_are_passed_on_as_they_are():
    async with model_server("malformed") as model:
        (call,) = (await ask(model.url, REMIND, TOOLS)).calls
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(call.arguments)


async def test_an_empty_answer_is_one():
    async with model_server("empty") as model:
        thought = await ask(model.url)
    assert (thought.text, thought.calls) == ("", ())


@pytest.mark.parametrize(
    "body",
    [
        sse(*WORDS, done=False),
        sse(*WORDS[:-1], chunk({}, "stop", usage={"prompt_tokens": None, "completion_tokens": "five"})),
        sse(*WORDS) + b"data: what is this\n\n",
        b": a comment\n\n" + sse({"choices": None}, *WORDS),
        sse(*WORDS, done=False) + b"data: {half",
    ],
)
async def test_once_the_model_has_said_that_this_is_all_nothing_else_can_spoil_it(body):
    async with RawServer(HEAD, body) as server:
        assert (await ask(server.url)).text == "Grüß Gott 👋"


async def test_a_server_that_stays_silent_after_a_whole_answer_costs_no_more_than_the_usage(monkeypatch):
    monkeypatch.setattr(module, "TAIL_SECONDS", 0.05)
    async with RawServer(HEAD, sse(*WORDS, done=False), ...) as server:
        assert await ask(server.url) == Thought("Grüß Gott 👋")


async def test_a_refusal_is_what_the_model_says():
    async with RawServer(HEAD, sse(chunk({"refusal": "I will not."}), chunk({}, "stop"))) as server:
        assert (await ask(server.url)).text == "I will not."


async def test_a_server_of_ones_own_needs_no_key():
    async with model_server() as model:
        assert (await ask(model.url, openai_api_key=None)).text


async def test_a_proxy_of_the_environment_is_not_asked_for_what_is_on_this_machine(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with model_server() as model:
        assert (await ask(model.url)).text


# -- faults --------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_what_will_not_pass_is_not_tried_again(status):
    async with model_server(f"{status}*9") as model:
        error = await fails(model.url, TerminalError)
        assert model.requests == 1
    assert str(status) in str(error)
    assert "OPENAI_MODEL" in str(error)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
async def test_what_may_pass_is_left_to_the_runner_to_try_again(status):
    async with model_server(f"{status}*9") as model:
        error = await fails(model.url)
        assert model.requests == 1, "the client's own retries are off"
    assert str(status) in str(error)
    assert error.retry_after is None


async def test_an_account_without_money_does_not_get_any_by_waiting():
    body = json.dumps(
        {"error": {"message": "You exceeded your current quota.", "type": "insufficient_quota", "code": "insufficient_quota"}}
    )
    head = f"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    async with RawServer(head.encode(), body.encode()) as server:
        assert "quota" in str(await fails(server.url, TerminalError))


async def test_retry_after_is_passed_on():
    async with model_server("429:7") as model:
        assert (await fails(model.url)).retry_after == 7.0


def test_retry_after_is_read_in_all_its_forms():
    assert retry_after({"retry-after": "2.5"}) == 2.5
    assert retry_after({"retry-after-ms": "1500", "retry-after": "9"}) == 1.5
    assert 20 < retry_after({"retry-after": formatdate(module.time.time() + 30, usegmt=True)}) <= 30
    assert retry_after({"retry-after": formatdate(1, usegmt=True)}) == 0.0
    assert retry_after({"retry-after": "-3"}) == 0.0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({"retry-after": "nan"}) is None
    assert retry_after({}) is None


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("reset", "cannot be reached, or the connection broke"),
        ("cut", "the connection broke"),
        ("end", "without a finish_reason"),
        ("error", "The server had an error"),
        ("garbage", "what is no answer"),
    ],
)
async def test_a_stream_that_breaks_off_is_no_answer(fault, told):
    async with model_server(fault) as model:
        assert told in str(await fails(model.url))


@pytest.mark.parametrize("keep", range(5))
async def test_a_stream_that_ends_before_the_model_is_no_answer_wherever_that_is(keep):
    whole = [chunk({"role": "assistant"}), chunk({"content": "one"}), chunk({"content": " two"}), piece(0, "a", "list_tasks", "{}")]
    for done in (False, True):
        async with RawServer(HEAD, sse(*whole[:keep], done=done)) as server:
            await fails(server.url)


@pytest.mark.parametrize("fault", ["hang", "stall"])
async def test_a_server_that_says_nothing_is_not_waited_for_for_ever(fault, monkeypatch):
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.2)
    async with model_server(fault) as model:
        assert "said nothing for too long" in str(await fails(model.url))


@pytest.mark.parametrize(
    "answer",
    [
        b"not even http\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 14\r\n\r\n<html> </html>",
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"choices": []}',
        HEAD + b"data: 3\n\n",
        HEAD + b'data: ["a"]\n\n',
        HEAD + b'data: {"choices": [7]}\n\n',
        HEAD + b'data: {"choices": [{"delta": {"content": 7}, "index": 0}]}\n\n',
        HEAD + b"data: \xff\xfe\n\n",
        HEAD + b'data: {"choices": [{"delta": {"tool_calls": [{"function": 7}]}, "index": 0}]}\n\n',
    ],
)
async def test_whatever_else_a_server_sends_is_a_failure_that_may_pass(answer):
    async with RawServer(answer) as server:
        await fails(server.url)


async def test_a_server_that_is_not_there_may_be_there_later():
    async with RawServer() as server:
        url = server.url
    assert "127.0.0.1 cannot be reached" in str(await fails(url))


@pytest.mark.parametrize("url", ["no url", "localhost:9/v1", "ftp://127.0.0.1/", "http://[", "http://127.0.0.1:99999/v1"])
async def test_an_address_that_is_none_is_a_failure_and_no_crash(url):
    await fails(url)


async def test_an_answer_without_an_end_is_cut_off():
    endless = sse(*[chunk({"content": "word " * 1_000}) for _ in range(MOST_CHARACTERS // 5_000 + 1)], done=False)
    async with RawServer(HEAD, endless, ...) as server:
        assert "more than 200,000 characters" in str(await fails(server.url))
        await server.left.wait()


async def test_calls_without_an_end_are_cut_off():
    pieces = [piece(number, f"id{number}", "list_tasks", "{}") for number in range(MOST_CALLS * 2)]
    async with RawServer(HEAD, sse(*pieces, chunk({}, "tool_calls"))) as server:
        assert len((await ask(server.url)).calls) == MOST_CALLS


@pytest.mark.parametrize("answer", [[...], [HEAD, sse(*WORDS[:2], done=False), ...]])
async def test_whoever_is_called_off_hangs_up_on_the_server(answer):
    async with RawServer(*answer) as server, Think(ModelSettings(server.url)) as binding:
        asking = asyncio.create_task(binding(HELLO, []))
        await server.asked.wait()
        await asyncio.sleep(0.05)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await server.left.wait()


# -- secrets -------------------------------------------------------------------------------------------------------------------------------


async def test_the_key_is_in_no_error_and_in_no_log(caplog):
    caplog.set_level(logging.DEBUG)
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}})
    head = f"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    told = []
    async with RawServer(head.encode(), body.encode()) as server:
        told.append(await fails(server.url, TerminalError))
    for fault in ("500", "reset", "cut", "garbage", "error"):
        async with model_server(fault) as model:
            told.append(await fails(model.url))
    assert "(hidden)" in str(told[0])
    for error in told:
        assert error.__cause__ is None
        assert error.__suppress_context__
    assert KEY not in f"{told!r} {[str(error) for error in told]} {caplog.text} {Think(ModelSettings('http://x'))!r}"


# -- with the runner, and the breaker ------------------------------------------------------------------------------------------------------


async def perform(binding, messages=HELLO):
    return await Effects({"think": binding}).perform(CallStep(think, (messages, []), {}, stream=True), "web:1/5/2")


async def test_a_fault_that_passes_is_not_noticed_and_what_was_charged_is_beside_the_value():
    async with model_server("500,cut") as model, Think(ModelSettings(model.url)) as binding:
        outcome = await perform(binding)
        assert model.requests == 3
    thought = think.read(outcome.value)
    assert "Hello!" in thought.text
    assert thought.usage is None
    assert outcome.usage.keys() == {"in", "out"}
    assert outcome.usage["in"] > 10


async def test_a_wait_that_is_longer_than_anybody_has_patience_for_is_answered_at_once():
    async with model_server("429:3600") as model, Think(ModelSettings(model.url)) as binding:
        kind, text, terminal = (await perform(binding)).error
        assert (kind, terminal, model.requests) == ("TransientError", False, 1)
        assert "429" in text
        assert (await perform(binding)).error is None


async def test_in_an_outage_nobody_is_kept_waiting_and_when_it_is_over_the_next_message_works(monkeypatch):
    async with model_server("503*1000") as model, Think(ModelSettings(model.url)) as binding:
        now = [0.0]
        binding._breaker._clock = lambda: now[0]
        for _ in range(20):
            assert (await perform(binding)).error is not None
        assert model.requests == FAILURES
        assert (await perform(binding)).error == ("TerminalError", "the model failed 5 times in a row and is left alone for a while", True)
        now[0] += 1.0
        assert (await perform(binding)).error is not None
        assert model.requests == FAILURES + 1, "one attempt is made to see whether it is over"
        model.faults.clear()
        now[0] += 2.0
        assert (await perform(binding)).error is None
        assert (await perform(binding)).error is None


async def test_one_client_does_for_all_and_is_there_before_a_server_with_a_key_listens():
    async with Think(ModelSettings("http://127.0.0.1:9/v1", None)) as idle:
        assert idle._client is None, "the demo model may never be asked"
    async with Think(ModelSettings("http://127.0.0.1:9/v1")) as ready:
        assert ready._client.done()
    async with model_server() as model, Think(ModelSettings(model.url)) as binding:
        outcomes = await asyncio.gather(*[perform(binding) for _ in range(20)])
        assert [outcome.error for outcome in outcomes] == [None] * 20
        client = await binding._client
    assert client.is_closed()


def test_settings_show_no_key():
    assert KEY not in repr(ModelSettings("http://x", SecretStr(KEY)))
