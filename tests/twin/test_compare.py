"""Which scalers a name means, and that all play the same requests from the same start."""

from __future__ import annotations

import json

import numpy as np
import pytest

from conch.errors import UsageError
from conch.twin.compare import Choice, choices, compare, cost, document, known
from conch.twin.service import ServiceModel
from conch.twin.traces import of_rates
from conch.twin.world import Scenario

pytestmark = pytest.mark.simulation

SCENARIO = Scenario(
    service=ServiceModel.linear(0.04, 0.02, 4), cold_start_s=10.0, target_s=0.4, max_replicas=6
)
TRACE = of_rates("even", np.full(90, 40.0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("keda", [Choice("keda")]),
        (" HPA@0.6 ,static+reject,", [Choice("hpa", 0.6), Choice("static", None, True)]),
        ("keda,keda,conch", [Choice("keda")]),
        ("keda@20+reject,oracle", [Choice("keda", 20.0, True), Choice("oracle")]),
        ("conch+reject", [Choice("conch", None, True)]),
    ],
)
def test_names(text: str, expected: list[Choice]) -> None:
    assert choices(text) == (Choice("conch"), *expected)


def test_all_is_every_name_once() -> None:
    assert [choice.name for choice in choices("all,keda")] == list(known())


def test_plain_conch_is_as_the_service_has_it() -> None:
    assert choices("", late_reject=True) == (Choice("conch", None, True),)


@pytest.mark.parametrize("text", ["nobody", "keda@x", "hpa@0", "hpa@inf", "conch@1", "oracle@1"])
def test_names_that_mean_nothing(text: str) -> None:
    with pytest.raises(UsageError):
        choices(text)


def test_everybody_starts_alike_and_sees_the_same_requests() -> None:
    told: list[tuple[float, str]] = []
    found = compare(
        SCENARIO, TRACE, choices("static@4+reject,oracle"), lambda *what: told.append(what)
    )
    conch, static, oracle = found.outcomes
    assert [o.label for o in found.outcomes] == ["conch", "static 4 + reject", "oracle"]
    arrivals = {o.result.timeline.arrivals.tobytes() for o in found.outcomes}
    assert len(arrivals) == 1
    # A load test says that one replica carries between half and all of its throughput.
    assert 0.5 * 33.3 < found.one_replica_rps < 33.4
    first = [o.result.timeline.wanted[0] for o in (conch, static)]
    assert first == [2, 2] == [found.scenario.initial_replicas] * 2
    assert list(found.capacity_rps) == sorted(found.capacity_rps)
    assert len(found.capacity_rps) == max(o.result.timeline.ready.max() for o in found.outcomes)
    assert found.ratio(oracle) == 1
    assert oracle.result.late_share <= 0.01
    shares = [share for share, _ in told]
    assert shares == sorted(shares)  # it never goes back
    assert shares[-1] <= 1
    assert told[0] == (0.0, "compiling the simulator, once, which takes a minute or so")
    assert {what for _, what in told} >= {"measuring what replicas carry", "simulating conch"}


def test_the_document_is_plain_json() -> None:
    found = compare(SCENARIO, of_rates("quiet", np.zeros(30)), choices(""), lambda *_: None)
    value = document(found, 2.0)
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    (run,) = value["runs"]
    assert (run["p99_s"], run["over_oracle"]) == (None, None)
    assert run["cost"] == pytest.approx(2 * run["replica_hours"])
    assert cost(found.outcomes[0], None) is None
