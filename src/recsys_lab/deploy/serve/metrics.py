"""Metrics for Prometheus; none has a label that a client chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

UNMATCHED = "unmatched"
"""Route label of all requests for paths that are not served."""
_METHODS = frozenset(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The metrics of one server, in a registry of their own.

    Args:
        version: gives the version of the present model.
        waiting: gives the number of histories that wait.
        failing: gives whether the registry's champion cannot be loaded.
    """

    def __init__(
        self,
        version: Callable[[], str],
        waiting: Callable[[], int],
        failing: Callable[[], bool],
    ) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "recsys_requests", "Requests.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "recsys_request_seconds",
            "Time from a request's headers to its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._batch = Histogram(
            "recsys_batch_size",
            "Histories ranked at once.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
            registry=registry,
        )
        self._ranking = Histogram(
            "recsys_batch_seconds", "Time to rank a batch.", buckets=_SECONDS, registry=registry
        )
        self.swaps = Counter("recsys_model_swaps", "Models swapped in.", registry=registry)
        self.failures = Counter(
            "recsys_champion_load_failures",
            "Times that the registry's champion could not be loaded.",
            registry=registry,
        )
        Gauge("recsys_queue_histories", "Histories that wait.", registry=registry).set_function(
            waiting
        )
        Gauge(
            "recsys_champion_failing",
            "1 while the registry's champion cannot be loaded and an older one is served.",
            registry=registry,
        ).set_function(failing)
        registry.register(_Version(version))
        # Finding the series of labels takes longer than counting in it.
        self._of_request = cache(
            lambda method, route, status: self._requests.labels(method, route, str(status))
        )
        self._of_route = cache(self._seconds.labels)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            method: of HTTP, as sent.
            route: the template of its route, or `UNMATCHED`.
            status: of the answer.
            seconds: that it took.
        """
        self._of_request(method if method in _METHODS else "other", route, status).inc()
        self._of_route(route).observe(seconds)

    def batch(self, size: int, seconds: float) -> None:
        """Count a ranked batch of ``size`` histories."""
        self._batch.observe(size)
        self._ranking.observe(seconds)

    def text(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self._registry)


class _Version(Collector):
    """``recsys_model_info{version="..."} 1``, for the present model alone."""

    def __init__(self, version: Callable[[], str]) -> None:
        self._version = version

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily("recsys_model_info", "The present model.", labels=("version",))
        family.add_metric([self._version()], 1)
        yield family
