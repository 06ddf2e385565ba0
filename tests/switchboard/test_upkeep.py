"""What can be wrong with stored sessions, found and mended while nodes come and go; in virtual time."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from support.house import SESSION, Town
from support.workflows import ALL, Outside, boss, chore, clerk, clocks, echo, sleeper

from handlers.history import LEASE_MS, Alarm, Indexes, partition_of
from handlers.journal import TAKE_OVERS, WATCH
from handlers.memory_history import MemoryHistory, MemoryStore
from switchboard.upkeep import LATE_MS, Fault, Survey, mend, survey, try_again
from workflows.events import Left, encode
from workflows.registry import Registry

P = partition_of(SESSION)


class Caretaker:
    """Looks after the store of a town, as a process of its own."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.process = town.world.process("caretaker")
        self.history = town.line("caretaker.1")

    def do(self, work: Any) -> Any:
        task = self.process.spawn(work)
        self.town.world.run(task.done)
        return task.result()

    def survey(self) -> Survey:
        seen: list[None] = []
        sessions = self.do(self.history.sessions(1_000))
        found = self.do(survey(self.history, sessions, Registry(ALL), lambda: seen.append(None)))
        assert len(seen) == len(sessions)
        assert isinstance(found, Survey)
        return found

    def faults(self) -> list[tuple[str, str]]:
        return [(fault.kind, fault.session) for fault in self.survey().faults]

    def mend(self, *faults: Fault) -> list[bool]:
        return [self.do(mend(self.history, fault)) for fault in faults or self.survey().faults]


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
def town(outside: Outside) -> Iterator[Town]:
    """Nobody sweeps but on request, so what is wrong stays wrong."""
    town = Town(ALL, outside.bodies, sweeps=False)
    yield town
    town.close()


@pytest.fixture
def caretaker(town: Town) -> Caretaker:
    return Caretaker(town)


def stored(town: Town) -> Any:
    """All that is stored, at this moment."""
    partitions = {number: index for number, index in town.store.partitions.items() if index.pending or index.owner or index.due}
    return deepcopy((town.store.histories, town.store.old, partitions))


def indexes(town: Town, session: str = SESSION) -> Any:
    return town.store.partitions[partition_of(session)]


def test_a_store_at_work_has_no_faults_and_is_left_as_it_is(town: Town, outside: Outside, caretaker: Caretaker) -> None:
    a = town.node("a.1")
    a.open(echo, session="web:listens")
    a.open(echo, session="web:ended")
    a.say("1", "bye", session="web:ended")
    a.open(sleeper, session="web:sleeps")
    a.say("1", "x", session="web:sleeps")
    outside.seconds = 1_000.0
    a.open(clerk, session="web:works")
    a.tell("1", "x", session="web:works")
    a.open(boss, session="web:waits")
    a.tell("1", "x", session="web:waits")
    town.wait(2)
    before = stored(town)
    assert caretaker.survey() == Survey()
    assert stored(town) == before
    a.kill()
    assert caretaker.faults() == []


# -- what is lost -------------------------------------------------------------------------------------------------------------------------


def test_work_that_no_index_knows_of_is_made_pending_and_done_by_the_next_server(
    town: Town, outside: Outside, caretaker: Caretaker
) -> None:
    a = town.node("a.1")
    outside.seconds = 1_000.0
    a.open(clerk)
    a.tell("1", "cat")
    town.wait(1)
    a.kill()
    indexes(town).pending.clear()
    indexes(town).owner.clear()
    assert caretaker.faults() == [("lost work", SESSION)]
    assert caretaker.mend() == [True]
    assert caretaker.faults() == []
    assert outside.words == ["cat"], "nothing is done here"

    b = town.node("b.1")
    outside.seconds = 0.0
    town.wait(LEASE_MS / 1000 + 1)
    b.sweep()
    town.wait(1)
    assert town.kinds() == ["opened", "heard", "memo"]
    assert outside.words == ["cat", "cat"]
    assert town.pending == []


def test_words_that_were_not_posted_and_that_no_index_knows_of_are_lost_work(town: Town, caretaker: Caretaker) -> None:
    a = town.node("a.1")
    a.open(echo, facts={"pushes": True})
    a.kill()
    indexes(town).pending.clear()
    indexes(town).owner.clear()
    assert caretaker.faults() == [("lost work", SESSION)]
    assert caretaker.mend() == [True]
    assert caretaker.faults() == []


