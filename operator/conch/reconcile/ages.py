"""For how long each replica has been there, by a clock that does not jump.

A pod says when it was made by the API server's clock. That time of day and ours may differ, and
either may be set anew; what the scaler takes for a long start makes it ask for more. So the time of
day counts once, when a pod is first seen, and from then on the monotonic clock; and a pod that was
not there at the last look is no older than that look, whatever its date says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from conch.kube.views import Pod

_UNSEEN_S: Final = 2.0  # a watch may tell of a pod so late; dates are whole seconds besides


@dataclass(slots=True)
class _Service:
    looked_s: float
    made_s: dict[str, float] = field(default_factory=dict)  # by the pod's uid


class Ages:
    """Of the pods of every service; the service by its uid."""

    def __init__(self) -> None:
        self._services: dict[str, _Service] = {}

    def keep(self, living: Collection[str]) -> None:
        """Forget all services but these."""
        for uid in self._services.keys() - set(living):
            del self._services[uid]

    def look(self, uid: str, pods: Iterable[Pod], now_s: float, wall_s: float) -> dict[str, float]:
        """Seconds since each of the service's present pods was made, by its uid.

        ``now_s`` is monotonic, ``wall_s`` the same moment since the epoch.
        """
        before = self._services.get(uid)
        made_s: dict[str, float] = {}
        for pod in pods:
            meta = pod.metadata
            if before is not None and meta.uid in before.made_s:
                made_s[meta.uid] = before.made_s[meta.uid]
                continue
            created_s = datetime.fromisoformat(meta.creation_timestamp).timestamp()
            age_s = max(0.0, wall_s - created_s)
            if before is not None:
                age_s = min(age_s, now_s - before.looked_s + _UNSEEN_S)
            made_s[meta.uid] = now_s - age_s
        self._services[uid] = _Service(now_s, made_s)
        return {pod: now_s - since_s for pod, since_s in made_s.items()}
