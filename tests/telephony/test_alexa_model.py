"""Interaction models: what the developer console takes, and that what is said comes back as what the workflow listens for."""

import json
import subprocess

import pytest
from support.alexa_house import alexa_house
from support.server import SWITCHBOARD

from telephony.alexa_listens import Listens
from telephony.alexa_model import interaction_model, usual_invocation
from telephony.errors import ModelError
from telephony.simulators.alexa import understood
from workflows import Choice, Digits, Intents, Talk, YesNo, workflow
from workflows.assistant import assistant
from workflows.bedtime import ANSWERS, bedtime
from workflows.santa import santa

COLOURS = Choice({"r": ["red", "scarlet"], "b": "blue"})


@workflow
async def inner(talk: Talk) -> None:
    await talk.ask("A PIN?", Digits(4))


async def helper(talk: Talk) -> str:
    return await talk.ask("Which colour?", COLOURS)


@workflow
async def outer(talk: Talk, options: list[str]) -> None:
    await helper(talk)
    await inner(talk)
    await talk.ask("Which one?", Choice({str(number): name for number, name in enumerate(options)}))
    await talk.ask("Sure?", YesNo())


def language(model):
    return model["interactionModel"]["languageModel"]


def intents(model):
    return {intent["name"]: intent for intent in language(model)["intents"]}


# -- reading the source --------------------------------------------------------------------------------------------------------------------


def test_the_listens_of_a_workflow_and_of_all_that_it_reaches_are_found():
    found = Listens(outer)
    assert [type(each) for each in found.found if not isinstance(each, YesNo)] == [Choice, Digits]
    assert any(isinstance(each, YesNo) for each in found.found)
    assert COLOURS in found.found


def test_what_is_known_only_while_it_runs_is_named_with_its_line():
    (place,) = Listens(outer).unread
    assert "test_alexa_model.py:" in place
    assert "enumerate(options)" in place


def test_the_shipped_workflows_are_read_whole():
    assert ANSWERS in Listens(bedtime).found
    assert {type(each) for each in Listens(santa).found} == {Choice, Digits}
    for each in (bedtime, santa, assistant):
        assert Listens(each).unread == []


# -- the model -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shipped", [bedtime, santa, assistant, outer])
def test_a_model_has_what_the_console_asks_for(shipped):
    model = interaction_model("the boys", Listens(shipped).found)
    names = [intent["name"] for intent in language(model)["intents"]]
    assert len(names) == len(set(names))
    required = {"Stop", "Cancel", "NavigateHome", "Fallback", "Help", "Repeat", "Yes", "No"}
    assert {f"AMAZON.{name}Intent" for name in required} | {"WordsIntent", "DigitsIntent"} <= set(names)
    types = {each["name"] for each in language(model)["types"]}
    every = [sample for intent in language(model)["intents"] for sample in intent["samples"]]
    assert len(every) == len(set(every)), "the console refuses two that are alike"
    for intent in language(model)["intents"]:
        assert intent["name"].startswith("AMAZON.") or intent["samples"]
        for slot in intent.get("slots", ()):
            assert slot["type"].startswith("AMAZON.") or slot["type"] in types
            assert any(f"{{{slot['name']}}}" in sample for sample in intent["samples"])
    for each in language(model)["types"]:
        assert each["values"]


def test_slots_have_types_by_their_names_and_options_their_synonyms():
    model = interaction_model("the boys", [Intents({"A": ["in {minutes} minutes on {start_date}", "for {whom}"]}), COLOURS])
    assert intents(model)["A"]["slots"] == [
        {"name": "minutes", "type": "AMAZON.NUMBER"},
        {"name": "start_date", "type": "AMAZON.DATE"},
        {"name": "whom", "type": "Anything"},
    ]
    (options,) = [each for each in language(model)["types"] if each["name"] == "Option"]
    assert options["values"][0] == {"id": "r", "name": {"value": "red", "synonyms": ["scarlet"]}}


