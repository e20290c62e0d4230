"""How a service's replicas are split over its Deployments.

The first has the service's name. Further ones hold what an affinity cannot say, a number: those
that must not be on spot (``placement.minOnDemand``), those of a site whose minimum is higher than
that of all (``placement.siteMinReplicas``), and those on other classes where one has no room for
all (``Assignment.parts``). When the split changes, a Deployment gives up replicas that
serve only as others that replace them are ready, so changing it costs no request. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from conch.api import names
from conch.kube.views import Object, Pod
from conch.observe.inventory import ENDED
from conch.observe.state import Observation
from conch.reconcile.steps import foreign

MAIN = ""
"""The part that has the service's name."""


@dataclass(frozen=True, slots=True)
class Split:
    """Replicas of each Deployment: of the one with the service's name, and of further ones."""

    main: int
    parts: Mapping[str, int] = field(default_factory=dict)


def judge(
    obs: Observation,
    wanted: int,
    substitutes: int = 0,
    at_sites: Mapping[str, int] = MappingProxyType({}),
) -> Split:
    """The split of ``wanted`` replicas now, and of those in the stead of pods whose node goes.

    ``at_sites``: how many are to be held at sites, by part.
    """
    live = obs.parts
    held = {MAIN: _asked(obs.deployment)} | {part: _asked(live[part]) for part in live}
    least = obs.service.spec.placement.min_on_demand if obs.service is not None else None
    several = obs.assignment is not None and obs.assignment.parts
    if not (live or least or several or at_sites):
        return Split(wanted + substitutes)
    if foreign.judge(obs):
        main = held.pop(MAIN)
        return Split(main, held)
    target = _targets(obs, wanted, least or 0, at_sites)
    _give_substitutes(obs, target, substitutes)
    _hold(obs, target, held, wanted)
    main = target.pop(MAIN)
    return Split(main, target)


def live(obs: Observation) -> int:
    """What all Deployments ask for. None yet: it is made with one replica."""
    if obs.deployment is None:
        return 1
    return sum(_asked(deployment) for deployment in (obs.deployment, *obs.parts.values()))


def part_of(pod: Pod) -> str:
    """The part that a pod is of."""
    return pod.metadata.labels.get(names.LABEL_PART, MAIN)


def is_beside(pod: Pod) -> bool:
    """Whether a pod is of a part on a class of its own."""
    part = part_of(pod)
    return part.startswith("on-") and part != names.ON_DEMAND


def _targets(
    obs: Observation, wanted: int, least: int, at_sites: Mapping[str, int]
) -> dict[str, int]:
    """By part, best first, what is wanted in the end; the first Deployment has what is left over.

    What the plan did not know of yet is asked of it, and what is too much is taken from the worst;
    the class of the service itself keeps one replica.
    """
    firm = min(least, wanted)
    own = max(firm, min(1, wanted))
    left = wanted - own
    others: dict[str, int] = {}
    for part in obs.assignment.parts if obs.assignment is not None else ():
        planned = max(0, part.replicas - own) if part.main else part.replicas
        given = min(planned, left)
        left -= given
        if given and not part.main:
            others[names.part_on(part.kind.name)] = given
    for name, count in at_sites.items():
        others[name] = min(count, wanted - firm - sum(others.values()))
    target = {MAIN: wanted - firm - sum(others.values()), **others}
    target |= {part: 0 for part in obs.parts if part not in target}
    return target | ({names.ON_DEMAND: firm} if least or names.ON_DEMAND in target else {})


def _give_substitutes(obs: Observation, target: dict[str, int], substitutes: int) -> None:
    """One more where a pod is on a node that goes, which the plan has looked for room for."""
    for pod in obs.leaving[:substitutes]:
        part = part_of(pod)
        target[part if target.get(part) else MAIN] += 1
    target[MAIN] += max(0, substitutes - len(obs.leaving))


def _hold(obs: Observation, target: dict[str, int], held: Mapping[str, int], wanted: int) -> None:
    """Leave with each part what serves there, as far as it is not replaced; the worst goes first.

    Kubernetes ends pods first that have no node or are not ready.
    """
    ready = dict.fromkeys(target, 0)
    for pod in obs.pods:
        if pod.ready and pod.metadata.deletion_timestamp is None and pod.status.phase not in ENDED:
            part = part_of(pod)
            ready[part] = ready.get(part, 0) + 1
    surplus = sum(ready.values()) - wanted
    for part in reversed(target):
        keeps = min(held.get(part, 0), ready[part] - max(0, surplus))
        if keeps > target[part]:
            target[part] = keeps
        surplus -= max(0, ready[part] - target[part])


def _asked(deployment: Object | None) -> int:
    return 0 if deployment is None else int(deployment["spec"].get("replicas", 1))
