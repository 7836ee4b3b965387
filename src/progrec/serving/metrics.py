"""What Prometheus is told of the service, beside BentoML's own figures of its requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from time import perf_counter
from typing import Literal

Outcome = Literal["accepted", "duplicate", "rejected"]

LATENCIES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the queue's latency, in seconds."""


class Metrics:
    """The service's counters; with several workers, /metrics adds up theirs."""

    def __init__(self) -> None:
        """Registers them, which a process can do once: see `metrics`."""
        # Not at the top: BentoML's worker first says where workers meet.
        from prometheus_client import Counter, Gauge, Histogram  # noqa: PLC0415

        recommendations = Counter(
            "progrec_recommendations", "Products shown, by where they come from", ["source"]
        )
        events = Counter("progrec_events", "Events posted, by what became of them", ["outcome"])
        queue = Histogram(
            "progrec_queue_seconds",
            "How long an operation on the queues takes",
            ["operation"],
            buckets=LATENCIES,
        )
        # Each request would look for them under a lock.
        self._recommendations = cache(recommendations.labels)
        self._events = cache(events.labels)
        self._queue = cache(queue.labels)
        self._age = Gauge(
            "progrec_model_age_seconds",
            "Time since the end of the last day that the served model has learned",
            multiprocess_mode="livemax",
        )
        self._swaps = Counter("progrec_model_swaps", "Champions that a worker began to serve")
        self._refusals = Counter(
            "progrec_refusals", "What was not taken, and why", ["what", "reason"]
        )

    def shown(self, sources: Iterable[str]) -> None:
        """Counts products that were shown."""
        for source, products in Counter(sources).items():
            self._recommendations(source).inc(products)

    def posted(self, outcome: Outcome, events: int) -> None:
        """Counts events."""
        self._events(outcome).inc(events)

    @contextmanager
    def queue(self, operation: str) -> Iterator[None]:
        """Measures the body, if it succeeds."""
        start = perf_counter()
        yield
        self._queue(operation).observe(perf_counter() - start)

    def aged(self, seconds: float) -> None:
        """Says how old the served model is."""
        self._age.set(seconds)

    def swapped(self) -> None:
        """Counts a champion that is served from now on."""
        self._swaps.inc()

    def refused(self, what: Literal["request", "bundle", "catalogue"], reason: str) -> None:
        """Counts something that was not taken."""
        self._refusals.labels(what, reason).inc()


@cache
def metrics() -> Metrics:
    """This process's."""
    return Metrics()
