"""The figures of `/metrics` in Prometheus' text form. They are computed when somebody asks for them.

No label names a user, an account or a group, so each label has few values.
"""

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from api.backend import Backend
from api.requests.counts import RequestCounts
from api.state.streams import Streams
from core.figures import Histogram
from core.models import BotStatus, SessionState

Metric = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class Metrics:
    """The registry of all figures."""

    def __init__(self, backend: Backend, requests: RequestCounts, streams: Streams) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Figures(backend, requests, streams))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Return the figures as they are now."""
        return generate_latest(self._registry)


class _Figures(Collector):
    def __init__(self, backend: Backend, requests: RequestCounts, streams: Streams) -> None:
        self._backend = backend
        self._requests = requests
        self._streams = streams

    def collect(self) -> Iterator[Metric]:
        yield from self._bots()
        yield from self._accounts()
        yield from self._posts()
        yield from self._http()

    def _bots(self) -> Iterator[Metric]:
        bots, snapshot = self._backend.bots, self._backend.store.snapshot
        statuses = Counter(user.bot_status for user in snapshot.users.values())
        by_status = {status.value: statuses[status] for status in BotStatus}
        yield _by("postfleet_users", "Users by what their bot does.", "status", by_status)
        daemon = bots.overview()
        yield GaugeMetricFamily("postfleet_cycles_running", "Cycles that run now.", len(daemon.running))
        yield GaugeMetricFamily("postfleet_bots_waiting", "Bots that wait for their next cycle.", daemon.waiting)
        yield GaugeMetricFamily("postfleet_tasks", "Tasks of the event loop.", daemon.tasks)
        yield _histogram("postfleet_due_lateness_seconds", "From when a cycle was due until it began.", bots.lateness)
        failed = sum(job.last_failed for job in daemon.jobs)
        yield GaugeMetricFamily("postfleet_jobs_failed", "Pieces of housekeeping whose last run failed.", failed)

    def _accounts(self) -> Iterator[Metric]:
        sessions, now = self._backend.store.snapshot.sessions.values(), self._backend.clock.now()
        states = Counter(session.state for session in sessions)
        by_state = {state.value: states[state] for state in SessionState}
        yield _by("postfleet_sessions", "Accounts by what they are fit for.", "state", by_state)
        resting = sum(session.hold is not None and session.hold.until > now for session in sessions)
        yield GaugeMetricFamily("postfleet_sessions_resting", "Accounts that wait for Telegram's leave.", resting)
        connections = self._backend.bots.connections
        yield GaugeMetricFamily("postfleet_telegram_connections", "Connections to Telegram that are open.", connections)

    def _posts(self) -> Iterator[Metric]:
        figures = self._backend.journal.figures
        outcomes = CounterMetricFamily(
            "postfleet_deliveries", "Deliveries that came to an end, by how.", labels=["outcome"]
        )
        for outcome, count in sorted(figures.outcomes.items()):
            outcomes.add_metric([outcome], count)
        yield outcomes
        yield CounterMetricFamily("postfleet_flood_waits", "Waits Telegram asked for.", figures.floods)
        commits = CounterMetricFamily("postfleet_commits", "Durable commits.", labels=["store"])
        commits.add_metric(["users"], self._backend.store.snapshot.revision)
        commits.add_metric(["journal"], figures.commits)
        yield commits

    def _http(self) -> Iterator[Metric]:
        answers = CounterMetricFamily(
            "postfleet_http_requests", "Requests that were answered.", labels=["method", "route", "status"]
        )
        for method, route, status, count in self._requests.answers():
            answers.add_metric([method, route, str(status)], count)
        yield answers
        seconds = HistogramMetricFamily(
            "postfleet_http_request_seconds", "How long requests took, streams left out.", labels=["route"]
        )
        for route, histogram in self._requests.durations():
            seconds.add_metric([route], _buckets(histogram), histogram.total)
        yield seconds
        yield GaugeMetricFamily("postfleet_streams_open", "Dashboards that are connected.", self._streams.open)


def _by(name: str, text: str, label: str, values: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> HistogramMetricFamily:
    return HistogramMetricFamily(name, text, buckets=_buckets(histogram), sum_value=histogram.total)


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    return [("+Inf" if bound == float("inf") else f"{bound:g}", count) for bound, count in histogram.up_to()]
