"""Small builders of what a reconcile sees, for tests of steps and plans."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from conch.api import names, v1alpha1
from conch.api.conditions import Reason
from conch.kube import views
from conch.observe.state import ClusterState, Observation
from conch.observe.types import AcceleratorKind, Assignment, Decision, Key, NodeCapacity
from conch.reconcile import plan as planning

NOW = "2026-01-01T00:00:00Z"
MOMENT = datetime.fromisoformat(NOW)
KEY = Key("team", "resnet")
UID = "11111111-1111-1111-1111-111111111111"
L4 = AcceleratorKind(
    "l4", {"nvidia.com/gpu.product": "NVIDIA-L4"}, "nvidia.com/gpu", 24 << 30, (8, 9), False
)
RUNTIME = v1alpha1.TritonRuntimeSpec.model_validate({"image": "triton:24.10", "release": "24.10"})
BUILTIN = ("triton", RUNTIME)
OPTIONS = planning.Options(
    allowed_sources=("s3://", "image://"),
    allow_private_hosts=False,
    fetch_image="conch:test",
    fetch_image_pull_policy="IfNotPresent",
    fetch_max_bytes=1 << 30,
    operator_namespace="conch-system",
    drain_s=20,
    startup_budget_s=600,
)


def raw(spec: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
    """An InferenceService as the API server sends it."""
    base: dict[str, Any] = {
        "models": [{"name": "resnet", "source": {"uri": "image:///opt/models/resnet"}}],
        "objectives": {"latency": {"target": "100ms"}},
        "scaling": {"mode": "Latency", "minReplicas": 1, "maxReplicas": 10},
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.INFERENCE_SERVICE,
        "metadata": {
            "name": KEY.name,
            "namespace": KEY.namespace,
            "uid": UID,
            "generation": 1,
            "resourceVersion": "10",
            "creationTimestamp": NOW,
            **meta,
        },
        "spec": base | (spec or {}),
    }


def placed(room: int = 1) -> Assignment:
    """The service goes to l4."""
    return Assignment(L4, Reason.PLACED, "l4: room", room)


def state(
    service: dict[str, Any] | None = None, assignment: Assignment | None = None
) -> ClusterState:
    """A cluster that knows one service, placed on l4 unless told otherwise."""
    cluster = ClusterState()
    cluster.set_service(service or raw())
    cluster.assignments[KEY] = assignment or placed()
    return cluster


def observe(cluster: ClusterState) -> Observation:
    """What a reconcile of the one service sees."""
    seen = cluster.observe(KEY, BUILTIN, NOW)
    assert seen is not None
    return seen


def build(cluster: ClusterState, *, replicas: int = 1, ready: int | None = None) -> None:
    """Put the children a first reconcile would make into the cluster, settled."""
    made = planning.make(observe(cluster), OPTIONS)
    for action in made.applies:
        live = {**action.obj, "metadata": {**action.obj["metadata"], "resourceVersion": "5"}}
        if live["kind"] == "Deployment":
            count = replicas if ready is None else ready
            live["metadata"]["generation"] = 1
            live["spec"] = {**live["spec"], "replicas": replicas}
            live["status"] = {
                "observedGeneration": 1,
                "replicas": replicas,
                "updatedReplicas": replicas,
                "readyReplicas": count,
            }
        cluster.set_child(live)


def pod(name: str = "p1", *, ready: bool = True, revision: str = "r1", **status: Any) -> views.Pod:
    """A pod of the service."""
    conditions = (
        views.StatusCondition("Ready", "True" if ready else "False", last_transition_time=NOW),
    )
    return views.Pod(
        metadata=views.Metadata(
            name=name,
            namespace=KEY.namespace,
            uid=f"uid-{name}",
            creation_timestamp=NOW,
            labels={**names.service_labels(KEY.name), "pod-template-hash": revision},
        ),
        spec=views.PodSpec(node_name="n1"),
        status=views.PodStatus(
            **{"phase": "Running", "pod_ip": "10.0.0.1", "conditions": conditions, **status}
        ),
    )


def container(
    *,
    name: str = "triton",
    waiting: tuple[str, str] | None = None,
    ended: views.Terminated | None = None,
    image: str = "triton:24.10",
) -> views.ContainerStatus:
    """A container's status."""
    state_now = views.ContainerState(
        waiting=views.Waiting(*waiting) if waiting else None, terminated=ended
    )
    return views.ContainerStatus(name=name, image=image, state=state_now)


def nodes_with(free: Mapping[str, int]) -> tuple[NodeCapacity, ...]:
    """One node of each class, with so many free units."""
    return tuple(
        NodeCapacity(
            name=f"node-{name}",
            labels={"gpu": name},
            taints=(),
            ready=True,
            unschedulable=False,
            allocatable={"nvidia.com/gpu": units, "cpu": 64000, "memory": 1 << 40},
            requested={},
        )
        for name, units in free.items()
    )


def decision(replicas: int, reason: Reason = Reason.SCALE_UP, **numbers: Any) -> Decision:
    """A scaling decision."""
    return Decision(replicas, reason, f"{replicas} replicas", **numbers)
