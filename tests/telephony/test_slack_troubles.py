"""Slack in trouble: its API fails in every way, servers die before a reminder comes, and events come as nobody should send them."""

import asyncio
import copy
import os
import random
from random import Random
from typing import Any

import pytest
from support.server import ServerProcess
from support.slack_copies import campaign, troubled
from support.slack_house import ADA, BOT, DIRECT, GENERAL, SECRET, TOKEN, Kit, contexts, slack_kit, stored, text_of, until

from telephony.simulators.slack_sender import SlackSender
from telephony.simulators.slack_workspace import SlackWorkspace, serving


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("workflow", "seed"), [("echo", 1), ("slow_echo", 2)])
async def test_whatever_slacks_api_does_everything_is_said_once_and_in_order(valkey, valkey_url, workflow, seed):
    async with slack_kit(valkey_url, f"support.slack_copies:{workflow}", nodes=2) as kit:
        kit.workspace.mishap = troubled(Random(seed), 0.3)
        await campaign(kit, valkey, seed=seed, stories=120)
        assert sum(len(house.pauses) for house in kit.houses) > 50


@pytest.mark.proof
@pytest.mark.parametrize("workflow", ["echo", "slow_echo"])
async def test_whatever_slacks_api_does_everything_is_said_once_and_in_order_in_a_long_campaign(valkey, valkey_url, workflow):
    seed = int(os.environ.get("SEED", "0")) or random.randrange(10**9)
    async with slack_kit(valkey_url, f"support.slack_copies:{workflow}", nodes=2) as kit:
        kit.workspace.mishap = troubled(Random(seed), 0.3)
        try:
            await campaign(kit, valkey, seed=seed, stories=2_000)
        except AssertionError as error:
            raise AssertionError(f"with SEED={seed}: {error}") from error


@pytest.mark.timeout(300)
async def test_the_assistants_reminder_is_posted_to_its_thread_by_whoever_lives_then(tmp_path):
    workspace = SlackWorkspace(TOKEN)
    async with serving(workspace) as api:
        server = ServerProcess(
            tmp_path / "a house", '[lines]\n"slack:*" = "assistant"\n', SLACK_API_URL=api, SLACK_SIGNING_SECRET=SECRET, SLACK_BOT_TOKEN=TOKEN
        ).start()  # fmt: skip
        try:
            root = workspace.write(GENERAL, ADA, f"<@{BOT}> remind me to stretch in 6 seconds")
            async with SlackSender(server.url, SECRET, workspace) as sender:
                assert await sender.send(sender.mention(root)) == 200

                def texts() -> list[str]:
                    return [text_of(each) for each in workspace.said(GENERAL, root["ts"])]

                await until(lambda: any("Done" in text for text in texts()), texts)
                server.kill()
                server.start()
                assert await sender.deliver(sender.message(root)) == 200
                await until(lambda: len(texts()) == 4, texts)
            greeting, read_back, done, reminder = workspace.said(GENERAL, root["ts"])
            assert text_of(greeting).startswith("Hello!")
            assert "stretch" in text_of(read_back)
            assert not contexts(read_back)
            assert not contexts(done)
            assert (text_of(reminder), contexts(reminder)) == ("Reminder: stretch", [":bell: *Notice*"])
            await asyncio.sleep(1)
            assert len(texts()) == 4
        finally:
            server.end()


JUNK: list[Any] = [
    None,
    True,
    0,
    -1,
    1e308,
    "",
    "x",
    "\x00",
    "\ufffe",
    "U0ADA",
    "D0ADA",
    "1.1",
    "é" * 300,
    "<!channel>",
    [],
    {},
    [[]],
    {"id": 1},
    ["a"] * 50,
]


def altered(rng: Random, value: Any) -> Any:
    """A copy with one thing changed, dropped or added, somewhere."""
    changed = copy.deepcopy(value)
    at = changed
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return rng.choice(JUNK)
        key = rng.choice(keys)
        if isinstance(at[key], dict | list) and at[key] and rng.random() < 0.7:
            at = at[key]
            continue
        match rng.randrange(3):
            case 0:
                del at[key]
            case 1 if isinstance(at, dict):
                at[f"{key}{rng.choice(JUNK)!r}"[:40]] = rng.choice(JUNK)
            case _:
                at[key] = rng.choice(JUNK)
        return changed


async def _genuine(kit: Kit) -> list[tuple[str, Any]]:
    """An event, a mention, a press and a command, of people who are not answered."""
    direct, general = kit.workspace.write(DIRECT, ADA, "hi"), kit.workspace.write(GENERAL, ADA, f"<@{BOT}> hi")
    asked = kit.workspace.said(DIRECT)[-1]
    return [
        ("event", kit.sender.message(direct, files=[{"id": "F1", "name": "a.png"}])),
        ("event", kit.sender.mention(general)),
        ("press", kit.sender.press(asked, 0, ADA)),
        ("command", kit.sender.command("hi", ADA, GENERAL)),
    ]


@pytest.mark.timeout(600)
async def test_altered_payloads_never_meet_an_error_of_ours(valkey, valkey_url, caplog):
    rng = Random(5)
    async with slack_kit(valkey_url, "support.chats:asker") as kit:
        await kit.say("hm")
        await until(lambda: kit.texts()[-1:] == ["Which?"] and len(kit.texts()) == 2, kit.texts)
        genuine = await _genuine(kit)
        for _ in range(1_500):
            kind, payload = rng.choice(genuine)
            payload = altered(rng, payload)
            if rng.random() < 0.3:
                payload = altered(rng, payload) if isinstance(payload, dict) else payload
            match kind:
                case "event":
                    status = await kit.sender.send(payload)
                case "press":
                    status = await kit.sender.send_press(payload)
                case _:
                    fields = (
                        {str(name): str(value) for name, value in payload.items()} if isinstance(payload, dict) else {"x": str(payload)}
                    )
                    status, _ = await kit.sender.send_command(fields)
            assert status == 200 or 400 <= status < 500, (status, payload)
        await kit.rest(valkey)
        assert all(session.startswith(b"slack:T0SIMULATED:") for session in stored(valkey))
        assert not [record for record in caplog.records if record.exc_info], caplog.text
        await kit.mention("still there?")
