"""Moves for a gain through the placement loop: from what is seen to what is told and asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from conch.api.conditions import Condition, ConditionType, Reason
from conch.errors import SettingsError
from conch.kube import views
from conch.observe.state import ClusterState
from conch.observe.types import Outlook, Prospect
from conch.reconcile import controller, placement
from conch.reconcile import plan as planning
from conch.reconcile.moves import LOOK_S, STEADY_S
from conch.reconcile.placement import PlacementLoop
from conch.reconcile.queue import WorkQueue
from conch.reconcile.steps import figures
from conch.reconcile.steps import placed as placed_step
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from tests.reconcile.builders import KEY, OPTIONS, observe
from tests.reconcile.test_moves_ready import world as well

ENOUGH = int(STEADY_S / LOOK_S) + 1


def node(name: str, product: str, gpus: int = 8) -> views.Node:
    return views.Node(
        metadata=views.Metadata(
            name=name,
            labels={"nvidia.com/gpu.product": product, "eks.amazonaws.com/nodegroup": "gpu"},
        ),
        status=views.NodeStatus(
            allocatable={"cpu": "64", "memory": "256Gi", "nvidia.com/gpu": str(gpus)},
            conditions=(views.StatusCondition("Ready", "True"),),
        ),
    )


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(placement, "_epoch_s", made)
    return made


@pytest.fixture
async def queue() -> AsyncIterator[WorkQueue]:  # async: timers need the loop
    made = WorkQueue()
    yield made
    made.close()


def cluster() -> ClusterState:
    """Two replicas that run well on l4; there is a t4 node, which is cheaper."""
    made = well()
    made.inventory_builder.upsert_node(node("n1", "NVIDIA-L4"))
    made.inventory_builder.upsert_node(node("n2", "Tesla-T4"))
    return made


def loop_of(state: ClusterState, queue: WorkQueue, per_h: int = 6) -> PlacementLoop:
    return PlacementLoop(state, queue, Settings(placement_moves_per_h=per_h), Metrics())


async def looks(loop: PlacementLoop, clock: Clock, count: int) -> None:
    for _ in range(count):
        clock.now_s += LOOK_S
        await loop.replan()


async def test_a_service_goes_where_it_costs_less_and_says_so(
    queue: WorkQueue, clock: Clock
) -> None:
    state = cluster()
    loop = loop_of(state, queue)
    await looks(loop, clock, ENOUGH - 1)
    assert state.assignments[KEY].reason is Reason.PLACED
    await looks(loop, clock, 1)
    condition = placed_step.judge(observe(state))
    assert (condition.type, condition.status) == (ConditionType.PLACED, "True")
    assert condition.reason is Reason.MOVING
    assert condition.message == "moves from l4 to t4: $0.558/h less"


async def test_without_a_budget_it_stays(queue: WorkQueue, clock: Clock) -> None:
    state = cluster()
    await looks(loop_of(state, queue, per_h=0), clock, 2 * ENOUGH)
    assert state.assignments[KEY].reason is Reason.PLACED


async def test_what_a_replica_carries_there_keeps_it_where_it_is(
    queue: WorkQueue, clock: Clock
) -> None:
    state = cluster()
    state.outlooks[KEY] = Outlook(100.0, {"l4": Prospect(50, False), "t4": Prospect(20, True)})
    await looks(loop_of(state, queue), clock, 2 * ENOUGH)
    assert state.assignments[KEY].reason is Reason.PLACED, "five at 0.53 for two at 0.80"


async def test_a_spent_error_budget_keeps_it_where_it_is(queue: WorkQueue, clock: Clock) -> None:
    state = cluster()
    state.budget_left[KEY] = -0.5
    await looks(loop_of(state, queue), clock, 2 * ENOUGH)
    assert state.assignments[KEY].reason is Reason.PLACED


async def test_all_that_runs_comes_along_one_by_one(queue: WorkQueue, clock: Clock) -> None:
    """Where one would do as well: fewer only once that was seen."""
    state = cluster()
    state.outlooks[KEY] = Outlook(10.0, {"l4": Prospect(50, False), "t4": Prospect(49, True)})
    await looks(loop_of(state, queue), clock, ENOUGH)
    assert state.assignments[KEY].message == "moves from l4 to t4: $0.279/h less"
    made = planning.make(observe(state), OPTIONS)
    assert made.replicas == 2
    deployment = next(a.obj for a in made.applies if a.obj["kind"] == "Deployment")
    rolling = deployment["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 1, "maxUnavailable": 0}


def test_what_a_slower_class_needs_is_asked_for_while_it_moves() -> None:
    state = cluster()
    state.assignments[KEY] = replace(state.assignments[KEY], least=4)
    assert planning.make(observe(state), OPTIONS).scale_to == 4
    state.assignments[KEY] = replace(state.assignments[KEY], least=400)
    assert planning.make(observe(state), OPTIONS).scale_to == 10, "maxReplicas"
    state.assignments[KEY] = replace(state.assignments[KEY], least=1)
    assert planning.make(observe(state), OPTIONS).scale_to is None


def test_a_move_is_an_event_and_so_is_its_failure() -> None:
    def told(reason: Reason, before: Reason) -> bool:
        condition = Condition(ConditionType.PLACED, "True", reason, "")
        return controller._worth_telling(
            condition, {"status": "True", "reason": before.value}, resized=False
        )

    assert told(Reason.MOVING, before=Reason.PLACED)
    assert told(Reason.MOVING_BACK, before=Reason.MOVING)
    assert not told(Reason.MOVING, before=Reason.MOVING)
    assert not told(Reason.PLACED, before=Reason.MOVING)


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(SettingsError, match="CONCH_PLACEMENT_MOVES_PER_H"):
        Settings(placement_moves_per_h=-1)
    with pytest.raises(SettingsError, match="CONCH_PLACEMENT_STEADY_S"):
        Settings(placement_steady_s=0.0)


async def test_what_it_did_stands_in_the_status_and_a_new_operator_goes_on_from_there(
    queue: WorkQueue, clock: Clock
) -> None:
    state = cluster()
    await looks(loop_of(state, queue), clock, ENOUGH)
    told = figures.moves(observe(state))
    assert set(told["moves"]) == {"last"}
    again = cluster()
    raw = again.services[KEY].raw
    again.set_service({**raw, "status": {**raw.get("status", {}), **told}})
    await looks(loop_of(again, queue), clock, 2 * ENOUGH)
    assert again.assignments[KEY].reason is Reason.PLACED, "one move an hour"
