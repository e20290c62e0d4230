"""A cluster as placement sees it, read once: from the API server, or from a file saved before.

It holds nodes and what makes them, devices, what pods and claims take of them, priorities, and
Conch's own resources: ``conch capacity`` and ``conch place`` can be asked without the cluster, and
the operator's own planner answers. Of pods only what they request is kept, of nodes no annotations,
of nothing any secret. Never writes to a cluster.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import yaml

from conch.api import names
from conch.cli.cluster import Object, Reader
from conch.cli.files import content
from conch.errors import Forbidden, NotFound, UsageError
from conch.fetch import report
from conch.fetch.admission import shown
from conch.kube.transport import path
from conch.kube.views import (
    DeviceClass,
    Node,
    NodeClaim,
    NodePool,
    Pod,
    PriorityClass,
    ResourceClaim,
    ResourceSlice,
)
from conch.observe.state import ClusterState
from conch.reconcile import prospects

V = TypeVar("V")

KIND: Final = "ConchSnapshot"
_VERSION: Final = 1
_MAX_BYTES: Final = 1024**3
_OWN: Final = f"{names.GROUP}/"
_NODE_POOL: Final = "karpenter.sh/nodepool"


class Snapshot(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Raw objects as the API server writes them, less what placement does not look at."""

    kind: str
    version: int
    taken: str  # RFC 3339
    nodes: list[Object]
    pods: list[Object]
    classes: list[Object] = []
    runtimes: list[Object] = []
    services: list[Object] = []
    deployments: list[Object] = []
    priorities: list[Object] = []
    slices: list[Object] = []
    claims: list[Object] = []
    device_classes: list[Object] = []
    node_pools: list[Object] = []
    node_claims: list[Object] = []
    unread: list[str] = []  # plurals that may not be listed, and count as empty


async def gather(api: Reader, now: str) -> Snapshot:
    """Read it all. Raises Forbidden where nodes, pods or Conch's own may not be listed."""
    unread: list[str] = []

    async def beside(api_version: str, plural: str) -> list[Object]:
        """What most clusters, and most people's roles, do without."""
        try:
            return await _known(api.list(path(api_version, plural)))
        except Forbidden:
            unread.append(plural)
            return []

    dra = "resource.k8s.io/v1"
    karpenter = "karpenter.sh/v1"
    priorities, slices, claims, device_classes, pools, coming = await asyncio.gather(
        beside("scheduling.k8s.io/v1", "priorityclasses"),
        beside(dra, "resourceslices"),
        beside(dra, "resourceclaims"),
        beside(dra, "deviceclasses"),
        beside(karpenter, "nodepools"),
        beside(karpenter, "nodeclaims"),
    )
    nodes, pods, classes, runtimes, services, deployments = await asyncio.gather(
        api.list(path("v1", "nodes")),
        # What has ended holds nothing.
        api.list(path("v1", "pods"), field_selector="status.phase!=Succeeded,status.phase!=Failed"),
        _known(api.list(path(names.API_VERSION, "acceleratorclasses"))),
        _known(api.list(path(names.API_VERSION, "tritonruntimes"))),
        _known(api.list(path(names.API_VERSION, "inferenceservices"))),
        api.list(path("apps/v1", "deployments"), label_selector=names.MANAGED_SELECTOR),
    )
    if not any(_NODE_POOL in (raw["metadata"].get("labels") or {}) for raw in nodes):
        # Most likely it is not installed: who may not list what isn't there need not be told.
        unread = [plural for plural in unread if plural not in ("nodepools", "nodeclaims")]
    return Snapshot(
        kind=KIND,
        version=_VERSION,
        taken=now,
        nodes=[_node(raw) for raw in nodes],
        pods=[_pod(raw) for raw in pods],
        classes=[_ours(raw) for raw in classes],
        runtimes=[_ours(raw) for raw in runtimes],
        services=[_without_tokens(_ours(raw)) for raw in services],
        deployments=[_deployment(raw) for raw in deployments],
        priorities=[_named(raw, "value", "globalDefault") for raw in priorities],
        slices=[_named(raw, "spec") for raw in slices],
        claims=[_named(raw, "status") for raw in claims],
        device_classes=[_named(raw, "spec") for raw in device_classes],
        node_pools=[_named(raw, "spec", "status") for raw in pools],
        node_claims=[_node_claim(raw) for raw in coming],
        unread=sorted(unread),
    )


