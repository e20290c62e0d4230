"""A simulated service from the first request to the last: replicas, what the scaler sees, the bill.

Decides when replicas become ready, which go first, what a look shows. Requests are the ``kernel``'s
part; between two calls of it nothing but requests happens. One seed gives one history.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from conch.errors import UsageError
from conch.observe.types import Decision, PodSample, ScalingObservation
from conch.twin import kernel, metrics
from conch.twin.controller import Controller, Sight
from conch.twin.kernel import DRAINING, FREE, READY, STARTING, Fleet
from conch.twin.result import Fates, Result, Timeline, minutes_ok
from conch.twin.service import ServiceModel
from conch.twin.traces import Trace

Routing = Literal["least", "random", "connections"]

_LEFT_OVER_S: Final = 600.0  # requests still queued this long after the trace are given up
_COLD_STARTS: Final = 16  # as many measured ones the scaler is told
_SAMPLE: Final = 512  # latencies kept between two looks
_LOADING: Final = 0.5  # of a cold start: from here on the server's process runs
_ROUTINGS: Final = {
    "least": kernel.LEAST,
    "random": kernel.RANDOM,
    "connections": kernel.CONNECTIONS,
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything about a service and its cluster but the requests and the scaler.

    ``cold_start_s`` is the median, drawn uniformly within ``cold_start_spread`` of it.
    ``routing``: ``least`` outstanding, ``random`` per request, or ``connections``: that many
    long-lived channels, each moved after about ``recycle_s``. A look at the metrics shows them as
    of a scrape (every ``scrape_interval_s``; 0: continuously) about ``lag_s`` ago (uniform, drawn
    per look); a share ``loss`` of the pods' scrapes fails. ``rejected`` clients come back with
    probability ``retry_share`` after ``retry_delay_s``. ``crashes_per_hour`` is per ready pod;
    ``node_losses_s`` are moments at which ``pods_per_node`` pods die, replaced after
    ``eviction_s``. ``room`` is how many pods the cluster can hold (None: any number), and a share
    ``never_ready`` of all pods never becomes ready. ``drain_s`` is the least a drain lasts.
    """

    service: ServiceModel
    cold_start_s: float
    target_s: float
    max_replicas: int
    min_replicas: int = 1
    initial_replicas: int = 1
    percentile: float = 99.0
    cold_start_spread: float = 0.25
    routing: Routing = "least"
    channels: int = 64
    recycle_s: float = 300.0
    scrape_interval_s: float = 2.0
    lag_s: tuple[float, float] = (2.0, 5.0)
    loss: float = 0.0
    crashes_per_hour: float = 0.0
    node_losses_s: tuple[float, ...] = ()
    pods_per_node: int = 4
    eviction_s: float = 300.0
    room: int | None = None
    never_ready: float = 0.0
    drain_s: float = 0.0
    reject_after_s: float | None = None
    retry_share: float = 0.0
    retry_delay_s: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises UsageError for what can't be simulated."""
        if not (math.isfinite(self.cold_start_s) and self.cold_start_s > 0):
            raise UsageError(f"a cold start takes more than 0 s, not {self.cold_start_s:g}")
        if not 0 <= self.cold_start_spread < 1:
            raise UsageError(
                f"the cold start's spread is within 0..1, not {self.cold_start_spread}"
            )
        if not (math.isfinite(self.target_s) and self.target_s > 0):
            raise UsageError(f"the latency target must be more than 0 s, not {self.target_s:g}")
        if not 0 < self.percentile < 100:
            raise UsageError(f"the percentile is within 0..100, not {self.percentile}")
        if not 0 <= self.min_replicas <= self.max_replicas or self.max_replicas < 1:
            raise UsageError(
                f"replicas from {self.min_replicas} to {self.max_replicas} is no range"
            )
        if self.routing not in _ROUTINGS:
            raise UsageError(f"routing {self.routing!r} is none of {', '.join(_ROUTINGS)}")
        if not 0 <= self.lag_s[0] <= self.lag_s[1] or self.scrape_interval_s < 0:
            raise UsageError("metrics can't be older than none: lag and scrape interval are >= 0")


@dataclass(slots=True, eq=False)
class _Pod:
    serial: int
    uid: str
    slot: int
    asked_s: float
    running_s: float  # when its server's process runs
    restarts: int = 0


@dataclass(slots=True)
class _Ledger:
    """What is counted besides requests."""

    billed_s: float = 0.0
    scale_events: int = 0
    starts: int = 0
    peak: int = 0
    cold_starts_s: list[float] = field(default_factory=list)


