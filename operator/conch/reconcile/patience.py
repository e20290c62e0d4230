"""Which classes a service leaves alone for a while: its replicas stayed Pending there.

The planner knows what nodes offer, not everything that keeps kube-scheduler from binding (the zone
of a volume, a device plugin that is away, somebody's admission rule). So it is told where a service
waited in vain, and goes by what it knows again when that is forgotten. In memory only: a new
operator waits anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from conch.api import names
from conch.kube.views import Pod, StatusCondition

PATIENCE_S: Final = 30.0
"""A replica may be Pending for so long although the planner knows room for it."""
FORGET_S: Final = 600.0
"""For so long the class is left alone."""
_MOST_SAID: Final = 200


@dataclass(frozen=True, slots=True)
class _Failure:
    until_s: float
    told: str


class Patience:
    """What was waited for in vain, by service and class."""

    def __init__(self) -> None:
        self._failures: dict[str, dict[str, _Failure]] = {}
        self._next_s: float | None = None

    def begin(self, living: Iterable[str]) -> None:
        """A new look at all services; those not among ``living`` (uids) are forgotten."""
        kept = set(living)
        self._failures = {uid: held for uid, held in self._failures.items() if uid in kept}
        self._next_s = None

    def avoided(
        self, uid: str, current: str, has_room: bool, pods: Iterable[Pod], now_s: float
    ) -> Mapping[str, str]:
        """Classes to leave alone, each with the reason in words.

        ``current`` is the class the service is on, ``has_room`` whether the planner has reserved
        room there for what waits; ``now_s`` is a time since the epoch, in seconds.
        """
        held = {k: f for k, f in self._failures.get(uid, {}).items() if f.until_s > now_s}
        found = [w for pod in pods if (w := waits(pod, current)) is not None] if has_room else []
        for since_s, message in found:
            if now_s - since_s >= PATIENCE_S:
                said = message[:_MOST_SAID] or "kube-scheduler has not looked at it"
                told = f"replicas stayed Pending there for {now_s - since_s:.0f} s: {said}"
                held.setdefault(current, _Failure(now_s + FORGET_S, told))
            else:
                self._look_at(since_s + PATIENCE_S)
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

    def _look_at(self, at_s: float) -> None:
        self._next_s = at_s if self._next_s is None else min(self._next_s, at_s)


def waits(pod: Pod, current: str) -> tuple[float, str] | None:
    """Since when a pod of the class waits for a node, and what kube-scheduler says of it."""
    if (
        pod.spec.node_name
        or pod.metadata.deletion_timestamp is not None
        or pod.metadata.labels.get(names.LABEL_ACCELERATOR, "") != current
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
