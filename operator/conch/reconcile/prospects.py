"""What a replica of a service would carry on classes it is not on, and what it has to carry.

Where the service, or another with the same models, has been, its curves are remembered and solved
for the objective; elsewhere the curves it has now are stretched by how the two GPUs compare
(``observe.speeds``), and what comes of it is called an estimate. Of several models the one that
loses most counts. Numbers stay until they have moved by a tenth: placement must not follow noise.
Decides nothing about places.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Final

from conch.api import names
from conch.api.conditions import Reason
from conch.autoscale import ScalerState
from conch.autoscale.capacity import Capacity
from conch.autoscale.curve import Curve
from conch.autoscale.learning import capacity_with, known_capacity
from conch.autoscale.memory import FEWEST
from conch.autoscale.state import Plan, Speed
from conch.observe.speeds import relative
from conch.observe.state import ClusterState, Record
from conch.observe.types import Decision, Key, Outlook, Prospect, ScalingPolicy
from conch.reconcile.memory import Memory

_STEADY: Final = 0.1
_EVERY_S: Final = 120.0  # solving a queue takes milliseconds, and there may be thousands

Ratios = Mapping[str, Prospect]
"""By class, what a replica carries there over what it carries now."""


class Prospects:
    """The outlook of every service in mode Latency, for the placement loop."""

    def __init__(self, state: ClusterState, memory: Memory) -> None:
        self._state = state
        self._memory = memory
        self._known: dict[str, tuple[float, str, Ratios]] = {}  # by uid: when, on which class

    def keep(self, living: Collection[str]) -> None:
        """Forget all services but those with these uids."""
        for uid in self._known.keys() - living:
            del self._known[uid]

    def look(
        self,
        key: Key,
        record: Record,
        policy: ScalingPolicy,
        scaler: ScalerState,
        decision: Decision,
        now_s: float,
    ) -> None:
        """Take in what a service's scaler knows after a step.

        While it is on two classes, and until its scaler has seen the new one for two minutes, there
        is no outlook: nothing is to be moved by it.
        """
        uid = str(record.raw["metadata"]["uid"])
        current = self._current(key)
        at_s, there, found = self._known.get(uid, (float("-inf"), current, {}))
        if there != current or not self._memory.is_settled(key):
            self._known[uid] = (now_s, current, {})
            self._state.outlooks.pop(key, None)
            return
        if not found and now_s - at_s < _EVERY_S:
            return
        if now_s - at_s >= _EVERY_S:
            found = self._ratios(key, record, policy, scaler, current)
            self._known[uid] = (now_s, current, found)
        outlook = outlook_of(decision, current, found)
        if outlook is not None:
            self._state.outlooks[key] = steady(self._state.outlooks.get(key), outlook)
        elif decision.reason is Reason.TARGET_UNREACHABLE:
            self._state.outlooks.pop(key, None)

    def _current(self, key: Key) -> str:
        deployment = self._state.child(key, "Deployment", key.name)
        labels = deployment["metadata"].get("labels", {}) if deployment is not None else {}
        return str(labels.get(names.LABEL_ACCELERATOR, ""))

    def _ratios(
        self, key: Key, record: Record, policy: ScalingPolicy, scaler: ScalerState, current: str
    ) -> Ratios:
        kinds = {kind.name: kind for kind in self._state.inventory().kinds}
        here = kinds.get(current)
        if here is None or record.service is None:
            return {}
        speeds = {
            name: model.speeds[current]
            for name, model in scaler.models.items()
            if current in model.speeds
        }
        asked = record.service.spec.placement.accelerators.classes or kinds
        found = {}
        for kind in (kinds[name] for name in asked if name in kinds and name != current):
            known = self._memory.elsewhere(key, record, kind)
            known |= {
                name: model.speeds[kind.name].curve
                for name, model in scaler.models.items()
                if kind.name in model.speeds
                and model.speeds[kind.name].curve.executions >= FEWEST  # else it was estimated
            }
            ratio = ratio_on(policy, speeds, known, relative(here, kind))
            if ratio is not None:
                found[kind.name] = ratio
        return found


def ratio_on(
    policy: ScalingPolicy,
    speeds: Mapping[str, Speed],
    known: Mapping[str, Curve],
    speed: float | None,
) -> Prospect | None:
    """What a replica carries on a class over what it carries now; None: nothing tells.

    ``speeds``: of the models where it is now; ``known``: curves that they had there; ``speed``: how
    many times as fast it is, if that is known. A model that was asked nothing yet has no say.
    """
    worst: Prospect | None = None
    for name, now in speeds.items():
        here = known_capacity(policy, name, now)
        if here is None or now.plan is None:
            continue
        if not here.reachable:
            return None
        found = _model_there(policy, name, now, now.plan, here, known.get(name), speed)
        if found is None:
            return None
        estimated = found.estimated or (worst is not None and worst.estimated)
        rps = found.rps if worst is None else min(found.rps, worst.rps)
        worst = Prospect(rps, estimated)
    return worst


def _model_there(
    policy: ScalingPolicy,
    name: str,
    now: Speed,
    plan: Plan,
    here: Capacity,
    curve: Curve | None,
    speed: float | None,
) -> Prospect | None:
    if curve is not None and (service_s := curve.service_s(len(plan.service_s))):
        there = capacity_with(policy, name, Plan(tuple(service_s), curve.noise()), now.beside_s)
        return Prospect(there.rate / here.rate if there.reachable else 0.0, estimated=False)
    if speed is None:
        return None
    if speed >= 1:
        # All batches take that much less, and the target has room for more of them: at least this.
        return Prospect(speed, estimated=True)
    slower = Plan(tuple(seconds / speed for seconds in plan.service_s), plan.noise)
    there = capacity_with(policy, name, slower, now.beside_s)
    return Prospect(there.rate / here.rate if there.reachable else 0.0, estimated=True)


def outlook_of(decision: Decision, current: str, ratios: Ratios) -> Outlook | None:
    """What a decision's numbers come to on each class; None where it has none."""
    rps = decision.group_rps.get(current, decision.capacity_rps)
    if decision.bound_rps is None or not rps or decision.reason is Reason.TARGET_UNREACHABLE:
        return None
    by_class = {name: Prospect(rps * r.rps, r.estimated) for name, r in ratios.items()}
    return Outlook(decision.bound_rps, {**by_class, current: Prospect(rps, estimated=False)})


