"""`conch place`: the operator's own placement, asked about a service that need not exist.

A cluster's state is built from a snapshot, the service is put into it, and the placement loop plans
once, with and without it. So it answers what the operator would decide, and what that does to
others. It writes nothing, and prints nothing (`place_screen`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from conch.api import names
from conch.api.v1alpha1 import InferenceService
from conch.cli import snapshot as snapshots
from conch.cli.capacity_screen import dollars
from conch.cli.cluster import Reader
from conch.cli.simulate import parse
from conch.errors import ConchError
from conch.kube import quantity
from conch.observe.catalogue import CATALOGUE
from conch.observe.family import class_of
from conch.observe.state import ClusterState
from conch.observe.types import AcceleratorKind, Assignment, Footprint, Key, Outlook
from conch.placement import explain
from conch.placement.fit import Fit
from conch.reconcile.controller import builtin_runtime
from conch.reconcile.footprints import Footprints
from conch.reconcile.placement import PlacementLoop
from conch.reconcile.queue import WorkQueue
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from conch.triton.capability import support_of

_MI: Final = 1024**2
# Another node of the class would help; what the others need, their own sentence says.
_ADDABLE: Final = frozenset({Fit.FULL, Fit.HOST_FULL, Fit.NO_NODE, Fit.SITE, Fit.CAPACITY_TYPE})


@dataclass(frozen=True, slots=True)
class ClassAnswer:
    """One class, and why it won or lost. Prices are US dollars."""

    name: str
    verdict: str
    message: str
    price_per_h: float | None  # of one replica on demand; None: not known
    spot_price_per_h: float | None
    capacity_rps: float | None = None  # of one replica, inside the objective; None: not known
    capacity_estimated: bool = False


@dataclass(frozen=True, slots=True)
class Addition:
    """What would make room for the replicas that find none."""

    class_name: str
    units: int
    price_per_h: float | None
    message: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Where a service would go."""

    namespace: str
    name: str
    exists: bool
    replicas: int
    class_name: str  # "": nowhere
    reason: str
    message: str
    missing: int  # replicas without room
    cost_per_h: float | None
    shares: tuple[str, ...]
    classes: tuple[ClassAnswer, ...]
    additions: tuple[Addition, ...]
    others: tuple[str, ...]  # services that would go elsewhere, or nowhere, because of it
    memory: str = ""  # that a replica takes of each unit, and how that is known; "": it is not
    current: str = ""  # the class it is on now; "": none
    zones: tuple[str, ...] = ()  # where its pods are bound, as far as nodes tell


async def place(
    read: snapshots.Snapshot,
    where: str,
    service: InferenceService,
    namespace: str,
    replicas: int | None,
) -> Answer:
    """Plan with the service in it. Raises UsageError."""
    state = snapshots.state(read, where)
    key = Key(namespace, service.metadata.name)
    known = state.services.get(key)
    footprints = Footprints(state, Settings())
    before = await _plan(state, footprints)
    state.set_service(_raw(service, namespace, replicas, known.raw if known else None))
    after = await _plan(state, footprints)
    record = state.services[key]
    if record.service is None:
        parse(record.raw, service.metadata.name)  # says what is wrong with it
    assignment = after.get(key)
    if assignment is None:
        message = f"the cluster has no TritonRuntime {service.spec.runtime}"
        return Answer(
            namespace, key.name, known is not None, replicas or 0, "", "RuntimeNotFound", message,
            replicas or 1, None, (), (), (), (),
        )  # fmt: skip
    wanted = _wanted(state, key, service, replicas)
    missing = wanted if assignment.kind is None else max(0, wanted - _found(state, key, assignment))
    kinds = {kind.name: kind for kind in state.inventory().kinds}
    count = service.spec.placement.accelerators.count
    return Answer(
        namespace=namespace,
        name=key.name,
        exists=known is not None,
        replicas=wanted,
        class_name=assignment.kind.name if assignment.kind is not None else "",
        reason=assignment.reason.value,
        message=assignment.message,
        missing=missing,
        cost_per_h=assignment.cost_per_h
        if assignment.cost_per_h is not None
        else _cost(assignment.kind, count, wanted),
        shares=tuple(
            f"{s.replicas} x {s.class_name} {s.capacity_type}{f' in {s.zone}' if s.zone else ''}"
            for s in assignment.shares
        ),
        classes=tuple(_classes(assignment, kinds, count, state.outlooks.get(key))),
        additions=tuple(_additions(state, key, assignment, kinds, count, missing)),
        others=tuple(_others(key, before, after)),
        memory=_memory(state.footprints.get(key)),
        current=str(((known.raw.get("status") or {}) if known else {}).get("accelerator") or ""),
        zones=tuple(f"{zone.replicas} in {name}" for name, zone in state.zones(key).items()),
    )


