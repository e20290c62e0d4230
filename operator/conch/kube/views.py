"""Small typed views of Kubernetes objects: only the fields Conch reads, decoded by msgspec.

A full client model of a pod costs 477 µs and 62 KiB (docs/design/001); a view costs ~15 µs and
keeps what is needed. Unknown fields are ignored, absent ones have defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

V = TypeVar("V")


class _View(msgspec.Struct, rename="camel", frozen=True, gc=False):
    pass


class OwnerReference(_View, frozen=True):
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class Metadata(_View, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()


class StatusCondition(_View, frozen=True):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""


# --- pods ----------------------------------------------------------------------------------------


class ResourceRequirements(_View, frozen=True):
    requests: dict[str, str | int | float] = {}
    limits: dict[str, str | int | float] = {}


class Container(_View, frozen=True):
    name: str = ""
    restart_policy: str = ""  # "Always" on an init container makes it a sidecar
    resources: ResourceRequirements = ResourceRequirements()


class Waiting(_View, frozen=True):
    reason: str = ""
    message: str = ""


class Terminated(_View, frozen=True):
    reason: str = ""
    message: str = ""
    exit_code: int = 0


class Running(_View, frozen=True):
    pass


class ContainerState(_View, frozen=True):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(_View, frozen=True):
    name: str = ""
    ready: bool = False
    restart_count: int = 0
    image: str = ""
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodResourceClaim(_View, frozen=True):
    name: str = ""
    resource_claim_template_name: str = ""


class PodSpec(_View, frozen=True):
    node_name: str = ""
    resource_claims: tuple[PodResourceClaim, ...] = ()
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    overhead: dict[str, str | int | float] = {}  # of the pod's RuntimeClass


class PodStatus(_View, frozen=True):
    phase: str = ""
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    conditions: tuple[StatusCondition, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(_View, frozen=True):
    metadata: Metadata = Metadata()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    def condition(self, kind: str) -> StatusCondition | None:
        """The pod condition of that type, if the pod has it."""
        return next((c for c in self.status.conditions if c.type == kind), None)

    @property
    def ready(self) -> bool:
        """Whether the pod is Ready and not on its way out."""
        condition = self.condition("Ready")
        return (
            self.metadata.deletion_timestamp is None
            and condition is not None
            and condition.status == "True"
        )


# --- nodes ---------------------------------------------------------------------------------------


class Taint(_View, frozen=True):
    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(_View, frozen=True):
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeStatus(_View, frozen=True):
    allocatable: dict[str, str | int | float] = {}
    conditions: tuple[StatusCondition, ...] = ()


class Node(_View, frozen=True):
    metadata: Metadata = Metadata()
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def ready(self) -> bool:
        """Whether the kubelet reports Ready."""
        return any(c.type == "Ready" and c.status == "True" for c in self.status.conditions)


# --- events about pods ---------------------------------------------------------------------------


class ObjectReference(_View, frozen=True):
    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""


class Event(_View, frozen=True):
    metadata: Metadata = Metadata()
    involved_object: ObjectReference = ObjectReference()
    reason: str = ""
    message: str = ""


# --- dynamic resource allocation -----------------------------------------------------------------


class DeviceTaint(_View, frozen=True):
    key: str = ""
    effect: str = ""


class Device(_View, frozen=True):
    name: str = ""
    attributes: dict[str, dict[str, Any]] = {}  # {"string": …}, {"int": …}, {"bool": …}, …
    capacity: dict[str, dict[str, Any]] = {}  # {"value": quantity}
    taints: tuple[DeviceTaint, ...] = ()
    consumes_counters: tuple[dict[str, Any], ...] = ()


class ResourcePool(_View, frozen=True):
    name: str = ""
    generation: int = 0
    resource_slice_count: int = 0


class ResourceSliceSpec(_View, frozen=True):
    driver: str = ""
    pool: ResourcePool = ResourcePool()
    node_name: str = ""
    devices: tuple[Device, ...] = ()


class ResourceSlice(_View, frozen=True):
    metadata: Metadata = Metadata()
    spec: ResourceSliceSpec = ResourceSliceSpec()


class CelSelector(_View, frozen=True):
    expression: str = ""


class DeviceSelector(_View, frozen=True):
    cel: CelSelector = CelSelector()


class DeviceClassSpec(_View, frozen=True):
    selectors: tuple[DeviceSelector, ...] = ()


class DeviceClass(_View, frozen=True):
    metadata: Metadata = Metadata()
    spec: DeviceClassSpec = DeviceClassSpec()


class AllocatedDevice(_View, frozen=True):
    driver: str = ""
    pool: str = ""
    device: str = ""
    admin_access: bool = False


class AllocatedDevices(_View, frozen=True):
    results: tuple[AllocatedDevice, ...] = ()


class Allocation(_View, frozen=True):
    devices: AllocatedDevices = AllocatedDevices()


class ResourceClaimStatus(_View, frozen=True):
    allocation: Allocation | None = None


class ResourceClaim(_View, frozen=True):
    metadata: Metadata = Metadata()
    status: ResourceClaimStatus = ResourceClaimStatus()


# --- Karpenter: what makes nodes, and nodes on their way -----------------------------------------


class Requirement(_View, frozen=True):
    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class NodeTemplateSpec(_View, frozen=True):
    requirements: tuple[Requirement, ...] = ()
    taints: tuple[Taint, ...] = ()


class NodeTemplate(_View, frozen=True):
    metadata: Metadata = Metadata()
    spec: NodeTemplateSpec = NodeTemplateSpec()


class NodePoolSpec(_View, frozen=True):
    template: NodeTemplate = NodeTemplate()
    limits: dict[str, str | int | float] = {}
    replicas: int | None = None  # so many at all times, whatever waits


class NodePoolStatus(_View, frozen=True):
    resources: dict[str, str | int | float] = {}
    conditions: tuple[StatusCondition, ...] = ()


class NodePool(_View, frozen=True):
    metadata: Metadata = Metadata()
    spec: NodePoolSpec = NodePoolSpec()
    status: NodePoolStatus = NodePoolStatus()


class NodeClaimStatus(_View, frozen=True):
    node_name: str = ""
    allocatable: dict[str, str | int | float] = {}
    conditions: tuple[StatusCondition, ...] = ()


class NodeClaim(_View, frozen=True):
    metadata: Metadata = Metadata()
    spec: NodeTemplateSpec = NodeTemplateSpec()
    status: NodeClaimStatus = NodeClaimStatus()


# --- priorities of pods --------------------------------------------------------------------------


class PriorityClass(_View, frozen=True):
    metadata: Metadata = Metadata()
    value: int = 0
    global_default: bool = False


# --- autoscalers of others -----------------------------------------------------------------------


class ScaleTarget(_View, frozen=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""


class AutoscalerSpec(_View, frozen=True):
    scale_target_ref: ScaleTarget = ScaleTarget()


class Autoscaler(_View, frozen=True):
    metadata: Metadata = Metadata()
    spec: AutoscalerSpec = AutoscalerSpec()


# --- what we own: kept whole, because drift in any field we own must be seen ---------------------

Object = dict[str, Any]


def whole(api_version: str, kind: str) -> Callable[[bytes], Object]:
    """A reader of everything but managedFields, which cost more memory than the rest together.

    Of them only stays who owns ``spec.replicas``: it must be nobody but us. Lists of built-in kinds
    carry no apiVersion and kind on their items, watches do: filled in.
    """

    def decode(raw: bytes) -> Object:
        obj: Object = _decode_any(raw)
        owners = _replicas_owners(obj["metadata"].pop("managedFields", None) or ())
        if owners:
            obj["metadata"]["managedFields"] = owners
        return {"apiVersion": api_version, "kind": kind} | obj

    return decode


def _replicas_owners(managed: Sequence[Object]) -> list[Object]:
    return [
        {
            "manager": entry.get("manager", ""),
            "fieldsV1": {"f:spec": {"f:replicas": {}}},
        }
        for entry in managed
        if "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    ]


def decoder(view: type[V]) -> Callable[[bytes], V]:
    """A reader of one kind's JSON. It raises msgspec.MsgspecError on a wrong type."""
    return msgspec.json.Decoder(view).decode


_decode_any = msgspec.json.Decoder(dict[str, Any]).decode
