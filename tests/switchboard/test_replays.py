"""The command `replay`, on sessions and on files, one and many."""

import json
import os
import pty
import random
import re
import subprocess
import threading
from pathlib import Path

import pytest
import redis
from support.commands import FOREIGN, SWITCHBOARD, Shop, history_key
from support.shop import BUG, FIRED, LONGER, PIN, SHOP, TEA, price

from switchboard.history_files import read
from switchboard.settings import ENVIRONMENT


def test_a_replay_of_the_same_code_is_fine_and_touches_nothing(shop: Shop, valkey: redis.Redis) -> None:
    shop.record("phone:CA1", PIN, TEA, price, FIRED)
    before = {key: valkey.dump(key) for key in valkey.scan_iter()}
    done = shop.run("replay", "phone:CA1")
    assert (done.returncode, done.stdout) == (0, "phone:CA1: 5 events replayed, every step as on record; it is ended.\n")
    assert {key: valkey.dump(key) for key in valkey.scan_iter()} == before


def test_other_words_are_told_and_are_no_divergence(shop: Shop) -> None:
    shop.record("phone:CA1", PIN, TEA, price)
    shop.rewrite(SHOP.replace("Welcome.", "Good morning."))
    done = shop.run("replay", "phone:CA1")
    assert done.returncode == 0
    assert (
        "after event 0 something else would be said than was:\n  after an opening of corner:shop, before listen digits 4 (step 0)\n"
        in done.stdout
    )
    assert '  now says "Good morning."\n' in done.stdout
    assert "every step as on record" in done.stdout
    assert shop.json("replay", "phone:CA1") == {
        "session": "phone:CA1",
        "state": "running",
        "events": 4,
        "reworded": [
            {
                "position": 0,
                "place": "after an opening of corner:shop, before listen digits 4 (step 0)",
                "then": None,
                "now": [{"say": "Good morning."}, {"say": "Your PIN, please"}],
            }
        ],
    }


def test_a_divergence_is_told_with_both_sides_and_exit_code_1(shop: Shop) -> None:
    shop.record("phone:CA1", PIN, TEA, price)
    shop.rewrite(LONGER)
    done = shop.run("replay", "phone:CA1")
    assert done.returncode == 1
    assert "does not repeat what is on record at event 2:\n" in done.stdout
    assert "  on record  an input (pressed), recorded when other steps were open\n" in done.stdout
    assert "  wanted     listen digits 2 (step 1)\n" in done.stdout
    machine = shop.run("replay", "phone:CA1", "--json")
    assert machine.returncode == 1
    assert json.loads(machine.stdout)["divergence"]["wanted"] == "listen digits 2 (step 1)"


def test_an_effect_called_with_other_arguments_is_a_divergence(shop: Shop) -> None:
    shop.record("phone:CA1", PIN, TEA, price)
    shop.rewrite(SHOP.replace("price_of, what)", "price_of, what * 2)"))
    done = shop.run("replay", "phone:CA1")
    assert done.returncode == 1
    assert "  on record  the outcome of price_of (step 2) with other arguments\n" in done.stdout


def test_code_that_fails_on_a_history_is_a_problem(shop: Shop) -> None:
    shop.record("phone:CA1", PIN, TEA)
    shop.rewrite(BUG)
    done = shop.run("replay", "phone:CA1")
    assert done.returncode == 1
    assert "phone:CA1: the workflow fails at event 2:\n" in done.stdout
    assert "ValueError: invalid literal" in done.stdout


def test_a_history_that_cannot_be_read_is_a_problem(shop: Shop, valkey: redis.Redis) -> None:
    shop.record("phone:CA1", PIN)
    valkey.rpush(history_key("phone:CA1"), FOREIGN)
    done = shop.run("replay", "phone:CA1")
    assert done.returncode == 1
    assert "phone:CA1: quarantined\n" in done.stdout


