"""The files of a deployment fit the project: what the image installs and copies, and what the balancer is told.

No container engine is needed; HAProxy, where it is installed, runs with the very settings that compose.yaml gives it.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import tomllib
from http import HTTPStatus
from pathlib import Path

import aiohttp
import pytest
from support.server import SWITCHBOARD, ServerProcess

from telephony.simulators.events import Said
from telephony.simulators.phone import Phone

ROOT = Path(__file__).parents[2]
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
SECRETS = {"TWILIO_ACCOUNT_SID": "AC" + "5" * 32, "TWILIO_AUTH_TOKEN": "the token of a test"}


def said(events):
    return [event.text for event in events if isinstance(event, Said)]


def pinned(lock):
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)", (ROOT / lock).read_text(), re.MULTILINE))


def test_the_image_installs_what_a_server_needs_in_the_locked_versions_and_nothing_of_a_developers():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    serve, everything = pinned("requirements-serve.lock"), pinned("requirements.lock")
    assert serve.items() <= everything.items()

    def names(requirements):
        return {re.split(r"[^A-Za-z0-9_.-]", each)[0].replace("_", "-").lower() for each in requirements}

    needed = names(declared["project"]["dependencies"])
    assert needed <= serve.keys()
    assert not (names(declared["dependency-groups"]["dev"]) - needed) & serve.keys()


def test_the_image_copies_all_that_the_distribution_is_made_of():
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = {source for line in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE) for source in line.split()}
    assert {source for source in copied if not (ROOT / source).exists()} == set()
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*wheel["packages"], "pyproject.toml", "README.md"} <= copied
    admitted = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert admitted == copied


def test_the_settings_of_the_servers_are_settings(tmp_path):
    shutil.copy(ROOT / "deploy/switchboard.toml", tmp_path)
    environment = {**os.environ, **SECRETS, "REDIS_URL": "redis://valkey:6379/0"}
    shown = subprocess.run([SWITCHBOARD, "config", "show"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "172.30.91.0/24" in shown.stdout
    assert "172.30.91.0/24" in (ROOT / "compose.yaml").read_text()


@pytest.fixture
def balanced(tmp_path, valkey_url):
    """Two servers behind HAProxy; gives the servers and the address that callers know."""
    with socket.socket() as listening:  # handed over, so that nobody takes the port meanwhile
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        public = f"http://127.0.0.1:{listening.getsockname()[1]}"
        settings = f'[lines]\n"phone:*" = "conversations:echo"\n[server]\ntrusted_proxies = ["127.0.0.1/32"]\npublic_url = "{public}"\n'
        servers = [ServerProcess(tmp_path / name, settings, REDIS_URL=valkey_url, **SECRETS).start() for name in ("one", "two")]
        environment = {
            **os.environ, "LISTEN": f"fd@{listening.fileno()}",
            **dict(zip(("ONE", "TWO"), [server.url.removeprefix("http://") for server in servers], strict=True)),
        }  # fmt: skip
        balancer = subprocess.Popen(
            [HAPROXY, "-db", "-f", ROOT / "deploy/haproxy.cfg"], env=environment, pass_fds=[listening.fileno()], stdout=subprocess.DEVNULL
        )
    yield servers, public
    balancer.terminate()
    balancer.wait(30)
    for server in servers:
        server.end()


@pytest.mark.skipif(HAPROXY is None, reason="no HAProxy is installed: apt-get install haproxy")
async def test_a_call_through_the_balancer_goes_on_whichever_server_is_killed_or_told_to_stop(balanced):
    servers, public = balanced
    token, account = SECRETS["TWILIO_AUTH_TOKEN"], SECRETS["TWILIO_ACCOUNT_SID"]
    async with Phone(public, token, account, "+12025550199", "+15550100", patience=80) as phone:
        call = phone.call()
        assert said(await call.start()) == ["Say something."]
        for number in range(4):
            server = servers[number % 2]
            server.end(signal.SIGKILL if number < 2 else signal.SIGTERM)
            assert said(await call.say(f"word {number}")) == [f"You said word {number}.", "Say something."]
            server.start()
        assert (await phone.webhooks.send(call.last_request)).status == HTTPStatus.OK


@pytest.mark.skipif(HAPROXY is None, reason="no HAProxy is installed: apt-get install haproxy")
async def test_the_balancer_shows_nobody_the_metrics(balanced):
    _, public = balanced
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{public}/metrics") as metrics:
            assert metrics.status == HTTPStatus.NOT_FOUND
        async with http.get(f"{public}/healthz") as health:
            assert health.status == HTTPStatus.OK
