"""What survives a restart, curves, days and footprints: a ConfigMap in the operator's namespace.

Read once, before anything is decided; written seldom, and only when something was learned. What it
holds is a start, never a need: without it, or with nonsense in it, services learn anew. Who may
write it may slow a service's first minute down, so nobody but the operator needs to.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from conch.api import names
from conch.api.v1alpha1 import Model
from conch.autoscale import ScalerState, memory
from conch.autoscale.curve import Curve
from conch.autoscale.learning import stretched
from conch.autoscale.season_text import Remembered
from conch.autoscale.state import ModelState, Speed
from conch.errors import ConchError, LeaseLost, NotFound
from conch.kube.transport import Api, path
from conch.kube.views import Object
from conch.observe.speeds import relative
from conch.observe.state import ClusterState, Record
from conch.observe.types import AcceleratorKind, Key
from conch.reconcile.apply import Writer
from conch.reconcile.footprint_book import PREFIX, FootprintBook, Known
from conch.reconcile.patience import holds_a_node
from conch.reconcile.seasons import PREFIX as OF_DAYS
from conch.reconcile.seasons import Seasons

logger = logging.getLogger(__name__)

CONFIG_MAP: Final = "conch-learned"
_MOST_ENTRIES: Final = 2000
_MOST_BYTES: Final = 768 * 1024  # the API server takes 1 MiB
_LOOK_S: Final = 60.0
_REST_S: Final = 600.0  # between two writes


class Memory:
    """What is remembered, by model and kind of server; ``scalers`` are the living, by uid."""

    def __init__(
        self,
        state: ClusterState,
        scalers: Mapping[str, ScalerState],
        book: FootprintBook | None = None,
    ) -> None:
        self._state = state
        self._scalers = scalers
        self._book = book or FootprintBook()
        self._seasons = Seasons()
        self._entries: dict[str, memory.Learned] = {}
        self._doubted: set[str] = set()
        self._on: dict[str, frozenset[str]] = {}  # by uid: the classes that were looked up for it

    # --- giving -----------------------------------------------------------------------------------

    def begin(self, key: Key, record: Record) -> ScalerState:
        """Where the scaler of a service starts."""
        speeds: dict[str, dict[str, Speed]] = {}
        for model, on, entry in self._here(key, record):
            if entry in self._entries and entry not in self._doubted:
                speeds.setdefault(model.name, {})[on] = self._entries[entry].begin()
        self._on[str(record.raw["metadata"]["uid"])] = _planned(self._state, key)
        models = {name: ModelState(found) for name, found in speeds.items()}
        return ScalerState(models=models, season=self._seasons.begin(key))

    def settle(self, key: Key, record: Record, scaler: ScalerState) -> ScalerState:
        """The scaler of a service, with what is remembered of classes that are new to it; where
        nothing is, with what to expect by how the GPUs compare."""
        uid, there = str(record.raw["metadata"]["uid"]), _planned(self._state, key)
        if self._on.get(uid, there) >= there:
            return scaler
        known = self.begin(key, record).models
        models = {}
        for name, model in scaler.models.items():
            remembered = known[name].speeds if name in known else {}
            new = there - remembered.keys() - model.speeds.keys()
            expected = self._expected(model.speeds, new) if new else {}
            models[name] = replace(model, speeds={**expected, **remembered, **model.speeds})
        return replace(scaler, models=models)

    def _expected(self, speeds: Mapping[str, Speed], new: frozenset[str]) -> dict[str, Speed]:
        """What to expect of classes that nothing was learned of, by what was seen last."""
        kinds = {kind.name: kind for kind in self._state.inventory().kinds}
        seen = next((g for g in reversed(list(speeds)) if speeds[g].plan and g in kinds), None)
        if seen is None:
            return {}
        found = {}
        for name in new & kinds.keys():
            ratio = relative(kinds[seen], kinds[name])
            if ratio is not None:
                curve = stretched(speeds[seen].curve, 1 / ratio)
                found[name] = Speed(curve, beside_s=speeds[seen].beside_s)
        return found

    def is_settled(self, key: Key) -> bool:
        """Whether all replicas of a service are of the class that it asks for."""
        return len(_classes(self._state, key)) == 1

    def forget(self, living: Collection[str]) -> None:
        """Services with other uids are gone."""
        for uid in self._on.keys() - living:
            del self._on[uid]

    def starts_s(self, key: Key, record: Record) -> tuple[float, ...]:
        """Cold starts of earlier lives: of the model that took longest."""
        found = [
            self._entries[entry].starts_s
            for _, entry in self._of(key, record)
            if entry in self._entries
        ]
        return max(found, key=lambda starts: max(starts, default=0.0), default=())

    def elsewhere(self, key: Key, record: Record, kind: AcceleratorKind) -> dict[str, Curve]:
        """By model, the curve that the service's servers had on another class."""
        return {
            model.name: self._entries[entry].curve
            for model, entry in self._of(key, record, kind)
            if entry in self._entries and entry not in self._doubted
        }

    def doubt(self, key: Key, record: Record) -> None:
        """The scaler failed on a service: what is remembered of it may be the cause."""
        self._doubted.update(entry for _, _, entry in self._here(key, record))
        self._seasons.doubt(key)

    # --- taking -----------------------------------------------------------------------------------

    def learn(self, now: float) -> bool:
        """Take in what scalers know now (``now``: the time of day); whether there is any news."""
        news = self._book.is_news()
        for key, record in list(self._state.services.items()):
            uid = str(record.raw["metadata"]["uid"])
            scaler = self._scalers.get(uid)
            if scaler is None or record.service is None:
                continue
            news |= self._seasons.learn(key, scaler.season, now)
            settled = self.is_settled(key)
            for model, on, entry in self._here(key, record):
                known = scaler.models.get(model.name, ModelState()).speeds.get(on)
                if known is None or entry in self._doubted:
                    continue
                name = f"{key}: {model.name}"
                # Starts are not told apart by class.
                starts = self._state.cold_starts_s(key) if settled else ()
                learned = memory.after(
                    self._entries.get(entry), name, known.curve, starts, int(now)
                )
                if learned is not None:
                    self._entries[entry] = learned
                    news = True
        return news

    def data(self) -> dict[str, str]:
        """The ConfigMap's data: as many as fit, those that changed last first to stay."""
        kept: dict[str, str] = {}
        size = 0
        entries: dict[str, memory.Learned | Known | Remembered] = {
            **self._entries,
            **self._seasons.entries(),
            **self._book.entries(),
        }
        newest = sorted(entries.items(), key=lambda item: -item[1].at)
        for entry, learned in newest[:_MOST_ENTRIES]:
            text = learned.text()
            size += len(entry) + len(text.encode())
            if size > _MOST_BYTES:
                break
            kept[entry] = text
        self._entries = {e: learned for e, learned in self._entries.items() if e in kept}
        self._book.only(kept)
        self._seasons.only(kept)
        return kept

    def load(self, data: Mapping[str, Any]) -> None:
        """Take in what an earlier operator wrote; what cannot be read is left out and logged."""
        problems = []
        for entry, text in list(data.items())[:_MOST_ENTRIES]:
            try:
                if entry.startswith(PREFIX):
                    self._book.load(entry, str(text))
                elif entry.startswith(OF_DAYS):
                    self._seasons.load(entry, str(text))
                else:
                    self._entries[entry] = memory.read(str(text))
            except ValueError as error:
                problems.append(f"{entry}: {error}")
        if problems:
            logger.warning(
                "ConfigMap %s: %d entries cannot be read and are ignored, such as %.200s",
                CONFIG_MAP,
                len(problems),
                problems[0],
            )

    # --- keeping ----------------------------------------------------------------------------------

    async def recall(self, api: Api, namespace: str) -> None:
        """Read the ConfigMap; that there is none, or that it cannot be read, is no trouble."""
        try:
            found = await api.get(path("v1", "configmaps", namespace, CONFIG_MAP))
        except NotFound:
            return
        except ConchError as error:
            logger.warning(
                "ConfigMap %s cannot be read, services learn anew: %s", CONFIG_MAP, error
            )
            return
        data = found.get("data")
        self.load(data if isinstance(data, dict) else {})

    async def keep(self, writer: Writer, namespace: str) -> None:
        """Write what is news, now and then, until cancelled."""
        loop = asyncio.get_running_loop()
        news, due_s = False, loop.time()
        while True:
            await asyncio.sleep(_LOOK_S)
            news |= self.learn(time.time())
            if not news or loop.time() < due_s:
                continue
            due_s = loop.time() + _REST_S
            try:
                await writer.remember(namespace, CONFIG_MAP, self.data())
                news = False
            except LeaseLost:
                raise
            except ConchError as error:
                logger.warning("ConfigMap %s cannot be written: %s", CONFIG_MAP, error)

    def _here(self, key: Key, record: Record) -> Iterator[tuple[Model, str, str]]:
        """The service's models on each class that it is on or will be, with the class."""
        deployment = self._state.child(key, "Deployment", key.name)
        if deployment is None:
            return
        asked = asked_class(deployment)
        for model, entry in self._of(key, record):
            yield model, asked, entry
        others = _planned(self._state, key) - {asked}
        if not others:
            return
        for kind in self._state.inventory().kinds:
            if kind.name in others:
                for model, entry in self._of(key, record, kind):
                    yield model, kind.name, entry

    def _of(
        self, key: Key, record: Record, elsewhere: AcceleratorKind | None = None
    ) -> Iterator[tuple[Model, str]]:
        """The service's models, each with the name of what is remembered of it.

        ``elsewhere``: as if its servers were on that class.

        It holds all that a service time depends on: what is served, by which image, on what. The
        namespace, too: what one tenant's model does must not steer another's.
        """
        deployment = self._state.child(key, "Deployment", key.name)
        if deployment is None or record.service is None:
            return
        template = deployment["spec"]["template"]
        containers = template["spec"]["containers"]
        # Of claimed devices, how many and which stands in the template that is named here.
        claims = template["spec"].get("resourceClaims") or ()
        server: Object = next((c for c in containers if c["name"] == names.CONTAINER_TRITON), {})
        on = asked_class(deployment)
        requests = server.get("resources", {}).get("requests", {})
        if elsewhere is not None:
            if claims or elsewhere.device_class:
                return  # what a claim is called says nothing of another class's
            on = elsewhere.name
            requests = {name: asked for name, asked in requests.items() if "/" not in name}
            count = record.service.spec.placement.accelerators.count
            if elsewhere.resource:
                requests[elsewhere.resource] = str(max(1, count))
        where = [key.namespace, server.get("image", ""), on, requests, *claims]
        for model in record.service.spec.models:
            config = model.config.model_dump(exclude_none=True) if model.config else {}
            what = [model.source.digest or model.source.uri, config.get("instances", 1)]
            text = json.dumps([where, what], sort_keys=True)
            yield model, hashlib.sha256(text.encode()).hexdigest()[:20]


def _classes(state: ClusterState, key: Key) -> frozenset[str]:
    """The class that a service's Deployment asks for, and those that its pods are on."""
    deployment = state.child(key, "Deployment", key.name)
    if deployment is None:
        return frozenset()
    on = asked_class(deployment)
    there = (
        pod.metadata.labels.get(names.LABEL_ACCELERATOR, on)
        for pod in state.pods(key)
        if pod.metadata.deletion_timestamp is None and holds_a_node(pod)
    )
    return frozenset((on, *there))


def _planned(state: ClusterState, key: Key) -> frozenset[str]:
    """These, and those that further replicas are to go to."""
    there, assignment = _classes(state, key), state.assignments.get(key)
    if not there or assignment is None:
        return there
    parts = (part.kind.name for part in assignment.parts)
    return there.union(parts, {assignment.growing} - {""})


def asked_class(deployment: Object) -> str:
    """The accelerator class that a Deployment's pods are for."""
    labels = deployment["spec"]["template"]["metadata"].get("labels", {})
    return str(labels.get(names.LABEL_ACCELERATOR, ""))
