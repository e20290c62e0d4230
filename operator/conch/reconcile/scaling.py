"""The scaling loop: look at every Triton pod, let the pure scaler decide, publish decisions.

It writes nothing: a changed decision wakes the service's reconcile, which writes ``replicas``. What
goes wrong with one service (a hanging pod, a defect of ours) delays and stops no other.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from conch.api import names
from conch.api.conditions import Reason
from conch.autoscale import ScalerState, step
from conch.autoscale.schedule import limits
from conch.kube.views import Pod
from conch.observe.attained import WINDOWS, Attained
from conch.observe.durations import seconds
from conch.observe.history import History
from conch.observe.state import ClusterState, Record
from conch.observe.types import Decision, Key, ScalingObservation, ScalingPolicy
from conch.reconcile.memory import Memory
from conch.reconcile.placement import holds_a_node
from conch.reconcile.queue import Priority, WorkQueue
from conch.reconcile.sources import Sources
from conch.reconcile.to_zero import ToZero
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from conch.triton.repository import load_problems
from conch.triton.sample import PodSample
from conch.triton.scrape import open_session, scrape

logger = logging.getLogger(__name__)

# Numbers in the status follow the measurements only when they moved by this share, and not more
# often than this: a status that changes with every scrape is a write with every scrape.
_WORTH_SHOWING = ((0.5, 6.0), (0.2, 30.0))
# A round without answers holds the replicas at once, but is told only if it lasts: one busy moment,
# here or on the way, is no news, and telling of it and of its end costs two writes per service.
_SILENCE_TOLD_AFTER_S = 4.0
# Pods looked at at once, on two connections each. A place is waited for before a pod's time-out
# begins: pods that hang must not make others look silent.
_LOOKS = 128
# Share of the interval over which a round's looks start, and the most between two of them.
_SPREAD = 0.7
_LONGEST_GAP_S = 0.01


class ScalingLoop:
    """One round over all services every interval."""

    def __init__(
        self, state: ClusterState, queue: WorkQueue, settings: Settings, metrics: Metrics
    ) -> None:
        self._state = state
        self._queue = queue
        self._metrics = metrics
        self._interval_s = settings.scrape_interval_s
        self._timeout_s = settings.scrape_timeout_s
        self._looks = asyncio.Semaphore(_LOOKS)
        # By the service's uid: a namesake starts anew.
        self._scalers: dict[str, ScalerState] = {}
        self._shown_at_s: dict[str, float] = {}
        self._silent_since_s: dict[str, float] = {}
        self._defects: dict[str, str] = {}
        self._histories: dict[str, History] = {}
        self._attained: dict[str, Attained] = {}
        self._to_zero = ToZero(state)
        self.memory = Memory(state, self._scalers)
        self._sources = Sources(settings)
        self.last_round_s = 0.0

    async def run(self) -> None:
        """Scrape and decide until cancelled."""
        loop = asyncio.get_running_loop()
        async with aclosing(self._sources), open_session(connections=2 * _LOOKS) as session:
            while True:
                started = loop.time()
                await self.round(session)
                took_s = loop.time() - started
                self.last_round_s = loop.time()
                self._metrics.scaling_seconds.observe(took_s)
                await asyncio.sleep(max(0.1, self._interval_s - took_s))

    async def round(self, session: aiohttp.ClientSession) -> None:
        """Look at every ready pod once and decide for every service."""
        services = {
            key: record
            for key, record in self._state.services.items()
            if record.service is not None
        }
        living = {_uid(record) for record in services.values()}
        memories: tuple[dict[str, Any], ...] = (
            self._scalers,
            self._shown_at_s,
            self._silent_since_s,
            self._defects,
            self._histories,
            self._attained,
        )
        for memory in memories:
            for uid in memory.keys() - living:
                del memory[uid]
        self._to_zero.keep(living)
        self._sources.keep(living)
        # One slow service must not delay the decision for another: each decides when its own
        # pods have answered, and every answer has its time-out.
        # They start one after another, over most of the interval: all at once would keep the event
        # loop from reconciles for as long as hundreds of answers take to read.
        gap_s = min(_LONGEST_GAP_S, _SPREAD * self._interval_s / max(1, len(services)))
        await asyncio.gather(
            *(
                self._turn(session, key, delay_s=number * gap_s)
                for number, key in enumerate(services)
            )
        )

    async def _turn(self, session: aiohttp.ClientSession, key: Key, delay_s: float) -> None:
        """One service's part of a round. A defect of ours holds its replicas and says so."""
        await asyncio.sleep(delay_s)
        record = self._state.services.get(key)
        if record is None or record.service is None:
            return
        uid = _uid(record)
        try:
            await self._decide(session, key, record)
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

    async def _decide(self, session: aiohttp.ClientSession, key: Key, record: Record) -> None:
        if self._state.live_replicas(key) is None:
            return
        now = datetime.now(UTC)
        policy = policy_of(record, now)
        ready = [p for p in self._state.pods(key) if p.ready and p.status.pod_ip]
        uid = _uid(record)
        _, samples = await asyncio.gather(
            self._ask_starting(session, key),
            self._samples(session, key, ready, policy, uid),
        )
        live = self._state.live_replicas(key)
        if live is None or not self._is_current(key, uid):
            return
        now_s = asyncio.get_running_loop().time()
        self._histories.setdefault(uid, History(self._interval_s)).look(samples, now_s)
        observation = self._observation(key, record, live, samples, now_s)
        first = uid not in self._scalers
        self._scalers[uid], decision = step(
            policy, self._scalers.get(uid) or self.memory.begin(key, record), observation
        )
        self._account(key, uid, policy, decision, now_s)
        if record.service is not None:
            idle = self._to_zero.decide(key, record.service, decision, samples, live, now_s)
            if limits(record.service.spec.scaling, now).least == 0:  # no schedule keeps it up
                decision = idle
        self._metrics.deciding_seconds.inc(asyncio.get_running_loop().time() - now_s)
        self._measure(key, policy, decision)
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
            self._publish(key, _uid(record), decision, 0, now_s)
        self._queue.add(key, Priority.CHILD)  # who listens is part of what is written

    def arrivals(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Requests/s by model over the last hour, as JSON for ``conch trace``; None: not known."""
        record = self._state.services.get(Key(namespace, name))
        history = self._histories.get(_uid(record)) if record is not None else None
        found = history.arrivals() if history is not None else None
        if found is None:
            return None
        age_s = asyncio.get_running_loop().time() - found.end_s
        end = datetime.now(UTC) - timedelta(seconds=age_s)
        rates = {model: [round(r, 4) for r in rates] for model, rates in found.rates.items()}
        return {"end": end.isoformat(), "bin_s": found.bin_s, "rates": rates}

    def _is_current(self, key: Key, uid: str) -> bool:
        record = self._state.services.get(key)
        return record is not None and _uid(record) == uid

    async def _ask_starting(self, session: aiohttp.ClientSession, key: Key) -> None:
        """Ask servers that run without being ready which models they cannot load, and why."""
        pods = [p for p in self._state.pods(key) if _server_runs(p) and not p.ready]
        answers = await asyncio.gather(*(self._ask(session, p) for p in pods))
        for pod, problems in zip(pods, answers, strict=True):
            message = "; ".join(f"{name}: {why}" for name, why in sorted(problems.items()))
            if self._state.set_model_problem(pod.metadata.uid, message) is not None:
                self._queue.add(key, Priority.CHILD)

    async def _ask(self, session: aiohttp.ClientSession, pod: Pod) -> dict[str, str]:
        async with self._looks:
            return await load_problems(session, pod.status.pod_ip, self._timeout_s)

    async def _samples(
        self,
        session: aiohttp.ClientSession,
        key: Key,
        ready: list[Pod],
        policy: ScalingPolicy,
        uid: str,
    ) -> tuple[PodSample, ...]:
        scaler = self._scalers.get(uid)
        samples = await self._sources.look(
            key,
            uid,
            {p.metadata.name: p.metadata.uid for p in ready},
            policy,
            scaler.baselines if scaler is not None else {},
            asyncio.get_running_loop().time,
            lambda: asyncio.gather(*(self._look(session, p, policy, uid) for p in ready)),
        )
        for sample in samples:
            self._metrics.scrapes.labels("error" if sample.error else "ok").inc()
        return samples

    async def _look(
        self, session: aiohttp.ClientSession, pod: Pod, policy: ScalingPolicy, uid: str
    ) -> PodSample:
        scaler = self._scalers.get(uid)
        before = scaler.baselines.get(pod.metadata.uid) if scaler is not None else None
        async with self._looks:
            sample = await scrape(
                session,
                pod.metadata.uid,
                pod.status.pod_ip,
                policy.models,
                policy.percentile,
                self._timeout_s,
                asyncio.get_running_loop().time,
                before,
            )
        if sample.error:
            logger.debug("pod %s: %s", pod.metadata.name, sample.error)
        return sample

    def _observation(
        self,
        key: Key,
        record: Record,
        live: int,
        samples: tuple[PodSample, ...],
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
        starting = [p for p in alive if not p.ready]
        assignment = self._state.assignments.get(key)
        # The planner counts room beyond the pods that have a node; pods that wait for one are
        # going to take some of it.
        waiting = sum(not holds_a_node(p) for p in alive)
        return ScalingObservation(
            now_s=now_s,
            replicas=live,
            ready=sum(p.ready for p in alive),
            starting_age_s=tuple(
                max(0.0, wall_s - datetime.fromisoformat(p.metadata.creation_timestamp).timestamp())
                for p in starting
            ),
            cold_start_s=self._state.cold_starts_s(key) or self.memory.starts_s(key, record),
            room=max(0, assignment.room - waiting) if assignment else 0,
            samples=samples,
        )

    def _publish(self, key: Key, uid: str, decision: Decision, live: int, now_s: float) -> None:
        shown = self._state.decisions.get(key)
        if self._is_moment_of_silence(uid, shown, decision, now_s):
            return
        age_s = now_s - self._shown_at_s.get(uid, float("-inf"))
        if shown is not None and not _differs(shown, decision, age_s):
            return
        if shown is None or shown.replicas != decision.replicas:
            self._metrics.decisions.labels(decision.reason.value).inc()
        self._state.decisions[key] = decision
        self._shown_at_s[uid] = now_s
        self._queue.add(key, Priority.CHILD if decision.replicas == live else Priority.SCALE)

    def _is_moment_of_silence(
        self, uid: str, shown: Decision | None, decision: Decision, now_s: float
    ) -> bool:
        if decision.reason is not Reason.NO_METRICS:
            self._silent_since_s.pop(uid, None)
            return False
        since_s = self._silent_since_s.setdefault(uid, now_s)
        told = shown is not None and shown.replicas == decision.replicas
        return told and now_s - since_s < _SILENCE_TOLD_AFTER_S

    def _account(
        self, key: Key, uid: str, policy: ScalingPolicy, decision: Decision, now_s: float
    ) -> None:
        labels = (key.namespace, key.name)
        self._metrics.ended.labels(*labels).inc(decision.ended)
        self._metrics.late.labels(*labels).inc(decision.late)
        attained = self._attained.setdefault(uid, Attained())
        attained.look(decision.ended, decision.late, now_s)
        allowed = 1 - policy.percentile / 100
        for window in WINDOWS:
            for gauge, value in (
                (self._metrics.attained, attained.share(window)),
                (self._metrics.budget_left, attained.budget_left(window, allowed)),
            ):
                if value is None:
                    gauge.remove(*labels, window)
                else:
                    gauge.labels(*labels, window).set(value)

    def _measure(self, key: Key, policy: ScalingPolicy, decision: Decision) -> None:
        labels = (key.namespace, key.name)
        for gauge, value in (
            (self._metrics.target, policy.target_s),
            (self._metrics.demand, decision.demand_rps),
            (self._metrics.bound, decision.bound_rps),
            (self._metrics.capacity, decision.capacity_rps),
            (self._metrics.latency, decision.latency_s),
            (self._metrics.reject_after, decision.reject_after_s),
        ):
            if value is None:
                gauge.remove(*labels)  # unknown now: no number is better than an old one
            else:
                gauge.labels(*labels).set(value)


def _uid(record: Record) -> str:
    return str(record.raw["metadata"]["uid"])


def _server_runs(pod: Pod) -> bool:
    return (
        pod.metadata.deletion_timestamp is None
        and bool(pod.status.pod_ip)
        and any(
            status.name == names.CONTAINER_TRITON and status.state.running is not None
            for status in pod.status.container_statuses
        )
    )


def policy_of(record: Record, now: datetime) -> ScalingPolicy:
    """The scaler's view of a spec, with what is scheduled for now. The record must be parsed."""
    if record.service is None:
        raise ValueError("an InferenceService that could not be parsed has no policy")
    spec = record.service.spec
    objective = spec.objectives.latency
    bounds = limits(spec.scaling, now)
    configs = {m.name: m.config for m in spec.models if m.config is not None}
    return ScalingPolicy(
        percentile=objective.percentile,
        target_s=seconds(objective.target),
        min_replicas=max(1, bounds.least),  # zero is decided elsewhere: to_zero
        max_replicas=bounds.most,
        models=tuple(m.name for m in spec.models),
        max_batch={
            name: config.max_batch_size
            for name, config in configs.items()
            if config.max_batch_size is not None
        },
        instances={
            name: config.instances
            for name, config in configs.items()
            if config.instances is not None
        },
        late_reject=objective.reject_late,
        queue_delay_s={
            name: seconds(config.dynamic_batching.max_queue_delay)
            for name, config in configs.items()
            if config.dynamic_batching is not None
            and config.dynamic_batching.max_queue_delay is not None
        },
    )


def _differs(shown: Decision, new: Decision, age_s: float) -> bool:
    """Whether people should see the new decision: at once for what changed, in time for numbers."""
    if _facts(shown) != _facts(new):
        return True
    rates = ((shown.demand_rps, new.demand_rps), (shown.bound_rps, new.bound_rps))
    others = ((shown.capacity_rps, new.capacity_rps), (shown.latency_s, new.latency_s))
    return any(
        age_s >= least_s
        and (
            any(_moved(a, b, share, least_s) for a, b in rates)
            or any(_moved(a, b, share) for a, b in others)
        )
        for share, least_s in _WORTH_SHOWING
    )


def _facts(decision: Decision) -> tuple[object, ...]:
    return (
        decision.replicas,
        decision.reason,
        decision.not_answering,
        decision.failing,
        decision.reject_after_s,
    )


def _moved(a: float | None, b: float | None, share: float, counted_s: float | None = None) -> bool:
    """Whether two numbers differ by more than ``share`` of the larger one.

    Rates differ by chance, too: requests counted for ``counted_s`` scatter like Poisson arrivals,
    and a few a second must not look like news all the time.
    """
    if a is None or b is None:
        return a is not b
    larger = max(abs(a), abs(b))
    chance = 0.0 if counted_s is None else 2 * math.sqrt(larger / counted_s)
    return abs(a - b) > share * larger + chance
