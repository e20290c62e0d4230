"""A simulated service from the first request to the last: replicas, what the scaler sees, the bill.

Decides when replicas become ready, which go first, what a look shows. Requests are the ``kernel``'s
part; between two calls of it nothing but requests happens. One seed gives one history.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from conch.autoscale.season import WEEK_S
from conch.errors import UsageError
from conch.observe.types import Decision, ScalingObservation
from conch.twin import kernel
from conch.twin.controller import Controller, Sight
from conch.twin.fleet import build_fleet, set_batcher
from conch.twin.kernel import DRAINING, FREE, READY, STARTING
from conch.twin.result import Fates, Result, Timeline, minutes_ok
from conch.twin.scenario import Lot
from conch.twin.scenario import Scenario as Scenario
from conch.twin.scrapes import Scrapes
from conch.twin.traces import Trace

_LEFT_OVER_S: Final = 600.0  # requests still queued this long after the trace are given up
_COLD_STARTS: Final = 16  # as many measured ones the scaler is told
_ALIKE: Final = Lot("")
_LOADING: Final = 0.5  # of a cold start: from here on the server's process runs


@dataclass(slots=True, eq=False)
class _Pod:
    serial: int
    uid: str
    slot: int
    asked_s: float
    running_s: float  # when its server's process runs
    lot: int = 0
    restarts: int = 0


def _has_room(lot: Lot, taken: int) -> bool:
    return lot.room is None or taken < lot.room


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
        return _Run(self.scenario, self._arrivals, self.trace, controller).play()


class _Run:
    """One run. Times are seconds since the start of the trace."""

    def __init__(
        self,
        scenario: Scenario,
        arrivals: np.ndarray[tuple[int], np.dtype[np.float64]],
        trace: Trace,
        controller: Controller,
    ) -> None:
        if controller.interval_s <= 0:
            raise UsageError(f"{controller.name} decides every {controller.interval_s} s")
        self._scenario = scenario
        self._controller = controller
        self._length_s = length_s = trace.length_s
        self._week_s = trace.week_s
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
        self._scrapes = Scrapes(self._fleet, scenario, self._random)

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
        spread, usual_s = self._scenario.cold_start_spread, self._scenario.cold_start_s
        if measured := self._scenario.cold_starts_s:
            usual_s = measured[self._random.integers(len(measured))]
        return usual_s * self._random.uniform(1 - spread, 1 + spread)

    def _start(self, now_s: float, cold_start_s: float) -> _Pod:
        free = np.flatnonzero(self._fleet.state == FREE)
        slot = int(free[0])
        speed = max(0.1, 1 + self._scenario.service.spread * self._random.standard_normal())
        lot = self._growing()
        kernel.clear(self._fleet, slot, now_s, speed * self._lot(lot).slower)
        self._serial += 1
        pod = _Pod(
            self._serial, f"pod-{self._serial}", slot, now_s, now_s + _LOADING * cold_start_s, lot
        )
        self._pods[slot] = pod
        self._ledger.starts += 1
        return pod

    def _lot(self, number: int) -> Lot:
        return self._scenario.lots[number] if self._scenario.lots else _ALIKE

    def _growing(self) -> int:
        """The lot that a new pod goes to."""
        taken = Counter(pod.lot for pod in self._pods.values())
        return next(
            (i for i, lot in enumerate(self._scenario.lots) if _has_room(lot, taken[i])),
            max(0, len(self._scenario.lots) - 1),
        )

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
        pods = [
            (p.uid, s, self._lot(p.lot).name)
            for s, p in self._pods.items()
            if self._fleet.state[s] == READY
        ]
        self._scrapes.take(pods, now_s)

    def _look(self, key: int, now_s: float) -> None:
        decision = self._controller.decide(self._sight(key / 1e6, now_s))
        self._apply(decision, now_s)

    def _sight(self, at_s: float, now_s: float) -> Sight:
        states = self._fleet.state
        ready = [pod for slot, pod in self._pods.items() if states[slot] == READY]
        starting = [pod for slot, pod in self._pods.items() if states[slot] != READY]
        shown = self._scrapes.look([pod.uid for pod in ready], at_s)
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
                samples=shown.samples,
                time_of_week_s=(self._week_s + now_s) % WEEK_S,
                starting_groups=tuple(self._lot(pod.lot).name for pod in starting),
                growing=self._lot(self._growing()).name,
                shrinking=self._lot(max((p.lot for p in self._pods.values()), default=0)).name,
            ),
            running=len(ready) + sum(pod.running_s <= now_s for pod in starting),
            in_flight=shown.in_flight,
            busy=shown.busy,
            latencies_s=shown.latencies_s,
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
                key=lambda pod: (
                    -pod.lot,
                    self._fleet.state[pod.slot] == READY,
                    -pod.asked_s,
                    -pod.slot,
                ),
            )
            for pod in ranked[:surplus]:
                self._remove(pod, now_s)

    def _set_timeout(self, reject_after_s: float | None) -> None:
        if reject_after_s is None:
            reject_after_s = self._scenario.reject_after_s
        limit_s = math.inf if reject_after_s is None else reject_after_s
        params = self._fleet.params
        if limit_s == params[kernel.REJECT_AFTER_S]:
            return
        if math.isinf(limit_s) or math.isinf(params[kernel.REJECT_AFTER_S]):
            kernel.form_anew(self._fleet)
        params[kernel.REJECT_AFTER_S] = limit_s
        set_batcher(params, self._scenario.service)

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