async def classes_now(api: Reader, namespace: str, name: str) -> tuple[ClassAnswer, ...] | None:
    """Each class as the planner sees it now for a service that is there, the chosen one first.

    None where that cannot be known: nodes or pods may not be listed.
    """
    try:
        taken = datetime.now(UTC).isoformat(timespec="seconds")
        state = snapshots.state(await snapshots.gather(api, taken))
    except ConchError:
        return None
    assignment = (await _plan(state, Footprints(state, Settings()))).get(Key(namespace, name))
    record = state.services.get(Key(namespace, name))
    if assignment is None or record is None or record.service is None:
        return None
    kinds = {kind.name: kind for kind in state.inventory().kinds}
    count = record.service.spec.placement.accelerators.count
    outlook = state.outlooks.get(Key(namespace, name))
    return tuple(_classes(assignment, kinds, count, outlook))


async def _plan(state: ClusterState, footprints: Footprints) -> dict[Key, Assignment]:
    state.assignments.clear()
    await PlacementLoop(state, WorkQueue(), Settings(), Metrics(), footprints).replan()
    return dict(state.assignments)


def _raw(
    service: InferenceService, namespace: str, replicas: int | None, known: dict[str, Any] | None
) -> dict[str, Any]:
    """The service as the API server would hold it: newest of all, unless it is there already."""
    spec = service.spec.model_dump(by_alias=True, exclude_unset=True, mode="json")
    if replicas is not None:
        scaling = {**spec.get("scaling", {})}
        if service.spec.scaling.mode == "Latency":
            scaling |= {"minReplicas": replicas, "maxReplicas": replicas}
            scaling.pop("schedules", None)
        else:
            scaling["replicas"] = replicas
        spec["scaling"] = scaling
    meta = dict(known["metadata"]) if known is not None else {"uid": "conch-place"}
    meta |= {"name": service.metadata.name, "namespace": namespace}
    meta["resourceVersion"] = str(2**62)
    meta.setdefault("creationTimestamp", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.INFERENCE_SERVICE,
        "metadata": meta,
        "spec": spec,
        "status": (known or {}).get("status", {}),
    }


def _memory(found: Footprint | None) -> str:
    return "" if found is None else f"{explain.memory(found.memory_bytes)} ({found.words})"


def _wanted(state: ClusterState, key: Key, service: InferenceService, asked: int | None) -> int:
    if asked is not None:
        return asked
    live = state.live_replicas(key)
    if live is not None:
        return live
    scaling = service.spec.scaling
    if scaling.mode == "Latency":
        placement = service.spec.placement
        return max(1, scaling.min_replicas, sum(placement.site_minima.values()))
    return max(1, scaling.replicas or 0)


def _found(state: ClusterState, key: Key, assignment: Assignment) -> int:
    """Replicas that have a node on that class, or on others beside it, or would find one."""
    if assignment.parts:
        return sum(part.replicas for part in assignment.parts)
    name = assignment.kind.name if assignment.kind is not None else ""
    bound = sum(bool(pod.spec.node_name) and class_of(pod) == name for pod in state.pods(key))
    return bound + assignment.room


