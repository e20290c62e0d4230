"""What whoever sets up a foreign rule may know, and what a rule in the catalogue is.

Values only. A rule is listed twice: *untouched*, as its makers ship it, and over a row of settings
of its one set point, so that a benchmark can tune it with hindsight. Nobody is told the trace.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from conch.api.conditions import Reason
from conch.observe.types import Decision
from conch.twin.controller import Controller
from conch.twin.rules.reject import WithReject, reject_after_s
from conch.twin.world import Scenario


@dataclass(frozen=True, slots=True)
class Setting:
    """A service as its operator knows it before any traffic: limits, objective, a load test.

    ``service_s`` is s(1) … s(B); ``one_replica_rps`` the rate at which one replica just holds the
    objective, as a load test finds it; ``cold_start_s`` the usual one.
    """

    target_s: float
    percentile: float
    min_replicas: int
    max_replicas: int
    service_s: tuple[float, ...]
    instances: int
    one_replica_rps: float
    cold_start_s: float
    queue_delay_s: float = 0.0
    queue_policy: bool = False  # a limit or priorities of the model's own

    @classmethod
    def of(cls, scenario: Scenario, one_replica_rps: float) -> Setting:
        """What is known beforehand of a scenario's service."""
        service = scenario.service
        return cls(
            target_s=scenario.target_s,
            percentile=scenario.percentile,
            min_replicas=scenario.min_replicas,
            max_replicas=scenario.max_replicas,
            service_s=service.service_s,
            instances=service.instances,
            one_replica_rps=one_replica_rps,
            cold_start_s=scenario.cold_start_s,
            queue_delay_s=service.max_queue_delay_s,
            queue_policy=service.max_queue_size > 0 or len(service.priorities) > 1,
        )

    @property
    def throughput_rps(self) -> float:
        """What one replica completes at full batches, latency aside."""
        return self.instances * len(self.service_s) / self.service_s[-1]


@dataclass(frozen=True, slots=True)
class Rule:
    """One foreign rule.

    ``row`` gives the settings worth trying, from the cheapest fleet to the most generous one;
    ``tuned`` builds the rule at one of them.
    """

    name: str
    what: str
    untouched: Callable[[Setting], Controller]
    row: Callable[[Setting], tuple[float, ...]]
    tuned: Callable[[Setting, float], Controller]

    def controller(self, setting: Setting, value: float | None, late_reject: bool) -> Controller:
        """The rule at a setting of its row, untouched for None, given late-reject or not."""
        made = self.untouched(setting) if value is None else self.tuned(setting, value)
        if not late_reject:
            return made
        return WithReject(made, reject_after_s(setting.target_s, setting.service_s[-1]))


def rates(setting: Setting) -> tuple[float, ...]:
    """Requests/s per replica worth trying, in steps of 5 %, from what a replica completes at most.

    Many replicas carry more each than one alone does: a load test of one is no upper end.
    """
    most, least = max(setting.throughput_rps, setting.one_replica_rps), 0.3
    steps = math.ceil(math.log(most / (least * setting.one_replica_rps)) / math.log(1.05))
    return tuple(most / 1.05**k for k in range(steps + 1))


def decision(current: int, wanted: int, setting: Setting, why: str) -> Decision:
    """``wanted`` within the limits, with the reason that its direction gives."""
    replicas = min(max(wanted, setting.min_replicas), setting.max_replicas)
    if wanted > setting.max_replicas:
        reason = Reason.AT_MAXIMUM
    elif replicas > current:
        reason = Reason.SCALE_UP
    elif replicas < current:
        reason = Reason.SCALE_DOWN
    else:
        reason = Reason.WITHIN_OBJECTIVE
    return Decision(replicas=replicas, reason=reason, message=why)


def ceil(value: float) -> int:
    """Up to the next whole number, forgiving the last bits of a float: 3.0000000001 is 3."""
    return math.ceil(value - 1e-9)
