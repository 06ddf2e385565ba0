"""A session goes on in a new generation: the open turn, the answers, the queue, and what its effects were for."""

from datetime import timedelta

from support.house import texts
from support.workflows import phoenix

from workflows import CallerLeft, Talk, Words, workflow


def test_a_restart_goes_on_with_the_turn_that_is_open(town, a):
    a.open(phoenix)
    a.say("1", "hi")
    answer = a.say("2", "burn")
    assert texts(answer) == ["I burn.", "Life 2?"]
    assert town.kinds() == ["opened"]
    assert texts(a.say("3", "hi")) == ["hi in life 2.", "Life 2?"]


def test_a_restart_knows_the_inputs_and_answers_of_before(town, a, b):
    a.open(phoenix)
    first, second = a.say("1", "hi"), a.say("2", "burn")
    third = a.say("3", "ho")
    for node in (a, b):
        assert node.say("1", "hi") == first
        assert node.say("2", "burn") == second
        assert node.say("3", "ho") == third
    assert town.kinds() == ["opened", "heard"]


def test_an_input_of_long_before_a_restart_is_known_as_handled(town, a):
    a.open(phoenix)
    a.say("old", "hi")
    for number in range(20):
        a.say(str(number), "hi")
    a.say("burn", "burn")
    answer = a.say("old", "hi")
    assert (answer.state, texts(answer)) == ("handled", [])
    assert town.kinds() == ["opened"]


def test_positions_and_turn_numbers_go_on_over_a_restart(town, a):
    a.open(phoenix)
    numbers = [a.say(str(number), "hi").turn for number in range(3)]
    assert a.say("burn", "burn").turn == 4
    after = a.say("after", "hi")
    assert numbers == [1, 2, 3]
    assert after.turn == 6
    assert town.events()[0].base == 5


def test_queued_inputs_are_carried_over_a_restart(town):
    @workflow(name="cocoon")
    async def cocoon(talk: Talk, life: int = 1) -> None:
        talk.say(f"Life {life}.")
        if life == 1:
            await talk.sleep(timedelta(seconds=10))
            await talk.restart(cocoon, 2)
        while True:
            talk.say(f"{await talk.listen(Words())} in life {life}.")

    node = town.node("c.1", [cocoon])
    node.open(cocoon)
    assert node.say("1", "one").state == "kept"
    assert node.say("2", "two").state == "kept"
    town.wait(11)
    assert town.kinds() == ["opened", "heard", "heard"]
    assert texts(node.collect("open"))[:3] == ["Life 1.", "Life 2.", "one in life 2."]
    assert node.say("1", "one").state == "kept"
    assert texts(node.say("3", "three")) == ["three in life 2."]


def test_a_caller_who_has_left_is_gone_in_the_new_generation_too(town):
    @workflow(name="widow")
    async def widow(talk: Talk, alone: bool = False) -> None:
        try:
            await talk.ask("Alone?" if alone else "Yes?", Words())
        except CallerLeft:
            if not alone:
                await talk.restart(widow, True)
            await talk.sleep(timedelta(seconds=5))

    node = town.node("c.1", [widow])
    node.open(widow)
    node.say("bye", type="left", payload={"reason": "hangup"})
    assert town.kinds() == ["opened", "left"]
    assert town.events()[0].args == {"alone": True}
    assert node.say("bye", type="left", payload={"reason": "hangup"}).state == "answered"
    town.wait(6)
    assert town.kinds() == ["opened", "left", "fired"]
    assert node.say("1", "hi").ended


def test_an_effect_of_the_generation_before_is_not_taken_for_one_of_this(town, a, outside):
    @workflow(name="hasty")
    async def hasty(talk: Talk, life: int = 1) -> None:
        from support.workflows import look_up

        async def ask() -> str:
            return await talk.ask(f"Life {life}?", Words())

        async def look() -> str:
            return str(await talk.call(look_up, "x"))

        index, word = await talk.first(look(), ask())
        if index == 1:
            await talk.restart(hasty, life + 1)
        talk.say(f"{word} in life {life}.")
        await talk.ask("Again?", Words())

    outside.seconds = 5.0
    node = town.node("c.1", [hasty])
    node.open(hasty)
    town.wait(4.9)
    node.say("1", "go")
    town.wait(4.9)
    assert texts(node.collect("open", wait=False))[-1:] == ["Life 2?"]
    town.wait(0.2)
    assert texts(node.collect("open"))[-2:] == ["1 in life 2.", "Again?"]
    assert len(outside.calls) == 2
    assert len({key for key, _ in outside.calls}) == 2
