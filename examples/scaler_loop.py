"""Conch's scaler in a loop that is not Conch's: here a made-up service of 40 requests/s a replica.

Replace ``World`` by your own simulator or cluster; the last ten lines are the whole interface.
Run it with ``python examples/scaler_loop.py``. Everything about it: docs/scaler.md.
"""

import math

from conch.autoscale import ScalerState, step
from conch.observe.types import (
    BatchStat,
    ModelCounters,
    PodSample,
    ScalingObservation,
    ScalingPolicy,
)

COLD_START_S, LOOK_S, BATCH, BATCH_S = 40.0, 5.0, 8, 0.2


class World:
    """Replicas that answer in batches of 8, 200 ms each; what they cannot answer is refused."""

    def __init__(self) -> None:
        self.now_s, self.asked_s, self.answered, self.refused = 0.0, [-COLD_START_S] * 3, {}, {}

    def look(self) -> ScalingObservation:
        """Five seconds later: what Triton's counters say of every ready replica."""
        self.now_s += LOOK_S
        ready = [a for a in self.asked_s if self.now_s - a >= COLD_START_S]
        arrived = LOOK_S * (120 + 60 * math.sin(self.now_s / 300)) / len(ready)
        for number in range(len(ready)):
            done = min(arrived, LOOK_S * BATCH / BATCH_S)
            self.answered[number] = self.answered.get(number, 0.0) + done
            self.refused[number] = self.refused.get(number, 0.0) + arrived - done
        return ScalingObservation(
            now_s=self.now_s,
            replicas=len(self.asked_s),
            ready=len(ready),
            starting_age_s=tuple(self.now_s - a for a in self.asked_s[len(ready) :]),
            cold_start_s=(COLD_START_S,),
            room=1000,
            samples=tuple(self._sample(number) for number in range(len(ready))),
        )

    def _sample(self, number: int) -> PodSample:
        done = self.answered[number]
        counters = ModelCounters(
            success=done,
            failure=self.refused[number],
            inferences=done,
            executions=done / BATCH,
            request_s=done * 1.5 * BATCH_S,
            queue_s=done * 0.5 * BATCH_S,
            pending=0.0,
            batches={BATCH: BatchStat(int(done / BATCH), int(done / BATCH) * BATCH_S)},
        )
        return PodSample(f"replica-{number}", self.now_s, {"model": counters})

    def scale(self, replicas: int) -> None:
        """Newest first to go: one that is still starting is the cheapest to give up."""
        self.asked_s = (self.asked_s + [self.now_s] * replicas)[:replicas]


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
