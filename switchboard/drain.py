"""The way down: a server that is told to stop answers whom it has admitted, and hands over what it cannot finish.

Two things take long: what an endpoint waits for, and an effect. Each has its deadline, all together well within ten seconds. A call of an
effect that does not end in time is made again by whoever takes the session over, as after a crash.
"""

import asyncio

from handlers.house import House
from switchboard.board import Board
from switchboard.channel import Exchange
from switchboard.runner import GuardedRunner

FAREWELL_SECONDS = 1.0
"""How long whoever comes is still served: so balancers see that we are not ready, and clients that keep a connection hear that it ends."""

PATIENCE_SECONDS = 5.5
"""From when on nobody waits for an effect: the caller hears what a slow turn hears, and collects the rest from another server."""

DRAIN_SECONDS = 8.0
"""From when on no effect is waited for either."""

IDLE_SECONDS = 0.2
"""How long nobody has talked to a session that leaves memory, if it has nothing to do."""

LOOK_SECONDS = 0.05


async def drain(house: House, board: Board, exchange: Exchange, runner: GuardedRunner) -> None:
    """Admit nobody new, and finish what there is, as far as that is done in time."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    house.idle = IDLE_SECONDS
    board.wake_within(0)
    await runner.farewell(FAREWELL_SECONDS)
    house.followers.close()
    for seconds in (PATIENCE_SECONDS, DRAIN_SECONDS):
        while (runner.running or board.live) and loop.time() < begun + seconds:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(LOOK_SECONDS)
        exchange.hurry()
