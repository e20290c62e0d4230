"""What went on around replicas that waited, second by second: for whoever looks for the cause.

It only remembers; who waits is the judge's (`pending`). One page is a service at a look: what its
Deployments ask for, where its pods are, and what the operator says of its placement.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping

from conch.api import names
from e2e.bench.client import Object
from e2e.placement.pending import Wanted

PAGES = 60


class Diary:
    """The last minute of every service."""

    def __init__(self) -> None:
        self._pages: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=PAGES))

    def write(
        self,
        services: Iterable[Wanted],
        objects: Mapping[str, Object],
        deployments: Iterable[Object],
        pods: Iterable[Object],
        now_s: float,
    ) -> None:
        """A page for each service; `objects` are InferenceServices by name."""
        own: dict[str, list[str]] = defaultdict(list)
        for deployment in deployments:
            if name := _labels(deployment).get(names.LABEL_SERVICE):
                own[name].append(_asked(deployment))
        for pod in pods:
            if name := _labels(pod).get(names.LABEL_SERVICE):
                own[name].append(_pod(pod))
        for service in services:
            said = _said(objects.get(service.name, {}))
            page = [f"{now_s:.1f} wants {service.replicas}", *sorted(own[service.name]), said]
            self._pages[service.name].append("; ".join(page))

    def pages(self, service: str) -> list[str]:
        """What is remembered of a service, oldest first."""
        return list(self._pages[service])


def _labels(thing: Object) -> Mapping[str, str]:
    found: Mapping[str, str] = thing["metadata"].get("labels", {})
    return found


def _asked(deployment: Object) -> str:
    name, replicas = deployment["metadata"]["name"], deployment["spec"].get("replicas")
    return f"[{name} {replicas} on {_labels(deployment).get(names.LABEL_ACCELERATOR)}]"


def _pod(pod: Object) -> str:
    states = [pod["spec"].get("nodeName") or "-"]
    conditions = {c["type"]: c for c in pod.get("status", {}).get("conditions", [])}
    states += ["ready"] * (conditions.get("Ready", {}).get("status") == "True")
    states += ["ending"] * ("deletionTimestamp" in pod["metadata"])
    if states[0] == "-":
        states.append(pod["metadata"]["creationTimestamp"][-9:-1])
        states.append(conditions.get("PodScheduled", {}).get("message", "not looked at")[:60])
    return (
        f"{_labels(pod).get(names.LABEL_ACCELERATOR)} {pod['metadata']['name']} {' '.join(states)}"
    )


def _said(service: Object) -> str:
    conditions = service.get("status", {}).get("conditions", [])
    placed = [c for c in conditions if c["type"] == "Placed"]
    return " ".join(f"{c['reason']}: {c['message'][:160]}" for c in placed)
