"""Which classes a service leaves alone for a while: its replicas stayed Pending there.

The planner knows what nodes offer, not everything that keeps kube-scheduler from binding (the zone
of a volume, a device plugin that is away, somebody's admission rule). So it is told where a service
waited in vain, and goes by what it knows again when that is forgotten. A class that a node
autoscaler adds nodes to has a deadline of its own, which does not pass while a node of it starts:
its units are late, and for them the next class would be asked for one node too many. In memory
only: a new operator waits anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from conch.kube.views import Pod, StatusCondition
from conch.observe.family import class_of

PATIENCE_S: Final = 30.0
"""A replica may be Pending for so long although the planner knows room for it."""
FORGET_S: Final = 600.0
"""For so long the class is left alone."""
BINDING_S: Final = 30.0
"""After a node has got its units, the replica that waited for it is bound within that."""
_MOST_SAID: Final = 200


@dataclass(frozen=True, slots=True)
class Current:
    """The class a service is on."""

    name: str
    wait_s: float | None = None  # for a node that is added; None: none is


@dataclass(frozen=True, slots=True)
class _Start:
    """Nodes of a class were seen without their units, without a break."""

    first_s: float
    last_s: float


@dataclass(frozen=True, slots=True)
class _Failure:
    until_s: float
    told: str


class Patience:
    """What was waited for in vain, by service and class."""

    def __init__(self) -> None:
        self._failures: dict[str, dict[str, _Failure]] = {}
        self._starts: dict[str, _Start] = {}
        self._next_s: float | None = None

    def begin(self, living: Iterable[str], starting: Collection[str], now_s: float) -> None:
        """A new look at all services; those not among ``living`` (uids) are forgotten.

        ``starting`` are the classes that have a node without its units.
        """
        kept = set(living)
        self._failures = {uid: held for uid, held in self._failures.items() if uid in kept}
        before = self._starts
        self._starts = {k: s for k, s in before.items() if now_s - s.last_s <= BINDING_S}
        for name in starting:
            first_s = before[name].first_s if name in before else now_s
            self._starts[name] = _Start(first_s, now_s)
        self._next_s = None

    def avoided(
        self, uid: str, current: Current, has_room: bool, pods: Iterable[Pod], now_s: float
    ) -> Mapping[str, str]:
        """Classes to leave alone, each with the reason in words.

        ``has_room``: the planner has reserved room on the current class for what waits; ``now_s``
        is a time since the epoch, in seconds.
        """
        # Further ahead than it can be: the clock was set back.
        held = {
            k: f
            for k, f in self._failures.get(uid, {}).items()
            if 0 < f.until_s - now_s <= FORGET_S
        }
        name = current.name
        found = [w for pod in pods if (w := waits(pod, name)) is not None] if has_room else []
        for since_s, message in found:
            due_s = self._due_s(current, since_s)
            if now_s >= due_s:
                said = message[:_MOST_SAID] or "kube-scheduler has not looked at it"
                told = f"replicas stayed Pending there for {now_s - since_s:.0f} s: {said}"
                held.setdefault(name, _Failure(now_s + FORGET_S, told))
            else:
                self._look_at(due_s)
        for failure in held.values():
            self._look_at(failure.until_s)
        if held:
            self._failures[uid] = held
        else:
            self._failures.pop(uid, None)
        return {name: failure.told for name, failure in held.items()}

    def next_s(self) -> float | None:
        """When an answer changes by time alone; None: never."""
        return self._next_s

    def _due_s(self, current: Current, since_s: float) -> float:
        """Until when a replica is waited for that has no node since then."""
        if current.wait_s is None:
            return since_s + PATIENCE_S
        due_s = since_s + current.wait_s
        if (start := self._starts.get(current.name)) is None:
            return due_s
        # A device plugin that never comes up is waited for as long as a node is.
        return max(due_s, min(start.last_s, start.first_s + current.wait_s) + BINDING_S)

    def _look_at(self, at_s: float) -> None:
        self._next_s = at_s if self._next_s is None else min(self._next_s, at_s)


def waits(pod: Pod, current: str) -> tuple[float, str] | None:
    """Since when a pod of the class waits for a node, and what kube-scheduler says of it."""
    if (
        pod.spec.node_name
        or pod.metadata.deletion_timestamp is not None
        or class_of(pod) != current
    ):
        return None
    scheduled = pod.condition("PodScheduled") or StatusCondition()
    if scheduled.reason == "SchedulingGated":
        return None  # a queue holds it back: that is nobody's failure
    since = datetime.fromisoformat(pod.metadata.creation_timestamp)
    return since.timestamp(), scheduled.message


def holds_a_node(pod: Pod) -> bool:
    """Whether the pod takes room on a node: bound and not over."""
    return bool(pod.spec.node_name) and pod.status.phase not in ("Succeeded", "Failed")
