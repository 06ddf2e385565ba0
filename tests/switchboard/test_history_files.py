"""Histories in files."""

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchboard.errors import HistoryFileError
from switchboard.history_files import Recorded, files_in, name_of, read, write
from switchboard.replay import LedTo
from workflows.outputs import Play, Say, Ssml


@pytest.mark.parametrize(
    "recorded",
    [
        Recorded("phone:CA1", (b"\x01abcdefgh\x90", b"\x02")),
        Recorded('we"b:\u00e4\n', (b"\x00",), (1, 4), 7),
        Recorded("web:1", ()),
        Recorded(
            "web:1",
            (b"\x01", b"\x02", b"\x03"),
            led_to=(
                LedTo(("listen digits 1 (step 0)",), (Say("a \u00e4", "Amy", ""), Ssml("<b/>"), Play("u")), ("listens for digits",)),
                LedTo((), None),
                None,
            ),
        ),
    ],
)
def test_what_is_written_is_read_and_is_for_its_owner_only(tmp_path: Path, recorded: Recorded) -> None:
    path = tmp_path / "a folder" / "x.json"
    write(path, recorded)
    assert read(path) == [recorded]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["x.json"]


def test_a_file_has_one_element_a_line_so_that_changes_can_be_seen(tmp_path: Path) -> None:
    write(tmp_path / "x.json", Recorded("web:1", (b"\x01", b"\x02"), (1,), 2))
    text = (tmp_path / "x.json").read_text()
    assert text == '[{"session": "web:1", "elements": [\n"01",\n"02"\n], "hidden": [1], "left_out": 2}]\n'
    assert json.loads(text)


def test_several_histories_may_share_a_file(tmp_path: Path) -> None:
    several = [Recorded("web:1", (b"\x01",)), Recorded("web:2", (b"\x02",), (1,))]
    write(tmp_path / "x.json", *several)
    assert read(tmp_path / "x.json") == several


def test_a_file_has_a_line_for_what_each_event_led_to(tmp_path: Path) -> None:
    write(tmp_path / "x.json", Recorded("web:1", (b"\x01", b"\x02"), led_to=(LedTo(("sleep (step 0)",), (Say("hi"),)), None)))
    assert (tmp_path / "x.json").read_text() == (
        '[{"session": "web:1", "elements": [\n"01",\n"02"\n], "led_to": [\n'
        '{"said": [{"say": "hi"}], "waits": ["sleep (step 0)"]},\nnull\n]}]\n'
    )


def test_a_file_that_cannot_take_its_place_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "x.json").mkdir()
    with pytest.raises(HistoryFileError, match=r"x\.json cannot be written: Is a directory"):
        write(tmp_path / "x.json", Recorded("web:1", (b"\x01",)))
    assert [each.name for each in tmp_path.iterdir()] == ["x.json"]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HistoryFileError, match=r"cannot be written: .*Choose another place with --output"):
        write(tmp_path / "file" / "x.json", Recorded("web:1", ()))


def test_a_file_that_is_a_folder_or_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(HistoryFileError, match="cannot be read: Is a directory"):
        read(tmp_path)
    with pytest.raises(HistoryFileError, match="There is no file"):
        read(tmp_path / "x.json")


def test_the_name_of_a_file_is_its_session_s() -> None:
    assert name_of("phone:CA0123") == "phone=CA0123.json"
    assert name_of("web:a/../b c=~") == "web=a%2F..%2Fb%20c%3D%7E.json"
    assert len(name_of("x" * 1_000)) < 255
    assert name_of("x" * 1_000) != name_of("x" * 1_001)


@given(st.text(max_size=12), st.text(max_size=12))
def test_no_two_sessions_share_a_file(one: str, other: str) -> None:
    assert (name_of(one) == name_of(other)) == (one == other)
    assert "/" not in name_of(one)


def test_the_files_of_a_folder_come_by_name(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("c.json", "a.json", "b/1.json", ".history-x.json", "c.txt"):
        (tmp_path / name).touch()
    assert [str(path.relative_to(tmp_path)) for path in files_in(tmp_path)] == ["a.json", "b/1.json", "c.json"]
