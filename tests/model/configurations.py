"""What is explored: small systems, each with a few inputs and a few faults, and the rules that each of them needs."""

from dataclasses import dataclass, replace

from model import conversations as talks
from model.core import Core
from model.events import Event, Opening
from model.explore import Search, Verdict
from model.handler import Inbound
from model.rules import Rules
from model.session import Session
from model.stage import Stage
from model.steps import Conversation
from model.store import Stored
from model.world import Faults

M1_AT_A = (0, Inbound("m1", "said", "line"))
M1_AT_B = (1, Inbound("m1", "said", "line"))
M2_AT_A = (0, Inbound("m2", "said", "line"))
M2_AT_B = (1, Inbound("m2", "said", "line"))
M3_AT_A = (0, Inbound("m3", "said", "line"))
BYE_AT_A = (0, Inbound("bye", "left", "line"))
BYE_AT_B = (1, Inbound("bye", "left", "line"))
M3_AT_C = (2, Inbound("m3", "said", "line"))
BACK_AT_A = (0, Inbound("m2", "said", "another line"))


@dataclass(frozen=True, slots=True)
class Configuration:
    """A system to explore: the conversation and its errands, the inputs, the faults.

    `opened`: the conversation is open already, so that only its turns are explored. `pushes`: its channel is posted to. `reopens`: an
    input after the end opens a new generation. `depth`: writes that a failover loses at most. `limit`: take-overs without progress.
    """

    talks: tuple[Conversation, ...]
    inbox: tuple[tuple[int, Inbound], ...]
    faults: Faults
    opened: bool = True
    pushes: bool = False
    reopens: bool = False
    nodes: int = 2
    depth: int = 1
    limit: int = 9

    def explore(self, *without: str) -> Verdict:
        """Search it through, without some of the rules."""
        rules = replace(Rules(), **dict.fromkeys(without, False))
        sessions = tuple(
            Session(i, Core(talk, rules, pushes=self.pushes and i == 0), rules, self.limit, self.reopens and i == 0)
            for i, talk in enumerate(self.talks)
        )
        opening = (Event("opened", "", Opening(via="line")),) if self.opened else ()
        stored = (Stored(opening, expires=self.opened), *(Stored() for _ in self.talks[1:]))
        stage = Stage(sessions, rules, self.faults, depth=self.depth, limit=self.limit)
        return Search(stage, self.nodes, stored, self.inbox).run()


_TURNS = ((talks.calls_each_turn,), (M1_AT_A, M2_AT_B))
_CALL_OR_WORD = ((talks.listens_or_calls,), (M1_AT_A, M2_AT_B))
_ALARM_OR_WORD = ((talks.listens_or_sleeps,), (M1_AT_A, M2_AT_B))
_RESTART = ((talks.restarts,), (M1_AT_A, M2_AT_B))
_REOPENING = ((talks.one_turn,), (M1_AT_A, M2_AT_B, M1_AT_B))
_WAITING = ((talks.waits_for_errand, talks.errand), (M1_AT_A,))
_CANCEL = ((talks.cancels_errand, talks.slow_errand), (M1_AT_A, M2_AT_A))

