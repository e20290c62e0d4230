"""A carbon ceiling from the grid's intensity to the number of replicas, and who is woken by it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from conch.api.conditions import ConditionType
from conch.grid.sources import Grid
from conch.observe.state import ClusterState
from conch.reconcile import plan as planning
from conch.reconcile.energy import EnergyLoop
from conch.reconcile.policy import policy_of
from conch.reconcile.queue import WorkQueue
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from tests.reconcile.builders import KEY, NOW, OPTIONS, build, decision, observe, placed, raw, state

ALWAYS = {"name": "day", "cron": "0 0 * * *", "duration": "24h", "minReplicas": 9}
CEILING = {"above": 400, "maxReplicas": 5}


def cluster(asked: int, **scaling: Any) -> ClusterState:
    limits = {"minReplicas": 1, "maxReplicas": 20, "carbonCeilings": [CEILING]}
    made = state(raw({"scaling": {**limits, **scaling}}), placed(20))
    build(made, replicas=asked)
    return made


def replicas(made: ClusterState) -> tuple[int, str]:
    seen = observe(made)
    plan = planning.make(seen, OPTIONS)
    body = planning.conclude(seen, plan, planning.Outcome()).body
    told = next(c for c in body["conditions"] if c["type"] == ConditionType.SCALING)
    return plan.replicas, told["message"]


@pytest.mark.parametrize(
    ("carbon", "wanted"), [({}, 9), ({"l4": 400.0}, 9), ({"t4": 900.0}, 9), ({"l4": 401.0}, 5)]
)
def test_what_a_schedule_holds_beyond_the_objective_goes(
    carbon: dict[str, float], wanted: int
) -> None:
    made = cluster(3, schedules=[ALWAYS])
    made.decisions[KEY] = decision(3)
    made.carbon = carbon
    count, told = replicas(made)
    assert count == wanted
    assert ("the grid emits more than 400 g/kWh" in told) is (wanted == 5)
    policy = policy_of(made.services[KEY], datetime.fromisoformat(NOW), made.carbon_of(KEY))
    assert (policy.min_replicas, policy.max_replicas) == (wanted, 20)


def test_what_the_objective_takes_is_not_touched() -> None:
    made = cluster(12, schedules=[ALWAYS])
    made.decisions[KEY] = decision(12)
    made.carbon = {"l4": 900.0}
    assert replicas(made)[0] == 12


def test_somebody_elses_autoscaler_gets_no_more() -> None:
    made = cluster(12, mode="External", replicas=12)
    made.carbon = {"l4": 900.0}
    count, told = replicas(made)
    assert count == 5
    assert "External: 5 replicas (asked for 12), within 1 to 5." in told


async def test_a_grid_that_changes_wakes_whom_it_concerns() -> None:
    made, queue = cluster(3, schedules=[ALWAYS]), WorkQueue()
    loop = EnergyLoop(made, queue, Settings(), Metrics(), lambda _: {}, Grid(None, {}, None))
    woken = []
    for carbon in (0.0, 300.0, 450.0, 460.0, 300.0, 300.0):
        made.carbon = {"l4": carbon} if carbon else {}
        loop._wake_capped()
        woken.append(len(queue))
        while len(queue):
            queue.done(await queue.get())
    assert woken == [0, 0, 1, 0, 1, 0]
    queue.close()
