"""What a server tells Prometheus: what has happened, by names that Prometheus' conventions like, to whom it may be told."""

import contextlib
import re
import socket
import time
from pathlib import Path

import aiohttp
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError
from support.crashing import eventually
from support.phone_house import phone_house
from support.ports import free_ports
from support.web_house import web_house

from handlers.counters import BOUNDS, Counters, Times
from handlers.effects import Effects
from switchboard.errors import ServerError, SettingsError
from switchboard.metrics import COUNTS
from switchboard.server import _listening_for_metrics
from switchboard.settings import ServerSettings, Settings
from switchboard.workers import _Crew
from workflows import effect
from workflows.steps import CallStep
from workflows.think import Usage

ROOT = Path(__file__).parents[2]
ECHO = "support.conversations:echo"
THINKER = "support.conversations:thinker"

PARTS = {"rehydrations", "lateness_ms", "dropped_in", "dropped_out"}
"""Counters that are part of another metric."""


async def scrape(house, status=200, **headers):
    async with aiohttp.ClientSession() as http, http.get(f"{house.url}/metrics", headers=headers) as response:
        assert response.status == status, await response.text()
        return await response.text()


async def samples(house):
    """The values by name and labels."""
    families = text_string_to_metric_families(await scrape(house))
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


async def test_what_happens_to_sessions_is_counted(valkey, valkey_url):
    async with web_house(valkey_url, ECHO) as (house, web):
        assert (await samples(house))["switchboard_turns_total",] == 0
        id_ = (await web.create()).json["id"]
        await web.say(id_, "one", key="1")
        await web.say(id_, "one", key="1")
        house.evict()
        async with web.events(id_) as stream:
            await stream.until("reply", "You said one.")
            found = await samples(house)
        assert found["switchboard_turns_total",] == 2
        assert found["switchboard_duplicates_total",] == 1
        assert found["switchboard_live_sessions",] == 1
        assert found["switchboard_event_streams",] == 1
        assert found["switchboard_rehydration_seconds_count",] == 1
        assert 0 < found["switchboard_rehydration_seconds_sum",] < 60
        assert found["switchboard_store_latency_seconds_count",] >= 3
        assert 0 < found["switchboard_store_latency_seconds_sum",] < 60
        assert found["process_resident_memory_bytes",] > 1_000_000
        assert found["process_cpu_seconds_total",] > 0


async def test_a_session_that_leaves_memory_is_counted_once(valkey, valkey_url):
    async with web_house(valkey_url, ECHO, sessions={"idle": 0.2}) as (house, web):
        await web.create()
        await eventually(lambda: house.server.board.live == 0)
        assert (await samples(house))["switchboard_evictions_total",] == 1


async def test_an_alarm_tells_how_late_it_was(valkey, valkey_url):
    async with phone_house(valkey_url, "support.conversations:napper") as house:
        async with house.phone(from_="+12025550199", to="+15550100", speed=100) as line:
            call = line.call()
            await call.start()
            await call.press("1")
            await eventually(lambda: house.counters["alarms"])
        found = await samples(house)
        assert found["switchboard_alarms_total",] == found["switchboard_alarm_lateness_seconds_count",] == 1
        assert found["switchboard_alarm_lateness_seconds_bucket", "+Inf"] == 1


class Priced(msgspec.Struct, frozen=True):
    text: str
    usage: Usage | None = None


@effect
async def priced(fails: int) -> Priced: ...


async def test_calls_of_effects_their_failures_and_what_was_charged_are_counted():
    counters, calls = Counters(), []

    async def body(fails):
        calls.append(fails)
        if len(calls) <= fails:
            raise ValueError
        return Priced("words", Usage(30, 4))

    effects = Effects({"priced": body}, counters=counters)
    for fails in (1, 99):
        calls.clear()
        await effects.perform(CallStep(priced, (fails,), {}), "key")
    assert counters.attempts == {"priced": 2 + priced.retry.attempts}
    assert counters.failures == {"priced": 1}
    assert counters.tokens == {"in": 30, "out": 4}


async def test_a_loop_that_stands_still_is_seen(valkey, valkey_url):
    async with web_house(valkey_url, ECHO) as (house, _):
        time.sleep(0.8)  # noqa: ASYNC251 - that is the point
        await eventually(lambda: sum(house.server.metrics.lag.times.buckets))
        found = await samples(house)
        assert found["switchboard_loop_lag_seconds_count",] - found["switchboard_loop_lag_seconds_bucket", "0.25"] >= 1


async def test_names_are_as_prometheus_likes_them_and_each_says_what_it_means(valkey, valkey_url):
    async with web_house(valkey_url, ECHO) as (house, _):
        families = list(text_string_to_metric_families(await scrape(house)))
    ours = [family for family in families if family.name.startswith("switchboard_")]
    assert {family.name for family in families if family not in ours} <= {
        f"process_{each}"
        for each in ("virtual_memory_bytes", "resident_memory_bytes", "start_time_seconds", "cpu_seconds", "open_fds", "max_fds")
    }
    assert len({family.name for family in ours}) == len(ours) > len(COUNTS)
    for family in ours:
        assert re.fullmatch(r"switchboard_[a-z]+(_[a-z]+)*", family.name)
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram", "summary")


def test_everything_that_is_counted_anywhere_is_a_metric():
    sources = [path.read_text() for package in ("handlers", "switchboard", "telephony") for path in (ROOT / package).rglob("*.py")]
    counted = {name for source in sources for name in re.findall(r'counters\["(\w+)"\]', source)} | {"forged", "foreign"}
    assert counted - PARTS == COUNTS.keys()


