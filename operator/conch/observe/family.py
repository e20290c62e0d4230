"""What belongs to one service, whether or not the service is known (yet): pods and children.

It also keeps what only passing events tell of pods: why a volume is not mounted, which model a
server cannot load, how long starts took.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from conch.api import names
from conch.kube.views import Event, Object, Pod
from conch.observe.observation import ChildId

_COLD_STARTS_KEPT = 20


def class_of(pod: Pod) -> str:
    """The accelerator class that a pod of ours was made for; "": none."""
    return pod.metadata.labels.get(names.LABEL_ACCELERATOR, "")


@dataclass(slots=True)
class Family:
    """One service's; pods by uid."""

    pods: dict[str, Pod] = field(default_factory=dict)
    children: dict[ChildId, Object] = field(default_factory=dict)
    mount_problems: dict[str, str] = field(default_factory=dict)
    model_problems: dict[str, str] = field(default_factory=dict)
    cold_starts_s: list[float] = field(default_factory=list)
    _started: set[str] = field(default_factory=set)

    @property
    def empty(self) -> bool:
        """Whether nothing is left to know."""
        return not (self.pods or self.children)

    def set_pod(self, pod: Pod) -> None:
        """Take in a pod; what it has overcome is forgotten."""
        uid = pod.metadata.uid
        self.pods[uid] = pod
        if _mounted(pod):
            self.mount_problems.pop(uid, None)
        if pod.ready:
            self.model_problems.pop(uid, None)
            if uid not in self._started:
                self._started.add(uid)
                self._record_cold_start(pod)

    def remove_pod(self, uid: str) -> None:
        """Forget a pod."""
        self.pods.pop(uid, None)
        self.mount_problems.pop(uid, None)
        self.model_problems.pop(uid, None)
        self._started.discard(uid)

    def set_mount_event(self, event: Event) -> bool:
        """Take in a FailedMount event; False: it is over, events outlive what they tell of."""
        uid = event.involved_object.uid
        if _mounted(self.pods[uid]):
            return False
        self.mount_problems[uid] = event.message
        return True

    def set_model_problem(self, uid: str, message: str) -> bool:
        """Take in what a pod's server says, "": nothing; whether that is news."""
        if self.model_problems.get(uid, "") == message:
            return False
        if message:
            self.model_problems[uid] = message
        else:
            del self.model_problems[uid]
        return True

    def oldest_first(self) -> tuple[Pod, ...]:
        """The pods."""
        return tuple(
            sorted(
                self.pods.values(), key=lambda p: (p.metadata.creation_timestamp, p.metadata.name)
            )
        )

    def _record_cold_start(self, pod: Pod) -> None:
        ready = pod.condition("Ready")
        if ready is None or not ready.last_transition_time:
            return
        if any(status.restart_count for status in pod.status.container_statuses):
            return  # a crash in between is not how long a start takes
        start = datetime.fromisoformat(pod.metadata.creation_timestamp)
        seconds = (datetime.fromisoformat(ready.last_transition_time) - start).total_seconds()
        if 0 <= seconds < 24 * 3600:
            self.cold_starts_s.append(seconds)
            del self.cold_starts_s[:-_COLD_STARTS_KEPT]


def _mounted(pod: Pod) -> bool:
    """Whether the pod's volumes are there: no container is started before."""
    return any(
        status.state.running or status.state.terminated or status.last_state.terminated
        for status in (*pod.status.init_container_statuses, *pod.status.container_statuses)
    )
