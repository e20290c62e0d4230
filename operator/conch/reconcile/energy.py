"""The energy loop: what every service costs, draws and emits, every few seconds.

It asks nobody but power meters and grids: what the pods do, the scaling loop has seen. It writes
nothing: figures go to the metrics and, when the status would say something else, wake the
service's reconcile. Whatever it cannot find out is left out; nothing waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from conch.api.v1alpha1 import CarbonCeiling
from conch.autoscale.carbon_ceiling import active
from conch.energy import rates
from conch.energy.account import PART_S, Account, Step
from conch.energy.counters import Seen, after
from conch.energy.power import Use, Watts, attribute
from conch.errors import TritonError
from conch.grid import meters
from conch.grid.sources import Grid
from conch.kube import quantity
from conch.kube.views import Pod
from conch.observe.discovery import GPU
from conch.observe.family import class_of
from conch.observe.state import ClusterState, Record
from conch.observe.types import (
    CPU_CLASS,
    AcceleratorKind,
    Inventory,
    Key,
    NodeCapacity,
    PodSample,
)
from conch.reconcile.carbon import CarbonLoop, costs_figures_only
from conch.reconcile.footprints import Footprints
from conch.reconcile.patience import holds_a_node
from conch.reconcile.queue import Priority, WorkQueue
from conch.reconcile.steps import cost
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from conch.triton.prometheus import Prometheus

logger = logging.getLogger(__name__)

_EVERY_S: Final = 10.0
_TOLD_EVERY_S: Final = 60.0
_STALE_S: Final = 60.0  # what was heard of a pod that long ago says nothing about now
_STEPS_BEFORE_TOLD: Final = 2
_UNKNOWN: Final = AcceleratorKind("", {}, GPU, 0, None, declared=False)


@dataclass(frozen=True, slots=True)
class _Billed:
    """One pod: where it runs, and what it did in this step."""

    node: NodeCapacity
    use: Use
    inferences: float


@dataclass(slots=True)
class _Ledger:
    """What is remembered of one service."""

    account: Account = field(default_factory=Account)
    steps: int = 0
    told_s: float = float("-inf")
    classes: frozenset[str] = frozenset()


class EnergyLoop:
    """One round over all services every ten seconds; ``looks`` gives the last look at each pod."""

    def __init__(
        self,
        state: ClusterState,
        queue: WorkQueue,
        settings: Settings,
        metrics: Metrics,
        looks: Callable[[str], Mapping[str, PodSample]],
        grid: Grid,
        prometheus: Prometheus | None = None,
        footprints: Footprints | None = None,
    ) -> None:
        self._state = state
        self._queue = queue
        self._metrics = metrics
        self._looks = looks
        self._grid = grid
        self._prometheus = prometheus
        self._footprints = footprints
        self._zones = settings.carbon_zone_map
        self._pue = settings.pue
        self._carbon = CarbonLoop(state, settings, metrics, grid)
        # By the service's uid: a namesake starts anew.
        self._ledgers: dict[str, _Ledger] = {}
        self._seen: dict[str, Seen] = {}
        self._at_s: float | None = None
        self._inventory: Inventory | None = None
        self._nodes: dict[str, NodeCapacity] = {}
        self._kinds: dict[str, AcceleratorKind] = {}
        self._meter_problem = ""
        self._ceilings: dict[Key, CarbonCeiling] = {}  # that hold now

    async def run(self) -> None:
        """Look until cancelled."""
        loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as stack:
            for opened in (self._grid, self._prometheus):
                if opened is not None:
                    stack.push_async_callback(opened.aclose)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            group.create_task(self._carbon.run())
            while True:
                await asyncio.sleep(_EVERY_S)
                with costs_figures_only("power and cost"):
                    read = await self._read_meters()
                    self.round(loop.time(), time.time(), read)

    def round(self, now_s: float, wall_s: float, read: meters.Meters) -> None:
        """Account for the time since the round before, for every service."""
        elapsed_s = now_s - self._at_s if self._at_s is not None else 0.0
        self._at_s = now_s
        self._learn_inventory()
        found: dict[Key, list[_Billed]] = {}
        before, self._seen = self._seen, {}
        for key, record in self._state.services.items():
            looks = self._looks(record.uid)
            found[key] = [
                billed
                for pod in self._state.pods(key)
                if holds_a_node(pod)
                and (billed := self._billed(record, pod, looks, before, read, now_s)) is not None
            ]
        power = attribute([billed.use for pods in found.values() for billed in pods])
        living = {self._state.services[key].uid for key in found}
        for uid in self._ledgers.keys() - living:
            del self._ledgers[uid]
        for key, pods in found.items():
            self._account(key, pods, power, elapsed_s, now_s, wall_s)
        self._wake_capped()
        if read.gpu_bytes and self._footprints is not None:
            self._tell_memory(read, self._footprints)

    def _tell_memory(self, read: meters.Meters, footprints: Footprints) -> None:
        """What of their GPUs is in use, of servers that do not tell it themselves."""
        for key, record in self._state.services.items():
            looks = self._looks(record.uid)
            metered = [
                replace(look, gpu_bytes=used)
                for pod in self._state.pods(key)
                if (look := looks.get(pod.metadata.uid)) is not None
                and not look.gpu_bytes
                and (used := read.gpu_bytes.get((key.namespace, pod.metadata.name)))
            ]
            footprints.look(key, record, metered)

    def _wake_capped(self) -> None:
        """A service is looked at when another of its carbon ceilings holds, or none any more."""
        before, self._ceilings = self._ceilings, {}
        for key, record in self._state.services.items():
            if record.service is None or not record.service.spec.scaling.carbon_ceilings:
                continue
            held = active(record.service.spec.scaling, self._state.carbon_of(key))
            if held is not None:
                self._ceilings[key] = held
            if held != before.get(key):
                self._queue.add(key, Priority.SCALE)

    def report(self) -> dict[str, Any]:
        """What was spent lately, as JSON for `conch report`."""
        services = []
        for key, record in self._state.services.items():
            ledger = self._ledgers.get(record.uid)
            if ledger is None or not ledger.account.parts:
                continue
            services.append(
                {
                    "namespace": key.namespace,
                    "name": key.name,
                    "parts": [
                        [p.start_s, p.seconds, p.inferences, p.dollars, p.joules, p.grams]
                        for p in ledger.account.parts
                    ],
                }
            )
        kind = self._grid.kind
        return {"part_s": PART_S, "carbon_kind": kind.value if kind else "", "services": services}

    # --- what is seen -----------------------------------------------------------------------------

    def _learn_inventory(self) -> None:
        inventory = self._state.inventory()
        if inventory is not self._inventory:
            self._inventory = inventory
            self._nodes = {node.name: node for node in inventory.nodes}
            self._kinds = {CPU_CLASS.name: CPU_CLASS} | {k.name: k for k in inventory.kinds}

    def _billed(
        self,
        record: Record,
        pod: Pod,
        looks: Mapping[str, PodSample],
        before: Mapping[str, Seen],
        read: meters.Meters,
        now_s: float,
    ) -> _Billed | None:
        node = self._nodes.get(pod.spec.node_name)
        if node is None:
            return None
        class_name = class_of(pod)
        # A class that is gone while pods are on it: what they cost is unknown, not nothing.
        kind = self._kinds.get(class_name) or replace(_UNKNOWN, name=class_name)
        uid, name = pod.metadata.uid, (pod.metadata.namespace, pod.metadata.name)
        old, look = before.get(uid), looks.get(uid)
        seen = old if look is None else after(look, old)
        if seen is not None and now_s - seen.at_s < _STALE_S:
            self._seen[uid] = seen
        else:
            seen = None
        fresh = seen is not None and seen is not old and old is not None
        done = seen.inferences - old.inferences if fresh and seen and old else 0.0
        meter = read.pod_gpu_w if kind.resource or kind.device_class else read.pod_cpu_w
        use = Use(
            pod=uid,
            kind=kind,
            units=_units(pod, kind, record),
            elapsed_s=seen.elapsed_s if seen else 0.0,
            busy_s=seen.worked_s if seen else 0.0,
            gpus={**read.gpus.get(name, {}), **(seen.watts if seen else {})},
            own_w=meter.get(name),
        )
        return _Billed(node, use, max(0.0, done))

    async def _read_meters(self) -> meters.Meters:
        if self._prometheus is None:
            return meters.Meters()
        try:
            found, problem = await meters.read(self._prometheus.vector), ""
        except TritonError as error:
            found, problem = meters.Meters(), str(error)
        if problem != self._meter_problem:
            self._meter_problem = problem
            logger.warning("power meters in Prometheus: %s", problem or "can be read again")
        return found

    # --- what is made of it -----------------------------------------------------------------------

    def _account(
        self,
        key: Key,
        pods: list[_Billed],
        power: Mapping[str, Watts],
        elapsed_s: float,
        now_s: float,
        wall_s: float,
    ) -> None:
        uid = self._state.services[key].uid
        ledger = self._ledgers.get(uid)
        if ledger is None:  # nothing is known of the time before
            self._ledgers[uid] = _Ledger()
            return
        by_class: dict[str, list[_Billed]] = defaultdict(list)
        for billed in pods:
            by_class[billed.use.kind.name].append(billed)
        for name, part in by_class.items():
            self._measure(key, name, self._step(part, power, wall_s), elapsed_s)
        for name in ledger.classes - by_class.keys():
            self._metrics.forget_class(key.namespace, key.name, name)
        ledger.classes = frozenset(by_class)
        ledger.account.add(self._step(pods, power, wall_s), elapsed_s, wall_s)
        ledger.steps += 1
        kind = self._grid.kind
        bill = ledger.account.bill(kind.value if kind else "")
        if bill is None or ledger.steps < _STEPS_BEFORE_TOLD:
            return
        self._state.bills[key] = bill
        told = self._state.services[key].raw.get("status", {}).get("cost", {})
        news = cost.block(told, bill).get("cost", {}) != told
        if news and (not told or now_s - ledger.told_s >= _TOLD_EVERY_S):
            ledger.told_s = now_s
            self._queue.add(key, Priority.CHILD)

    def _step(self, pods: list[_Billed], power: Mapping[str, Watts], wall_s: float) -> Step:
        """All of the pods together; a sum in which one is not known is not known."""
        dollars: list[float | None] = []
        watts: list[float | None] = []
        grams: list[float | None] = []
        estimated = False
        for billed in pods:
            use, node = billed.use, billed.node
            price = use.kind.price_on(node.capacity_type)
            dollars.append(None if price is None else price * use.units)
            drawn = power.get(use.pod)
            watts.append(None if drawn is None else drawn.watts)
            estimated |= drawn is not None and drawn.estimated
            zone = rates.carbon_zone(use.kind, node, self._zones)
            intensity = self._grid.intensity(zone, wall_s)
            known = drawn is not None and intensity is not None
            grams.append(
                rates.grams(drawn.watts * 3600, rates.pue(node, self._pue), intensity.g_per_kwh)
                if known and drawn and intensity
                else None
            )
        return Step(
            pods=len(pods),
            dollars_per_h=_sum(dollars),
            watts=_sum(watts),
            grams_per_h=_sum(grams) if self._grid.kind else None,
            inferences=sum(billed.inferences for billed in pods),
            estimated=estimated,
        )

    def _measure(self, key: Key, class_name: str, step: Step, elapsed_s: float) -> None:
        labels = (key.namespace, key.name, class_name)
        metrics = self._metrics
        for gauge, value in (
            (metrics.cost_rate, step.dollars_per_h),
            (metrics.power, step.watts),
            (metrics.power_estimated, None if step.watts is None else float(step.estimated)),
        ):
            if value is None:
                gauge.remove(*labels)
            else:
                gauge.labels(*labels).set(value)
        metrics.inferences.labels(*labels).inc(step.inferences)
        if step.dollars_per_h is not None:
            metrics.cost.labels(*labels).inc(step.dollars_per_h * elapsed_s / 3600)
        if step.watts is not None:
            metrics.energy.labels(*labels).inc(step.watts * elapsed_s)
        if step.grams_per_h is not None and self._grid.kind is not None:
            grams = step.grams_per_h * elapsed_s / 3600
            metrics.carbon.labels(*labels, self._grid.kind.value).inc(grams)


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _units(pod: Pod, kind: AcceleratorKind, record: Record) -> int:
    """Accelerators that the pod holds: as it was made, since the spec may have changed since."""
    asked = [c.resources.requests.get(kind.resource) for c in pod.spec.containers]
    held = sum(quantity.value(amount) for amount in asked if amount is not None)
    if held or record.service is None:
        return max(1, held)
    return max(1, record.service.spec.placement.accelerators.count)
