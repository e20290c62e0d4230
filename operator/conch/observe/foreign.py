"""Who else changes the replicas of our Deployments: autoscalers that target them, other writers.

An autoscaler is known by its target. KEDA shows as the HorizontalPodAutoscaler that it makes for
each ScaledObject; the owner of that names it. Any other writer is known by Kubernetes' record of
who owns ``spec.replicas``. Of writes through ``/scale`` it has no times (seen on 1.36), and
of the first one to a field that nobody owned it has nothing: what counts is how often Conch had to
take the field back. In memory; pure but for being mutable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from conch.api import names
from conch.kube.views import Autoscaler, Object
from conch.observe.types import Key

_RETAKES_KEPT: Final = 8


@dataclass(frozen=True, slots=True)
class Retake:
    """Conch took ``spec.replicas`` of its Deployment back from somebody."""

    time: str  # RFC 3339
    manager: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """Of one service: its Deployment's autoscalers by name, and whom replicas were taken from.

    ``owner`` is the field manager that owns ``spec.replicas`` now, "" when it is ours or nobody's.
    """

    autoscalers: tuple[str, ...] = ()
    retakes: tuple[Retake, ...] = ()
    owner: str = ""


NOBODY: Final = Foreign()


@dataclass(slots=True)
class _Deployment:
    uid: str
    owner: str = ""
    retakes: list[Retake] = field(default_factory=list)


class ForeignBook:
    """All of them, by service."""

    def __init__(self) -> None:
        self._autoscalers: dict[str, tuple[Key, str]] = {}  # uid -> target, name for people
        self._by_target: dict[Key, dict[str, str]] = {}
        self._deployments: dict[Key, _Deployment] = {}

    def set_autoscaler(self, seen: Autoscaler) -> set[Key]:
        """Take in a HorizontalPodAutoscaler; returns the services that this is news for."""
        uid, target = seen.metadata.uid, seen.spec.scale_target_ref
        before = self._autoscalers.get(uid)
        after: tuple[Key, str] | None = None
        if target.kind == "Deployment" and target.api_version.split("/")[0] == "apps":
            after = Key(seen.metadata.namespace, target.name), _named(seen)
        if before == after:
            return set()
        concerned = self.remove_autoscaler(uid)
        if after is not None:
            self._autoscalers[uid] = after
            self._by_target.setdefault(after[0], {})[uid] = after[1]
            concerned |= _services_of(after[0])
        return concerned

    def remove_autoscaler(self, uid: str) -> set[Key]:
        """Forget one that is gone; returns the services it may have concerned."""
        known = self._autoscalers.pop(uid, None)
        if known is None:
            return set()
        targeting = self._by_target[known[0]]
        del targeting[uid]
        if not targeting:
            del self._by_target[known[0]]
        return _services_of(known[0])

    def learn(self, key: Key, deployment: Object) -> None:
        """Take in who owns the replicas of a service's Deployment."""
        uid = str(deployment["metadata"].get("uid", ""))
        known = self._deployments.get(key)
        if known is None or known.uid != uid:
            known = self._deployments[key] = _Deployment(uid)
        known.owner = _owner(deployment)

    def retaken(self, key: Key, now: str) -> None:
        """Conch writes replicas now, over whoever owns them."""
        known = self._deployments.get(key)
        if known is not None and known.owner:
            known.retakes.append(Retake(now, known.owner))
            del known.retakes[:-_RETAKES_KEPT]

    def forget(self, key: Key) -> None:
        """Forget a Deployment that is gone."""
        self._deployments.pop(key, None)

    def of(self, key: Key, further: Iterable[Key] = ()) -> Foreign:
        """What is known for one service; ``further`` are its Deployments of other names."""
        found = self._deployments.get(key) or _Deployment("")
        targeting = set(self._by_target.get(key, {}).values())
        for one in further:
            told = self._by_target.get(one, {}).values()
            targeting |= {f"{who} (on {one.name})" for who in told}
        return Foreign(
            tuple(sorted(targeting)),
            tuple(found.retakes),
            found.owner,
        )


def _services_of(deployment: Key) -> set[Key]:
    """Services whose Deployment that may be, by its name."""
    bases = names.bases_of(deployment.name)
    return {deployment, *(Key(deployment.namespace, base) for base in bases)}


def _named(seen: Autoscaler) -> str:
    own = f"HorizontalPodAutoscaler {seen.metadata.name}"
    for owner in seen.metadata.owner_references:
        if owner.kind == "ScaledObject":
            return f"ScaledObject {owner.name} (by its {own})"
    return own


def _owner(deployment: Object) -> str:
    for entry in deployment["metadata"].get("managedFields") or ():
        fields = entry.get("fieldsV1") or {}
        manager = str(entry.get("manager", ""))
        if "f:replicas" in (fields.get("f:spec") or {}) and manager != names.MANAGER_SCALER:
            return manager
    return ""