def _classes(
    assignment: Assignment,
    kinds: dict[str, AcceleratorKind],
    count: int,
    outlook: Outlook | None,
) -> Iterable[ClassAnswer]:
    capacities = outlook.by_class if outlook is not None else {}
    for verdict in sorted(assignment.verdicts, key=lambda v: v.reason != Fit.CHOSEN):
        kind = kinds.get(verdict.class_name)
        prices = (kind.price_per_h, kind.spot_price_per_h) if kind is not None else (None, None)
        on_demand, spot = (None if p is None else round(p * count, 4) for p in prices)
        message = verdict.message.removeprefix(f"{verdict.class_name}: ")
        known = capacities.get(verdict.class_name)
        yield ClassAnswer(
            verdict.class_name,
            verdict.reason,
            message,
            on_demand,
            spot,
            known.rps if known is not None else None,
            known is not None and known.estimated,
        )


def _cost(kind: AcceleratorKind | None, count: int, replicas: int) -> float | None:
    if kind is None or kind.price_per_h is None or not kind.resource:
        return None
    return round(kind.price_per_h * count * replicas, 4)


def _additions(
    state: ClusterState,
    key: Key,
    assignment: Assignment,
    kinds: dict[str, AcceleratorKind],
    count: int,
    missing: int,
) -> Iterable[Addition]:
    """Cheapest first; a class of unknown price last."""
    if not missing:
        return
    possible = [v.class_name for v in assignment.verdicts if v.reason in _ADDABLE]
    if assignment.kind is not None:
        possible = [assignment.kind.name]
    found = []
    for name in possible:
        kind = kinds.get(name)
        if kind is None:
            continue
        units = missing * count if kind.resource else 0
        price = _cost(kind, count, missing)
        what = f"{units} more {'unit' if units == 1 else 'units'} of {name}"
        if not kind.resource:
            what = f"room for {missing} more on nodes without accelerator"
        elif count > 1:
            what += f", {count} on one node each"
        what += _where(state.services[key].service)
        told = f", ${dollars(price)} an hour" if price is not None else ", price not known"
        found.append(Addition(name, units, price, what + told))
    if not found:
        found = list(_elsewhere(state, key, count, missing))
    yield from sorted(found, key=lambda a: (a.price_per_h is None, a.price_per_h or 0.0))[:3]


def _where(service: InferenceService | None) -> str:
    """What a node must be, beside of the class, to be of use."""
    if service is None:
        return ""
    placement = service.spec.placement
    where = ""
    if placement.capacity_types is not None and len(placement.capacity_types) == 1:
        where += f" on nodes that are {placement.capacity_types[0]}"
    if placement.sites:
        where += f" at {' or '.join(placement.sites)}"
    if placement.node_selector:
        where += " with the labels of spec.placement.nodeSelector"
    return where


def _elsewhere(state: ClusterState, key: Key, count: int, missing: int) -> Iterable[Addition]:
    """Known GPUs, whether or not the cluster has any, that are large and new enough."""
    record = state.services[key]
    runtime, _ = state.runtime_of(record, builtin_runtime(Settings()))
    if record.service is None or runtime is None:
        return
    accelerators = record.service.spec.placement.accelerators
    if accelerators.classes or not count:
        return  # it would not take another
    found = state.footprints.get(key)
    needed = quantity.value(accelerators.min_memory or 0) or (found.memory_bytes if found else 0)
    memory_mib = needed / _MI
    oldest = support_of(runtime).min_compute_capability
    for gpu in CATALOGUE.values():
        price = gpu.price()
        new_enough = not oldest or (gpu.compute_capability or (0, 0)) >= oldest
        if price is None or price.on_demand is None or gpu.memory_mib.value < memory_mib:
            continue
        if new_enough and not gpu.arch:
            cost = round(price.on_demand * count * missing, 4)
            units = count * missing
            text = f"{units} x {gpu.name}, list price ${dollars(cost)} an hour"
            yield Addition(gpu.name, units, cost, text)


def _others(key: Key, before: dict[Key, Assignment], after: dict[Key, Assignment]) -> Iterable[str]:
    for other in sorted(before.keys() & after.keys() - {key}):
        was, now = before[other].kind, after[other].kind
        if was is not None and (now is None or now.name != was.name):
            yield f"{other}: {f'to {now.name}' if now else 'nowhere'} instead of {was.name}"
        elif before[other].room > 0 >= after[other].room and was is not None:
            yield f"{other}: no room to grow on {was.name} any more"
