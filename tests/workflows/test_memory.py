"""The memory of the assistant: always fit for a server of Chat Completions, and never larger than it may be."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.scripted import check

from workflows.memory import BUDGET, DIGEST_BYTES, KEPT, MOST_BYTES, Memory, Past, clip, estimate
from workflows.think import ToolCall

LIST = ToolCall("a", "list_tasks", "{}")


def memory_of(turns: int, size: int = 200) -> Memory:
    memory = Memory(Past())
    for turn in range(turns):
        memory.hear(f"question {turn} {'x' * size}")
        memory.act("", [LIST], [f"result {turn}"])
        memory.answer(f"answer {turn}")
    return memory


def roles(memory: Memory) -> list[str]:
    return [message["role"] for message in memory.prompt("x")]


def test_a_new_memory_asks_with_the_instructions_and_what_was_said() -> None:
    memory = Memory(Past())
    assert not memory.awaits_answer
    memory.hear("hello")
    assert memory.awaits_answer
    assert memory.prompt("Be kind.") == [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}]
    memory.answer("hi")
    assert not memory.awaits_answer


def test_a_prompt_does_not_change_with_what_comes_later() -> None:
    memory = memory_of(1)
    prompt = memory.prompt("x")
    before = json.dumps(prompt)
    memory.hear("more")
    memory.forget("")
    assert json.dumps(prompt) == before


def test_calls_stand_with_their_results_in_order() -> None:
    memory = Memory(Past())
    memory.hear("x")
    memory.act("Let me see.", [LIST, ToolCall("b", "cancel_task", '{"name": "x"}')], ["one", "two"])
    assert memory.prompt("x")[2:] == [
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "list_tasks", "arguments": "{}"}},
                {"id": "b", "type": "function", "function": {"name": "cancel_task", "arguments": '{"name": "x"}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "one"},
        {"role": "tool", "tool_call_id": "b", "content": "two"},
    ]


def test_what_servers_refuse_in_a_call_is_mended() -> None:
    memory = Memory(Past())
    memory.hear("x")
    memory.act("", [ToolCall("", "cancel task!", "{"), ToolCall("", "", "[]"), ToolCall("", "x" * 99, "")], ["1", "2", "3"])
    check(memory.prompt("x"))
    assert [call["function"]["name"] for call in memory.prompt("x")[2]["tool_calls"]] == ["cancel_task_", "unknown", "x" * 64]


def test_a_notice_is_remembered_as_the_assistants_word() -> None:
    memory = Memory(Past())
    memory.notice("Reminder: call Ada")
    memory.notice("Reminder: call Bob")
    memory.hear("thanks")
    check(memory.prompt("x"))
    assert memory.prompt("x")[2] == {"role": "assistant", "content": "Reminder: call Ada"}


def test_a_full_memory_keeps_the_newest_whole_turns_and_a_digest() -> None:
    memory = memory_of(BUDGET // 100)
    assert memory.is_full
    newest = memory.prompt("x")[-1]
    memory.forget("They talked.")
    assert not memory.is_full
    assert KEPT * 0.8 < memory.tokens <= KEPT
    prompt = memory.prompt("Be kind.")
    assert prompt[0]["content"] == "Be kind.\n\nEarlier in this conversation, in short:\nThey talked."
    assert prompt[1]["role"] == "user"
    assert prompt[-1] == newest
    check([*prompt, {"role": "user", "content": "x"}])


def test_what_is_condensed_is_what_goes_and_the_digest_before_it() -> None:
    memory = memory_of(BUDGET // 100)
    memory.forget("They met.")
    first = memory.prompt("x")[1]["content"].split(" x")[0]
    for turn in range(BUDGET // 100):
        memory.hear(f"new {turn}")
        memory.answer("fine" * 50)
    asked = memory.condensing()
    check(asked)
    text = asked[1]["content"]
    assert text.startswith(f"Before: They met.\nuser: {first}")
    assert "assistant calls list_tasks {}\ntool: result" in text
    memory.forget("They met and talked.")
    for message in memory.prompt("x")[1:]:
        assert message["content"] not in text or message["content"] == "fine" * 50


def test_without_a_new_digest_the_old_one_stays() -> None:
    memory = memory_of(300)
    memory.forget("They met.")
    memory.forget(None)
    assert "They met." in memory.prompt("x")[0]["content"]


def test_a_turn_too_large_to_be_kept_is_condensed_as_well() -> None:
    memory = Memory(Past())
    memory.hear("x")
    memory.act("", [LIST] * 8, ["y" * MOST_BYTES] * 8)
    memory.answer("z")
    memory.forget("Much.")
    assert roles(memory) == ["system"]
    assert memory.tokens == 0


def test_a_long_text_is_cut_between_characters() -> None:
    assert clip("a" * 10, 10) == "a" * 10
    assert clip("a" * 11, 10) == "a" * 10 + "…"
    assert clip("ä" * 5, 10) == "ä" * 5
    assert clip("ä" * 6, 11) == "ä" * 5 + "…"
    memory = Memory(Past())
    memory.hear("ä" * 100_000)
    memory.answer("b" * 100_000)
    memory.forget("c" * 100_000)
    assert memory.tokens <= KEPT
    assert len(memory.past.digest) == DIGEST_BYTES + 1


def test_a_restart_takes_it_along() -> None:
    memory = memory_of(3)
    memory.forget("They met.")
    again = Memory(memory.past)
    assert again.prompt("x") == memory.prompt("x")
    assert again.tokens == memory.tokens
    again.hear("x")
    assert not memory.awaits_answer


texts = st.text(max_size=30) | st.builds(lambda text: text * 500, st.text(min_size=1, max_size=10))
tool_calls = st.lists(
    st.builds(ToolCall, st.sampled_from(["", "a", "b", "c" * 100]) | st.text(max_size=5), texts, st.just("{}") | texts),
    min_size=1,
    max_size=8,
)
turns = st.tuples(texts.filter(bool), st.lists(tool_calls, max_size=3), texts.filter(bool))


@given(st.lists(turns | st.none() | texts, max_size=12))
def test_whatever_happens_it_is_fit_for_a_server(story: list[Any]) -> None:
    """A turn with its calls, a digest (None: it failed), or a notice."""
    memory = Memory(Past())
    for part in story:
        match part:
            case (said, rounds, answered):
                memory.hear(said)
                check(memory.prompt("x"))
                for calls in rounds:
                    memory.act("", calls, ["result"] * len(calls))
                    check(memory.prompt("x"))
                memory.answer(answered)
            case str():
                memory.notice(part or "news")
            case None:
                memory.forget(None)
                assert memory.tokens <= KEPT
        assert memory.tokens == sum(map(estimate, memory.prompt("")[1:]))
        memory = Memory(memory.past)
