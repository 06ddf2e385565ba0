"""Who follows a session, what they are told, and what they read."""

import asyncio

import pytest
from support.house import SESSION
from support.workflows import boss, echo, phoenix, sleeper

from handlers.followers import MOST_WORDS, Followers
from handlers.messages import Read


class Ear:
    """A follower that notes what it is told."""

    def __init__(self):
        self.ends = []
        self.woken = 0

    def changed(self, length, tail):
        self.ends.append((length, len(tail)))

    def wake(self):
        self.woken += 1


@pytest.fixture
def followers():
    return Followers()


def heard(followers, session="web:1"):
    return ["".join(words.pieces) for words in followers.words(session)]


# -- words ---------------------------------------------------------------------------------------------------------------------------------


def test_words_are_there_from_the_first_one_on_while_their_effect_runs_and_no_longer(followers):
    ear = Ear()
    followers.add("web:1", ear)
    with followers.speaking("web:1", "1/2") as begin:
        emit = begin()
        emit("One ")
        emit("two")
        assert heard(followers) == ["One two"]
        assert ear.woken == 2
        assert heard(followers, "web:2") == []
    assert heard(followers) == []


def test_an_attempt_makes_the_words_of_the_one_before_void_even_those_that_come_late(followers):
    with followers.speaking("web:1", "1/2") as begin:
        first = begin()
        first("wrong")
        second = begin()
        first(" too late")
        assert heard(followers) == [""]
        second("right")
        assert heard(followers) == ["right"]


def test_effects_that_speak_at_the_same_time_do_not_mix(followers):
    with followers.speaking("web:1", "1/2.0") as one, followers.speaking("web:1", "1/2.1") as two:
        one()("One")
        two()("two")
        assert heard(followers) == ["One", "two"]
        assert [words.step for words in followers.words("web:1")] == ["1/2.0", "1/2.1"]


def test_words_without_end_are_not_kept_without_end(followers):
    with followers.speaking("web:1", "1/2") as begin:
        emit = begin()
        for _ in range(1_000):
            emit("x" * 1_000)
        assert len(heard(followers)[0]) < MOST_WORDS + 1_000


def test_an_effect_that_is_cancelled_leaves_no_words(followers):
    speaking = followers.speaking("web:1", "1/2")
    speaking.__enter__()()("One")
    assert heard(followers) == ["One"]
    error = asyncio.CancelledError()
    assert not speaking.__exit__(type(error), error, None)
    assert heard(followers) == []


# -- being told ----------------------------------------------------------------------------------------------------------------------------


def test_followers_are_told_of_their_own_session_until_they_leave(followers):
    one, two, other = Ear(), Ear(), Ear()
    followers.add("web:1", one)
    followers.add("web:1", two)
    followers.add("web:2", other)
    assert len(followers) == 3
    followers.changed("web:1", 2, b"x" * 8)
    followers.remove("web:1", one)
    followers.changed("web:1", 3, b"y" * 8)
    assert (one.ends, two.ends, other.ends) == ([(2, 8)], [(2, 8), (3, 8)], [])
    followers.remove("web:1", two)
    followers.remove("web:2", other)
    assert len(followers) == 0
    assert "web:1" not in followers


def test_everybody_is_woken_to_leave(followers):
    ears = [Ear() for _ in range(3)]
    for number, ear in enumerate(ears):
        followers.add(f"web:{number}", ear)
    followers.close()
    assert followers.closed
    assert [ear.woken for ear in ears] == [1, 1, 1]


def test_a_follower_is_told_of_every_append_of_this_node_also_when_the_session_has_left_memory(town, a):
    ear = Ear()
    a.house.followers.add(SESSION, ear)
    a.open(sleeper)
    a.say("1", "one")
    a.evict()
    assert [length for length, _ in ear.ends][-1] == 2
    town.wait(61)
    assert [length for length, _ in ear.ends][-1] == 3
    town.node("b.1").say("2", "two")
    assert [length for length, _ in ear.ends][-1] == 3, "what another node appends has to be looked for"


# -- reading -------------------------------------------------------------------------------------------------------------------------------


def read(node, after=None, confirm=True, session=SESSION):
    return node.finish(node.send(lambda reply: Read(session, after, confirm, reply)))


def told(news):
    return [each.said[2].text for each in news.spoken]


def test_a_reader_has_everything_or_what_is_behind_a_place(a, b):
    a.open(echo)
    a.say("1", "one")
    for node in (a, b):
        news = read(node)
        assert told(news) == ["Yes?", "You said one.", "Yes?"]
        assert (news.state, news.length, news.position) == ("live", 2, 1)
        assert told(read(node, (1, 0))) == ["Yes?"]
        assert told(read(node, (1, 1))) == []
        assert told(read(node, (99, 0))) == []


def test_what_is_forgotten_in_memory_is_read_from_the_history(a):
    a.open(echo)
    for number in range(60):
        a.say(str(number), f"{number}")
    everything = read(a)
    assert told(everything) == ["Yes?", *[text for number in range(60) for text in (f"You said {number}.", "Yes?")]]
    for number in range(0, len(everything.spoken), 7):
        assert read(a, everything.spoken[number].said[:2]).spoken == everything.spoken[number + 1 :]
    a.evict()
    assert read(a) == everything


def test_a_reader_who_asks_for_this_moment_has_what_another_node_has_appended(a, b):
    a.open(echo)
    b.say("1", "one")
    assert told(read(a, confirm=False)) == ["Yes?"]
    assert told(read(a)) == ["Yes?", "You said one.", "Yes?"]


def test_reading_over_a_restart_repeats_and_leaves_out_nothing(a):
    a.open(phoenix)
    a.say("1", "one")
    seen = read(a)
    a.say("2", "burn")
    a.say("3", "three")
    rest = read(a, seen.spoken[-1].said[:2])
    assert told(rest) == ["I burn.", "Life 2?", "three in life 2.", "Life 2?"]
    assert told(read(a)) == ["Life 1?", "one in life 1.", "Life 1?", *told(rest)]


def test_what_belongs_to_an_errands_notice_is_told_apart(town, a):
    a.open(boss, args={"seconds": 1.0})
    a.tell("1", "cat")
    town.wait(3)
    news = read(a)
    assert [(each.said[2].text, each.id.startswith("errand/")) for each in news.spoken] == [
        ("What?", False), ("cat: cat is 3.", True), ("What?", True),
    ]  # fmt: skip


def test_reading_tells_that_a_session_has_ended_or_is_not_there(town, a):
    a.open(echo)
    a.say("1", "bye")
    assert read(a).state == "ended"
    assert read(a, session="web:nobody").state == "absent"
    town.settle()
    assert a.live == 1
