"""The scaling loop: look at every Triton pod, let the pure scaler decide, publish decisions.

It writes nothing: a changed decision wakes the service's reconcile, which writes ``replicas``. What
goes wrong with one service (a hanging pod, a defect of ours) delays and stops no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from conch.api.conditions import Reason
from conch.autoscale import ScalerState, step
from conch.autoscale.schedule import limits
from conch.autoscale.season import week_s
from conch.observe.history import History
from conch.observe.state import ClusterState, Record
from conch.observe.types import Decision, Key, PodSample, ScalingObservation, ScalingPolicy
from conch.reconcile.ages import Ages
from conch.reconcile.figures import Figures
from conch.reconcile.footprints import Footprints
from conch.reconcile.looks import Looks, groups_of
from conch.reconcile.memory import Memory, asked_class
from conch.reconcile.news import News
from conch.reconcile.patience import holds_a_node
from conch.reconcile.policy import agreed, informed, policy_of
from conch.reconcile.prospects import Prospects
from conch.reconcile.queue import Priority, WorkQueue
from conch.reconcile.sources import Samples
from conch.reconcile.steps import sites
from conch.reconcile.to_zero import ToZero
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from conch.triton.configuration import ModelConfig

logger = logging.getLogger(__name__)

# Share of the interval over which a round's looks start, and the most between two of them.
_SPREAD = 0.7
_LONGEST_GAP_S = 0.01


class ScalingLoop:
    """One round over all services every interval.

    ``replan`` is called when what looks tell of a service's memory is news to placement.
    """

    def __init__(
        self,
        state: ClusterState,
        queue: WorkQueue,
        settings: Settings,
        metrics: Metrics,
        footprints: Footprints | None = None,
        replan: Callable[[], None] = lambda: None,
    ) -> None:
        self._state = state
        self._queue = queue
        self._metrics = metrics
        self._interval_s = settings.scrape_interval_s
        self._looks = Looks(state, queue, settings, metrics)
        # By the service's uid: a namesake starts anew.
        self._scalers: dict[str, ScalerState] = {}
        self._defects: dict[str, str] = {}
        self._histories: dict[str, History] = {}
        self._configs: dict[str, dict[str, ModelConfig]] = {}  # by model, as its servers last told
        self._news = News()
        self._figures = Figures(metrics)
        self._to_zero = ToZero(state)
        self._footprints = footprints or Footprints(state, settings)
        self._replan = replan
        self.memory = Memory(state, self._scalers, self._footprints.book)
        self._prospects = Prospects(state, self.memory)
        self._ages = Ages()
        self.last_round_s = 0.0

    async def run(self) -> None:
        """Scrape and decide until cancelled."""
        loop = asyncio.get_running_loop()
        async with aclosing(self._looks.sources):
            while True:
                started = loop.time()
                await self.round()
                took_s = loop.time() - started
                self.last_round_s = loop.time()
                self._metrics.scaling_seconds.observe(took_s)
                await asyncio.sleep(max(0.1, self._interval_s - took_s))

    async def round(self) -> None:
        """Look at every ready pod once and decide for every service."""
        services = {
            key: record
            for key, record in self._state.services.items()
            if record.service is not None
        }
        living = {record.uid for record in services.values()}
        memories: tuple[dict[str, Any], ...] = (
            self._scalers,
            self._defects,
            self._histories,
            self._configs,
        )
        for memory in memories:
            for uid in memory.keys() - living:
                del memory[uid]
        for keeper in (
            self._to_zero,
            self._looks.sources,
            self._news,
            self._figures,
            self._prospects,
            self._ages,
        ):
            keeper.keep(living)
        self.memory.forget(living)
        # One slow service must not delay the decision for another: each decides when its own
        # pods have answered, and every answer has its time-out.
        # They start one after another, over most of the interval: all at once would keep the event
        # loop from reconciles for as long as hundreds of answers take to read.
        gap_s = min(_LONGEST_GAP_S, _SPREAD * self._interval_s / max(1, len(services)))
        await asyncio.gather(
            *(self._turn(key, delay_s=number * gap_s) for number, key in enumerate(services))
        )

    async def _turn(self, key: Key, delay_s: float) -> None:
        """One service's part of a round. A defect of ours holds its replicas and says so."""
        await asyncio.sleep(delay_s)
        record = self._state.services.get(key)
        if record is None or record.service is None:
            return
        uid = record.uid
        try:
            await self._decide(key, record)
            self._defects.pop(uid, None)
        except Exception as error:
            if self._defects.get(uid) != repr(error):
                self._defects[uid] = repr(error)
                logger.exception("%s: scaling failed", key)
            self._scalers.pop(uid, None)  # what it has learned may be the cause
            self.memory.doubt(key, record)
            live = self._state.live_replicas(key)
            if live is not None and self._is_current(key, uid):
                message = f"Conch failed on this: {error!r}: holding {live}"
                decision = Decision(live, Reason.STEP_ERROR, message)
                self._publish(key, uid, decision, live, asyncio.get_running_loop().time())

    async def _decide(self, key: Key, record: Record) -> None:
        if self._state.live_replicas(key) is None:
            return
        now = datetime.now(UTC)
        policy = self._at_sites(key, record, policy_of(record, now, self._state.carbon_of(key)))
        uid = record.uid
        samples = await self._looks.at(key, uid, policy, self.looks(uid))
        live = self._state.live_replicas(key)
        if live is None or not self._is_current(key, uid):
            return
        now_s = asyncio.get_running_loop().time()
        self._histories.setdefault(uid, History(self._interval_s)).look(samples, now_s)
        if self._footprints.look(key, record, samples):
            self._replan()
        observation = self._observation(key, record, live, samples, now_s)
        first = uid not in self._scalers
        if told := agreed(samples):
            self._configs[uid] = told
        policy = informed(policy, self._configs.get(uid, {}))
        known = self._scalers.get(uid) or self.memory.begin(key, record)
        known = self.memory.settle(key, record, known)
        self._scalers[uid], decision = step(policy, known, observation)
        self._prospects.look(key, record, policy, self._scalers[uid], decision, now_s)
        self._state.budget_left[key] = self._figures.account(key, uid, policy, decision, now_s)
        if record.service is not None:
            idle = self._to_zero.decide(key, record.service, decision, samples, live, now_s)
            if limits(record.service.spec.scaling, now).least == 0:  # no schedule keeps it up
                decision = idle
        self._metrics.deciding_seconds.inc(asyncio.get_running_loop().time() - now_s)
        self._figures.measure(key, policy, decision)
        if first and decision.reason is Reason.LEARNING and decision.replicas == live:
            return  # one look says nothing: what was told before, by whomever, holds until the next
        self._publish(key, uid, decision, live, now_s)

    def looks(self, uid: str) -> Mapping[str, PodSample]:
        """The last good look at each pod, by its uid, of the service with that uid."""
        scaler = self._scalers.get(uid)
        return scaler.baselines if scaler is not None else {}

    def wake(self, key: Key) -> None:
        """An activator has news of a service: at zero somebody may wait for the first replica."""
        record = self._state.services.get(key)
        if record is None or record.service is None:
            return
        now_s = asyncio.get_running_loop().time()
        decision = self._to_zero.at_zero(key, record.service, now_s)
        if decision is not None:
            self._publish(key, record.uid, decision, 0, now_s)
        self._queue.add(key, Priority.CHILD)  # who listens is part of what is written

    def arrivals(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Requests/s by model over the last hour, as JSON for ``conch trace``; None: not known."""
        record = self._state.services.get(Key(namespace, name))
        history = self._histories.get(record.uid) if record is not None else None
        found = history.arrivals() if history is not None else None
        if found is None:
            return None
        age_s = asyncio.get_running_loop().time() - found.end_s
        end = datetime.now(UTC) - timedelta(seconds=age_s)
        rates = {model: [round(r, 4) for r in rates] for model, rates in found.rates.items()}
        return {"end": end.isoformat(), "bin_s": found.bin_s, "rates": rates}

    def _at_sites(self, key: Key, record: Record, policy: ScalingPolicy) -> ScalingPolicy:
        """The policy with each site's own minimum."""
        if record.service is None:
            return policy
        placement, assignment = record.service.spec.placement, self._state.assignments.get(key)
        least = sites.floor(sites.needs(placement, self._state.sites(key), assignment))
        if least <= policy.min_replicas:
            return policy
        return replace(policy, min_replicas=least, max_replicas=max(least, policy.max_replicas))

    def _is_current(self, key: Key, uid: str) -> bool:
        record = self._state.services.get(key)
        return record is not None and record.uid == uid

    def _observation(
        self,
        key: Key,
        record: Record,
        live: int,
        samples: Samples,
        now_s: float,
    ) -> ScalingObservation:
        # Pods whose node goes are served from, but not counted on.
        leaving = {p.metadata.uid for p in self._state.leaving(key)}
        alive = [
            p
            for p in self._state.pods(key)
            if p.metadata.deletion_timestamp is None and p.metadata.uid not in leaving
        ]
        wall_s = datetime.now(UTC).timestamp()
        ages_s = self._ages.look(record.uid, alive, now_s, wall_s)
        starting = [p for p in alive if not p.ready]
        assignment = self._state.assignments.get(key)
        # The planner counts room beyond the pods that have a node; pods that wait for one are
        # going to take some of it.
        waiting = sum(not holds_a_node(p) for p in alive)
        groups = groups_of(self._state, key)
        deployment = self._state.child(key, "Deployment", key.name)
        asked = asked_class(deployment) if deployment is not None else ""
        # Who goes elsewhere leaves the class that it does not ask for any more.
        left = min({groups[p.metadata.uid] for p in alive} - {asked}, default=asked)
        return ScalingObservation(
            now_s=now_s,
            replicas=live,
            ready=sum(p.ready for p in alive),
            starting_age_s=tuple(ages_s[p.metadata.uid] for p in starting),
            cold_start_s=self._state.cold_starts_s(key) or self.memory.starts_s(key, record),
            room=max(0, assignment.room + assignment.room_beside - waiting) if assignment else 0,
            samples=samples,
            starting_groups=tuple(groups[p.metadata.uid] for p in starting),
            growing=(assignment.growing if assignment else "") or asked,
            shrinking=assignment.shrinking if assignment and assignment.parts else left,
            time_of_week_s=week_s(wall_s),
        )

    def _publish(self, key: Key, uid: str, decision: Decision, live: int, now_s: float) -> None:
        shown = self._state.decisions.get(key)
        if not self._news.is_worth(uid, shown, decision, now_s):
            return
        if shown is None or shown.replicas != decision.replicas:
            self._metrics.decisions.labels(decision.reason.value).inc()
        self._state.decisions[key] = decision
        self._queue.add(key, Priority.CHILD if decision.replicas == live else Priority.SCALE)
