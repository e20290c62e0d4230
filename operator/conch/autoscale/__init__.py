"""How many replicas hold the latency objective: pure functions from what is seen to a Decision.

How to drive it, per service and every few seconds::

    state = ScalerState()                       # nothing is known; losing it only costs a wait
    while True:
        samples = …                             # triton.scrape of every ready pod
        state, decision = step(policy, state, ScalingObservation(now_s=…, samples=…, …))
        …                                       # write decision.replicas, report the rest

``now_s`` and ``PodSample.at_s`` must come from the same monotonic clock. ``step`` costs about
half a millisecond, and 2 to 30 ms more when a service curve has changed (``capacity``, cached).

- ``signals``  what arrived between two looks; which numbers to believe
- ``curve``    the service time of a batch of k, learned
- ``capacity`` what one replica carries within the objective: a queue, solved
- ``horizon``  cold start, and the most to expect until a new replica is ready
- ``strain``   what measured lateness adds, slowly
- ``health``   models that answer nothing or fail
- ``picture``  demand against capacity, per model
- ``decide``   the rules; ``explain`` their sentences; ``state`` what is remembered
"""

from conch.autoscale.decide import step
from conch.autoscale.state import ScalerState

__all__ = ["ScalerState", "step"]
