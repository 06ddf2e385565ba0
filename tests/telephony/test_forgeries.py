"""A hundred thousand forged requests, over real HTTP: what nobody signed is refused, and leaves no trace but a count."""

import asyncio
import logging
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest
import redis
import uvloop
from support.alterations import ALTERATIONS, HOST
from support.forgeries import Forgery, forge
from support.phone_house import PhoneHouse, phone_house
from support.rewritings import CARRIERS, WRITINGS
from support.webhooks import Webhook, webhook
from support.wire import Answer, Pipeline

from telephony.simulators.events import Said

SEED = 20_261_122
FORGERIES = 100_000
BLOCK = 10_000
AT_ONCE = 50
PER_WEBHOOK = 20
CONNECTIONS = 4
UNSIGNED = b"The signature does not fit.\n"


def run(scene: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the server is run
        runner.run(scene)


class Forgers:
    """Send forgeries of one seed over several connections.

    `seen`: what was altered. `unsigned`: how many were refused for their signature; `refused`: how many in all. `same`: those that say
    the same as a genuine one; they are not sent.
    """

    def __init__(self, seed: int, count: int) -> None:
        self.seen: set[str] = set()
        self.unsigned = self.refused = 0
        self.same: list[Forgery] = []
        self._seed = seed
        self._rng = Random(seed)
        self._left = count

    async def send_all(self, house: PhoneHouse) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(self._send(house))

    async def _send(self, house: PhoneHouse) -> None:
        async with Pipeline(house.port) as pipeline:
            while batch := self._batch():
                together = [each for each in batch if not each.may_break]
                answers = await pipeline.ask([each.data for each in together])
                for forgery, answer in zip(together, answers, strict=True):
                    self._check(forgery, answer)
                for forgery in batch:
                    if forgery.may_break:
                        self._check(forgery, *await pipeline.ask([forgery.data]))

    def _batch(self) -> list[Forgery]:
        batch: list[Forgery] = []
        while len(batch) < min(AT_ONCE, self._left):
            meant = webhook(self._rng, HOST)
            wire = meant.wire()
            for _ in range(min(PER_WEBHOOK, self._left - len(batch))):
                made = forge(self._rng, meant, wire)
                if made is not None:
                    (self.same if made[1] else batch).append(made[0])
        self._left -= len(batch)
        return batch

    def _check(self, forgery: Forgery, answer: Answer) -> None:
        assert answer.status in forgery.statuses, (
            f"seed {self._seed}, {forgery.what}, {forgery.carrier}: answered {answer.status} {answer.body!r}, not one of "
            f"{sorted(forgery.statuses)}: {forgery.data!r}"
        )
        self.seen.add(forgery.what)
        self.refused += 1
        self.unsigned += answer.body == UNSIGNED


@pytest.mark.parametrize("first", range(0, FORGERIES, BLOCK))
def test_no_forgery_is_accepted_or_leaves_anything_behind(
    first: int, valkey_url: str, valkey: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with phone_house(valkey_url, "support.conversations:echo") as house, house.phone(from_="+1202", to="+1555") as phone:
            stored = set(valkey.scan_iter())
            forgers = Forgers(SEED + first, BLOCK)

            await forgers.send_all(house)

            assert forgers.refused == BLOCK
            assert forgers.seen == set(ALTERATIONS)
            assert set(valkey.scan_iter()) == stored
            assert house.server.board.live == 0
            assert house.counters["forged"] == forgers.unsigned > BLOCK * 0.8
            assert set(house.counters) == {"forged", "requests_malformed"}
            assert {record.levelname for record in caplog.records} == {"WARNING"}
            assert len(caplog.records) < 10, "one a minute, on a machine however slow"
            async with Pipeline(house.port) as pipeline:
                for each in forgers.same:
                    (answer,) = await pipeline.ask([each.data])
                    assert answer.body != UNSIGNED, f"seed {SEED + first}, {each.what}, {each.carrier}: {each.data!r}"
                    assert answer.status < 500, each.data
            assert house.counters["forged"] == forgers.unsigned
            assert any(isinstance(event, Said) for event in await phone.call().start())

    run(scene())


def test_a_webhook_is_genuine_however_it_is_written_and_carried(valkey_url: str, valkey: redis.Redis) -> None:
    async def scene() -> None:
        rng = Random(SEED)
        async with phone_house(valkey_url, "support.conversations:echo") as house, Pipeline(house.port) as pipeline:
            for writing, write in WRITINGS.items():
                for carrier, carry in CARRIERS.items():
                    for _ in range(10):
                        meant = webhook(rng, HOST)
                        wire = carry(rng, write(rng, meant.wire()))
                        (answer,) = await pipeline.ask([bytes(wire)])
                        expected = {400} if meant.json else {200, 204}  # no call is told as JSON, but its signature is looked at first
                        assert answer.status in expected, f"{writing}, {carrier}: {answer.status} {answer.body!r}: {bytes(wire)!r}"
            assert house.counters["forged"] == 0

    run(scene())


@pytest.mark.parametrize("host", ["phone.example.org", "phone.example.org:8443"])
def test_a_signer_may_leave_the_port_out_or_put_it_in(host: str, valkey_url: str, valkey: redis.Redis) -> None:
    async def scene() -> None:
        async with phone_house(valkey_url, "support.conversations:echo") as house, Pipeline(house.port) as pipeline:
            meant = webhook(Random(SEED), "phone.example.org" if ":" in host else "phone.example.org:80")
            wire = bytes(meant.wire()).replace(meant.host.encode() + b"\r", host.encode() + b"\r")
            (answer,) = await pipeline.ask([wire])
            assert answer.status in {200, 204}

    run(scene())


def test_a_stranger_does_not_write_the_log(valkey_url: str, valkey: redis.Redis, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with phone_house(valkey_url, "support.conversations:echo") as house, Pipeline(house.port) as pipeline:
            meant = Webhook("x" * 1_000, "/twilio/voice", (("CallSid", "CA1"),), token="another")
            assert {answer.status for answer in await pipeline.ask([bytes(meant.wire())] * 100)} == {403}
            assert house.counters["forged"] == 100

    run(scene())
    assert len(caplog.records) < 10
    record = caplog.records[0]
    assert record.levelno == logging.WARNING
    assert len(record.getMessage()) < 600