class World:
    """One scenario and one trace; ``run`` any number of controllers against them."""

    def __init__(self, scenario: Scenario, trace: Trace) -> None:
        self.scenario = scenario
        self.trace = trace
        self._arrivals = trace.arrivals(scenario.seed)

    def run(self, controller: Controller) -> Result:
        """The whole trace under ``controller``, which must be new: it keeps its own state."""
        return _Run(self.scenario, self._arrivals, self.trace.length_s, controller).play()


class _Run:
    """One run. Times are seconds since the start of the trace."""

    def __init__(
        self,
        scenario: Scenario,
        arrivals: np.ndarray[tuple[int], np.dtype[np.float64]],
        length_s: float,
        controller: Controller,
    ) -> None:
        if controller.interval_s <= 0:
            raise UsageError(f"{controller.name} decides every {controller.interval_s} s")
        self._scenario = scenario
        self._controller = controller
        self._length_s = length_s
        self._random = np.random.default_rng(scenario.seed)
        self._fleet = build_fleet(scenario, arrivals)
        self._pods: dict[int, _Pod] = {}  # by slot; starting or ready
        self._draining: dict[int, tuple[_Pod, float]] = {}  # and since when
        self._serial = 0
        self._events: list[tuple[float, int, str, int]] = []
        self._number = 0
        self._ledger = _Ledger()
        self._wanted = min(
            max(scenario.initial_replicas, scenario.min_replicas), scenario.max_replicas
        )
        seconds = max(1, math.ceil(length_s))
        self._wanted_at = np.zeros(seconds, dtype=np.int64)
        self._ready_at = np.zeros(seconds, dtype=np.int64)
        self._recorded = 0
        self._snapshots: list[metrics.Snapshot] = [metrics.Snapshot(-math.inf)]
        self._seen = self._snapshots[0]

    # --- time -------------------------------------------------------------------------------------

    def play(self) -> Result:
        for _ in range(self._wanted):
            pod = self._start(0.0, 0.0)
            self._become_ready(pod, 0.0)
            self._ledger.cold_starts_s.append(self._cold_start_s())
        self._ledger.starts = 0
        self._schedule_looks()
        for at_s in self._scenario.node_losses_s:
            self._schedule(at_s, "node", 0)
        while self._events and self._events[0][0] < self._length_s:
            at_s, _, kind, key = heapq.heappop(self._events)
            kernel.advance(self._fleet, at_s)
            self._collect(at_s)
            self._record(at_s)
            self._happen(kind, key, at_s)
        kernel.advance(self._fleet, self._length_s)
        self._collect(self._length_s)
        self._record(self._length_s)
        self._settle()
        kernel.advance(self._fleet, self._length_s + _LEFT_OVER_S)
        return self._result()

    def _schedule(self, at_s: float, kind: str, key: int) -> None:
        self._number += 1
        heapq.heappush(self._events, (at_s, self._number, kind, key))

    def _schedule_looks(self) -> None:
        """Every look, and before it the scrape that it will show."""
        low, high = self._scenario.lag_s
        grid_s = self._scenario.scrape_interval_s
        scraped_s = -math.inf
        interval_s = self._controller.interval_s
        blind = getattr(self._controller, "blind", False)  # a plan needs no metrics: no scrapes
        for k in range(1, int(self._length_s / interval_s) + 1):
            look_s = k * interval_s
            at_s = look_s - self._random.uniform(low, high)
            if grid_s > 0:
                at_s = round(at_s / grid_s) * grid_s
                at_s -= grid_s * (at_s > look_s)
            at_s = max(at_s, scraped_s)
            if at_s >= 0 and at_s > scraped_s and not blind:
                self._schedule(at_s, "scrape", k)
                scraped_s = at_s
            self._schedule(look_s, "look", round(scraped_s * 1e6) if scraped_s >= 0 else -1)

    def _happen(self, kind: str, key: int, now_s: float) -> None:
        if kind == "scrape":
            self._scrape(now_s)
        elif kind == "look":
            self._look(key, now_s)
        elif kind == "ready":
            self._ready(key, now_s)
        elif kind == "crash":
            self._crash(key, now_s)
        elif kind == "node":
            self._lose_node(now_s)
        else:
            self._replace(key, now_s)

    def _record(self, now_s: float) -> None:
        until = min(math.ceil(now_s), self._wanted_at.size)
        self._wanted_at[self._recorded : until] = self._wanted
        self._ready_at[self._recorded : until] = self._fleet.ints[kernel.N_READY]
        self._recorded = max(self._recorded, until)

    # --- replicas ---------------------------------------------------------------------------------

    def _cold_start_s(self) -> float:
        spread = self._scenario.cold_start_spread
        return self._scenario.cold_start_s * self._random.uniform(1 - spread, 1 + spread)

    def _start(self, now_s: float, cold_start_s: float) -> _Pod:
        free = np.flatnonzero(self._fleet.state == FREE)
        slot = int(free[0])
        speed = max(0.1, 1 + self._scenario.service.spread * self._random.standard_normal())
        kernel.clear(self._fleet, slot, now_s, speed)
        self._serial += 1
        pod = _Pod(
            self._serial, f"pod-{self._serial}", slot, now_s, now_s + _LOADING * cold_start_s
        )
        self._pods[slot] = pod
        self._ledger.starts += 1
        return pod

    def _add(self, now_s: float) -> None:
        cold_start_s = self._cold_start_s()
        room = self._scenario.room
        no_room = room is not None and len(self._pods) + len(self._draining) >= room
        pod = self._start(now_s, cold_start_s)
        if no_room or self._random.random() < self._scenario.never_ready:
            pod.running_s = math.inf
            return
        self._schedule(now_s + cold_start_s, "ready", self._serial)

    def _pod(self, serial: int, state: int) -> _Pod | None:
        for slot, pod in self._pods.items():
            if pod.serial == serial and self._fleet.state[slot] == state:
                return pod
        return None

    def _ready(self, serial: int, now_s: float) -> None:
        pod = self._pod(serial, STARTING)
        if pod is None:
            return  # cancelled, or lost with its node
        if not pod.restarts:
            self._ledger.cold_starts_s.append(now_s - pod.asked_s)
            del self._ledger.cold_starts_s[:-_COLD_STARTS]
        self._become_ready(pod, now_s)

    def _become_ready(self, pod: _Pod, now_s: float) -> None:
        self._fleet.state[pod.slot] = READY
        self._fleet.touched_s[pod.slot] = now_s
        self._refresh_routes()
        if self._scenario.crashes_per_hour > 0:
            mean_s = 3600 / self._scenario.crashes_per_hour
            self._schedule(now_s + self._random.exponential(mean_s), "crash", pod.serial)

    def _refresh_routes(self) -> None:
        ready = np.flatnonzero(self._fleet.state == READY)
        self._fleet.ready[: ready.size] = ready
        self._fleet.ints[kernel.N_READY] = ready.size

    def _remove(self, pod: _Pod, now_s: float) -> None:
        """Take one replica out: at once when it is not ready, else after its queue is empty."""
        del self._pods[pod.slot]
        if self._fleet.state[pod.slot] != READY:
            self._free(pod, now_s)
            return
        self._fleet.state[pod.slot] = DRAINING
        self._fleet.empty_s[pod.slot] = now_s
        self._draining[pod.slot] = (pod, now_s)
        self._refresh_routes()

    def _free(self, pod: _Pod, until_s: float) -> None:
        self._ledger.billed_s += until_s - pod.asked_s
        self._fleet.state[pod.slot] = FREE
        self._fleet.event_s[pod.slot] = np.inf

    def _collect(self, now_s: float) -> None:
        """Drains that have ended by now."""
        for slot, (pod, since_s) in list(self._draining.items()):
            end_s = max(float(self._fleet.empty_s[slot]), since_s + self._scenario.drain_s)
            if self._fleet.outstanding[slot] == 0 and end_s <= now_s:
                del self._draining[slot]
                self._free(pod, end_s)

    def _crash(self, serial: int, now_s: float) -> None:
        pod = self._pod(serial, READY)
        if pod is None:
            return
        self._die(pod, now_s)
        pod.restarts += 1
        again_s = (1 - _LOADING) * self._cold_start_s()
        pod.running_s = now_s + again_s / 2
        self._schedule(now_s + again_s, "ready", serial)

    def _die(self, pod: _Pod, now_s: float) -> None:
        kernel.kill(self._fleet, pod.slot, now_s)
        kernel.clear(self._fleet, pod.slot, now_s, float(self._fleet.speed[pod.slot]))
        self._refresh_routes()

    def _lose_node(self, now_s: float) -> None:
        lost = [p for s, p in self._pods.items() if self._fleet.state[s] == READY]
        for pod in lost[: self._scenario.pods_per_node]:
            self._die(pod, now_s)
            pod.running_s = math.inf
            self._schedule(now_s + self._scenario.eviction_s, "replace", pod.serial)

    def _replace(self, serial: int, now_s: float) -> None:
        pod = self._pod(serial, STARTING)
        if pod is not None:
            self._remove(pod, now_s)
            self._add(now_s)

    # --- the scaler -------------------------------------------------------------------------------

    def _scrape(self, now_s: float) -> None:
        pods = [(p.uid, s) for s, p in self._pods.items() if self._fleet.state[s] == READY]
        found = metrics.snapshot(self._fleet, pods, now_s, self._scenario.percentile)
        self._snapshots.append(found)

    def _look(self, key: int, now_s: float) -> None:
        at_s = key / 1e6
        while len(self._snapshots) > 1 and self._snapshots[1].at_s <= at_s + 1e-6:
            del self._snapshots[0]
        decision = self._controller.decide(self._sight(self._snapshots[0], now_s))
        self._apply(decision, now_s)

    def _sight(self, shown: metrics.Snapshot, now_s: float) -> Sight:
        states = self._fleet.state
        ready = [pod for slot, pod in self._pods.items() if states[slot] == READY]
        starting = [pod for slot, pod in self._pods.items() if states[slot] != READY]
        samples: list[PodSample] = []
        in_flight: list[float] = []
        busy: list[float] = []
        before = self._seen
        elapsed_s = shown.at_s - before.at_s
        for pod in ready:
            sample = shown.samples.get(pod.uid)
            if sample is None:
                continue
            if self._scenario.loss > 0 and self._random.random() < self._scenario.loss:
                samples.append(PodSample(pod.uid, sample.at_s, {}, "no answer in time"))
                continue
            samples.append(sample)
            if math.isfinite(elapsed_s) and elapsed_s > 0 and pod.uid in before.in_flight_s:
                grown = shown.in_flight_s[pod.uid] - before.in_flight_s[pod.uid]
                in_flight.append(max(0.0, grown / elapsed_s))
                grown = shown.busy_s[pod.uid] - before.busy_s[pod.uid]
                busy.append(min(1.0, max(0.0, grown / elapsed_s)))
        latencies = shown.latencies_s if shown is not before else ()
        self._seen = shown
        room = self._scenario.room
        existing = len(self._pods)
        most = 10 * self._scenario.max_replicas if room is None else room
        return Sight(
            observation=ScalingObservation(
                now_s=now_s,
                replicas=self._wanted,
                ready=len(ready),
                starting_age_s=tuple(now_s - pod.asked_s for pod in starting),
                cold_start_s=tuple(self._ledger.cold_starts_s),
                room=max(0, most - existing),
                samples=tuple(samples),
            ),
            running=len(ready) + sum(pod.running_s <= now_s for pod in starting),
            in_flight=tuple(in_flight),
            busy=tuple(busy),
            latencies_s=latencies,
        )

    def _apply(self, decision: Decision, now_s: float) -> None:
        self._set_timeout(getattr(decision, "reject_after_s", None))
        scenario = self._scenario
        wanted = min(max(decision.replicas, scenario.min_replicas), scenario.max_replicas)
        if wanted != self._wanted:
            self._ledger.scale_events += 1
        self._wanted = wanted
        self._ledger.peak = max(self._ledger.peak, wanted)
        while len(self._pods) < wanted:
            self._add(now_s)
        surplus = len(self._pods) - wanted
        if surplus > 0:
            ranked = sorted(
                self._pods.values(),
                key=lambda pod: (self._fleet.state[pod.slot] == READY, -pod.asked_s, -pod.slot),
            )
            for pod in ranked[:surplus]:
                self._remove(pod, now_s)

    def _set_timeout(self, reject_after_s: float | None) -> None:
        if reject_after_s is None:
            reject_after_s = self._scenario.reject_after_s
        limit_s = math.inf if reject_after_s is None else reject_after_s
        if limit_s < math.inf and self._fleet.params[kernel.REJECT_AFTER_S] == math.inf:
            self._fleet.n_closed[:] = 0  # a queue policy forms batches when an instance asks
        self._fleet.params[kernel.REJECT_AFTER_S] = limit_s

    # --- the end ----------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Bill what is still there; what is queued may still end."""
        for pod in [*self._pods.values(), *(pod for pod, _ in self._draining.values())]:
            self._ledger.billed_s += self._length_s - pod.asked_s

    def _result(self) -> Result:
        end = int(self._fleet.ints[kernel.TRACE_END])
        fates = Fates(self._fleet.arrival_s[:end], self._fleet.latency_s[:end])
        seconds = self._wanted_at.size
        scenario = self._scenario
        late = fates.late(scenario.target_s)
        timeline = Timeline(
            arrivals=fates.per_second(None, seconds),
            late=fates.per_second(late, seconds),
            rejected=fates.per_second(fates.rejected, seconds),
            wanted=self._wanted_at,
            ready=self._ready_at,
            p99_s=fates.p99_windows(seconds),
        )
        p50_s, p99_s, p999_s = fates.quantiles()
        return Result(
            requests=end,
            late=int(late.sum()),
            rejected=int(fates.rejected.sum()),
            failed=int(fates.failed.sum()),
            retries=int(self._fleet.ints[kernel.RETRIED]),
            replica_hours=self._ledger.billed_s / 3600,
            p50_s=p50_s,
            p99_s=p99_s,
            p999_s=p999_s,
            minutes_ok=minutes_ok(timeline.arrivals, timeline.late, scenario.percentile),
            scale_events=self._ledger.scale_events,
            replica_starts=self._ledger.starts,
            peak_replicas=max(self._ledger.peak, int(self._wanted_at.max())),
            length_s=self._length_s,
            timeline=timeline,
        )


