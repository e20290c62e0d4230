"""Conch's scaler in a loop that is not Conch's: here a made-up service of 40 requests/s a replica.

Replace ``World`` by your own simulator or cluster; the last ten lines are the whole interface.
Run it with ``python examples/scaler_loop.py``. Everything about it: docs/scaler.md.
"""

import math
from dataclasses import dataclass
from itertools import count

from conch.autoscale import ScalerState, step
from conch.observe.types import (
    BatchStat,
    ModelCounters,
    PodSample,
    ScalingObservation,
    ScalingPolicy,
)

COLD_START_S, LOOK_S, BATCH, BATCH_S = 40.0, 5.0, 8, 0.2


@dataclass
class Replica:
    """It answers in batches of 8, 200 ms each; what it cannot answer is refused."""

    name: str  # never used again: counters belong to it
    asked_s: float
    answered: float = 0.0
    refused: float = 0.0

    def sample(self, now_s: float) -> PodSample:
        """What its counters say."""
        batches = int(self.answered / BATCH)
        counters = ModelCounters(
            success=self.answered,
            failure=self.refused,
            rejected=self.refused,
            inferences=0,
            executions=batches,
            request_s=self.answered * 1.5 * BATCH_S,
            queue_s=0,
            pending=0.0,
            batches={BATCH: BatchStat(batches, batches * BATCH_S)},
        )
        return PodSample(self.name, now_s, {"model": counters})


class World:
    """A wave of requests, 60 to 180 per second, every half hour."""

    def __init__(self) -> None:
        self._names = (f"replica-{number}" for number in count())
        self.now_s = 0.0
        self.replicas = [Replica(next(self._names), -COLD_START_S) for _ in range(3)]

    def look(self) -> ScalingObservation:
        """Five seconds later."""
        self.now_s += LOOK_S
        ready = [r for r in self.replicas if self.now_s - r.asked_s >= COLD_START_S]
        starting = self.replicas[len(ready) :]
        arrived = LOOK_S * (120 + 60 * math.sin(self.now_s / 300)) / len(ready)
        for replica in ready:
            done = min(arrived, LOOK_S * BATCH / BATCH_S)
            replica.answered += done
            replica.refused += arrived - done
        return ScalingObservation(
            now_s=self.now_s,
            replicas=len(self.replicas),
            ready=len(ready),
            starting_age_s=tuple(self.now_s - r.asked_s for r in starting),
            cold_start_s=(COLD_START_S,),
            room=1000,
            samples=tuple(r.sample(self.now_s) for r in ready),
        )

    def scale(self, replicas: int) -> None:
        """Newest first to go: one that is still starting is the cheapest to give up."""
        while len(self.replicas) < replicas:
            self.replicas.append(Replica(next(self._names), self.now_s))
        del self.replicas[replicas:]


def main(looks: int = 720) -> list[int]:
    """An hour; the number of replicas at every look."""
    world, state, history = World(), ScalerState(), []
    policy = ScalingPolicy(
        percentile=99,
        target_s=0.5,
        min_replicas=1,
        max_replicas=20,
        models=("model",),
        max_batch={"model": BATCH},
        instances={"model": 1},
        late_reject=True,
    )
    for _ in range(looks):
        state, decision = step(policy, state, world.look())
        world.scale(decision.replicas)
        # and refuse requests that have waited in a queue for decision.reject_after_s
        history.append(decision.replicas)
    print(f"{decision.message}; reject after {decision.reject_after_s:.2f} s")
    return history


if __name__ == "__main__":
    main()