def test_every_session_is_replayed_and_summed_up_by_workflow(shop: Shop, valkey: redis.Redis) -> None:
    for number in range(3):
        shop.record(f"phone:brief{number}", PIN)
        shop.record(f"phone:long{number}", PIN, TEA, price)
    shop.record("phone:damaged", PIN)
    valkey.rpush(history_key("phone:damaged"), FOREIGN)
    shop.record("phone:moved", PIN, workflow="corner:shop")
    shop.rewrite(LONGER.replace("Welcome.", "Hello."))
    done = shop.run("replay", "--all")
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["WORKFLOW", "SAME", "REWORDED", "DIVERGED", "FAILED", "QUARANTINED"]
    assert lines[1].split() == ["corner:shop", "0", "4", "3", "0", "1"]
    assert "corner:shop diverged 3 times" in lines
    assert "  wanted     listen digits 2 (step 1)" in lines
    assert "corner:shop quarantined 1 time" in lines
    assert "corner:shop reworded 8 times" in lines
    assert lines[-1] == (
        "8 histories replayed: 4 differ from what is on record, 4 would say something else. "
        "`switchboard replay` with one of them tells more."
    )

    machine = shop.run("replay", "--all", "--json")
    assert machine.returncode == 1
    value = json.loads(machine.stdout)
    assert (value["histories"], value["differing"]) == (8, 4)
    assert value["workflows"] == {"corner:shop": {"same": 0, "reworded": 4, "diverged": 3, "failed": 0, "quarantined": 1}}
    diverged, damaged = value["differences"]
    assert diverged["example"].startswith("phone:long")
    assert (diverged["count"], diverged["position"], diverged["wanted"]) == (3, 2, "listen digits 2 (step 1)")
    assert (damaged["outcome"], damaged["example"]) == ("quarantined", "phone:damaged")


def test_workflows_that_fail_are_summed_up_with_their_error_and_its_place(shop: Shop) -> None:
    shop.record("phone:CA1", PIN, TEA)
    shop.record("phone:CA2", PIN)
    shop.record("phone:CA3", workflow="nowhere:shop")
    shop.rewrite(BUG)
    done = shop.run("replay", "--all")
    assert done.returncode == 1
    assert "  why        ValueError: invalid literal for int() with base 10: 'tea'\n" in done.stdout
    assert re.search(rf"^  where      {re.escape(str(shop.folder))}/corner.py:\d+ in shop$", done.stdout, re.MULTILINE)
    assert "workflow nowhere:shop: there is no module nowhere." in done.stdout


def test_an_empty_store_has_nothing_that_differs(shop: Shop) -> None:
    done = shop.run("replay", "--all")
    assert (done.returncode, done.stdout) == (0, "0 histories replayed: every step as on record.\n")


def test_what_is_to_be_replayed_is_named_or_is_everything(shop: Shop) -> None:
    for words in ((), ("phone:CA1", "--all")):
        done = shop.run("replay", *words)
        assert done.returncode == 2
        assert "name sessions or files, or say --all for every session" in done.stderr


def test_exported_histories_are_replayed_without_a_store_or_settings(shop: Shop, valkey: redis.Redis) -> None:
    shop.record("phone:CA1", PIN, TEA, price)
    shop.record("phone:CA2", PIN)
    assert shop.run("sessions", "export", "--all").returncode == 0
    valkey.flushall()
    (shop.folder / "switchboard.toml").write_text("nonsense")
    gone = {"REDIS_URL": "redis://127.0.0.1:1/0"}
    one = shop.run("replay", "histories/phone=CA1.json", **gone)
    assert (one.returncode, one.stdout) == (0, "phone:CA1: 4 events replayed, every step as on record; it is running.\n")
    both = shop.run("replay", "histories", **gone)
    assert (both.returncode, both.stdout.splitlines()[-1]) == (0, "2 histories replayed: every step as on record.")
    shop.rewrite(LONGER)
    changed = shop.run("replay", "histories", "--json", **gone)
    assert changed.returncode == 1
    (difference,) = json.loads(changed.stdout)["differences"]
    assert (difference["example"], difference["position"], difference["count"]) == ("histories/phone=CA1.json", 1, 2)
    assert difference["recorded"] == "an input (pressed), upon which it waited for listen digits 1 (step 1)"
    assert difference["wanted"] == "listen digits 2 (step 1)"


