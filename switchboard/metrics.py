"""What this process has counted, for Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/).

Nothing here is on the way of a turn: things are counted where they happen, in plain integers, and made metrics of when somebody asks.
"""

import asyncio
import hmac
import math
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from handlers.counters import BOUNDS, Times
from handlers.house import House
from switchboard.board import Board
from switchboard.channel import Exchange
from switchboard.here import Here
from switchboard.settings import Settings

LOOK_SECONDS: Final = 0.25
"""How often the lag of the event loop is measured."""

COUNTS: Final[Mapping[str, tuple[str, str]]] = {
    "turns": ("turns", "Inputs that came on record."),
    "duplicates": ("duplicates", "Inputs that were on record already; each was answered from there."),
    "conflicts": ("conflicts", "Appends that found another server's events in their place, and were made again behind them."),
    "evictions": ("evictions", "Sessions that left memory since nobody talked to them."),
    "lease_losses": ("lease_losses", "Sessions whose work another server took over while it was done here."),
    "taken_over": ("takeovers", "Sessions with overdue work that this server took over."),
    "left_alone": ("left_alone", "Sessions that were taken over too often without progress; see `switchboard doctor`."),
    "effects": ("effects", "Effects that were begun."),
    "dropped": ("results_dropped", "Results of effects that nobody wanted any more when they came."),
    "deliveries": ("deliveries", "Outputs that were posted to a channel that pushes, with their receipts on record."),
    "alarms": ("alarms", "Alarms that came."),
    "store_errors": ("store_errors", "Messages to sessions that failed for the store."),
    "sweeps_failed": ("sweeps_failed", "Rounds over the store's indexes that failed for the store."),
    "shed": ("inputs_shed", "Inputs that were refused since there was too much to do."),
    "too_often": ("inputs_too_often", "Inputs that were refused for how often their caller had spoken."),
    "forged": ("requests_forged", "Requests whose signature did not fit."),
    "foreign": ("requests_foreign", "Requests of another Slack workspace."),
    "refused_alexa": ("requests_refused_alexa", "Requests to /alexa that were not Alexa's, or not as hers are."),
    "requests_malformed": ("requests_malformed", "Requests that were no HTTP."),
    "connections_refused": ("connections_refused", "Connections that were one too many."),
    "connections_timed_out": ("connections_timed_out", "Connections that were closed since their client was too slow."),
}
"""The counters of `handlers.counters` that are metrics: their names there, and what they mean."""

REFUSAL: Final = (
    "Metrics are for this machine alone, by localhost or a loopback address. Set METRICS_TOKEN, and have Prometheus send it "
    "(authorization: credentials); or let everybody read them, with open_metrics = true under [server].\n"
)


class Lag:
    """How late the event loop is, measured by a timer."""

    def __init__(self) -> None:
        self.times = Times()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Measure from now on."""
        loop = asyncio.get_running_loop()
        due = loop.time() + LOOK_SECONDS
        self._timer = loop.call_at(due, self._look, loop, due)

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self.times.note(max(loop.time() - due, 0.0))
        self.start()


class Metrics(Collector):
    """All metrics of one server, and the endpoint that tells them. `lag` is measured as long as it runs."""

    def __init__(self, settings: Settings, house: House, board: Board, exchange: Exchange) -> None:
        self.lag = Lag()
        self._house = house
        self._board = board
        self._exchange = exchange
        self._token = settings.metrics_token
        self._open = settings.server.open_metrics
        self._here = Here(settings.server)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    async def endpoint(self, request: web.Request) -> web.Response:
        """Tell them to who may know."""
        if self._token is not None:
            given = request.headers.get("Authorization", "").encode()
            if not hmac.compare_digest(given, b"Bearer " + self._token.get_secret_value().encode()):
                headers = {"WWW-Authenticate": "Bearer"}
                return web.Response(status=HTTPStatus.UNAUTHORIZED, text="Send METRICS_TOKEN as a bearer token.\n", headers=headers)
        elif not self._open and not self._here.sent(request):
            return web.Response(status=HTTPStatus.FORBIDDEN, text=REFUSAL)
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        counters, history = self._house.counters, self._house.history
        yield _gauge("live_sessions", "Sessions in memory.", self._board.live)
        yield _gauge("inputs_waiting", "Requests that wait for the answer of a session.", self._exchange.waiting)
        yield _gauge("event_streams", "Readers of sessions that are connected.", len(self._house.followers))
        for name, (metric, words) in COUNTS.items():
            yield CounterMetricFamily(f"switchboard_{metric}", words, counters[name])
        yield _counts("effect_attempts", "Calls of effects, those that were made again included.", "effect", counters.attempts)
        yield _counts("effect_failures", "Effects that came to a failure in the end.", "effect", counters.failures)
        yield _counts(
            "tokens",
            "Tokens that language models have charged, `in` for what they read, `out` for what they said.",
            "kind",
            counters.tokens,
        )
        yield _histogram("rehydration_seconds", "How long it took to load a history and to replay it.", counters.rehydration)
        yield _histogram("alarm_lateness_seconds", "How much later than its time an alarm came on record.", counters.lateness)
        yield _histogram("loop_lag_seconds", "How much later than asked for the event loop called a timer.", self.lag.times)
        calls, seconds = history.latency
        words = "How long scripts in the store took, from the call to its reply."
        yield SummaryMetricFamily("switchboard_store_latency_seconds", words, count_value=calls, sum_value=seconds)


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"switchboard_{name}", words, value)


def _counts(name: str, words: str, label: str, counts: Mapping[str, int]) -> Metric:
    metric = CounterMetricFamily(f"switchboard_{name}", words, labels=[label])
    for value, count in counts.items():
        metric.add_metric([value], count)
    return metric


def _histogram(name: str, words: str, times: Times) -> Metric:
    buckets, count = [], 0
    for bound, more in zip((*BOUNDS, math.inf), times.buckets, strict=True):
        count += more
        buckets.append((f"{bound:g}" if math.isfinite(bound) else "+Inf", count))
    return HistogramMetricFamily(f"switchboard_{name}", words, buckets=buckets, sum_value=times.total)