def text(snapshot: Snapshot) -> str:
    """As a file holds it."""
    return json.dumps(msgspec.to_builtins(snapshot), separators=(",", ":"))


def load(file: Path) -> Snapshot:
    """Read a file that ``conch capacity --save`` wrote. Raises UsageError with what is wrong."""
    read = content(file, _MAX_BYTES, "1 GiB: no snapshot is")
    try:
        found = msgspec.json.decode(read, type=Snapshot)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{file} is no snapshot of conch capacity --save: {error}") from error
    if found.kind != KIND or found.version != _VERSION:
        raise UsageError(
            f"{file} is a {found.kind or 'file'} of version {found.version}, not a {KIND} of "
            f"version {_VERSION}: save it again with this conch"
        )
    return found


def with_declared(snapshot: Snapshot, file: Path) -> Snapshot:
    """As if the AcceleratorClasses and TritonRuntimes of a YAML file had been applied."""
    text = content(file, _MAX_BYTES, "1 GiB: no manifest is")
    declared = [d for d in yaml.safe_load_all(text) if isinstance(d, dict)]

    def of(kind: str, known: list[Object]) -> list[Object]:
        new = {
            str(name): {**d, "metadata": {"name": str(name), "resourceVersion": str(2**62)}}
            for d in declared
            if d.get("kind") == kind and (name := (d.get("metadata") or {}).get("name"))
        }
        return [*(raw for raw in known if raw["metadata"]["name"] not in new), *new.values()]

    return msgspec.structs.replace(
        snapshot,
        classes=of(names.ACCELERATOR_CLASS, snapshot.classes),
        runtimes=of(names.TRITON_RUNTIME, snapshot.runtimes),
    )


def state(snapshot: Snapshot, where: str = "the cluster") -> ClusterState:
    """What the operator would know of it. Raises UsageError naming an object that can't be read."""
    made = ClusterState()
    for node in _converted(snapshot.nodes, Node, f"{where}: node"):
        made.inventory_builder.upsert_node(node)
    for pod in _converted(snapshot.pods, Pod, f"{where}: pod"):
        made.inventory_builder.upsert_pod(pod)
        made.set_pod(pod)
    for named in _converted(snapshot.priorities, PriorityClass, f"{where}: PriorityClass"):
        made.priority_classes[named.metadata.name] = named
    devices = made.inventory_builder.devices
    for offered in _converted(snapshot.slices, ResourceSlice, f"{where}: ResourceSlice"):
        devices.set_slice(offered)
    for claim in _converted(snapshot.claims, ResourceClaim, f"{where}: ResourceClaim"):
        devices.set_claim(claim)
    for sort in _converted(snapshot.device_classes, DeviceClass, f"{where}: DeviceClass"):
        devices.set_class(sort)
    pools = made.inventory_builder.node_pools
    for pool in _converted(snapshot.node_pools, NodePool, f"{where}: NodePool"):
        pools.set_pool(pool)
    for coming in _converted(snapshot.node_claims, NodeClaim, f"{where}: NodeClaim"):
        pools.set_claim(coming)
    takers: Sequence[tuple[Callable[[Object], object], list[Object], str]] = (
        (made.set_class, snapshot.classes, names.ACCELERATOR_CLASS),
        (made.set_runtime, snapshot.runtimes, names.TRITON_RUNTIME),
        (made.set_service, snapshot.services, names.INFERENCE_SERVICE),
        (made.set_child, snapshot.deployments, "Deployment"),
    )
    for take, objects, kind in takers:
        for raw in objects:
            try:
                take(raw)
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise UsageError(f"{where}: a {kind} can't be read: {error!r}") from error
    for key, record in made.services.items():
        if (outlook := prospects.told(record.raw.get("status"))) is not None:
            made.outlooks[key] = outlook
    return made