def test_exported_histories_tell_what_was_said_and_what_would_be_said_now(shop: Shop) -> None:
    shop.record("phone:CA1", PIN, TEA, price, FIRED)
    shop.record("phone:CA2", PIN)
    shop.run("sessions", "export", "--all")
    shop.rewrite(SHOP.replace("1 for tea, 2 for coffee", "1 for coffee, 2 for tea").replace("We close.", "We are closed."))
    done = shop.run("replay", "histories")
    assert done.returncode == 0
    assert (
        """corner:shop reworded 2 times
  example    histories/phone=CA1.json at event 1
  where      after listen digits 4 (step 0), before listen digits 1 (step 1)
  - says "1 for tea, 2 for coffee"
  + says "1 for coffee, 2 for tea"
    listens for digits {"n":1}
"""
        in done.stdout
    )
    assert (
        """corner:shop reworded 1 time
  example    histories/phone=CA1.json at event 4
  where      after the alarm of step 3, before the end
  - says "We close."
  + says "We are closed."
"""
        in done.stdout
    ), "the last words are in a corpus, too"
    assert done.stdout.endswith(
        "2 histories replayed: every step as on record, 2 would say something else. `switchboard replay` with one of them tells more.\n"
    )
    value = json.loads(shop.run("replay", "histories", "--json").stdout)
    assert [(each["count"], each["position"], each["then"]) for each in value["reworded"]] == [
        (2, 1, ['says "1 for tea, 2 for coffee"', 'listens for digits {"n":1}']),
        (1, 4, ['says "We close."']),
    ]
    one = shop.run("replay", "histories/phone=CA2.json")
    assert '  - says "1 for tea, 2 for coffee"\n  + says "1 for coffee, 2 for tea"\n' in one.stdout
    (reworded,) = shop.json("replay", "histories/phone=CA2.json")["reworded"]
    assert reworded["then"] == [{"say": "1 for tea, 2 for coffee"}, {"shows": 'listens for digits {"n":1}'}]
    assert reworded["now"] == [{"say": "1 for coffee, 2 for tea"}, {"shows": 'listens for digits {"n":1}'}]


def test_of_words_that_differ_in_every_session_a_few_are_told(shop: Shop) -> None:
    for number in range(5):
        shop.record(f"phone:CA{number}", PIN, TEA, price, caller=f"+1555010{number}")
    shop.rewrite(SHOP.replace('talk.say("Welcome.")', 'talk.say(f"Welcome, {talk.opened.caller}.")'))
    done = shop.run("replay", "--all")
    assert done.stdout.count("corner:shop reworded 1 time\n") == 3
    assert "Something else is said 2 more times at these steps: see --json.\n" in done.stdout
    assert len(shop.json("replay", "--all")["reworded"]) == 5


def test_other_words_are_a_failure_where_they_are_asked_to_be(shop: Shop) -> None:
    for number in range(2):
        shop.record(f"phone:CA{number}", PIN, TEA, price)
    shop.rewrite(SHOP.replace("Welcome.", "Good morning."))
    for words, code in (("--all",), 0), (("--all", "--fail-on-reworded"), 1), (("phone:CA1", "--fail-on-reworded"), 1):
        assert shop.run("replay", *words).returncode == code, words


def test_other_words_can_be_taken_over_into_files(shop: Shop) -> None:
    shop.record("phone:CA1", PIN, TEA, price)
    shop.record("phone:CA2", PIN)
    shop.run("sessions", "export", "--all")
    before = {path.name: read(path)[0] for path in (shop.folder / "histories").iterdir()}
    shop.rewrite(SHOP.replace("That is", "It costs"))
    done = shop.run("replay", "histories", "--accept")
    assert (done.returncode, done.stderr) == (0, "1 history took over what would be said now.\n")
    assert '+ says "It costs 3."' in done.stdout
    assert shop.run("replay", "histories").stdout.splitlines()[-1] == "2 histories replayed: every step as on record."
    after = {path.name: read(path)[0] for path in (shop.folder / "histories").iterdir()}
    assert after["phone=CA2.json"] == before["phone=CA2.json"]
    assert after["phone=CA1.json"].elements == before["phone=CA1.json"].elements, "what is on record is never written again"
    shop.rewrite(LONGER.replace("Welcome.", "Hello."))
    assert shop.run("replay", "histories", "--accept").stderr == "0 histories took over what would be said now.\n"
    assert after == {path.name: read(path)[0] for path in (shop.folder / "histories").iterdir()}, "a divergence is nothing to accept"


