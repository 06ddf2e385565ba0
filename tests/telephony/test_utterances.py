"""What people type who have read the README: the offline demo model makes of nearly all of it what they mean."""

from pathlib import Path

import pytest
from support.utterances import utterances, verdict

HERE = Path(__file__).parent
LEAST = 0.95
"""Of the utterances that must come out right."""


@pytest.mark.parametrize(("name", "count"), [("utterances.txt", 300), ("utterances_more.txt", 120)])
def test_at_least_95_of_100_utterances_come_to_what_is_meant(name: str, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    typed = utterances(HERE / name)
    wrong = [f"{utterance}\n    {instead}" for utterance in typed if (instead := verdict(utterance)) is not None]
    score = 1 - len(wrong) / len(typed)
    with capsys.disabled():
        print(f"\n{name}: {score:.1%} of {len(typed)} utterances come to what is meant", *wrong, sep="\n")  # noqa: T201 - the score
    assert len(typed) == count
    assert score >= LEAST, "\n".join(wrong)