def _converted(objects: Sequence[Object], view: type[V], where: str) -> list[V]:
    found = []
    for index, raw in enumerate(objects):
        try:
            found.append(msgspec.convert(raw, view))
        except msgspec.ValidationError as error:
            raise UsageError(f"{where} {index} can't be read: {error}") from error
    return found


async def _known(request: Coroutine[Any, Any, list[Object]]) -> list[Object]:
    """What there is; nothing where the cluster does not know the kind."""
    try:
        return await request
    except NotFound:
        return []


# --- what is kept of an object ------------------------------------------------------------------


def _node(raw: Object) -> Object:
    status = raw.get("status", {})
    return {
        "metadata": _kept(raw["metadata"], "name", "uid", "labels", "deletionTimestamp"),
        "spec": _kept(raw.get("spec", {}), "taints", "unschedulable"),
        "status": {
            "allocatable": status.get("allocatable", {}),
            "conditions": [_kept(c, "type", "status") for c in status.get("conditions") or ()],
        },
    }


def _pod(raw: Object) -> Object:
    spec, status = raw.get("spec", {}), raw.get("status", {})
    containers = {
        field: [_kept(c, "name", "resources", "restartPolicy") for c in spec.get(field) or ()]
        for field in ("containers", "initContainers")
    }
    meta = _kept(raw["metadata"], "name", "namespace", "uid", "creationTimestamp")
    if gone := raw["metadata"].get("deletionTimestamp"):
        meta["deletionTimestamp"] = gone
    # Labels of others' pods are nobody's business.
    labels = {k: v for k, v in (raw["metadata"].get("labels") or {}).items() if k.startswith(_OWN)}
    return {
        "metadata": {**meta, "labels": labels},
        "spec": {**containers, **_kept(spec, "nodeName", "overhead")},
        "status": {
            **_kept(status, "phase"),
            "conditions": [
                _kept(c, "type", "status") for c in (status.get("conditions") or ()) if labels
            ],
            "initContainerStatuses": list(_sizes(status)) if labels else [],
        },
    }


def _sizes(status: Object) -> Iterator[Object]:
    """What the puller told of the sizes of models, and nothing else that a container says."""
    for container in status.get("initContainerStatuses") or ():
        ended = (container.get("state") or {}).get("terminated") or {}
        if report.read(str(ended.get("message", ""))):
            yield {
                **_kept(container, "name"),
                "state": {"terminated": _kept(ended, "exitCode", "message")},
            }


def _ours(raw: Object) -> Object:
    meta = _kept(
        raw["metadata"], "name", "namespace", "uid", "creationTimestamp", "resourceVersion"
    )
    if gone := raw["metadata"].get("deletionTimestamp"):
        meta["deletionTimestamp"] = gone
    return {"metadata": meta, **_kept(raw, "spec", "status")}


def _without_tokens(service: Object) -> Object:
    """Where a model lies is of no matter to placement, and an address may be a signed one."""
    spec = service.get("spec") or {}
    models = [
        {**model, "source": {**model["source"], "uri": shown(str(model["source"].get("uri", "")))}}
        for model in spec.get("models") or ()
        if model.get("source")
    ]
    return {**service, "spec": {**spec, "models": models}}


def _deployment(raw: Object) -> Object:
    """Where its pods go counts, and which nodes they prefer; what runs in them is left out."""
    meta = _kept(raw["metadata"], "name", "namespace", "uid", "labels", "resourceVersion")
    spec = raw.get("spec", {})
    pods = _kept(spec.get("template", {}).get("spec", {}), "affinity")
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {**_kept(spec, "replicas"), "template": {"spec": pods}},
    }


def _named(raw: Object, *fields: str) -> Object:
    return {"metadata": _kept(raw["metadata"], "name", "namespace", "uid"), **_kept(raw, *fields)}


def _node_claim(raw: Object) -> Object:
    meta = _kept(raw["metadata"], "name", "uid", "labels", "deletionTimestamp")
    taints = _kept(raw.get("spec", {}), "taints")
    return {"metadata": meta, "spec": taints, **_kept(raw, "status")}


def _kept(obj: Mapping[str, Any], *fields: str) -> Object:
    return {field: obj[field] for field in fields if obj.get(field) is not None}
