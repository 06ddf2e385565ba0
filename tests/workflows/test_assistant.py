"""The assistant, as its users meet it, with a scripted model that looks at every prompt as a strict server would."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scripted import Model, calls

from workflows.assistant import CHAT_ONLY, DONE, GREETING, LOST, MOST_CALLS, MOST_ROUNDS, SPEECHLESS, UNREACHABLE, assistant
from workflows.errors import RehearsalError
from workflows.events import Heard, Memo, Opened, decode, encode
from workflows.fares import Quote, find_fares
from workflows.memory import BUDGET, KEPT, Memory, Past
from workflows.registry import Registry
from workflows.run import Run
from workflows.tasks import MOST_TASKS
from workflows.testing import Rehearsal
from workflows.think import Thought, ToolCall, think
from workflows.tools import TOOLS, UNCLEAR

HOUR = timedelta(hours=1)
ADA = ("create_reminder", {"name": "ada", "description": "call Ada", "at": "2026-11-24T09:00"})
JFK = (
    "watch_flight",
    {"origin": "LHR", "destination": "JFK", "departure": "2026-12-24", "return_": "2026-12-31", "max_price": 300, "currency": "eur"},
)
ADA_SAID = 'Reminder "ada": call Ada, tomorrow, Tuesday 24 November, 09:00 London time.'
JFK_SAID = (
    'Flight watch "lhr-jfk": LHR to JFK, Thursday 24 December 2026, back Thursday 31 December 2026, for at most 300.00 EUR. '
    "I look every 6 hours."
)


def fare(price: str) -> Quote:
    return Quote(Decimal(price), "EUR", "simulated fares")


class Chat:
    """A rehearsal of the assistant on the web, on a Monday evening in London, with a scripted model."""

    def __init__(self, *script: Any, model: Model | None = None, fares: Any = None, channel: str = "web", **options: Any) -> None:
        self.model = model or Model(*script)
        self.call = Rehearsal(
            assistant,
            at="2026-11-23T18:00",
            channel=channel,
            time_zone="Europe/London",
            effects={think: self.model, find_fares: fares if fares is not None else fare("412")},
            **options,
        )

    def say(self, text: str, *script: Any) -> list[Any]:
        """Say something, to which the model answers by that script; gives what was heard, without what has no words."""
        self.model.script.extend(script)
        return [each for each in self.call.say(text) if each]

    def results(self) -> list[str]:
        """What the tools of the last turn told the model."""
        messages = self.model.prompts[-1]
        last = max(index for index, message in enumerate(messages) if message["role"] == "user")
        return [message["content"] for message in messages[last:] if message["role"] == "tool"]

    @property
    def names(self) -> list[str]:
        return [task["name"] for task in self.call.note]


# -- chatting ------------------------------------------------------------------------------------------------------------------------------


def test_it_greets_and_answers_by_the_model() -> None:
    chat = Chat()
    assert chat.call.said == [GREETING]
    assert chat.say("hello", "Hi!") == ["Hi!"]
    assert chat.say("and?", "That is all.") == ["That is all."]
    assert [message["content"] for message in chat.model.prompts[-1][1:]] == ["hello", "Hi!", "and?"]


def test_the_model_knows_the_time_where_the_user_is() -> None:
    chat = Chat()
    chat.call.pass_time(timedelta(days=1, seconds=7))
    chat.say("hello")
    assert "It is Tuesday, 2026-11-24T18:00:07 in the user's time zone, Europe/London." in chat.model.prompts[0][0]["content"]


def test_the_model_is_asked_once_for_each_message_and_never_on_replay() -> None:
    chat = Chat(evict=True)
    for number in range(5):
        chat.say(f"message {number}")
    assert len(chat.model.prompts) == 5


def test_prompts_are_not_on_record() -> None:
    chat = Chat()
    chat.say("a question that is on record once", "An answer.")
    stored = b"".join(encode(event, bytes(8)) for event in chat.call.history)
    assert stored.count(b"a question that is on record once") == 1
    assert stored.count(b"An answer.") == 1
    assert b"friendly" not in stored


def test_what_an_answer_was_charged_for_is_no_part_of_its_value() -> None:
    chat = Chat()
    chat.say("hello", "Hi!")
    (memo,) = [event for event in chat.call.history if isinstance(event, Memo)]
    assert msgspec.msgpack.decode(memo.value) == {"text": "Hi!"}
    assert memo.usage == {"in": 2, "out": 1}


def test_messages_that_come_while_it_thinks_are_answered_in_turn() -> None:
    call = Rehearsal(assistant, channel="web", effects={think: ...})
    call.say("one")
    call.say("two")
    assert call.finish(think, {"text": "first"}) == ["first"]
    assert call.finish(think, {"text": "second"}) == ["second"]


@pytest.mark.parametrize("error", [OSError("no route"), TimeoutError()])
def test_when_the_model_cannot_be_reached_it_says_so_and_the_next_message_works(error: Exception) -> None:
    chat = Chat()
    assert chat.say("hello", error) == [UNREACHABLE]
    assert chat.say("hello again", "Hi!") == ["Hi!"]


def test_when_the_model_is_lost_between_a_tool_and_its_answer_the_work_is_done() -> None:
    chat = Chat()
    assert chat.say("remind me", calls(ADA), OSError("gone")) == [ADA_SAID, UNREACHABLE]
    assert chat.say("did it work?", "Yes.") == ["Yes."]
    assert chat.call.pass_time(15 * HOUR) == ["Reminder: call Ada"]


def test_a_model_without_words_does_not_drop_the_turn() -> None:
    chat = Chat()
    assert chat.say("hello", Thought(" \n")) == [" \n", SPEECHLESS]
    assert chat.say("remind me", calls(ADA), Thought()) == [ADA_SAID, DONE]


def test_a_message_without_words_is_not_put_to_the_model() -> None:
    chat = Chat()
    assert chat.say("  ") == ["Sorry, I did not catch that."]
    assert chat.model.prompts == []


# -- tools ---------------------------------------------------------------------------------------------------------------------------------


def test_several_tools_in_one_answer_work_and_are_read_back() -> None:
    chat = Chat()
    assert chat.say("both, please", calls(ADA, JFK, text="Sure."), "Anything else?") == ["Sure.", ADA_SAID, JFK_SAID, "Anything else?"]
    assert chat.results() == [f"Done. The user has been told: {ADA_SAID}", f"Done. The user has been told: {JFK_SAID}"]
    assert [(errand.name, errand.ended) for errand in chat.call.errands] == [("ada", False), ("lhr-jfk", False)]


def test_a_reminder_comes_and_is_remembered() -> None:
    chat = Chat()
    chat.say("remind me", calls(ADA))
    assert chat.call.pass_time(15 * HOUR) == ["Reminder: call Ada"]
    assert chat.call.note == []
    chat.say("thanks")
    assert {"role": "assistant", "content": "Reminder: call Ada"} in chat.model.prompts[-1]


def test_a_flight_watch_ends_with_the_quote_and_is_remembered() -> None:
    fares = iter([fare("412"), fare("288")])
    chat = Chat(fares=lambda trip, currency: next(fares))
    chat.say("watch", calls(JFK))
    said = (
        'The flight watch "lhr-jfk" has found a fare: LHR to JFK, Thursday 24 December 2026, back Thursday 31 December 2026, for at most '
        "300.00 EUR, is now 288.00 EUR (source: simulated fares)."
    )
    assert chat.call.pass_time(6 * HOUR) == [said]
    assert chat.call.note == []
    chat.say("great")
    assert {"role": "assistant", "content": said} in chat.model.prompts[-1]


def test_a_flight_watch_that_finds_nothing_in_time_says_so() -> None:
    chat = Chat()
    chat.say("watch", calls(JFK))
    (said,) = chat.call.pass_time(timedelta(days=40))
    assert str(said).endswith("for at most 300.00 EUR, was never on offer.")


def test_a_task_that_failed_says_why() -> None:
    chat = Chat(fares=OSError("the airline is closed."))
    chat.say("watch", calls(JFK))
    assert chat.call.pass_time(24 * HOUR) == ['The flight watch "lhr-jfk" failed: the airline is closed.']
    assert chat.call.note == []


def test_a_missing_field_is_asked_for() -> None:
    chat = Chat()
    assert chat.say("remind me", calls(("create_reminder", {"description": "call Ada"})), "When?") == ["When?"]
    assert chat.results() == ["This call was not understood: missing: at. Do not guess: ask the user."]
    assert chat.say("at nine tomorrow", calls(ADA), "Fine.") == [ADA_SAID, "Fine."]


def test_a_name_is_invented_if_none_is_given() -> None:
    chat = Chat()
    nameless = ("create_reminder", {"description": "Call Ada!", "at": "2026-11-24T09:00", "name": " "})
    chat.say("remind me thrice", calls(nameless, nameless, nameless))
    assert chat.names == ["call-ada", "call-ada-2", "call-ada-3"]


def test_a_taken_name_is_refused_with_a_suggestion() -> None:
    chat = Chat()
    chat.say("remind me", calls(ADA))
    assert chat.say("again", calls((ADA[0], {**ADA[1], "name": "Ada"})), "Is ada-2 fine?") == ["Is ada-2 fine?"]
    assert chat.results() == ['Refused: the name "Ada" is taken. Suggest "Ada-2", and ask.']
    assert len(chat.call.errands) == 1


@pytest.mark.parametrize(
    ("tool", "result"),
    [
        (
            ("create_reminder", {"description": "x", "at": "2026-11-23T17:59"}),
            (
                "Refused: today, Monday 23 November, 17:59 London time has passed; "
                "it is today, Monday 23 November, 18:00 London time now. Ask the user when."
            ),
        ),
        (
            ("create_reminder", {"description": "x", "at": "2026-11-24"}),
            "Refused: '2026-11-24' has no time of day. Ask the user when.",
        ),
        (
            ("watch_flight", {**JFK[1], "departure": "2026-11-22"}),
            "Refused: Sunday 22 November 2026 has passed; today is Monday 23 November 2026. Ask the user for the day.",
        ),
        (
            ("watch_flight", {**JFK[1], "departure": "2028-01-01", "return_": None}),
            "Refused: no flights are sold more than a year ahead; Saturday 1 January 2028 is. Ask the user for the day.",
        ),
        (
            ("watch_flight", {**JFK[1], "return_": "2026-12-23"}),
            "Refused: the way back is before the way out. Ask the user for the days.",
        ),
    ],
)
def test_dates_that_cannot_be_meant_are_refused(tool: tuple[str, Any], result: str) -> None:
    chat = Chat()
    assert chat.say("please", calls(tool), "That will not do.") == ["That will not do."]
    assert chat.results() == [result]
    assert chat.call.errands == []


def test_a_moment_that_passes_while_the_model_thinks_is_not_past() -> None:
    call = Rehearsal(assistant, at="2026-11-23T18:00", channel="web", effects={think: ...})
    call.say("in two seconds")
    call.pass_time(timedelta(seconds=5))
    soon = calls(("create_reminder", {"description": "x", "at": "2026-11-23T18:00:02"}))
    assert call.finish(think, soon)[-1] == 'Reminder "x": x, today, Monday 23 November, 18:00:02 UTC.'
    assert call.finish(think, {"text": "There."}) == ["There.", "Reminder: x"]


def test_a_night_in_which_the_clocks_change_is_read_back() -> None:
    chat = Chat()
    night = ("create_reminder", {"name": "x", "description": "x", "at": "2027-03-28T01:30"})
    assert chat.say("remind me", calls(night), "Fine.") == [
        'Reminder "x": x, Sunday 28 March 2027, 02:30 London time (there is no 01:30 then, since the clocks go forward).',
        "Fine.",
    ]


def test_tasks_are_listed_and_tell_how_they_are_doing() -> None:
    chat = Chat(fares=lambda trip, currency: fare("412"))
    chat.say("both", calls(ADA, JFK))
    chat.call.pass_time(7 * HOUR)
    chat.say("how?", calls(("list_tasks", {}), ("task_status", {"name": "ADA"}), ("task_status", {"name": "lhr-jfk"})))
    ada = '"ada" (reminder): call Ada, today, Tuesday 24 November, 09:00 London time'
    jfk = '"lhr-jfk" (flight watch): LHR to JFK, Thursday 24 December 2026, back Thursday 31 December 2026, for at most 300.00 EUR'
    assert chat.results() == [
        f"Running tasks:\n{ada}\n{jfk}",
        f"{ada}. Time left: 8 hours.",
        f"{jfk}. Last price: 412.00 EUR (source: simulated fares), seen today, Tuesday 24 November, 00:00 London time.",
    ]


def test_a_watch_that_has_trouble_says_so_when_asked() -> None:
    chat = Chat(fares=OSError("closed"))
    chat.say("watch", calls(JFK))
    chat.say("how?", calls(("task_status", {"name": "lhr-jfk"})))
    assert chat.results()[0].endswith("It has not seen a fare yet. Looking failed since: closed.")
    chat = Chat(fares=lambda trip, currency: None)
    chat.say("watch", calls(JFK))
    chat.say("how?", calls(("task_status", {"name": "lhr-jfk"})))
    assert "Last price: none on offer, seen today" in chat.results()[0]


def test_a_watch_that_looks_for_the_first_time_says_so_when_asked() -> None:
    chat = Chat(fares=...)
    chat.say("watch", calls(JFK))
    chat.say("how?", calls(("task_status", {"name": "lhr-jfk"})))
    assert chat.results()[0].endswith("It is starting.")


def test_a_cancelled_task_is_silent_and_its_name_is_free() -> None:
    chat = Chat()
    chat.say("remind me", calls(ADA))
    assert chat.say("do not", calls(("cancel_task", {"name": "Ada"})), "Fine.") == ['The reminder "ada" is cancelled.', "Fine."]
    assert chat.call.note == []
    assert chat.say("do after all", calls(ADA), "Fine.") == [ADA_SAID, "Fine."]
    assert chat.call.pass_time(1000 * HOUR) == ["Reminder: call Ada"]
    assert [errand.cancelled for errand in chat.call.errands] == [True, False]


def test_cancel_and_create_in_one_answer_work() -> None:
    chat = Chat()
    chat.say("remind me", calls(ADA))
    chat.say("again", calls(("cancel_task", {"name": "ada"}), ADA))
    assert chat.call.pass_time(1000 * HOUR) == ["Reminder: call Ada"]


@pytest.mark.parametrize("tool", ["task_status", "cancel_task"])
def test_a_task_that_is_not_there_is_answered_with_those_that_are(tool: str) -> None:
    chat = Chat()
    chat.say("?", calls((tool, {"name": "bob"})))
    assert chat.results() == ['There is no task "bob". No tasks are running.']
    chat.say("remind me", calls(ADA))
    chat.say("?", calls((tool, {"name": "bob"})))
    assert chat.results()[0].startswith('There is no task "bob". Running tasks:\n"ada" (reminder)')


def test_there_are_only_so_many_tasks() -> None:
    chat = Chat(evict=False)
    many = [("create_reminder", {"description": f"{number}", "at": "2026-11-24T09:00"}) for number in range(MOST_TASKS + 1)]
    for start in range(0, len(many), MOST_CALLS):
        chat.say("more", calls(*many[start : start + MOST_CALLS]))
    assert len(chat.call.errands) == MOST_TASKS
    assert chat.results()[-1].startswith("Refused: there are 30 tasks already")


def test_the_task_list_is_there_for_pages_and_terminals() -> None:
    chat = Chat()
    assert chat.call.note == []
    chat.say("both", calls(ADA, JFK))
    assert chat.call.note == [
        {"name": "ada", "kind": "reminder", "about": "call Ada", "due": "2026-11-24T09:00:00Z"},
        {
            "name": "lhr-jfk",
            "kind": "flight watch",
            "about": "LHR to JFK, Thursday 24 December 2026, back Thursday 31 December 2026, for at most 300.00 EUR",
            "due": None,
        },
    ]


def test_how_often_flights_are_looked_for_is_the_lines_business() -> None:
    chat = Chat(args={"look_every_hours": 0.5})
    assert chat.say("watch", calls(JFK))[0].endswith("I look every 30 minutes.")
    chat.call.pass_time(HOUR)
    assert len([event for event in chat.call.errands[0].history if isinstance(event, Memo)]) == 3


@pytest.mark.parametrize("hours", [0, -1, "often"])
def test_a_line_that_would_look_without_end_is_refused(hours: Any) -> None:
    with pytest.raises(RehearsalError, match="look_every_hours"):
        Chat(args={"look_every_hours": hours})


def test_an_errand_is_started_once_and_its_notice_stands_once_in_the_history() -> None:
    chat = Chat(evict=True)
    chat.say("remind me", calls(ADA))
    chat.call.pass_time(1000 * HOUR)
    assert len(chat.call.errands) == 1
    assert len([event for event in chat.call.history if isinstance(event, Heard) and event.type == "errand"]) == 1


# -- malformed calls -----------------------------------------------------------------------------------------------------------------------

BROKEN = calls(("create_reminder", '{"description": '))


def test_a_malformed_call_gets_one_repair_turn() -> None:
    chat = Chat()
    assert chat.say("remind me", BROKEN, calls(ADA), "Fine.") == [ADA_SAID, "Fine."]


@pytest.mark.parametrize(
    ("again", "sentence"),
    [
        (BROKEN, UNCLEAR),
        (calls(("order_pizza", {})), UNCLEAR),
        (calls(("create_reminder", {"description": "x"})), "To do that, I still need to know when."),
    ],
)
def test_after_one_repair_turn_there_is_a_plain_sentence(again: Thought, sentence: str) -> None:
    chat = Chat()
    assert chat.say("remind me", BROKEN, again) == [sentence]
    assert chat.model.script == []
    assert chat.say("hello", "Hi!") == ["Hi!"]


def test_a_malformed_call_among_good_ones_spoils_none() -> None:
    chat = Chat()
    mixed = Thought("", (*calls(ADA).calls, *BROKEN.calls))  # both have the same id
    assert chat.say("remind me", mixed, "Half of it.") == [ADA_SAID, "Half of it."]
    assert chat.results()[1] == "This call was not understood: the arguments are not one JSON object."


def test_a_model_that_never_stops_calling_tools_is_stopped() -> None:
    chat = Chat(model=Model(otherwise=lambda _: calls(("list_tasks", {}))))
    assert chat.say("hello") == [LOST]
    assert len(chat.model.prompts) == MOST_ROUNDS


def test_of_too_many_calls_only_the_first_are_looked_at() -> None:
    chat = Chat()
    chat.say("hello", calls(*[("list_tasks", {})] * 50))
    assert len(chat.results()) == MOST_CALLS


# -- channels ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", ["phone", "alexa"])
def test_where_nobody_can_be_reached_later_no_reminders_are_offered(channel: str) -> None:
    offered: list[Any] = []

    def model(messages: Any, tools: Any) -> Thought:
        offered.extend(tools)
        assert "no reminders" in messages[0]["content"]
        return Thought("I cannot do that here.")

    call = Rehearsal(assistant, channel=channel, effects={think: model})
    assert call.said == [CHAT_ONLY]
    assert call.say("remind me") == ["I cannot do that here."]
    assert offered == []


def test_where_nobody_can_be_reached_later_a_reminder_is_refused_all_the_same() -> None:
    chat = Chat(channel="phone")
    assert chat.say("remind me", calls(ADA, JFK), "Sorry.") == ["Sorry."]
    assert [result.partition(":")[0] for result in chat.results()] == ["Refused", "Refused"]
    assert chat.call.errands == []


def test_where_somebody_can_be_reached_all_tools_are_offered() -> None:
    offered: list[Any] = []

    def model(messages: Any, tools: Any) -> Thought:
        offered.extend(tools)
        return Thought("Yes.")

    Rehearsal(assistant, channel="slack", effects={think: model}).say("hello")
    assert offered == TOOLS


def test_a_silence_on_the_phone_is_asked_about_once() -> None:
    chat = Chat(channel="phone")
    assert chat.call.stay_silent() == ["Are you still there?"]
    assert chat.say("yes", "Good.") == ["Good."]
    assert chat.call.stay_silent() == ["Are you still there?"]
    assert chat.call.stay_silent() == ["Goodbye."]
    assert chat.call.ended


def test_a_caller_may_hang_up() -> None:
    chat = Chat(channel="phone")
    assert chat.call.hang_up() == []
    assert chat.call.ended


# -- long chats ----------------------------------------------------------------------------------------------------------------------------


def long_chat(turns: int, *, evict: bool, **options: Any) -> tuple[Chat, list[int]]:
    """A chat in which every tenth turn sets a reminder; gives the bytes that each turn put on record, restarts included."""

    def respond(messages: list[Any]) -> Any:
        number = len(chat.model.prompts)
        if messages[-1]["role"] == "tool" or number % 10:
            return f"Answer {number}, which has as many words in it as such an answer of a model usually has."
        return calls(("create_reminder", {"name": f"r{number}", "description": f"thing {number}", "at": "2026-11-24T09:00"}), text="Sure.")

    chat = Chat(model=Model(otherwise=respond), evict=evict, **options)
    sizes: list[int] = []
    gen = known = 0
    for turn in range(turns):
        chat.say(f"This is message {turn}, and it asks for something that the model has to think about.")
        if chat.call.opened.gen != gen:
            gen, known = chat.call.opened.gen, 0
        sizes.append(sum(map(len, chat.call._elements[known:])))
        known = len(chat.call._elements)
        if turn % 100 == 50:
            for task in chat.call.note:
                chat.say("cancel", calls(("cancel_task", {"name": task["name"]})), "Fine.")
    return chat, sizes


def tokens(messages: list[Any]) -> int:
    return len(msgspec.json.encode(messages)) // 3


def test_two_thousand_turns_stay_within_the_window_and_flat() -> None:
    chat, sizes = long_chat(2_000, evict=False)
    assert max(map(tokens, chat.model.prompts)) < 1.5 * BUDGET
    assert chat.model.digests > 20
    early, late = sum(sizes[200:600]) / 400, sum(sizes[1_600:2_000]) / 400
    assert late < 1.1 * early
    assert late < 2_000
    assert sum(map(len, chat.call._elements)) < 100_000


def test_what_wakes_after_two_thousand_turns_is_a_short_history() -> None:
    chat, _ = long_chat(2_000, evict=False)
    events = [decode(element) for element in chat.call._elements]
    assert len(events) < 600
    opened = events[0]
    assert isinstance(opened, Opened)
    run = Run("web:rehearsal", opened, Registry([assistant]))
    for event in events[1:]:
        run.feed(event)
    assert run.prompt is not None
    run.close()


def test_evicting_before_every_event_changes_nothing_in_a_long_chat() -> None:
    with_, without = long_chat(130, evict=True)[0], long_chat(130, evict=False)[0]
    assert with_.model.digests >= 1
    assert with_.call.said == without.call.said
    assert with_.model.prompts == without.model.prompts


class Attentive(Model):
    """A model that remembers what it was asked to condense."""

    def __init__(self) -> None:
        super().__init__()
        self.gone: list[Any] = []

    def condense(self, messages: list[Any]) -> Any:
        self.gone.append(messages[1]["content"])
        return super().condense(messages)


def test_a_full_memory_is_condensed_and_the_cut_is_on_record() -> None:
    chat = Chat(model=Attentive())
    chat.say("My name is Ada.", calls(ADA), "Hello Ada.")
    while not chat.model.digests:
        chat.say("x" * 1_500)
    assert chat.say("still there?") == ["I see."]
    opened = chat.call.opened
    assert opened.args["past"]["digest"] == "Digest 1."
    assert "My name is Ada." in chat.model.gone[0]  # type: ignore[attr-defined]  # it is attentive
    assert tokens(opened.args["past"]["messages"]) < 1.2 * KEPT
    prompt = chat.model.prompts[-1]
    assert prompt[0]["content"].endswith("Earlier in this conversation, in short:\nDigest 1.")
    assert prompt[-1]["content"] == "still there?"
    assert chat.call.said.count(GREETING) == 1


def test_tasks_outlive_the_cut() -> None:
    chat = Chat()
    chat.say("both", calls(ADA, JFK))
    while not chat.model.digests:
        chat.say("x" * 1_500)
    chat.say("still there?")
    assert "past" in chat.call.opened.args
    assert chat.names == ["ada", "lhr-jfk"]
    chat.say("cancel", calls(("cancel_task", {"name": "lhr-jfk"})))
    assert chat.call.errands[1].cancelled
    chat.say("how?", calls(("task_status", {"name": "ada"})))
    assert chat.results()[0].endswith("Time left: 15 hours.")
    assert chat.call.pass_time(1000 * HOUR) == ["Reminder: call Ada"]


def test_nobody_waits_for_a_digest_who_does_not_speak_meanwhile() -> None:
    call = Rehearsal(assistant, channel="web", effects={think: ...})
    memory = Memory(Past())
    while not memory.is_full:
        assert not call.say("x" * 1_500)
        assert call.finish(think, {"text": "I see."}) == ["I see."]
        memory.hear("x" * 1_500)
        memory.answer("I see.")
    assert call.listening is not None
    assert call.say("meanwhile") == []
    assert call.finish(think, {"text": "a digest"}) == []
    assert call.opened.args["past"]["digest"] == "a digest"
    assert call.finish(think, {"text": "an answer"}) == ["an answer"]


class Failing(Model):
    """A model that gives no digests."""

    def condense(self, messages: list[Any]) -> Any:
        return OSError("no digests today")


def test_without_digests_the_memory_is_cut_before_it_overflows() -> None:
    chat = Chat(model=Failing(), evict=False)
    for _ in range(100):
        chat.say("x" * 1_500)
    assert chat.model.digests > 3
    assert max(map(tokens, chat.model.prompts)) < 2.5 * BUDGET
    assert chat.call.opened.args["past"]["digest"] == ""


# -- whatever happens ----------------------------------------------------------------------------------------------------------------------

names = st.sampled_from(["a", "b", None])
good = st.one_of(
    st.builds(
        lambda name, at: ("create_reminder", {"name": name, "description": "a", "at": at}),
        names,
        st.sampled_from(["2026-11-23T18:00:01", "2026-11-24T09:00", "2026-12-24T12:00"]),
    ),
    st.builds(lambda name, price: ("watch_flight", {**JFK[1], "name": name, "max_price": price}), names, st.sampled_from([300, "500"])),
    st.builds(lambda tool, name: (tool, {"name": name}), st.sampled_from(["cancel_task", "task_status"]), st.sampled_from(["a", "b", "lhr-jfk"])),
    st.just(("list_tasks", {})),
)  # fmt: skip
bad = st.tuples(
    st.sampled_from([*[tool["function"]["name"] for tool in TOOLS], "order pizza"]),
    st.sampled_from(
        ["", "{", "[]", '"x"', '{"name": "\\ud800"}', {"name": 7}, {"description": "x", "at": "2020-01-01T00:00"}, {"origin": "LHR"}]
    ),
)
tools = good | good | good | bad
acts = st.builds(lambda wanted, text: calls(*wanted, text=text), st.lists(tools, min_size=1, max_size=4), st.sampled_from(["", "Sure."]))
clashes = st.lists(st.sampled_from(["", "a", "b"]), min_size=1).map(
    lambda ids: Thought("", tuple(ToolCall(id_, "list_tasks", "") for id_ in ids))
)
thoughts = acts | acts | clashes | st.sampled_from([Thought(), Thought("Hello."), Thought("long " * 2_000), OSError("gone")])
says = st.tuples(st.just("say"), st.sampled_from(["hello", "hello", " ", "y" * 9_000]), st.lists(thoughts, max_size=4))
waits = st.tuples(st.just("wait"), st.sampled_from([1, 6, 20, 800]), st.just([]))
fares = st.tuples(st.just("fares"), st.sampled_from([fare("100"), fare("900"), OSError("closed"), None]), st.just([]))
rambles = st.just(("ramble", "", []))
deeds = says | says | says | waits | fares | rambles


def play(story: list[Any], *, evict: bool) -> tuple[Any, ...]:
    offer: Any = fare("900")

    def look(trip: Any, currency: str) -> Any:
        if isinstance(offer, Exception):
            raise offer
        return offer

    chat = Chat(fares=look, evict=evict)
    heard = []
    for deed, what, script in story:
        chat.model.script.clear()
        match deed:
            case "say":
                said = chat.say(what, *script)
                assert said, "a turn was dropped"
                heard.append(said)
            case "ramble":  # until the memory is condensed
                before = chat.model.digests
                while chat.model.digests == before:
                    heard.append(chat.say("z" * 6_000))
            case "wait":
                heard.append(chat.call.pass_time(what * HOUR))
            case "fares":
                offer = what
    chat.model.script.clear()
    assert chat.say("The end.", "Bye.") == ["Bye."]
    assert len(chat.call.note) == len([errand for errand in chat.call.errands if not errand.ended])
    told = [said for said in chat.call.said if re.match(r'Reminder: |The flight watch "\S+" (has found|is over|failed)', str(said))]
    assert len(told) == len([errand for errand in chat.call.errands if errand.ended and not errand.cancelled])
    return heard, chat.model.prompts, chat.model.digests, chat.call.note


@settings(max_examples=100, deadline=None)
@given(st.lists(deeds, min_size=2, max_size=14))
def test_whatever_happens_every_turn_is_answered_and_every_prompt_is_valid(story: list[Any]) -> None:
    assert play(story, evict=True) == play(story, evict=False)