def test_alarms_that_the_index_lacks_are_put_back_with_their_times(town: Town, caretaker: Caretaker) -> None:
    a = town.node("a.1")
    a.open(clocks, args={"seconds": [100.0, 200.0]})
    due = town.due
    a.kill()
    gone = min(due, key=lambda member: due[member])
    del indexes(town).due[gone]
    assert caretaker.faults() == [("lost alarms", SESSION)]
    assert caretaker.mend() == [True]
    assert town.due == due
    assert (town.pending, caretaker.faults()) == ([], [])

    b = town.node("b.1")
    town.wait(101)
    b.sweep()
    town.wait(1)
    assert town.kinds() == ["opened", "fired"]


def test_an_alarm_that_stands_much_too_late_is_put_right(town: Town, caretaker: Caretaker) -> None:
    a = town.node("a.1")
    a.open(clocks, args={"seconds": [100.0]})
    due = town.due
    (member,) = due
    a.kill()
    indexes(town).due[member] += LATE_MS
    assert caretaker.faults() == [], "a sweep may have put it off"
    indexes(town).due[member] += 1
    assert caretaker.faults() == [("lost alarms", SESSION)]
    assert caretaker.mend() == [True]
    assert town.due == due


def test_errands_that_nobody_looks_after_are_looked_after_again(town: Town, caretaker: Caretaker) -> None:
    a = town.node("a.1")
    a.open(boss, args={"seconds": 86_400.0})
    a.tell("1", "cat")
    town.wait(1)
    a.kill()
    (child,) = [session for session in town.sessions() if session.startswith("errand:")]
    [watch] = [member for member in indexes(town).due if member.endswith(WATCH)]
    del indexes(town).due[watch]
    assert caretaker.faults() == [("lost alarms", SESSION)]
    assert caretaker.mend() == [True]
    assert watch in town.due
    assert caretaker.faults() == []

    del town.store.histories[child]
    b = town.node("b.1")
    b.sweep(SESSION)
    town.wait(2)
    assert town.kinds(child)[:1] == ["opened"], "the lost errand is begun anew"


def test_an_errand_that_runs_or_whose_notice_is_put_off_is_kept_rightly(town: Town, caretaker: Caretaker) -> None:
    a = town.node("a.1")
    a.open(chore, args={"word": "x", "seconds": 50.0}, session="errand:1", channel="errand", parent=("web:gone", "1/0"))
    town.wait(1)
    a.kill()
    assert caretaker.faults() == []


def test_a_session_that_owes_nothing_and_never_expires_is_given_an_expiry_by_the_next_server(town: Town, caretaker: Caretaker) -> None:
    a = town.node("a.1")
    a.open(echo)
    a.kill()
    town.store.histories[SESSION].until = None
    assert caretaker.faults() == [("kept for ever", SESSION)]
    assert caretaker.mend() == [True]
    assert caretaker.faults() == []

    b = town.node("b.1")
    town.wait(LEASE_MS / 1000 + 1)
    b.sweep()
    town.wait(1)
    assert town.store.histories[SESSION].until is not None
    assert town.pending == []


# -- what is too much ---------------------------------------------------------------------------------------------------------------------


def test_entries_of_sessions_without_a_history_are_dropped(town: Town, outside: Outside, caretaker: Caretaker) -> None:
    a = town.node("a.1")
    outside.seconds = 1_000.0
    a.open(clocks, args={"seconds": [5_000.0, 6_000.0]})
    a.open(clerk, session="web:2")
    a.tell("1", "x", session="web:2")
    town.wait(1)
    a.kill()
    town.store.histories.clear()
    assert caretaker.faults() == [("stray alarms", SESSION)], "the lease of web:2 is alive"
    town.wait(LEASE_MS / 1000 + 1)
    assert sorted(caretaker.faults()) == [("stray alarms", SESSION), ("stray leases", "web:2")]
    assert caretaker.mend() == [True, True]
    assert (town.due, town.pending, indexes(town, "web:2").owner, caretaker.faults()) == ({}, [], {}, [])


def test_an_owner_without_a_deadline_and_without_a_history_is_dropped(town: Town, caretaker: Caretaker) -> None:
    indexes(town).owner[SESSION] = ("a.1", 3)
    assert caretaker.faults() == [("stray leases", SESSION)]
    assert caretaker.mend() == [True]
    assert indexes(town).owner == {}


def test_entries_of_a_session_that_has_come_back_meanwhile_are_left(town: Town, outside: Outside, caretaker: Caretaker) -> None:
    indexes(town).due[f"{SESSION} 1/0"] = town.world.now() + 10_000_000
    indexes(town).owner[SESSION] = ("z.1", 0)
    faults = caretaker.survey().faults
    assert {fault.kind for fault in faults} == {"stray alarms", "stray leases"}
    outside.seconds = 1_000.0
    a = town.node("a.1")
    a.open(clerk)
    a.tell("1", "x")
    town.wait(1)
    before = stored(town)
    assert caretaker.mend(*faults) == [False, False]
    assert stored(town) == before