def steady(before: Outlook | None, now: Outlook) -> Outlook:
    """The new outlook, with the numbers of the one before where they are about the same."""
    if before is None:
        return now
    by_class = {
        name: old
        if (old := before.by_class.get(name)) is not None
        and old.estimated == new.estimated
        and _same(old.rps, new.rps)
        else new
        for name, new in now.by_class.items()
    }
    same = _same(before.demand_rps, now.demand_rps)
    return Outlook(before.demand_rps if same else now.demand_rps, by_class)


def _same(old: float, new: float) -> bool:
    return abs(new - old) <= _STEADY * max(abs(old), abs(new))


def fed(
    outlook: Outlook | None, current: str, bound: int
) -> tuple[Mapping[str, float], float | None]:
    """For a PlacementRequest: capacities by class, and the demand.

    Only of one that runs on the class its scaler speaks of; a class is refused for being too slow
    only where that was seen, never because of an estimate.
    """
    if outlook is None or not bound or current not in outlook.by_class:
        return {}, None
    capacities = {
        name: found.rps
        for name, found in outlook.by_class.items()
        if found.rps > 0 or not found.estimated
    }
    return capacities, outlook.demand_rps


def told(status: Any) -> Outlook | None:
    """The outlook as a status tells it; None where it has none, or nonsense."""
    try:
        demand_rps = _rate(status["decision"]["bound"])
        by_class = {
            str(one["accelerator"]): Prospect(
                _rate(one["perReplica"]), one.get("estimated") is True
            )
            for one in status["capacities"]
        }
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
    return Outlook(demand_rps, by_class)


def _rate(text: str) -> float:
    """ "12.5/s". Raises ValueError."""
    value = float(text.removesuffix("/s"))
    if not 0 <= value < math.inf:
        raise ValueError(text)
    return value
