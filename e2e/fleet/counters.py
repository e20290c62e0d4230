"""The counters of one model on one fake pod, run forward in time as a fluid queue.

Arrivals and service are rates, so any stretch of time is one step and nothing runs between two
scrapes: that is how one process plays thousands. Units follow Triton: microseconds in sums.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from e2e.fleet.load import Load

INPUT_US, OUTPUT_US = 60.0, 900.0
"""Per request, about what the real server showed for a small tensor."""
ROUNDING = 1e-6
"""Less of a request than this is none."""


@dataclass(slots=True)
class Batches:
    """Executions of one batch size and the time they took."""

    executions: float = 0.0
    infer_us: float = 0.0


@dataclass(slots=True)
class Counters:
    """Running totals since the pod's start, and what waits."""

    succeeded: float = 0.0
    rejected: float = 0.0
    queue_us: float = 0.0
    infer_us: float = 0.0
    pending: float = 0.0
    p99_us: float | None = None
    batches: dict[int, Batches] = field(default_factory=dict)
    last_inference_ms: int = 0

    def advance(self, load: Load, seconds: float, wall_ms: int) -> None:
        """Let `seconds` pass under `load`, ending at the wall-clock time given."""
        full = load.batch or load.max_batch
        spare_per_s = load.capacity_per_s(full) - load.rate_per_s * (1 - load.failure_share)
        # As long as requests wait, every batch is full; afterwards the load decides.
        drain_s = self.pending / spare_per_s if spare_per_s > 0 else seconds
        drain_s = min(drain_s, seconds) if self.pending else 0.0
        self._step(load, full, drain_s, wall_ms)
        self._step(load, load.chosen_batch(), seconds - drain_s, wall_ms)

    def _step(self, load: Load, batch: int, seconds: float, wall_ms: int) -> None:
        if seconds <= 0:
            return
        rejected = load.rate_per_s * seconds * load.failure_share
        self.rejected += rejected
        capacity_per_s = load.capacity_per_s(batch)
        before = self.pending
        waiting = before + load.rate_per_s * seconds - rejected
        served = min(waiting, capacity_per_s * seconds)
        self.pending = waiting - served
        if self.pending < ROUNDING:
            self.pending = 0.0
        if served <= 0:
            self.p99_us = None
            return
        # A request waits for the backlog, and on average for half of the batch before it.
        busy = served / (capacity_per_s * seconds)
        backlog_s = (before + self.pending) / 2 / capacity_per_s
        wait_us = backlog_s * 1e6 + busy * load.service_ms(batch) * 500
        self.serve(served, batch, wait_us, load.service_ms(batch) * 1e3, wall_ms)
        self.p99_us = 2 * wait_us + load.service_ms(batch) * 1e3

    def serve(
        self, requests: float, batch: int, wait_us: float, service_us: float, wall_ms: int
    ) -> None:
        """Count requests that were served in batches of `batch`."""
        self.succeeded += requests
        self.queue_us += requests * wait_us
        # As Triton: the whole batch's time once per request here, once per execution below.
        self.infer_us += requests * service_us
        of_size = self.batches.setdefault(batch, Batches())
        of_size.executions += requests / batch
        of_size.infer_us += requests / batch * service_us
        self.last_inference_ms = wall_ms

    @property
    def executions(self) -> float:
        return sum(b.executions for b in self.batches.values())

    @property
    def request_us(self) -> float:
        """Queue and all computing, summed over requests."""
        return self.queue_us + self.infer_us + self.succeeded * (INPUT_US + OUTPUT_US)

    def times(self, factor: float) -> Counters:
        """The same with every total multiplied: a server that lies."""
        return replace(
            self,
            succeeded=self.succeeded * factor,
            rejected=self.rejected * factor,
            queue_us=self.queue_us * factor,
            infer_us=self.infer_us * factor,
            batches={
                size: Batches(b.executions * factor, b.infer_us * factor)
                for size, b in self.batches.items()
            },
        )
