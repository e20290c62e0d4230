"""One small case from the reference to the figures, and the wrong service times."""

import pytest

from conch.observe.types import BatchStat, Decision, ModelCounters, PodSample, ScalingObservation
from conch.twin.controller import Sight
from conch.twin.service import ServiceModel
from conch.twin.synthetic import noise
from e2e.autoscale import jobs
from e2e.autoscale.cases import Case, Curve
from e2e.autoscale.figures import rows
from e2e.autoscale.jobs import Ground, Misread
from e2e.autoscale.runner import Results

pytestmark = pytest.mark.simulation

CURVE = Curve("t", "test", ServiceModel.linear(0.04, 0.02, 8), 0.5, 2.0, 600)


@pytest.fixture(scope="module")
def ground() -> Ground:
    case = Case(noise(80.0, 600, sd=0.1), CURVE, 10.0)
    rates = [29.0 * c + 1.5 * (c - 1) for c in range(1, 17)]
    return Ground.of(case, jobs.reference(case, {"rates": rates, "one_replica_rps": 28.0}))


def test_a_calm_case_is_tractable_and_gives_rows(ground: Ground) -> None:
    case = ground.case
    rates = list(ground.table.rates)
    known = jobs.reference(case, {"rates": rates, "one_replica_rps": 28.0})
    assert known["tractable"]
    assert known["oracle"]["worst_late"] <= 0.01
    assert known["oracle_shipped"]["hours"] >= known["oracle"]["hours"]
    assert ground.initial >= 2
    tuned = jobs.tune(ground, "keda", True, (0,))
    assert tuned["value"] is not None
    assert tuned["late"] <= 0.01
    looser = [p for p in tuned["points"] if p["value"] > tuned["value"]]
    assert all(p["late"] > 0.01 for p in looser)
    found = Results(
        reference={case.name: known},
        conch={(case.name, "reject"): [jobs.run_conch(ground, "reject", 0)]},
        tuned={(case.name, "keda", True): tuned},
    )
    assert {"r_cost", "r_tuned_reject"} <= {row.name for row in rows(found)}


@pytest.mark.parametrize("variant", jobs.VARIANTS)
def test_every_variant_runs(ground: Ground, variant: str) -> None:
    found = jobs.run_conch(ground, variant, 0)
    assert found["requests"] == pytest.approx(80 * 600, rel=0.05)
    assert 0 <= found["late"] <= 1
    assert found["hours"] > 0.1


def test_misread_changes_batch_times_only() -> None:
    seen: list[Sight] = []

    class Inner:
        name, interval_s = "inner", 5.0

        def decide(self, sight: Sight) -> Decision:
            seen.append(sight)
            raise StopIteration

    counters = ModelCounters(9, 1, 9, 3, 2.0, 1.0, 4.0, 0.3, {4: BatchStat(3, 0.9)})
    samples = (PodSample("p", 1.0, {"m": counters}), PodSample("q", 1.0, {}, "no answer"))
    told = ScalingObservation(5.0, 2, 2, (), (), 9, samples)
    with pytest.raises(StopIteration):
        Misread(Inner(), 0.9).decide(Sight(told, 2, (1.0,), (0.5,), ()))
    shown = seen[0].observation.samples[0].models["m"]
    assert shown.batches.keys() == {4}
    assert shown.batches[4].count == 3
    assert shown.batches[4].compute_s == pytest.approx(0.81)
    assert (shown.success, shown.latency_s, shown.request_s) == (9, 0.3, 2.0)
    assert seen[0].observation.samples[1] == samples[1]
