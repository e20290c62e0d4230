"""How many replicas hold the latency objective: pure functions from what is seen to a Decision.

How to drive it, per service and every few seconds::

    state = ScalerState()                       # nothing is known; losing it only costs a wait
    while True:
        samples = …                             # triton.scrape of every ready pod
        state, decision = step(policy, state, ScalingObservation(now_s=…, samples=…, …))
        …                                       # write decision.replicas, report the rest

``now_s`` and ``PodSample.at_s`` must come from the same monotonic clock. ``step`` costs about a
millisecond, and 2 to 30 ms more when a service curve has changed (``capacity``, cached). Fields,
promises and the whole of the idea: docs/scaler.md.

- ``signals``  what arrived between two looks; which numbers to believe
- ``curve``    the service time of a batch of k, learned
- ``capacity`` what one replica carries within the objective: a queue, solved
- ``learning`` these two by model and group of replicas that are alike
- ``fleet``    what many carry together, and what is late beyond
- ``groups``   the same of replicas that are not alike
- ``horizon``  cold start; what arrives now
- ``bases``    what the past leads one to expect; ``forecast`` by how much to exceed it
- ``shadows``  what each setting would have cost; ``budget`` the lateness that is left
- ``correction`` how far off the capacity is, by the requests that were refused
- ``tuning``   these together
- ``season``   the rise that came at this time on other days
- ``strain``   what measured lateness adds, slowly
- ``health``   models that answer nothing or fail
- ``picture``  demand against capacity, per model
- ``decide``   the rules; ``explain`` their sentences; ``state`` what is remembered
"""

from conch.autoscale.decide import step
from conch.autoscale.state import ScalerState

__all__ = ["ScalerState", "step"]