QUICK = {
    # Turns: any node may serve, die, lose its lease, or hear no reply.
    "opening": Configuration((talks.calls_each_turn,), (M1_AT_A, M1_AT_B), Faults(crash=1, expiry=1, lost_reply=1), opened=False),
    "turns": Configuration(*_TURNS, Faults(crash=1)),
    "turns-leases": Configuration(*_TURNS, Faults(crash=1, expiry=1, lost_reply=1)),
    "turns-late-call": Configuration(*_TURNS, Faults(delay=1, expiry=1)),
    "turns-failover": Configuration(*_TURNS, Faults(failover=1, expiry=1)),
    "turns-deep-failover": Configuration((talks.calls_each_turn,), (M1_AT_A, M2_AT_B, M3_AT_A), Faults(failover=1), depth=2),
    "turns-failover-lost-reply": Configuration(*_TURNS, Faults(failover=1, lost_reply=1), depth=2),
    "duplicates-failover": Configuration((talks.calls_each_turn,), (M1_AT_A, M2_AT_B, M2_AT_A), Faults(failover=1, crash=1), depth=1),
    # `first` and `gather`: results that come late.
    "call-or-word": Configuration(*_CALL_OR_WORD, Faults(crash=1, expiry=1, lost_reply=1)),
    "call-or-word-failover": Configuration(*_CALL_OR_WORD, Faults(crash=1, failover=1), depth=2),
    "alarm-or-word": Configuration(*_ALARM_OR_WORD, Faults(crash=1, expiry=1)),
    "alarm-or-word-failover": Configuration(*_ALARM_OR_WORD, Faults(failover=1)),
    "alarm-or-word-lost-index": Configuration(*_ALARM_OR_WORD, Faults(lost_due=1)),
    "alarm-or-word-forgotten": Configuration(*_ALARM_OR_WORD, Faults(forget=1, expiry=1)),
    "sleep": Configuration((talks.sleeps,), (M1_AT_A, M2_AT_A, M2_AT_B), Faults(crash=1, expiry=1)),
    "gather": Configuration((talks.gathers,), (M1_AT_A,), Faults(crash=2, expiry=1)),
    "gather-or-word": Configuration((talks.listens_or_gathers,), (M1_AT_A, M2_AT_B), Faults(crash=1, expiry=1)),
    # Restarts.
    "restart": Configuration(*_RESTART, Faults(crash=1, expiry=1)),
    "restart-duplicates": Configuration((talks.restarts,), (M1_AT_A, M1_AT_B, M2_AT_B), Faults(expiry=1)),
    "restart-failover": Configuration(*_RESTART, Faults(failover=1)),
    "restart-late-results": Configuration((talks.restarts_early,), (M1_AT_A, M2_AT_B), Faults(crash=1)),
    "restart-late-call": Configuration(*_RESTART, Faults(delay=1)),
    # Callers who leave, and sessions that reopen.
    "left": Configuration((talks.takes_leave,), (M1_AT_A, BYE_AT_B), Faults(crash=1, expiry=1)),
    "left-late": Configuration((talks.takes_leave,), (M1_AT_A, BYE_AT_B, BACK_AT_A), Faults(crash=1), reopens=True),
    "left-and-back": Configuration((talks.lives_on,), (M1_AT_A, BYE_AT_B, BACK_AT_A), Faults(crash=1)),
    "left-restart": Configuration((talks.restarts_alone,), (BYE_AT_B, M2_AT_A), Faults(crash=1, expiry=1)),
    "reopening": Configuration(*_REOPENING, Faults(), reopens=True),
    "reopening-expiry": Configuration((talks.one_turn,), (M1_AT_A, M2_AT_B), Faults(expiry=1), reopens=True),
    # Errands.
    "errand": Configuration(*_WAITING, Faults(crash=1)),
    "errand-two-crashes": Configuration(*_WAITING, Faults(crash=2), nodes=1),
    "errand-expiry": Configuration((talks.ends_with_errand, talks.errand), (M1_AT_A,), Faults(expiry=1)),
    "errand-failover": Configuration(*_WAITING, Faults(failover=1), nodes=1),
    "errand-cancelled": Configuration(*_CANCEL, Faults(crash=1), nodes=1),
    "errand-endless": Configuration((talks.cancels_errand, talks.endless_errand), (M1_AT_A, M2_AT_A), Faults(crash=1)),
    "errand-left-behind": Configuration((talks.leaves_errand, talks.errand), (M1_AT_A, M2_AT_A), Faults(crash=1)),
    "errand-lost-branch": Configuration((talks.listens_or_starts, talks.errand), (M1_AT_A, M2_AT_A), Faults(crash=1)),
    "errand-restart": Configuration((talks.restarts_with_errand, talks.errand), (M1_AT_A,), Faults(crash=1)),
    "errand-reopening": Configuration(
        (talks.leaves_errand_each_time, talks.errand), (M1_AT_A, M2_AT_A), Faults(crash=1), reopens=True, nodes=1
    ),
    "two-errands": Configuration((talks.starts_two, talks.errand, talks.errand), (M1_AT_A,), Faults(crash=1), nodes=1),
    "two-errands-one-cancelled": Configuration((talks.starts_two_cancels_one, talks.errand, talks.errand), (M1_AT_A,), Faults(), nodes=1),
    # Take-over limits.
    "killer": Configuration((talks.kills,), (M1_AT_A, M2_AT_B), Faults(), limit=1),
    "killer-or-word": Configuration((talks.listens_or_kills,), (M1_AT_A, M2_AT_B), Faults(), limit=1),
    "progress": Configuration((talks.calls_twice,), (M1_AT_A,), Faults(crash=2), limit=1),
    "progress-expiry": Configuration((talks.calls_twice,), (M1_AT_A,), Faults(crash=2, expiry=1), limit=1),
    # Expiry.
    "lifetime": Configuration(*_ALARM_OR_WORD, Faults(lifetime=1, crash=1)),
    "lifetime-errand": Configuration(*_WAITING, Faults(lifetime=1, crash=1), nodes=1),
    "lifetime-left-behind": Configuration((talks.leaves_errand, talks.slow_errand), (M1_AT_A, M2_AT_A), Faults(lifetime=1), nodes=1),
    # Receipts.
    "deliveries": Configuration((talks.says_much,), (M1_AT_A, M2_AT_B), Faults(crash=1), pushes=True),
    "deliveries-expiry": Configuration((talks.says_much,), (M1_AT_A,), Faults(expiry=1, lost_reply=1), pushes=True),
    "deliveries-late-call": Configuration((talks.says_much,), (M1_AT_A,), Faults(delay=1, lost_reply=1), pushes=True),
    "deliveries-failover": Configuration((talks.says_goodbye,), (M1_AT_A, M2_AT_B), Faults(failover=1, crash=1), pushes=True),
    "deliveries-restart": Configuration((talks.says_and_restarts,), (M1_AT_A, M2_AT_B), Faults(crash=1), pushes=True),
    "deliveries-reopening": Configuration((talks.says_goodbye,), (M1_AT_A, M2_AT_B), Faults(crash=1), pushes=True, reopens=True),
}
"""Small enough for every test run."""

