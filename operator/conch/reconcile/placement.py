"""The placement loop: one planner for the whole cluster, behind a short batch window.

It turns what is known into requests, runs the pure planner over all of them at once, and publishes
assignments; reconciles only read them. It writes nothing. A service that cannot be planned for (a
defect of ours) is told so and costs no other its place. Planning for thousands of nodes takes a
second or more: it is done in a thread, on what does not change.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from conch.api import names, v1alpha1
from conch.api.conditions import Reason
from conch.kube import quantity
from conch.kube.views import Pod
from conch.observe.durations import seconds
from conch.observe.family import class_of
from conch.observe.spot import SPOT, SPOT_TOLERATIONS
from conch.observe.state import ClusterState, Observation, Record
from conch.observe.types import (
    Area,
    Assignment,
    Footprint,
    Inventory,
    Key,
    PlacementRequest,
    Toleration,
)
from conch.placement import Planner, footprint, plan
from conch.placement.provision import starting
from conch.reconcile.controller import builtin_runtime
from conch.reconcile.footprints import Footprints
from conch.reconcile.moves import Moves
from conch.reconcile.moves_ready import may_move, shunned
from conch.reconcile.patience import Current, Patience, holds_a_node
from conch.reconcile.prospects import fed
from conch.reconcile.queue import Priority, WorkQueue
from conch.reconcile.relief import ENDING_S, Relief
from conch.reconcile.steps import replicas, split
from conch.render.areas import preferred
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from conch.triton.capability import support_of

logger = logging.getLogger(__name__)

# After a plan that took t, the next waits this many t: planning never eats the loop. The short rest
# is enough when somebody waits for an answer to what they applied, or when a replica has waited as
# long as it may. The limit is for replicas that wait while a plan takes long: of the ten seconds
# they may, planning has no more than a third.
_REST = 20
_SHORT_REST = 2
_LONGEST_REST_S = 3.0
# Plans that are made to find out which services cannot be planned for: five among a thousand.
_TRIALS = 100
# The message of one that waits has numbers of the whole cluster, which change all the time.
_RETELL_S = 30.0


class PlacementLoop:
    """Re-plans when something that matters changed."""

    def __init__(
        self,
        state: ClusterState,
        queue: WorkQueue,
        settings: Settings,
        metrics: Metrics,
        footprints: Footprints | None = None,
    ) -> None:
        self._state = state
        self._footprints = footprints or Footprints(state, settings)
        self._queue = queue
        self._metrics = metrics
        self._window_s = settings.placement_window_s
        self._builtin = builtin_runtime(settings)
        self._dirty = asyncio.Event()
        self._awaited = asyncio.Event()
        self._defects: dict[Key, str] = {}
        self._patience = Patience()
        self._relief = Relief()
        self._moves = Moves(settings.placement_moves_per_h, settings.placement_steady_s)
        self._planner = Planner()
        self._namesakes: dict[Key, set[str]] = {}

    def trigger(self) -> None:
        """Something that placement looks at has changed."""
        self._dirty.set()

    def hurry(self) -> None:
        """A person waits for what comes of a change, or a replica has waited long enough."""
        self._awaited.set()
        self._dirty.set()

    async def run(self) -> None:
        """Plan until cancelled."""
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle | None = None
        while True:
            await self._dirty.wait()
            await asyncio.sleep(self._window_s)
            self._dirty.clear()
            self._awaited.clear()
            started = loop.time()
            await self.replan()
            took_s = loop.time() - started
            self._metrics.placement_seconds.observe(took_s)
            if timer is not None:
                timer.cancel()
            timers = (self._patience, self._relief, self._moves)
            looks = [s for one in timers if (s := one.next_s()) is not None]
            timer = loop.call_later(min(looks) - _epoch_s(), self.hurry) if looks else None
            await asyncio.sleep(took_s * _SHORT_REST)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(took_s * (_REST - _SHORT_REST), _LONGEST_REST_S)):
                    await self._awaited.wait()

    async def replan(self) -> None:
        """One plan over all services; wakes those whose assignment changed.

        What the room or a message alone changes is no reason to hurry.
        """
        inventory = self._state.inventory()
        uids = {key: record.uid for key, record in self._state.services.items()}
        self._footprints.keep(uids.values())
        self._patience.begin(uids.values(), starting(inventory), _epoch_s())
        self._relief.begin()
        records = self._state.services
        self._moves.begin(uids, _epoch_s(), lambda key: records[key].raw.get("status"))
        self._namesakes = _namesakes(records)
        requests: dict[Key, PlacementRequest] = {}
        failed: dict[Key, Exception] = {}
        for key, record in self._state.services.items():
            try:
                request = self._request(key, record)
            except Exception as error:
                failed[key] = error
                continue
            if request is not None:
                requests[key] = request
        found, culprits = await asyncio.to_thread(self._plan, inventory, requests)
        failed |= culprits
        if found is None:
            found = {k: v for k, v in self._state.assignments.items() if k in requests}
        assignments = {
            **found,
            **{key: self._unplanned(key, defect) for key, defect in failed.items()},
        }
        self._defects = {key: repr(defect) for key, defect in failed.items()}
        self._publish(
            # Deleted meanwhile, or another of the same name: the next plan is for that one.
            {k: v for k, v in assignments.items() if k in records and records[k].uid == uids[k]}
        )
        for key in assignments.keys() & records.keys():
            moved = self._moves.told(key)
            if moved is not None and moved != self._state.moved.get(key):
                self._state.moved[key] = moved
                self._queue.add(key, Priority.CHILD)

    def _plan(
        self, inventory: Inventory, requests: Mapping[Key, PlacementRequest]
    ) -> tuple[dict[Key, Assignment] | None, dict[Key, Exception]]:
        """Assignments (None: there is no plan to be had), and who cannot be planned for."""
        try:
            found = self._relief.plan(self._planner.plan, inventory, requests)
            return self._moves.plan(self._planner.plan, inventory, requests, found), {}
        except Exception:
            # Find out whose case it is, and plan for all others; what was kept is in doubt.
            self._planner = Planner()
        try:
            culprits = _culprits(inventory, list(requests.values()))
            rest = [request for key, request in requests.items() if key not in culprits]
            return plan(inventory, rest), culprits
        except Exception:
            logger.exception("placement failed: everything stays where it is")
            return None, {}

    def _unplanned(self, key: Key, error: Exception) -> Assignment:
        """What a service gets that cannot be planned for: what it has, or the reason."""
        if self._defects.get(key) != repr(error):
            logger.error("%s: placement failed", key, exc_info=error)
        before = self._state.assignments.get(key)
        if before is not None and before.kind is not None:
            return before
        return Assignment(None, Reason.STEP_ERROR, f"Conch failed on this: {error!r}.")

    def _publish(self, assignments: dict[Key, Assignment]) -> None:
        for key, assignment in assignments.items():
            before = self._state.assignments.get(key)
            self._state.assignments[key] = assignment
            if before is None:
                self._queue.add(key, Priority.USER)
            elif _essence(before) != _essence(assignment):
                self._queue.add(key, Priority.CHILD)
            elif before.message != assignment.message:
                self._queue.add_after(key, _RETELL_S)
        for key in self._state.assignments.keys() - assignments.keys():
            del self._state.assignments[key]

    def _avoided(self, obs: Observation, current: str) -> Mapping[str, str]:
        """Classes that the service waited for in vain although there seemed to be room."""
        waiting = Counter(class_of(pod) for pod in obs.pods if not pod.spec.node_name)
        planned = obs.assignment
        has_room = (
            planned is not None
            and planned.kind is not None
            and planned.kind.name == current
            and planned.room >= waiting[current]
        )
        uid = str(obs.raw["metadata"]["uid"])
        added = planned.kind.provisioning if planned is not None and planned.kind else None
        on = Current(current, added.wait_s if added is not None else None)
        for part in planned.parts if planned is not None else ():
            name = part.kind.name
            if not part.main and name != current:
                enough = part.room >= waiting[name]
                self._patience.avoided(uid, Current(name), enough, obs.pods, _epoch_s())
        return self._patience.avoided(uid, on, has_room, obs.pods, _epoch_s())

    def _footprint(self, key: Key, record: Record, current: str) -> Footprint | None:
        """What is known of its memory, now; the status tells what was measured."""
        before = self._state.footprints.pop(key, None)
        found = self._footprints.of(key, record, current)
        if found is not None:
            self._state.footprints[key] = found
        if footprint.shown(found) != footprint.shown(before):
            self._queue.add_after(key, _RETELL_S)
        return found

    def _request(self, key: Key, record: Record) -> PlacementRequest | None:
        service = record.service
        if service is None or service.metadata.deletion_timestamp is not None:
            return None
        runtime, _ = self._state.runtime_of(record, self._builtin)
        obs = self._state.observe(key, self._builtin, datetime.now(UTC).isoformat())
        if runtime is None or obs is None:
            return None
        wanted = replicas.wanted(obs, service.spec.scaling)
        deployment = obs.children.get(("Deployment", key.name))
        current = (
            _promised(obs.assignment)
            if deployment is None
            else deployment["metadata"].get("labels", {}).get(names.LABEL_ACCELERATOR, "")
        )
        # Pods of a class the service has left do not hold a place on the one it is on, and those
        # whose node goes will soon hold none. One that ends leaves its place to its successor.
        leaving = {pod.metadata.uid for pod in obs.leaving}
        leaving |= {pod.metadata.uid for pod in obs.pods if self._ends_in_vain(key, pod)}
        bound = [
            pod.metadata.labels
            for pod in obs.pods
            if holds_a_node(pod)
            and class_of(pod) == current
            and not split.is_beside(pod)
            and pod.metadata.uid not in leaving
        ]
        parts = Counter(
            class_of(pod)
            for pod in obs.pods
            if holds_a_node(pod)
            and split.is_beside(pod)
            and pod.metadata.deletion_timestamp is None
            and pod.metadata.uid not in leaving
        )
        capacities, demand_rps = fed(self._state.outlooks.get(key), current, len(bound))
        placement = service.spec.placement
        accelerators = placement.accelerators
        spot = SPOT_TOLERATIONS if SPOT in (placement.capacity_types or ()) else ()
        runs_on = support_of(runtime)
        resources = service.spec.resources
        defaults = runtime.resources
        memory = quantity.value(resources.memory or defaults.memory)
        shared = quantity.value(resources.shared_memory or defaults.shared_memory)
        request = PlacementRequest(
            key=key,
            classes=tuple(accelerators.classes or ()),
            count=accelerators.count,
            min_memory_bytes=quantity.value(accelerators.min_memory or 0),
            footprint=self._footprint(key, record, current),
            min_compute_capability=runs_on.min_compute_capability,
            allow_cpu=accelerators.allow_cpu,
            node_selector=placement.node_selector or {},
            tolerations=(*_tolerations(placement.tolerations or ()), *spot),
            cpu_milli=quantity.milli(resources.cpu or defaults.cpu),
            memory_bytes=memory + shared,
            unbound=max(0, wanted - len(bound) - parts.total()),
            bound=len(bound),
            parts=dict(sorted(parts.items())),
            barred=self._barred(key),
            surplus=max(0, len(bound) + parts.total() - wanted) if parts else 0,
            min_on_demand=placement.min_on_demand or 0,
            on_demand_bound=sum(
                labels.get(names.LABEL_PART) == names.ON_DEMAND for labels in bound
            ),
            current=current,
            avoid=self._avoided(obs, current),
            age_rank=record.raw["metadata"].get("creationTimestamp", "") + service.metadata.uid,
            priority=self._state.priority(placement),
            capacity_types=tuple(placement.capacity_types or ()),
            sites=tuple(placement.sites or ()),
            min_per_site=max(placement.site_minima.values(), default=0),
            tiers=None if deployment is None else preferred(deployment),
            bound_in=self._areas_of(obs, current) if placement.optimise == "Carbon" else {},
            optimise=placement.optimise,
            capacity_rps=capacities,
            demand_rps=demand_rps,
            min_replicas=replicas.limits(obs, service.spec.scaling).least,
            architectures=tuple(runtime.architectures or ()),
            min_driver=runs_on.min_driver,
            integrated=runtime.integrated_gpu,
        )
        stays = [pod for pod in obs.pods if pod.metadata.uid not in leaving]
        request = self._moves.note(request, stays, *self._movable(obs, request))
        if service.spec.paused:
            return request
        return self._relief.note(request, stays, obs.assignment, _epoch_s())

    def _ends_in_vain(self, key: Key, pod: Pod) -> bool:
        """Whether a pod ends and its place is for nobody: its node goes, too, or it never ends.

        Pods of a node that is no more are there for a minute, those of one cut off for hours.
        """
        if (ends := pod.metadata.deletion_timestamp) is None:
            return False
        if self._state.loses(key, pod.spec.node_name):
            return True
        due_s = datetime.fromisoformat(ends).timestamp() + ENDING_S
        if _epoch_s() >= due_s:
            return True
        self._relief.look_at(due_s)
        return False

    def _areas_of(self, obs: Observation, current: str) -> dict[Area, int]:
        """Where the pods on its class are."""
        area = self._state.inventory_builder.area
        nodes = (p.spec.node_name for p in obs.pods if holds_a_node(p) and class_of(p) == current)
        return dict(Counter(found for node in nodes if (found := area(node)) is not None))

    def _barred(self, key: Key) -> frozenset[str]:
        """Classes for which its further Deployment would have another service's name."""
        if (taken := self._namesakes.get(key)) is None:
            return frozenset()
        classes = (kind.name for kind in self._state.inventory().kinds)
        return frozenset(
            name for name in classes if names.part_name(key.name, names.part_on(name)) in taken
        )

    def _movable(self, obs: Observation, request: PlacementRequest) -> tuple[bool, frozenset[str]]:
        """Whether a service may be moved for a gain, and to which classes it must not be."""
        assert obs.service is not None
        outlook, spec = self._state.outlooks.get(obs.key), obs.service.spec
        able = may_move(
            obs,
            request,
            self._state.budget_left.get(obs.key),
            seconds(spec.objectives.latency.target),
        )
        return able, shunned(request, outlook, replicas.limits(obs, spec.scaling).most)


