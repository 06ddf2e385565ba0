"""The rules that a mutation leaves out, one at a time, to show that the search would notice."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """Every rule of `docs/format.md` that the model can do without. All hold unless a test says otherwise."""

    # The store's scripts.
    tail_check: bool = True  # an append names the last event that it knows, not only how many there are
    fresh_uids: bool = True  # an input that is written again gets another uid, though its dedupe id stays
    checked_release: bool = True  # a lease is given back at the exact tail only
    checked_restart: bool = True  # a generation is replaced at the exact tail only
    fenced_lease: bool = True  # another node's live lease is respected
    renewed_by_reply: bool = True  # a reply that names us as the owner has renewed our lease
    sweeper: bool = True  # overdue sessions are taken over by whoever peeks
    visible_alarms: bool = True  # peeking at a due alarm leaves it in the index
    indexed_alarms: bool = True  # an append sets the alarms that its events make the session want

    # What a handler makes of news.
    overlap_check: bool = True  # a conflict's slice joins only if it begins with our tail
    closed_on_conflict: bool = True  # a run that was fed on trust is never fed further
    dedupe: bool = True  # an input on record is not appended again
    append_again: bool = True  # an input that a refreshed history lacks is appended again
    still_wanted: bool = True  # a result is appended only if the run at that very tail wants it
    append_first: bool = True  # nothing leaves before its cause is acknowledged
    confirmed_answers: bool = True  # a duplicate is answered from a confirmed tail only
    exact_stale_alarms: bool = True  # a due entry is judged stale at the exact tail only
    pends_for_all: bool = True  # a session stays pending until the last of its effects is recorded

    # New generations, and callers who leave.
    carried_ids: bool = True  # a restart carries the dedupe ids,
    carried_queue: bool = True  # the inputs that nothing has listened for yet,
    carried_answers: bool = True  # the answers,
    carried_errands: bool = True  # the errands,
    carried_left: bool = True  # and that the caller has left
    reopening_carries_ids: bool = True  # so does a reopening with ids and answers
    lives_apart: bool = True  # a held result names its generation, and goes with the history that it was made for
    named_connection: bool = True  # a `left` names the connection that it closes
    told_generation: bool = True  # a result is stored only in the generation that started its errand, or a restart of it

    # Errands.
    told_before_memo: bool = True  # a cancel is memoised when the child has it, not before
    discarded_results: bool = True  # a cancelled errand's result never reaches the workflow,
    skipped_strangers: bool = True  # nor does that of an errand whose start is not on record
    cancels_one: bool = True  # a cancel concerns its own errand only
    pends_for_notice: bool = True  # a child stays pending until its parent has the result
    started_once: bool = True  # a start finds its child opened and leaves it alone
    start_before_notice: bool = True  # a result shows that its errand was started: that memo is recorded first
    watched_errands: bool = True  # a parent that waits asks again from time to time
    absent_is_told: bool = True  # a notice or a cancel for an absent or ended session counts as told
    named_notices: bool = True  # a notice's id names the child

    # Take-over limits.
    limited_takeovers: bool = True  # who comes to hold a session at its limit starts nothing of it
    reported_at_limit: bool = True  # and reports it
    pending_at_limit: bool = True  # it stays pending
    counted_progress: bool = True  # progress resets the count
    inputs_are_no_progress: bool = True  # an input is no progress while what was wanted is still wanted

    # Expiry.
    alarms_keep: bool = True  # a history with an alarm does not expire,
    errands_keep: bool = True  # nor one with a running errand, nor a running errand's,
    pending_keeps: bool = True  # nor one with anything outstanding
    ended_lets_go: bool = True  # an ended session no longer waits for its errands

    # Receipts.
    look_before_posting: bool = True  # who has not led since before an output was said looks before it posts
    compared_posts: bool = True  # a look-up compares what was said, not only where
    leader_posts: bool = True  # who steps down posts nothing more
    pends_for_delivery: bool = True  # deliveries keep a session pending
    delivered_before_replaced: bool = True  # no generation is replaced while an output of it is undelivered
