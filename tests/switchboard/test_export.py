"""The command `sessions export`."""

import json
from collections.abc import Sequence

import pytest
import redis
from support.commands import FOREIGN, Shop, history_key
from support.shop import LONGER, PIN, TEA, price

from switchboard.history_files import read


def test_a_session_becomes_a_file_of_its_own(shop: Shop) -> None:
    shop.record("phone:CA1", PIN, TEA, price)
    done = shop.run("sessions", "export", "phone:CA1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "phone:CA1: 4 events, the input at 1 hidden, in histories/phone=CA1.json\n"
    (recorded,) = read(shop.folder / "histories" / "phone=CA1.json")
    assert (recorded.session, len(recorded.elements), recorded.hidden) == ("phone:CA1", 4, (1,))
    assert b"4711".hex() not in (shop.folder / "histories" / "phone=CA1.json").read_text()


def test_the_file_or_the_folder_can_be_named(shop: Shop) -> None:
    shop.record("phone:CA1", PIN)
    assert shop.run("sessions", "export", "phone:CA1", "--output", "deep/in it/x.json").returncode == 0
    assert read(shop.folder / "deep" / "in it" / "x.json")
    (shop.folder / "folder.json").mkdir()
    shop.record("phone:CA2", PIN)
    for output in ("my corpus", "folder.json"):
        assert shop.run("sessions", "export", "phone:CA1", "phone:CA2", "--output", output).returncode == 0
        assert {path.name for path in (shop.folder / output).iterdir()} == {"phone=CA1.json", "phone=CA2.json"}
    refused = shop.run("sessions", "export", "phone:CA1", "phone:CA2", "--output", "x.json")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "Error: x.json is a file, and 2 sessions need one each: name a folder with --output.\n"


def test_all_sessions_become_files_and_what_is_cut_is_told(shop: Shop, valkey: redis.Redis) -> None:
    for number in range(3):
        shop.record(f"phone:{number}", PIN, TEA, price)
    shop.record("phone:damaged", PIN)
    valkey.rpush(history_key("phone:damaged"), FOREIGN, FOREIGN)
    before = {key: valkey.dump(key) for key in valkey.scan_iter()}
    done = shop.run("sessions", "export", "--all", "--output", "corpus")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "4 histories in corpus, 4 with hidden inputs.\n"
        "1 of them ends early: at what depends on a secret, or at what the code here does not repeat.\n"
    )
    assert len(list((shop.folder / "corpus").iterdir())) == 4
    assert {key: valkey.dump(key) for key in valkey.scan_iter()} == before
    again = shop.run("sessions", "export", "--all", "--output", "corpus")
    assert again.stdout == done.stdout


def test_what_the_code_in_front_does_not_repeat_is_left_out_and_said(shop: Shop) -> None:
    shop.record("phone:CA1", PIN, TEA, price)
    shop.rewrite(LONGER)
    done = shop.run("sessions", "export", "phone:CA1")
    assert done.stdout == (
        "phone:CA1: 3 events, the input at 1, 2 hidden, the last 1 left out (the code here does not repeat event 2), "
        "in histories/phone=CA1.json\n"
    )
    assert json.loads((shop.folder / "histories" / "phone=CA1.json").read_text())[0]["left_out"] == 1


@pytest.mark.parametrize("words", [(), ("phone:CA1", "--all")])
def test_what_is_to_be_exported_is_named_or_is_everything(shop: Shop, words: Sequence[str]) -> None:
    done = shop.run("sessions", "export", *words)
    assert done.returncode == 2
    assert "name the sessions, or say --all for every one" in done.stderr


def test_a_session_that_is_not_there_or_a_place_that_cannot_be_written_is_one_sentence(shop: Shop) -> None:
    gone = shop.run("sessions", "export", "phone:nobody")
    assert (gone.returncode, gone.stdout) == (2, "")
    assert gone.stderr == "Error: There is no session phone:nobody. `switchboard sessions ls` tells which there are.\n"
    shop.record("phone:CA1", PIN)
    (shop.folder / "file").touch()
    done = shop.run("sessions", "export", "phone:CA1", "--output", "file")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: file/phone=CA1.json cannot be written: ")