def build_fleet(
    scenario: Scenario, arrivals: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> Fleet:
    """The arrays of a run, with no replica yet. Room for twice the replicas: some drain."""
    service = scenario.service
    n = arrivals.size
    room = 3 * n if scenario.retry_share > 0 else 0
    slots = 2 * max(scenario.max_replicas, scenario.initial_replicas) + 16
    instances, limit, levels = service.instances, service.max_batch, len(service.priorities)
    ints = np.zeros(kernel.INTS, dtype=np.int64)
    ints[kernel.TRACE_END] = ints[kernel.RETRY_NEXT] = ints[kernel.RETRY_END] = n
    ints[kernel.ROUTING] = _ROUTINGS[scenario.routing]
    policy = service.max_queue_size > 0 or levels > 1
    params = np.zeros(kernel.PARAMS)
    params[kernel.REJECT_AFTER_S] = (
        math.inf if scenario.reject_after_s is None else scenario.reject_after_s
    )
    params[kernel.QUEUE_DELAY_S] = service.max_queue_delay_s
    params[kernel.NOISE] = math.sqrt(math.log1p(service.noise**2))
    params[kernel.RETRY_SHARE] = scenario.retry_share
    params[kernel.RETRY_DELAY_S] = scenario.retry_delay_s
    params[kernel.RECYCLE_S] = scenario.recycle_s
    params[kernel.MAX_QUEUE] = service.max_queue_size or math.inf
    params[kernel.AHEAD] = service.ahead and service.max_queue_delay_s > 0 and not policy
    preferred = service.preferred or (limit,)
    best = [max((p for p in preferred if p <= k), default=0) for k in range(limit + 1)]
    shares = np.cumsum(service.priorities)

    def integers(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return np.zeros(shape, dtype=np.int64)

    return Fleet(
        arrival_s=np.concatenate([arrivals, np.full(room, np.inf)]),
        latency_s=np.full(n + room, np.nan, dtype=np.float32),
        link=np.full(n + room, -1, dtype=np.int32),
        ints=ints,
        params=params,
        rng=np.array([scenario.seed * 2654435761 + 0x9E3779B97F4A7C15], dtype=np.uint64),
        service_s=np.array([0.0, *service.service_s]),
        best_preferred=np.array(best, dtype=np.int64),
        drift_s=np.array([t for t, _ in service.drift]),
        drift=np.array([factor for _, factor in service.drift]),
        priority=shares / shares[-1],
        state=integers(slots),
        ready=integers(slots),
        outstanding=integers(slots),
        waiting=integers(slots),
        head=integers(slots, levels) - 1,
        tail=integers(slots, levels) - 1,
        idle=integers(slots) + instances,
        timer_s=np.full(slots, np.inf),
        event_s=np.full(slots, np.inf),
        speed=np.ones(slots),
        closed=integers(slots, 2 * instances),
        n_closed=integers(slots),
        touched_s=np.zeros(slots),
        empty_s=np.zeros(slots),
        ends_s=np.full((slots, instances), np.inf),
        starts_s=np.zeros((slots, instances)),
        first=integers(slots, instances),
        size=integers(slots, instances),
        counters=np.zeros((slots, kernel.COUNTERS)),
        batch_count=np.zeros((slots, limit + 1)),
        batch_s=np.zeros((slots, limit + 1)),
        histogram=np.zeros((slots, kernel.WINDOW_STEPS, kernel.BINS), dtype=np.int32),
        epoch=integers(slots, kernel.WINDOW_STEPS) - 1,
        sample_s=np.zeros(_SAMPLE),
        channel=integers(scenario.channels) - 1,
        channel_until_s=np.zeros(scenario.channels),
    )