def test_only_files_take_over_words(shop: Shop) -> None:
    shop.record("phone:CA1", PIN)
    for words in (("--all", "--accept"), ("phone:CA1", "--accept")):
        done = shop.run("replay", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert "name the files, or the folders of files" in done.stderr


def test_any_number_of_processes_finds_the_same(shop: Shop, valkey: redis.Redis) -> None:
    shop.record("phone:CA0", PIN, TEA, price)
    stored = valkey.lrange(history_key("phone:CA0"), 0, -1)
    with valkey.pipeline() as pipe:
        for number in range(1, 250):
            pipe.rpush(history_key(f"phone:CA{number}"), *stored[: 1 + number % 4])
        pipe.execute()
    shop.rewrite(LONGER.replace("Welcome.", "Hello."))
    one, two = [shop.run("replay", "--all", "--json", "--jobs", jobs) for jobs in ("1", "2")]
    assert (one.returncode, one.stderr) == (two.returncode, two.stderr) == (1, "")
    assert json.loads(one.stdout) == json.loads(two.stdout)
    assert json.loads(one.stdout)["histories"] == 250


def test_a_process_that_dies_is_one_sentence(shop: Shop, valkey: redis.Redis) -> None:
    shop.record("phone:CA0", PIN, TEA, price)
    stored = valkey.lrange(history_key("phone:CA0"), 0, -1)
    for number in range(1, 150):
        valkey.rpush(history_key(f"phone:CA{number}"), *stored)
    ends = "import multiprocessing, os\nif multiprocessing.parent_process() is not None:\n    os._exit(3)\n"
    shop.rewrite(SHOP)
    (shop.folder / "corner.py").write_text(ends + SHOP)
    done = shop.run("replay", "--all", "--jobs", "2")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: A process that replays has died.")
    assert done.stderr.count("\n") == 1


def test_golden_histories_are_files_of_histories(shop: Shop) -> None:
    golden = Path(__file__).parents[1] / "workflows" / "golden"
    told = json.loads(shop.run("replay", str(golden / "santa.json"), "--json").stdout)
    assert (told["session"], told["events"], told["reworded"]) == ("web:1", 7, [])
    several = json.loads(shop.run("replay", str(golden / "chat.json"), str(golden / "santa at night.json"), "--json").stdout)
    assert several["histories"] == 3
    assert several["workflows"]["santa"]["same"] == 1


def test_files_and_sessions_may_be_named_together(shop: Shop) -> None:
    shop.record("phone:CA1", PIN)
    shop.record("phone:CA2", PIN)
    shop.run("sessions", "export", "phone:CA1", "--output", "one.json")
    told = shop.run("replay", "one.json", "phone:CA2", "--json")
    assert (told.returncode, json.loads(told.stdout)["histories"]) == (0, 2)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("gone.json", None, "There is no file gone.json."),
        ("other.json", '{"a": 1}', "other.json holds no histories"),
        ("other.json", '[{"session": "web:1", "elements": ["zz"]}]', "other.json holds no histories"),
        ("empty", None, "There are no histories (*.json) in empty."),
    ],
)
def test_a_file_that_holds_no_histories_is_one_sentence(shop: Shop, name: str, text: str | None, told: str) -> None:
    (shop.folder / "empty").mkdir()
    if text is not None:
        (shop.folder / name).write_text(text)
    done = shop.run("replay", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {told}")
    assert done.stderr.count("\n") == 1


def test_sessions_that_change_or_vanish_meanwhile_are_no_trouble(shop: Shop, valkey: redis.Redis) -> None:
    session = "phone:CA0"
    shop.record(session, PIN, TEA, price)
    (stored,) = [valkey.lrange(history_key(session), 0, -1)]
    names = [f"phone:{number}" for number in range(400)]

    def put(name: str, length: int) -> None:
        with valkey.pipeline() as pipe:
            pipe.delete(history_key(name))
            pipe.rpush(history_key(name), *stored[:length])
            pipe.execute()

    for name in names:
        put(name, 4)
    stop = threading.Event()

    def churn() -> None:
        rng = random.Random(1)
        while not stop.is_set():
            name = rng.choice(names)
            valkey.delete(history_key(name)) if rng.random() < 0.5 else put(name, rng.randint(1, 4))

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        done = shop.run("replay", "--all", "--json")
    finally:
        stop.set()
        thread.join()
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert 100 < told["histories"] == told["workflows"]["corner:shop"]["same"]


def test_how_far_it_has_come_is_shown_on_a_terminal_only_and_apart_from_the_result(shop: Shop) -> None:
    shop.record("phone:CA1", PIN)
    main, side = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    done = subprocess.run(
        [SWITCHBOARD, "replay", "--all"],
        cwd=shop.folder, env=environment | {"REDIS_URL": shop.url or "", "TERM": "xterm"}, stdout=subprocess.PIPE, stderr=side, check=True,
    )  # fmt: skip
    os.close(side)
    shown = os.read(main, 100_000).decode()
    os.close(main)
    assert "Replaying" in shown
    assert "1/1" in shown
    assert "Replaying" not in done.stdout.decode()
    assert b"1 history replayed: every step as on record." in done.stdout
    assert shop.run("replay", "--all").stderr == ""
