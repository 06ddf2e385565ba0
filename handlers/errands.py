"""Errands across two sessions: what is meant for another session goes through its own handler, again and again until it is there."""

import asyncio
from random import Random
from typing import Any, Protocol

import msgspec

from handlers.errors import HandlerError
from handlers.messages import Inbound, Message, Opening, Status
from handlers.reply import ReplyTo
from workflows.run import Run
from workflows.steps import Errand, StartStep
from workflows.turns import Answer

AGAIN_SECONDS = (0.2, 5.0)
"""How long to wait before an input is repeated: at first, and at most."""


class Post(Protocol):
    """Where a handler's messages to others go: the switchboard implements it."""

    def post(self, message: Message) -> None:
        """Deliver a message: to the handler of its session, or to the switchboard itself."""
        ...


async def start(post: Post, rng: Random, run: Run, step_id: str, step: StartStep) -> None:
    """Open the errand's session; its key is its dedupe id, so already opened means already started."""
    id_ = f"{run.opened.gen}/{step_id}"
    key, it = run.child_key(id_), run.opened
    opening = Opening(
        step.workflow.name, step.args, "errand", locale=it.locale, time_zone=it.time_zone, facts=it.facts, parent=(run.session, id_)
    )
    await _insist(post, rng, Inbound(key, key, opening=opening, stored_suffices=True))


async def cancel(post: Post, rng: Random, errand: Errand) -> None:
    """Tell an errand that it is called off; ended or absent counts as told."""
    await _insist(post, rng, Inbound(errand.key, f"{errand.key}/cancel", "cancel", stored_suffices=True))


async def notify(post: Post, rng: Random, run: Run) -> None:
    """Tell the parent how its errand ended, until it has that on record or will never want it."""
    assert run.opened.parent is not None
    parent, id_ = run.opened.parent
    error = f"{run.error[0]}: {run.error[1]}" if run.error is not None else None
    payload = {"errand": id_, "value": run.result, "error": error}
    await _insist(post, rng, Inbound(parent, f"errand/{run.session}/done", "errand", payload, stored_suffices=True))


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


async def _insist(post: Post, rng: Random, inbound: Inbound) -> None:
    wait = AGAIN_SECONDS[0]
    while True:
        reply: ReplyTo[Answer] = ReplyTo()
        post.post(msgspec.structs.replace(inbound, reply_to=reply))
        try:
            answer = await reply.get()
        except HandlerError:
            pass
        else:
            if answer.state != "failed" or inbound.type != "errand":  # a failed parent takes it when its code is mended
                return
        wait = await _pause(wait, rng)


async def _pause(wait: float, rng: Random) -> float:
    await asyncio.sleep(wait * rng.uniform(0.5, 1.0))
    return min(wait * 2, AGAIN_SECONDS[1])