def _namesakes(services: Iterable[Key]) -> dict[Key, set[str]]:
    """By service, others that are called as a further Deployment of it might be."""
    found: dict[Key, set[str]] = {}
    for key in services:
        for base in names.bases_of(key.name):
            found.setdefault(Key(key.namespace, base), set()).add(key.name)
    return found


def _essence(assignment: Assignment) -> object:
    """What of it is acted on at once."""
    parts = [(part.kind.name, part.main, part.replicas) for part in assignment.parts]
    return assignment.kind, assignment.reason, assignment.site_room, parts


def _epoch_s() -> float:
    return datetime.now(UTC).timestamp()


def _culprits(inventory: Inventory, requests: Sequence[PlacementRequest]) -> dict[Key, Exception]:
    """Who cannot be planned for, found by halves. Raises if nobody's part is to blame alone."""
    found: dict[Key, Exception] = {}
    suspects = [requests]
    for _ in range(_TRIALS):
        if not suspects:
            return found
        group = suspects.pop()
        try:
            plan(inventory, group)
        except Exception as error:
            if len(group) > 1:
                half = len(group) // 2
                suspects += [group[:half], group[half:]]
            else:
                found[group[0].key] = error
    raise RuntimeError(f"{len(found)} services cannot be planned for, and there are more")


def _promised(assignment: Assignment | None) -> str:
    """The class a service was told, on its way into a Deployment: to be kept like a class it is on.

    Else one that arrives a moment later, and sorts before it, would take the place, and the new
    Deployment would be rolled over at once.
    """
    return assignment.kind.name if assignment is not None and assignment.kind is not None else ""


def _tolerations(tolerations: Iterable[v1alpha1.Toleration]) -> Iterable[Toleration]:
    for toleration in tolerations:
        yield Toleration(
            toleration.key or "",
            toleration.operator,
            toleration.value or "",
            toleration.effect or "",
        )
