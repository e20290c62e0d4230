"""Everything Conch knows about the cluster, fed by watches, read by the pure core.

In memory only, bounded by what exists. Each ``set_*`` returns the services it concerns, so that
feeding the state and waking the right reconciles is one line at the caller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from conch.api import names, v1alpha1
from conch.kube.views import Event, Object, Pod, PriorityClass
from conch.observe import versions
from conch.observe.activation import Activation, ActivationBook
from conch.observe.family import Family
from conch.observe.foreign import ForeignBook
from conch.observe.inventory import ENDED, InventoryBuilder, declared_kind
from conch.observe.observation import NO_ZONE, Site, Zone, parts_of
from conch.observe.observation import ChildId as ChildId
from conch.observe.observation import Observation as Observation
from conch.observe.observation import Record as Record
from conch.observe.types import (
    Area,
    Assignment,
    Bill,
    Decision,
    Footprint,
    Inventory,
    Key,
    Moved,
    Outlook,
)
from conch.observe.versions import FOREVER, Graves, Newest


class ClusterState:
    """The one mutable picture of the cluster."""

    def __init__(self) -> None:
        self.services: dict[Key, Record] = {}
        self.runtimes: dict[str, v1alpha1.TritonRuntimeSpec] = {}
        self.broken_runtimes: dict[str, str] = {}
        self.classes: dict[str, v1alpha1.AcceleratorClassSpec] = {}
        self.assignments: dict[Key, Assignment] = {}
        self.decisions: dict[Key, Decision] = {}
        self.bills: dict[Key, Bill] = {}
        self.footprints: dict[Key, Footprint] = {}  # of services of which it is known
        self.outlooks: dict[Key, Outlook] = {}
        self.moved: dict[Key, Moved] = {}
        self.budget_left: dict[Key, float | None] = {}  # of the last hour's error budget, 0 to 1
        self.carbon: Mapping[str, float] = {}  # as Inventory.carbon
        self.grids: Mapping[str, Mapping[Area, float]] = {}  # as Inventory.grids
        # Replicas asked for beyond those wanted, in the stead of pods whose node goes. In memory
        # only: an operator that starts meanwhile takes them for wanted until its scaler decides.
        self.substitutes: dict[Key, int] = {}
        self.spares: dict[Key, int] = {}  # of those: for sites that lack their minimum
        self.priority_classes: dict[str, PriorityClass] = {}
        self.activation = ActivationBook()
        self.foreign = ForeignBook()
        self.inventory_builder = InventoryBuilder()
        self._families: dict[Key, Family] = {}
        self._pod_owner: dict[str, Key] = {}
        self._newest = Newest()  # of runtimes and classes: kopf tells of namesakes in any order
        self._graves = Graves()
        self._inventory: tuple[Inventory, Inventory] | None = None  # without carbon, and with it

    # --- custom resources ---------------------------------------------------------------------

    def set_service(self, raw: Object) -> Key:
        """Take in an InferenceService; what is older than the one known, or gone, is ignored."""
        meta = raw["metadata"]
        key = Key(meta.get("namespace", ""), meta["name"])
        known = self.services.get(key)
        if self._graves.holds(raw) or (
            known is not None and versions.version(known.raw) > versions.version(raw)
        ):
            return key
        if known is not None and not versions.same(known.raw, raw):
            self.remove_service(key, versions.uid(known.raw))
            known = None
        if known is not None and known.raw.get("spec") == raw.get("spec") and known.service:
            # Status-only changes are the common case: the spec need not be parsed again.
            service = known.service.model_copy(
                update={"metadata": v1alpha1.ObjectMeta.model_validate(meta)}
            )
            self.services[key] = Record(raw, service)
            return key
        try:
            self.services[key] = Record(raw, v1alpha1.InferenceService.model_validate(raw))
        except ValidationError as error:
            self.services[key] = Record(raw, None, _first_problem(error))
        return key

    def remove_service(self, key: Key, uid: str) -> bool:
        """Forget that very InferenceService and what was decided about it; False: not known."""
        self._graves.bury(uid, FOREVER)
        known = self.services.get(key)
        if known is None or versions.uid(known.raw) != uid:
            return False  # one that was made since, of the same name
        del self.services[key]
        self.assignments.pop(key, None)
        self.decisions.pop(key, None)
        self.bills.pop(key, None)
        self.footprints.pop(key, None)
        self.outlooks.pop(key, None)
        self.moved.pop(key, None)
        self.budget_left.pop(key, None)
        self.substitutes.pop(key, None)
        self.spares.pop(key, None)
        self.activation.forget(key)
        self._drop_if_empty(key)
        return True

    def set_runtime(self, raw: Object) -> bool:
        """Take in a TritonRuntime; False: a newer one of the name is known."""
        name = raw["metadata"]["name"]
        if not self._newest.take("TritonRuntime", raw):
            return False
        self.runtimes.pop(name, None)
        self.broken_runtimes.pop(name, None)
        try:
            self.runtimes[name] = v1alpha1.TritonRuntimeSpec.model_validate(raw.get("spec"))
        except ValidationError as error:
            self.broken_runtimes[name] = _first_problem(error)
        return True

    def remove_runtime(self, raw: Object) -> bool:
        """Forget a TritonRuntime; False: there is one made since, of the same name."""
        name = raw["metadata"]["name"]
        if not self._newest.take("TritonRuntime", raw):
            return False
        self.runtimes.pop(name, None)
        self.broken_runtimes.pop(name, None)
        return True

    def set_class(self, raw: Object) -> bool:
        """Take in an AcceleratorClass; False: a newer one of the name is known."""
        name = raw["metadata"]["name"]
        if not self._newest.take("AcceleratorClass", raw):
            return False
        self.classes.pop(name, None)
        try:
            spec = v1alpha1.AcceleratorClassSpec.model_validate(raw.get("spec"))
            declared_kind(name, spec)  # its numbers can be read, too
        except ValueError:
            # The API server's schema is stricter than ours; only a newer version gets here.
            return True
        self.classes[name] = spec
        return True

    def remove_class(self, raw: Object) -> bool:
        """Forget an AcceleratorClass; False: there is one made since, of the same name."""
        if not self._newest.take("AcceleratorClass", raw):
            return False
        self.classes.pop(raw["metadata"]["name"], None)
        return True

    def priority(self, placement: v1alpha1.Placement) -> int:
        """The priority its pods get; 0 where the class is not known (yet)."""
        if placement.priority_class_name is not None:
            named = self.priority_classes.get(placement.priority_class_name)
            return named.value if named is not None else 0
        # Kubernetes takes the lowest when there are several.
        return min((c.value for c in self.priority_classes.values() if c.global_default), default=0)

    def inventory(self) -> Inventory:
        """Nodes and accelerator classes as of now; the same object while nothing changes."""
        inventory = self.inventory_builder.inventory(self.classes)
        if not self.carbon:
            return inventory
        known = self._inventory
        told = (self.carbon, self.grids)
        if known is None or known[0] is not inventory or (known[1].carbon, known[1].grids) != told:
            with_carbon = replace(inventory, carbon=self.carbon, grids=self.grids)
            self._inventory = known = (inventory, with_carbon)
        return known[1]

    # --- what belongs to services ---------------------------------------------------------------

    def set_pod(self, pod: Pod) -> Key | None:
        """Take in a pod; returns the service it belongs to, if any."""
        name = pod.metadata.labels.get(names.LABEL_SERVICE)
        uid = pod.metadata.uid
        key = None if name is None else Key(pod.metadata.namespace, name)
        if self._pod_owner.get(uid, key) != key:
            self.remove_pod(uid)  # its label was changed
        if key is None:
            return None
        self._family(key).set_pod(pod)
        self._pod_owner[uid] = key
        return key

    def remove_pod(self, uid: str) -> Key | None:
        """Forget a pod; returns the service it belonged to, if any."""
        key = self._pod_owner.pop(uid, None)
        if key is None:
            return None
        self._family(key).remove_pod(uid)
        self._drop_if_empty(key)
        return key

    def set_child(self, raw: Object) -> Key | None:
        """Take in an object with our labels; what is older than known, or gone, is ignored."""
        meta = raw["metadata"]
        name = meta.get("labels", {}).get(names.LABEL_SERVICE)
        if name is None:
            return None
        key = Key(meta.get("namespace", ""), name)
        if self._graves.holds(raw):
            return key
        children = self._family(key).children
        child = (raw["kind"], meta["name"])
        known = children.get(child)
        if known is None or versions.version(known) <= versions.version(raw):
            children[child] = raw
            if raw["kind"] == "EndpointSlice":
                self.activation.learn(key, raw)
            if child == ("Deployment", key.name):
                self.foreign.learn(key, raw)
        return key

    def remove_child(self, raw: Object) -> Key | None:
        """Forget a child that is gone."""
        meta = raw["metadata"]
        name = meta.get("labels", {}).get(names.LABEL_SERVICE)
        if name is None:
            return None
        key = Key(meta.get("namespace", ""), name)
        # By version: an object that only lost its label comes back with a newer one.
        self._graves.bury(versions.uid(raw), versions.version(raw))
        children = self._family(key).children
        known = children.get((raw["kind"], meta["name"]))
        if known is not None and versions.same(known, raw):
            del children[raw["kind"], meta["name"]]
            if (raw["kind"], meta["name"]) == ("Deployment", key.name):
                self.foreign.forget(key)
        self._drop_if_empty(key)
        return key

    def set_mount_event(self, event: Event) -> Key | None:
        """Take in a FailedMount event; returns the service whose pod cannot mount something."""
        key = self._pod_owner.get(event.involved_object.uid)
        return key if key is not None and self._family(key).set_mount_event(event) else None

    def set_model_problem(self, uid: str, message: str) -> Key | None:
        """Take in what a pod's Triton says ("": nothing); returns the service if that is news."""
        key = self._pod_owner.get(uid)
        return key if key and self._family(key).set_model_problem(uid, message) else None

    def model_problems(self, key: Key) -> Mapping[str, str]:
        """What the service's servers say of models they cannot load, by the pod's uid."""
        family = self._families.get(key)
        return family.model_problems if family is not None else {}

    def pods(self, key: Key) -> tuple[Pod, ...]:
        """The service's pods, oldest first."""
        family = self._families.get(key)
        return family.oldest_first() if family is not None else ()

    def leaving(self, key: Key) -> tuple[Pod, ...]:
        """The service's pods whose node is lost or about to be, oldest first."""
        return tuple(
            pod
            for pod in self.pods(key)
            if pod.metadata.deletion_timestamp is None
            and pod.status.phase not in ENDED
            and self.loses(key, pod.spec.node_name)
        )

    def loses(self, key: Key, node: str) -> bool:
        """Whether a node is lost for the service, or about to be.

        At a site that it is pinned to, one that does not report is no loss: it serves on.
        """
        builder = self.inventory_builder
        if not (node and builder.leaves(node)):
            return False
        record = self.services.get(key)
        pinned = bool(record and record.service and record.service.spec.placement.sites)
        return not (pinned and builder.silent(node))

    def stood_in(self, key: Key, substitutes: int, spare: int = 0) -> None:
        """The Deployment is asked for that many more, ``spare`` of them for a site's minimum."""
        if spare:
            self.spares[key] = spare
        else:
            self.spares.pop(key, None)
        if substitutes:
            self.substitutes[key] = substitutes
        else:
            self.substitutes.pop(key, None)

    def carbon_of(self, key: Key) -> float | None:
        """Grams per kWh where its pods are, or else of its class's nodes; None: not known."""
        assignment = self.assignments.get(key)
        if assignment is None or assignment.kind is None:
            return None
        name = assignment.kind.name
        if grams := self.grids.get(name):
            nodes = (pod.spec.node_name for pod in self.pods(key))
            found = [grams.get(a) for n in nodes if (a := self.inventory_builder.area(n))]
            known = [value for value in found if value is not None]
            if known and len(known) == len(found):
                return sum(known) / len(known)
        return self.carbon.get(name)

    def on_node(self, name: str) -> set[Key]:
        """Services that have a pod on the node."""
        return {
            key
            for key, family in self._families.items()
            if any(pod.spec.node_name == name for pod in family.pods.values())
        }

    def child(self, key: Key, kind: str, name: str) -> Object | None:
        """A child as last seen."""
        family = self._families.get(key)
        return family.children.get((kind, name)) if family else None

    def live_replicas(self, key: Key) -> int | None:
        """What the service's Deployments ask for, None when there is none.

        Those in the stead of pods whose node goes do not count: they are nobody's decision.
        """
        deployment = self.child(key, "Deployment", key.name)
        if deployment is None:
            return None
        further = parts_of(key, self._family(key).children).values()
        asked = sum(int(d["spec"].get("replicas", 1)) for d in (deployment, *further))
        return max(0, asked - self.substitutes.get(key, 0))

    def cold_starts_s(self, key: Key) -> tuple[float, ...]:
        """Measured times from a pod's creation to Ready, in seconds, newest last."""
        family = self._families.get(key)
        return tuple(family.cold_starts_s) if family else ()

    def observe(
        self, key: Key, builtin: tuple[str, v1alpha1.TritonRuntimeSpec], now: str
    ) -> Observation | None:
        """The picture for one reconcile; None when the service is not known."""
        record = self.services.get(key)
        if record is None:
            return None
        family = self._families.get(key) or Family()
        runtime, problem = self.runtime_of(record, builtin)
        return Observation(
            key=key,
            raw=record.raw,
            service=record.service,
            problem=record.problem,
            runtime=runtime,
            runtime_problem=problem,
            assignment=self.assignments.get(key),
            decision=self.decisions.get(key),
            children=dict(family.children),
            pods=self.pods(key),
            mount_problems=dict(family.mount_problems),
            model_problems=dict(family.model_problems),
            now=now,
            activation=self._activation(key, record, family),
            cold_starts_s=tuple(family.cold_starts_s),
            foreign=self.foreign.of(key, self._further(key, family)),
            bill=self.bills.get(key),
            footprint=self.footprints.get(key),
            leaving=self.leaving(key),
            sites=self.sites(key),
            zones=self.zones(key),
            substitutes=self.substitutes.get(key, 0),
            outlook=self.outlooks.get(key),
            spare=self.spares.get(key, 0),
            moved=self.moved.get(key),
            carbon=self.carbon_of(key),
        )

    def _further(self, key: Key, family: Family) -> list[Key]:
        parts = parts_of(key, family.children)
        return [Key(key.namespace, names.part_name(key.name, part)) for part in parts]

    def sites(self, key: Key) -> dict[str, Site]:
        """The service's pods by site, of every site that it is pinned to."""
        record = self.services.get(key)
        wanted = record.service.spec.placement.sites if record and record.service else None
        if not wanted:
            return {}
        builder = self.inventory_builder
        pods: dict[str, list[Pod]] = {site: [] for site in sorted(wanted)}
        for pod in self.pods(key):
            site = builder.site(pod.spec.node_name)
            if site and pod.metadata.deletion_timestamp is None and pod.status.phase not in ENDED:
                pods.setdefault(site, []).append(pod)
        return {
            site: Site(
                len(here),
                sum(pod.ready for pod in here),
                any(not builder.silent(p.spec.node_name) for p in here) if here else None,
                Counter(p.metadata.labels.get(names.LABEL_PART, "") for p in here),
            )
            for site, here in pods.items()
        }

    def zones(self, key: Key) -> dict[str, Zone]:
        """The service's bound pods by zone, NO_ZONE of a node that tells none; {}: all are such."""
        found: dict[str, list[Pod]] = {}
        for pod in self.pods(key):
            node = pod.spec.node_name
            if node and pod.metadata.deletion_timestamp is None and pod.status.phase not in ENDED:
                found.setdefault(self.inventory_builder.zone(node) or NO_ZONE, []).append(pod)
        if found.keys() <= {NO_ZONE}:
            return {}
        return {
            zone: Zone(len(here), sum(pod.ready for pod in here))
            for zone, here in sorted(found.items())
        }

    def _activation(self, key: Key, record: Record, family: Family) -> Activation | None:
        """Of a service that may go to zero, or that is still held although it may no more."""
        may = record.service is not None and record.service.spec.scaling.idle is not None
        held = ("EndpointSlice", key.name) in family.children
        return self.activation.of(key) if may or held else None

    def runtime_of(
        self, record: Record, builtin: tuple[str, v1alpha1.TritonRuntimeSpec]
    ) -> tuple[v1alpha1.TritonRuntimeSpec | None, str]:
        """The runtime a service uses, or what is wrong with it.

        ``builtin`` is the runtime of the operator's settings; an object of its name replaces it,
        and any runtime marked default goes before it when the service names none.
        """
        wanted = record.service.spec.runtime if record.service else None
        if wanted is None:
            defaults = sorted(n for n, spec in self.runtimes.items() if spec.default)
            wanted = defaults[0] if defaults else builtin[0]
        if wanted in self.runtimes:
            return self.runtimes[wanted], ""
        if wanted in self.broken_runtimes:
            return None, f"TritonRuntime {wanted}: {self.broken_runtimes[wanted]}"
        if wanted == builtin[0]:
            return builtin[1], ""
        known = ", ".join(sorted({*self.runtimes, builtin[0]}))
        return None, (
            f"spec.runtime: there is no TritonRuntime {wanted}; known: {known}. "
            "Create it, or name another one"
        )

    def _family(self, key: Key) -> Family:
        return self._families.setdefault(key, Family())

    def _drop_if_empty(self, key: Key) -> None:
        family = self._families.get(key)
        if family is not None and family.empty and key not in self.services:
            del self._families[key]


def _first_problem(error: ValidationError) -> str:
    first: Any = error.errors(include_url=False, include_input=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    return f"{path}: {first['msg']}"
