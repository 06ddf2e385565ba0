"""Verdicts, added up."""

from switchboard.tally import Tally
from switchboard.verdicts import Rewording, Verdict


def diverged(number: int) -> Verdict:
    return Verdict(f"phone:{number}", "b", "diverged", number, "r", "w", "k")


def reworded(number: int, words: str = "new") -> Verdict:
    return Verdict(f"web:{number}", "a", "reworded", rewordings=(Rewording(number, f"after x (step {number})", (words,), ("old",)),))


def tally_of(*verdicts: Verdict) -> Tally:
    tally = Tally()
    for verdict in verdicts:
        tally.add(verdict)
    return tally


def test_a_tally_counts_outcomes_by_workflow_and_does_not_grow_with_histories() -> None:
    tally = tally_of(*map(diverged, range(1_000)), *map(reworded, range(500)), *[Verdict("web:1", "a", "same")] * 500)
    assert (tally.histories, tally.differing, tally.reworded) == (2_000, 1_000, 500)
    assert tally.as_value()["workflows"]["a"] == {"same": 500, "reworded": 500, "diverged": 0, "failed": 0, "quarantined": 0}
    (trouble,) = tally.sorted_troubles()
    assert (trouble.example.name, trouble.count) == ("phone:0", 1_000)
    (words,) = tally.sorted_rewordings()
    assert (words.name, words.example.position, words.count) == ("web:0", 0, 500)


def test_of_ever_other_words_only_the_number_is_kept() -> None:
    tally = tally_of(*[reworded(number, f"words {number}") for number in range(1_200)])
    assert (len(tally.rewordings), tally.more, tally.reworded) == (1_000, 200, 1_200)
    tally.merge(tally_of(reworded(1, "words 1"), reworded(2, "unheard of")))
    assert (len(tally.rewordings), tally.more) == (1_000, 201)


def test_tallies_add_up_to_the_same_in_any_order() -> None:
    verdicts = [*map(diverged, range(7)), *map(reworded, range(7)), Verdict("web:1", "a", "same")]
    whole = tally_of(*verdicts).as_value()
    for cut in (0, 5, 9):
        one, other = tally_of(*verdicts[:cut]), tally_of(*verdicts[cut:])
        other.merge(one)
        assert other.as_value() == whole
