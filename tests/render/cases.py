"""The services whose rendering is kept as golden files, from the smallest to all options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from conch.api import v1alpha1
from conch.kube.views import Object
from conch.observe.types import CPU_CLASS, AcceleratorKind
from conch.render import Holding, QueueLimit, RenderOptions, children

L4 = AcceleratorKind(
    "l4", {"nvidia.com/gpu.product": "NVIDIA-L4"}, "nvidia.com/gpu", 23034 << 20, (8, 9), False
)
MIG = AcceleratorKind(
    "a100-sxm4-40gb-mig-1g.5gb",
    {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB", "nvidia.com/mig.strategy": "mixed"},
    "nvidia.com/mig-1g.5gb",
    4864 << 20,
    (8, 0),
    True,
)
CLAIMED = AcceleratorKind(
    "l4-claimed",
    {},
    "conch.dev/claim-l4-claimed",
    23034 << 20,
    (8, 9),
    True,
    device_class="gpu.nvidia.com",
    device_selectors=("device.attributes['gpu.nvidia.com'].productName == 'NVIDIA L4'",),
)
RUNTIME = v1alpha1.TritonRuntimeSpec(
    image="nvcr.io/nvidia/tritonserver:24.10-py3", release="24.10", default=True
)
FULL_RUNTIME = v1alpha1.TritonRuntimeSpec.model_validate(
    {
        "image": "registry.example/triton@sha256:" + "a" * 64,
        "release": "26.07",
        "imagePullPolicy": "Always",
        "imagePullSecrets": ["registry", "mirror"],
        "backendDirectory": "/opt/backends",
        "resources": {"cpu": "2", "memory": "8Gi", "sharedMemory": "2Gi"},
        "security": {"runAsUser": 1234, "fsGroup": 4321},
    }
)
MINIMAL_SPEC: dict[str, Any] = {
    "models": [{"name": "resnet", "source": {"uri": "image:///opt/models/resnet"}}],
    "objectives": {"latency": {"target": "400ms"}},
}
FULL_SPEC: dict[str, Any] = {
    "models": [
        {
            "name": "resnet50",
            "source": {
                "uri": "s3://models/resnet$(HOME)50",
                "secretRef": {"name": "s3-reader"},
                "digest": "sha256:" + "0" * 64,
            },
            "config": {
                "maxBatchSize": 8,
                "dynamicBatching": {"maxQueueDelay": "2ms", "preferredBatchSizes": [4, 8]},
                "instances": 2,
            },
        }
    ],
    "runtime": "triton",
    "objectives": {"latency": {"percentile": 99.9, "target": "100ms", "rejectLate": True}},
    "placement": {
        "accelerators": {"classes": ["a100"], "count": 1, "minMemory": "4Gi"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [
            {"key": "team", "value": "vision", "effect": "NoSchedule"},
            {"key": "nvidia.com/gpu", "operator": "Exists"},
        ],
    },
    "resources": {"cpu": "1500m", "memory": "6Gi", "sharedMemory": "512Mi"},
    "scaling": {"minReplicas": 2, "maxReplicas": 4},
}
MULTI_SPEC: dict[str, Any] = {
    "models": [
        {"name": "a", "source": {"uri": "image:///opt/models/a/"}},
        {
            "name": "b",
            "source": {
                "uri": "https://models.example:8443/b.tar.gz",
                "secretRef": {"name": "web"},
            },
        },
        {"name": "c", "source": {"uri": "pvc://shared/models/c"}},
        {"name": "d", "source": {"uri": "pvc://shared/models/d"}},
        {
            "name": "e",
            "source": {"uri": "https://models.example/e.zip", "secretRef": {"name": "web"}},
        },
    ],
    "objectives": {"latency": {"target": "1s"}},
}


def options(**changes: Any) -> RenderOptions:
    """Options with nothing special about them, but for ``changes``."""
    values: dict[str, Any] = {
        "fetch_image": "ghcr.io/conch-dev/conch:0.1.0",
        "fetch_image_pull_policy": "IfNotPresent",
        "operator_namespace": "conch-system",
        "drain_s": 20,
        "allowed_sources": ("s3://", "https://", "pvc://", "image://"),
        "allow_private_hosts": False,
        "fetch_max_bytes": 200 * 1024**3,
        "surge": 1,
        "replicas": 1,
        "startup_budget_s": 300,
    }
    return RenderOptions(**{**values, **changes})


def service(spec: dict[str, Any], name: str = "resnet") -> v1alpha1.InferenceService:
    """An InferenceService as the API server would hand it over."""
    metadata = {"name": name, "namespace": "vision", "uid": "6f1e8d4c-0000-4000-8000-000000000001"}
    return v1alpha1.InferenceService.model_validate({"metadata": metadata, "spec": spec})


@dataclass(frozen=True, slots=True)
class Case:
    """One golden file."""

    name: str
    spec: dict[str, Any]
    runtime: v1alpha1.TritonRuntimeSpec
    kind: AcceleratorKind
    options: RenderOptions

    def render(self) -> list[Object]:
        """The children of the case's service."""
        return children(service(self.spec), self.runtime, self.kind, self.options)


def _placed(accelerators: dict[str, Any], **placement: Any) -> dict[str, Any]:
    return {**MINIMAL_SPEC, "placement": {"accelerators": accelerators, **placement}}


CASES = (
    Case("minimal", MINIMAL_SPEC, RUNTIME, L4, options()),
    Case(
        "all-options",
        FULL_SPEC,
        FULL_RUNTIME,
        MIG,
        options(
            surge=0,
            replicas=2,
            allow_private_hosts=True,
            drain_s=5,
            queue_limit=QueueLimit(60_000, "60000us of 100000us measured since 2026-01-01"),
        ),
    ),
    Case("many-models", MULTI_SPEC, RUNTIME, L4, options(replicas=3)),
    Case(
        "to-zero",
        {**MINIMAL_SPEC, "scaling": {"minReplicas": 0, "idle": {"toZeroAfter": "15m"}}},
        RUNTIME,
        L4,
        options(
            replicas=0,
            holding=Holding(
                port=20000, addresses=("10.0.0.1", "10.0.0.2"), family="IPv4", hold_s=120
            ),
        ),
    ),
    Case("two-gpus", _placed({"count": 2}), RUNTIME, L4, options()),
    Case("two-claimed", _placed({"count": 2}), RUNTIME, CLAIMED, options()),
    Case(
        "spot-at-sites",
        _placed(
            {},
            capacityTypes=["Spot"],
            sites=["oslo", "berlin"],
            priorityClassName="serving",
            schedulerName="kai-scheduler",
            queueName="team-vision",
        ),
        RUNTIME,
        L4,
        options(),
    ),
    Case(
        "on-demand-first", _placed({}, capacityTypes=["OnDemand", "Spot"]), RUNTIME, L4, options()
    ),
    Case(
        "some-on-demand",
        _placed({}, capacityTypes=["Spot", "OnDemand"], minOnDemand=2),
        RUNTIME,
        L4,
        options(),
    ),
    Case("cpu", _placed({"count": 0, "allowCPU": True}), RUNTIME, CPU_CLASS, options()),
)
