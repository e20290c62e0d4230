"""The ResourceClaimTemplate beside the other children: made, kept at rest, and taken back."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from conch.api.conditions import Reason
from conch.kube import views
from conch.observe.state import ClusterState
from conch.observe.types import AcceleratorKind, Assignment
from conch.reconcile import plan as planning
from conch.render.claim import KIND
from tests.reconcile.builders import KEY, OPTIONS, build, observe, placed, pod, state

CLAIMED = AcceleratorKind(
    "l4", {}, "conch.dev/claim-l4", 24 << 30, (8, 9), True, device_class="gpu.nvidia.com"
)


def claiming() -> ClusterState:
    return state(assignment=Assignment(CLAIMED, Reason.PLACED, ""))


def template(cluster: ClusterState) -> str:
    (name,) = (name for kind, name in observe(cluster).children if kind == KIND)
    return name


def deleted(cluster: ClusterState) -> list[str]:
    return [o["kind"] for o in planning.make(observe(cluster), OPTIONS).deletes]


def test_the_template_is_there_before_the_pods_that_need_it() -> None:
    applied = [a.obj["kind"] for a in planning.make(observe(claiming()), OPTIONS).applies]
    assert applied.index(KIND) < applied.index("Deployment")


def test_at_rest_nothing_is_written() -> None:
    cluster = claiming()
    build(cluster)
    plan = planning.make(observe(cluster), OPTIONS)
    assert (plan.applies, plan.deletes) == ((), ())


def test_a_template_stays_until_no_pod_refers_to_it() -> None:
    cluster = claiming()
    build(cluster)
    old = template(cluster)
    claim = views.PodResourceClaim("accelerator", old)
    made = pod()
    waiting = msgspec.structs.replace(
        made, spec=msgspec.structs.replace(made.spec, resource_claims=(claim,))
    )
    cluster.set_pod(waiting)
    cluster.assignments[KEY] = placed()
    assert deleted(cluster) == []
    cluster.remove_pod(waiting.metadata.uid)
    assert deleted(cluster) == [KIND]


def test_another_device_class_is_another_template() -> None:
    cluster = claiming()
    build(cluster)
    old = template(cluster)
    other = replace(CLAIMED, device_class="mig.nvidia.com")
    cluster.assignments[KEY] = Assignment(other, Reason.PLACED, "")
    plan = planning.make(observe(cluster), OPTIONS)
    (new,) = (a.obj["metadata"]["name"] for a in plan.applies if a.obj["kind"] == KIND)
    assert new != old
    assert new.startswith(f"{KEY.name}-")
