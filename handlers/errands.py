"""Errands across two sessions: what is meant for another session goes through its own handler, again and again until it is there."""

import asyncio
import logging
from collections.abc import Iterator
from random import Random
from typing import Any, Protocol

import msgspec

from handlers.errors import HandlerError
from handlers.messages import Inbound, Message, Opening, Status
from handlers.reply import ReplyTo
from workflows.events import CarriedErrand
from workflows.run import Open, Run
from workflows.steps import Errand
from workflows.turns import Answer

logger = logging.getLogger(__name__)

CALLED_OFF = "it was called off in a life of this session that the store has lost"
"""What a parent hears that starts an errand which it has called off: a failover took only one of the two back."""

AGAIN_SECONDS = (0.2, 5.0)
"""How long to wait before an input is repeated: at first, and at most."""


class Post(Protocol):
    """Where a handler's messages to others go: the switchboard implements it."""

    def post(self, message: Message) -> None:
        """Deliver a message: to the handler of its session, or to the switchboard itself."""
        ...


async def start(post: Post, rng: Random, run: Run, step: Open) -> None:
    """Open the errand's session; its key is its dedupe id, so already opened means already started."""
    opening = _opening(run, f"{run.opened.gen}/{step.id}", run.child_key(step), step.name, step.step.args)
    await _insist(post, rng, msgspec.structs.replace(opening, fresh=True))  # most likely; else its append tells


async def cancel(post: Post, rng: Random, errand: Errand) -> None:
    """Tell an errand that it is called off; ended or absent counts as told."""
    await _insist(post, rng, Inbound(errand.key, f"{errand.key}/cancel", "cancel", stored_suffices=True))


async def notify(post: Post, rng: Random, run: Run) -> bool:
    """Tell the parent how its errand ended. True: it has that on record or will never want it; False: its code has to be mended first."""
    assert run.opened.parent is not None
    parent, id_ = run.opened.parent
    error = f"{run.error[0]}: {run.error[1]}" if run.error is not None else CALLED_OFF if run.cancelled else None
    payload = {"errand": id_, "value": run.result, "error": error}
    answer = await _insist(post, rng, Inbound(parent, notice_id(run.session), "errand", payload, stored_suffices=True))
    if answer.state in ("ended", "handled"):
        logger.warning("nobody waits for the result of errand %s (%s)", id_, run.session, extra={"session": parent})
    return answer.state != "failed"


async def ask_status(post: Post, rng: Random, errand: Errand) -> dict[str, Any]:
    """Ask an errand's own session how it is doing."""
    wait = AGAIN_SECONDS[0]
    while True:
        reply: ReplyTo[dict[str, Any]] = ReplyTo()
        post.post(Status(errand.key, reply))
        try:
            return await reply.get()
        except HandlerError:
            wait = await _pause(wait, rng)


def awaited(run: Run) -> Iterator[CarriedErrand]:
    """The errands whose notices have not come."""
    for errand in run.errands.values():
        if errand.state == "running" and notice_id(errand.key) not in run.turns:
            yield errand


def watch(post: Post, run: Run) -> None:
    """Repeat the starts of the errands that are waited for: one that is lost begins anew, one that has ended gives its notice again."""
    for errand in awaited(run):
        post.post(_opening(run, errand.id, errand.key, errand.workflow, errand.args))


def is_start(inbound: Inbound) -> bool:
    """Whether an input is the start of an errand."""
    return inbound.opening is not None and inbound.opening.parent is not None


def _opening(run: Run, id_: str, key: str, workflow: str, args: dict[str, Any]) -> Inbound:
    it = run.opened
    opening = Opening(workflow, args, "errand", locale=it.locale, time_zone=it.time_zone, facts=it.facts, parent=(run.session, id_))
    return Inbound(key, key, opening=opening, stored_suffices=True)


def notice_id(key: str) -> str:
    """The dedupe id of an errand's notice."""
    return f"errand/{key}/done"


def is_notice(id_: str) -> bool:
    """Whether a dedupe id is that of an errand's notice."""
    return id_.startswith("errand/") and id_.endswith("/done")


async def _insist(post: Post, rng: Random, inbound: Inbound) -> Answer:
    wait = AGAIN_SECONDS[0]
    while True:
        reply: ReplyTo[Answer] = ReplyTo()
        post.post(msgspec.structs.replace(inbound, reply_to=reply))
        try:
            return await reply.get()
        except HandlerError:
            wait = await _pause(wait, rng)


async def _pause(wait: float, rng: Random) -> float:
    await asyncio.sleep(wait * rng.uniform(0.5, 1.0))
    return min(wait * 2, AGAIN_SECONDS[1])
