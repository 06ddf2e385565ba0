"""The commands `sessions ls`, `show` and `forget`."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import redis
from support.commands import FOREIGN, Shop, history_key
from support.shop import AT, BUG, LEFT, PIN, SHOP, TEA, pressed, price

from handlers.history import partition_of


def test_sessions_are_listed_with_their_states_the_last_active_first(shop: Shop, valkey: redis.Redis) -> None:
    shop.record("phone:runs", PIN)
    shop.record("phone:fails", PIN, TEA, at=AT + 1_000_000)
    shop.record("phone:ends", LEFT, at=AT + 2_000_000)
    shop.record("phone:damaged", at=AT + 3_000_000)
    valkey.rpush(history_key("phone:damaged"), FOREIGN)
    shop.rewrite(SHOP.replace("Digits(4", "Digits(6"))
    shop.record("phone:differs", pressed("123456", "a"), at=AT + 4_000_000)
    shop.rewrite(BUG)
    listed = shop.json("sessions", "ls")
    assert [(each["session"], each["events"], each["state"]) for each in listed] == [
        ("phone:differs", 2, "diverged"),
        ("phone:damaged", 2, "quarantined"),
        ("phone:ends", 2, "ended"),
        ("phone:fails", 3, "failed"),
        ("phone:runs", 2, "running"),
    ]
    assert listed[4] == {
        "session": "phone:runs",
        "workflow": "corner:shop",
        "events": 2,
        "opened": "2025-11-24 18:00:00+02:00",
        "last_event": "2025-11-24 18:00:01+02:00",
        "state": "running",
    }
    some = shop.run("sessions", "ls", "--limit", "4")
    table = some.stdout.splitlines()
    assert re.split(r" {2,}", table[0].strip()) == ["SESSION", "WORKFLOW", "EVENTS", "OPENED", "LAST EVENT", "STATE"]
    assert len(table) == 5
    assert some.stderr == "There are more than 4 sessions; --limit shows more.\n"


def test_a_session_is_shown_to_people_and_to_machines(shop: Shop) -> None:
    shop.record("phone:CA1", PIN, TEA, price)
    told = shop.run("sessions", "show", "phone:CA1")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("phone:CA1  running\n")
    assert "   2  2025-11-24 18:00:02+02:00  pressed 1  -> listen digits 1 (step 1)\n" in told.stdout
    assert "4711" not in told.stdout
    shown = shop.json("sessions", "show", "phone:CA1")
    assert (shown["state"], shown["workflow"], shown["waits_for"]) == ("running", "corner:shop", ["sleep (step 3)"])
    assert shown["alarms"] == [{"step": "3", "at": "2025-11-24T19:00:03+02:00"}]
    assert shown["events"][2] == {
        "position": 2,
        "at": "2025-11-24T18:00:02+02:00",
        "kind": "heard",
        "id": "b",
        "type": "pressed",
        "payload": {"digits": "1"},
        "hidden": False,
        "taken_by": "listen digits 1 (step 1)",
        "replayed": True,
        "said": [],
    }


def test_a_history_of_several_pages_is_shown_whole(shop: Shop) -> None:
    shop.rewrite(
        "from workflows import Talk, Words, workflow\n\n@workflow\nasync def shop(talk: Talk) -> None:\n"
        "    while True:\n        await talk.listen(Words())\n"
    )
    shop.record("web:1", *[pressed(str(number), str(number)) for number in range(1_200)])
    events = shop.json("sessions", "show", "web:1")["events"]
    assert [event["payload"]["digits"] for event in events[1:]] == [str(number) for number in range(1_200)]


def test_a_session_is_forgotten_when_that_is_sure(shop: Shop, valkey: redis.Redis) -> None:
    shop.record("phone:CA1", PIN)
    asked = shop.run("sessions", "forget", "phone:CA1")
    assert (asked.returncode, asked.stdout) == (2, ""), asked.stderr
    assert "--yes" in asked.stderr
    assert valkey.exists(history_key("phone:CA1"))
    done = shop.run("sessions", "forget", "phone:CA1", "--yes")
    assert (done.returncode, done.stdout) == (0, "phone:CA1 is forgotten.\n")
    assert not valkey.exists(history_key("phone:CA1"))


def test_an_errand_that_runs_is_not_forgotten_for_its_parent_would_start_it_anew(shop: Shop, valkey: redis.Redis) -> None:
    shop.rewrite(
        "from workflows import Heard, Talk, workflow\n\n@workflow\nasync def shop(talk: Talk) -> None:\n    await talk.next(Heard)\n"
    )
    shop.record("errand:1", parent=("web:1", "5/0"))
    refused = shop.run("sessions", "forget", "errand:1", "--yes")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "web:1" in refused.stderr
    assert valkey.exists(history_key("errand:1"))


@pytest.mark.parametrize("command", [("sessions", "show"), ("sessions", "forget", "--yes"), ("sessions", "resume"), ("replay",)])
def test_a_session_that_is_not_there_is_wrong_usage(shop: Shop, command: Sequence[str]) -> None:
    done = shop.run(*command, "phone:nobody")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: There is no session phone:nobody. `switchboard sessions ls` tells which there are.\n"


def test_sessions_of_the_embedded_store_are_seen_without_a_server(tmp_path: Path) -> None:
    alone = Shop(tmp_path / "a folder", None)
    nothing = alone.run("sessions", "ls")
    assert nothing.returncode == 2
    assert "There is no data directory" in nothing.stderr
    assert not (alone.folder / ".switchboard").exists(), "looking makes none"
    (alone.folder / "data").mkdir()
    assert alone.json("sessions", "ls", "--data", "data") == []


def test_a_session_that_is_left_alone_can_go_on(shop: Shop, valkey: redis.Redis) -> None:
    shop.record("phone:CA1", PIN)
    nothing = shop.run("sessions", "resume", "phone:CA1")
    assert (nothing.returncode, nothing.stdout) == (0, "phone:CA1 is not left alone: nothing is to be done.\n")
    index = f"sb:{{{partition_of('phone:CA1')}}}"
    valkey.hset(f"{index}:owner", "phone:CA1", "dead.1 6")
    valkey.zadd(f"{index}:pending", {"phone:CA1": 1})
    done = shop.run("sessions", "resume", "phone:CA1")
    assert done.returncode == 0
    assert "is gone on with by the next server that sweeps" in done.stdout
    owner = valkey.hget(f"{index}:owner", "phone:CA1")
    assert owner is not None
    assert owner.endswith(b" 1")
