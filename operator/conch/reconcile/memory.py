"""What survives a restart, curves and footprints: one ConfigMap in the operator's own namespace.

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
from conch.errors import ConchError, LeaseLost, NotFound
from conch.kube.transport import Api, path
from conch.kube.views import Object
from conch.observe.state import ClusterState, Record
from conch.observe.types import AcceleratorKind, Key
from conch.reconcile.apply import Writer
from conch.reconcile.footprint_book import PREFIX, FootprintBook, Known
from conch.reconcile.patience import holds_a_node

logger = logging.getLogger(__name__)

CONFIG_MAP: Final = "conch-learned"
_MOST_ENTRIES: Final = 1000
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
        self._entries: dict[str, memory.Learned] = {}
        self._doubted: set[str] = set()
        self._on: dict[str, str] = {}  # by uid: the class that a scaler's curves are of

    # --- giving -----------------------------------------------------------------------------------

    def begin(self, key: Key, record: Record) -> ScalerState:
        """Where the scaler of a service starts."""
        models = {
            model.name: self._entries[entry].begin()
            for model, entry in self._of(key, record)
            if entry in self._entries and entry not in self._doubted
        }
        return ScalerState(models=models)

    def settle(self, key: Key, record: Record, scaler: ScalerState) -> ScalerState:
        """The scaler of a service, which forgets what it learned on a class that it has left.

        Its plans stay until it knows better: demand goes on, and what is remembered of the new
        class, or three executions there, replace them.
        """
        uid, on = str(record.raw["metadata"]["uid"]), _class_of_all(self._state, key)
        if on is None or self._on.setdefault(uid, on) == on:
            return scaler
        self._on[uid] = on
        known = self.begin(key, record).models
        models = {
            name: replace(model, curve=known[name].curve if name in known else Curve())
            for name, model in scaler.models.items()
        }
        return replace(scaler, models=models)

    def is_settled(self, key: Key, record: Record) -> bool:
        """Whether all that a service's scaler sees is of one class, and known as that."""
        uid, on = str(record.raw["metadata"]["uid"]), _class_of_all(self._state, key)
        return on is not None and self._on.get(uid, on) == on

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
        self._doubted.update(entry for _, entry in self._of(key, record))

    # --- taking -----------------------------------------------------------------------------------

    def learn(self, now: float) -> bool:
        """Take in what scalers know now (``now``: the time of day); whether there is any news."""
        news = self._book.is_news()
        for key, record in list(self._state.services.items()):
            uid = str(record.raw["metadata"]["uid"])
            scaler = self._scalers.get(uid)
            if scaler is None or record.service is None:
                continue
            on = _class_of_all(self._state, key)
            if on is None or self._on.get(uid, on) != on:
                continue  # what was seen lately is of two classes
            for model, entry in self._of(key, record):
                known = scaler.models.get(model.name)
                if known is None or entry in self._doubted:
                    continue
                name = f"{key}: {model.name}"
                starts = self._state.cold_starts_s(key)
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
        entries: dict[str, memory.Learned | Known] = {
            **self._entries,
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
        return kept

    def load(self, data: Mapping[str, Any]) -> None:
        """Take in what an earlier operator wrote; what cannot be read is left out and logged."""
        problems = []
        for entry, text in list(data.items())[:_MOST_ENTRIES]:
            try:
                if entry.startswith(PREFIX):
                    self._book.load(entry, str(text))
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
        on = template["metadata"].get("labels", {}).get(names.LABEL_ACCELERATOR, "")
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


def _class_of_all(state: ClusterState, key: Key) -> str | None:
    """The class that all of a service's pods are on; None while it goes from one to another."""
    deployment = state.child(key, "Deployment", key.name)
    if deployment is None:
        return None
    labels = deployment["spec"]["template"]["metadata"].get("labels", {})
    on = str(labels.get(names.LABEL_ACCELERATOR, ""))
    there = {
        pod.metadata.labels.get(names.LABEL_ACCELERATOR, on)
        for pod in state.pods(key)
        if pod.metadata.deletion_timestamp is None and holds_a_node(pod)
    }
    return on if there <= {on} else None
