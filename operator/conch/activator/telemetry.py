"""The activator's metrics: how many wait, what became of them, for how long they waited."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from conch.observe.types import Key

_SERVICE = ("namespace", "service")
_REFUSALS = ("expired", "full")
_WAITS_S = (0.1, 0.5, 1, 2, 5, 10, 20, 40, 80, 160, 320, 640)


class Telemetry:
    """Instruments on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._held = Gauge(
            "conch_activator_held_connections",
            "Connections that wait for a replica.",
            _SERVICE,
            registry=self.registry,
        )
        self._passed = Gauge(
            "conch_activator_passed_connections",
            "Connections that were passed on to a replica and are still open.",
            _SERVICE,
            registry=self.registry,
        )
        self._ended = Counter(
            "conch_activator_connections_total",
            "Connections that waited, by what became of them: passed (to a replica), left (the "
            "client hung up), expired (refused at the deadline) or full (refused at the limit).",
            (*_SERVICE, "result"),
            registry=self.registry,
        )
        self._waits = Histogram(
            "conch_activator_wait_seconds",
            "Time connections that were passed on had waited.",
            _SERVICE,
            buckets=_WAITS_S,
            registry=self.registry,
        )

    def held(self, key: Key, waiting: int, passed: int) -> None:
        """How many there are now."""
        self._held.labels(key.namespace, key.name).set(waiting)
        self._passed.labels(key.namespace, key.name).set(passed)
        for result in _REFUSALS:  # there from the start, or the first would be no increase
            self._ended.labels(key.namespace, key.name, result)

    def ended(self, key: Key, result: str) -> None:
        """One has stopped waiting."""
        self._ended.labels(key.namespace, key.name, result).inc()

    def passed(self, key: Key, waited_s: float) -> None:
        """One was passed on."""
        self.ended(key, "passed")
        self._waits.labels(key.namespace, key.name).observe(waited_s)

    def forget(self, key: Key) -> None:
        """The service is gone, or goes to zero no more: so are its series."""
        for metric in (self._held, self._passed, self._ended, self._waits):
            metric.remove_by_labels({"namespace": key.namespace, "service": key.name})

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)
