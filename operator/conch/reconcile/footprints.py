"""What is known of the GPU memory that each service takes: from its pods, and from earlier ones.

Sizes of model files come from the puller's termination messages, how many copies of them a GPU
holds from the servers, and so does what they were seen to use. All of it outlives pods and
services, by model, so that one that is made again is placed right the first time. It hears only
pods that run what the spec asks for now: those of an older revision tell of another model. What
follows from the figures is placement's to decide.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from conch.api import names
from conch.api.v1alpha1 import InferenceService, Model
from conch.fetch import report
from conch.kube.views import Pod
from conch.observe.family import class_of
from conch.observe.state import ClusterState, Record
from conch.observe.types import CPU_CLASS, AcceleratorKind, Footprint, Key, PodSample
from conch.placement import footprint
from conch.placement.footprint import Part
from conch.reconcile.controller import builtin_runtime
from conch.reconcile.footprint_book import PREFIX, FootprintBook
from conch.render.models import overrides
from conch.settings import Settings
from conch.triton.configuration import ModelConfig, OnGpu

_MEASURED: Final = re.compile(r"([1-9][0-9]{0,6})Mi")


@dataclass(slots=True)
class _Living:
    """Of one service, while it is there: what its spec asks for, and what its servers told."""

    generation: int
    image: str
    asked: Mapping[str, str]  # by model: the key under which the puller reports it
    keys: frozenset[str]  # all of those
    models: Mapping[str, str]  # by model: under which entry its files are known
    server: str  # under which entry the use of all of them is known
    configs: Mapping[str, ModelConfig] = field(default_factory=dict)
    heard: str = ""  # uid of the pod that told the sizes of the files
    current: str = ""  # the class, as placement asked last,
    given: tuple[object, ...] = ()  # and what it was told


class Footprints:
    """Of all services; what outlives them is in the ``book``."""

    def __init__(self, state: ClusterState, settings: Settings) -> None:
        self._state = state
        self._builtin = builtin_runtime(settings)
        self._living: dict[str, _Living] = {}  # by the service's uid
        self.book = FootprintBook()

    # --- for placement ----------------------------------------------------------------------------

    def of(self, key: Key, record: Record, current: str) -> Footprint | None:
        """What a replica takes of each unit; None: not known, or it asks for no accelerator.

        ``current`` is the class that the service is on. It is taken to fit until a server there
        cannot load.
        """
        service = record.service
        if service is None or not service.spec.placement.accelerators.count:
            return None
        living = self._look_up(key, record, service)
        found = self._found(key, service, living, current)
        living.current, living.given = current, _gist(found, current)
        return found

    def _found(
        self, key: Key, service: InferenceService, living: _Living, current: str
    ) -> Footprint | None:
        pods = [pod for pod in self._state.pods(key) if _stages(pod, living)]
        found = self._figure(key, service, living, pods)
        if found is None:
            return None
        fits_on = {class_of(pod) for pod in pods if pod.ready}
        if current and not self._fails_on(key, current, pods):
            fits_on.add(current)
        return replace(found, fits_on=frozenset(fits_on))

    def _figure(
        self, key: Key, service: InferenceService, living: _Living, pods: Sequence[Pod]
    ) -> Footprint | None:
        # Once of each newest pod: what is stored may have been overwritten since an older one, and
        # another service may have heard of that.
        missing = any(self.book.files(entry) is None for entry in living.models.values())
        if pods and (missing or living.heard != pods[-1].metadata.uid):
            living.heard = pods[-1].metadata.uid
            sizes = _staged(pods[-1])
            for model in service.spec.models:
                size = sizes[living.asked[model.name]]
                self.book.learn_files(living.models[model.name], f"{key}: {model.name}", size)
        if (used := self.book.used(living.server)) is not None:
            return footprint.measured(used)
        parts = []
        units = service.spec.placement.accelerators.count
        for model in service.spec.models:
            known = self.book.files(living.models[model.name])
            if known is None:
                return None
            told = living.configs.get(model.name)
            parts.append(Part(known, told.on_gpu if told else _guess(model, units)))
        return _estimated(tuple(parts), units)

    def _fails_on(self, key: Key, class_name: str, pods: Iterable[Pod]) -> bool:
        """Whether servers that run on a class cannot load, and none there can."""
        there = [pod for pod in pods if class_of(pod) == class_name]
        problems = self._state.model_problems(key)
        return any(_fails(pod, problems) for pod in there) and not any(pod.ready for pod in there)

    # --- from looks at pods -----------------------------------------------------------------------

    def keep(self, living: Collection[str]) -> None:
        """Forget all services but these; of their models the figures stay."""
        for uid in self._living.keys() - set(living):
            del self._living[uid]

    def look(self, key: Key, record: Record, samples: Iterable[PodSample]) -> bool:
        """Take in one look at each ready pod; whether placement was told something else before."""
        service = record.service
        if service is None or not service.spec.placement.accelerators.count:
            return False
        living = self._look_up(key, record, service)
        pods = {p.metadata.uid: p for p in self._state.pods(key) if _stages(p, living)}
        for sample in samples:
            pod = pods.get(sample.pod)
            if pod is None or sample.error:
                continue
            if sample.configs is None and not sample.second_hand:
                continue  # it is about to tell
            kind = self._kind(class_of(pod))
            if kind is None:
                continue  # a server without a GPU says that it uses none
            living.configs = sample.configs or living.configs
            units = service.spec.placement.accelerators.count
            used = footprint.used_bytes(
                sample.gpu_bytes, sample.model_bytes, sample.configs, kind, units
            )
            if used:
                self.book.learn_used(living.server, str(key), used)
        now = self._found(key, service, living, living.current)
        return bool(living.given) and _gist(now, living.current) != living.given

    def _kind(self, name: str) -> AcceleratorKind | None:
        if name == CPU_CLASS.name:
            return None
        return next((k for k in self._state.inventory().kinds if k.name == name), None)

    # --- of one service ---------------------------------------------------------------------------

    def _look_up(self, key: Key, record: Record, service: InferenceService) -> _Living:
        meta = record.raw["metadata"]
        uid, generation = str(meta["uid"]), int(meta.get("generation", 0))
        runtime, _ = self._state.runtime_of(record, self._builtin)
        image = runtime.image if runtime is not None else ""
        before = self._living.get(uid)
        if before is not None and (before.generation, before.image) == (generation, image):
            return before
        models = service.spec.models
        asked = {model.name: _asked(model) for model in models}
        living = _Living(
            generation,
            image,
            asked,
            frozenset(asked.values()),
            # The namespace, too: what one tenant's model is like is no other's business.
            {model.name: _id([key.namespace, _source(model, image)]) for model in models},
            _server_id(key, service, image),
        )
        if before is not None and before.server == living.server:
            living.configs = before.configs
        self._living[uid] = living
        if self.book.used(living.server) is None and (measured := _told(record)):
            self.book.learn_used(living.server, str(key), measured)
        return living


def _told(record: Record) -> int:
    """What the status says was measured of the same spec, in bytes; 0: nothing."""
    status = record.raw.get("status") or {}
    if status.get("observedGeneration") != record.raw["metadata"].get("generation"):
        return 0
    match = _MEASURED.fullmatch(str(status.get("gpuMemory", "")))
    return int(match[1]) << 20 if match else 0


def _asked(model: Model) -> str:
    return report.model_key(model.source.uri, model.source.digest or "", overrides(model))


def _gist(found: Footprint | None, current: str) -> tuple[object, ...]:
    """What of a figure may change a plan."""
    if found is None:
        return (None,)
    return found.memory_bytes, found.measured, current in found.fits_on


def _staged(pod: Pod) -> Mapping[str, int]:
    """What the pod's puller told when it was done; empty while it is not."""
    for status in pod.status.init_container_statuses:
        ended = status.state.terminated
        if status.name == names.CONTAINER_FETCH and ended is not None and ended.exit_code == 0:
            return _read(ended.message)
    return {}


