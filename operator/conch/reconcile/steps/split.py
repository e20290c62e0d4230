"""How a service's replicas are split over its two Deployments: any capacity type, and on demand.

Where some must not be on spot (``placement.minOnDemand``), the second Deployment holds that many,
and the first all others. When the split changes, either gives up replicas only as those of the
other that replace them are ready, so changing it costs no request. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from conch.api import names
from conch.kube.views import Object, Pod
from conch.observe.state import Observation
from conch.reconcile.steps import foreign


@dataclass(frozen=True, slots=True)
class Split:
    """Replicas of each Deployment. ``on_demand`` None: there is no second one."""

    any: int
    on_demand: int | None = None

    @property
    def total(self) -> int:
        """Of both."""
        return self.any + (self.on_demand or 0)


def judge(obs: Observation, wanted: int) -> Split:
    """The split of ``wanted`` replicas now."""
    least = obs.service.spec.placement.min_on_demand if obs.service is not None else None
    if obs.on_demand is None and not least:
        return Split(wanted)
    held, also = _asked(obs.deployment), _asked(obs.on_demand)
    if foreign.judge(obs):
        return Split(held, also)
    firm = min(least or 0, wanted)
    others = sum(pod.ready for pod in obs.pods if not _is_on_demand(pod) and _stays(pod))
    ready = sum(pod.ready for pod in obs.pods if _is_on_demand(pod) and _stays(pod))
    # What is asked of the one beyond its part stays until it is ready at the other.
    many = max(wanted - firm, min(held, wanted - ready))
    few = max(firm, min(also, wanted - others))
    if obs.deployment is None:
        many = wanted - firm
    return Split(many, few if least or few else None)


def live(obs: Observation) -> int:
    """What both Deployments ask for. None yet: it is made with one replica."""
    if obs.deployment is None:
        return 1
    return _asked(obs.deployment) + _asked(obs.on_demand)


def _asked(deployment: Object | None) -> int:
    return 0 if deployment is None else int(deployment["spec"].get("replicas", 1))


def _is_on_demand(pod: Pod) -> bool:
    return pod.metadata.labels.get(names.LABEL_CAPACITY) == names.ON_DEMAND


def _stays(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is None
