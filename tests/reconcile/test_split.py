"""Further Deployments of a service: not on spot, on another class; splits change gap-free."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conch.api import names
from conch.api.conditions import ConditionType
from conch.kube import views
from conch.kube.views import Autoscaler, AutoscalerSpec, ScaleTarget
from conch.observe.spot import SPOT_LABELS
from conch.reconcile import plan as planning
from tests.reconcile.builders import KEY, OPTIONS, observe
from tests.reconcile.split_world import World

SECOND = names.part_name(KEY.name, names.ON_DEMAND)
ON_T4, ON_A100 = names.part_on("t4"), names.part_on("a100")


def counts(any_type: int, firm: int | None) -> dict[str, int]:
    return {"": any_type} | ({} if firm is None else {names.ON_DEMAND: firm})


@pytest.mark.parametrize(
    ("wanted", "least", "expected"),
    [(5, 2, (3, 2)), (2, 2, (0, 2)), (1, 3, (0, 1)), (4, None, (4, None)), (10, 10, (0, 10))],
)
def test_so_many_are_on_demand_or_all_when_there_are_fewer(
    wanted: int, least: int | None, expected: tuple[int, int | None]
) -> None:
    world = World(least, wanted)
    world.settle(0)
    assert world.deployments() == counts(*expected)
    assert world.ready() == wanted
    assert planning.make(observe(world.cluster), OPTIONS).replicas == wanted


@pytest.mark.parametrize("before", [None, 1, 3, 4])
@pytest.mark.parametrize("after", [None, 1, 3, 4])
def test_changing_the_split_costs_no_replica(before: int | None, after: int | None) -> None:
    world = World(before, 4)
    world.settle(0)
    world.edit(after)
    world.settle(at_least=4)
    firm = after if after is None else min(4, after)
    assert world.deployments() == counts(4 - (firm or 0), firm)
    assert world.ready() == 4


def test_it_grows_and_shrinks_with_the_demand() -> None:
    world = World(2, 2)
    world.settle(0)
    world.want(7)
    world.settle(at_least=2)
    assert world.deployments() == counts(5, 2)
    world.want(1)
    world.settle(at_least=1)
    assert world.deployments() == counts(0, 1)
    world.want(4)
    world.settle(at_least=1)
    assert world.deployments() == counts(2, 2)


def test_without_room_on_demand_those_on_spot_stay() -> None:
    world = World(None, 4)
    world.settle(0)
    world.edit(3)
    world.full = {names.ON_DEMAND}
    world.settle(at_least=4)
    assert world.deployments() == counts(4, 3)
    world.full = ()
    world.settle(at_least=4)
    assert world.deployments() == counts(1, 3)


def test_a_rollout_of_the_one_is_not_a_change_of_the_other() -> None:
    """The second Deployment comes with the same settings: no server of the first restarts."""
    world = World(None, 2)
    world.settle(0)
    live = world.cluster.child(KEY, "Deployment", KEY.name)
    assert live is not None
    world.edit(1)
    made = planning.make(observe(world.cluster), OPTIONS)
    assert [a.obj["metadata"]["name"] for a in made.applies] == [SECOND]
    second = made.applies[0].obj
    assert second["spec"]["selector"]["matchLabels"] == {
        names.LABEL_SERVICE: KEY.name,
        names.LABEL_PART: names.ON_DEMAND,
    }
    affinity = second["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    term = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"][0]
    for key, value in SPOT_LABELS:
        expected = {"key": key, "operator": "NotIn", "values": [value]}
        assert expected in term["matchExpressions"]


def test_an_autoscaler_on_either_is_never_fought() -> None:
    world = World(2, 4)
    world.settle(0)
    on_second = Autoscaler(
        views.Metadata(name="rule", namespace=KEY.namespace, uid="hpa"),
        AutoscalerSpec(ScaleTarget("apps/v1", "Deployment", SECOND)),
    )
    assert KEY in world.cluster.foreign.set_autoscaler(on_second)
    world.want(9)
    made = planning.make(observe(world.cluster), OPTIONS)
    assert (made.replicas, made.scale_to, made.parts_to) == (4, None, {})
    obs = observe(world.cluster)
    status = planning.conclude(obs, made, planning.Outcome())
    found = next(c for c in status.conditions if c.type is ConditionType.SCALING)
    assert f"HorizontalPodAutoscaler rule (on {SECOND}) scales" in found.message
    assert KEY in world.cluster.foreign.remove_autoscaler("hpa")
    assert planning.make(observe(world.cluster), OPTIONS).scale_to == 7


def test_it_is_settled_when_both_are() -> None:
    world = World(2, 3)
    world.settle(0)
    obs = observe(world.cluster)
    status = planning.conclude(obs, planning.make(obs, OPTIONS), planning.Outcome())
    found = next(c for c in status.conditions if c.type is ConditionType.READY)
    assert found.status == "True"
    assert (status.body["replicas"], status.body["desiredReplicas"]) == (3, 3)


# --- over several classes -------------------------------------------------------------------------


def test_what_one_class_has_no_room_for_is_on_another() -> None:
    world = World(None, 6)
    world.plan(l4=3, t4=3)
    made = world.write()
    [second] = [a.obj for a in made.applies if a.obj["metadata"]["name"] == f"{KEY.name}-on-t4"]
    labels = second["spec"]["template"]["metadata"]["labels"]
    assert (labels[names.LABEL_ACCELERATOR], labels[names.LABEL_PART]) == ("t4", ON_T4)
    affinity = second["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    term = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"][0]
    assert {"key": "gpu", "operator": "In", "values": ["t4"]} in term["matchExpressions"]
    world.settle(0)
    assert world.deployments() == {"": 3, ON_T4: 3}
    obs = observe(world.cluster)
    status = planning.conclude(obs, planning.make(obs, OPTIONS), planning.Outcome())
    assert (status.body["replicas"], status.body["desiredReplicas"]) == (6, 6)
    assert status.body["selector"] == f"{names.LABEL_SERVICE}={KEY.name}"
    assert status.body["parts"] == [
        {"accelerator": "l4", "replicas": 3, "readyReplicas": 3},
        {"accelerator": "t4", "replicas": 3, "readyReplicas": 3},
    ]


def test_it_comes_back_to_one_class_without_a_gap_and_the_part_is_gone() -> None:
    world = World(None, 6)
    world.plan(l4=3, t4=3)
    world.settle(0)
    world.plan()
    world.settle(at_least=6)
    assert world.deployments() == {"": 6}
    obs = observe(world.cluster)
    whole = planning.conclude(obs, planning.make(obs, OPTIONS), planning.Outcome())
    assert "parts" not in whole.body


def test_the_part_stays_while_its_successors_find_no_node() -> None:
    world = World(None, 4)
    world.plan(l4=1, t4=3)
    world.settle(0)
    world.full = {""}
    world.plan()
    world.settle(at_least=4)
    assert world.deployments() == {"": 4, ON_T4: 3}


@pytest.mark.parametrize(
    ("planned", "expected"),
    [
        ({"l4": 3, "t4": 3}, {"": 3, ON_T4: 1}),
        ({"t4": 3, "l4": 3}, {"": 1, ON_T4: 3}),
        ({"t4": 3, "l4": 1, "a100": 2}, {"": 1, ON_T4: 3}),
    ],
)
def test_the_worst_is_given_up_first_but_never_its_own_class(
    planned: dict[str, int], expected: dict[str, int]
) -> None:
    world = World(None, 6)
    world.plan(**planned)
    world.settle(0)
    world.want(4)
    world.settle(at_least=4)
    assert world.deployments() == expected
    world.want(1)
    world.settle(at_least=1)
    assert world.deployments() == {"": 1}


def test_what_the_plan_does_not_know_of_yet_is_asked_of_its_own_class() -> None:
    world = World(None, 6)
    world.plan(l4=3, t4=3)
    world.settle(0)
    world.want(8)
    world.settle(at_least=6)
    assert world.deployments() == {"": 5, ON_T4: 3}


def test_at_zero_there_is_nothing_but_its_own_deployment() -> None:
    world = World(None, 4)
    world.plan(l4=2, t4=2)
    world.settle(0)
    world.want(0)
    world.settle(0)
    assert world.deployments() == {"": 0}


def test_those_not_on_spot_are_a_part_like_others() -> None:
    world = World(2, 6)
    world.plan(l4=4, t4=2)
    world.settle(0)
    assert world.deployments() == {"": 2, names.ON_DEMAND: 2, ON_T4: 2}


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 6),
            st.sampled_from([None, 1, 3]),
            st.permutations(["l4", "t4", "a100"]),
            st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)),
            st.integers(0, 3),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_no_change_of_split_or_number_costs_a_replica_that_is_wanted(
    changes: list[tuple[int, int | None, list[str], tuple[int, int, int], int]],
) -> None:
    world = World(None, 3)
    world.settle(0)
    before = 3
    for wanted, least, order, planned, turns in changes:
        world.edit(least)
        world.want(wanted)
        world.plan(**dict(zip(order, planned, strict=True)))
        floor = min(before, wanted, world.ready())
        for _ in range(turns):  # the next change comes in the middle of this one
            world.write()
            world.turn()
            assert world.ready() >= floor
        before = wanted
    world.settle(at_least=min(before, world.ready()))
    assert world.ready() == sum(world.deployments().values()) == before


@pytest.mark.parametrize("name", ["demand", "a.b", "x" * 63])
def test_a_class_of_any_name_has_a_part_of_its_own(name: str) -> None:
    part = names.part_on(name)
    assert part != names.ON_DEMAND
    assert len(part) <= names.MAX_LABEL_VALUE
    assert "." not in part
    assert KEY.name in names.bases_of(names.part_name(KEY.name, part))