def test_the_page_names_every_metric():
    page = (ROOT / "docs" / "operations.md").read_text()
    for metric, _ in COUNTS.values():
        assert f"`switchboard_{metric}_total`" in page


def test_times_fall_into_the_buckets_that_hold_them():
    times = Times()
    for seconds in (0.0, BOUNDS[0], BOUNDS[0] * 1.001, BOUNDS[-1], BOUNDS[-1] + 1):
        times.note(seconds)
    assert (times.buckets[0], times.buckets[1], times.buckets[-2], times.buckets[-1]) == (2, 1, 1, 1)


async def test_without_a_token_only_this_machine_may_read_them(valkey, valkey_url):
    async with web_house(valkey_url, ECHO) as (house, _):
        await scrape(house)
        for header in ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via"):
            assert "METRICS_TOKEN" in await scrape(house, 403, **{header: "1.2.3.4"})
    for server in ({"public_url": "https://example.org"}, {"trusted_proxies": ["10.0.0.0/8"]}):
        async with web_house(valkey_url, ECHO, server=server) as (house, _):
            await scrape(house, 403)
    async with web_house(valkey_url, ECHO, server={"public_url": "https://example.org", "open_metrics": True}) as (house, _):
        await scrape(house, **{"X-Forwarded-For": "1.2.3.4"})


async def test_a_page_whose_site_s_name_was_made_to_lead_here_may_not_read_them(valkey, valkey_url):
    async with web_house(valkey_url, ECHO) as (house, _):
        for host in ("evil.example", "127.0.0.1.evil.example", "["):
            assert "METRICS_TOKEN" in await scrape(house, 403, Host=host, Origin=f"http://{host}")
        await scrape(house, Host="localhost:8080", Origin="http://localhost:8080")


async def test_with_a_token_whoever_has_it_may_read_them_and_nobody_else(valkey, valkey_url):
    async with web_house(valkey_url, ECHO, metrics_token="a secret") as (house, _):
        await scrape(house, **{"Authorization": "Bearer a secret", "X-Forwarded-For": "1.2.3.4"})
        for given in ("", "Bearer", "Bearer another", "Basic a secret", "Bearer a secret "[:-2], "Bearer \xe9"):
            assert "a secret" not in await scrape(house, 401, Authorization=given)
        await scrape(house, 401)


async def test_prometheus_gets_the_format_that_it_asks_for(valkey, valkey_url):
    async with web_house(valkey_url, ECHO) as (house, _):
        text = await scrape(house, Accept="application/openmetrics-text; version=1.0.0")
        assert text.endswith("# EOF\n")


async def test_each_of_several_workers_has_a_port_of_its_own_for_them():
    settings = Settings.model_validate({"server": {"metrics_port": 9100}})
    ports = [_Crew(settings)._settings_of(number).server.metrics_port for number in (1, 2, 3)]
    assert ports == [9100, 9101, 9102]
    assert _Crew(Settings())._settings_of(2) == Settings()


async def test_a_port_for_them_that_is_taken_is_one_clear_sentence(valkey, valkey_url):
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port)) as taken:
        async with web_house(valkey_url, ECHO) as (house, _):
            settings = at(house, port)
            with pytest.raises(ServerError, match=f"cannot listen on 127.0.0.1:{port} for metrics: .*Choose another metrics_port"):
                async with _listening_for_metrics(house.server, settings, share=False):
                    pass
            taken.close()
            async with (
                _listening_for_metrics(house.server, settings, share=False),
                aiohttp.ClientSession() as http,
                http.get(f"http://127.0.0.1:{port}/metrics") as response,
            ):
                assert "switchboard_turns_total" in await response.text()


async def test_at_the_port_for_them_nobody_is_served_but_machines(valkey, valkey_url):
    (port,) = free_ports(1)
    async with web_house(valkey_url, ECHO) as (house, _), _listening_for_metrics(house.server, at(house, port), share=False):
        await asks(port, {"/metrics": 200, "/healthz": 200, "/readyz": 200, "/": 404, "/phone": 404, "/web/sessions": 404})


async def test_a_server_that_replaces_another_listens_there_beside_it(valkey, valkey_url):
    (port,) = free_ports(1)
    async with web_house(valkey_url, ECHO) as (house, _), contextlib.AsyncExitStack() as before:
        await before.enter_async_context(_listening_for_metrics(house.server, at(house, port), share=True))
        async with _listening_for_metrics(house.server, at(house, port), share=True):
            await before.aclose()
            await asks(port, {"/metrics": 200})


def at(house, port):
    """A house's settings, with a port for metrics."""
    return house.settings.model_copy(update={"server": house.settings.server.model_copy(update={"metrics_port": port})})


async def asks(port, statuses):
    """What is answered there to a GET of each path."""
    async with aiohttp.ClientSession() as http:
        for path, status in statuses.items():
            async with http.get(f"http://127.0.0.1:{port}{path}") as response:
                assert response.status == status, path


@pytest.mark.parametrize(
    ("metrics_port", "workers", "why"), [(65_535, 2, "the last port there is is 65535"), (8078, 3, "the server's own port")]
)
def test_ports_for_them_that_several_workers_cannot_have_are_refused_before_any_starts(metrics_port, workers, why):
    settings = ServerSettings(port=8080, metrics_port=metrics_port)
    assert len(settings.metrics_ports(workers - 1)) == workers - 1
    with pytest.raises(SettingsError, match=f"metrics_port: {workers} workers take the ports {metrics_port} to .*{why}"):
        settings.metrics_ports(workers)


def test_the_port_for_them_is_not_the_port_for_everybody():
    with pytest.raises(ValidationError, match="it is the port for everybody"):
        ServerSettings(port=9100, metrics_port=9100)