LARGE = {
    "turns-leases": Configuration(*_TURNS, Faults(crash=1, expiry=2, lost_reply=1)),
    "turns-three-nodes": Configuration((talks.calls_each_turn,), (M1_AT_A, M2_AT_B, M3_AT_C), Faults(crash=1), nodes=3),
    "turns-three-nodes-failover": Configuration((talks.calls_each_turn,), (M1_AT_A, M2_AT_B, M3_AT_C), Faults(failover=1), nodes=3),
    "duplicates-leases": Configuration((talks.calls_each_turn,), (M1_AT_A, M2_AT_B, M1_AT_B), Faults(crash=1, expiry=1, lost_reply=1)),
    "duplicates-failover": Configuration(
        (talks.calls_each_turn,), (M1_AT_A, M2_AT_B, M2_AT_A), Faults(failover=1, crash=1, expiry=1), depth=2
    ),
    "call-or-word-failover": Configuration(*_CALL_OR_WORD, Faults(crash=1, expiry=1, failover=1), depth=2),
    "alarm-or-word-failover": Configuration(*_ALARM_OR_WORD, Faults(failover=1, expiry=1), depth=2),
    "alarm-or-word-late-call": Configuration(*_ALARM_OR_WORD, Faults(lost_reply=1, delay=1)),
    "gather-or-word": Configuration((talks.listens_or_gathers,), (M1_AT_A, M2_AT_B), Faults(crash=1, expiry=1, lost_reply=1)),
    "gather-failover": Configuration((talks.gathers,), (M1_AT_A, M2_AT_B), Faults(failover=1, expiry=1), depth=2),
    "restart-failover": Configuration(*_RESTART, Faults(failover=1, expiry=1), depth=2),
    "restart-late-call": Configuration(*_RESTART, Faults(lost_reply=1, delay=1)),
    "restart-late-results": Configuration((talks.restarts_early,), (M1_AT_A, M2_AT_B), Faults(crash=1, expiry=1)),
    "restart-forgotten": Configuration(*_RESTART, Faults(forget=1, crash=1)),
    "left-leases": Configuration((talks.takes_leave,), (M1_AT_A, BYE_AT_B, BYE_AT_A), Faults(crash=1, expiry=1, lost_reply=1)),
    "left-late": Configuration((talks.takes_leave,), (M1_AT_A, BYE_AT_B, BACK_AT_A), Faults(crash=1, expiry=1), reopens=True),
    "left-late-failover": Configuration((talks.takes_leave,), (M1_AT_A, BYE_AT_B, BACK_AT_A), Faults(failover=1), reopens=True, depth=2),
    "left-and-back": Configuration((talks.lives_on,), (M1_AT_A, BYE_AT_B, BACK_AT_A), Faults(crash=1, expiry=1)),
    "reopening-crash": Configuration(*_REOPENING, Faults(crash=1), reopens=True),
    "reopening-leases": Configuration((talks.one_turn,), (M1_AT_A, M2_AT_B), Faults(expiry=1, lost_reply=1), reopens=True),
    "reopening-failover": Configuration((talks.one_turn,), (M1_AT_A, M2_AT_B), Faults(failover=1), reopens=True, depth=2),
    "reopening-forgotten": Configuration((talks.one_turn,), (M1_AT_A, M2_AT_B), Faults(forget=1), reopens=True),
    "errand-leases": Configuration((talks.waits_for_errand, talks.errand), (M1_AT_A, M2_AT_B), Faults(crash=1, expiry=1)),
    "errand-late-call": Configuration(*_WAITING, Faults(lost_reply=1, delay=1)),
    "errand-failover": Configuration(*_WAITING, Faults(failover=1, crash=1), depth=2),
    "errand-cancelled": Configuration((talks.cancels_errand, talks.slow_errand), (M1_AT_A, M2_AT_B), Faults(crash=1)),
    "errand-cancelled-leases": Configuration((talks.cancels_errand, talks.errand), (M1_AT_A, M2_AT_B), Faults(crash=1, expiry=1)),
    "errand-cancelled-failover": Configuration((talks.cancels_errand, talks.errand), (M1_AT_A, M2_AT_A), Faults(failover=1)),
    "errand-left-behind": Configuration((talks.leaves_errand, talks.errand), (M1_AT_A, M2_AT_B), Faults(crash=1, expiry=1)),
    "errand-lost-branch": Configuration((talks.listens_or_starts, talks.errand), (M1_AT_A, M2_AT_B), Faults(crash=1, expiry=1)),
    "errand-restart": Configuration((talks.restarts_with_errand, talks.errand), (M1_AT_A,), Faults(crash=1, expiry=1)),
    "errand-restart-failover": Configuration((talks.restarts_with_errand, talks.errand), (M1_AT_A,), Faults(failover=1)),
    "errand-reopening": Configuration(
        (talks.leaves_errand_each_time, talks.errand), (M1_AT_A, M2_AT_B), Faults(crash=1, expiry=1), reopens=True
    ),
    "two-errands": Configuration((talks.starts_two, talks.errand, talks.errand), (M1_AT_A,), Faults(crash=1)),
    "two-errands-failover": Configuration((talks.starts_two, talks.errand, talks.errand), (M1_AT_A,), Faults(failover=1), nodes=1),
    "two-errands-one-cancelled": Configuration((talks.starts_two_cancels_one, talks.errand, talks.errand), (M1_AT_A,), Faults(crash=1)),
    "killer-expiry": Configuration((talks.kills,), (M1_AT_A, M2_AT_B, M1_AT_B), Faults(expiry=1), limit=2),
    "killer-late-call": Configuration((talks.kills,), (M1_AT_A, M2_AT_B), Faults(lost_reply=1, delay=1), limit=1),
    "killer-or-word-leases": Configuration((talks.listens_or_kills,), (M1_AT_A, M2_AT_B, M1_AT_B), Faults(expiry=1, lost_reply=1), limit=1),
    "progress-leases": Configuration((talks.calls_twice,), (M1_AT_A, M2_AT_B), Faults(crash=2, expiry=1), limit=1),
    "progress-failover": Configuration((talks.calls_twice,), (M1_AT_A,), Faults(failover=1, crash=2), depth=2, limit=1),
    "lifetime-expiry": Configuration(*_ALARM_OR_WORD, Faults(lifetime=1, crash=1, expiry=1)),
    "lifetime-failover": Configuration(*_ALARM_OR_WORD, Faults(lifetime=1, failover=1)),
    "lifetime-errand": Configuration(*_WAITING, Faults(lifetime=1, crash=1, expiry=1)),
    "lifetime-reopening": Configuration((talks.one_turn,), (M1_AT_A, M2_AT_B), Faults(lifetime=1, crash=1), reopens=True),
    "lifetime-two-errands": Configuration((talks.starts_two, talks.errand, talks.errand), (M1_AT_A,), Faults(lifetime=1, crash=1), nodes=1),
    "lifetime-cancelled": Configuration(*_CANCEL, Faults(lifetime=1, crash=1)),
    "lifetime-left-behind": Configuration((talks.leaves_errand, talks.slow_errand), (M1_AT_A, M2_AT_B), Faults(lifetime=1, crash=1)),
    "deliveries-two-crashes": Configuration((talks.says_much,), (M1_AT_A, M2_AT_B), Faults(crash=2), pushes=True),
    "deliveries-leases": Configuration((talks.says_much,), (M1_AT_A, M2_AT_B), Faults(crash=1, expiry=1), pushes=True),
    "deliveries-failover": Configuration((talks.says_much,), (M1_AT_A, M2_AT_B), Faults(failover=1), depth=2, pushes=True),
    "deliveries-late-call": Configuration((talks.says_much,), (M1_AT_A,), Faults(lost_reply=1, delay=1, crash=1), pushes=True),
    "deliveries-restart": Configuration(
        (talks.says_and_restarts,), (M1_AT_A, M2_AT_B), Faults(crash=1, expiry=1, lost_reply=1), pushes=True
    ),
    "deliveries-reopening": Configuration(
        (talks.says_goodbye,), (M1_AT_A, M2_AT_B, M1_AT_B), Faults(crash=1, expiry=1, lost_reply=1), pushes=True, reopens=True
    ),
    "deliveries-left": Configuration((talks.takes_leave,), (M1_AT_A, BYE_AT_B, BACK_AT_A), Faults(crash=1), pushes=True, reopens=True),
    "deliveries-and-errand": Configuration((talks.ends_with_errand, talks.errand), (M1_AT_A, M2_AT_B), Faults(crash=1), pushes=True),
}
"""The same matters with more faults at once, for `make proof`."""

