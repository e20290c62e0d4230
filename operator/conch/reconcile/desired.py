"""What should exist for one service now, as objects: ``conch.render`` asked for what was observed.

Some of it stays as it is until something else changes anyhow; which, and why, is decided here. What
differs from what there is, and the writes, are ``reconcile.plan``'s. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from conch.api import names, v1alpha1
from conch.kube.views import Object
from conch.observe.state import ChildId, Observation
from conch.observe.types import AcceleratorKind, Tiers
from conch.reconcile.steps import queue_limit, split
from conch.render import (
    Holding,
    PartOptions,
    QueueLimit,
    RenderOptions,
    children,
    needs_apply,
)
from conch.render.areas import preferred


@dataclass(frozen=True, slots=True)
class Options:
    """What the plan needs from the settings."""

    allowed_sources: tuple[str, ...]
    allow_private_hosts: bool
    fetch_image: str
    fetch_image_pull_policy: str
    fetch_max_bytes: int
    operator_namespace: str
    drain_s: int
    startup_budget_s: int


def desired(
    obs: Observation,
    service: v1alpha1.InferenceService,
    runtime: v1alpha1.TritonRuntimeSpec,
    kind: AcceleratorKind,
    wanted: int,
    parts: split.Split,
    held: Holding | None,
    options: Options,
) -> list[Object]:
    """The children as they should be.

    Some things change only when something else changes anyhow. Whether a rollout surges depends on
    free accelerators, which come and go: following them, a converged world would write. The image
    that stages models is the operator's own: following it, an upgrade of Conch would restart every
    model server there is. A queue limit that is good enough stays for the same reason.
    """
    kept, newest = queue_limit.judge(obs)

    further, rooms = _further(obs, service, kind, parts)

    def build(
        surges: Mapping[str, int],
        tiers: Mapping[str, Tiers],
        limit: QueueLimit | None = newest,
        fetch_image: str = options.fetch_image,
    ) -> list[Object]:
        return children(
            service,
            runtime,
            kind,
            RenderOptions(
                fetch_image=fetch_image,
                fetch_image_pull_policy=options.fetch_image_pull_policy,
                operator_namespace=options.operator_namespace,
                drain_s=options.drain_s,
                allowed_sources=options.allowed_sources,
                allow_private_hosts=options.allow_private_hosts,
                fetch_max_bytes=options.fetch_max_bytes,
                surge=surges.get(split.MAIN, 1),
                replicas=wanted,
                startup_budget_s=options.startup_budget_s,
                holding=held,
                queue_limit=limit,
                tiers=tiers[split.MAIN],
            ),
            [
                replace(part, surge=surges.get(part.name, 1), tiers=tiers[part.name])
                for part in further
            ],
        )

    # Areas that are better by now: those who run move there only when it is worth it.
    found = obs.assignment
    better = {split.MAIN: found.tiers if found is not None else ()}
    better |= {part.name: part.tiers for part in further}
    deployment = obs.deployment
    if deployment is None:
        return build({}, better)
    live = {split.MAIN: deployment, **{name: d for name, d in obs.parts.items() if name in rooms}}
    before = {name: _surge(one) for name, one in live.items()}
    keeps = better | {name: preferred(one) for name, one in live.items()}
    if found is not None and found.relocates:
        keeps[split.MAIN] = found.tiers
    same = build(before, keeps, kept, _fetch_image(deployment) or options.fetch_image)
    unchanged = all(
        difference(obs, child) is None
        for child in same
        if child["kind"] == "Deployment" and identity(child) in obs.children
    )
    if unchanged:
        return same
    rooms[split.MAIN] = obs.assignment.room if obs.assignment else 0
    # A single replica must surge, or the service would be away during the rollout; it waits for
    # room instead when there is none.
    # Replicas without a node serve nobody: their successors come at once, as far as there is room.
    waiting = Counter(split.part_of(pod) for pod in obs.pods if not pod.spec.node_name)
    return build(
        {
            name: max(1, min(room, waiting[name])) if room > 0 or wanted <= 1 else 0
            for name, room in rooms.items()
        },
        better,
    )


def _further(
    obs: Observation,
    service: v1alpha1.InferenceService,
    kind: AcceleratorKind,
    parts: split.Split,
) -> tuple[list[PartOptions], dict[str, int]]:
    """Deployments on other classes and at sites, and for how many more there is room, by part."""
    found: dict[str, PartOptions] = {}
    rooms: dict[str, int] = {}
    plan = obs.assignment
    for part in plan.parts if plan is not None else ():
        if not part.main and parts.parts.get(name := names.part_on(part.kind.name)):
            found[name] = PartOptions(name, part.kind, 1, tiers=part.tiers)
            rooms[name] = part.room
    for site in service.spec.placement.held_apart:
        name = names.part_at(site)
        found[name] = PartOptions(name, kind, 1, site=site)
        rooms[name] = plan.site_room.get(site, 0) if plan is not None else 0
    return [found[name] for name in sorted(found)], rooms


def _surge(deployment: Object) -> int:
    rolling = deployment["spec"].get("strategy", {}).get("rollingUpdate", {})
    return int(rolling.get("maxSurge", 1))


def _fetch_image(deployment: Object) -> str | None:
    """The image that stages models in the pods there are."""
    containers = deployment["spec"]["template"]["spec"].get("initContainers", [])
    return next((str(c["image"]) for c in containers if c["name"] == names.CONTAINER_FETCH), None)


def difference(obs: Observation, child: Object) -> str | None:
    """Where a child is not as it should be first; None: it is."""
    live = obs.children.get(identity(child))
    return "it does not exist" if live is None else needs_apply(child, live)


def identity(child: Object) -> ChildId:
    """Kind and name."""
    return child["kind"], child["metadata"]["name"]
