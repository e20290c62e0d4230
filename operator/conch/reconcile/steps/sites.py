"""Each site's own minimum: is it held, what is missing, and why.

A site whose minimum is higher than that of all (``placement.siteMinReplicas``) has a Deployment of
its own, which holds as many as can be there. All others are served by one
(``minReplicasPerSite``), so their minimum is three things: a floor under the number of replicas;
pods that repel each other between sites (``render.placement``); and one replica more where pods
ended up at other sites although this one has room. A site without room takes nothing from the
others: it does not count in the floor until it has some. Pods at a site that is cut off are its
own, and count. While one is, nothing is scaled down: Kubernetes would end its pods first. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from conch.api import names, v1alpha1
from conch.observe.inventory import ENDED
from conch.observe.observation import Observation, Site
from conch.observe.types import Assignment
from conch.reconcile.steps import split

_NAMED = 3  # sites in a message; of the others the number


@dataclass(frozen=True, slots=True)
class Need:
    """What one site needs, and has."""

    site: str
    least: int
    here: int  # pods on its nodes, cut off or not
    room: int | None  # for how many more; None: no node of it can be used

    @property
    def possible(self) -> int:
        """How many of ``least`` can be there now."""
        return min(self.least, self.here + (self.room or 0))

    @property
    def short(self) -> int:
        """How many are missing although there is room."""
        return max(0, self.possible - self.here)


def needs(
    placement: v1alpha1.Placement, sites: Mapping[str, Site], assignment: Assignment | None
) -> tuple[Need, ...]:
    """One per site, by name; () without a minimum. Before a class is chosen all have room."""
    rooms = assignment.site_room if assignment is not None and assignment.kind else None
    return tuple(
        Need(
            site,
            least,
            sites[site].replicas if site in sites else 0,
            least if rooms is None else rooms.get(site),
        )
        for site, least in placement.site_minima.items()
    )


def of(obs: Observation) -> tuple[Need, ...]:
    """What the sites of a service need."""
    if obs.service is None:
        return ()
    return needs(obs.service.spec.placement, obs.sites, obs.assignment)


def held_apart(obs: Observation) -> dict[str, int]:
    """How many replicas are to be at sites that have a Deployment of their own, by its part.

    What others of the service are there already counts for it.
    """
    if obs.service is None:
        return {}
    apart = obs.service.spec.placement.held_apart
    found = {}
    for need in of(obs) if apart else ():
        if need.site in apart:
            part = names.part_at(need.site)
            site = obs.sites.get(need.site)
            others = site.replicas - site.by_part.get(part, 0) if site is not None else 0
            found[part] = max(0, need.possible - others)
    return found


def floor(wanted: Sequence[Need]) -> int:
    """Never fewer replicas than this."""
    return sum(need.possible for need in wanted)


def cut_off(obs: Observation) -> tuple[str, ...]:
    """Sites of the service none of whose nodes with its pods reports."""
    own = (obs.service.spec.placement.sites if obs.service is not None else None) or ()
    return tuple(n for n, site in obs.sites.items() if site.connected is False and n in own)


def spare(obs: Observation, replicas: int) -> int:
    """Replicas to ask for beyond those wanted, so that a site gets its own.

    Kept until fewer are wanted, or so many more: which pod ends is Kubernetes' choice, and giving
    one up at once might take the very one that was missing.
    """
    found = of(obs)
    if not found or obs.deployment is None:
        return 0
    asked = split.live(obs)
    alive = [
        pod
        for pod in obs.pods
        if pod.metadata.deletion_timestamp is None and pod.status.phase not in ENDED
    ]
    labels = [pod.metadata.labels for pod in alive]
    made_from = {(have.get(names.LABEL_PART), have.get("pod-template-hash")) for have in labels}
    if len(made_from) > len({deployment for deployment, _ in made_from}):
        return obs.spare  # a rollout makes all of them anew
    bound = sum(bool(pod.spec.node_name) for pod in alive)
    coming = max(0, max(asked, replicas + obs.spare) - bound)
    apart = obs.service.spec.placement.held_apart if obs.service is not None else {}
    short = sum(need.short for need in found if need.site not in apart)
    if short > coming:
        return min(obs.spare + short - coming, len(found))
    if replicas < asked - obs.substitutes or (coming and not short):
        return 0
    return obs.spare


def without_room(found: Sequence[Need], class_name: str) -> str:
    """Which sites lack replicas and have no room; "" when none does."""
    lacking = [need for need in found if need.possible < need.least]
    told = [
        f"site {need.site} needs {need.least} and has {need.here}: no {class_name} "
        + ("is free there" if need.room is not None else "node there can be used")
        for need in lacking[:_NAMED]
    ]
    if len(lacking) > _NAMED:
        told.append(f"and {len(lacking) - _NAMED} more sites")
    return "; ".join(told)


def note(obs: Observation, replicas: int, least: int) -> str:
    """What sites have to do with the number of replicas, for the end of a message.

    ``least`` is the minimum without them.
    """
    text = ""
    found = [need for need in of(obs) if need.possible]
    if floor(found) > least and floor(found) == replicas:
        alike = len({need.least for need in found}) == 1
        named = [n.site if alike else f"{n.site} needs {n.least}" for n in found[:_NAMED]]
        if len(found) > _NAMED:
            named.append(f"{len(found) - _NAMED} more sites")
        verb = "needs" if len(found) == 1 else "need"
        text = f" ({', '.join(named)}{f' {verb} {found[0].least} each' if alike else ''})"
    if gone := cut_off(obs):
        text += f" (not scaled down while {', '.join(gone[:_NAMED])} is cut off)"
    return text