def test_samples_are_as_they_are_spoken():
    model = interaction_model("the boys", [Intents({"A": ["What's up, Doc?!", "Ten (10) minutes; please"]})])
    assert intents(model)["A"]["samples"] == ["what's up doc", "ten 10 minutes please"]


@pytest.mark.parametrize("name", ["bedtime", "Bed Time", "tell me", "the skill", "bed 2", "", "open sesame", "bed\ntime"])
def test_an_invocation_name_that_alexa_refuses_is_refused_with_the_rule(name):
    with pytest.raises(ModelError, match="--name"):
        interaction_model(name, [])


@pytest.mark.parametrize("name", ["Order2", "my intent", "order-tea", "a__b", "_a", "\u00e9t\u00e9"])
def test_an_intent_that_alexa_cannot_have_is_named(name):
    with pytest.raises(ModelError, match="intent"):
        interaction_model("the boys", [Intents({name: ["x"]})])
    with pytest.raises(ModelError, match="slot"):
        interaction_model("the boys", [Intents({"A": ["for {two words}"]})])


def test_a_workflow_names_its_skill():
    assert usual_invocation("bedtime") == "my bedtime"
    assert usual_invocation("shop:flight_watch") == "flight watch"


# -- what is said comes back ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("yes", ("AMAZON.YesIntent", {})),
        ("not yet", ("AMAZON.NoIntent", {})),
        ("Snooze!", ("SnoozeIntent", {})),
        ("snooze for 20 minutes", ("SnoozeIntent", {"minutes": "20"})),
        ("snooze for some minutes", ("WordsIntent", {"words": "snooze for some minutes"})),
        ("stop", ("AMAZON.StopIntent", {})),
        ("say that again", ("AMAZON.RepeatIntent", {})),
        ("42", ("DigitsIntent", {"digits": "42"})),
        ("Where are they?", ("WordsIntent", {"words": "Where are they?"})),
    ],
)
def test_what_is_said_is_understood_by_the_model(text, intent):
    assert understood(text, interaction_model("the boys", Listens(bedtime).found)) == intent


async def test_every_utterance_of_a_model_is_heard_as_its_intent(valkey_url, valkey):
    model = interaction_model("the boys", [COLOURS, *Listens(bedtime).found])
    async with alexa_house(valkey_url, "bedtime", echo={"model": model}) as (_, echo):
        for sample, upon in (("they are not", "To bed, now"), ("what can I say", "I call the boys"), ("they are in bed", "Well done")):
            if not echo.listens:
                await echo.launch()
            assert upon in (await echo.say(sample)).text


# -- the command ---------------------------------------------------------------------------------------------------------------------------


def run(*arguments, folder):
    return subprocess.run([SWITCHBOARD, "alexa", "model", *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_the_command_writes_a_model_to_the_terminal_and_to_a_file_for_each_language(tmp_path):
    done = run("bedtime", "--name", "the boys' bedtime", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert language(json.loads(done.stdout))["invocationName"] == "the boys' bedtime"
    done = run("santa", "--locale", "en-GB", "--locale", "en-US", "--output", "skill/models", folder=tmp_path)
    assert done.stdout.splitlines() == ["skill/models/en-GB.json", "skill/models/en-US.json"]
    assert json.loads((tmp_path / "skill/models/en-US.json").read_text()) == interaction_model("my santa", Listens(santa).found)


def test_the_command_says_what_it_cannot_do(tmp_path):
    (tmp_path / "shop.py").write_text(
        "from workflows import Choice, Talk, workflow\n\n\n@workflow\nasync def sell(talk: Talk, goods: list[str]) -> None:\n"
        '    await talk.ask("What?", Choice({name: name for name in goods}))\n'
    )
    done = run("shop:sell", folder=tmp_path)
    assert done.returncode == 0
    assert "shop.py:6" in done.stderr
    assert run("nobody:nothing", folder=tmp_path).returncode == 2
    assert "two words" in run("bedtime", "--name", "bedtime", folder=tmp_path).stderr
    assert run("bedtime", "--locale", "en-GB", "--locale", "de-DE", folder=tmp_path).returncode == 2
