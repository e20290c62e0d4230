"""Half of the replicas are half as fast: a scaler that knows, beside one that is not told.

Whole simulations in the twin. The figures are in docs/design/002.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest

from conch.observe.types import Decision, ScalingPolicy
from conch.twin.controller import Sight
from conch.twin.metrics import MODEL
from conch.twin.result import Result
from conch.twin.rules.conch import Conch
from conch.twin.scenario import Lot, Routing, Scenario
from conch.twin.service import ServiceModel
from conch.twin.traces import of_rates
from conch.twin.world import World

pytestmark = pytest.mark.simulation

SECONDS = 2400
HALVES = (Lot("fast", room=3), Lot("slow", slower=2.0))
BATCHED = ServiceModel.linear(0.04, 0.02, 8)
ONE_BY_ONE = ServiceModel((0.1,))


@dataclass(slots=True)
class Untold(Conch):
    """The same scaler, told that all replicas are alike."""

    def decide(self, sight: Sight) -> Decision:
        seen = sight.observation
        alike = replace(
            seen,
            samples=tuple(replace(sample, group="") for sample in seen.samples),
            starting_groups=(),
            growing="",
            shrinking="",
        )
        return Conch.decide(self, replace(sight, observation=alike))


def run(
    scaler: type[Conch], service: ServiceModel, peak: float, routing: Routing, late_reject: bool
) -> Result:
    waves = (0.55 + 0.35 * math.sin(t / 400) + 0.1 * math.sin(t / 61) for t in range(SECONDS))
    scenario = Scenario(
        service=service,
        cold_start_s=40,
        target_s=0.8,
        max_replicas=40,
        initial_replicas=5,
        routing=routing,
        lots=HALVES,
    )
    limits = {MODEL: service.max_batch}
    policy = ScalingPolicy(99, 0.8, 1, 40, (MODEL,), limits, {}, late_reject=late_reject)
    trace = of_rates("waves", [peak * wave for wave in waves])
    return World(scenario, trace).run(scaler("conch", policy, 5.0))


@pytest.mark.parametrize(
    ("service", "peak", "routing", "late_reject"),
    [
        (BATCHED, 150.0, "least", False),
        (ONE_BY_ONE, 55.0, "least", True),
        (BATCHED, 150.0, "random", True),
    ],
    ids=["batches, least outstanding", "one by one, late ones refused", "batches, any is chosen"],
)
def test_who_knows_keeps_the_objective_for_much_less(
    service: ServiceModel, peak: float, routing: Routing, late_reject: bool
) -> None:
    known = run(Conch, service, peak, routing, late_reject)
    untold = run(Untold, service, peak, routing, late_reject)
    assert known.late_share < 0.01
    assert untold.replica_hours > 1.5 * known.replica_hours