MUTATIONS = {
    "tail_check": ("turns-failover", "turns-deep-failover"),
    "fresh_uids": ("turns-deep-failover",),
    "checked_release": ("turns-leases",),
    "checked_restart": ("restart",),
    "fenced_lease": ("turns",),
    "renewed_by_reply": ("deliveries-late-call",),
    "sweeper": ("turns", "turns-leases"),
    "visible_alarms": ("sleep",),
    "indexed_alarms": ("sleep",),
    "overlap_check": ("turns-failover",),
    "closed_on_conflict": ("turns-leases", "turns-late-call"),
    "dedupe": ("opening", "turns-leases"),
    "append_again": ("turns-failover",),
    "still_wanted": ("call-or-word", "alarm-or-word", "gather-or-word"),
    "append_first": ("sleep", "deliveries"),
    "confirmed_answers": ("duplicates-failover",),
    "exact_stale_alarms": ("alarm-or-word",),
    "pends_for_all": ("gather", "turns-leases"),
    "carried_ids": ("restart", "restart-duplicates"),
    "carried_queue": ("restart",),
    "carried_answers": ("reopening",),
    "carried_errands": ("errand-restart",),
    "carried_left": ("left-restart",),
    "reopening_carries_ids": ("reopening",),
    "lives_apart": ("restart", "alarm-or-word-forgotten"),
    "named_connection": ("left-late", "left-and-back"),
    "told_generation": ("errand-reopening",),
    "told_before_memo": ("errand-endless",),
    "discarded_results": ("errand-cancelled", "two-errands-one-cancelled"),
    "skipped_strangers": ("errand-lost-branch",),
    "cancels_one": ("two-errands-one-cancelled",),
    "pends_for_notice": ("errand",),
    "started_once": ("errand",),
    "start_before_notice": ("lifetime-errand",),
    "watched_errands": ("errand-failover",),
    "absent_is_told": ("errand-left-behind",),
    "named_notices": ("two-errands",),
    "limited_takeovers": ("killer",),
    "reported_at_limit": ("killer",),
    "pending_at_limit": ("killer",),
    "counted_progress": ("progress",),
    "inputs_are_no_progress": ("killer",),
    "alarms_keep": ("lifetime",),
    "errands_keep": ("lifetime-errand",),
    "pending_keeps": ("lifetime",),
    "ended_lets_go": ("lifetime-left-behind",),
    "look_before_posting": ("deliveries",),
    "compared_posts": ("deliveries-failover",),
    "leader_posts": ("deliveries-late-call",),
    "pends_for_delivery": ("deliveries",),
    "delivered_before_replaced": ("deliveries-restart", "deliveries-reopening"),
}
"""Each rule and the configurations that break without it."""