# The pods of a service tell the same, all the time.
_read = lru_cache(maxsize=4096)(report.read)
_estimated = lru_cache(maxsize=4096)(footprint.estimated)


def _stages(pod: Pod, living: _Living) -> bool:
    return _staged(pod).keys() == living.keys


def _fails(pod: Pod, problems: Mapping[str, str]) -> bool:
    """Whether the pod's server cannot load its models, or ended while it did."""
    if pod.ready:
        return False
    if problems.get(pod.metadata.uid):
        return True
    for status in pod.status.container_statuses:
        ended = status.state.terminated or status.last_state.terminated
        if status.name == names.CONTAINER_TRITON and ended is not None and ended.exit_code:
            return True
    return False


def _guess(model: Model, units: int) -> OnGpu:
    """Before its server has told: as the spec has it, and over all units if it asks for several."""
    instances = model.config.instances if model.config is not None else None
    return OnGpu(instances or 1, spread=units > 1)


def _source(model: Model, image: str) -> list[str]:
    """What the files of a model depend on."""
    if model.source.digest:
        return [model.source.digest]
    uri = model.source.uri
    return [uri, image] if urlsplit(uri).scheme == "image" else [uri]


def _server_id(key: Key, service: InferenceService, image: str) -> str:
    models = sorted([*_source(m, image), json.dumps(overrides(m))] for m in service.spec.models)
    units = service.spec.placement.accelerators.count
    return _id([key.namespace, image, units, models])


def _id(parts: list[object]) -> str:
    text = json.dumps(parts, sort_keys=True)
    return f"{PREFIX}{hashlib.sha256(text.encode()).hexdigest()[:20]}"