# -- while servers write ------------------------------------------------------------------------------------------------------------------


def test_a_session_that_changes_before_it_is_mended_is_left_alone(town: Town, caretaker: Caretaker) -> None:
    a = town.node("a.1")
    a.open(clocks, args={"seconds": [100.0]})
    indexes(town).due.clear()
    (fault,) = caretaker.survey().faults
    a.say("1", "stop")
    before = stored(town)
    assert caretaker.mend(fault) == [False]
    assert stored(town) == before


def test_mending_twice_is_the_same_as_once(town: Town, caretaker: Caretaker) -> None:
    a = town.node("a.1")
    a.open(clocks, args={"seconds": [100.0]})
    a.kill()
    indexes(town).due.clear()
    (fault,) = caretaker.survey().faults
    assert caretaker.mend(fault) == [True]
    before = stored(town)
    assert caretaker.mend(fault) == [True]
    assert stored(town) == before


async def test_what_is_wrong_at_one_look_only_is_no_fault() -> None:
    class Flickering(MemoryHistory):
        looks = 0

        async def indexes(self, partition: int) -> Indexes:
            found = await super().indexes(partition)
            self.looks += partition == P
            return Indexes({}, {}, ((SESSION, Alarm(1, "0", 5)),)) if partition == P and self.looks == 1 else found

    flickering = Flickering(MemoryStore(), "a.1", lambda: 1_000)
    assert (await survey(flickering, [], Registry(), lambda: None)).faults == []
    assert flickering.looks == 2


# -- what is only told --------------------------------------------------------------------------------------------------------------------


def test_a_session_that_is_left_alone_is_told_and_goes_on_when_somebody_says_so(town: Town, outside: Outside, caretaker: Caretaker) -> None:
    a = town.node("a.1")
    outside.seconds = 1_000.0
    a.open(clerk)
    a.tell("1", "cat")
    town.wait(1)
    a.kill()
    indexes(town).owner[SESSION] = ("a.1", TAKE_OVERS + 1)
    town.wait(600)
    found = caretaker.survey()
    assert (found.left_alone, found.overdue, found.faults) == ([SESSION], set(), [])
    b = town.node("b.1")
    b.sweep()
    town.wait(20)
    assert outside.words == ["cat"]

    outside.seconds = 0.0
    assert caretaker.do(try_again(caretaker.history, SESSION))
    assert caretaker.survey().left_alone == []
    town.wait(LEASE_MS / 1000 + 1)
    b.sweep()
    town.wait(1)
    assert town.kinds() == ["opened", "heard", "memo"]
    assert town.pending == []


def test_what_no_server_sees_to_is_told_with_how_long_it_waits(town: Town, outside: Outside, caretaker: Caretaker) -> None:
    a = town.node("a.1")
    a.open(sleeper, session="web:sleeps")
    a.say("1", "x", session="web:sleeps")
    outside.seconds = 1_000.0
    a.open(clerk, session="web:works")
    a.tell("1", "x", session="web:works")
    town.wait(1)
    a.kill()
    town.wait(20)
    assert caretaker.survey().overdue == set()
    town.wait(100)
    found = caretaker.survey()
    assert found.overdue == {"web:sleeps", "web:works"}
    assert 100_000 < found.waiting_ms < 121_000
    assert found.faults == []


def test_a_session_that_the_code_here_cannot_carry_on_is_told_and_not_touched(town: Town, caretaker: Caretaker) -> None:
    a = town.node("a.1")
    for session in ("web:damaged", "web:foreign", "web:headless"):
        a.open(clocks, args={"seconds": [100.0]}, session=session)
    a.kill()
    for partition in town.store.partitions.values():
        partition.due.clear()
    town.store.histories["web:damaged"].elements.append(b"\x02 damaged")
    town.store.histories["web:headless"].elements[:1] = [encode(Left(1, 0, 0, "a", "hung up"), bytes(8))]
    element = town.store.histories["web:foreign"].elements[0]
    town.store.histories["web:foreign"].elements[0] = element.replace(b"\xa6clocks", b"\xa6nowhat")
    before = stored(town)
    found = caretaker.survey()
    assert (sorted(found.broken), found.faults) == (["web:damaged", "web:foreign", "web:headless"], [])
    assert stored(town) == before
