"""Every metric Conch exports, in one catalogue; ``docs/reference/metrics.md`` is generated from it.

Names follow Prometheus' conventions: base units, ``_total`` for counters. Labels are bounded: by
the number of services, watches, reasons and HTTP codes.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from conch.api.conditions import Condition

_SERVICE = ("namespace", "service")
_CLASS = (*_SERVICE, "class")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The operator's instruments, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.reconciles = Counter(
            "conch_reconciles_total",
            "Reconciles by result: ok, retry (an error that is tried again) or error.",
            ("result",),
            registry=r,
        )
        for result in ("ok", "retry", "error"):
            self.reconciles.labels(result)  # from the start, or the first would be no increase
        self.reconcile_seconds = Histogram(
            "conch_reconcile_duration_seconds",
            "Time one reconcile took, writes included.",
            buckets=_SECONDS,
            registry=r,
        )
        self.queue_depth = Gauge(
            "conch_queue_depth", "Resources that wait to be reconciled.", registry=r
        )
        self.queue_seconds = Histogram(
            "conch_queue_wait_seconds",
            "Time from a change being seen to its reconcile starting.",
            buckets=_SECONDS,
            registry=r,
        )
        self.api_writes = Counter(
            "conch_api_writes_total",
            "Writes sent to the API server, by verb, resource and HTTP code (0: no answer).",
            ("verb", "resource", "code"),
            registry=r,
        )
        self.watch_restarts = Counter(
            "conch_watch_restarts_total",
            "Watches that were started again, by watch.",
            ("watch",),
            registry=r,
        )
        self.leader = Gauge("conch_leader", "1 on the replica that acts, else 0.", registry=r)
        self.placement_seconds = Histogram(
            "conch_placement_duration_seconds",
            "Time one placement plan over all services took.",
            buckets=_SECONDS,
            registry=r,
        )
        self.scrapes = Counter(
            "conch_scrapes_total",
            "Looks at Triton pods by result: ok or error.",
            ("result",),
            registry=r,
        )
        self.scaling_seconds = Histogram(
            "conch_scaling_round_duration_seconds",
            "Time one round of scraping and deciding over all services took.",
            buckets=_SECONDS,
            registry=r,
        )
        self.deciding_seconds = Counter(
            "conch_scaling_deciding_seconds_total",
            "Time that decisions took, once what they rest on was read.",
            registry=r,
        )
        self.decisions = Counter(
            "conch_scaling_decisions_total",
            "Changes of a service's wanted replicas, by reason.",
            ("reason",),
            registry=r,
        )
        self.wanted = Gauge(
            "conch_service_replicas_wanted", "Replicas Conch wants.", _SERVICE, registry=r
        )
        self.ready = Gauge(
            "conch_service_replicas_ready", "Replicas with loaded models.", _SERVICE, registry=r
        )
        self.condition = Gauge(
            "conch_service_condition",
            "1 for each condition of the service, with its status and reason as labels.",
            (*_SERVICE, "condition", "status", "reason"),
            registry=r,
        )
        self._conditions: dict[tuple[str, str], frozenset[tuple[str, str, str]]] = {}
        self.demand = Gauge(
            "conch_service_demand_requests_per_second",
            "Requests that arrive, per second.",
            _SERVICE,
            registry=r,
        )
        self.bound = Gauge(
            "conch_service_demand_bound_requests_per_second",
            "Requests per second to be ready for within a replica's start-up time.",
            _SERVICE,
            registry=r,
        )
        self.capacity = Gauge(
            "conch_service_replica_capacity_requests_per_second",
            "Requests per second one replica carries inside the objective.",
            _SERVICE,
            registry=r,
        )
        self.latency = Gauge(
            "conch_service_latency_seconds",
            "Latency at the objective's percentile, as measured.",
            _SERVICE,
            registry=r,
        )
        self.target = Gauge(
            "conch_service_latency_target_seconds", "The objective's target.", _SERVICE, registry=r
        )
        self.objective = Gauge(
            "conch_service_objective_ratio",
            "Share of requests that the objective promises within that target.",
            _SERVICE,
            registry=r,
        )
        self.reject_after = Gauge(
            "conch_service_reject_after_seconds",
            "Wait in the queue after which a request is rejected; only with late-reject.",
            _SERVICE,
            registry=r,
        )
        self.ended = Counter(
            "conch_service_requests_total",
            "Requests that ended: answered, rejected or failed.",
            _SERVICE,
            registry=r,
        )
        self.late = Counter(
            "conch_service_late_requests_total",
            "Of those, the ones beyond the target, rejected or failed, as far as Triton lets know.",
            _SERVICE,
            registry=r,
        )
        self.attained = Gauge(
            "conch_service_attained_ratio",
            "Share of requests within the objective, in a window (1h, 30d) since the start.",
            (*_SERVICE, "window"),
            registry=r,
        )
        self.budget_left = Gauge(
            "conch_service_error_budget_left_ratio",
            "What is left of the late requests that the objective allows in a window (1h, 30d): "
            "1 all, 0 none, below 0 none and more were late.",
            (*_SERVICE, "window"),
            registry=r,
        )

        self.cost_rate = Gauge(
            "conch_service_cost_dollars_per_hour",
            "Price of the accelerators that the service's replicas hold, per hour.",
            _CLASS,
            registry=r,
        )
        self.cost = Counter(
            "conch_service_cost_dollars_total",
            "What those have cost, as far as prices are known.",
            _CLASS,
            registry=r,
        )
        self.power = Gauge(
            "conch_service_power_watts",
            "Power that the service's accelerators draw, its part of shared ones.",
            _CLASS,
            registry=r,
        )
        self.power_estimated = Gauge(
            "conch_service_power_estimated",
            "1 where no meter tells that power and it is modelled, else 0.",
            _CLASS,
            registry=r,
        )
        self.energy = Counter(
            "conch_service_energy_joules_total",
            "Energy that those have used, without what the site adds.",
            _CLASS,
            registry=r,
        )
        self.carbon = Counter(
            "conch_service_carbon_grams_total",
            "Grams of CO2 equivalent of that energy and of what the site adds, by kind of grid "
            "intensity: Average or Marginal.",
            (*_CLASS, "kind"),
            registry=r,
        )
        self.inferences = Counter(
            "conch_service_inferences_total",
            "Inferences that the service's replicas made, as Triton counts them.",
            _CLASS,
            registry=r,
        )
        self.grid_intensity = Gauge(
            "conch_grid_intensity_grams_per_kwh",
            "Grams of CO2 equivalent per kilowatt-hour, by zone of the source and kind.",
            ("zone", "kind"),
            registry=r,
        )

    def tell_conditions(self, namespace: str, name: str, now: Iterable[Condition]) -> None:
        """The conditions of a service as they are now; what they were before is dropped."""
        found = frozenset((c.type.value, c.status, c.reason.value) for c in now)
        before = self._conditions.get((namespace, name), frozenset())
        for labels in before - found:
            self.condition.remove(namespace, name, *labels)
        for labels in found - before:
            self.condition.labels(namespace, name, *labels).set(1)
        self._conditions[namespace, name] = found

    def forget_class(self, namespace: str, name: str, class_name: str) -> None:
        """Drop the gauges of a class that a service has left; what it has spent there stays."""
        for gauge in (self.cost_rate, self.power, self.power_estimated):
            gauge.remove(namespace, name, class_name)

    def forget_service(self, namespace: str, name: str) -> None:
        """Drop the series of a service that is gone."""
        self._conditions.pop((namespace, name), None)
        for metric in (
            self.wanted,
            self.ready,
            self.demand,
            self.bound,
            self.capacity,
            self.latency,
            self.target,
            self.objective,
            self.reject_after,
            self.ended,
            self.late,
        ):
            metric.remove(namespace, name)
        for metric in (
            self.condition,
            self.attained,
            self.budget_left,
            self.cost_rate,
            self.cost,
            self.power,
            self.power_estimated,
            self.energy,
            self.carbon,
            self.inferences,
        ):
            metric.remove_by_labels({"namespace": namespace, "service": name})

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)
